"""Which words of a question moved a model's answer: the attribution of arXiv 2409.12586, and what it is compared with. On captum.

The figure moved is F = Σ log p of the label's tokens given the prompt. Questions of a batch never see each other, so that one backward
pass serves them all and its gradients are those of each question alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from typing import Any, Literal

import torch
from captum.attr import InputXGradient, IntegratedGradients, Saliency
from torch import Tensor, nn

from ..core.marking import Word
from ..core.types import Pair
from ..models.decode import shared_beginning
from ..students.base import IGNORE, BaseStudent, Batch

Kind = Literal["gradient", "input_x_gradient", "integrated_gradients", "occlusion", "attention"]

_ROWS = 16
"""Rows of one pass where a method needs more than the batch's own: bounds memory, whatever the steps, words or layers."""

_SHORT = 192
"""Rows of so many tokens are faster with attention written out, on a CPU in half precision (4 times at 65 tokens, no more at 250)."""


@dataclass(frozen=True)
class AttributionSettings:
    """How words are attributed."""

    method: Kind = "gradient"
    norm: Literal["l1", "l2"] = "l2"
    """gradient: the norm over the width of the embedding."""
    pieces: Literal["max", "sum"] = "max"
    """How the tokens of a word make one score: the largest (of signed scores the one furthest from zero), or all together."""
    steps: int = 32
    """integrated_gradients: points of the Gauss–Legendre rule."""


@dataclass(frozen=True)
class Question:
    """What is attributed: how much do `words` of `prompt` move the probability of `label`?"""

    prompt: str
    label: str
    words: Sequence[Word]
    """Their spans are places in `prompt`."""
    lead: str = ""
    """Words between prompt and label, given and not scored, such as "The answer is"."""


