"""What a method's confidences are worth on the test questions: errors, scores and bins, before and after."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ....evaluation.confidence import likelihoods, probabilities
from ....stats import (
    CalibrationError,
    CalibrationGain,
    ReliabilityBin,
    calibration_error,
    calibration_gain,
    holm,
    reliability,
)
from ...confidences import confidences, temperature_of
from ...fields import block, finite
from ...findings import Cell, Item
from ...rated import Values
from ...results import Results, Row

RESAMPLES = 1000
_LEAST_LOG = math.log(1e-12)
"""Of a right option that a student finds impossible: its logarithm would make every mean infinite."""


@dataclass(frozen=True)
class Side:
    """The confidences of a method in one form: as they are, or calibrated."""

    error: CalibrationError
    brier: float
    """Mean of (confidence - right)², of the answers given."""
    log_loss: float
    """Mean of -log p of the right option."""
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True)
class Measured:
    """A row of the report, whose students tell probabilities."""

    row: Row
    temperatures: tuple[float | None, ...]
    """By cell; None where none was fitted."""
    dev: int
    """Dev questions that a temperature was fitted on, at least."""
    bounds: tuple[str, ...]
    """"low" and "high", for temperatures at the end of those looked at."""
    without: int
    """Answers without a confidence, of all seeds: unread ones, and those of a diverged student."""
    before: Side
    after: Side | None
    """None where a cell has no temperature."""
    gain: CalibrationGain | None
    adjusted: float | None = None
    """p of the gain after Holm, over the rows of the report."""


def measure(results: Results) -> list[Measured]:
    """The rows whose answers and options have probabilities."""
    measured = [entry for row in results.rows if (entry := _measured(results.findings.items, row)) is not None]
    gains = [entry.gain.p for entry in measured if entry.gain]
    adjusted = iter(holm(gains))
    return [
        Measured(**{**vars(entry), "adjusted": next(adjusted)}) if entry.gain else entry for entry in measured
    ]  # fmt: skip


def reason(results: Results) -> str:
    """Why there is no probability in the report."""
    items = results.findings.items
    if not any(item.choices for item in items):
        return "These questions have no options, so that no answer has a probability among others."
    if block(results.findings.recipe, "evaluate").get("calibrate") == 0:
        return "The recipe turns it off (evaluate: {calibrate: 0}), and the predictions hold no likelihoods of options."
    cells = [cell for row in results.rows for cell in row.cells]
    if any(prediction.likelihoods for cell in cells for prediction in cell.predictions.values()):
        return "No answer could be read from what the students wrote, so that none has a probability."
    return (
        "The predictions hold no likelihoods of options, as those of earlier versions. Where the weights are there, "
        "this adds them: shrinklm evaluate RECIPE"
    )


def _measured(items: Sequence[Item], row: Row) -> Measured | None:
    cells = [cell for cell in row.cells if "accuracy" in cell.scores]
    temperatures = tuple(temperature_of(cell) for cell in cells)
    raw = [confidences(items, cell, None) for cell in cells]
    if not cells or all(np.isnan(values).all() for values in raw):
        return None
    right = np.stack([cell.scores["accuracy"] for cell in cells])
    before = _side(np.stack(raw), right, [_losses(items, cell, None) for cell in cells])
    after = gain = None
    if row.trained and None not in temperatures:
        pairs = list(zip(cells, temperatures, strict=True))
        shares = np.stack([confidences(items, *pair) for pair in pairs])
        after = _side(shares, right, [_losses(items, *pair) for pair in pairs])
        gain = calibration_gain(_known(np.stack(raw), right), shares, _right(right), resamples=RESAMPLES)
    fits = [block(cell.calibration, "temperature") for cell in cells]
    return Measured(
        row=row,
        temperatures=temperatures,
        dev=min((int(finite(fit.get("n")) or 0) for fit in fits), default=0),
        bounds=tuple(dict.fromkeys(str(fit["bound"]) for fit in fits if fit.get("bound"))),
        without=int(np.isnan(np.stack(raw)).sum()),
        before=before,
        after=after,
        gain=gain,
    )


def _side(shares: Values, right: Values, losses: Sequence[Values]) -> Side:
    shares, hits = _known(shares, right), _right(right)
    return Side(
        error=calibration_error(shares, hits, resamples=RESAMPLES),
        brier=float(np.nanmean((shares - hits) ** 2)),
        log_loss=float(np.nanmean(np.stack(losses))),
        bins=tuple(reliability(shares, hits)),
    )


def _known(shares: Values, right: Values) -> Values:
    """The confidences of answers that were scored."""
    return np.where(np.isnan(right), np.nan, shares)


def _right(right: Values) -> Values:
    return np.nan_to_num(right)


def _losses(items: Sequence[Item], cell: Cell, temperature: float | None) -> Values:
    """[items] of -log p of the right option; NaN where there is no probability."""
    values = []
    for item in items:
        prediction = cell.predictions.get(item.id)
        known = likelihoods(prediction, item.choices) if prediction else {}
        shares = probabilities(known, temperature, prediction.summed) if prediction else {}
        share = shares.get(item.answer, math.nan)
        values.append(-max(math.log(share), _LEAST_LOG) if share > 0 else -_LEAST_LOG if share == 0 else math.nan)
    return np.array(values)
