"""Student × Task → Predictions → Scores. Everything asked goes to disk chunk by chunk, so that a killed evaluation goes on where it was."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..core.errors import ShrinkError, TaskError
from ..core.files import Part
from ..core.registry import find
from ..core.results import read_predictions, read_scores, write_predictions, write_scores
from ..core.types import Example, Prediction, Score, Task, Tick, by_id, digest
from ..methods.view import Method, View
from ..models.encoder import Encoder
from ..students.likeliest import Asked, choice_pairs, likeliest_options, reason
from ..tasks.base import split_answer

__all__ = [
    "Asked", "EvaluateSettings", "Timing", "choice_pairs", "likeliest_options", "predict", "read_answer", "read_predictions", "read_scores",
    "reason", "score", "write_predictions", "write_scores",
]  # fmt: skip

_ANSWER_TOKENS = 12
"""What an answer's sentence needs beyond its option: "The answer is" and its end."""
_LATENCY_QUESTIONS = 10


@dataclass(frozen=True)
class EvaluateSettings:
    """How a student is asked."""

    max_tokens: int = 96
    """Cap of an explanation, in tokens."""
    batch: int = 32
    explanations: int | None = None
    """Explain only the first so many questions; None: all."""


@dataclass(frozen=True)
class Timing:
    """What asking cost. A method whose one text both answers and explains has all of it in `answer_seconds`."""

    questions: int
    answer_seconds: float
    explain_seconds: float
    tokens_out: int | None
    """None where the student cannot count its tokens."""
    tokens_per_second: float | None
    latency_ms: float
    """Median of single questions, batch 1, answer only."""
    latency_n: int


def predict(
    student: Asked,
    task: Task,
    examples: Sequence[Example],
    method: Method,
    run_name: str,
    settings: EvaluateSettings,
    part_file: Path,
    tick: Tick | None = None,
    key: str = "",
    known: tuple[Sequence[Prediction], Timing] | None = None,
) -> tuple[list[Prediction], Timing]:
    """Asks a student every question: its answer, its explanation and its likeliest option.

    Chunks are cut the same way whether or not a run was killed, and a finished one is not asked again.

    Args:
        student: who is asked.
        task: whose parser reads the answers.
        examples: the questions.
        method: says which views answer and explain.
        run_name: name of the cell.
        settings: caps and batch.
        part_file: grows by one line a chunk; begun anew when it belongs to other questions, settings or `key`. Delete it once the
            predictions are written.
        tick: told after each chunk.
        key: names the student's weights.
        known: what the same student said before about these questions, and what that cost: only explanations that it lacks are asked for.

    Raises:
        TaskError: there is no question.
        StoreError: `part_file` cannot be written.
    """
    if not examples:
        raise TaskError(f"Task '{task.name}' has no questions to ask. Check `test` and `limit` in the recipe.")
    limit = len(examples) if settings.explanations is None else settings.explanations
    sitting = _Sitting(
        student, task, method, run_name, settings, _answer_tokens(student, examples, method.answer, settings)
    )
    size = 2 * settings.batch
    prompts = [
        [view.prompt(example) for example in examples] for view in (method.answer, method.explain) if view is not None
    ]
    part = Part(part_file, digest(key, run_name, asdict(settings), [example.id for example in examples], prompts))
    done = 0
    for start in range(0, len(examples), size):
        chunk = examples[start : start + size]
        if start // size >= len(part.chunks):
            part.add(
                sitting.ask(chunk, max(0, min(limit - start, len(chunk))), known and known[0][start : start + size])
            )
        done += len(chunk)
        if tick is not None:
            tick(f"evaluate {run_name}", done, len(examples), "")
    predictions = [Prediction(**row) for chunk_row in part.chunks for row in chunk_row["predictions"]]
    if known is not None:
        return predictions, _more(known[1], part.chunks)
    return predictions, _timing(part.chunks, sitting.latency(examples[:_LATENCY_QUESTIONS]))


