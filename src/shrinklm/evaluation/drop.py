"""Single texts of a teacher left out of training by a measure of the audit, beside the gate on a whole step.

A text that is left out counts as a refused one: views that need it are not built of its question, or of its option, and
an example of which a method can build nothing gives its place to the next one. So every method sees as many examples as
before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..core.types import Example, Generation, that_counts
from ..methods.view import Generations
from ..teachers.refusals import refused_alone
from .audit import ARGUES, TextAudit, audit_text, same_labels

LEAKS = "left out for stating its answer"
OTHER = "left out for arguing for another option"
LITTLE = "left out for too little support"
RULES = "left out by the present rules for refusals"


@dataclass(frozen=True)
class Drop:
    """The measures by which texts are left out."""

    steps: tuple[str, ...]
    """Whose texts; none: those of all steps that argue for an answer."""
    support: float | None
    """Texts with less support than this, from 0 to 1; see `support_of`."""
    leaks: bool
    """Texts that state their answer outright."""
    argues_other: bool
    """Texts that argue for another option."""
    rules: bool
    """Stored texts that were kept when they were written and that the present rules refuse."""

    def concerns(self, generation: Generation) -> bool:
        """Whether a text may be left out: one of the steps, not refused when it was written."""
        return not generation.refusal and generation.kind in (self.steps or ARGUES)

    def reason(self, example: Example, generation: Generation, audit: TextAudit) -> str | None:
        """Why a text is left out; None where it stays, or was refused when it was written."""
        if not self.concerns(generation):
            return None
        if self.rules and refused_alone(example, generation.kind, generation.answer, generation.text):
            return RULES
        if self.argues_other and audit.argues_other:
            return OTHER
        if self.leaks and audit.leaks:
            return LEAKS
        return LITTLE if self.support is not None and support_of(audit) < self.support else None


def support_of(audit: TextAudit) -> float:
    """How far a text supports its answer: 1 where it argues for it, ½ where it only names it, 0 where it does neither.

    Without options there is nothing to be told from, and to name the answer is enough for 1. 0 too where a text argues
    for another option.
    """
    if not audit.supports:
        return 0.0
    return 0.5 if audit.argues_own is False else 1.0


def leave_out(
    examples: Sequence[Example], generations: Mapping[str, Generations], drop: Drop
) -> tuple[dict[str, dict[tuple[str, str], Generation]], dict[str, Counter[str]]]:
    """(the generations, those left out with the reason as their refusal; step → reason → texts)."""
    labels = same_labels(examples)
    counts: dict[str, Counter[str]] = {}
    kept: dict[str, dict[tuple[str, str], Generation]] = {}
    for example in examples:
        slots = kept[example.id] = dict(generations.get(example.id, {}))
        for slot, generation in slots.items():
            texts = list(generation.texts)
            for index, text in enumerate(texts):
                if not drop.concerns(text):
                    continue
                reason = drop.reason(example, text, audit_text(example, text, labels=labels))
                if reason is not None:
                    texts[index] = replace(text, refusal=reason)
                    counts.setdefault(text.kind, Counter())[reason] += 1
            slots[slot] = that_counts(texts)
    return kept, counts


def left_out(generations: Iterable[Generation]) -> dict[str, dict[str, int]]:
    """Step → reason → texts that were left out."""
    counts: dict[str, Counter[str]] = {}
    for generation in generations:
        if generation.refusal in (LEAKS, OTHER, LITTLE, RULES):
            counts.setdefault(generation.kind, Counter())[generation.refusal] += 1
    return {step: dict(reasons.most_common()) for step, reasons in sorted(counts.items())}
