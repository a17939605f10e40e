"""What judges said, as scores of the cells, as a table of ratings (`judged.csv`) and as figures about the judges (`judge.json`)."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...core.results import read_scores, write_scores
from ...core.types import Score, Teacher
from ...run.folder import Cell
from .pairs import Duels
from .rating import SCALE, Construct, Rated, Ratings

PREFERRED = "preferred"
"""The metric of pairwise judging: the share of opponents that an explanation is preferred to, ties counting half."""

Place = tuple[str, str]
"""(cell, question)."""


@dataclass(frozen=True)
class Sitting:
    """What one judge did."""

    judge: Teacher
    role: str | None
    """What it has to do with the explanations ("the teacher of this run"); None when nothing."""
    asked: tuple[Construct, ...]
    shown: Mapping[Place, Rated]
    """What was rated, in the order of the ratings."""
    ratings: Ratings | None
    pairs: tuple[tuple[Place, Place], ...]
    duels: Duels | None

    @property
    def given(self) -> dict[Place, dict[str, int]]:
        """The scores that could be read, by what they are about."""
        return dict(zip(self.shown, self.ratings.scores, strict=True)) if self.ratings else {}

    def scores(self) -> list[Score]:
        """What the judge gave, under its name."""
        found = [
            Score(*place, name, float(value), self.judge.name)
            for place, scores in self.given.items()
            for name, value in scores.items()
        ]
        points: dict[Place, list[float]] = {}
        for (first, second), duel in zip(self.pairs, self.duels.found if self.duels else (), strict=False):
            if duel.points is not None:
                points.setdefault(first, []).append(duel.points)
                points.setdefault(second, []).append(1 - duel.points)
        return found + [
            Score(*place, PREFERRED, float(np.mean(values)), self.judge.name) for place, values in points.items()
        ]


def keep(sittings: Sequence[Sitting], cells: Sequence[Cell]) -> None:
    """Puts the judges' scores into the cells' scores.parquet: what these judges gave before goes, everything else stays."""
    raters = {sitting.judge.name for sitting in sittings}
    given: dict[str, list[Score]] = {}
    for sitting in sittings:
        for score in sitting.scores():
            given.setdefault(score.run, []).append(score)
    for cell in cells:
        path = cell.folder / "scores.parquet"
        others = [score for score in read_scores(path) if score.rater not in raters]
        write_scores(others + given.get(cell.name, []), path)


def table(sittings: Sequence[Sitting], cells: Sequence[Cell]) -> str:
    """The ratings as CSV, a row for each judge and explanation, in the form of a study with people, for `shrinklm study`."""
    many = len({cell.student.label for cell in cells}) > 1
    by_name = {cell.name: cell for cell in cells}
    titles = [construct.title for construct in sittings[0].asked]
    out = io.StringIO()
    columns = ["rater", "model", "student", "seed", "item", *titles, "rationale_length"]
    writer = csv.DictWriter(out, columns, lineterminator="\n", restval="")
    writer.writeheader()
    for sitting in sittings:
        for (name, example_id), scores in sitting.given.items():
            cell, length = by_name[name], len(sitting.shown[name, example_id].explanation.strip())
            model = f"{cell.method.name} on {cell.student.label}" if many else cell.method.name
            row = {
                "rater": sitting.judge.name,
                "model": model,
                "student": cell.student.label,
                "seed": cell.seed,
                "item": example_id,
            }
            if scores:
                rated = {
                    construct.title: scores[construct.name] for construct in sitting.asked if construct.name in scores
                }
                writer.writerow({**row, **rated, "rationale_length": length})
    return out.getvalue()


def figures(sittings: Sequence[Sitting], cells: Sequence[Cell]) -> dict[str, Any]:
    """How the judges judged: what they gave each method, what could not be read, how far length and place led them, how far they agree."""
    methods = {cell.name: cell.method.name for cell in cells}
    first = sittings[0]
    return {
        "constructs": [construct.name for construct in first.asked],
        "explanations": len(first.shown),
        "questions": len({example_id for _, example_id in first.shown}),
        "empty": sum(not rated.explanation.strip() for rated in first.shown.values()),
        "judges": {sitting.judge.name: _about(sitting, methods) for sitting in sittings},
        "agreement": {construct.name: _agreement(sittings, construct.name) for construct in first.asked},
    }


def _about(sitting: Sitting, methods: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {"revision": sitting.judge.revision, "wrote": sitting.role}
    if sitting.ratings is not None:
        lengths = {place: len(rated.explanation.strip()) for place, rated in sitting.shown.items()}
        names, given = [construct.name for construct in sitting.asked], sitting.given
        found |= {
            "asked": asdict(sitting.ratings.bill),
            "unread": sitting.ratings.unread,
            "means": {method: _means(sitting, method, methods, names) for method in dict.fromkeys(methods.values())},
            "length": {
                name: _rank_correlation(lengths, {at: got[name] for at, got in given.items() if name in got})
                for name in names
            },
        }
        found["means"] = {method: means for method, means in found["means"].items() if means}
    if sitting.duels is not None:
        duels = sitting.duels
        found["pairwise"] = {
            "asked": asdict(duels.bill), "pairs": len(duels.found), "unread": duels.unread, "first_position": duels.first_position,
            "consistent": duels.consistent, "longer": _longer(sitting), "wins": _wins(sitting, methods),
        }  # fmt: skip
    return found


def _means(sitting: Sitting, method: str, methods: Mapping[str, str], names: Sequence[str]) -> dict[str, float]:
    given = [scores for (cell, _), scores in sitting.given.items() if methods[cell] == method]
    return {
        name: float(np.mean(values))
        for name in names
        if (values := [scores[name] for scores in given if name in scores])
    }


def _rank_correlation(lengths: Mapping[Place, int], scores: Mapping[Place, int]) -> float | None:
    """Spearman's of the scores with the lengths; None where one side does not vary."""
    from scipy.stats import rankdata

    if len(scores) < 3:
        return None
    ranks = [rankdata(side) for side in ([lengths[place] for place in scores], list(scores.values()))]
    if any(np.ptp(side) == 0 for side in ranks):
        return None
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _longer(sitting: Sitting) -> float | None:
    """Share of the pairs with a preferred explanation, and two lengths, where the longer one is preferred."""
    said = []
    for (first, second), duel in zip(sitting.pairs, sitting.duels.found if sitting.duels else (), strict=True):
        lengths = [len(sitting.shown[place].explanation.strip()) for place in (first, second)]
        if duel.points in (0.0, 1.0) and lengths[0] != lengths[1]:
            said.append((duel.points == 1.0) == (lengths[0] > lengths[1]))
    return float(np.mean(said)) if said else None


