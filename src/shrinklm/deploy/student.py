"""A trained student, loaded once, that answers questions: in Python, and under the file command and the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from ..core.errors import RecipeError
from ..core.types import Example, Prediction, digest
from ..evaluation.ask import EvaluateSettings, Evaluation
from ..evaluation.confidence import likelihoods, probabilities
from ..evaluation.metrics.explanations import spell
from ..evaluation.metrics.mentions import supported
from ..evaluation.reading import by_likelihood, explained_by, scored
from ..models.locate import sha256
from ..students.likeliest import best, option_likelihoods
from ..students.replies import Said, replies
from ..students.room import TOO_LONG
from .answering import Answering
from .questions import examples_of

if TYPE_CHECKING:
    from ..students.protocol import Student

_WEIGHTS = (".safetensors", ".gguf", ".onnx", ".data")
"""Endings of the files that hold a student's weights, in whichever format."""
By = Literal["text", "likelihood"]
"""What an answer is read from: the text that the student writes, or the option that it finds likeliest."""


@dataclass(frozen=True)
class Answer:
    """A student's answer to one question."""

    cell: str
    """Who answered: method, student and seed."""
    id: str
    answer: str | None
    """None: nothing was answered, `why` says why."""
    explanation: str | None
    """None: the student gives none, or was not asked for one."""
    probabilities: Mapping[str, float]
    """Option → its probability; {} for free answers, and where the student gives no finite number."""
    confidence: float | None
    """The probability of the answer; None where there is none."""
    supported: bool | None
    """Whether the explanation argues for the answer, by the options that it names; None where that cannot be said."""
    why: str | None
    """Why there is no answer."""
    raw: str
    """The text that the answer was read from; "" where it was not read from a text."""
    explanation_cut: bool = False
    """Whether the explanation reached its cap."""
    by: str = "student"
    """"student", or "teacher" where the question was passed on."""


