"""The dollars that a run may spend: no call goes out that could pass them, with what those in flight may cost."""

from __future__ import annotations

import threading

from ..core.errors import BudgetError, RecipeError
from .costs import Price, money

SLACK = 1e-9
"""Dollars: prices are no binary fractions, and sums of them are off by less than this."""


class Budget:
    """What is spent, and what the calls that are out may cost at most.

    One for a run: its teachers and judges share it. Texts that were found in the store have been paid for, and count.

    Args:
        limit: In dollars.
    """

    def __init__(self, limit: float) -> None:
        self.limit, self.spent = limit, 0.0
        self.out = 0
        """Calls in flight."""
        self.held_at = 0
        """The calls that were in flight when the next one had to wait for them for the first time."""
        self._reserved = 0.0
        self._counted: set[str] = set()
        self._ordered: dict[str, float] = {}
        # A teacher may ask in a thread of its own.
        self._lock = threading.Lock()

    def count(self, key: str, cost: float) -> None:
        """Count a stored text, the first time that it is found."""
        with self._lock:
            if key not in self._counted:
                self._counted.add(key)
                self.spent += cost

    def know(self, key: str) -> None:
        """Note that a text's cost is in `spent`."""
        with self._lock:
            self._counted.add(key)

    def fits(self, most: float) -> bool:
        """Whether calls of this cost at most would stay within the limit, together with those that are out."""
        with self._lock:
            return self._fits(most)

    def reserve(self, most: float) -> bool:
        """Set aside what a call may cost at most; False when it does not fit."""
        with self._lock:
            if not self._fits(most):
                self.held_at = self.held_at or self.out
                return False
            self._reserved += most
            self.out += 1
            return True

    def settle(self, most: float, cost: float) -> None:
        """Replace what was reserved for a call by what it cost."""
        with self._lock:
            self.out -= 1
            self._reserved = self._reserved - most if self.out else 0.0
            self.spent += cost

    def pay(self, key: str, cost: float) -> None:
        """Count a text that came, in place of what its order reserved."""
        if key in self._ordered:
            self.settle(self._ordered.pop(key), cost)
        else:
            self.spent += cost

    def order(self, key: str, most: float) -> None:
        """Reserve what a text that comes later may cost at most."""
        if key not in self._ordered and self.reserve(most):
            self._ordered[key] = most

    def ordered(self, key: str) -> bool:
        """Whether a text is ordered, and its cost reserved."""
        return key in self._ordered

    def exceeded(self, most: float) -> BudgetError:
        """The error that ends the run before a call of this cost at most."""
        came = f" ({self.held_at:,} answers that were out have come and are stored)" if self.held_at else ""
        return BudgetError(
            f"The next call could pass the budget of {money(self.limit)}: {money(self.spent)} are spent, "
            f"{self.out:,} calls are in flight{came}, and the next one may cost up to {money(most)}."
        )

    def _fits(self, most: float) -> bool:
        return self.spent + self._reserved + most <= self.limit + SLACK


def outlook(error: BudgetError, budget: Budget, left: int, projected: float) -> BudgetError:
    """The error with what is left to ask and what to type.

    Args:
        error: That of `Budget.exceeded`.
        budget: The run's.
        left: Texts that are not there yet.
        projected: Dollars for all texts of the run, those that are there included.
    """
    # A tenth more: the rest may take longer texts and more retries than what it is estimated from.
    enough = max(1.1 * projected, budget.limit * 1.1, budget.spent)
    rest = max(0.0, projected - budget.spent)
    return BudgetError(
        f"{error} {left:,} texts are left to ask, for about {money(rest)}; about {money(projected)} in all. "
        f"Everything that came is stored. To go on, write `budget: {_rounded_up(enough)} USD` into the recipe and run "
        "the same command again."
    )


def check_price(price: Price | None, name: str, role: str) -> None:
    """Raises RecipeError when a budget cannot be kept, because a price is not known."""
    missing = [key for key in ("input", "output") if key not in (price or {})]
    if missing:
        what = "The price" if len(missing) == 2 else f"The price of {missing[0]}"
        raise RecipeError(
            f"{what} of the {role} '{name}' is not known, so that the recipe's `budget:` cannot be kept. Add dollars "
            f"per million tokens under `{role}:`, such as `price: {{input: 0.5, output: 1.5}}`; 0 if nothing is paid."
        )


def _rounded_up(value: float) -> str:
    """With two digits, not below the value."""
    if value >= 100:
        return f"{-(-value // 1):.0f}"
    digits = 2
    while value and value * 10**digits < 10:
        digits += 1
    return f"{-(-value * 10**digits // 1) / 10**digits:.{digits}f}"