def _wins(sitting: Sitting, methods: Mapping[str, str]) -> list[dict[str, Any]]:
    """For each two methods, how often each was preferred."""
    counts: dict[Place, dict[str, int]] = {}
    for (first, second), duel in zip(sitting.pairs, sitting.duels.found if sitting.duels else (), strict=True):
        found = counts.setdefault(
            (methods[first[0]], methods[second[0]]), {"first": 0, "second": 0, "tie": 0, "unread": 0}
        )
        found["unread" if duel.points is None else {1.0: "first", 0.0: "second"}.get(duel.points, "tie")] += 1
    return [{"a": a, "b": b, **found} for (a, b), found in counts.items()]


def _agreement(sittings: Sequence[Sitting], name: str) -> dict[str, Any]:
    """How far the judges agree about a construct, or why that cannot be said."""
    from ...stats.agreement import gwet, krippendorff

    places = list(sittings[0].shown)
    ratings = np.array(
        [[sitting.given.get(place, {}).get(name, math.nan) for sitting in sittings] for place in places], dtype=float
    )
    found: dict[str, Any] = {}
    for key in ("alpha", "ac2"):
        try:
            measured = (
                krippendorff(ratings, "ordinal")
                if key == "alpha"
                else gwet(ratings, scale=range(SCALE[0], SCALE[1] + 1))
            )
            found[key] = {field: _number(value) for field, value in asdict(measured).items()}
        except ValueError as error:
            found[key] = {"value": None, "why": str(error)}
    return found


def _number(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