class TrainedStudent:
    """A trained student that answers questions.

    Args:
        student: Reads prompts and writes texts.
        answering: How it answers.
        folder: Where its weights lie.
    """

    def __init__(self, student: Student, answering: Answering, folder: Path) -> None:
        self.student = student
        self.answering = answering
        self.folder = folder
        self._task = answering.task_alone()

    @classmethod
    def open(cls, folder: str | Path) -> TrainedStudent:
        """The student in an exported folder. Raises StudentError."""
        from .formats.written import open_exported

        home = Path(folder)
        answering = Answering.read(home)
        return cls(open_exported(home), answering, home)

    @property
    def name(self) -> str:
        """Its cell: method, student and seed."""
        return self.answering.name

    @cached_property
    def key(self) -> str:
        """Identifies its weights and how it answers: equal keys give equal answers on one machine."""
        files = sorted(path for path in self.folder.iterdir() if path.suffix in _WEIGHTS)
        return digest(self.answering.to_json(), sha256(files))

    def predict(self, questions: Any, explain: bool = True, by: By = "text", batch: int = 32) -> list[Answer]:
        """Answers questions, in their order.

        Args:
            questions: Texts, mappings, Examples, a DataFrame or a Dataset: see `questions.examples_of`.
            explain: Whether to explain the answers, where the method teaches explanations.
            by: "text": the answer that the student writes. "likelihood": the option that it finds likeliest, which
                takes a fraction of the time where the method answers first.
            batch: Questions in one pass.

        Raises TaskError for a question that cannot be asked, RecipeError for another `by`.
        """
        check_by(by)
        examples = examples_of(questions, self.answering)
        evaluation, tokens = self._evaluation(batch), self.answer_tokens(examples)
        short = [example for example in examples if evaluation.fits(example, tokens)]
        predictions = iter(self._predictions(evaluation, short, tokens, explain, by))
        asked = {id(example): next(predictions) for example in short}
        return [
            self._answer(example, asked[id(example)]) if id(example) in asked else self._too_long(example)
            for example in examples
        ]

    def warm_up(self) -> None:
        """Answers a question of no meaning, so that the first real one finds everything loaded."""
        answering = self.answering
        choices = () if answering.type == "free" else answering.labels or ("yes", "no")
        question = Example("0", "Ready?", choices, "", dict.fromkeys(answering.fields, "yes"))
        TrainedStudent.predict(self, [question])  # of a cascade too: no teacher is asked

    def answer_tokens(self, examples: Sequence[Example]) -> int:
        """Cap of the answering view's reply to any of these questions.

        It is that of the evaluation, whatever the questions are, but for options that do not fit it: the company that a
        question is asked in does not change where its reply is cut.
        """
        tokens = self._evaluation(1).answer_tokens(examples) if examples else 0
        return max(tokens, self.answering.answer_tokens)

    def probabilities(self, values: Mapping[str, float]) -> dict[str, float]:
        """Option → probability, from Σ log p of each, calibrated where a temperature is known: see `confidence`."""
        return probabilities(values, self.answering.temperature, self.answering.answer.letters)

    def _evaluation(self, batch: int) -> Evaluation:
        settings = EvaluateSettings(self.answering.max_tokens, batch, None)
        return Evaluation(self.student, self._task, self.answering.as_method(), self.name, settings)

    def _predictions(
        self, evaluation: Evaluation, examples: Sequence[Example], tokens: int, explain: bool, by: By
    ) -> list[Prediction]:
        if not examples:
            return []
        view = self.answering.answer
        if by == "likelihood" and view.says[0] == "answer" and all(example.choices for example in examples):
            return self._by_likelihood(evaluation, examples, explain)
        asked = evaluation.ask(examples, len(examples) if explain else 0, tokens)
        predictions = [Prediction(**row) for row in asked["predictions"]]
        if by == "text":
            return predictions
        # The view explains before it answers: the explanation is written, and the options scored behind it.
        return list(map(by_likelihood, predictions))

    def _by_likelihood(self, evaluation: Evaluation, examples: Sequence[Example], explain: bool) -> list[Prediction]:
        view, explaining, batch = self.answering.answer, self.answering.explain, evaluation.settings.batch
        values = option_likelihoods(self.student, view, examples, [""] * len(examples), batch)
        predictions = [
            scored(Prediction(self.name, example.id, best(options, not view.letters), None, ""), options, view)
            for example, options in zip(examples, values, strict=True)
        ]
        if not explain or explaining is None:
            return predictions
        if explaining == view:
            # Its text goes on from the answer: it explains the one that was found likeliest.
            stated = zip(predictions, examples, strict=True)
            begun = [view.states(prediction.answer or "", example) for prediction, example in stated]
            prompts = [view.prompt(example) for example in examples]
            found = replies(self.student, prompts, self.answering.max_tokens, batch, begun)
            texts = [f"{start} {reply.text}" for start, reply in zip(begun, found, strict=True)]
            said = [Said(text, not reply.finished, reply.finished) for text, reply in zip(texts, found, strict=True)]
        else:
            said, _ = evaluation.explain(examples)
        return [
            explained_by(prediction, explaining, reply, example)
            for prediction, reply, example in zip(predictions, said, examples, strict=True)
        ]

    def _answer(self, example: Example, prediction: Prediction) -> Answer:
        probabilities = self.probabilities(likelihoods(prediction, example.choices))
        answer, explanation = prediction.answer, prediction.explanation
        argued = None
        if answer is not None and explanation and example.choices:
            argued = spell(supported(explanation, example) or "") == spell(answer)
        return Answer(
            cell=self.name,
            id=example.id,
            answer=answer,
            explanation=explanation,
            probabilities=probabilities,
            confidence=None if answer is None else probabilities.get(answer),
            supported=argued,
            why=_why(prediction),
            raw=prediction.raw,
            explanation_cut=prediction.explanation_cut,
        )

    def _too_long(self, example: Example) -> Answer:
        return Answer(self.name, example.id, None, None, {}, None, None, TOO_LONG, "")


def check_by(by: str) -> None:
    """Raises RecipeError for what no answer is read from."""
    if by not in get_args(By):
        raise RecipeError(f"by is '{by}': write {' or '.join(get_args(By))}.")


def _why(prediction: Prediction) -> str | None:
    if prediction.answer is not None:
        return None
    return prediction.refusal or prediction.unread or "the student gives no finite probability"
