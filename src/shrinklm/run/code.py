"""What of a recipe is code, and whether it may run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from ..core import trust
from ..core.registry import Group, is_own, place_of
from .recipe import Recipe
from .values import Block


def allow(recipe: Recipe) -> None:
    """Called before anything that a recipe names is imported. Raises RecipeError for code that nobody trusts.

    A recipe that a program made, of no file, is the program's own.
    """
    if recipe.file is not None:
        trust.need(recipe.file, list(code_of(recipe)))


def code_of(recipe: Recipe) -> Iterator[str]:
    """A line about each name of a recipe that imports a module, and each checkpoint that brings code of its own."""
    for key, group, spec in _names(recipe):
        if spec is not None and is_own(group, spec) and not _of_the_program(spec):
            yield f"{key}: {spec}, from {place_of(spec)}"
    for key, block in _blocks(recipe, ""):
        if getattr(block, "trust_remote_code", False):
            whose = getattr(block, "use", None) or "the teacher"
            yield f"{key}.trust_remote_code: code that comes with {whose!r}"


def _of_the_program(spec: str) -> bool:
    """Whether a name leads into a module of the current project that the program at work has imported itself."""
    file = getattr(sys.modules.get(spec.partition(":")[0]), "__file__", None)
    if file is None or any(Path(file).is_relative_to(place) for place in (sys.prefix, sys.base_prefix)):
        return False  # what is installed in the project is not the project's
    return "site-packages" not in Path(file).parts and trust.trusted(Path(file))


def _names(recipe: Recipe) -> Iterator[tuple[str, Group, str | None]]:
    """(key, group, name) of everything in a recipe that is found by its name."""
    yield "task.use", "tasks", recipe.task.use
    for name, block in recipe.named.items():
        yield f"teacher.{name}.use", "teachers", block.use
    if recipe.teacher is not None and not recipe.named:
        yield "teacher.use", "teachers", recipe.teacher.use
    yield "salient.use", "teachers", recipe.salient.use
    yield from (("methods", "methods", method) for method in recipe.methods)
    yield from (("student.use", "students", student.use) for student in recipe.student)
    yield from (("evaluate.metrics", "metrics", metric) for metric in recipe.evaluate.metrics)
    if recipe.evaluate.simulator is not None:
        yield "evaluate.simulator.use", "students", recipe.evaluate.simulator.use
    yield from (("judge.use", "teachers", judge.use) for judge in (recipe.judge.use if recipe.judge else ()))
    # Either may be a spec in the place of a name.
    yield "distil.teacher", "teachers", recipe.distil.teacher if recipe.distil else None
    yield "cascade.teacher", "teachers", recipe.cascade.teacher if recipe.cascade else None


def _blocks(block: Block, key: str) -> Iterator[tuple[str, Block]]:
    """The blocks inside a block, at any depth, each once."""
    for name in type(block).model_fields:
        value = getattr(block, name)
        if name == "teacher" and getattr(block, "named", None):
            continue  # the first of `named`
        place = f"{key}.{name}".lstrip(".").replace("named", "teacher")
        several = value.items() if isinstance(value, dict) else ((None, each) for each in _each(value))
        for part, inner in several:
            if isinstance(inner, Block):
                inside = place if part is None else f"{place}.{part}"
                yield inside, inner
                yield from _blocks(inner, inside)


def _each(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else (value,)
