"""What the texts of a generation have cost so far, and what all of them will."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..core.errors import BudgetError
from ..core.types import Example
from .ask import Asker
from .budget import Budget, outlook
from .costs import dollars, expected_tokens, money
from .prompts import Prompts
from .steps import STEPS, StepRequest
from .usage import Report, Usage


@dataclass
class _Part:
    """One round of one step."""

    items: int
    """Its texts."""
    each: float | None
    """Dollars for one of them, estimated; None when no price is known."""
    done: int = 0


class Forecast:
    """The dollars for all steps.

    What is there counts with what it cost, the rest with the mean of its step so far, and a step of which nothing is
    there with an estimate.

    Args:
        report: The steps' figures, which grow.
    """

    def __init__(self, report: Report) -> None:
        self.report = report
        self._parts: dict[tuple[str, str, int], _Part] = {}

    def add(
        self, request: StepRequest, number: int, examples: Sequence[Example], prompts: Prompts, asker: Asker, by: str
    ) -> None:
        """Add a round of a step; `by` names the teacher where several take it."""
        step, price, each = STEPS[request.name], asker.price, None
        if price is not None and not asker.teacher.reads and not step.marks and examples:
            turns = prompts.prompt(step, examples[0], "", dict.fromkeys(step.needs, ""), request.max_words).turns
            # Half the cap, of a text that is written as of one that is quoted.
            half = (request.max_tokens or step.max_tokens) // 2
            each = dollars(expected_tokens(turns) + half * len(step.needs), half, price)
        items = (request.samples or 1) * sum(len(step.answers(example)) for example in examples)
        self._parts[step.name, by, number] = _Part(items, each)

    def reached(self, step: str, by: str, number: int, done: int) -> None:
        """So many texts of a round are there."""
        part = self._parts[step, by, number]
        part.done = min(done, part.items)

    @property
    def left(self) -> int:
        """Texts that are not there yet."""
        return sum(part.items - part.done for part in self._parts.values())

    @property
    def spent(self) -> float | None:
        """Dollars for what is there; None when no price is known."""
        costs = [usage.cost for usage in self.report.steps.values() if usage.cost is not None]
        return sum(costs) if costs else None

    @property
    def projected(self) -> float | None:
        """Dollars for all; None when the price of a step is not known."""
        total = self.spent or 0.0
        for (step, by, _), part in self._parts.items():
            left = part.items - part.done
            if left:
                each = self._each(step, by, part)
                if each is None:
                    return None
                total += left * each
        return total

    def stopped(self, error: BudgetError, budget: Budget | None) -> BudgetError:
        """The error that a budget ended the asking with, with what is left and what to type."""
        if budget is None:
            return error
        # What other texts cost, such as those of the judges, is spent too.
        others = budget.spent - (self.spent or 0.0)
        return outlook(error, budget, self.left, (self.projected or 0.0) + others)

    def note(self, usage: Usage, budget: Budget | None) -> str:
        """A step's counts and all steps' dollars, for a line of progress."""
        text = f"{usage.found:,} found, {usage.asked:,} asked, {usage.tokens_in + usage.tokens_out:,} tokens"
        spent = self.spent
        if spent is None:
            return text
        projected = self.projected
        text += f", {money(spent)}" + (f" of about {money(projected)}" if projected and self.left else "")
        return text + (f", budget {money(budget.limit)}" if budget else "")

    def _each(self, step: str, by: str, part: _Part) -> float | None:
        done = sum(other.done for (*which, _), other in self._parts.items() if which == [step, by])
        usage = self.report.steps.get(step)
        usage = usage.by.get(by) if usage and by else usage
        return usage.cost / done if done and usage and usage.cost else part.each
