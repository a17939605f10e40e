"""A judge's ratings compared with people's: how far off it is, whether it ranks the conditions as people do, and what
length explains.

People's and the judge's tables have the same conditions, and the same constructs as columns. Where both say which
question a rating is about, explanations are also compared one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TypeVar

import numpy as np

from ...core.errors import TableError
from ...stats.clusters import cluster_draws
from ...stats.correlation import bootstrap_pearson, concordance, partial, pearson, spearman
from .base import tried
from .judges import (
    ByCondition,
    ByItem,
    Calibration,
    ConditionMeans,
    Correlation,
    Interval,
    ItemBias,
    ItemCorrelation,
    JudgeMeasure,
    JudgeTable,
    PartialCorrelation,
    PeopleTable,
    calibration_paragraph,
)
from .ratings import Array, Ratings

Cell = TypeVar("Cell")

JUDGES = "mean of judges"


@dataclass(frozen=True)
class _Tables:
    """What is compared, and how."""

    people: Ratings
    judge: Ratings
    levels: list[str]
    """Conditions in common."""
    lengths: dict[str, float]
    """Condition, or explanation, → mean length; empty: not asked for."""
    seed: int
    resamples: int

    def draws(self, name: str) -> tuple[Array, Array, Array, Array]:
        """Return people's means [levels] and resampled means [resamples, levels] of a measure, and the judge's."""
        # Different seeds: the same draws would make people and judge vary together.
        people = _draws(self.people, self.people.raters, name, self.levels, self.seed, self.resamples)
        # People are drawn whole. A judge is one rater, so that its explanations are drawn, by question where that is
        # known.
        clusters = self.judge.items or self.judge.places
        return *people, *_draws(self.judge, clusters, name, self.levels, self.seed + 1, self.resamples)


def calibrate(
    people: Ratings, judged: Ratings, length: str | None = None, seed: int = 0, resamples: int = 5000
) -> Calibration:
    """Compute bias and correlation of a judge, by construct and for their mean; of several judges for each, and for
    their mean.

    Args:
        people: ratings of people, as `read_ratings` returns them.
        judged: ratings of one judge or several, as rater.
        length: a control of `people` or `judged` (numbers) whose influence is taken out of the correlations.
        seed: seed of the bootstrap.
        resamples: draws of the bootstrap.

    Raises:
        TableError: fewer than two conditions in common, other constructs, or no such length.
    """
    levels = [level for level in people.levels if level in judged.levels]
    if len(levels) < 2:
        raise TableError(
            f"{people.file} and {judged.file} share {len(levels)} conditions, and two or more are needed. "
            f"People: {', '.join(people.levels)}. Judge: {', '.join(judged.levels)}. "
            'Say which is which: --same "multitask=MT,finetune=FT"'
        )
    if people.constructs != judged.constructs:
        raise TableError(f"The constructs differ: {', '.join(people.constructs)}; {', '.join(judged.constructs)}.")
    lengths = _lengths(people, judged, length)
    names = list(dict.fromkeys(judged.raters))
    judges = {name: _only(judged, name) for name in names} if len(names) > 1 else {names[0]: judged}
    if len(names) > 1:
        judges[JUDGES] = judged
    calibration = Calibration(
        people=PeopleTable(people.file, people.n, len(set(people.raters))),
        judged=JudgeTable(judged.file, judged.n, names),
        conditions=levels,
        constructs=list(people.constructs),
        length=length,
        judges={
            name: {
                measure: _measure(_Tables(people, ratings, levels, lengths, seed, resamples), measure)
                for measure in people.measures
            }
            for name, ratings in judges.items()
        },
    )
    return replace(calibration, paragraph=calibration_paragraph(calibration))


def _measure(tables: _Tables, name: str) -> JudgeMeasure:
    return JudgeMeasure(
        bias=tried(lambda: _bias(tables, name)),
        by_condition=tried(lambda: _by_condition(tables, name)),
        by_item=tried(lambda: _by_item(tables, name)),
    )


def _draws(
    ratings: Ratings, clusters: Sequence[str], name: str, levels: Sequence[str], seed: int, resamples: int
) -> tuple[Array, Array]:
    """Return means [levels] and resampled means [resamples, levels].

    Raises ValueError where a condition has no rating.
    """
    points, draws, _, names = cluster_draws(ratings.measures[name], ratings.conditions, clusters, seed, resamples)
    absent = [level for level in levels if level not in names]
    if absent:
        raise ValueError(f"No rating of {name} for {', '.join(absent)}.")
    order = [names.index(level) for level in levels]
    return points[order], draws[:, order]


def _bias(tables: _Tables, name: str) -> Interval:
    people, people_draws, judge, judge_draws = tables.draws(name)
    return _interval(float((judge - people).mean()), (judge_draws - people_draws).mean(axis=1))


def _by_condition(tables: _Tables, name: str) -> ByCondition:
    people, people_draws, judge, judge_draws = tables.draws(name)
    lengths = np.array([tables.lengths.get(level, np.nan) for level in tables.levels])
    return ByCondition(
        n=len(tables.levels),
        means={
            level: ConditionMeans(people=float(a), judge=float(b), difference=float(b - a))
            for level, a, b in zip(tables.levels, people, judge, strict=True)
        },
        pearson=tried(lambda: Correlation(pearson(people, judge))),
        spearman=tried(lambda: Correlation(spearman(people, judge))),
        same_order=_interval(float(concordance(people, judge)), concordance(people_draws, judge_draws)),
        pearson_without_length=tried(lambda: _without_length(people, judge, lengths)),
        tied=sum(a == b for a, b in combinations(judge, 2)) or None,
    )


def _by_item(tables: _Tables, name: str) -> ByItem:
    """Compare the mean ratings of explanations (question and condition) that both rated, resampled by explanation."""
    people, judge = _item_means(tables.people, name), _item_means(tables.judge, name)
    shared = [key for key in people if key in judge]
    if len(shared) < 4:
        raise ValueError(
            f"{len(shared)} explanations (the same question and condition) were rated by both; four or more are needed."
        )
    a, b = np.array([people[key] for key in shared]), np.array([judge[key] for key in shared])
    lengths = np.array([tables.lengths.get(key, np.nan) for key in shared])
    vary = np.ptp(a) and np.ptp(b)
    low, high = bootstrap_pearson(a, b, tables.seed, min(tables.resamples, 2000)) if vary else (None, None)
    return ByItem(
        n=len(shared),
        bias=ItemBias(float((b - a).mean()), float((b - a).std(ddof=1))),
        pearson=tried(lambda: ItemCorrelation(pearson(a, b), low, high)),
        spearman=tried(lambda: Correlation(spearman(a, b))),
        pearson_without_length=tried(lambda: _without_length(a, b, lengths)),
    )


def _without_length(a: Array, b: Array, lengths: Array) -> PartialCorrelation:
    if np.isnan(lengths).all():
        raise ValueError("No length is named. Name its column: --length COLUMN")
    known = ~np.isnan(lengths)
    return PartialCorrelation(partial(a[known], b[known], lengths[known]), int(known.sum()) - 3)


def _interval(value: float, draws: Array) -> Interval:
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return Interval(value, float(low), float(high))


def _item_means(ratings: Ratings, name: str) -> dict[str, float]:
    if ratings.rated is None:
        raise ValueError(
            f"{ratings.file} does not say which question a rating is about. Name the column: --item COLUMN"
        )
    parts: dict[str, list[float]] = {}
    for key, value in zip(ratings.rated, ratings.measures[name], strict=True):
        if not np.isnan(value):
            parts.setdefault(key, []).append(float(value))
    return {key: float(np.mean(values)) for key, values in parts.items()}


def _lengths(people: Ratings, judged: Ratings, length: str | None) -> dict[str, float]:
    """Return the mean length by condition and by explanation, from whichever table has it."""
    if length is None:
        return {}
    for ratings in (people, judged):
        column = ratings.controls.get(length)
        if isinstance(column, np.ndarray):
            keys = [*zip(ratings.conditions, column, strict=True), *zip(ratings.rated or (), column, strict=False)]
            parts: dict[str, list[float]] = {}
            for key, value in keys:
                if not np.isnan(value):
                    parts.setdefault(key, []).append(float(value))
            return {key: float(np.mean(values)) for key, values in parts.items()}
    raise TableError(
        f"'{length}' is no column of numbers in {people.file} or {judged.file}, so length cannot be taken out."
    )


def _only(ratings: Ratings, rater: str) -> Ratings:
    """Return the rows of one rater."""
    rows = [row for row, name in enumerate(ratings.raters) if name == rater]
    return replace(
        ratings,
        places=_pick(ratings.places, rows),
        conditions=_pick(ratings.conditions, rows),
        raters=_pick(ratings.raters, rows),
        items=_pick(ratings.items, rows) if ratings.items else None,
        values={name: column[rows] for name, column in ratings.values.items()},
        controls={
            name: column[rows] if isinstance(column, np.ndarray) else _pick(column, rows)
            for name, column in ratings.controls.items()
        },
    )


def _pick(column: Sequence[Cell], rows: Sequence[int]) -> tuple[Cell, ...]:
    return tuple(column[row] for row in rows)
