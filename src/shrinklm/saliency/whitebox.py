"""A teacher with gradients: it marks the words that moved its answer (arXiv 2409.12586), and writes no text."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from ..core.marking import mark, words
from ..core.types import Completion, Example, Prompt, Sampling
from ..methods.view import View, answer_pair
from ..students.likeliest import likeliest_options
from ..teachers.base import DOES_NOT_FIT, BaseTeacher
from ..teachers.refusals import NO_ANSWER
from .completeness import warn_of_missed

if TYPE_CHECKING:
    from ..students.base import BaseStudent
    from .attribution import AttributionSettings, Question

NO_WORDS = "no content word"
_FREE_TOKENS = 16
"""Cap of a free answer of the model's own, in tokens."""


@dataclass(eq=False)
class WhiteBox(BaseTeacher):
    """A teacher that marks words."""

    open: Callable[[], BaseStudent]
    """Loads the model, at the first question."""
    name: str
    """The model's name, without host or folder."""
    revision: str
    """Identifies its weights."""
    view: View
    """The view in which it answers: the one it was trained in, or its own terms."""
    settings: AttributionSettings
    """The settings of the attribution."""
    label: Literal["gold", "own"]
    """Which answer is attributed: the gold one, or the model's own (`own_answers`)."""
    batch: int
    """Questions in one pass."""
    tokenizer_revision: str = ""
    """Identifies its tokenizer; "" where `revision` covers it."""

    def __post_init__(self) -> None:
        self.asks = self._asks()

    def _asks(self) -> Mapping[str, Any]:
        """The settings that distinguish two markings of a question: part of the prompt, and so of its key."""
        settings = self.settings
        details: dict[str, Any] = {
            "method": settings.method,
            "label": self.label,
            "pieces": settings.pieces,
            "tag": self.view.last_line,
        }
        # A setting that the method does not read must not make a new key: the same marking would be computed again.
        if settings.method == "gradient":
            details["norm"] = settings.norm
        if settings.method == "integrated_gradients":
            details |= {"steps": settings.steps, "most_steps": settings.most_steps}
        return details

    @cached_property
    def model(self) -> BaseStudent:
        """The loaded model."""
        return self.open()

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        """Markings as JSON, in batches of questions of like length; one that does not fit is refused, never cut."""
        fitting: dict[int, int] = {}
        for index, prompt in enumerate(prompts):
            refusal, tokens = self._refusal(prompt.example)
            if refusal is None:
                fitting[index] = tokens
            else:
                yield index, Completion("", tokens, refusal=refusal)
        # The longest first: if memory runs out, it does so at once.
        order = sorted(fitting, key=lambda index: -fitting[index])
        figures: list[Mapping[str, float]] = []
        for start in range(0, len(order), self.batch):
            batch = order[start : start + self.batch]
            began = time.perf_counter()
            marked = self._mark([prompts[index] for index in batch])
            seconds = (time.perf_counter() - began) / len(batch)
            figures += [each for _, _, each in marked]
            for index, (text, refusal, _) in zip(batch, marked, strict=True):
                yield index, Completion(text, fitting[index], refusal=refusal, seconds=seconds)
        warn_of_missed(figures)

    def question(self, example: Example, answer: str) -> Question:
        """The question whose answer is attributed."""
        from .attribution import Question

        return Question(self.view.prompt(example), self.view.named(example, answer), words(example), self.view.lead)

    def _refusal(self, example: Example) -> tuple[str | None, int]:
        """(why the question cannot be attributed, its tokens)."""
        if not any(word.content for word in words(example)):
            return NO_WORDS, 0
        # The longest option decides, also where the gold one fits: the model's own answer compares them all.
        answers = self.view.options(example).values() or (example.answer,)
        pairs = [answer_pair(self.view.prompt(example), self.view.lead, answer) for answer in answers]
        tokens = max(self.model.length(pair) for pair in pairs)
        if tokens > self.model.max_length:
            return f"{DOES_NOT_FIT}: {tokens} tokens, limit {self.model.max_length}", tokens
        return None, tokens

    def _mark(self, prompts: Sequence[Prompt]) -> list[tuple[str, str | None, Mapping[str, float]]]:
        """(marking as JSON, refusal, figures of the attribution) of a batch."""
        from .attribution import attribute

        labels = self._labels([prompt.example for prompt in prompts])
        questions = [
            self.question(prompt.example, label) for prompt, label in zip(prompts, labels, strict=True) if label
        ]
        # A question without a label is not among them: results are taken from here only for those with one.
        attributions = iter(attribute(self.model, questions, self.settings))
        results: list[tuple[str, str | None, Mapping[str, float]]] = []
        for prompt, label in zip(prompts, labels, strict=True):
            if not label:
                results.append(("", NO_ANSWER, {}))
                continue
            attribution = next(attributions)
            try:
                text = mark(prompt.example, attribution.scores, label, attribution.figures).dump()
            except ValueError as error:  # a score that is not finite
                results.append(("", str(error), {}))
            else:
                results.append((text, None, attribution.figures))
        return results

    def _labels(self, examples: Sequence[Example]) -> list[str | None]:
        """The answer that is attributed for each question; None where the model gives none of its own."""
        if self.label == "gold":
            return [example.answer for example in examples]
        return own_answers(self.model, self.view, examples, self.batch)


def own_answers(model: BaseStudent, view: View, examples: Sequence[Example], batch: int) -> list[str | None]:
    """A model's own answers: the option with the highest F = Σ log p; for free answers, the generated text."""
    # The sum, not the mean per character: the figure that is attributed is the one that must know the task.
    answers = likeliest_options(model, view, examples, [""] * len(examples), batch, per_character=False)
    free = [index for index, example in enumerate(examples) if not example.choices]
    texts = model.answer([view.prompt(examples[index]) for index in free], _FREE_TOKENS, batch) if free else []
    for index, text in zip(free, texts, strict=True):
        answers[index] = text.removeprefix(view.lead).strip(" .\n") or None
    return answers
