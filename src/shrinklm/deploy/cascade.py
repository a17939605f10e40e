"""A student that knows when to ask: answers below a threshold of confidence go to a teacher, or are withheld."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from ..core.types import Example, digest
from .passing import Escalations, Passed, Passing
from .questions import examples_of
from .student import Answer, By, TrainedStudent

ABSTAINED = "abstained"
"""How `Answer.why` begins where an answer is withheld."""


class Cascade(TrainedStudent):
    """A trained student whose unsure answers are passed on to a teacher; without one, they are withheld.

    Args:
        trained: The student.
        threshold: Answers with at least this confidence are kept; None: none is. One without a confidence, such as one
            that could not be read, counts as 0.
        by: What its answers are read from, since the threshold was picked on answers of this kind; None: as asked.
        passing: Asks the teacher.
        escalations: Keeps what it answered, as rows for a later training.
    """

    def __init__(
        self,
        trained: TrainedStudent,
        threshold: float | None,
        by: By | None = "text",
        passing: Passing | None = None,
        escalations: Escalations | None = None,
    ) -> None:
        super().__init__(trained.student, trained.answering, trained.folder)
        self.threshold = threshold
        self.by: By | None = by
        self.passing, self.escalations = passing, escalations

    @cached_property
    def key(self) -> str:
        """Identifies the student, the threshold and the teacher."""
        teacher = self.passing and [self.passing.teacher.name, self.passing.teacher.revision]
        return digest("cascade", super().key, self.threshold, self.by, teacher)

    def predict(self, questions: Any, explain: bool = True, by: By = "text", batch: int = 32) -> list[Answer]:
        """As `TrainedStudent.predict`, but that answers are read as the threshold needs it, whatever `by` says.

        Those of the teacher have `by` "teacher".
        """
        examples = examples_of(questions, self.answering)
        return self.answer(examples, super().predict(examples, explain, self.by or by, batch), explain)

    @property
    def alone(self) -> TrainedStudent:
        """The student, which answers everything itself."""
        return TrainedStudent(self.student, self.answering, self.folder)

    def keeps(self, answer: Answer) -> bool:
        """Whether the student's answer stands."""
        return self.threshold is not None and (answer.confidence or 0.0) >= self.threshold

    def answer(self, questions: Sequence[Example], answers: Sequence[Answer], explain: bool = True) -> list[Answer]:
        """The student's answers, those that it is not sure of replaced by the teacher's.

        Where the teacher has none (it failed, the budget is spent, nothing could be read) the student's answer stands,
        and `why` says so. Without a teacher `answer` is None there; the probabilities stay.
        """
        told = list(answers)
        unsure = [index for index, answer in enumerate(answers) if not self.keeps(answer)]
        if not unsure:
            return told
        if self.passing is None:
            for index in unsure:
                told[index] = self._withheld(told[index])
            return told
        passed = self.passing.ask([questions[index] for index in unsure])
        for index, one in zip(unsure, passed, strict=True):
            told[index] = self._replaced(told[index], one, explain)
        if self.escalations is not None:
            rows = [(questions[index], one) for index, one in zip(unsure, passed, strict=True)]
            self.escalations.add(rows, self.name, self.passing.teacher.name)
        return told

    def _withheld(self, answer: Answer) -> Answer:
        if answer.answer is None:
            return answer
        if self.threshold is None:
            why = f"{ABSTAINED}: no threshold on the confidence reached the goal on the dev questions"
        else:
            why = f"{ABSTAINED}: the confidence {answer.confidence or 0:.3f} is below {self.threshold:.3f}"
        return replace(answer, answer=None, explanation=None, confidence=None, supported=None, why=why)

    def _replaced(self, answer: Answer, passed: Passed, explain: bool) -> Answer:
        if passed.answer is None:
            return replace(answer, why=f"passed on, and not answered: {passed.why}")
        return replace(
            answer,
            answer=passed.answer,
            explanation=passed.reason if explain else None,
            # The probabilities are the student's, and say nothing of how sure the teacher is.
            confidence=None,
            supported=None,
            why=None,
            raw=passed.text,
            explanation_cut=False,
            by="teacher",
        )
