"""Names → objects. Built-ins come in by the same door as plug-ins: entry points, or "module:attribute" in a recipe."""

from __future__ import annotations

import importlib
import re
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from .errors import RecipeError, UnknownName

Group = Literal["tasks", "teachers", "methods", "students", "losses", "metrics"]

_OBJECT = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*\Z")


@lru_cache  # reads the metadata of every installed package
def _points(group: Group) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"shrinklm.{group}")}


def names(group: Group) -> list[str]:
    """The known names of a group, sorted."""
    return sorted(_points(group))


def find(group: Group, name: str) -> Any:
    """The object called `name`, imported only now.

    Raises UnknownName (with the known names and the nearest) or RecipeError (a "module:attribute" that does not
    import).
    """
    point = _points(group).get(name)
    if point is not None:
        return point.load()
    if not _OBJECT.match(name):
        raise UnknownName(_one(group), name, names(group))
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise RecipeError(
            f"'{name}' names a {_one(group)} that does not import: {error}. Is its folder on PYTHONPATH?"
        ) from error


def _one(group: Group) -> str:
    return "loss" if group == "losses" else group[:-1]


def split_spec(spec: str) -> tuple[str, str]:
    """ "transformers:PATH" → ("transformers", "PATH"); a name alone has an empty rest."""
    name, _, rest = spec.partition(":")
    return name, rest
