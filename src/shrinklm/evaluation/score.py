"""Score predictions: Predictions × metrics → Scores.

For metrics that ask or train a student, see `probes` and `simulate`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from ..core.errors import RecipeError, ShrinkError
from ..core.types import Example, Metric, Prediction, Score, Task, by_id
from ..models.encoder import Encoder
from ..tasks.base import labels_of
from .metrics.answers import readings, unparsed
from .metrics.base import AnyMetric, BatchMetric, Rows, SetMetric, Value, metric_of
from .metrics.explanations import NAMING

REFERENCED = frozenset({"overlap", "similarity", "bertscore", "discriminator"})
"""Metrics that compare an explanation with the reference of its question."""


def left_out(examples: Iterable[Example], metric_names: Iterable[str]) -> tuple[list[str], tuple[str, ...]]:
    """(the metrics of which nothing can be scored, since the options are labels; those labels)."""
    labels = labels_of(example.choices for example in examples)
    return [name for name in metric_names if labels and NAMING.get(name) == name], labels


def score_predictions(
    task: Task,
    examples: Iterable[Example],
    predictions: Iterable[Prediction],
    metric_names: Iterable[str],
    encoder: Callable[[], Encoder] | None = None,
) -> list[Score]:
    """All scores of predictions, row by row; a value that is None or NaN has no row.

    Where the options of all questions are the same labels (yes and no, entailment), whether an explanation names them
    is not scored.

    Args:
        task: Its name stands in messages.
        examples: The questions.
        predictions: Predictions of all these questions, of one run or several.
        metric_names: The metrics.
        encoder: Opens the model of the metrics that compare meanings; called only where there is one of them. Left out:
            the packaged one.

    Raises:
        ShrinkError: a question has no prediction, or a prediction no question.
        UnknownName: there is no such metric.
        RecipeError: it is none, or gives something else than numbers.
    """
    metrics: dict[str, AnyMetric] = {name: metric_of(name) for name in metric_names}
    # Whoever counts unread answers gets their reasons too.
    metrics = {name: readings if metric is unparsed else metric for name, metric in metrics.items()}
    questions, predictions = by_id(examples), list(predictions)
    # Without any prediction there is no run, and all questions are still missing: [""] checks that too.
    for run in dict.fromkeys(prediction.run for prediction in predictions) or [""]:
        _check_complete(
            task, questions, [prediction.example_id for prediction in predictions if prediction.run == run], run
        )
    rows = [(questions[prediction.example_id], prediction) for prediction in predictions]
    values = _values(metrics, rows, encoder or Encoder)
    labels = labels_of(example.choices for example in questions.values())
    unscored = {NAMING[name] for name in metrics if name in NAMING} if labels else set()
    scores = []
    for index, (_, prediction) in enumerate(rows):
        for name in metrics:
            value = values[name][index]
            if not _is_value(value):
                raise RecipeError(
                    f"The metric '{name}' gave {value!r:.80}: expected a number, None, or names with numbers."
                )
            # A metric of several numbers names each of them; its own name is then no score.
            named = value.items() if isinstance(value, Mapping) else [(name, value)]
            scores += [
                Score(prediction.run, prediction.example_id, key, float(number))
                for key, number in named
                if number is not None and not math.isnan(number) and key not in unscored
            ]
    return scores


def _values(metrics: Mapping[str, AnyMetric], rows: Rows, encoder: Callable[[], Encoder]) -> dict[str, Sequence[Value]]:
    """Name → the value of each row."""
    # One encoder serves all metrics, since it keeps what it encoded; where none needs it, its weights are not looked
    # for.
    opened: Encoder | None = None
    values: dict[str, Sequence[Value]] = {}
    for name, metric in metrics.items():
        if isinstance(metric, BatchMetric):
            if opened is None:
                opened = encoder()
            values[name] = metric.many(rows, opened)
        elif isinstance(metric, SetMetric):
            values[name] = metric.together(rows)
        else:
            values[name] = [cast(Metric, metric)(example, prediction) for example, prediction in rows]
        if len(values[name]) != len(rows):
            raise RecipeError(f"The metric '{name}' gave {len(values[name])} values for {len(rows)} rows.")
    return values


def _is_value(value: Any) -> bool:
    several = value.values() if isinstance(value, Mapping) else [value]
    return all(number is None or hasattr(number, "__float__") for number in several)


def _check_complete(task: Task, questions: Mapping[str, Example], answered: Sequence[str], run: str) -> None:
    """Raise ShrinkError unless each question is answered exactly once."""
    missing, unknown = questions.keys() - set(answered), set(answered) - questions.keys()
    # The lengths differ where a question is answered twice.
    if missing or unknown or len(answered) != len(questions):
        raise ShrinkError(
            f"Run '{run}' has {len(answered):,} predictions for the {len(questions):,} questions of "
            f"task '{task.name}': {len(missing):,} have none, {len(unknown):,} are about other questions. "
            "Remove the cell's predictions.parquet and run: shrinklm evaluate RECIPE"
        )
