"""The words of a question that moved an answer, where the student's gradients are at hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ...core.marking import mark, words
from ...core.types import Example
from ...methods.view import answer_pair
from ...students.likeliest import reason

if TYPE_CHECKING:
    from ...students.base import BaseStudent
    from ..student import Answer, TrainedStudent

_ROWS = 8
"""Questions in one pass: gradients take several times the memory of an answer."""


class Words(NamedTuple):
    """How much each word of a question moved an answer."""

    text: str
    """The question as the student reads it."""
    answer: str
    """The answer that was moved: the one given, else the likeliest option."""
    words: tuple[tuple[int, int, float], ...]
    """(start, end, share) of each word of the data in `text`; the shares sum to 1."""

    def to_json(self) -> dict[str, Any]:
        """As a reply shows it."""
        marked = [
            {"word": self.text[start:end], "start": start, "end": end, "share": share}
            for start, end, share in self.words
        ]
        return {"text": self.text, "answer": self.answer, "marked": marked}


def has_gradients(student: TrainedStudent) -> bool:
    """Whether the student's gradients are at hand: one of somebody's own may only answer."""
    from ...students.base import BaseStudent

    return isinstance(student.student, BaseStudent)


def words_of(student: TrainedStudent, examples: Sequence[Example], answers: Sequence[Answer]) -> list[Words | None]:
    """The words that moved each answer, by the norm of the gradient (arXiv 2409.12586).

    None where there is no answer, no word, no room for the answer, or no finite gradient.
    """
    from ...saliency.attribution import AttributionSettings, Question, attribute

    model: BaseStudent = student.student  # type: ignore[assignment]
    view = student.answering.answer
    asked: dict[int, Question] = {}
    labels: dict[int, str] = {}
    for index, (example, answer) in enumerate(zip(examples, answers, strict=True)):
        label = answer.answer or max(answer.probabilities, key=answer.probabilities.__getitem__, default="")
        explanation = [reason(view, answer.raw, example)] if view.says[0] == "explanation" else []
        lead = " ".join(part for part in (*explanation, view.lead) if part)
        question = Question(view.prompt(example), view.named(example, label), words(example), lead)
        labels[index] = label
        if label and question.words and _fits(model, question):
            asked[index] = question
    settings = AttributionSettings("gradient", "l2", "max", 1)
    found: list[Words | None] = [None] * len(examples)
    order = list(asked)
    for start in range(0, len(order), _ROWS):
        rows = order[start : start + _ROWS]
        for index, attribution in zip(rows, attribute(model, [asked[row] for row in rows], settings), strict=True):
            try:
                marking = mark(examples[index], attribution.scores, labels[index])
            except ValueError:  # a gradient that is not finite
                continue
            spans = tuple((*span, score) for span, score in zip(marking.spans, marking.scores, strict=True))
            found[index] = Words(examples[index].text, marking.label, spans)
    return found


def _fits(model: BaseStudent, question: Any) -> bool:
    return model.length(answer_pair(question.prompt, question.lead, question.label)) <= model.max_length
