"""The columns of a generation in a store and in an export."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from ..core.logprobs import from_json, to_json
from ..core.sampling import Sampling, as_json
from ..core.types import Generation, Source

COLUMNS = (
    "key", "example_id", "kind", "answer", "text", "refusal", "prompt", "parents", "source", "thoughts", "logprobs",
)  # fmt: skip
LATER: Mapping[str, str] = {"thoughts": "", "logprobs": ""}
"""Columns that earlier versions did not write → their value."""
_NUMBER = (int, float)
_SOURCE = {
    "teacher": str, "revision": str, "seed": int, "created": str, "tokens_in": int, "tokens_out": int, "version": str,
    "seconds": _NUMBER, "tokenizer": str,
}  # fmt: skip
_SAMPLING = {"max_tokens": int, "temperature": _NUMBER, "top_p": _NUMBER, "seed": int}
_SAID_ALIKE = ("teacher", "revision", "version", "tokenizer", "created")
"""What thousands of texts have in common, and is in memory once."""
_ENCODER = json.JSONEncoder(ensure_ascii=False)


def to_row(generation: Generation) -> tuple[Any, ...]:
    """The columns of a generation."""
    return (
        generation.key,
        generation.example_id,
        generation.kind,
        generation.answer,
        generation.text.encode("utf-8", "replace").decode("utf-8"),  # a server may cut a character in two
        generation.refusal,
        generation.prompt,
        json.dumps(generation.parents),
        _ENCODER.encode(_provenance(generation.source)),
        generation.thoughts.encode("utf-8", "replace").decode("utf-8"),
        to_json(generation.logprobs),
    )


def _provenance(source: Source) -> dict[str, Any]:
    fields = {**vars(source), "sampling": as_json(source.sampling)}
    if not any(source.uncounted):
        del fields["uncounted"]  # of one text in a thousand
    return fields


def from_row(row: Sequence[Any]) -> Generation:
    """The generation in columns. Raises KeyError, TypeError or ValueError where they hold none."""
    key, example_id, kind, answer, text, refusal, prompt, parents, source, thoughts, logprobs = row
    fields = json.loads(source)
    sampling = fields.pop("sampling")
    sampling["stop"] = tuple(sampling["stop"])
    for name in _SAID_ALIKE:
        if name in fields:
            fields[name] = sys.intern(fields[name])
    fields["adapted"] = tuple(fields.get("adapted", ()))
    fields["uncounted"] = tuple(fields.get("uncounted", (0, 0)))
    return Generation(
        example_id=example_id,
        kind=sys.intern(kind),
        answer=answer,
        text=text,
        prompt=prompt,
        parents=tuple(json.loads(parents)),
        source=Source(sampling=_sampling(**sampling), **fields),
        key=key,
        refusal=refusal,
        thoughts=thoughts,
        logprobs=from_json(logprobs),
    )


@lru_cache(typed=True)  # the same for thousands of texts; 0 and 0.0 are two, since a file may hold either
def _sampling(**fields: Any) -> Sampling:
    return Sampling(**fields)


def checked(row: Any) -> Generation:
    """The generation in a row of somebody's file. Raises KeyError, TypeError or ValueError where it is none."""
    if not isinstance(row, dict):
        raise TypeError(f"expected an object, found {type(row).__name__}")
    values = [row[name] if name in row or name not in LATER else LATER[name] for name in COLUMNS]
    for name, value in zip(COLUMNS, values, strict=True):
        if not (isinstance(value, str) or (name == "refusal" and value is None)):
            raise TypeError(f"'{name}' is no text but {type(value).__name__}")
        (value or "").encode()  # half a character cannot be stored
    if not row["key"]:
        raise ValueError("'key' is empty")
    generation, turns = from_row(values), json.loads(row["prompt"])
    _check_types("source", vars(generation.source), _SOURCE)
    _check_types("sampling", vars(generation.source.sampling), _SAMPLING)
    listed = isinstance(turns, list) and all(isinstance(turn, dict) for turn in turns)
    if not listed or not all(isinstance(parent, str) for parent in generation.parents):
        raise TypeError("'prompt' is no list of turns, or 'parents' no list of keys")
    return generation


def _check_types(what: str, values: Mapping[str, Any], types: Mapping[str, Any]) -> None:
    for name, kind in types.items():
        if not isinstance(values[name], kind):
            raise TypeError(f"'{name}' of its {what} is {type(values[name]).__name__}")
        if kind is int and abs(values[name]) >= 2**63:
            raise ValueError(f"'{name}' of its {what} is out of range")
