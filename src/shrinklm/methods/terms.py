"""The further terms of the loss that a recipe may ask for, in words. No model, no torch.

What each computes is in `students/training/losses/`. A term of somebody's own, an entry point of the group
`shrinklm.losses`, takes a weight alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from ..core.errors import nearest
from ..core.registry import names

NUMBER = r"\d*\.?\d+"
"""Matches a number of an option, 0 or above."""


@dataclass(frozen=True)
class Term:
    """A term of the loss as a method's option: NAME, NAME=WEIGHT, NAME=VALUE or NAME=VALUE&WEIGHT."""

    about: str
    """One line."""
    values: Mapping[str, str] = field(default_factory=dict)
    """Each value that may be named, with a line about it."""
    number: str = ""
    """What a number in the place of a value is, such as "temperature"; "": its weight."""
    default: str = ""
    """The value that it has where none is named; "" for a form of its own."""
    weight: float = 1.0
    """Where none is given."""
    needs: tuple[str, ...] = ()
    """The kinds of generation without which it says nothing."""
    says: tuple[str, ...] = ()
    """Each of these, "answer" or "explanation", must be all that a view of the method says (`View.only`)."""
    logits: bool = False
    """Whether it reads the logits of a teacher whose weights are here."""
    chooses: bool = False
    """Whether it is about the options of a question."""
    chances: bool = False
    """Whether it learns how likely a teacher finds the options (`chances.py`)."""

    def read(self, name: str, value: str) -> tuple[str, float]:
        """(the term as `Method.losses` names it, its weight).

        Args:
            name: Of the term.
            value: What stands behind "=" in the recipe; "" for nothing.

        Raises ValueError with what is wrong.
        """
        said, _, last = value.rpartition("&")
        if not said and (last in self.values or self.number):
            said, last = last, ""
        if said and said not in self.values and not (self.number and re.fullmatch(NUMBER, said) and float(said) > 0):
            raise ValueError(self._wanted(name, value))
        if last and not (re.fullmatch(NUMBER, last) and float(last) > 0):
            raise ValueError(self._wanted(name, value))
        if said and said not in self.values:
            said = _plain(said)
        return f"{name}={said}" if said else name, float(last) if last else self.weight

    def whole(self, stated: str) -> str:
        """A term as `Method.losses` names it, with the value that goes without saying: "soft=1" for "soft"."""
        return f"{stated}={self.default}" if self.default and "=" not in stated else stated

    def _wanted(self, name: str, value: str) -> str:
        if not (self.values or self.number):
            return f"'{name}={value}' is not a weight above 0, such as {name}=0.5"
        known = [f"{name}={each}" for each in self.values]
        known += [f"{name}=2 ({self.number})"] if self.number else [f"{name}=0.5 (its weight)"]
        both = f"{known[0].split()[0]}&0.5"
        hint = nearest(value.partition("&")[0], self.values)
        return f"'{name}={value}' is not understood.{hint} Known: {', '.join(known)}; with a weight {both}"


def _plain(number: str) -> str:
    """A decimal number as it is written once: "2" for "2.0", "0.5" for ".50"."""
    return format(Decimal(number).normalize(), "f")


TERMS: Mapping[str, Term] = {
    "options": Term(
        "cross-entropy of the right option under a softmax over the options' log-likelihoods",
        {
            "margin": "each wrong option is less likely than the right one, by a factor of 9 × their number",
            "rest": "binary cross-entropies, of each option against all others together",
        },
        chooses=True,
    ),
    "soft": Term(
        "distance to how likely the teacher finds each option, from the step `label`: log-probabilities, or shares of "
        "several answers",
        number="temperature",
        default="1",
        needs=("label",),
        chooses=True,
        chances=True,
    ),
    "mi": Term(
        "what the targets of the views that answer and explain share, as a cross-entropy between them (arXiv "
        "2403.03348)",
        {
            "released": "as the authors' code computes it: not renormalised, a second softmax",
            "infonce": "each explanation's state is told from those of other questions' answers",
        },
        weight=0.1,
        says=("answer", "explanation"),
    ),
    "deep": Term("states of shallower layers are pulled to the last layer's (after arXiv 2103.07392)", weight=0.05),
    "kd": Term(
        "distance to the next-token distribution of a teacher whose weights are here, forward where nothing is said",
        {
            "forward": "KL(teacher ‖ student): cover all that the teacher holds likely",
            "reverse": "KL(student ‖ teacher): say nothing that the teacher holds unlikely",
            "jsd": "Jensen-Shannon divergence, between the two",
        },
        default="forward",
        logits=True,
    ),
    "mixkd": Term(
        "two questions mixed into one, with both answers and a teacher's distribution on the mix (arXiv 2011.00593)",
        number="a of Beta(a, a), which draws the shares",
        default="0.4",
        logits=True,
        says=("answer",),
    ),
}
"""The terms of this package by their name."""

_OWN = Term("a term of the loss that another package brings")


def term(name: str) -> Term | None:
    """The term of a name; None where nobody has one."""
    return TERMS.get(name) or (_OWN if name in names("losses") else None)
