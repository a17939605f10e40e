"""Which option a model finds likeliest: of students that are scored, and of teachers whose own answer is attributed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from ..core.types import Example, Pair, Tick
from ..methods.view import View
from ..tasks.base import split_answer


class Asked(Protocol):
    """What evaluation needs of a student.

    A student may also have `target_ids(text, end)`, its tokens of a text (without it, tokens are not reported), and `family`: for
    "seq2seq" the words before an option stand in the target, because the encoder never saw them in training.
    """

    def answer(self, prompts: Sequence[str], max_tokens: int, batch: int = 32, tick: Tick | None = None) -> list[str]:
        """What it says to each prompt, greedily."""
        ...

    def likelihood(self, pairs: Sequence[Pair], batch: int = 32) -> list[float]:
        """Log-probability of each target given its prompt, summed over its tokens, without an end token."""
        ...


def reason(view: View, raw: str, example: Example) -> str:
    """The explanation in what a student said; where it was cut before its answer, all of it."""
    if view.says[0] == "explanation" and split_answer(raw) == ("", raw):
        return raw.strip()
    return view.read(raw, example.choices)


def likeliest_options(
    student: Asked, view: View, examples: Sequence[Example], raws: Sequence[str], batch: int, per_character: bool = True
) -> list[str | None]:
    """For each example the option with the highest log-likelihood, after the student's own explanation if that comes first.

    Per character (acc_norm of lm-evaluation-harness), so that long options are not worse off; or summed (its acc). None for free answers,
    and where the student gives no finite number.
    """
    split = getattr(student, "family", "") == "seq2seq"
    asked = [choice_pairs(view, example, raw, split) for example, raw in zip(examples, raws, strict=True)]
    return likeliest(student, asked, batch, per_character)


def likeliest(
    student: Asked, asked: Sequence[Sequence[Pair]], batch: int, per_character: bool = True
) -> list[str | None]:
    """For each group of `option_pairs` the option with the highest log-likelihood; see `likeliest_options`."""
    flat = [pair for pairs in asked for pair in pairs]
    values = iter(student.likelihood(flat, batch=batch) if flat else [])
    return [_best([(pair, next(values)) for pair in pairs], per_character) for pairs in asked]


def choice_pairs(view: View, example: Example, raw: str, split: bool = False) -> list[Pair]:
    """`option_pairs` of a view, after the explanation in what a student said if that comes first."""
    before = [reason(view, raw, example)] if view.says[0] == "explanation" else []
    said = " ".join(part for part in (*before, view.lead) if part)
    return option_pairs(view.prompt(example), said, example.choices, split)


def option_pairs(prompt: str, said: str, choices: Sequence[str], split: bool = False) -> list[Pair]:
    """One pair for each different option, adjacent, so that a student can share their beginning; none for free answers.

    `said` are the student's words before the option. With `split` they stand in the target; one more pair, whose option is "", then
    measures those words alone.
    """
    options = list(dict.fromkeys(choices))
    if not said or not split or not options:
        return [Pair(f"{prompt} {said}" if said else prompt, option, option) for option in options]
    return [*(Pair(prompt, f"{said} {option}", option) for option in options), Pair(prompt, said, "")]


def _best(valued: Sequence[tuple[Pair, float]], per_character: bool) -> str | None:
    alone = next((value for pair, value in valued if not pair.option), 0.0)
    ranked = [
        ((value - alone) / (len(pair.option) if per_character else 1), pair.option)
        for pair, value in valued
        if pair.option
    ]
    finite = [item for item in ranked if math.isfinite(item[0])]
    return max(finite, key=lambda item: item[0])[1] if finite else None
