"""What a cell takes on an accelerator that is not here: its tokens are counted, and their arithmetic divided by a peak.

A token that is trained on takes 6 operations for each weight that multiplies it, 4 where the weight itself is not
trained (LoRA), and one that is read or written takes 2 (Kaplan et al. 2020, arXiv 2001.08361, table 1; attention adds
less than a tenth at the lengths of questions). Embeddings multiply nothing, and the projection onto the vocabulary only
the tokens that are scored or written. To write a token all weights are read once for a batch, and whatever a layer does
consists of kernels that take a few microseconds to begin, however little they compute: what takes longest of the three
counts. The last keeps small students far from any peak.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...core.types import Example, Task
from ...evaluation.ask import Evaluation
from ...methods.corpus import Corpus
from ...methods.view import Method, View
from ...students.open import outline
from ..folder import Cell
from ..recipe import Recipe
from .hardware import Accelerator, Fleet
from .trial import Trial, evenly, explanation_length, pair_bytes, settings_of, tokens_of

if TYPE_CHECKING:
    from ...students.base import BaseStudent

_LOOKED = 40
"""Questions whose tokens are counted, evenly from all."""
_BF16 = 2
"""Bytes of a weight."""
_BEGIN = 5e-6
"""Seconds to begin a kernel; assumed, as the next two."""
_READING, _TRAINING = 25, 100
"""Kernels of a layer, to read or write a token of all rows, and to train on a step."""


@dataclass(frozen=True)
class Size:
    """The weights of a model that work on a token."""

    body: int
    """In its layers: they multiply every token."""
    head: int
    """In the projection onto the vocabulary: they multiply what is scored or written."""
    layers: int = 0
    trained: float = 1.0
    """Share of the weights that are trained."""


def seconds_to_read(size: Size, tokens: float, device: Accelerator, efficiency: float) -> float:
    """Of so many tokens, of which none is written."""
    return 2 * size.body * tokens / (device.flops * efficiency)


def seconds_to_write(size: Size, tokens: float, rows: int, device: Accelerator, efficiency: float) -> float:
    """Of so many tokens of one text, beside which others are written: `rows` in all."""
    weights = size.body + size.head
    arithmetic = 2 * weights / (device.flops * efficiency)
    alike = weights * _BF16 / (device.bandwidth * efficiency), size.layers * _READING * _BEGIN
    return tokens * max(arithmetic, max(alike) / rows)


def counted(
    methods: Sequence[Method],
    cell: Cell,
    recipe: Recipe,
    task: Task,
    corpus: Corpus,
    tests: Sequence[Example],
    on: Fleet,
) -> dict[str, Trial]:
    """Method → what a cell of it takes on one of the devices; the counterpart of `tried`, without weights."""
    assert on.accelerator is not None
    device, efficiency = on.accelerator, on.efficiency
    from ...students.exact import Reading

    student = outline(cell.student.spec(recipe.train.max_length), recipe.root)
    # Without weights it cannot be tried out which way of reading is exact: the quickest, which nearly all have.
    student.reading = Reading(student.layouts[0], student.decodings[0])
    size = size_of(student)
    operations = 2 + 2 + 2 * size.trained  # forward, gradients of what is read, gradients of the weights
    looked, batch = evenly(list(range(len(tests))), _LOOKED), recipe.evaluate.batch
    trials = {}
    for method in methods:
        longest = explanation_length(student, method, corpus)
        evaluation = Evaluation(student, task, method, cell.name, settings_of(longest, recipe))
        some = [tests[place] for place in looked]
        reply = evaluation.answer_tokens(some) if some else 0
        asked = _read(student, method.answer, some)
        read = seconds_to_read(size, asked, device, efficiency)
        options = sum(len(method.answer.options(example)) for example in some) / max(1, len(some))
        scored = seconds_to_read(size, asked + options * reply, device, efficiency) if options else 0.0
        explains = method.explain is not None and method.explain != method.answer
        work = size.body * tokens_of(student, corpus, method) + size.head * _scored(student, corpus, method)
        least = size.layers * _TRAINING * _BEGIN / recipe.train.batch
        trials[method.name] = Trial(
            seconds_each=max(least, operations * work / (device.flops * efficiency)) if method.views else 0.0,
            answer_each=read + seconds_to_write(size, reply, batch, device, efficiency),
            score_each=scored,
            explain_each=(read + seconds_to_write(size, longest, batch, device, efficiency)) if explains else 0.0,
            memory=_memory(student, size) if method.views else None,
            pair_bytes=pair_bytes(corpus, method),
            sources=(
                f"time: counted from tokens and weights, for one {on.name} (a table) at {efficiency:.0%} of its peak",
            ),
        )
    return trials


def size_of(student: BaseStudent) -> Size:
    """The weights of a student; one that is tied to the embeddings is the projection's."""
    model = student.model
    inputs, outputs = (getattr(model, f"get_{end}_embeddings", lambda: None)() for end in ("input", "output"))
    ends = [end.weight for end in (inputs, outputs) if end is not None]
    embedded = sum({id(weight): weight.numel() for weight in ends}.values())
    head = 0 if outputs is None else outputs.weight.numel()
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    body = student.parameters_total - embedded
    config = student.config.get_text_config(decoder=True)
    layers = int(getattr(config, "num_hidden_layers", 0) or 0) * (2 if student.family == "seq2seq" else 1)
    return Size(body, head, layers, min(1.0, trained / max(1, student.parameters_total)))


def _memory(student: BaseStudent, size: Size) -> int:
    """Bytes, about: weights in float32 and as they are read, gradients and moments of the trained ones, and a pass."""
    from ...students.training.limit import GPU_ROOM

    return round(student.parameters_total * (4 + _BF16 + 12 * size.trained)) + GPU_ROOM


def _read(student: BaseStudent, view: View, examples: Sequence[Example]) -> float:
    """The tokens of a question on average."""
    counts = [student.token_count(view.prompt(example)) or 0 for example in examples]
    return sum(counts) / max(1, len(counts))


def _scored(student: BaseStudent, corpus: Corpus, method: Method) -> float:
    """The tokens of an example that are learned, on average."""
    looked = evenly(corpus.usable(method), _LOOKED) if method.views else []
    counts = [len(student.target_ids(item.pair.target)) for index in looked for item in corpus.pairs(method, index, 0)]
    return sum(counts) / max(1, len(looked))
