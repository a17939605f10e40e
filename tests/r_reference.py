"""Simulated data and what R says of them: tests/data/r, made by tests/data/r/make.R."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent / "data" / "r"


def read(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text())


def number(cell: Any) -> float:
    """A figure of R, whose NaN, NA and Inf are text in the JSON."""
    if isinstance(cell, str):
        return {"NaN": np.nan, "NA": np.nan, "Inf": np.inf, "-Inf": -np.inf}[cell]
    return np.nan if cell is None else float(cell)


def indicators(columns: dict[str, list[Any]], terms: list[str]) -> dict[str, Any]:
    """Columns named as R names its terms: numbers as they are, text as 0 or 1 for each level among the terms."""
    built: dict[str, Any] = {}
    for name, cells in columns.items():
        if name in terms:
            built[name] = cells
            continue
        levels = dict.fromkeys(cells)
        built |= {f"{name}{x}": (np.array(cells) == x) * 1.0 for x in levels if f"{name}{x}" in terms}
    return built
