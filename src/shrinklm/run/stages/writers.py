"""The teachers of a run that write, and which of them takes which step."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from functools import cached_property

from ...teachers.base import BaseTeacher, make_teacher
from ...teachers.budget import Budget, check_price
from ...teachers.generate import GenerateSettings, Others
from ...teachers.prompts import Prompts
from ...teachers.steps import STEPS
from ..asked import TeacherBlock
from ..recipe import Recipe


class Writers:
    """The teachers of a recipe, their weights not yet loaded. The first takes every step that names no other.

    Args:
        recipe: The settings of the run.
        instead: Takes every step, whoever the recipe names.
    """

    def __init__(self, recipe: Recipe, instead: BaseTeacher | None = None) -> None:
        self.recipe, self.instead = recipe, instead
        self.budget = None if recipe.budget is None else Budget(recipe.budget)
        """Shared by all of them, and by the judges."""
        if instead is not None:
            instead.budget = self.budget

    def check_prices(self) -> None:
        """Raises RecipeError where the recipe has a budget, and a teacher whose price is not known."""
        for step in self.recipe.generate if self.budget else ():
            teacher = None if STEPS[step.name].marks else self.of(step.name)
            if teacher is not None and not teacher.free:
                price = self.block(step.name).price or teacher.price
                if price or not teacher.unpaid:
                    check_price(price, teacher.name, "teacher")

    def check_access(self, kinds: Iterable[str], prompts: Prompts) -> None:
        """Raises what asking the teachers of these steps would raise, as far as it can be told before."""
        for teacher, steps in self.by_teacher(kinds).items():
            teacher.check()
            teacher.check_access(steps)
            for name in steps:
                if not STEPS[name].marks and not teacher.reads:
                    prompts.check(STEPS[name])

    @cached_property
    def first(self) -> BaseTeacher | None:
        """The teacher that takes the steps which name none; None where the recipe has no teacher.

        Raises what opening a teacher raises.
        """
        if self.instead is not None or self.recipe.teacher is None:
            return self.instead
        return next(iter(self._named.values()), None) or self._opened(self.recipe.teacher)

    @property
    def all(self) -> list[BaseTeacher]:
        """Every teacher that takes a step, the first one first."""
        return list(dict.fromkeys(filter(None, [self.first, *(self.of(step.name) for step in self.recipe.generate)])))

    def of(self, step: str) -> BaseTeacher | None:
        """The teacher that takes a step."""
        name = self._name(step)
        return self.first if self.instead is not None or name is None else self._named[name]

    def block(self, step: str) -> TeacherBlock:
        """The recipe's block of the teacher that takes a step."""
        name = self._name(step)
        # Without a teacher words are marked at most, and no setting changes those.
        return (self.recipe.teacher or TeacherBlock(use="")) if name is None else self.recipe.named[name]

    def settings(self, step: str) -> GenerateSettings:
        """The settings with which a step is taken."""
        return _settings(self.block(step))

    def named(self, name: str) -> tuple[BaseTeacher, GenerateSettings]:
        """A teacher of the recipe by its name, or the one of a spec, with its settings. Raises what opening raises."""
        if name in self.recipe.named:
            return self.instead or self._named[name], _settings(self.recipe.named[name])
        block = self.recipe.teacher
        if block is not None and block.use == name and self.first is not None:
            return self.first, _settings(block)
        block = TeacherBlock(use=name)
        return self.instead or self._opened(block), _settings(block)

    @property
    def others(self) -> Others:
        """The steps that another than the first teacher takes."""
        return {
            step: (teacher, self.settings(step))
            for step in STEPS
            if (teacher := self.of(step)) is not None and teacher is not self.first
        }

    @property
    def reads(self) -> Collection[str]:
        """The steps whose teacher is a recording."""
        return self._steps(lambda teacher: teacher.reads)

    @property
    def free(self) -> Collection[str]:
        """The steps whose teacher costs nothing."""
        return self._steps(lambda teacher: teacher.free)

    def by_teacher(self, steps: Iterable[str]) -> dict[BaseTeacher, list[str]]:
        """Teacher → those of the steps that it takes."""
        grouped: dict[BaseTeacher, list[str]] = {}
        for step in steps:
            if (teacher := self.of(step)) is not None:
                grouped.setdefault(teacher, []).append(step)
        return grouped

    def _steps(self, fits: Callable[[BaseTeacher], bool]) -> list[str]:
        return [step for step in STEPS if (teacher := self.of(step)) is not None and fits(teacher)]

    def _name(self, step: str) -> str | None:
        """The name of the teacher that a step of the recipe names."""
        return next((each.teacher for each in self.recipe.generate if each.name == step), None)

    @cached_property
    def _named(self) -> Mapping[str, BaseTeacher]:
        return {name: self._opened(block) for name, block in self.recipe.named.items()}

    def _opened(self, block: TeacherBlock) -> BaseTeacher:
        options = replace(block.options(self.recipe.root), run=self.recipe.run_folder)
        teacher = make_teacher(block.use, options)
        teacher.budget = self.budget
        return teacher


def _settings(block: TeacherBlock) -> GenerateSettings:
    return GenerateSettings(block.temperature, block.top_p, block.seed, block.retries, block.price)
