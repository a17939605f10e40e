"""A teacher whose insides are open: it marks the words that moved its answer (arXiv 2409.12586) instead of writing about them."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from ..core.marking import mark, words
from ..core.types import Completion, Example, Pair, Prompt, Sampling
from ..methods.view import View
from ..students.likeliest import likeliest_options
from ..teachers.base import DOES_NOT_FIT, BaseTeacher
from ..teachers.refusals import NO_ANSWER

if TYPE_CHECKING:
    from ..students.base import BaseStudent
    from .attribution import AttributionSettings, Question

NO_WORDS = "no content word"
_FREE_TOKENS = 16
COMPLETENESS = 0.05
"""Integrated gradients that miss F(x) − F(baseline) by more are warned of."""


class WhiteBox(BaseTeacher):
    """A teacher that marks words.

    Args:
        open: Loads the model, at the first question.
        name: The model's name, without host or folder.
        revision: What pins its weights.
        view: How it is asked: as it was trained, or in its own terms.
        settings: How words are attributed.
        label: Whose answer is attributed: the gold one, or the model's own (the option of the highest F; free answers: what it says).
        batch: Questions in one pass.
    """

    def __init__(
        self, open: Callable[[], BaseStudent], name: str, revision: str, view: View, settings: AttributionSettings,
        label: Literal["gold", "own"] = "gold", batch: int = 32,
    ) -> None:  # fmt: skip
        self.open, self.name, self.revision, self.view = open, name, revision, view
        self.settings, self.label, self.batch = settings, label, batch
        self.asks = self._asks()

    def _asks(self) -> Mapping[str, Any]:
        """What tells one marking of a question from another: part of its prompt, and so of its key."""
        settings = self.settings
        asked: dict[str, Any] = {
            "method": settings.method,
            "label": self.label,
            "pieces": settings.pieces,
            "tag": self.view.last_line,
        }
        if settings.method == "gradient":
            asked["norm"] = settings.norm
        if settings.method == "integrated_gradients":
            asked["steps"] = settings.steps
        return asked

    @cached_property
    def model(self) -> BaseStudent:
        """The loaded model."""
        return self.open()

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        """Markings as JSON, in batches of questions of like length; one that does not fit is refused, never cut."""
        fitting: dict[int, int] = {}
        for place, prompt in enumerate(prompts):
            refusal, tokens = self._refusal(prompt.example)
            if refusal is None:
                fitting[place] = tokens
            else:
                yield place, Completion("", tokens, refusal=refusal)
        order = sorted(fitting, key=lambda place: -fitting[place])
        missed = 0
        for start in range(0, len(order), self.batch):
            some = order[start : start + self.batch]
            began = time.perf_counter()
            marked = self._mark([prompts[place] for place in some])
            seconds = (time.perf_counter() - began) / len(some)
            for place, (text, refusal, missing) in zip(some, marked, strict=True):
                missed += missing > COMPLETENESS
                yield place, Completion(text, fitting[place], refusal=refusal, seconds=seconds)
        if missed:
            advice = "Ask for more: salient: {steps: ...}"
            warnings.warn(
                f"Integrated gradients of {missed:,} of {len(order):,} questions miss the difference that they should add up to by more "
                f"than {COMPLETENESS:.0%} with {self.settings.steps} steps. {advice}",
                stacklevel=2,
            )

    def question(self, example: Example, answer: str) -> Question:
        """What is attributed for an answer."""
        from .attribution import Question

        return Question(self.view.prompt(example), answer, words(example), self.view.lead)

    def _refusal(self, example: Example) -> tuple[str | None, int]:
        """(why the question cannot be attributed, its tokens)."""
        if not any(word.content for word in words(example)):
            return NO_WORDS, 0
        answers = example.choices or (example.answer,)
        pairs = [Pair(self.view.prompt(example), f"{self.view.lead} {answer}".strip()) for answer in answers]
        tokens = max(self.model.length(pair) for pair in pairs)
        if tokens > self.model.max_length:
            return f"{DOES_NOT_FIT}: {tokens} tokens, limit {self.model.max_length}", tokens
        return None, tokens

    def _mark(self, prompts: Sequence[Prompt]) -> list[tuple[str, str | None, float]]:
        """(marking as JSON, refusal, completeness error) of a batch."""
        from .attribution import attribute

        labels = self._labels([prompt.example for prompt in prompts])
        asked = [(prompt.example, label) for prompt, label in zip(prompts, labels, strict=True) if label]
        moved = iter(attribute(self.model, [self.question(*one) for one in asked], self.settings) if asked else [])
        found: list[tuple[str, str | None, float]] = []
        for prompt, label in zip(prompts, labels, strict=True):
            if not label:
                found.append(("", NO_ANSWER, 0.0))
                continue
            one = next(moved)
            try:
                text = mark(prompt.example, one.scores, label, one.figures).dump()
            except ValueError as error:
                found.append(("", str(error), 0.0))
            else:
                found.append((text, None, one.figures.get("completeness_error", 0.0)))
        return found

    def _labels(self, examples: Sequence[Example]) -> list[str | None]:
        """What is attributed of each question; None where the model answers nothing itself."""
        if self.label == "gold":
            return [example.answer for example in examples]
        return own_answers(self.model, self.view, examples, self.batch)


def own_answers(model: BaseStudent, view: View, examples: Sequence[Example], batch: int = 16) -> list[str | None]:
    """What a model answers itself: the option with the highest F = Σ log p, the figure that is attributed; free answers: what it says."""
    found = likeliest_options(model, view, examples, [""] * len(examples), batch, per_character=False)
    free = [place for place, example in enumerate(examples) if not example.choices]
    said = model.answer([view.prompt(examples[place]) for place in free], _FREE_TOKENS, batch) if free else []
    for place, text in zip(free, said, strict=True):
        found[place] = text.removeprefix(view.lead).strip(" .\n") or None
    return found
