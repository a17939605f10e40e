"""Pairwise judging: which of two explanations of one question is better, asked in both orders, because judges like a place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ...core.types import Prompt, Teacher, Tick, Turn
from ...teachers.ask import KIND, Bill, ask
from ...teachers.prompts import Prompts, fill
from ...teachers.store import Store
from .rating import NOTHING, Construct, Rated, criteria, plain

MAX_TOKENS = 200

_VERDICT = re.compile(
    r"(?:(?i:better|verdict|winner)(?i:\s+explanation)?(?i:\s+is)?)[\s:*_\"'(<]{1,6}(?i:explanation\s+)?"
    r"(?:(?i:a\s+)?(?P<tie>(?i:same|tie|tied|equal|neither|both))|(?P<one>[AB]))\b(?!\s*(?:,\s*B\b|or\b|/))"
)
_TIE = "same"


@dataclass(frozen=True)
class Duel:
    """What a judge said about two explanations, in both orders."""

    forward: str | None
    """"first", "second" or "same", of the two as given; None: could not be read."""
    backward: str | None
    """The same pair shown the other way round, told in the same terms."""

    @property
    def read(self) -> bool:
        """Whether both answers could be read."""
        return self.forward is not None and self.backward is not None

    @property
    def consistent(self) -> bool:
        """Whether the judge said the same in both orders."""
        return self.read and self.forward == self.backward

    @property
    def points(self) -> float | None:
        """Of the first: 1 when preferred in both orders, 0 when the other is; 0.5 for a tie or a verdict that goes with the place."""
        if not self.read:
            return None
        return {"first": 1.0, "second": 0.0}.get(self.forward or "", 0.5) if self.consistent else 0.5


@dataclass
class Duels:
    """What one judge said about some pairs."""

    judge: str
    found: list[Duel]
    bill: Bill

    @property
    def first_position(self) -> float | None:
        """Share of the decided answers that prefer what was shown first; 0.5 without a liking for a place. None: nothing was decided."""
        shown = [(duel.forward, "first") for duel in self.found] + [(duel.backward, "second") for duel in self.found]
        decided = [said == place for said, place in shown if said in ("first", "second")]
        return sum(decided) / len(decided) if decided else None

    @property
    def consistent(self) -> float | None:
        """Share of the read pairs that were judged alike in both orders."""
        read = [duel.consistent for duel in self.found if duel.read]
        return sum(read) / len(read) if read else None

    @property
    def unread(self) -> int:
        """Pairs of which an answer could not be read."""
        return sum(not duel.read for duel in self.found)


def comparing_prompt(prompts: Prompts, asked: Sequence[Construct], first: Rated, second: Rated) -> Prompt:
    """The prompt that shows `first` as A and `second` as B."""
    template = prompts.template("compare")
    form = fill(template.assistant, {"evidence": "<evidence>", "verdict": "<A, B or same>"})
    values = {"text": first.example.text, "criteria": criteria(asked), "form": form}
    for place, rated in (("a", first), ("b", second)):
        values |= {f"answer_{place}": rated.answer or NOTHING, f"explanation_{place}": plain(rated.explanation)}
    turns = (Turn("system", fill(template.system, values)), Turn("user", fill(template.user, values)))
    return Prompt(turns, first.example, KIND, "")


def read_verdict(text: str) -> str | None:
    """ "A", "B" or "same", as a judge's words say; None when they do not say, or say two things."""
    said = {_TIE if match["tie"] else match["one"] for match in _VERDICT.finditer(text)}
    return said.pop() if len(said) == 1 else None


def compare(
    judge: Teacher, pairs: Sequence[tuple[Rated, Rated]], asked: Sequence[Construct], prompts: Prompts, store: Store, seed: int = 0,
    tick: Tick | None = None,
) -> Duels:  # fmt: skip
    """Has a judge compare explanations two by two, each pair in both orders. Two that are the same word for word tie unasked.

    Raises TeacherError when the judge cannot answer, StoreError when the store cannot be written.
    """
    alike = [
        (first.answer, plain(first.explanation)) == (second.answer, plain(second.explanation))
        for first, second in pairs
    ]
    open_pairs = [pair for pair, same in zip(pairs, alike, strict=True) if not same]
    asking = [
        comparing_prompt(prompts, asked, *shown)
        for first, second in open_pairs
        for shown in ((first, second), (second, first))
    ]
    said, bill = ask(judge, asking, store, MAX_TOKENS, seed, tick)
    verdicts = iter(read_verdict(generation.text) for generation in said)
    found = []
    for same in alike:
        if same:
            found.append(Duel(_TIE, _TIE))
        else:
            forward, backward = next(verdicts), next(verdicts)
            found.append(Duel(_told(forward, "first", "second"), _told(backward, "second", "first")))
    return Duels(judge.name, found, bill)


def _told(verdict: str | None, as_a: str, as_b: str) -> str | None:
    return None if verdict is None else {"A": as_a, "B": as_b}.get(verdict, _TIE)
