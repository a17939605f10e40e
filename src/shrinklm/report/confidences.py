"""The confidences of a cell's answers to the test questions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..evaluation.confidence import confidence
from ..evaluation.reading import by_likelihood
from .fields import block, finite
from .findings import Cell, Item
from .rated import Values


def temperature_of(cell: Cell) -> float | None:
    """The temperature that was fitted for a cell; None where none was."""
    return finite(block(cell.calibration, "temperature").get("value"))


def confidences(items: Sequence[Item], cell: Cell, temperature: float | None, likeliest: bool = False) -> Values:
    """[items]: the probability of each answer, or of the `likeliest` option; NaN where there is none."""
    values = []
    for item in items:
        prediction = cell.predictions.get(item.id)
        if prediction is not None and likeliest:
            prediction = by_likelihood(prediction)
        values.append(math.nan if prediction is None else confidence(prediction, item.choices, temperature))
    return np.array(values)
