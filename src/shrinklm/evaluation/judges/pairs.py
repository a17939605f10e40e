"""Pairwise judging: which of two explanations is better, asked in both orders because of position bias."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ...core.types import Prompt, Tick, Turn
from ...teachers.base import BaseTeacher
from ...teachers.judge import ask_judge
from ...teachers.prompts import Prompts, fill
from ...teachers.steps import JUDGEMENT
from ...teachers.store import Store
from ...teachers.usage import Usage
from .rating import NOTHING, Construct, Rated, criteria, one_line

MAX_TOKENS = 200
"""Cap of a judge's reply: two sentences of evidence and the verdict, as `prompts/compare.md` asks for."""

# A and B count in capitals alone, since "a" is an article; the last part skips "A, B or same", which copies the form.
_VERDICT = re.compile(
    r"(?:(?i:better|verdict|winner)(?i:\s+explanation)?(?i:\s+is)?)[\s:*_\"'(<]{1,6}(?i:explanation\s+)?"
    r"(?:(?i:a\s+)?(?P<tie>(?i:same|tie|tied|equal|neither|both))|(?P<letter>[AB]))\b(?!\s*(?:,\s*B\b|or\b|/))"
)
_TIE = "same"


@dataclass(frozen=True)
class PairVerdict:
    """A judge's verdicts on two explanations, in both orders."""

    forward: str | None
    """"first", "second" or "same", in the order of the pair; None: could not be read."""
    backward: str | None
    """The verdict on the pair in reverse order, again named by the order of the pair."""

    @property
    def read(self) -> bool:
        """Whether both verdicts could be read."""
        return self.forward is not None and self.backward is not None

    @property
    def consistent(self) -> bool:
        """Whether both orders have the same verdict."""
        return self.read and self.forward == self.backward

    @property
    def points(self) -> float | None:
        """Of the first: 1 if preferred in both orders, 0 if the other is; 0.5 for a tie or inconsistent verdicts."""
        if not self.read:
            return None
        # A verdict that changes with the order is about the position, not about the explanations.
        return {"first": 1.0, "second": 0.0}.get(self.forward or "", 0.5) if self.consistent else 0.5


@dataclass
class PairVerdicts:
    """One judge's verdicts on pairs, in their order."""

    judge: str
    verdicts: list[PairVerdict]
    usage: Usage

    @property
    def first_position(self) -> float | None:
        """Share of the verdicts for A or B that are for A, 0.5 without position bias; None without such a verdict."""
        shown_first = [(pair.forward, "first") for pair in self.verdicts]
        shown_first += [(pair.backward, "second") for pair in self.verdicts]
        decided = [verdict == first for verdict, first in shown_first if verdict in ("first", "second")]
        return sum(decided) / len(decided) if decided else None

    @property
    def consistent(self) -> float | None:
        """Share of the read pairs that have the same verdict in both orders."""
        consistent = [pair.consistent for pair in self.verdicts if pair.read]
        return sum(consistent) / len(consistent) if consistent else None

    @property
    def unread(self) -> int:
        """Pairs of which an answer could not be read."""
        return sum(not pair.read for pair in self.verdicts)


def comparing_prompt(prompts: Prompts, constructs: Sequence[Construct], first: Rated, second: Rated) -> Prompt:
    """The prompt that shows `first` as A and `second` as B."""
    template = prompts.template("compare")
    form = fill(template.assistant, {"evidence": "<evidence>", "verdict": "<A, B or same>"})
    values = {"text": first.example.text, "criteria": criteria(constructs), "form": form}
    for letter, rated in (("a", first), ("b", second)):
        values |= {f"answer_{letter}": rated.answer or NOTHING, f"explanation_{letter}": one_line(rated.explanation)}
    turns = (Turn("system", fill(template.system, values)), Turn("user", fill(template.user, values)))
    return Prompt(turns, first.example, JUDGEMENT, "")


def read_verdict(text: str) -> str | None:
    """ "A", "B" or "same", as the judge's text states; None when it states none, or two of them."""
    verdicts = {_TIE if match["tie"] else match["letter"] for match in _VERDICT.finditer(text)}
    return verdicts.pop() if len(verdicts) == 1 else None


def compare(
    judge: BaseTeacher,
    pairs: Sequence[tuple[Rated, Rated]],
    constructs: Sequence[Construct],
    prompts: Prompts,
    store: Store,
    seed: int,
    tick: Tick | None = None,
) -> PairVerdicts:
    """Have a judge compare explanations in pairs, each in both orders. Equal explanations tie without the judge.

    Args:
        judge: The model that compares.
        pairs: Two explanations of the same question each.
        constructs: The qualities in which one is better.
        prompts: The template `compare`.
        store: Holds the judge's texts; each is committed as it comes.
        seed: Of the order of asking.
        tick: Called with (what, done, total, note).

    Raises TeacherError when the judge cannot answer, StoreError when the store cannot be written.
    """
    alike = [
        (first.answer, one_line(first.explanation)) == (second.answer, one_line(second.explanation))
        for first, second in pairs
    ]
    # Between two equal texts a judge can decide by position alone.
    different = [pair for pair, same in zip(pairs, alike, strict=True) if not same]
    questions = [
        comparing_prompt(prompts, constructs, *order)
        for first, second in different
        for order in ((first, second), (second, first))
    ]
    generations, usage = ask_judge(judge, questions, store, MAX_TOKENS, seed, tick)
    # Taken in turn, two for each different pair: the order in which `questions` was built.
    letters = iter([read_verdict(generation.text) for generation in generations])
    verdicts = []
    for same in alike:
        if same:
            verdicts.append(PairVerdict(_TIE, _TIE))
        else:
            forward, backward = next(letters), next(letters)
            verdicts.append(PairVerdict(_named(forward, "first", "second"), _named(backward, "second", "first")))
    return PairVerdicts(judge.name, verdicts, usage)


def _named(verdict: str | None, a: str, b: str) -> str | None:
    """A verdict by the order of the pair, where `a` stood as A in the prompt and `b` as B."""
    return None if verdict is None else {"A": a, "B": b}.get(verdict, _TIE)
