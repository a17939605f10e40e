"""Whether the quick ways of running a model compute what its plain forward computes, and which way of decoding does.

Packed rows rest on a mask and on position ids that not every model honours (recurrences, convolutions, ALiBi, windows
counted in columns), and the shared beginning of `models.decode` on a cache and an attention that not every model has.
So a small batch of token ids is run both ways, and the difference decides, not a list of names.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, TypeVar, get_args

import torch
from torch import Tensor

from ..core.errors import ModelError
from .decode import BaseDecoder, Decoder
from .decode_own import OwnDecoder, first_token
from .decode_seq2seq import Seq2SeqDecoder
from .load import position_limit
from .rows import Row, shared_beginning, waiting

Decoding = Literal["shared", "generate", "alone", "uncached"]
"""A way to decode: our own loop, which computes a shared beginning once; the model's `generate` in batches; the same
with one prompt after another; the same without a cache."""
Ids = tuple[list[int], list[int]]
"""The token ids of a prompt and of its target."""

TOLERANCE = 1e-4
"""Nats by which the mean log-probability of a target's tokens may differ in float32. Rounding comes to 5e-6 in a model
of 30 layers (SmolLM2-135M)."""
_STIRRED = 1e-3
"""The same for the copy that `alive` makes, which rounds more (5e-5 there); wrong masks begin at 0.05 in it."""
_COARSE = 0.2
"""The same where a model is too large for a copy in float32: bfloat16 rounds by 0.02 in SmolLM2-135M, and logits near
20 to steps of 0.1."""
_COPIED = 1_000_000_000
"""Up to so many weights a model in half precision is copied to float32 for the check (4 GB)."""
_ALIVE = 500_000_000
"""Up to so many weights a copy with larger ones is checked too (`alive`). Larger models are trained checkpoints."""
_LONGEST = 1024
"""Longer windows are never tried out: the check would cost too much, and few texts reach them."""
_WINDOWS = ("window", "chunk", "local", "block_size")
"""Parts of the names under which configurations state how far a layer looks."""

Way = TypeVar("Way", bound=str)
_log = logging.getLogger("shrinklm")


@dataclass(frozen=True)
class Case:
    """A model to run and the examples to run it on, with what its plain forward says."""

    model: Any
    groups: list[list[Ids]]
    """Two examples of two pairs; the pairs of an example begin alike."""
    expected: list[Tensor]
    """For each pair the log-probability of each token of its target."""
    tolerance: float

    def error(self, means: Sequence[float], end: bool) -> float:
        """The greatest difference of a pair's mean log-probability a token from what is expected, in nats.

        `end`: the mean includes the end token. NaN where a mean is not finite.
        """
        expected = torch.stack([(log_p if end else log_p[:-1]).double().mean() for log_p in self.expected])
        # Beyond 20 nats, where only diverged weights come, rounding grows with the number.
        differences = (torch.tensor(means, dtype=torch.double) - expected).abs() / (expected.abs() / 20).clamp(min=1)
        return float(differences.max())


def cases(model: Any, tokenizer: Any, longest: int = _LONGEST) -> list[Case]:
    """The cases that decide about a model; the weights of `model` are only read.

    Args:
        model: Of transformers, in any precision.
        tokenizer: Names the tokens that are none of a text.
        longest: Windows of so many tokens and more are not tried out: no text is longer, or the check would be.

    Raises whatever the model's own forward raises.
    """
    count = sum(weight.numel() for weight in model.parameters())
    single = next(model.parameters()).dtype == torch.float32
    subjects: list[tuple[Any, float]] = []
    if count <= _ALIVE:
        subjects.append((alive(model), _STIRRED))
    if single:
        subjects.append((model, TOLERANCE))
    elif count > _ALIVE:
        subjects.append((copied(model).float(), TOLERANCE) if count <= _COPIED else (model, _COARSE))
    groups = draw(model, tokenizer, min(longest, _LONGEST))
    start = first_token(model, tokenizer)
    found = []
    for subject, tolerance in subjects:
        expected = [plain(subject, *ids, start) for group in groups for ids in group]
        # Weights that diverged say nothing about the way they are run.
        if all(bool(log_p.isfinite().all()) for log_p in expected):
            found.append(Case(subject, groups, expected, tolerance))
    return found


@contextmanager
def quiet(model: Any) -> Iterator[None]:
    """No dropout, no gradients, and torch's generators afterwards as before."""
    with torch.random.fork_rng(range(torch.cuda.device_count())), torch.no_grad(), without_dropout(model):
        yield