@dataclass(frozen=True)
class Attribution:
    """How much each word moved the label."""

    scores: tuple[float, ...]
    """One a word; those of occlusion, input_x_gradient and integrated_gradients have signs."""
    value: float
    """F of the question as it is."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """integrated_gradients: `completeness_error`, |Σ of all tokens − (F(x) − F(baseline))| / |F(x) − F(baseline)|."""


def attribute(model: BaseStudent, questions: Sequence[Question], settings: AttributionSettings) -> list[Attribution]:
    """Attributes one batch of questions; what else is in it changes no score. Questions of like length waste least.

    gradient: ‖∂F/∂e_i‖ for the embedding e_i of each token (arXiv 2409.12586; Simonyan et al., arXiv 1312.6034).
    input_x_gradient: e_i · ∂F/∂e_i. integrated_gradients: from embeddings of zeros at the words, the rest of the prompt standing
    (Sundararajan et al., arXiv 1703.01365). occlusion: F(x) − F(x without the word). attention: mean weight over layers, heads and the
    positions that say the label (encoder–decoder: cross-attention).

    Raises:
        StudentError: a question does not fit the model, or its tokenizer does not say where its tokens stand.
    """
    if not questions:
        return []
    with _still(model), torch.inference_mode(False), torch.enable_grad():
        return _METHODS[settings.method](model, questions, settings)


def log_probability(model: BaseStudent, questions: Sequence[Question]) -> list[float]:
    """F of each question of one batch. Raises StudentError for one that does not fit the model."""
    if not questions:
        return []
    with _still(model), torch.inference_mode():
        return _Asked(model, questions).value().tolist()


class _Asked:
    """A batch of questions in a model's hands."""

    def __init__(self, model: BaseStudent, questions: Sequence[Question]) -> None:
        self.model, self.questions = model, questions
        self.first = [0, *accumulate(len(question.words) for question in questions)]
        """The number of each question's first word, over all questions."""
        pairs = [Pair(question.prompt, f"{question.lead} {question.label}".strip()) for question in questions]
        batch = model.encode([[pair] for pair in pairs], end=False, pack=False)
        scored, leads = batch["labels"] != IGNORE, []
        for question, pair in zip(questions, pairs, strict=True):
            both = [model.target_ids(text, end=False) for text in (question.lead, pair.target)]
            leads.append([0] * shared_beginning(both))
        saying = _spread(leads, batch["pair"].masked_fill(~scored, -1), rest=1)
        self.batch: Batch = model.to_device({**batch, "saying": scored & (saying == 1)})

    def embeddings(self) -> Tensor:
        """[rows, tokens, width] of what the model reads."""
        found: Tensor = self.model.model.get_input_embeddings()(self.batch["input_ids"])
        return found.detach()

    def rows(self, rows: Tensor | slice) -> Batch:
        """These rows of the batch."""
        return {name: value[rows] if value.dim() > 1 else value for name, value in self.batch.items()}

    def value(self, embeddings: Tensor | None = None, rows: Tensor | None = None) -> Tensor:
        """F of each question, [questions]; `rows` names the row of the batch behind each row of `embeddings`."""
        batch = dict(self.batch) if rows is None else self.rows(rows)
        if embeddings is not None:
            batch["inputs_embeds"] = embeddings
        with self.attention():
            logits, labels, pair = self.model.logits(batch)
        saying = batch["saying"][batch["labels"] != IGNORE]
        said = -nn.functional.cross_entropy(_exact(logits[saying]), labels[saying], reduction="none")
        return said.new_zeros(len(self.questions)).index_add(0, pair[saying], said)

    def attention(self) -> AbstractContextManager[None]:
        """The way of attention that suits the batch."""
        weight = next(self.model.model.parameters())
        short = self.batch["input_ids"].shape[1] <= _SHORT
        return (
            _eager(self.model.model)
            if short and weight.device.type == "cpu" and weight.element_size() == 2
            else nullcontext()
        )

    def words(self) -> Tensor:
        """[rows, tokens]: the number of the word a token belongs to, over all questions; -1 for none."""
        found = []
        for question, first in zip(self.questions, self.first, strict=False):
            spelled = [-1] * len(question.prompt)
            for number, word in enumerate(question.words, start=first):
                spelled[word.start : word.end] = [number] * (word.end - word.start)
            numbers = []
            for start, end in self.model.offsets(question.prompt):
                inside = [number for number in spelled[start:end] if number >= 0]
                numbers.append(max(inside, key=inside.count, default=-1))
            found.append(numbers)
        return _spread(found, self.model.owner(self.batch), rest=-1)

    def made(
        self,
        tokens: Tensor,
        words: Tensor,
        settings: AttributionSettings,
        value: Tensor,
        figures: Sequence[Mapping[str, float]] = (),
    ) -> list[Attribution]:
        """From scores of tokens, [rows, tokens], `words`, and F of each question."""
        place, scores = words[words >= 0], tokens[words >= 0].double()
        zeros = scores.new_zeros(self.first[-1])
        if settings.pieces == "sum":
            found = zeros.index_add(0, place, scores)
        else:
            highest, lowest = (
                zeros.scatter_reduce(0, place, scores, "amax"),
                zeros.scatter_reduce(0, place, scores, "amin"),
            )
            found = torch.where(-lowest > highest, lowest, highest)
        flat, values = found.tolist(), value.tolist()
        return [
            Attribution(tuple(flat[start:end]), values[place], figures[place] if figures else {})
            for place, (start, end) in enumerate(pairwise(self.first))
        ]


def _gradient(model: BaseStudent, questions: Sequence[Question], settings: AttributionSettings) -> list[Attribution]:
    asked = _Asked(model, questions)
    words, value = asked.words(), _Last(asked.value)
    gradient = Saliency(value).attribute(asked.embeddings().requires_grad_(), abs=False)
    norm = torch.linalg.vector_norm(_exact(gradient), 1 if settings.norm == "l1" else 2, -1)
    return asked.made(norm, words, settings, value.last)


def _input_x_gradient(
    model: BaseStudent, questions: Sequence[Question], settings: AttributionSettings
) -> list[Attribution]:
    asked = _Asked(model, questions)
    words, value = asked.words(), _Last(asked.value)
    product = InputXGradient(value).attribute(asked.embeddings().requires_grad_())
    return asked.made(_exact(product).sum(-1), words, settings, value.last)


