"""What the questions to teachers and judges came to: counts, tokens, time and dollars."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..core.types import Generation
from .costs import Price, dollars


@dataclass
class Usage:
    """The cost and the outcome of the questions to one teacher or judge.

    The counts add up: found + asked + shared + unasked = kept + refused + retried.
    """

    found: int = 0
    """Generations that were in the store, refused ones included."""
    asked: int = 0
    """Prompts sent, retries included."""
    shared: int = 0
    """Texts that came with the prompt of another one, since both ask the same."""
    unasked: int = 0
    """Texts that were not asked for, since what they build on is refused or missing; counted in `refused` too."""
    retried: int = 0
    """Texts that were refused and taken anew, with another seed."""
    awaited: int = 0
    """Texts that are ordered from a teacher that answers later, and have not come."""
    missing: int = 0
    """Texts that the store lacks and that were not asked for."""
    kept: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Reason → texts that stayed refused."""
    tokens_in: int = 0
    """Of all generations, those from the store included: what it took to make them."""
    tokens_out: int = 0
    seconds: float = 0.0
    cost: float | None = None
    """Dollars; None when no price is known."""
    uncounted: float = 0.0
    """Dollars of `cost`, at most, for calls whose answer or count was lost; under a budget alone."""
    by: dict[str, Usage] = field(default_factory=dict)
    """The part of each teacher, by its name in the recipe, where several take the step."""

    def add(self, generations: Iterable[Generation], price: Price | None) -> None:
        """Add the tokens, the seconds and the cost of generations."""
        for generation in generations:
            self.tokens_in += generation.source.tokens_in
            self.tokens_out += generation.source.tokens_out
            self.seconds += generation.source.seconds
            if price is not None:
                self.uncounted += dollars(*generation.source.uncounted, price)
        if price is not None:
            self.cost = dollars(self.tokens_in, self.tokens_out, price) + self.uncounted

    def include(self, other: Usage) -> None:
        """Add another step's figures."""
        for name, value in vars(other).items():
            if name == "by":
                continue
            if name == "cost":
                self.cost = value if self.cost is None else self.cost + (value or 0.0)
            elif name == "refused":
                self.refused += other.refused
            else:
                setattr(self, name, getattr(self, name) + value)

    def gather(self) -> None:
        """Make the figures those of all teachers together."""
        total = Usage(by=self.by)
        for part in self.by.values():
            total.include(part)
        if any(part.cost is None for part in self.by.values()):
            total.cost = None
        vars(self).update(vars(total))

    def settle(self, refusals: Iterable[str | None]) -> None:
        """Count final texts as kept or refused. A reason counts without its details, which follow a colon."""
        for refusal in refusals:
            if refusal:
                self.refused[refusal.partition(":")[0]] += 1
            else:
                self.kept += 1

    def as_dict(self) -> dict[str, Any]:
        """The record in plain types, for JSON."""
        parts = {name: part.as_dict() for name, part in self.by.items()}
        figures = {name: value for name, value in vars(self).items() if name != "by"}
        return {**figures, "refused": dict(self.refused.most_common())} | ({"by": parts} if parts else {})


@dataclass
class Report:
    """The cost and the outcome of each step, by name."""

    steps: dict[str, Usage] = field(default_factory=dict)
    awaited: list[str] = field(default_factory=list)
    """What was ordered from teachers that answer later, in words; the same call goes on when it has come."""

    @property
    def total(self) -> Usage:
        """All steps together. The cost is None where that of a step is not known."""
        total = Usage()
        for usage in self.steps.values():
            total.include(usage)
        if any(usage.cost is None for usage in self.steps.values()):
            total.cost = None
        return total

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """The report in plain types, for JSON."""
        return {name: usage.as_dict() for name, usage in self.steps.items()}
