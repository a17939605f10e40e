"""A judge's ratings held against people's: how far off it is, whether it puts the conditions in their order, and what length explains.

People's and the judge's tables have the same conditions, and the same constructs as columns. Where both say which question a rating is
about, explanations are also compared one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from ...core.errors import TableError
from ...stats.clusters import cluster_draws
from ...stats.correlation import bootstrap_pearson, concordance, partial, pearson, spearman
from .paragraph import listed, people, rounded, signed
from .ratings import Array, Ratings
from .tests import tried

Json = dict[str, Any]
Cell = TypeVar("Cell")

JUDGES = "mean of judges"


def calibrate(
    people: Ratings, judged: Ratings, length: str | None = None, seed: int = 0, resamples: int = 5000
) -> Json:
    """Bias and correlation of a judge, by construct and for their mean; of several judges each alone, and their mean.

    `judges` has, by judge and measure: `bias` (judge - people, the mean over conditions, with an interval over resampled people and
    explanations), `by_condition` (both means, Pearson, Spearman, share of pairs in the same order, and Pearson with length taken out) and
    `by_item` (the same over explanations that both rated). What cannot be computed is {"why": "..."} in its place.

    Args:
        people: ratings of people, as `read_ratings` gives them.
        judged: ratings of one judge or several, as rater.
        length: a control of `people` or `judged` (numbers) that the correlations are to be freed of.
        seed: of the bootstrap.
        resamples: how many.

    Raises:
        TableError: fewer than two conditions in common, other constructs, or no such length.
    """
    levels = [level for level in people.levels if level in judged.levels]
    if len(levels) < 2:
        raise TableError(
            f"{people.file} and {judged.file} share {len(levels)} conditions, and two or more are needed. "
            f'People: {", ".join(people.levels)}. Judge: {", ".join(judged.levels)}. Say which is which: --same "multitask=MT,finetune=FT"'
        )
    if people.constructs != judged.constructs:
        raise TableError(f"The constructs differ: {', '.join(people.constructs)}; {', '.join(judged.constructs)}.")
    sizes = _length(people, judged, length)
    names = list(dict.fromkeys(judged.raters))
    judges = {name: _only(judged, name) for name in names} if len(names) > 1 else {names[0]: judged}
    if len(names) > 1:
        judges[JUDGES] = judged
    found: Json = {
        "people": {"file": people.file, "n": people.n, "raters": len(set(people.raters))},
        "judged": {"file": judged.file, "n": judged.n, "judges": names},
        "conditions": levels,
        "constructs": list(people.constructs),
        "length": length,
        "judges": {},
    }
    for name, ratings in judges.items():
        found["judges"][name] = {
            measure: _measure(people, ratings, measure, levels, sizes, seed, resamples) for measure in people.measures
        }
    found["paragraph"] = _paragraph(found)
    return found


def _measure(
    people: Ratings,
    judge: Ratings,
    name: str,
    levels: Sequence[str],
    sizes: dict[str, float],
    seed: int,
    resamples: int,
) -> Json:
    return {
        "bias": tried(lambda: _bias(people, judge, name, levels, seed, resamples)),
        "by_condition": tried(lambda: _by_condition(people, judge, name, levels, sizes, seed, resamples)),
        "by_item": tried(lambda: _by_item(people, judge, name, sizes, seed, resamples)),
    }


def _draws(
    ratings: Ratings, name: str, levels: Sequence[str], people: bool, seed: int, resamples: int
) -> tuple[Array, Array]:
    """Means [levels] and resampled means [resamples, levels]: people are drawn whole, a judge's explanations by question where known."""
    clusters = ratings.raters if people else ratings.items or ratings.places
    points, draws, _, names = cluster_draws(ratings.measures[name], ratings.conditions, clusters, seed, resamples)
    absent = [level for level in levels if level not in names]
    if absent:
        raise ValueError(f"No rating of {name} for {', '.join(absent)}.")
    order = [names.index(level) for level in levels]
    return points[order], draws[:, order]


def _bias(people: Ratings, judge: Ratings, name: str, levels: Sequence[str], seed: int, resamples: int) -> Json:
    theirs, their_draws = _draws(people, name, levels, True, seed, resamples)
    its, its_draws = _draws(judge, name, levels, False, seed + 1, resamples)
    return {"value": float((its - theirs).mean()), **_interval((its_draws - their_draws).mean(axis=1))}