def _integrate(model: BaseStudent, questions: Sequence[Question], settings: AttributionSettings) -> list[Attribution]:
    asked = _Asked(model, questions)
    words, embeddings = asked.words(), asked.embeddings()
    inside = words >= 0
    baseline = embeddings.masked_fill(inside[..., None], 0.0)
    rows = torch.arange(len(embeddings), device=embeddings.device)
    parts = _exact(
        IntegratedGradients(asked.value).attribute(
            embeddings,
            baseline,
            additional_forward_args=(rows,),
            n_steps=settings.steps,
            internal_batch_size=max(_ROWS, len(rows)),
        )
    ).sum(-1)
    with torch.inference_mode():
        value = asked.value(embeddings)
        moved = (value - asked.value(baseline)).double()
    total = torch.zeros_like(moved).index_add(0, model.owner(asked.batch)[inside], parts[inside].double())
    errors = ((total - moved).abs() / moved.abs().clamp(min=1e-6)).tolist()
    return asked.made(
        parts, words, settings, value, [{"completeness_error": float(f"{error:.3g}")} for error in errors]
    )


def _occlude(model: BaseStudent, questions: Sequence[Question], settings: AttributionSettings) -> list[Attribution]:
    asked = []
    for question in questions:
        asked += [question, *(replace(question, prompt=_cut(question.prompt, word)) for word in question.words)]
    values = iter(
        [
            value
            for start in range(0, len(asked), _ROWS)
            for value in log_probability(model, asked[start : start + _ROWS])
        ]
    )
    found = []
    for question in questions:
        whole = next(values)
        found.append(Attribution(tuple(whole - next(values) for _ in question.words), whole))
    return found


def _cut(prompt: str, word: Word) -> str:
    """The prompt without a word and the blank before it."""
    return prompt[: word.start].removesuffix(" ") + prompt[word.end :]


def _attend(model: BaseStudent, questions: Sequence[Question], settings: AttributionSettings) -> list[Attribution]:
    asked = _Asked(model, questions)
    words, batch = asked.words(), asked.batch
    said = torch.bincount(batch["pair"][batch["saying"]], minlength=len(questions))
    share = batch["saying"] / said[batch["pair"]]  # [rows, tokens that say]
    found = torch.zeros(batch["input_ids"].shape, dtype=torch.double, device=share.device)
    with torch.inference_mode():
        value = asked.value()
        with _eager(model.model):
            for start in range(0, len(found), _ROWS):
                rows = slice(start, start + _ROWS)
                layers = model.attentions(asked.rows(rows))
                for layer in layers:
                    found[rows] += torch.einsum("rs,rst->rt", share[rows].double(), layer.double().mean(1)) / len(
                        layers
                    )
    return asked.made(found, words, settings, value)


_METHODS: dict[Kind, Callable[[BaseStudent, Sequence[Question], AttributionSettings], list[Attribution]]] = {
    "gradient": _gradient,
    "input_x_gradient": _input_x_gradient,
    "integrated_gradients": _integrate,
    "occlusion": _occlude,
    "attention": _attend,
}


def _spread(values: Sequence[Sequence[int]], owner: Tensor, rest: int) -> Tensor:
    """[rows, tokens]: the values of each pair on its tokens, in their order, then `rest`; `owner` is -1 where nobody's token stands."""
    counts = torch.bincount(owner[owner >= 0], minlength=len(values)).tolist()
    laid = [
        value for some, count in zip(values, counts, strict=True) for value in (*some, *[rest] * (count - len(some)))
    ]
    order = owner.flatten().argsort(stable=True)[owner.numel() - len(laid) :]
    found = torch.full((owner.numel(),), rest, device=owner.device)
    found[order] = torch.tensor(laid, dtype=found.dtype, device=owner.device)
    return found.view(owner.shape)


def _exact(numbers: Tensor) -> Tensor:
    """In float32 where the model computes in less."""
    return numbers.to(torch.promote_types(numbers.dtype, torch.float32))


class _Last:
    """A function that remembers what it gave last: captum keeps the gradient alone."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function = function

    def __call__(self, embeddings: Tensor) -> Tensor:
        found = self.function(embeddings)
        self.last = found.detach()
        return found


@contextmanager
def _still(model: BaseStudent) -> Iterator[None]:
    """No dropout, and weights without gradients, which are half of the backward pass. Afterwards as before."""
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    training = [module for module in model.modules() if module.training]
    model.eval().requires_grad_(False)
    try:
        yield
    finally:
        for weight in learning:
            weight.requires_grad_(True)
        for module in training:
            module.training = True


@contextmanager
def _eager(model: Any) -> Iterator[None]:
    """Attention written out in Python: the other ways keep no weights."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)
