"""Runs → a study: which questions are asked, drawn by strata, and the folder that everything else reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ...core.errors import StudyError
from .booklets import UNEXPLAINED, Design, Question
from .folder import Study
from .form import FORMS, Form, Kind
from .pool import read_pool

STRATA: Mapping[str, float] = {"right": 0.5, "differ": 0.3, "wrong": 0.2}
"""Shares of the questions: every condition right; their answers differ; all alike and wrong."""
_DRAWS = 400
"""Selections among which the one is taken whose conditions are closest in length."""


def create(
    home: Path,
    runs: Sequence[Path],
    conditions: Sequence[str],
    form: Path | None = None,
    kind: Kind = "rating",
    questions: int = 48,
    per_person: int = 12,
    raters_per_item: int = 3,
    seed: int = 0,
    strata: Mapping[str, float] = STRATA,
    match_length: float | None = None,
    baseline: bool = False,
) -> Study:
    """Makes a study's folder.

    Args:
        home: of the study.
        runs: finished ones.
        conditions: what to compare, as `read_pool` reads them.
        form: a study.yaml of one's own; None: ours of the `kind`.
        kind: of study.
        questions: how many.
        per_person: items that one person sees, without those to practise on and the checks.
        raters_per_item: people who rate each question in each condition, at least.
        seed: draws the questions and the booklets.
        strata: share of the questions by stratum.
        match_length: only questions whose longest explanation is at most 1 + this times the shortest.
        baseline: in a forward simulation, every condition also without its explanation.

    Raises:
        StudyError: too few questions, numbers that do not fit together, or a folder that holds a study already.
    """
    parts = [form] if form else [FORMS / f"{kind}.yaml", FORMS / "common.yaml"]
    asked = (
        Form.read(form)
        if form
        else Form.parse(yaml.safe_load("".join(part.read_text(encoding="utf-8") for part in parts)), kind)
    )
    text = "".join(part.read_text(encoding="utf-8") for part in parts)
    if form and kind not in ("rating", asked.kind):
        raise StudyError(
            f"{form} is of a {asked.kind} study, not of a {kind} one. Leave --kind out, or name another --form."
        )
    if baseline and asked.kind != "simulation":
        raise StudyError(
            f"--baseline is for a forward simulation, this is a {asked.kind} study. Leave it out, or write --kind simulation"
        )
    pool = read_pool(runs, conditions, baseline)
    usable, left_out = list(pool.questions), Counter(pool.left_out)
    if asked.kind == "simulation":
        usable = [
            one for one in usable if one.choices and all(said.answer in one.choices for said in one.said.values())
        ]
        left_out["answered with none of the options"] += len(pool.questions) - len(usable)
    lengths = _lengths(usable, pool.origins)
    if match_length is not None:
        usable = _alike(usable, match_length, questions + asked.practice)
    if len(usable) < questions + asked.practice:
        raise StudyError(
            f"There are {len(usable)} questions that every condition explains, and {questions} are to be asked beside {asked.practice} to "
            f"practise on. Write --questions {max(1, len(usable) - asked.practice)} or fewer, or name other conditions."
        )
    rng = np.random.default_rng([seed, 0])
    chosen, wanted = _draw(usable, questions, strata, rng, match_length is not None)
    taken = {one.id for one in chosen}
    rest = [one for one in usable if one.id not in taken]
    practice = [rest[at] for at in rng.permutation(len(rest))[: asked.practice]]
    steps = {
        "rating": len(asked.scale.labels),
        "preference": 2,
        "simulation": min((len(one.choices) for one in chosen), default=0),
    }
    design = Design(
        asked.kind, tuple(pool.origins), tuple(one.id for one in chosen), tuple(one.id for one in practice), per_person, raters_per_item,
        asked.checks.number(per_person), steps[asked.kind], seed,
    )  # fmt: skip
    design.check()
    found = {
        name: {"pool": _count(usable, name), "wanted": wanted[name], "chosen": _count(chosen, name)} for name in STRATA
    }
    short = [
        f"{one['chosen']} of {one['wanted']} '{name}'" for name, one in found.items() if one["chosen"] < one["wanted"]
    ]
    notes = [*pool.notes, *(f"Only {one} questions could be had; the others fill up." for one in short)]
    facts: dict[str, Any] = {
        "pool": len(pool.questions), "left_out": {reason: count for reason, count in left_out.items() if count}, "notes": notes,
        "strata": found,
        "lengths_pool": lengths, "match_length": match_length, "identical": sum(_identical(one) for one in chosen),
    }  # fmt: skip
    kept = _lengths(chosen, pool.origins)
    origins = {name: {**origin, "length": kept[name]} for name, origin in pool.origins.items()}
    study = Study(home, asked, design, {one.id: one for one in [*chosen, *practice]}, origins, facts)
    study.write(text)
    return Study.read(home)


def _alike(questions: Sequence[Question], tolerance: float, needed: int) -> list[Question]:
    """Questions whose explanations are about equally long."""
    spread = {one.id: _spread(one) for one in questions}
    found = [one for one in questions if spread[one.id] <= 1 + tolerance]
    if len(found) < needed:
        enough = sorted(spread.values())[min(needed, len(spread)) - 1] - 1 if spread else 0.0
        raise StudyError(
            f"Only {len(found)} of {len(questions)} questions have explanations within {tolerance:.0%} of each other in length; {needed} "
            "are needed, with those to practise on. "
            f"Write --match-length {np.ceil(enough * 100) / 100:.2f} or more, or ask fewer questions."
        )
    return found


def _spread(question: Question) -> float:
    sizes = [len(one.explanation) for one in question.said.values() if one.explanation]
    return max(sizes) / min(sizes)


def _draw(
    usable: Sequence[Question], number: int, strata: Mapping[str, float], rng: np.random.Generator, closest: bool
) -> tuple[list[Question], dict[str, int]]:
    """(the questions, how many of each stratum were wanted). One that is too small is filled up from the others by their shares."""
    groups = {name: [one for one in usable if one.stratum == name] for name in STRATA}
    wanted = _shares(number, strata)
    sizes = {name: min(wanted[name], len(groups[name])) for name in STRATA}
    while sum(sizes.values()) < number:
        room = [name for name in STRATA if sizes[name] < len(groups[name])]
        sizes[min(room, key=lambda name: (sizes[name] + 1) / (wanted[name] or 1e-9))] += 1
    draws = [_one(groups, sizes, rng) for _ in range(_DRAWS if closest else 1)]
    return min(draws, key=_imbalance), wanted


def _one(
    groups: Mapping[str, Sequence[Question]], sizes: Mapping[str, int], rng: np.random.Generator
) -> list[Question]:
    """A draw within the strata. Questions about which two conditions say the same tell nothing of these two: they come last."""
    found = []
    for name, group in groups.items():
        order = sorted(rng.permutation(len(group)).tolist(), key=lambda at: _identical(group[at]))
        found += [group[at] for at in sorted(order[: sizes[name]])]
    return found


def _imbalance(questions: Sequence[Question]) -> float:
    names = [name for name in questions[0].said if not name.endswith(UNEXPLAINED)]
    means = [float(np.mean([len(one.said[name].explanation) for one in questions])) for name in names]
    return max(means) - min(means)


def _shares(number: int, strata: Mapping[str, float]) -> dict[str, int]:
    """Whole numbers that add up, by largest remainder."""
    unknown = set(strata) - set(STRATA)
    total = sum(strata.values())
    if unknown or total <= 0 or min(strata.values()) < 0:
        raise StudyError(
            f"Strata are shares of {', '.join(STRATA)}, found {dict(strata)}. Write: --strata right=0.5,differ=0.3,wrong=0.2"
        )
    exact = {name: number * strata.get(name, 0.0) / total for name in STRATA}
    whole = {name: int(value) for name, value in exact.items()}
    for name in sorted(STRATA, key=lambda name: whole[name] - exact[name])[: number - sum(whole.values())]:
        whole[name] += 1
    return whole


def _lengths(questions: Sequence[Question], names: Mapping[str, Any]) -> dict[str, float]:
    """Mean characters by condition."""
    return {
        name: round(float(np.mean([len(one.said[name].explanation) for one in questions])), 1) if questions else 0.0
        for name in names
    }


def _count(questions: Sequence[Question], stratum: str) -> int:
    return sum(one.stratum == stratum for one in questions)


def _identical(question: Question) -> bool:
    texts = [one.explanation for one in question.said.values() if one.explanation]
    return len(set(texts)) < len(texts)