@dataclass(frozen=True)
class _Sitting:
    """One student asked one method's way."""

    student: Asked
    task: Task
    method: Method
    run_name: str
    settings: EvaluateSettings
    answer_tokens: int

    def ask(
        self, chunk: Sequence[Example], explained: int, known: Sequence[Prediction] | None = None
    ) -> dict[str, Any]:
        """The predictions of a chunk and what they cost, as JSON; only its first `explained` questions are explained.

        Of what is `known` the answers stand. A chunk whose explanations are not all known is explained whole: what stands beside a
        question in its batch is then the same whether or not it was asked in one go.
        """
        view, explain = self.method.answer, self.method.explain
        if known and all(before.explanation is not None for before in known[: explained if explain else 0]):
            return {
                "predictions": [asdict(before) for before in known],
                "answer_seconds": 0.0,
                "explain_seconds": 0.0,
                "tokens_out": 0,
            }
        raws, answer_seconds = (
            ([before.raw for before in known], 0.0) if known else self._say(view, chunk, self.answer_tokens)
        )
        said, explain_seconds = raws, 0.0
        if explain is not None and explain != view:
            said, explain_seconds = self._say(explain, chunk[:explained], self.settings.max_tokens)
        if known:
            likeliest = [before.likeliest for before in known]
        else:
            likeliest = likeliest_options(self.student, view, chunk, raws, self.settings.batch)
        words = (
            []
            if explain is None
            else [reason(explain, text, item) for text, item in zip(said[:explained], chunk, strict=False)]
        )
        rows = [
            Prediction(self.run_name, example.id, read_answer(self.task, view, raw, example), text, raw, option)
            for example, raw, option, text in zip(
                chunk, raws, likeliest, [*words, *[None] * (len(chunk) - len(words))], strict=True
            )
        ]
        texts = ([] if known else raws) if said is raws else [*([] if known else raws), *said]
        return {
            "predictions": [asdict(row) for row in rows],
            "answer_seconds": answer_seconds,
            "explain_seconds": explain_seconds,
            "tokens_out": None if (count := _counter(self.student)) is None else sum(map(count, texts)),
        }

    def latency(self, examples: Sequence[Example]) -> list[float]:
        """Seconds that each question takes when asked alone."""
        return [self._say(self.method.answer, [example], self.answer_tokens, batch=1)[1] for example in examples]

    def _say(
        self, view: View, chunk: Sequence[Example], tokens: int, batch: int | None = None
    ) -> tuple[list[str], float]:
        started = time.perf_counter()
        prompts = [view.prompt(example) for example in chunk]
        raws = self.student.answer(prompts, tokens, batch=batch or self.settings.batch) if prompts else []
        return raws, time.perf_counter() - started


def read_answer(task: Task, view: View, raw: str, example: Example) -> str | None:
    """The answer in what a student said to `view`'s prompt, by the task's parser.

    A view that answers first is read at its first line, and before its explanation if it has one, so that neither a later
    "the answer is" nor a model that rambles on changes the answer; only when that states nothing is all of it read.
    """
    places = [raw]
    if view.says[0] == "answer":
        places.insert(0, raw.strip().partition("\n")[0])
    if view.says == ("answer", "explanation"):
        head = places[0]
        while before := split_answer(head)[0].strip():
            head = before
        places.insert(0, split_answer(head)[1].partition(". ")[0])
    return next((answer for place in places if (answer := task.parse(place, example)) is not None), None)


