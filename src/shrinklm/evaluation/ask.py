"""Ask a student the test questions: Student × Task → Predictions, with their cost in time and tokens.

Each finished chunk of questions goes to disk at once, so that a killed evaluation resumes where it was.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import StudentError, TaskError
from ..core.files import Part
from ..core.results import with_tuples
from ..core.types import Example, Prediction, Task, Tick, digest
from ..methods.view import Method, View
from ..students.likeliest import option_likelihoods
from ..students.replies import Said, say
from ..students.room import TOO_LONG, fits, reads
from .reading import explained_by, read_reply, scored
from .timing import Timing, timing, total, with_explanations

if TYPE_CHECKING:
    from ..students.protocol import Student

_ANSWER_TOKENS = 12
"""Tokens of an answer's sentence beyond its option: "The answer is" and its end."""
_FEWEST_ALONE, _MOST_ALONE = 3, 10
"""Bounds of how many questions are asked one at a time to measure latency; between them, a tenth of all."""


@dataclass(frozen=True)
class EvaluateSettings:
    """How a student answers: caps, batch, and how many questions it explains."""

    max_tokens: int
    """Cap of an explanation, in tokens."""
    batch: int
    """Questions in one pass."""
    explanations: int | None
    """Explain only the first so many questions; None: all."""


@dataclass(frozen=True)
class Evaluation:
    """One student that answers in one method's way."""

    student: Student
    task: Task
    """Its parser reads the answers."""
    method: Method
    """Says which views answer and explain."""
    run: str
    """Name of the cell."""
    settings: EvaluateSettings

    def ask(
        self,
        chunk: Sequence[Example],
        explained: int,
        answer_tokens: int,
        known: Sequence[Prediction] | None = None,
    ) -> dict[str, Any]:
        """The predictions of a chunk and what they cost, as JSON; only its first `explained` questions are explained.

        Answers in `known` stand. A chunk with a missing explanation is explained whole: a question then has the same
        neighbours in its batch as when all was asked in one go, and so, with rounding that depends on the batch, the
        same explanation.
        """
        answer, explain = self.method.answer, self.method.explain
        if known and all(prediction.explanation is not None for prediction in known[: explained if explain else 0]):
            return _chunk(known, 0.0, 0.0, 0)
        said: list[Said] = []
        answer_seconds = 0.0
        if known:
            # A reply that both answers and explains stands in `raw`; whether it was cut is known.
            said = [Said(prediction.raw, prediction.explanation_cut, True) for prediction in known]
            predictions = list(known)
        else:
            said, predictions, answer_seconds = self.answer(chunk, answer_tokens)
            raws = [reply.raw for reply in said]
            options = option_likelihoods(self.student, answer, chunk, raws, self.settings.batch)
            predictions = [scored(*row, answer) for row in zip(predictions, options, strict=True)]
        # Only what is generated now is counted: `_with_explanations` adds it to the earlier timing.
        generated = [] if known else [reply.raw for reply in said]
        # A method that explains within its answer has its explanation in the same text.
        explain_seconds = 0.0
        if explain is not None and explain != answer:
            said, explain_seconds = self.explain(chunk[:explained])
            generated += [reply.raw for reply in said]
        if explain is not None:
            # Fewer texts than questions: those beyond the limit keep None, which means "not asked to explain".
            for index, (reply, example) in enumerate(zip(said[:explained], chunk, strict=False)):
                predictions[index] = explained_by(predictions[index], explain, reply, example)
        tokens_out = total(map(self.student.token_count, generated))
        return _chunk(predictions, answer_seconds, explain_seconds, tokens_out)

    def answer(self, chunk: Sequence[Example], answer_tokens: int) -> tuple[list[Said], list[Prediction], float]:
        """(the replies of a chunk, the answers read from them, the seconds that they took)."""
        view = self.method.answer
        said, seconds = self._say(view, chunk, answer_tokens)
        replies = zip(said, chunk, strict=True)
        return said, [read_reply(self.task, view, reply, example, self.run) for reply, example in replies], seconds

    def explain(self, chunk: Sequence[Example]) -> tuple[list[Said], float]:
        """(the replies to the view that explains, the seconds that they took); the method has such a view."""
        assert self.method.explain is not None
        return self._say(self.method.explain, chunk, self.settings.max_tokens)

    def fits(self, example: Example, answer_tokens: int) -> bool:
        """Whether the student can read the question in each view that it is asked in, with room for its reply."""
        caps = {self.method.answer: answer_tokens}
        if self.method.explain is not None and self.method.explain != self.method.answer:
            # One that writes nothing needs no room for its reply.
            caps[self.method.explain] = self.settings.max_tokens if getattr(self.student, "writes", True) else 0
        return all(fits(self.student, view.prompt(example), cap) for view, cap in caps.items())

    def latency(self, examples: Sequence[Example], answer_tokens: int) -> list[float]:
        """Seconds that each question takes when asked alone."""
        return [self._say(self.method.answer, [example], answer_tokens, batch=1)[1] for example in examples]

    def answer_tokens(self, examples: Sequence[Example]) -> int:
        """Cap of the answering view: a sentence with the longest option, and its explanation if the view has one."""
        explanation = self.settings.max_tokens if "explanation" in self.method.answer.says else 0
        view = self.method.answer
        options = list(dict.fromkeys(named for example in examples for named in view.options(example).values()))
        if not options:
            return self.settings.max_tokens + (_ANSWER_TOKENS if explanation else 0)
        # A cap in tokens of the longest option, since a student in a loop writes all of its cap for every question.
        # Where tokens cannot be counted, one is taken for a character: no option is cut by a guess.
        counts = map(self.student.token_count, options)
        longest = max(len(option) if count is None else count for option, count in zip(options, counts, strict=True))
        return longest + _ANSWER_TOKENS + explanation

    def _say(
        self, view: View, chunk: Sequence[Example], tokens: int, batch: int | None = None
    ) -> tuple[list[Said], float]:
        """(the student's reply to each prompt of a view, seconds)."""
        started = time.perf_counter()
        # Behind an explanation that was cut, an answer has the tokens that it has without one.
        cap = self.settings.max_tokens
        alone = tokens - cap if any(example.choices for example in chunk) else cap
        said = say(self.student, view, chunk, tokens, max(alone, _ANSWER_TOKENS), batch or self.settings.batch)
        return said, time.perf_counter() - started


