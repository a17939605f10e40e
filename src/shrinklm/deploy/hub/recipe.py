"""A recipe as it may be shown to anybody: without paths, addresses and what was sent to servers beside the prompts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://(?:[^\s/#@]*@)?[^\s#,]*")
"""With user and password, which may hold a comma; elsewhere it ends the address."""
_PATH = re.compile(r"(\s*[\w-]{2,}:|\s*)(?:~|\.{1,2}|[A-Za-z]:)?[\\/]")
"""The beginning of a path that leads out of the recipe's folder, behind the kind of thing that it names."""
_LEFT_OUT = ("extra", "rate", "timeout", "runs", "store", "api_key_env")


def shared(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe without what tells of one machine alone, or could be a secret; what is empty is left out."""
    shown = _shown(recipe)
    assert isinstance(shown, dict)
    return shown


def _shown(value: Any) -> Any:
    if isinstance(value, Mapping):
        kept = {str(key): item for key, item in value.items() if key not in _LEFT_OUT and item not in (None, [], {})}
        return {key: _shown(item) for key, item in kept.items()}
    if isinstance(value, list):
        return [_shown(item) for item in value]
    return _text(value) if isinstance(value, str) else value


def _text(value: str) -> str:
    return ",".join(map(_file, _ADDRESS.sub("URL", value).split(",")))


def _file(part: str) -> str:
    """A path without its folders; anything else as it is: "org/name" is on the Hub, or a place in the project."""
    begun = _PATH.match(part)
    return begun[1] + re.split(r"[\\/]", part.rstrip("\\/"))[-1] if begun else part