def score(
    task: Task, examples: Iterable[Example], predictions: Iterable[Prediction], metric_names: Iterable[str],
    encoder: Callable[[], Encoder] | None = None,
) -> list[Score]:  # fmt: skip
    """All scores of predictions; what a metric does not score (None, NaN) has no row.

    Args:
        task: whose questions these are.
        examples: the questions.
        predictions: what was said about them, of one run or several.
        metric_names: what is measured.
        encoder: opens the model of the metrics that compare meanings, called only where one is asked for; left out: the packaged one.

    Raises ShrinkError when a question has no prediction or a prediction no question, UnknownName for a metric.
    """
    metrics: dict[str, Any] = {name: find("metrics", name) for name in metric_names}
    questions, said = by_id(examples), list(predictions)
    for run in dict.fromkeys(prediction.run for prediction in said) or [""]:
        _complete(task, questions, [prediction.example_id for prediction in said if prediction.run == run], run)
    rows = [(questions[prediction.example_id], prediction) for prediction in said]
    batched = _batched(metrics, rows, encoder)
    scores = []
    for place, (example, prediction) in enumerate(rows):
        for name, metric in metrics.items():
            value = batched[name][place] if name in batched else metric(example, prediction)
            named = value.items() if isinstance(value, Mapping) else [(name, value)]
            found = ((key, number) for key, number in named if number is not None and not math.isnan(number))
            scores += [Score(prediction.run, prediction.example_id, key, float(number)) for key, number in found]
    return scores


def _batched(
    metrics: Mapping[str, Any], rows: Sequence[tuple[Example, Prediction]], encoder: Callable[[], Encoder] | None
) -> dict[str, list[Mapping[str, float] | None]]:
    """What the metrics that are asked about all rows at once say (`many`); one encoder, opened once, serves them all."""
    asked = {name: metric for name, metric in metrics.items() if hasattr(metric, "many")}
    opened = (encoder or Encoder)() if asked else None
    return {name: metric.many(rows, opened) for name, metric in asked.items()}


def _complete(task: Task, questions: Mapping[str, Example], answered: Sequence[str], run: str) -> None:
    missing, strange = questions.keys() - set(answered), set(answered) - questions.keys()
    if missing or strange or len(answered) != len(questions):
        raise ShrinkError(
            f"Run '{run}' has {len(answered):,} predictions for the {len(questions):,} questions of task '{task.name}': "
            f"{len(missing):,} have none, {len(strange):,} are about other questions. "
            "Remove the cell's predictions.parquet and run: shrinklm evaluate RECIPE"
        )


def _answer_tokens(student: Asked, examples: Sequence[Example], view: View, settings: EvaluateSettings) -> int:
    """Cap of what the answering view says: a sentence with the longest option, after or before its explanation if it has one."""
    options = list(dict.fromkeys(choice for example in examples for choice in example.choices))
    if not options:
        return settings.max_tokens + (_ANSWER_TOKENS if "explanation" in view.says else 0)
    count = _counter(student)
    # Where tokens cannot be counted, one is taken for a character: no option is cut by a guess.
    longest = max(map(count or len, options))
    return longest + _ANSWER_TOKENS + (settings.max_tokens if "explanation" in view.says else 0)


def _counter(student: Asked) -> Callable[[str], int] | None:
    tokens = getattr(student, "target_ids", None)
    return None if tokens is None else lambda text: len(tokens(text, end=False))


def _more(before: Timing, chunks: Sequence[Mapping[str, Any]]) -> Timing:
    """What asking cost with the explanations that were asked for later."""
    explaining = before.explain_seconds + sum(chunk["explain_seconds"] for chunk in chunks)
    counts = [before.tokens_out, *(chunk["tokens_out"] for chunk in chunks)]
    tokens = None if None in counts else sum(counts)
    speed = None if tokens is None else tokens / max(before.answer_seconds + explaining, 1e-9)
    return replace(before, explain_seconds=explaining, tokens_out=tokens, tokens_per_second=speed)


def _timing(chunks: Sequence[Mapping[str, Any]], alone: Sequence[float]) -> Timing:
    answering, explaining = (sum(chunk[name] for chunk in chunks) for name in ("answer_seconds", "explain_seconds"))
    counts = [chunk["tokens_out"] for chunk in chunks]
    tokens = None if None in counts else sum(counts)
    questions = sum(len(chunk["predictions"]) for chunk in chunks)
    speed = None if tokens is None else tokens / max(answering + explaining, 1e-9)
    return Timing(questions, answering, explaining, tokens, speed, 1000 * statistics.median(alone), len(alone))
