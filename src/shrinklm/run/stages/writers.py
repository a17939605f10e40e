"""The teachers of a run that write, and which of them takes which step."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ...core.errors import RecipeError
from ...teachers.base import BaseTeacher, make_teacher
from ...teachers.budget import Budget, check_price
from ...teachers.generate import Asked, GenerateSettings
from ...teachers.prompts import Prompts
from ...teachers.steps import STEPS, StepRequest, plan
from ...teachers.taker import sampling_of
from ...teachers.usage import Report
from ..asked import TeacherBlock
from ..code import allow
from ..engines.base import Engine
from ..recipe import Recipe

Several = Mapping[str, Mapping[str, Asked]]
"""Step → the teachers that take it, by name; "" for one that takes it alone."""


@dataclass(frozen=True)
class Taker:
    """A teacher that takes a step."""

    by: str
    """Its name in the recipe, where several take the step; "" for one that takes it alone."""
    teacher: BaseTeacher
    block: TeacherBlock


class Writers:
    """The teachers of a recipe, their weights not yet loaded. The first takes every step that names no other.

    Args:
        recipe: The settings of the run.
        instead: Takes every step, whoever the recipe names.
        engine: Says where the others are asked; None: here.
    """

    def __init__(self, recipe: Recipe, instead: BaseTeacher | None = None, engine: Engine | None = None) -> None:
        allow(recipe)
        self.recipe, self.instead, self.engine = recipe, instead, engine
        self.budget = None if recipe.budget is None else Budget(recipe.budget)
        """Shared by all of them, and by the judges."""
        if instead is not None:
            instead.budget = self.budget

    def check_prices(self) -> None:
        """Raises RecipeError where the recipe has a budget, and a teacher whose price is not known."""
        for step in self.recipe.generate if self.budget else ():
            for each in () if STEPS[step.name].marks else self.takers(step.name):
                price = each.block.price or each.teacher.price
                if not each.teacher.free and (price or not each.teacher.unpaid):
                    check_price(price, each.teacher.name, "teacher")

    def check_same(self, steps: Iterable[StepRequest]) -> None:
        """Raises RecipeError where two names of a step are one teacher, whose texts are the same and bought once."""
        for request in steps:
            known: dict[tuple[Any, ...], str] = {}
            for each in self.takers(request.name):
                teacher, settings = each.teacher, _settings(each.block)
                tries = [sampling_of(teacher, settings, request, place, 0) for place in range(request.samples or 1)]
                # The seed of a greedy text changes nothing.
                drawn = [replace(one, seed=one.seed if one.temperature else 0) for one in tries]
                who = (teacher.name, teacher.revision, teacher.tokenizer_revision, *drawn)
                if (first := known.setdefault(who, each.by)) != each.by:
                    advice = (
                        "take one out" if teacher.reads else f"write samples: {2 * len(tries)}, or another temperature"
                    )
                    raise RecipeError(
                        f"`generate`: '{first}' and '{each.by}' are the same teacher: {advice}. Both are "
                        f"{teacher.name}, asked in the same way: each '{request.name}' of one is that of the other."
                    )

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
        takers = (each for step in self.recipe.generate for each in self.takers(step.name))
        return list(dict.fromkeys(filter(None, [self.first, *(each.teacher for each in takers)])))

    def takers(self, step: str) -> list[Taker]:
        """The teachers that take a step; none where the recipe has no teacher."""
        names = next((each.teachers for each in self.recipe.generate if each.name == step), ())
        if self.instead is not None or not names:
            return [Taker("", self.first, self.block(step))] if self.first is not None else []
        by = names if len(names) > 1 else ("",)
        return [Taker(one, self._named[name], self.recipe.named[name]) for one, name in zip(by, names, strict=True)]

    def of(self, step: str) -> BaseTeacher | None:
        """The teacher that takes a step, or the first of several."""
        return next((each.teacher for each in self.takers(step)), None)

    def block(self, step: str) -> TeacherBlock:
        """The recipe's block of the teacher that takes a step, or of the first of several."""
        name = next((each.teachers[0] for each in self.recipe.generate if each.name == step and each.teachers), None)
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
    def others(self) -> Several:
        """The steps that others than the first teacher alone take."""
        return {
            step: _asked(takers)
            for step in STEPS
            if (takers := self.takers(step)) and (len(takers) > 1 or takers[0].teacher is not self.first)
        }

    @property
    def read_too(self) -> Several:
        """Of the steps that recordings and models take, the recordings alone."""
        return {
            step: _asked(read)
            for step in STEPS
            if (read := [each for each in self.takers(step) if each.teacher.reads]) and step not in self.reads
        }

    @property
    def reads(self) -> Collection[str]:
        """The steps whose teachers are recordings."""
        return self._steps(lambda teacher: teacher.reads)

    @property
    def free(self) -> Collection[str]:
        """The steps whose teachers cost nothing."""
        return self._steps(lambda teacher: teacher.free)

    def without_cost(
        self, teacher: BaseTeacher, requests: Sequence[StepRequest], lacking: Report
    ) -> list[tuple[list[StepRequest], Several]]:
        """What can be had for nothing of the texts that the store lacks: steps, and who takes them.

        Args:
            teacher: Takes the steps that name no other, or marks words.
            requests: Its steps.
            lacking: What the store lacks of them.
        """
        if all(STEPS[request.name].marks for request in requests):
            whole = list(requests) if teacher.free else []
        else:  # with all that they build on
            free, reads = self.free, self.reads
            whole = [each for each in requests if all(needed.name in free for needed, _ in plan([each], reads))]
        read = self.read_too
        part = [
            each for each in requests if any(lacking.steps[each.name].by[by].missing for by in read.get(each.name, ()))
        ]
        missing = any(lacking.steps[request.name].missing for request in whole)
        return [*([(whole, self.others)] if missing else []), *([(part, {**self.others, **read})] if part else [])]

    def by_teacher(self, steps: Iterable[str]) -> dict[BaseTeacher, list[str]]:
        """Teacher → those of the steps that it takes."""
        grouped: dict[BaseTeacher, list[str]] = {}
        for step in steps:
            for each in self.takers(step):
                grouped.setdefault(each.teacher, []).append(step)
        return grouped

    def _steps(self, fits: Callable[[BaseTeacher], bool]) -> list[str]:
        return [step for step in STEPS if (takers := self.takers(step)) and all(fits(each.teacher) for each in takers)]

    @cached_property
    def _named(self) -> Mapping[str, BaseTeacher]:
        return {name: self._opened(block) for name, block in self.recipe.named.items()}

    def _opened(self, block: TeacherBlock) -> BaseTeacher:
        options = replace(block.options(self.recipe.root), run=self.recipe.run_folder)
        teacher = make_teacher(block.use, options)
        teacher.budget = self.budget
        return teacher if self.engine is None else self.engine.spread(teacher, block.use, options)


def _asked(takers: Iterable[Taker]) -> dict[str, Asked]:
    return {each.by: (each.teacher, _settings(each.block)) for each in takers}


def _settings(block: TeacherBlock) -> GenerateSettings:
    return GenerateSettings(block.temperature, block.top_p, block.seed, block.retries, block.price)
