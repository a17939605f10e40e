"""A comparison as JSON."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from ...stats import Levene
from .analysis import Factorial
from .words import paragraph


def as_json(analysis: Factorial) -> dict[str, Any]:
    """The analysis without the rows that count; null where a figure does not exist, as the deviation of one run."""
    result = {
        "value": analysis.value,
        "factors": list(analysis.levels),
        "levels": {name: list(levels) for name, levels in analysis.levels.items()},
        "n": analysis.n,
        "outliers": [row.json() for row in analysis.outliers],
        "removed": [row.json() for row in analysis.removed],
        "unmeasured": [row.json() for row in analysis.unmeasured],
        # Factors stand beside n, mean and sd: `_RESERVED` keeps such names from being factors.
        "cells": [{**cell.levels, "n": cell.n, "mean": cell.mean, "sd": cell.sd} for cell in analysis.cells],
        "levene": _levene(analysis),
        "shapiro": dataclasses.asdict(analysis.shapiro) if analysis.shapiro else None,
        "anova": [dataclasses.asdict(term) for term in analysis.anova.terms],
        "residual": {"sum_of_squares": analysis.anova.residual, "df": analysis.anova.df},
        "tukey": [{"within": dict(within), **dataclasses.asdict(pair)} for within, pair in analysis.tukey],
        "notes": list(analysis.notes),
        "paragraph": paragraph(analysis),
    }
    if analysis.everything is not None:
        result["with_outliers"] = as_json(analysis.everything)
    finite: dict[str, Any] = _finite(result)
    return finite


def _levene(analysis: Factorial) -> dict[str, Any]:
    """The test's figures; null for each, and why, where it was not done."""
    if analysis.levene is not None:
        return dataclasses.asdict(analysis.levene)
    why = f"Not tested: {analysis.no_spread}."
    return dict.fromkeys(field.name for field in dataclasses.fields(Levene)) | {"why": why}


def _finite(value: Any) -> Any:
    """The same with null for NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
