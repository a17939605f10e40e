"""Finding a teacher by its spec. The protocol itself, with the one method to write, is `shrinklm.core.types.Teacher`.

Optional attributes of a teacher, all read by `generate`:

- `reads = True`: it looks texts up instead of writing them. It gets prompts without turns and is never asked again after a refusal.
- `free = True`: it costs nothing, and its answers are stored by the thousand instead of one by one.
- `price`: dollars per million tokens, {"input": ..., "output": ...}; None when unknown.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..core.errors import TeacherError
from ..core.registry import find, names, split_spec
from ..core.types import Teacher

Price = Mapping[Literal["input", "output"], float]
"""Dollars per million tokens."""

DOES_NOT_FIT = "the prompt does not fit"
"""How the refusal of a prompt that is longer than a teacher's context begins; the length and the limit follow."""


@dataclass(frozen=True)
class TeacherOptions:
    """What a recipe's `teacher:` block says beside its spec."""

    root: Path = Path(".")
    """Relative paths start here."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """recorded: step → column."""
    batch: int = 16
    """Prompts in one forward pass, or requests at a time."""
    trust_remote_code: bool = False
    api_key_env: str = "OPENAI_API_KEY"
    """endpoint: the environment variable that holds the key. The key itself is stored nowhere."""
    price: Price | None = None


def make_teacher(spec: str, options: TeacherOptions | None = None) -> Teacher:
    """The teacher a recipe names, such as "transformers:PATH", "endpoint:URL#model", "recorded:FILE", "fake" or "module:attribute".

    Cheap: no weights are loaded and no server is asked before the first `complete`, so that generations that are in the store already
    are found without either. Raises UnknownName, RecipeError or TeacherError.
    """
    name, rest = split_spec(spec)
    if name and name not in names("teachers") and ("." in name or importlib.util.find_spec(name)):
        name, rest = spec, ""  # "module:attribute" is an object of the user's
    found = find("teachers", name)
    teacher: Teacher = found(rest, options or TeacherOptions()) if callable(found) else found
    if not all(hasattr(teacher, attribute) for attribute in ("name", "revision", "complete")):
        raise TeacherError(
            f"'{spec}' is no teacher: it needs `name`, `revision` and `complete`, found {type(teacher).__name__}."
        )
    return teacher


def first_stop(text: str, stops: Sequence[str]) -> int | None:
    """Where the first of the stops begins; None without one. White space that opens the text is no stop."""
    start = len(text) - len(text.lstrip())
    return min((place for place in (text.find(stop, start) for stop in stops) if place >= 0), default=None)
