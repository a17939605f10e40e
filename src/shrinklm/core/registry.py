"""Names → objects. Built-ins come in by the same door as plug-ins: entry points, or "module:attribute" in a recipe."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from socket import gethostname
from typing import Any, Literal

from .errors import RecipeError, ShrinkError, UnknownName, nearest

Group = Literal["tasks", "teachers", "methods", "students", "losses", "metrics"]

_OBJECT = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*\Z")


@lru_cache  # reads the metadata of every installed package
def _points(group: Group) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"shrinklm.{group}")}


def names(group: Group) -> list[str]:
    """The known names of a group, sorted."""
    return sorted(_points(group))


def is_own(group: Group, spec: str) -> bool:
    """Whether a spec is the "module:attribute" of somebody's own. Imports nothing.

    A known name wins over a module of that name; what is neither is a misspelt name.
    """
    name = spec.partition(":")[0]
    return name not in _points(group) and bool(_OBJECT.match(spec)) and ("." in name or _there(name))


def place_of(spec: str) -> str:
    """Where the module of a "module:attribute" lies, as far as can be told without importing it."""
    top = spec.partition(":")[0].partition(".")[0]
    found = find_spec(top) if _there(top) and top not in sys.modules else None
    module = sys.modules.get(top)
    if module is not None:
        return str(getattr(module, "__file__", None) or "built into Python")
    if found is None:
        return "nowhere on the Python path"
    return str(found.origin or next(iter(found.submodule_search_locations or ()), "nowhere"))


def find(group: Group, name: str, spec: str = "") -> Any:
    """The object called `name`, imported only now. `spec`: what it begins, where the rest of that is no attribute.

    Raises UnknownName (with the known names and the nearest) or RecipeError (a "module:attribute", or what an installed
    package registered, that does not import).
    """
    point = _points(group).get(name)
    module, _, attribute = (name if point is None else f"{point.module}:{point.attr}").partition(":")
    if point is None and not _OBJECT.match(name):
        # Typed as one's own it would be a module, which another machine may lack.
        more = f" There is no module '{name}' on the Python path of {gethostname()}." if _OBJECT.match(spec) else ""
        raise UnknownName(_one(group), name, names(group), more)
    called = f"'{name}' names a {_one(group)} that does not import"
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        # The module itself, or a package above it; else one that it imports.
        own = error.name is not None and f"{module}.".startswith(f"{error.name}.")
        advice = "Is its folder on PYTHONPATH? The recipe's folder is not, unless you put it there." if own else (
            f"{module} needs it."
        )  # fmt: skip
        raise RecipeError(f"{called}: {error}. {advice}") from error
    except ShrinkError:
        raise
    except (Exception, SystemExit) as error:  # a module may do anything while it is imported
        raise RecipeError(f"{called}: importing {module} raised {type(error).__name__}: {error}") from error
    for part in filter(None, attribute.split(".")):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            known = [each for each in dir(found) if not each.startswith("_")]
            raise RecipeError(f"{called}: {module} has no '{part}'.{nearest(part, known)}") from error
    return found


def make(group: Group, name: str, factory: Any, arguments: Sequence[Any], wanted: str) -> Any:
    """What a callable of `find` makes of `arguments`. Raises RecipeError: it is none, takes others, or raises."""
    if not callable(factory):
        raise misfit(group, name, factory, wanted)
    try:
        inspect.signature(factory).bind(*arguments)
    except TypeError as error:
        raise misfit(group, name, factory, wanted, f", which cannot be called so: {error}") from error
    except ValueError:
        pass  # of some that are built in nobody knows what they take
    try:
        return factory(*arguments)
    except ShrinkError:
        raise
    except Exception as error:
        raise RecipeError(f"The {_one(group)} '{name}' cannot be made: {type(error).__name__}: {error}") from error


def misfit(group: Group, name: str, found: Any, wanted: str, more: str = "") -> RecipeError:
    """The error for an object that `name` leads to and that is no task, teacher, ... .

    Args:
        group: Where it was looked for.
        name: As the recipe writes it.
        found: What it leads to.
        wanted: What it should be.
        more: What else was found, after the object.
    """
    return RecipeError(f"'{name}' is no {_one(group)}: expected {wanted}, found {kind_of(found)}{more}.")


def kind_of(found: Any) -> str:
    """An object in a few words: "the class Shout", "the function shout", "dict" for an object of that class."""
    if isinstance(found, type):
        return f"the class {found.__name__}"
    if inspect.ismodule(found):
        return f"the module {found.__name__}"
    if inspect.isroutine(found):
        return f"the function {found.__name__}"
    return type(found).__name__


def lacks(found: Any, attributes: Sequence[str]) -> list[str]:
    """Those of the attributes that an object does not have."""
    return [attribute for attribute in attributes if not hasattr(found, attribute)]


def _there(name: str) -> bool:
    try:
        return name in sys.modules or find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _one(group: Group) -> str:
    return "loss" if group == "losses" else group[:-1]


def split_spec(spec: str) -> tuple[str, str]:
    """ "transformers:PATH" → ("transformers", "PATH"); a name alone has an empty rest."""
    name, _, rest = spec.partition(":")
    return name, rest
