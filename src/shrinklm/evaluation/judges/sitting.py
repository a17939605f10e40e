"""Judges' ratings as scores, as a table (`judged.csv`) and as figures about the judges (`judge.json`)."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...core.spreadsheet import harmless
from ...core.types import Score
from ...stats.correlation import spearman
from ...teachers.base import BaseTeacher
from ...teachers.usage import Usage
from .pairs import PairVerdict, PairVerdicts
from .rating import SCALE, Construct, Rated, Ratings

PREFERRED = "preferred"
"""The metric of pairwise judging: the share of opponents that an explanation is preferred to, ties counting half."""

Item = tuple[str, str]
"""(cell, question): one explanation."""


@dataclass(frozen=True)
class JudgedCell:
    """The cell of a run, as far as judging concerns it."""

    name: str
    method: str
    student: str
    seed: int


@dataclass(frozen=True)
class Sitting:
    """One judge's ratings and verdicts."""

    judge: BaseTeacher
    role: str | None
    """The judge's part in writing the explanations ("the teacher of this run"); None when it had none."""
    constructs: tuple[Construct, ...]
    """The qualities that it rated."""
    items: Mapping[Item, Rated]
    """The explanations, in the order of the ratings."""
    ratings: Ratings | None
    pairs: tuple[tuple[Item, Item], ...]
    verdicts: PairVerdicts | None

    @property
    def ratings_by_item(self) -> dict[Item, dict[str, int]]:
        """For each item construct → score, where it could be read."""
        return dict(zip(self.items, self.ratings.scores, strict=True)) if self.ratings else {}

    @property
    def verdicts_by_pair(self) -> list[tuple[Item, Item, PairVerdict]]:
        """(first item, second item, verdict) of each pair."""
        verdicts = self.verdicts.verdicts if self.verdicts else ()
        return [(first, second, verdict) for (first, second), verdict in zip(self.pairs, verdicts, strict=False)]

    def scores(self) -> list[Score]:
        """Its ratings, and the share of pairs in which each item was preferred, under the judge's name."""
        scores = [
            Score(*item, construct, float(value), self.judge.name)
            for item, ratings in self.ratings_by_item.items()
            for construct, value in ratings.items()
        ]
        points: dict[Item, list[float]] = {}
        for first, second, verdict in self.verdicts_by_pair:
            if verdict.points is not None:
                points.setdefault(first, []).append(verdict.points)
                points.setdefault(second, []).append(1 - verdict.points)
        preferred = [
            Score(*item, PREFERRED, float(np.mean(values)), self.judge.name) for item, values in points.items()
        ]
        return scores + preferred


def ratings_csv(sittings: Sequence[Sitting], cells: Sequence[JudgedCell]) -> str:
    """The ratings as CSV, a row for each judge and explanation, in the form of a study's table (`shrinklm study`)."""
    several_students = len({cell.student for cell in cells}) > 1
    by_name = {cell.name: cell for cell in cells}
    titles = [construct.title for construct in sittings[0].constructs]
    out = io.StringIO()
    # "model" is the condition that `shrinklm study` compares: with several students, method and student together.
    columns = ["rater", "model", "student", "seed", "item", *titles, "rationale_length"]
    writer = csv.DictWriter(out, columns, lineterminator="\n", restval="")
    writer.writeheader()
    for sitting in sittings:
        for (name, example_id), ratings in sitting.ratings_by_item.items():
            if not ratings:  # a row without any rating is no answer
                continue
            cell, length = by_name[name], len(sitting.items[name, example_id].explanation.strip())
            row: dict[str, Any] = {
                "rater": sitting.judge.name,
                "model": f"{cell.method} on {cell.student}" if several_students else cell.method,
                "student": cell.student,
                "seed": cell.seed,
                "item": example_id,
            }
            rated = {item.title: ratings[item.name] for item in sitting.constructs if item.name in ratings}
            row |= {**rated, "rationale_length": length}
            writer.writerow({column: harmless(value) for column, value in row.items()})
    return out.getvalue()


def summary(sittings: Sequence[Sitting], cells: Sequence[JudgedCell]) -> dict[str, Any]:
    """Figures for JSON: means by method, unread answers, bias by length and position, agreement of the judges."""
    methods = {cell.name: cell.method for cell in cells}
    first = sittings[0]  # all judges rate the same explanations for the same constructs
    return {
        "constructs": [construct.name for construct in first.constructs],
        "explanations": len(first.items),
        "questions": len({example_id for _, example_id in first.items}),
        "empty": sum(not rated.explanation.strip() for rated in first.items.values()),
        "judges": {sitting.judge.name: _of_judge(sitting, methods) for sitting in sittings},
        "agreement": {construct.name: _agreement(sittings, construct.name) for construct in first.constructs},
    }


