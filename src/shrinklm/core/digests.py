"""Names for data: equal parts give equal digests on every machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring
from typing import Any

_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def digest(*parts: Any) -> str:
    """A 32-digit hexadecimal name for JSON-able parts: equal parts give equal names on every machine."""
    text = _ENCODER.encode(parts)
    # "surrogatepass": half a character from a server must not stop a run. 32 digits are 128 bits, too many to collide.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def digests(*first: Any) -> Callable[..., str]:
    """`digest(*first, *rest)` as a function of the rest, in a fraction of the time: for large tables.

    The rest are texts, tuples of texts, and mappings of texts to texts.
    """
    begin = _ENCODER.encode(first)[:-1] + ("," if first else "")

    def of(*rest: str | tuple[str, ...] | Mapping[str, str]) -> str:
        whole = f"{begin}{','.join(map(_encoded, rest))}]"
        return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    return of


def _encoded(part: str | tuple[str, ...] | Mapping[str, str]) -> str:
    """A text, or texts, as `_ENCODER` writes them."""
    if isinstance(part, str):
        return encode_basestring(part)
    if isinstance(part, tuple):
        return f"[{','.join(map(encode_basestring, part))}]"
    return f"{{{','.join(f'{encode_basestring(key)}:{encode_basestring(part[key])}' for key in sorted(part))}}}"
