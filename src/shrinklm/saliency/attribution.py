"""Attribute a model's answer to the words of its question: the gradient norm of arXiv 2409.12586, and four other ways.

On captum.

The attributed value is F = Σ log p of the label's tokens given the prompt. Questions of a batch never see each other,
so that one backward pass serves them all and its gradients are those of each question alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import accumulate, chain, pairwise
from typing import Literal

import torch
from captum.attr import InputXGradient, IntegratedGradients, Saliency
from torch import Tensor

from ..core.marking import Word
from ..methods.view import answer_pair
from ..students.base import BaseStudent
from ..students.batch import IGNORE, Batch, by_pair, float32
from .completeness import COMPLETENESS, MOST_STEPS
from .switches import eager, frozen

Kind = Literal["gradient", "input_x_gradient", "integrated_gradients", "occlusion", "attention"]

_ROWS = 16
"""Rows of one pass where a method needs more than the batch's own: bounds memory."""

_SHORT = 192
"""Up to so many tokens a row, attention written out is faster on a CPU in half precision.

Measured: 4 times as fast at 65 tokens, no faster at 250.
"""


@dataclass(frozen=True)
class AttributionSettings:
    """The method of attribution, and its settings."""

    method: Kind
    norm: Literal["l1", "l2"]
    """gradient: the norm over the width of the embedding."""
    pieces: Literal["max", "sum"]
    """The score of a word: of its tokens the largest (with signs: the one furthest from zero), or their sum."""
    steps: int
    """integrated_gradients: points of the Gauss–Legendre rule to begin with."""
    most_steps: int = MOST_STEPS
    """integrated_gradients: the points are doubled up to so many, for each question until `COMPLETENESS` is kept."""


@dataclass(frozen=True)
class Question:
    """A question to attribute: how much does each of `words` of `prompt` move the probability of `label`?"""

    prompt: str
    label: str
    words: Sequence[Word]
    """Their spans are characters of `prompt`."""
    lead: str = ""
    """Words between prompt and label that are not scored, such as "The answer is"."""