def _of_judge(sitting: Sitting, methods: Mapping[str, str]) -> dict[str, Any]:
    # Either part may be missing: a recipe can rate without comparing and compare without rating.
    figures: dict[str, Any] = {"revision": sitting.judge.revision, "wrote": sitting.role}
    if sitting.ratings is not None:
        names = [construct.name for construct in sitting.constructs]
        means = {method: _means(sitting, method, methods, names) for method in dict.fromkeys(methods.values())}
        figures |= {
            "asked": _usage(sitting.ratings.usage),
            "unread": sitting.ratings.unread,
            # A method that explains nothing was not judged.
            "means": {method: values for method, values in means.items() if values},
            "length": {name: _length_correlation(sitting, name) for name in names},
        }
    if sitting.verdicts is not None:
        verdicts = sitting.verdicts
        figures["pairwise"] = {
            "asked": _usage(verdicts.usage),
            "pairs": len(verdicts.verdicts),
            "unread": verdicts.unread,
            "first_position": verdicts.first_position,
            "consistent": verdicts.consistent,
            "longer": _longer(sitting),
            "wins": _wins(sitting, methods),
        }
    return figures


def _usage(usage: Usage) -> dict[str, Any]:
    """The cost of a judge's replies, under the keys of `judge.json`."""
    return {
        "found": usage.found,
        "asked": usage.asked,
        "refused": usage.refused.total(),
        "tokens_in": usage.tokens_in,
        "tokens_out": usage.tokens_out,
        "seconds": usage.seconds,
        "cost": usage.cost,
    }


def _means(sitting: Sitting, method: str, methods: Mapping[str, str], constructs: Sequence[str]) -> dict[str, float]:
    """Construct → mean rating of a method's items, over the questions at which every item could be read."""
    by_item = sitting.ratings_by_item
    means = {}
    for name in constructs:
        # Means stand side by side: a question whose rating could not be read of one method is left out of all.
        unread = {example_id for (_, example_id), ratings in by_item.items() if name not in ratings}
        own = [(item[1], ratings[name]) for item, ratings in by_item.items()
               if methods[item[0]] == method and name in ratings]  # fmt: skip
        column = [value for example_id, value in own if example_id not in unread] or [value for _, value in own]
        if column:
            means[name] = float(np.mean(column))
    return means


def _length_correlation(sitting: Sitting, construct: str) -> float | None:
    """Spearman's correlation of a construct's ratings with lengths in characters; None where one does not vary."""
    scores = {item: ratings[construct] for item, ratings in sitting.ratings_by_item.items() if construct in ratings}
    if len(scores) < 3:  # two ranks always correlate perfectly
        return None
    lengths = [len(sitting.items[item].explanation.strip()) for item in scores]
    ratings = list(scores.values())
    return spearman(lengths, ratings) if len(set(lengths)) > 1 and len(set(ratings)) > 1 else None


def _longer(sitting: Sitting) -> float | None:
    """Share of the pairs with a preferred explanation, and two lengths, where the longer one is preferred."""
    preferred = []
    for first, second, verdict in sitting.verdicts_by_pair:
        lengths = [len(sitting.items[item].explanation.strip()) for item in (first, second)]
        if verdict.points in (0.0, 1.0) and lengths[0] != lengths[1]:
            preferred.append((verdict.points == 1.0) == (lengths[0] > lengths[1]))
    return float(np.mean(preferred)) if preferred else None


def _wins(sitting: Sitting, methods: Mapping[str, str]) -> list[dict[str, Any]]:
    """For each two methods, the number of pairs in which each was preferred, ties, and unread verdicts."""
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for (first, _), (second, _), verdict in sitting.verdicts_by_pair:
        count = counts.setdefault((methods[first], methods[second]), {"first": 0, "second": 0, "tie": 0, "unread": 0})
        count["unread" if verdict.points is None else {1.0: "first", 0.0: "second"}.get(verdict.points, "tie")] += 1
    return [{"a": a, "b": b, **count} for (a, b), count in counts.items()]


def _agreement(sittings: Sequence[Sitting], construct: str) -> dict[str, Any]:
    """Krippendorff's α and Gwet's AC2 of the judges' ratings for a construct, or why one cannot be computed."""
    from ...stats.agreement import Agreement, gwet, krippendorff

    rated = [sitting.ratings_by_item for sitting in sittings]
    table = [[ratings.get(item, {}).get(construct, math.nan) for ratings in rated] for item in sittings[0].items]
    ratings = np.array(table, dtype=float)
    coefficients: dict[str, Callable[[], Agreement]] = {
        "alpha": lambda: krippendorff(ratings, "ordinal"),
        "ac2": lambda: gwet(ratings, scale=range(SCALE[0], SCALE[1] + 1)),
    }
    agreement: dict[str, Any] = {}
    for key, coefficient in coefficients.items():
        try:
            agreement[key] = {name: _number(value) for name, value in asdict(coefficient()).items()}
        except ValueError as error:  # such as for a single judge: the report says why there is no figure
            agreement[key] = {"value": None, "why": str(error)}
    return agreement


def _number(value: Any) -> Any:
    """JSON has no NaN."""
    return None if isinstance(value, float) and math.isnan(value) else value
