"""The calls to one server, each with what it may cost at most, counted against the run's budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...core.types import Completion, Turn
from ..budget import Budget
from ..costs import Price, dollars, most_tokens

Tokens = tuple[int, int]
"""(of prompts, of completions)"""


class Meter:
    """Reserves what a question may cost before it is sent, and settles it when its answer comes or is lost.

    Args:
        budget: The run's.
        price: Dollars per million tokens.
    """

    def __init__(self, budget: Budget, price: Price) -> None:
        self.budget, self.price = budget, price
        self._out: dict[int, Tokens] = {}
        self._lost: dict[int, Tokens] = {}
        self._over = (1.0, 1.0)

    def begin(self) -> None:
        """Forget the positions of the questions before."""
        self._out.clear()
        self._lost.clear()

    def most(self, turns: Sequence[Turn], cap: int) -> Tokens:
        """The tokens of one call, at most.

        Where the server counted more than the bound or the cap before, by as much more.
        """
        return int(most_tokens(turns) * self._over[0] + 1), int(cap * self._over[1] + 1)

    def cost(self, tokens: Tokens) -> float:
        """Dollars."""
        return dollars(*tokens, self.price)

    def send(self, position: int, tokens: Tokens) -> bool:
        """Reserve a call's tokens, at most; False when they would pass the budget."""
        if not self.budget.reserve(self.cost(tokens)):
            return False
        self._out[position] = tokens
        return True

    def came(self, position: int, completion: Completion) -> None:
        """Settle a call by the tokens that the server counted; what it did not count, it took at most."""
        most = self._out.pop(position)
        counted = completion.tokens_in, completion.tokens_out
        # Some servers count nothing at all, and no count is 0 where something was read or written.
        nothing = counted[0] and not completion.text and not completion.thoughts
        missing = (0 if counted[0] else most[0], 0 if counted[1] or nothing else most[1])
        self._add(position, missing)
        self._over = (
            max(self._over[0], self._over[0] * counted[0] / most[0]),
            max(self._over[1], self._over[1] * counted[1] / most[1]),
        )
        self.budget.settle(self.cost(most), self.cost(counted) + self.cost(missing))

    def failed(self, position: int, paid: bool) -> None:
        """Settle a call without an answer: for nothing, or if it may have been paid for, by what it took at most."""
        most = self._out.pop(position, None)
        if most is None:
            return
        if paid:
            self._add(position, most)
        self.budget.settle(self.cost(most), self.cost(most) if paid else 0.0)

    def booked(self, position: int, completion: Completion) -> Completion:
        """The completion with what its question may have cost beside it."""
        lost = self._lost.pop(position, None)
        return completion if lost is None else replace(completion, uncounted=lost)

    def end(self) -> None:
        """Settle the calls that never went out."""
        for position in list(self._out):
            self.failed(position, paid=False)

    @property
    def unbooked(self) -> list[int]:
        """Positions of questions that may have cost something, and have no completion yet."""
        return list(self._lost)

    def _add(self, position: int, tokens: Tokens) -> None:
        if any(tokens):
            before = self._lost.get(position, (0, 0))
            self._lost[position] = before[0] + tokens[0], before[1] + tokens[1]