def _by_condition(
    people: Ratings,
    judge: Ratings,
    name: str,
    levels: Sequence[str],
    sizes: dict[str, float],
    seed: int,
    resamples: int,
) -> Json:
    theirs, their_draws = _draws(people, name, levels, True, seed, resamples)
    its, its_draws = _draws(judge, name, levels, False, seed + 1, resamples)
    long = np.array([sizes.get(level, np.nan) for level in levels])
    return {
        "n": len(levels),
        "means": {
            level: {"people": float(a), "judge": float(b), "difference": float(b - a)}
            for level, a, b in zip(levels, theirs, its, strict=True)
        },
        "pearson": tried(lambda: {"value": pearson(theirs, its)}),
        "spearman": tried(lambda: {"value": spearman(theirs, its)}),
        "same_order": {"value": float(concordance(theirs, its)), **_interval(concordance(their_draws, its_draws))},
        "pearson_without_length": tried(lambda: _freed(theirs, its, long)),
    }


def _by_item(people: Ratings, judge: Ratings, name: str, sizes: dict[str, float], seed: int, resamples: int) -> Json:
    """Over explanations (question and condition) that both rated: their mean ratings, correlated; resampled by explanation."""
    theirs, its = _item_means(people, name), _item_means(judge, name)
    shared = [key for key in theirs if key in its]
    if len(shared) < 4:
        raise ValueError(
            f"{len(shared)} explanations (the same question and condition) were rated by both; four or more are needed."
        )
    a, b = np.array([theirs[key] for key in shared]), np.array([its[key] for key in shared])
    long = np.array([sizes.get(key, np.nan) for key in shared])
    low, high = bootstrap_pearson(a, b, seed, min(resamples, 2000)) if np.ptp(a) and np.ptp(b) else (None, None)
    return {
        "n": len(shared),
        "bias": {"value": float((b - a).mean()), "sd": float((b - a).std(ddof=1))},
        "pearson": tried(lambda: {"value": pearson(a, b), "low": low, "high": high}),
        "spearman": tried(lambda: {"value": spearman(a, b)}),
        "pearson_without_length": tried(lambda: _freed(a, b, long)),
    }


def _freed(a: Array, b: Array, long: Array) -> Json:
    if np.isnan(long).all():
        raise ValueError("No length is named. Name its column: --length COLUMN")
    known = ~np.isnan(long)
    return {"value": partial(a[known], b[known], long[known]), "df": int(known.sum()) - 3}


def _interval(draws: Array) -> Json:
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return {"low": float(low), "high": float(high)}


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


def _length(people: Ratings, judged: Ratings, length: str | None) -> dict[str, float]:
    """Mean length by condition and by explanation, from whichever table has it."""
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
    """The rows of one rater."""
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


def _paragraph(found: Json) -> str:
    """For each judge: how far off, whether in people's order, and how explanations compare."""
    judges, raters = found["judged"]["judges"], found["people"]
    said = [
        f"{len(judges)} {'judge' if len(judges) == 1 else 'judges'} ({found['judged']['n']:,} rows) against "
        f"{people(raters['raters'])} ({raters['n']:,} rows) on {len(found['conditions'])} conditions."
    ]
    for judge, measures in found["judges"].items():
        name = list(measures)[-1]
        said.append(_judge(judge, name, measures[name], len(found["conditions"])))
        off = [
            f"{measure} {signed(entry['bias']['value'])}"
            for measure, entry in measures.items()
            if "why" not in entry["bias"] and (entry["bias"]["low"] > 0 or entry["bias"]["high"] < 0)
        ]
        said.append(
            f"Off by more than chance on {listed(off)}." if off else "On no construct is it off by more than chance."
        )
    if len(found["conditions"]) < 6:
        said.append(f"A correlation over {len(found['conditions'])} conditions says little: read the means.")
    return " ".join(said)


def _judge(judge: str, name: str, entry: Json, conditions: int) -> str:
    bias, over, item = entry["bias"], entry["by_condition"], entry["by_item"]
    if "why" in bias:
        return f"{judge} cannot be compared on {name}: {bias['why']}"
    text = f"{judge} rates {name} {signed(bias['value'])} points from people ({signed(bias['low'])} to {signed(bias['high'])})"
    if "why" not in over:
        pairs = conditions * (conditions - 1) // 2
        text += (
            f" and puts {round(over['same_order']['value'] * pairs)} of {pairs} pairs of conditions in people's order"
        )
        text += f" (r = {rounded(over['pearson']['value'])})" if "why" not in over["pearson"] else ""
    if "why" in item or "why" in item["pearson"]:
        return text + "."
    r = item["pearson"]
    text += f"; over {item['n']:,} explanations that both rated r = {rounded(r['value'])} ({rounded(r['low'])} to {rounded(r['high'])})"
    freed = item["pearson_without_length"]
    return text + (f", {rounded(freed['value'])} with length taken out." if "why" not in freed else ".")