@contextmanager
def without_dropout(model: Any) -> Iterator[None]:
    """A model in evaluation mode; afterwards each module as before."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def copied(model: Any) -> Any:
    """A copy of a model, also after a step of training."""
    for module in model.modules():
        for name, value in vars(module).items():
            # RecurrentGemma keeps the state of its last pass, which hangs on that pass's graph.
            if isinstance(value, Tensor) and not value.is_leaf:
                vars(module)[name] = value.detach()
    return copy.deepcopy(model)


def alive(model: Any) -> Any:
    """A copy in float32, in evaluation mode, whose matrices have the spread 1/√width and whose vectors are not at rest.

    A layer that was just drawn adds next to nothing (a convolution between two gates of 0.001), so that what it mixes
    up stays below rounding until it is trained. Larger weights are left as they are.
    """
    twin = copied(model).float().eval()
    generator = torch.Generator().manual_seed(0)
    for weight in twin.parameters():
        weight.requires_grad_(False).nan_to_num_()
        if weight.dim() < 2:
            weight += 0.1 * torch.randn(weight.shape, generator=generator).to(weight.device)
            continue
        spread, wanted = float(weight.std()), weight.shape[-1] ** -0.5
        if spread == 0:
            weight += wanted * torch.randn(weight.shape, generator=generator).to(weight.device)
        elif spread < wanted:
            weight *= wanted / spread
    return twin


def draw(model: Any, tokenizer: Any, longest: int) -> list[list[Ids]]:
    """Two examples of two pairs: the first begin with more tokens than any window that lies below `longest`.

    Ids and not texts: a small vocabulary might read every word of a text as the same unknown one.
    """
    size = min(model.get_input_embeddings().weight.shape[0], len(tokenizer))
    special = set(tokenizer.all_special_ids)
    words = torch.tensor([number for number in range(size) if number not in special] or [0])
    generator, end = torch.Generator().manual_seed(0), tokenizer.eos_token_id

    def ids(count: int) -> list[int]:
        chosen: list[int] = words[torch.randint(len(words), (count,), generator=generator)].tolist()
        return chosen

    windows = [window for window in _windows(model.config) if 1 < window < longest]
    # 18 tokens: `Decoder` shares a beginning from 16 on. What follows it takes 9 at most.
    wanted = max([18, *(window + 8 for window in windows)])
    beginning = int(max(2, min(wanted, position_limit(model.config) - 10)))
    groups = []
    for length in (beginning, min(7, beginning)):
        question = ids(length)
        groups.append([(question + ids(1), [*ids(3), end]), (question + ids(4), [*ids(5), end])])
    return groups


def _windows(config: Any) -> list[int]:
    stated = config.get_text_config(decoder=True).to_dict()
    return [
        value
        for name, value in stated.items()
        if isinstance(value, int)
        and any(part in name for part in _WINDOWS)
        and not any(part in name for part in ("layers", "experts"))
    ]


def plain(model: Any, prompt: list[int], target: list[int], start: int) -> Tensor:
    """log p of each token of a target, [tokens], by one forward of the pair alone: no mask, no padding, no cache."""
    if model.config.is_encoder_decoder:
        inputs, first = {"input_ids": [prompt], "decoder_input_ids": [[start, *target[:-1]]]}, 0
    else:
        inputs, first = {"input_ids": [prompt + target[:-1]]}, len(prompt) - 1
    device = next(model.parameters()).device
    logits = model(**{name: torch.tensor(ids, device=device) for name, ids in inputs.items()}).logits[0, first:]
    labels = torch.tensor(target, device=device)
    log_p: Tensor = logits.float().log_softmax(-1).gather(-1, labels[:, None])[:, 0].cpu()
    return log_p


def make_decoder(way: Decoding, model: Any, tokenizer: Any) -> BaseDecoder:
    """A decoder that works in this way."""
    if way == "shared":
        return (Seq2SeqDecoder if model.config.is_encoder_decoder else Decoder)(model, tokenizer)
    return OwnDecoder(model, tokenizer, batched=way == "generate", cached=way != "uncached")


def decoding(found: Sequence[Case], tokenizer: Any, ways: Sequence[Decoding]) -> tuple[Decoding | None, list[str]]:
    """The first of `ways` that is exact, None where none is; why those before it are not."""
    return first_exact({way: partial(_forced_error, way=way, tokenizer=tokenizer) for way in ways}, found)


def first_exact(ways: Mapping[Way, Callable[[Case], float]], found: Sequence[Case]) -> tuple[Way | None, list[str]]:
    """The first way whose error is within each case's tolerance, None where none is; why those before it are not."""
    why = []
    for way, error in ways.items():
        try:
            worst = next((value for case in found if not (value := error(case)) <= case.tolerance), None)
        except torch.OutOfMemoryError:
            raise
        except Exception as problem:  # a model that cannot run this way says so by any kind of error
            why.append(f"{way}: {type(problem).__name__}: {(str(problem).strip().splitlines() or [''])[0]}")
            continue
        if worst is None:
            return way, why
        why.append(f"{way}: off by {worst:.2g} nats a token")
    return None, why


