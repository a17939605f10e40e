"""What the weights of samples come to: the distribution of each figure, and whose texts were chosen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from ...methods.weighing import ratio

_NO_FIGURES = frozenset({"example_id", "kind", "answer", "key", "teacher", "weight", "text"})


def weighed(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The summary of a file of weights, as JSON.

    Args:
        rows: Those of the file: the samples of a question stand one after another.

    Returns:
        `{"questions", "texts", "dropped": texts of weight 0, "effective": the mean over questions of 1 / Σ weight², as
        many texts as would be shown if they weighed the same, "figures": {name: {"n", "mean", "quartiles", "chosen":
        mean by weight}}, "teachers": {name: {"texts", "share": of the weight, "won": questions of which one text of
        it weighs most}}, "tied": questions of which several texts weigh most, "places": {place among the samples, from
        1: questions of which that one alone weighs most}}`.
    """
    questions = [
        list(each) for _, each in groupby(rows, key=lambda row: (row["example_id"], row["kind"], row["answer"]))
    ]
    flat = [{**row, **_ratio(row)} for texts in questions for row in texts]
    best = {number: place for number, texts in enumerate(questions) if (place := _heaviest(texts)) is not None}
    winners = [questions[number][place]["teacher"] for number, place in best.items()]
    places = list(best.values())
    names = dict.fromkeys(name for row in flat for name in row if name not in _NO_FIGURES)
    return {
        "questions": len(questions),
        "texts": len(flat),
        "dropped": sum(not row["weight"] for row in flat),
        "effective": sum(1 / sum(row["weight"] ** 2 for row in texts) for texts in questions) / len(questions),
        "figures": {name: found for name in names if (found := _distribution(flat, name))},
        "teachers": {
            name: {
                "texts": sum(row["teacher"] == name for row in flat),
                "share": sum(row["weight"] for row in flat if row["teacher"] == name) / len(questions),
                "won": winners.count(name),
            }
            for name in dict.fromkeys(row["teacher"] for row in flat)
        },
        "tied": len(questions) - len(best),
        "places": {str(place + 1): places.count(place) for place in sorted(set(places))},
    }


def _heaviest(texts: Sequence[Mapping[str, Any]]) -> int | None:
    """The place of the text that weighs most; None where several do."""
    weights = [row["weight"] for row in texts]
    most = [place for place, weight in enumerate(weights) if weight >= max(weights) - 1e-9]
    return most[0] if len(most) == 1 else None


def _ratio(row: Mapping[str, Any]) -> dict[str, float | None]:
    return {"ratio": ratio(row)} if {"rank", "surprisal"} <= row.keys() else {}


def _distribution(rows: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any] | None:
    """The distribution of a figure; None where no text has it."""
    import numpy as np

    told = [(float(row[name]), row["weight"]) for row in rows if row[name] is not None]
    if not told:
        return None
    values, weights = (np.array(column, dtype=float) for column in zip(*told, strict=True))
    total = weights.sum()
    return {
        "n": len(told),
        "mean": float(values.mean()),
        "quartiles": [float(each) for each in np.quantile(values, (0.25, 0.5, 0.75))],
        "chosen": float((values * weights).sum() / total) if total else None,
    }
