"""The questions that figures stand on: those that all methods beside each other have a score for.

A measure of an explanation may have no score at a question, for instance because no answer could be read there. Means
over what each method happens to have would compare different questions, and favour a method that answers the easy ones
alone. So each measure is taken over the questions that every trained method has, and what a method lacks is told beside
its figure. Where the lack is the method's own fault and the measure may decide which one to take, it counts against it
(`Measure.unscored`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .measures import measure_of
from .rated import Values

LEAST = 0.5
"""Share of the questions that a method must have for others to be held to the same ones: a method that went wrong must
not leave the others without figures. Its own figures then stand on what it has."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Aligned:
    """The scores of one method for one measure."""

    values: Values
    """[seeds, items]; NaN where the question is left out, or has no score from this seed."""
    missing: float
    """Share of the questions that any method has and this one lacks, over its seeds."""
    ranked: bool
    """Whether it stands on the same questions as the other ranked methods."""


def align(matrices: Sequence[Mapping[str, Values]], trained: Sequence[bool]) -> list[dict[str, Aligned]]:
    """The scores of methods that stand side by side, over the same questions.

    Args:
        matrices: For each method metric → [seeds, items], NaN for not scored; something is scored in each.
        trained: Whether it was trained. An untrained student, which often says nothing that can be read, does not
            decide on which questions the others stand.

    Returns for each method metric → its scores, in the order given.
    """
    keys = list(dict.fromkeys(key for metrics in matrices for key in metrics))
    filled = [dict(metrics) for metrics in matrices]
    missing: list[dict[str, float]] = [{} for _ in matrices]
    for key in keys:
        asked = _asked([metrics[key] for metrics in matrices if key in metrics])
        for metrics, lacks in zip(filled, missing, strict=True):
            if key in metrics:
                lacks[key] = float(np.isnan(metrics[key][:, asked]).mean())
                metrics[key] = _counted(key, metrics[key], asked)
    common = {key: _common(key, keys, filled, trained) for key in keys}
    return [
        {key: _aligned(values, missing[row][key], common[key]) for key, values in metrics.items()}
        for row, metrics in enumerate(filled)
    ]


def _asked(matrices: Sequence[Values]) -> Mask:
    """[items]: the questions that any method has a score for."""
    asked: Mask = np.any([~np.isnan(matrix).all(axis=0) for matrix in matrices], axis=0)
    return asked


def _counted(key: str, values: Values, asked: Mask) -> Values:
    """The scores with what counts against the method in the place of those that it lacks."""
    unscored = measure_of(key).unscored
    return values if unscored is None else np.where(np.isnan(values) & asked, unscored, values)


def _common(
    key: str, keys: Sequence[str], filled: Sequence[Mapping[str, Values]], trained: Sequence[bool]
) -> Mask | None:
    """[items]: the questions on which the trained methods stand; None where there is none that they share."""
    # A baseline is read against its measure: both are taken over the same questions.
    family = [other for other in keys if measure_of(other).family == measure_of(key).family]
    for group in (family, [key]):
        masks = []
        for other in group:
            has = [~np.isnan(row[other]).all(axis=0) for row, does in zip(filled, trained, strict=True)
                   if does and other in row]  # fmt: skip
            total = int(np.any(has, axis=0).sum()) if has else 0
            masks += [mask for mask in has if mask.sum() >= LEAST * total]
        if masks and (shared := np.all(masks, axis=0)).any():
            return np.asarray(shared, dtype=bool)
    return None


def _aligned(values: Values, missing: float, common: Mask | None) -> Aligned:
    if common is None:
        return Aligned(values, missing, False)
    kept = np.where(common, values, np.nan)
    scored = ~np.isnan(kept).all(axis=0)
    # A method that lacks one of the shared questions stands on others than they do.
    ranked = bool((scored == common).all()) and missing <= 1 - LEAST
    return Aligned(kept if scored.any() else values, missing, ranked)