@dataclass(frozen=True)
class Attribution:
    """How much each word moved the label."""

    scores: tuple[float, ...]
    """One score for each word; those of occlusion, input_x_gradient and integrated_gradients have signs."""
    value: float
    """F of the question as it is."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """integrated_gradients: `completeness_error`, |Σ of all tokens − (F(x) − F(baseline))| / |F(x) − F(baseline)|, and
    `steps`, the points of the integral that it is left with."""


def attribute(model: BaseStudent, questions: Sequence[Question], settings: AttributionSettings) -> list[Attribution]:
    """Attribute one batch of questions. The batch changes no score; questions of like length waste least.

    gradient: ‖∂F/∂e_i‖ for the embedding e_i of each token (arXiv 2409.12586; Simonyan et al., arXiv 1312.6034).
    input_x_gradient: e_i · ∂F/∂e_i. integrated_gradients: from embeddings of zeros at the words, the rest of the prompt
    standing (Sundararajan et al., arXiv 1703.01365). occlusion: F(x) − F(x without the word). attention: mean weight
    over layers, heads and the positions that say the label (encoder–decoder: cross-attention).

    Raises:
        StudentError: a question does not fit the model, or its tokenizer gives no offsets of its tokens.
    """
    if not questions:
        return []
    with frozen(model), torch.inference_mode(False), torch.enable_grad():
        return _METHODS[settings.method](model, questions, settings)


def log_probability(model: BaseStudent, questions: Sequence[Question]) -> list[float]:
    """F of each question of one batch. Raises StudentError for one that does not fit the model."""
    if not questions:
        return []
    with frozen(model), torch.inference_mode():
        return _Encoded(model, questions).value().tolist()


class _Encoded:
    """A batch of questions as tensors of one model."""

    def __init__(self, model: BaseStudent, questions: Sequence[Question]) -> None:
        self.model, self.questions = model, questions
        self.first = [0, *accumulate(len(question.words) for question in questions)]
        """Index of each question's first word, counted over all questions; then the number of all words."""
        pairs = [answer_pair(question.prompt, question.lead, question.label) for question in questions]
        # No end token: F is of the label alone. No packing: methods take single rows out of the batch.
        batch = model.encode([[pair] for pair in pairs], end=False, pack=False)
        # Without the places of the labels, which are others where rows are taken out.
        del batch["scored"]
        self.batch: Batch = model.to_device({**batch, "saying": batch["labels"] != IGNORE})
        """The encoded pairs; "saying", [rows, tokens], is true at positions that predict a token of the label."""
        self.shared: dict[int, int] = {}
        """A word without a token of its own, as in scripts without blanks → the word that its token belongs to."""

    def embeddings(self) -> Tensor:
        """[rows, tokens, width] of what the model reads."""
        embeddings: Tensor = self.model.model.get_input_embeddings()(self.batch["input_ids"])
        return embeddings.detach()

    def rows(self, rows: Tensor | slice) -> Batch:
        """These rows of the batch."""
        return {name: value[rows] if value.dim() > 1 else value for name, value in self.batch.items()}

    def value(self, embeddings: Tensor | None = None, rows: Tensor | None = None) -> Tensor:
        """F of each question, [questions]; `rows` names the row of the batch behind each row of `embeddings`."""
        batch = dict(self.batch) if rows is None else self.rows(rows)
        if embeddings is not None:
            batch["inputs_embeds"] = embeddings
        with self.attention():
            return self.model.attributed(batch, len(self.questions))

    def attention(self) -> AbstractContextManager[None]:
        """The implementation of attention that is fastest for the batch (see `_SHORT`)."""
        weight = next(self.model.model.parameters())
        short = self.batch["input_ids"].shape[1] <= _SHORT
        return (
            eager(self.model.model)
            if short and weight.device.type == "cpu" and weight.element_size() == 2
            else nullcontext()
        )

    def words(self) -> Tensor:
        """[rows, tokens]: the index of the word a token belongs to, counted over all questions; -1 for none."""
        indices = []
        for question, first in zip(self.questions, self.first, strict=False):
            by_character = [-1] * len(question.prompt)
            for index, word in enumerate(question.words, start=first):
                by_character[word.start : word.end] = [index] * (word.end - word.start)
            held = [
                [index for index in by_character[start:end] if index >= 0]
                for start, end in self.model.offsets(question.prompt)
            ]
            # A token may reach over a word's edge: it belongs to the word with most of its characters.
            by_token = [max(inside, key=inside.count, default=-1) for inside in held]
            for inside, owner in zip(held, by_token, strict=True):
                self.shared |= {index: owner for index in inside if index not in by_token}
            indices.append(by_token)
        return _spread(indices, self.model.owner(self.batch), rest=-1)

    def attributions(
        self,
        tokens: Tensor,
        words: Tensor,
        settings: AttributionSettings,
        value: Tensor,
        figures: Sequence[Mapping[str, float]] = (),
    ) -> list[Attribution]:
        """From scores of tokens and `words()`, both [rows, tokens], and F of each question."""
        index, scores = words[words >= 0], tokens[words >= 0].double()
        zeros = scores.new_zeros(self.first[-1])
        if settings.pieces == "sum":
            by_word = by_pair(scores, index, self.first[-1])
        else:
            # Of scores with signs the one furthest from zero; the zeros that both start from never win against one.
            highest = zeros.scatter_reduce(0, index, scores, "amax")
            lowest = zeros.scatter_reduce(0, index, scores, "amin")
            by_word = torch.where(-lowest > highest, lowest, highest)
        flat, values = by_word.tolist(), value.tolist()
        flat = [flat[self.shared.get(word, word)] for word in range(len(flat))]
        return [
            Attribution(tuple(flat[start:end]), values[position], figures[position] if figures else {})
            for position, (start, end) in enumerate(pairwise(self.first))
        ]


def _gradient(model: BaseStudent, questions: Sequence[Question], settings: AttributionSettings) -> list[Attribution]:
    encoded = _Encoded(model, questions)
    words, value = encoded.words(), _Last(encoded.value)
    gradient = Saliency(value).attribute(encoded.embeddings().requires_grad_(), abs=False)
    norm = torch.linalg.vector_norm(float32(gradient), 1 if settings.norm == "l1" else 2, -1)
    return encoded.attributions(norm, words, settings, value.last)


def _input_x_gradient(
    model: BaseStudent, questions: Sequence[Question], settings: AttributionSettings
) -> list[Attribution]:
    encoded = _Encoded(model, questions)
    words, value = encoded.words(), _Last(encoded.value)
    product = InputXGradient(value).attribute(encoded.embeddings().requires_grad_())
    return encoded.attributions(float32(product).sum(-1), words, settings, value.last)


