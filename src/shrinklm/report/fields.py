"""Fields of JSON files that may be missing or broken: a number, a mapping, an estimate, or nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..stats import Estimate

Json = dict[str, Any]


def finite(value: Any) -> float | None:
    """`value` as a number; None when it is no number or not a finite one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def whole(value: Any) -> int:
    """`value` as a whole number; 0 when it is no finite number."""
    return int(finite(value) or 0)


def block(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The mapping `name`; empty when it is missing or no mapping."""
    value = fields.get(name)
    return value if isinstance(value, Mapping) else {}


def estimate_of(value: Any) -> Estimate | None:
    """{"value", "low", "high", "n"} as an estimate over items; None where a number is missing."""
    if not isinstance(value, Mapping):
        return None
    middle, low, high = (finite(value.get(key)) for key in ("value", "low", "high"))
    if middle is None or low is None or high is None:
        return None
    return Estimate(middle, low, high, whole(value.get("n")), 1, "items")
