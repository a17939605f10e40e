"""Which option a model finds likeliest: for students that are scored, and teachers whose own answer is attributed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..core.types import Example, Pair
from ..methods.view import View
from ..tasks.base import split_answer
from ..tasks.literal import possible_answers

if TYPE_CHECKING:
    from .base import Student


def reason(view: View, raw: str, example: Example) -> str:
    """The explanation in a student's reply to `view`'s prompt; all of the reply where it was cut before its answer."""
    if view.says[0] == "explanation" and split_answer(raw) == ("", raw):
        return raw.strip()
    return view.read(raw, possible_answers(example))


def likeliest_options(
    student: Student,
    view: View,
    examples: Sequence[Example],
    raws: Sequence[str],
    batch: int,
    per_character: bool = True,
) -> list[str | None]:
    """For each example the option with the highest log-likelihood.

    A view that explains first is asked after the student's own explanation.

    Args:
        student: Scores the options.
        view: The view that answers.
        examples: The questions.
        raws: The student's reply to each example.
        batch: Questions in one pass.
        per_character: Divide by the length of the option (acc_norm of lm-evaluation-harness), so that long options are
            not worse off; otherwise the sum counts (its acc).

    None for free answers, and where the student gives no finite number.
    """
    groups = [
        choice_pairs(view, example, raw, student.premise_in_target) for example, raw in zip(examples, raws, strict=True)
    ]
    return likeliest(student, groups, batch, per_character)


def likeliest(
    student: Student, groups: Sequence[Sequence[Pair]], batch: int, per_character: bool = True
) -> list[str | None]:
    """For each group of `option_pairs` the option with the highest log-likelihood; see `likeliest_options`."""
    flat = [pair for pairs in groups for pair in pairs]
    values = iter(student.likelihood(flat, batch=batch) if flat else [])
    return [_best([(pair, next(values)) for pair in pairs], per_character) for pairs in groups]


def choice_pairs(view: View, example: Example, raw: str, premise_in_target: bool = False) -> list[Pair]:
    """`option_pairs` of a view, after the explanation in a student's reply if the view explains first."""
    explanation = [reason(view, raw, example)] if view.says[0] == "explanation" else []
    premise = " ".join(part for part in (*explanation, view.lead) if part)
    return option_pairs(view.prompt(example), premise, example.choices, premise_in_target)


def option_pairs(prompt: str, premise: str, choices: Sequence[str], premise_in_target: bool = False) -> list[Pair]:
    """One pair for each different option, adjacent, so that a student can share their beginning; none for free answers.

    Args:
        prompt: The student's prompt.
        premise: The student's words before the option.
        choices: The options.
        premise_in_target: The premise opens the target instead of closing the prompt; one more pair, whose option is
            "", then measures the premise alone.
    """
    # Some questions list an option twice (122 of CommonsenseQA's training set): it is scored once.
    options = list(dict.fromkeys(choices))
    if not premise or not premise_in_target or not options:
        return [Pair(f"{prompt} {premise}" if premise else prompt, option, option) for option in options]
    return [*(Pair(prompt, f"{premise} {option}", option) for option in options), Pair(prompt, premise, "")]


def _best(valued: Sequence[tuple[Pair, float]], per_character: bool) -> str | None:
    # log p(option | prompt, premise) = log p(whole target) - log p(premise).
    premise = next((value for pair, value in valued if not pair.option), 0.0)
    ranked = [
        ((value - premise) / (len(pair.option) if per_character else 1), pair.option)
        for pair, value in valued
        if pair.option
    ]
    # A diverged student gives NaN, which no comparison orders: its prediction is missing, not the first option.
    finite = [item for item in ranked if math.isfinite(item[0])]
    return max(finite, key=lambda item: item[0])[1] if finite else None
