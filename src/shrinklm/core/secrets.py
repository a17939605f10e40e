"""What looks like a secret in a recipe, which is copied into run folders and shown in reports."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_NAME = re.compile(
    r"(.*[_-])?(x[_-])?(api|access|private|secret|subscription)[_-]?key|(.*[_-])?pass(word|wd|phrase)"
    r"|(.*[_-])?(secret|credentials?|authorization|bearer)|(.*[_-])?(auth|access|api|bearer|session|refresh)[_-]?token"
    r"|token",
    re.IGNORECASE,
)
"""Matches the name of a field that holds a secret; "max_tokens" and "prompt_cache_key" hold none."""
_VALUE = re.compile(
    r"(Bearer|Basic)\s+\S{8,}|(sk|pk|rk|hf|gsk|xai|ghp|gho|glpat|github_pat|xox[abp])[-_][A-Za-z0-9_-]{16,}"
    r"|(AKIA|AIza)[A-Za-z0-9_-]{12,}"
)
"""Matches a secret by the form that well-known services give it."""
_IN_URL = re.compile(r":/{1,2}([^/\s]*@|[^\s?]*\?[^\s=]*=)")
"""What stands in a URL where secrets may: a user, with or without a password, or an option."""


def secrets(value: Any) -> Iterator[str]:
    """The names of the fields of a value, at any depth, that look like secrets by their name or by their content."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            named = bool(_NAME.fullmatch(str(name))) and inner not in (None, "", False)
            if named or (isinstance(inner, str) and is_secret(inner)):
                yield str(name)
            yield from secrets(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from secrets(inner)


def is_secret(text: str) -> bool:
    """Whether a text has the form of a key."""
    return bool(_VALUE.fullmatch(text.strip()))


def shown(value: Any) -> str:
    """The start of a value for a message; nothing of one that holds a secret."""
    text = str(value)
    hidden = any(secrets({"": value})) or any(map(is_secret, text.split("'"))) or _IN_URL.search(text)
    return "hidden" if hidden else repr(text[:80])
