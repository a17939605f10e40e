"""Questions that are mixed two by two, with both answers and a teacher's distribution on the mix."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ....core.errors import MethodError, StudentError
from ....core.types import Pair, digest
from ....methods.view import Method
from ....models.decode import below_lora
from ...base import BaseStudent
from ...batch import Batch, by_pair
from ...blocks import Block
from ...projection import token_losses
from ...tokens import PairTokens
from .base import Around, Ask, Loss, Read, Shown
from .kd import divergence, no_teacher

_A = "0.4"
NO_OTHER = "no other question to mix with"


@dataclass(frozen=True)
class _Mix:
    """Two prompts in one, and what either of them is answered with."""

    longer: list[int]
    shorter: list[int]
    share: float
    """Of the longer prompt's embeddings where both have a token."""
    targets: tuple[list[int], list[int]]
    weights: tuple[float, float]
    """Of the targets' losses."""


class MixKD(Loss):
    """Mixup of two questions with distillation on the mix (MixKD, arXiv 2011.00593, equations 4 to 6).

    With λ drawn from Beta(a, a), e = λ e_i + (1 - λ) e_j for the embeddings of two prompts, and answers y_i, y_j:
    λ [CE(y_i) + KL_i] + (1 - λ) [CE(y_j) + KL_j], all on e, where KL_i is that of the student's from the teacher's
    distributions at the tokens of y_i, and the teacher mixes embeddings of its own. The paper mixes inputs of one
    length with one output each. Here the prompts are aligned at their ends, since they end with the same line; what
    only the longer one has stands alone; and each answer is read behind the mix. Of the first view that says the
    question's answer alone.
    """

    def __init__(self, a: str = _A) -> None:
        self._a = float(a)
        if not 0 < self._a < float("inf"):
            raise ValueError("a, of Beta(a, a), is a number above 0")

    def check(self, student: BaseStudent, method: Method) -> None:
        """Raises StudentError for a class that reads in a way of its own."""
        own = next((name for name in ("encode", "logits") if _overrides(student, name)), None)
        if own:
            raise StudentError(
                f"{type(student).__name__} has `{own}` of its own, and mixkd mixes the embeddings that it reads. Take "
                "mixkd out of the method."
            )

    def begin(self, around: Around) -> None:
        """See Loss. Loads the teacher, which stays loaded."""
        if around.teacher is None:
            raise MethodError(no_teacher(around.method.name))
        around.teacher.check(around.student)
        view = around.method.only("answer")
        if view is None:
            raise MethodError(f"Method '{around.method.name}': 'mixkd' needs a view that only says the answer.")
        self._around, self._view, self._temperature = around, view.name, around.teacher.temperature
        self._teacher = around.teacher.load().eval().requires_grad_(False)
        self._mixes: list[_Mix] = []

    def asks(self, shown: Shown) -> Iterable[Ask | str]:
        """See Loss."""
        item = shown.of(self._view)
        if item is None:
            yield f"no '{self._view}'"
            return
        mix = self._mixed(shown, item.pair)
        if isinstance(mix, str):
            yield mix
            return
        self._mixes.append(mix)
        yield Ask([item.pair], {"mix": len(self._mixes) - 1}, weight=item.pair.weight)

    def value(self, read: Read) -> Tensor:
        """See Loss."""
        assert read.student is not None
        # The one wait for the device: which questions are mixed must be known before they can be read.
        mixes = [self._mixes[int(number)] for number in read.figures["mix"].tolist()]
        logits, labels, owner = _read(read.student, mixes)
        with torch.no_grad():
            told = _read(self._teacher, mixes)[0].to(logits.device)
        width = min(logits.shape[1], told.shape[1])
        chances, expected = (
            (values[:, :width].float() / self._temperature).log_softmax(-1) for values in (logits, told)
        )
        distance = divergence("forward", expected, chances) * self._temperature**2
        shares = [
            weight / len(target) for mix in mixes for weight, target in zip(mix.weights, mix.targets, strict=True)
        ]
        losses = (token_losses(logits, labels) + distance) * torch.tensor(shares, device=logits.device)[owner]
        return by_pair(losses, owner // 2, len(mixes))

    def _mixed(self, shown: Shown, pair: Pair) -> _Mix | str:
        """The mix of a pair with that of another question, drawn by the seed, the question and the epoch."""
        around = self._around
        draw = random.Random(digest("mixkd", around.corpus.seed, shown.example.id, shown.epoch))
        [one], two, refused = around.tokens([pair]), None, NO_OTHER
        for other in self._others(shown, draw):
            [two] = around.tokens([other])
            longest = max(len(one.prompt), len(two.prompt)) + max(len(one.scored), len(two.scored))
            if longest <= around.student.max_length:
                break
            two, refused = None, f"a mix is longer than {around.student.max_length} tokens"
        if two is None:
            return refused
        share = draw.betavariate(self._a, self._a)
        longer, shorter = (one, two) if len(one.prompt) >= len(two.prompt) else (two, one)
        of_longer = share if longer is one else 1 - share
        return _Mix(longer.prompt, shorter.prompt, of_longer, (one.scored, two.scored), (share, 1 - share))

    def _others(self, shown: Shown, draw: random.Random) -> Iterator[Pair]:
        """The pairs of the same view of the other questions, from a drawn one on."""
        corpus, method = self._around.corpus, self._around.method
        count = len(corpus.examples)
        start = draw.randrange(count)
        for index in (*range(start, count), *range(start)):
            if corpus.examples[index].id != shown.example.id:
                pairs = corpus.pairs(method, index, shown.epoch)
                yield from (item.pair for item in pairs if item.view.name == self._view)


def _overrides(student: BaseStudent, name: str) -> bool:
    return getattr(type(student), name) is not getattr(BaseStudent, name)


def _read(model: BaseStudent, mixes: Sequence[_Mix]) -> tuple[Tensor, Tensor, Tensor]:
    """(logits, labels, target of each) at the tokens of both targets of each mix, one target after the other."""
    blocks = [Block([PairTokens(mix.longer, [], target) for target in mix.targets]) for mix in mixes]
    batch = model.to_device(model.batch(blocks, [[number] for number in range(len(mixes))]))
    batch["inputs_embeds"] = _embedded(model, batch, mixes)
    scored = model.scored(batch, logits=True)
    assert scored.logits is not None
    # Rows are another for a model that reads each pair by itself; within a target the tokens stand in order.
    order = scored.owner.argsort(stable=True)
    return scored.logits[order], scored.labels[order], scored.owner[order]


def _embedded(model: BaseStudent, batch: Batch, mixes: Sequence[_Mix]) -> Tensor:
    """[rows, tokens, width]: the embeddings of a batch of which each row is of one mix, in their order."""
    ids = batch["input_ids"]
    # By the position in the prompt: a row may hold its last token once for each target.
    place = batch["position_ids"] if "position_ids" in batch else torch.arange(ids.shape[1], device=ids.device)[None]
    each = len(ids) // len(mixes)

    def of_rows(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, device=ids.device).repeat_interleave(each, 0)[:, None]

    start = of_rows([len(mix.longer) - len(mix.shorter) for mix in mixes])
    both = (place >= start) & (place < of_rows([len(mix.longer) for mix in mixes]))
    width = max(len(mix.shorter) for mix in mixes)
    padded = torch.tensor([mix.shorter + [0] * (width - len(mix.shorter)) for mix in mixes], device=ids.device)
    others = padded.repeat_interleave(each, 0).gather(1, (place - start).clamp(0, width - 1))
    embed = below_lora(model.model).get_input_embeddings()
    whole = embed(ids)
    part = torch.where(both, of_rows([mix.share for mix in mixes]), 1.0).to(whole)[:, :, None]
    mixed: Tensor = part * whole + (1 - part) * embed(torch.where(both, others, ids))
    return mixed
