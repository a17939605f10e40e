"""What every record of an analysis shares: a stand-in for what cannot be computed, and the way to JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np

Result = TypeVar("Result")
OPTIONAL = {"json": "optional"}
"""Metadata of a field that is left out of the JSON when it is None. Any other None is written as null."""
INLINE = {"json": "inline"}
"""Metadata of a field whose own keys are written in its place."""


@dataclass(frozen=True)
class NotComputed:
    """Stands where a result would: the data do not allow it."""

    why: str
    """Reason, as a sentence for the reader."""


Json: TypeAlias = dict[str, Any]
"""A record as JSON."""


def tried(call: Callable[[], Result]) -> Result | NotComputed:
    """Return what the call returns; `NotComputed` where the data do not allow it."""
    try:
        return call()
    except (ValueError, np.linalg.LinAlgError) as error:  # what stats raises for data that a method does not allow
        return NotComputed(str(error))


def as_json(value: object) -> Any:
    """Return what `json.dumps` takes: records as objects, arrays as lists, numbers that are not finite as None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _object(value)
    if isinstance(value, Mapping):
        return {str(key): as_json(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [as_json(entry) for entry in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def json_text(record: object) -> str:
    """Return a record as the text of a JSON file."""
    return json.dumps(as_json(record), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _object(record: Any) -> Json:
    keys: Json = {}
    for column in dataclasses.fields(record):
        value, how = getattr(record, column.name), column.metadata.get("json")
        if how == "inline":
            keys |= as_json(value)
        elif how != "optional" or value is not None:
            keys[column.name] = as_json(value)
    return keys