def _forced_error(case: Case, way: Decoding, tokenizer: Any) -> float:
    """The error of the log-probabilities with which a decoder says the targets, made to take their tokens."""
    decoder = make_decoder(way, case.model, tokenizer)
    decoder.ends = set()
    first: list[float] = []
    second: list[float] = []
    for group in case.groups:
        # Each pair twice in as many places as pairs: the first row to end leaves its place to another beside the rest.
        rows = [
            Row(prompt, len(target) - 1, key=_Forced(target[:-1]))  # an end token ends a row
            for prompt, target in (*group, *group)
        ]
        for _ in decoder.run(waiting(rows), len(group), _forced, shared_beginning([row.prompt for row in rows])):
            pass
        said = [sum(row.key.log_p) / len(row.key.log_p) for row in rows]
        first += said[: len(group)]
        second += said[len(group) :]
    # Not by `max`, in which NaN may get lost.
    errors = [case.error(means, end=False) for means in (first, second)]
    return float(torch.tensor(errors).max())


@dataclass
class _Forced:
    """A target that a row is made to say, and the log-probabilities of its tokens."""

    target: list[int]
    log_p: list[float] = field(default_factory=list)


def _forced(logits: Tensor, rows: Sequence[Row]) -> Tensor:
    """Choose the tokens of each row's target."""
    tokens = [row.key.target[len(row.key.log_p)] for row in rows]
    for row, token, log_p in zip(rows, tokens, logits.log_softmax(-1), strict=True):
        row.key.log_p.append(float(log_p[token]))
    return torch.tensor(tokens, device=logits.device)


def identity(model: Any, tokenizer: Any) -> tuple[Any, ...]:
    """What decides in which ways a model may be run: its code, its configuration and its sizes.

    Its weights decide nothing (`alive`), so what was found once holds for every model of this kind in this process.
    """
    shape = tuple((name, weight.shape, weight.dtype) for name, weight in model.named_parameters())
    settings = model.config.to_json_string(use_diff=False)
    return type(model), model.config._attn_implementation, settings, shape, len(tokenizer)


_known: dict[tuple[Any, ...], Decoding] = {}


def exact_decoder(model: Any, tokenizer: Any) -> BaseDecoder:
    """The quickest decoder that says what the model says. Raises ModelError where none does."""
    key = identity(model, tokenizer)
    if key not in _known:
        _known[key] = _exact_way(model, tokenizer)
    return make_decoder(_known[key], model, tokenizer)


def _exact_way(model: Any, tokenizer: Any) -> Decoding:
    with quiet(model):
        way, why = decoding(cases(model, tokenizer), tokenizer, get_args(Decoding))
    if way is None:
        raise ModelError(f"{type(model).__name__} cannot write here: {'; '.join(why)}. Take another model.")
    if way != "shared":
        _log.warning("%s decodes by %s, which is slower: %s", type(model).__name__, way, "; ".join(why))
    return way