def predict(
    evaluation: Evaluation,
    examples: Sequence[Example],
    part_file: Path,
    key: str = "",
    known: tuple[Sequence[Prediction], Timing] | None = None,
    tick: Tick | None = None,
) -> tuple[list[Prediction], Timing]:
    """Ask a student every question: its answer, its explanation and its likeliest option.

    Chunks are cut the same way whether or not a run was killed, and a finished one is not asked again.

    Args:
        evaluation: The student, and how it answers.
        examples: The questions.
        part_file: Grows by one line a chunk; begun anew when it belongs to other questions, settings or `key`. Delete
            it once the predictions are written.
        key: Names the student's weights.
        known: Earlier predictions of the same student on these questions, and their cost: only missing explanations are
            asked for.
        tick: Called after each chunk.

    Raises:
        TaskError: there is no question.
        StudentError: no question fits into what the student reads. One that does not is not asked, and counts as wrong.
        StoreError: `part_file` cannot be written.
    """
    answer_tokens, short = _short(evaluation, examples, tick)
    part = _asked(evaluation, examples, short, answer_tokens, part_file, key, "evaluate", known and known[0], tick)
    predictions = _predictions(evaluation.run, examples, part)
    if known is not None:
        return predictions, with_explanations(known[1], part.chunks)
    # Measured last and not kept in the part: a resumed evaluation measures it anew, on the machine that it runs on.
    count = min(max(len(short) // 10, _FEWEST_ALONE), _MOST_ALONE)
    alone = evaluation.latency([examples[index] for index in short[:count]], answer_tokens)
    return predictions, timing(part.chunks, alone)


def scored_answers(
    evaluation: Evaluation, examples: Sequence[Example], part_file: Path, key: str = "", tick: Tick | None = None
) -> list[Prediction]:
    """The answers that `predict` reads and the likelihoods of their options; no time is measured.

    The arguments are those of `predict`. Where no question fits into what the student reads, none is asked.
    """
    answer_tokens = evaluation.answer_tokens(examples)
    short = [index for index, example in enumerate(examples) if evaluation.fits(example, answer_tokens)]
    part = _asked(evaluation, examples, short, answer_tokens, part_file, key, "calibrate", None, tick)
    return _predictions(evaluation.run, examples, part)


def score_options(evaluation: Evaluation, pairs: Sequence[tuple[Example, Prediction]]) -> list[Prediction]:
    """Predictions that were made without the likelihoods of their options, with them: of the texts that stand there."""
    examples, raws = [example for example, _ in pairs], [prediction.raw for _, prediction in pairs]
    view = evaluation.method.answer
    options = option_likelihoods(evaluation.student, view, examples, raws, evaluation.settings.batch)
    return [scored(prediction, values, view) for (_, prediction), values in zip(pairs, options, strict=True)]


def _asked(
    evaluation: Evaluation,
    examples: Sequence[Example],
    short: Sequence[int],
    answer_tokens: int,
    part_file: Path,
    key: str,
    title: str,
    known: Sequence[Prediction] | None,
    tick: Tick | None,
) -> Part:
    """The chunks of the questions at the indices `short`, asked unless they are there."""
    method, run, settings = evaluation.method, evaluation.run, evaluation.settings
    # Counted over all questions, not in each chunk: the first questions are explained, whatever the batch.
    limit = sum(settings.explanations is None or index < settings.explanations for index in short)
    examples = [examples[index] for index in short]
    if known is not None:
        known = [known[index] for index in short]
    prompts = [[view.prompt(example) for example in examples] for view in (method.answer, method.explain) if view]
    # The prompts are in the digest: a question or template that was edited makes finished chunks worthless.
    part = Part(part_file, digest(key, run, asdict(settings), [example.id for example in examples], prompts))
    size = _chunk_size(settings)
    for start in range(0, len(examples), size):
        chunk = examples[start : start + size]
        if start // size >= len(part.chunks):
            explained = max(0, min(limit - start, len(chunk)))
            part.add(evaluation.ask(chunk, explained, answer_tokens, known and known[start : start + size]))
        if tick is not None:
            tick(f"{title} {run}", start + len(chunk), len(examples), "")
    return part


def _predictions(run: str, examples: Sequence[Example], part: Part) -> list[Prediction]:
    """The predictions in a part, in the order of the questions; one that is not there was too long to be asked."""
    asked = {
        row["example_id"]: Prediction(**with_tuples(row))
        for chunk_row in part.chunks
        for row in chunk_row["predictions"]
    }
    return [asked.get(each.id) or _too_long(run, each) for each in examples]


def answers(evaluation: Evaluation, examples: Sequence[Example]) -> list[Prediction]:
    """The answers that `predict` reads, and nothing else: no explanation, no likelihood and no time is measured.

    Raises as `predict` does.
    """
    answer_tokens, short = _short(evaluation, examples)
    size = _chunk_size(evaluation.settings)
    asked: dict[int, Prediction] = {}
    for start in range(0, len(short), size):
        chunk = short[start : start + size]
        predictions = evaluation.answer([examples[index] for index in chunk], answer_tokens)[1]
        asked |= zip(chunk, predictions, strict=True)
    return [asked.get(index) or _too_long(evaluation.run, example) for index, example in enumerate(examples)]


def _short(evaluation: Evaluation, examples: Sequence[Example], tick: Tick | None = None) -> tuple[int, list[int]]:
    """(the cap of an answer, the indices of the questions that the student can read).

    Raises TaskError when there is no question, and StudentError when none is short enough.
    """
    if not examples:
        name = evaluation.task.name
        raise TaskError(f"Task '{name}' has no questions to ask. Check `test` and `limit` in the recipe.")
    answer_tokens = evaluation.answer_tokens(examples)
    short = [index for index, example in enumerate(examples) if evaluation.fits(example, answer_tokens)]
    if len(short) < len(examples):
        tell_long(evaluation, len(examples) - len(short), len(examples), tick)
    return answer_tokens, short


def _chunk_size(settings: EvaluateSettings) -> int:
    """Two batches: a student sorts its prompts by length before it cuts batches, and a kill loses little."""
    return 2 * settings.batch


def _too_long(run: str, example: Example) -> Prediction:
    return Prediction(run, example.id, None, None, "", None, TOO_LONG)


def tell_long(evaluation: Evaluation, long: int, questions: int, tick: Tick | None, split: str = "") -> None:
    """Say how many questions are not asked. Raises StudentError when it is all of them."""
    limit = f"the {reads(evaluation.student):,.0f} tokens that the student reads"
    what = f"{split} questions".strip()
    if long == questions:
        raise StudentError(
            f"{evaluation.run} can be asked none of its {questions:,} {what}: each is longer than {limit}. "
            "Take a student that reads more, or shorter questions."
        )
    if tick is not None:
        note = f"{long:,} of {questions:,} {what} are longer than {limit}; they are not asked, and count as wrong"
        tick(f"{'train' if split else 'evaluate'} {evaluation.run}", 0, 0, note)


def _chunk(
    predictions: Sequence[Prediction], answer_seconds: float, explain_seconds: float, tokens_out: int | None
) -> dict[str, Any]:
    return {
        "predictions": [asdict(prediction) for prediction in predictions],
        "answer_seconds": answer_seconds,
        "explain_seconds": explain_seconds,
        "tokens_out": tokens_out,
    }
