"""What a report says of questions that came without answers, and whose answers a teacher gave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .fields import block, finite
from .findings import Findings
from .look.numbers import count, listing, percent


def labelled(findings: Findings) -> list[str]:
    """A sentence for each split of which a teacher gave the answers; none where all came with the data."""
    labels = block(findings.data, "labels")
    teacher = str(labels.get("teacher") or "the teacher")
    splits = block(labels, "splits")
    notes = []
    if figures := block(splits, "test"):
        notes.append(
            f"The answers of the test questions are those of {teacher}, not gold answers: accuracy here is agreement "
            f"with the teacher. {_counts(figures)}"
        )
    learned = [split for split in ("train", "dev") if block(splits, split)]
    if learned:
        names = listing([{"train": "training", "dev": "dev"}[split] for split in learned])
        parts = " ".join(_counts(block(splits, split)) for split in learned)
        notes.append(f"The answers of the {names} questions are those of {teacher}. {parts}")
    return notes


def _counts(figures: Mapping[str, Any]) -> str:
    """ "Of 300 questions 280 were labelled, by 5 answers each that agree to 83.0 % (...)"."""
    text = f"Of {count(finite(figures.get('questions')) or 0)} questions "
    text += f"{count(finite(figures.get('labelled')) or 0)} were labelled"
    answers, agreement = finite(figures.get("answers")) or 0, finite(figures.get("agreement"))
    if answers > 1 and agreement is not None:
        text += f", each by {count(answers)} answers, "
        if (unanimous := finite(figures.get("unanimous"))) == 1:
            text += "all of which agree"
        else:
            text += f"of which {percent(agreement)} % agree with the label on average"
            text += "" if unanimous is None else f" and all in {percent(unanimous)} % of the questions"
    reasons = [f"{count(finite(n) or 0)} since {reason}" for reason, n in block(figures, "left_out").items()]
    return text + (f"; left out were {listing(reasons)}." if reasons else ".")
