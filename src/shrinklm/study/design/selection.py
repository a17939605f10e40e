"""Makes a study from finished runs: draws its questions by strata, and writes the folder that everything else reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ...core.errors import StudyError
from .booklets import UNEXPLAINED, Design, Question
from .folder import Study
from .form import FORMS, Form, Kind
from .pool import Pool, read_pool

STRATA: Mapping[str, float] = {"right": 0.5, "differ": 0.3, "wrong": 0.2}
"""Shares of the questions: every condition right; their answers differ; all alike and wrong."""
_DRAWS = 400
"""Selections among which the one is taken whose conditions are closest in length."""


@dataclass(frozen=True)
class Settings:
    """What a study is to be, beside its conditions."""

    kind: Kind = "rating"
    form: Path | None = None
    """A study.yaml of the researcher's; None: the shipped one of the `kind`."""
    questions: int = 48
    """Questions to draw."""
    per_person: int = 12
    """Items that one person sees, without practice and attention checks."""
    raters_per_item: int = 3
    """People who rate each question in each condition, at least."""
    seed: int = 0
    """Seed of the questions drawn and of the booklets."""
    strata: Mapping[str, float] = field(default_factory=lambda: STRATA)
    """Stratum → share of the questions."""
    match_length: float | None = None
    """Only questions whose longest explanation is at most 1 + this times the shortest; None: all."""
    baseline: bool = False
    """In a forward simulation: every condition also without its explanation."""


DEFAULTS = Settings()


def create(home: Path, runs: Sequence[Path], conditions: Sequence[str], settings: Settings = DEFAULTS) -> Study:
    """Make the folder of a study.

    Args:
        home: folder to make.
        runs: folders of finished runs.
        conditions: what to compare, as `read_pool` reads them.
        settings: see `Settings`.

    Raises:
        StudyError: too few questions, numbers that do not fit together, or a folder that holds a study already.
        StoreError: a folder is no run, or the study cannot be written.
    """
    form, form_text = _read_form(settings)
    pool = read_pool(runs, conditions, settings.baseline)
    usable, left_out = _usable(pool, form)
    lengths_pool = _lengths(usable, pool.origins)
    if settings.match_length is not None:
        usable = _alike(usable, settings.match_length, settings.questions + form.practice)
    if len(usable) < settings.questions + form.practice:
        raise StudyError(
            f"There are {len(usable)} questions that every condition explains, and {settings.questions} are to be "
            "asked "
            f"beside {form.practice} to practise on. Write --questions {max(1, len(usable) - form.practice)} or fewer, "
            "or name other conditions."
        )
    # Each stream of random numbers has its own key, [seed, 0] here and [seed, 1..4] in `Design`: drawing more in one
    # changes no other.
    rng = np.random.default_rng([settings.seed, 0])
    chosen, wanted = _draw(usable, settings.questions, settings.strata, rng, settings.match_length is not None)
    taken = {question.id for question in chosen}
    rest = [question for question in usable if question.id not in taken]
    practice = [rest[index] for index in rng.permutation(len(rest))[: form.practice]]
    design = _design(settings, form, tuple(pool.origins), chosen, practice)
    design.check()
    strata = {
        name: {"pool": _count(usable, name), "wanted": wanted[name], "chosen": _count(chosen, name)} for name in STRATA
    }
    facts: dict[str, Any] = {
        "pool": len(pool.questions),
        "left_out": {reason: count for reason, count in left_out.items() if count},
        "notes": [*pool.notes, *_shortages(strata)],
        "strata": strata,
        "lengths_pool": lengths_pool,
        "match_length": settings.match_length,
        "identical": sum(_identical(question) for question in chosen),
    }
    lengths = _lengths(chosen, pool.origins)
    origins = {name: {**origin, "length": lengths[name]} for name, origin in pool.origins.items()}
    questions = {question.id: question for question in [*chosen, *practice]}
    Study(home, form, design, questions, origins, facts).write(form_text)
    return Study.read(home)


def _read_form(settings: Settings) -> tuple[Form, str]:
    """Return the form, and its text, which is copied into the study.

    Raises StudyError for a form that is wrong, or of another kind.
    """
    kind = settings.kind
    if settings.form:
        form = Form.read(settings.form)
        text = settings.form.read_text(encoding="utf-8")
    else:
        text = "".join((FORMS / name).read_text(encoding="utf-8") for name in (f"{kind}.yaml", "common.yaml"))
        form = Form.parse(yaml.safe_load(text), kind)
    # "rating" is also what `kind` is when nobody names one, so it contradicts no form.
    if settings.form and kind not in ("rating", form.kind):
        raise StudyError(
            f"{settings.form} is of a {form.kind} study, not of a {kind} one. Leave --kind out, or name another --form."
        )
    if settings.baseline and form.kind != "simulation":
        raise StudyError(
            f"--baseline is for a forward simulation, this is a {form.kind} study. "
            "Leave it out, or write --kind simulation"
        )
    return form, text


def _usable(pool: Pool, form: Form) -> tuple[list[Question], Counter[str]]:
    """Return the questions that the form can ask, and reason → number of those left out."""
    left_out = Counter(pool.left_out)
    if form.kind != "simulation":
        return list(pool.questions), left_out
    # People guess among the options: an answer that is none of them can never be guessed.
    usable = [
        question
        for question in pool.questions
        if question.choices and all(side.answer in question.choices for side in question.said.values())
    ]
    left_out["answered with none of the options"] += len(pool.questions) - len(usable)
    return usable, left_out