def _integrate(model: BaseStudent, questions: Sequence[Question], settings: AttributionSettings) -> list[Attribution]:
    encoded = _Encoded(model, questions)
    words, embeddings = encoded.words(), encoded.embeddings()
    inside = words >= 0
    # The rest of the prompt stays, so that the baseline is still a prompt that the model knows how to read.
    baseline = embeddings.masked_fill(inside[..., None], 0.0)
    with torch.inference_mode():
        value = encoded.value(embeddings)
        moved = (value - encoded.value(baseline)).double()
    parts = torch.zeros(words.shape, dtype=float32(embeddings).dtype, device=words.device)
    errors, used = [math.inf] * len(questions), [settings.steps] * len(questions)
    # Each row holds one question. Those that are exact enough stay as they are, whatever their neighbours need.
    waiting, steps = torch.arange(len(questions), device=words.device), settings.steps
    while len(waiting):
        new = _integral(encoded, embeddings, baseline, waiting, steps)
        # In float64: the sum of many small parts is compared with a small difference.
        total = new.double().masked_fill(~inside[waiting], 0.0).sum(-1)
        # Where the words move nothing, the share of a difference of zero is bounded, not infinite.
        missed = ((total - moved[waiting]).abs() / moved[waiting].abs().clamp(min=1e-6)).tolist()
        for row, scores, error in zip(waiting.tolist(), new, missed, strict=True):
            # More points are not always better, and the best are kept; a value that is no number stays one.
            if error < errors[row] or not math.isfinite(error):
                parts[row], errors[row], used[row] = scores, error, steps
        waiting = torch.tensor(
            [row for row in waiting.tolist() if COMPLETENESS < errors[row] < math.inf], device=words.device
        ).long()
        if steps >= settings.most_steps:
            break
        steps = min(2 * steps, settings.most_steps)
    figures = [
        {"completeness_error": float(f"{error:.3g}"), "steps": count} for error, count in zip(errors, used, strict=True)
    ]
    return encoded.attributions(parts, words, settings, value, figures)


def _integral(encoded: _Encoded, embeddings: Tensor, baseline: Tensor, rows: Tensor, steps: int) -> Tensor:
    """[rows, tokens]: integrated gradients of these rows of the batch, with so many points."""
    # captum repeats the embeddings once for each point of the integral, and `rows` with them.
    products = IntegratedGradients(encoded.value).attribute(
        embeddings[rows],
        baseline[rows],
        additional_forward_args=(rows,),
        n_steps=steps,
        internal_batch_size=max(_ROWS, len(rows)),  # captum takes no less than one point of every row
    )
    return float32(products).sum(-1)


def _occlude(model: BaseStudent, questions: Sequence[Question], settings: AttributionSettings) -> list[Attribution]:
    # One list for all questions, since their numbers of words differ: passes then stay full.
    variants = []
    for question in questions:
        variants += [question, *(replace(question, prompt=_cut(question.prompt, word)) for word in question.words)]
    batches = (log_probability(model, variants[start : start + _ROWS]) for start in range(0, len(variants), _ROWS))
    values = chain.from_iterable(batches)
    attributions = []
    for question in questions:
        whole = next(values)
        attributions.append(Attribution(tuple(whole - next(values) for _ in question.words), whole))
    return attributions


def _cut(prompt: str, word: Word) -> str:
    """The prompt without a word and the blank before it."""
    return prompt[: word.start].removesuffix(" ") + prompt[word.end :]


def _attend(model: BaseStudent, questions: Sequence[Question], settings: AttributionSettings) -> list[Attribution]:
    encoded = _Encoded(model, questions)
    words, batch = encoded.words(), encoded.batch
    counts = torch.bincount(batch["pair"][batch["saying"]], minlength=len(questions))
    # The mean over the positions that say the label: a long label does not weigh more.
    share = batch["saying"] / counts[batch["pair"]]  # [rows, tokens that say]
    weights = torch.zeros(batch["input_ids"].shape, dtype=torch.double, device=share.device)
    with torch.inference_mode():
        value = encoded.value()
        with eager(model.model):
            # In parts: all layers and heads of a row hold tokens² weights each.
            for start in range(0, len(weights), _ROWS):
                rows = slice(start, start + _ROWS)
                layers = model.attentions(encoded.rows(rows))
                for layer in layers:
                    mean = torch.einsum("rs,rst->rt", share[rows].double(), layer.double().mean(1))
                    weights[rows] += mean / len(layers)
    return encoded.attributions(weights, words, settings, value)


_METHODS: dict[Kind, Callable[[BaseStudent, Sequence[Question], AttributionSettings], list[Attribution]]] = {
    "gradient": _gradient,
    "input_x_gradient": _input_x_gradient,
    "integrated_gradients": _integrate,
    "occlusion": _occlude,
    "attention": _attend,
}


def _spread(values: Sequence[Sequence[int]], owner: Tensor, rest: int) -> Tensor:
    """[rows, tokens]: each pair's values on its tokens, in order, then `rest`; `owner` is -1 at tokens of no pair."""
    counts = torch.bincount(owner[owner >= 0], minlength=len(values)).tolist()
    flat = [value for row, count in zip(values, counts, strict=True) for value in (*row, *[rest] * (count - len(row)))]
    # A stable sort by owner puts the tokens of no pair first and then those of each pair in their order.
    order = owner.flatten().argsort(stable=True)[owner.numel() - len(flat) :]
    spread = torch.full((owner.numel(),), rest, device=owner.device)
    spread[order] = torch.tensor(flat, dtype=spread.dtype, device=owner.device)
    return spread.view(owner.shape)


class _Last:
    """A function that keeps its last value: captum returns the gradient alone."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function = function

    def __call__(self, embeddings: Tensor) -> Tensor:
        value = self.function(embeddings)
        self.last = value.detach()
        return value
