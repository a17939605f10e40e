"""Which option a model finds likeliest: for students that are scored, and teachers whose own answer is attributed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..core.types import Example, Pair
from ..methods.view import View, answer_pair
from ..tasks.base import split_answer
from ..tasks.literal import possible_answers

if TYPE_CHECKING:
    from .protocol import Student


def reason(view: View, raw: str, example: Example) -> str:
    """The explanation in a student's reply to `view`'s prompt; all of the reply where it was cut before its answer."""
    stated = split_answer(raw) != ("", raw) or (view.lead and view.lead in raw)
    if view.says[0] == "explanation" and not stated:
        return raw.strip()
    return view.read(raw, possible_answers(example, view.letters))


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
            not worse off; otherwise the sum counts (its acc), as always where a letter stands before the words: it
            decides alone, and the words behind it are certain.

    None for free answers, and where the student gives no finite number.
    """
    groups = [choice_pairs(view, example, raw) for example, raw in zip(examples, raws, strict=True)]
    return likeliest(student, groups, batch, per_character and not view.letters)


def option_likelihoods(
    student: Student,
    view: View,
    examples: Sequence[Example],
    raws: Sequence[str],
    batch: int,
    per_character: bool = True,
) -> list[dict[str, float]]:
    """For each example Σ log p of each different option, in the order shown; {} for free answers.

    The arguments are those of `likeliest_options`; `per_character`: options are compared so by whoever reads these
    numbers. A student that chooses among options without writing them gives each a probability that knows no length:
    log p × characters then stands here.
    """
    groups = [choice_pairs(view, example, raw) for example, raw in zip(examples, raws, strict=True)]
    return _likelihoods(student, groups, batch, per_character and not view.letters)


def likeliest(
    student: Student, groups: Sequence[Sequence[Pair]], batch: int, per_character: bool = True
) -> list[str | None]:
    """For each group of `option_pairs` the option with the highest log-likelihood; see `likeliest_options`."""
    return [best(values, per_character) for values in _likelihoods(student, groups, batch, per_character)]


def _likelihoods(
    student: Student, groups: Sequence[Sequence[Pair]], batch: int, per_character: bool = True
) -> list[dict[str, float]]:
    """Option → Σ log p, of each group; see `option_likelihoods`."""
    flat = [pair for pairs in groups for pair in pairs]
    values = iter(student.likelihood(flat, batch=batch) if flat else [])
    lengths = per_character and not getattr(student, "writes", True)
    return [{pair.option: next(values) * (len(pair.option) if lengths else 1) for pair in pairs} for pairs in groups]


def choice_pairs(view: View, example: Example, raw: str) -> list[Pair]:
    """`option_pairs` of a view, after the explanation in a student's reply if the view explains first."""
    explanation = [reason(view, raw, example)] if view.says[0] == "explanation" else []
    before = " ".join(part for part in (*explanation, view.lead) if part)
    return option_pairs(view.prompt(example), before, view.options(example))


def option_pairs(prompt: str, before: str, choices: Sequence[str] | Mapping[str, str]) -> list[Pair]:
    """One pair for each different option, adjacent, so that a student can share their beginning; none for free answers.

    Args:
        prompt: The student's prompt.
        before: The student's words before the option.
        choices: The options; a mapping says how each is named (`View.options`).
    """
    # Some questions list an option twice (122 of CommonsenseQA's training set): it is scored once.
    named = choices if isinstance(choices, Mapping) else dict(zip(choices, choices, strict=True))
    return [answer_pair(prompt, before, text, option) for option, text in named.items()]


def stated_options(view: View, example: Example, pair: Pair) -> list[Pair]:
    """`option_pairs` where the target of a pair states its answer, after the words before it.

    Empty for a pair that states none of the options, and for a view that states its answer in a format of its own.
    """
    options = view.options(example)
    stated = f"{view.named(example, pair.option)}."
    if pair.option not in options or len(options) < 2:
        return []
    if view.says[-1] == "answer" and pair.target.endswith(stated):
        return option_pairs(pair.prompt, pair.target.removesuffix(stated).rstrip(), options)
    first = pair.target.startswith(view.states(pair.option, example))
    return option_pairs(pair.prompt, view.lead, options) if first else []


def best(likelihoods: Mapping[str, float], per_character: bool = True) -> str | None:
    """The option with the highest log-likelihood; see `likeliest_options`."""
    ranked = [(value / (len(option) if per_character else 1), option) for option, value in likelihoods.items()]
    # A diverged student gives NaN, which no comparison orders: its prediction is missing, not the first option.
    finite = [item for item in ranked if math.isfinite(item[0])]
    return max(finite, key=lambda item: item[0])[1] if finite else None