def _design(
    settings: Settings,
    form: Form,
    conditions: tuple[str, ...],
    chosen: Sequence[Question],
    practice: Sequence[Question],
) -> Design:
    steps = {
        "rating": len(form.scale.labels),
        "preference": 2,
        # A check names an option that every question has.
        "simulation": min((len(question.choices) for question in chosen), default=0),
    }
    return Design(
        kind=form.kind,
        conditions=conditions,
        questions=tuple(question.id for question in chosen),
        practice=tuple(question.id for question in practice),
        per_person=settings.per_person,
        raters_per_item=settings.raters_per_item,
        checks=form.checks.number(settings.per_person),
        steps=steps[form.kind],
        seed=settings.seed,
    )


def _alike(questions: Sequence[Question], tolerance: float, needed: int) -> list[Question]:
    """Return the questions whose explanations are about equally long.

    Raises StudyError when they are fewer than needed.
    """
    ratios = {question.id: _length_ratio(question) for question in questions}
    alike = [question for question in questions if ratios[question.id] <= 1 + tolerance]
    if len(alike) < needed:
        enough = sorted(ratios.values())[min(needed, len(ratios)) - 1] - 1 if ratios else 0.0
        raise StudyError(
            f"Only {len(alike)} of {len(questions)} questions have explanations within {tolerance:.0%} of each other "
            f"in length; {needed} are needed, with those to practise on. "
            f"Write --match-length {np.ceil(enough * 100) / 100:.2f} or more, or ask fewer questions."
        )
    return alike


def _length_ratio(question: Question) -> float:
    """Return the length of the longest explanation over that of the shortest."""
    sizes = [len(side.explanation) for side in question.said.values() if side.explanation]
    return max(sizes) / min(sizes)


def _draw(
    usable: Sequence[Question], number: int, strata: Mapping[str, float], rng: np.random.Generator, closest: bool
) -> tuple[list[Question], dict[str, int]]:
    """Draw the questions, and return them with the number that was wanted of each stratum.

    A stratum that is too small is filled up from the others by their shares. With `closest`, the draw is taken, of
    many, whose conditions are closest in length.
    """
    groups = {name: [question for question in usable if question.stratum == name] for name in STRATA}
    wanted = _shares(number, strata)
    sizes = {name: min(wanted[name], len(groups[name])) for name in STRATA}
    while sum(sizes.values()) < number:
        room = [name for name in STRATA if sizes[name] < len(groups[name])]
        # The stratum furthest below its share comes next; one that was not wanted at all comes last.
        sizes[min(room, key=lambda name: (sizes[name] + 1) / (wanted[name] or 1e-9))] += 1
    draws = [_draw_once(groups, sizes, rng) for _ in range(_DRAWS if closest else 1)]
    return min(draws, key=_imbalance), wanted


def _draw_once(
    groups: Mapping[str, Sequence[Question]], sizes: Mapping[str, int], rng: np.random.Generator
) -> list[Question]:
    """Draw within the strata.

    Questions of which two conditions say the same tell nothing of these two: they come last.
    """
    questions = []
    for name, group in groups.items():
        order = sorted(rng.permutation(len(group)).tolist(), key=lambda index: _identical(group[index]))
        questions += [group[index] for index in sorted(order[: sizes[name]])]
    return questions


def _imbalance(questions: Sequence[Question]) -> float:
    """Return how far the conditions' mean lengths are apart, in characters."""
    names = [name for name in questions[0].said if not name.endswith(UNEXPLAINED)]
    means = [float(np.mean([len(question.said[name].explanation) for question in questions])) for name in names]
    return max(means) - min(means)


def _shares(number: int, strata: Mapping[str, float]) -> dict[str, int]:
    """Return whole numbers that add up to `number`, by largest remainder.

    Raises StudyError for shares that are none.
    """
    unknown = set(strata) - set(STRATA)
    total = sum(strata.values())
    if unknown or total <= 0 or min(strata.values()) < 0:
        raise StudyError(
            f"Strata are shares of {', '.join(STRATA)}, found {dict(strata)}. "
            "Write: --strata right=0.5,differ=0.3,wrong=0.2"
        )
    exact = {name: number * strata.get(name, 0.0) / total for name in STRATA}
    whole = {name: int(value) for name, value in exact.items()}
    for name in sorted(STRATA, key=lambda name: whole[name] - exact[name])[: number - sum(whole.values())]:
        whole[name] += 1
    return whole


def _lengths(questions: Sequence[Question], names: Mapping[str, Any]) -> dict[str, float]:
    """Return condition → mean characters of its explanations."""
    return {
        name: round(float(np.mean([len(question.said[name].explanation) for question in questions])), 1)
        if questions
        else 0.0
        for name in names
    }


def _shortages(strata: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return a note for each stratum of which fewer questions were drawn than wanted."""
    return [
        f"Only {counts['chosen']} of {counts['wanted']} '{name}' questions could be had; the others fill up."
        for name, counts in strata.items()
        if counts["chosen"] < counts["wanted"]
    ]


def _count(questions: Sequence[Question], stratum: str) -> int:
    return sum(question.stratum == stratum for question in questions)


def _identical(question: Question) -> bool:
    """Whether two conditions explain the question in the same words."""
    texts = [side.explanation for side in question.said.values() if side.explanation]
    return len(set(texts)) < len(texts)
