"""A study's records → its result: who was left out by which rule, the statistics, and people's ratings beside the runs' own figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ...core.errors import ShrinkError, StudyError
from ...core.types import Tick
from ...stats.clusters import cluster_bootstrap
from ...stats.groups import Adjust
from ..analysis.analyze import analyze
from ..analysis.ratings import QUALITY, Ratings, ratings_of
from ..design.folder import Study
from ..records.exclude import REASONS, Exclusion, excluded, failed, kept
from ..records.export import SIMULATED, Rows, ratings
from ..records.people import Participant, Response
from .joined import Joined, joined
from .pairwise import preferences

Json = dict[str, Any]


def outcome(
    study: Study,
    participants: Sequence[Participant],
    responses: Sequence[Response],
    reference: str | None = None,
    adjust: Adjust = "bonferroni",
    margin: float | None = None,
    seed: int = 0,
    resamples: int = 10_000,
    tick: Tick | None = None,
) -> Json:
    """Everything about a study, as one JSON object.

    `people` and `ratings` count what came and what was analysed, `exclusions` the rules and whom they left out, `time` and `checks` how
    the work went, `analysis` is that of `analyze` (of a preference: of `preferences`), `everyone` the same means without any exclusion,
    `strata` the means by stratum, and `methods` each condition's accuracy, automatic measures and people's means; `judge` holds judges
    against people.

    Args:
        study: what was asked.
        participants: who came.
        responses: what they answered.
        reference: the condition to compare with; None: the first of the study.
        adjust: of Dunn's p-values.
        margin: a difference that would not matter.
        seed: of bootstraps and permutations.
        resamples: of bootstraps.
        tick: progress.

    Raises:
        StudyError: nobody has answered, or nothing is left to compare.
    """
    if not any(one.kind == "item" for one in responses):
        raise StudyError(
            f"Nobody has answered an item yet. Serve the study, and come back: shrinklm study serve {study.home}"
        )
    out = excluded(study, participants, responses)
    left = kept(responses, out)
    rows, everything = ratings(study, participants, left), ratings(study, participants, responses)
    if not rows:
        counts = "; ".join(f"{REASONS[reason]}: {count}" for reason, count in _reasons(out).items())
        raise StudyError(
            f"The exclusions of study.yaml leave nobody ({counts}). The records: shrinklm study export {study.home}"
        )
    analysis, means, everyone = _analysis(study, rows, everything, reference, adjust, margin, seed, resamples, tick)
    beside: Joined = joined(study, rows, means, seed)
    return {
        "study": study.form.title, "kind": study.form.kind, "folder": study.home.name, "design": study.digest,
        "conditions": list(study.design.conditions), "measures": list(next(iter(means.values()), {})),
        "people": _people(participants, responses, out), "ratings": {"given": len(everything), "analysed": len(rows)},
        "exclusions": _exclusions(study, out), "time": _time(participants, left), "checks": _checks(responses),
        "analysis": analysis, "means": means, "everyone": everyone, "strata": _strata(study, rows), "methods": beside.methods,
        "columns": beside.columns, "judge": beside.judge, "missing": beside.missing, "asked": asdict(study.design),
        "facts": dict(study.facts),
    }  # fmt: skip


def table(study: Study, rows: Rows, reference: str | None = None) -> Ratings:
    """Exported rows of ratings or of a simulation as `analyze` takes them. Raises StudyError where there is nothing to compare."""
    simulated = study.form.kind == "simulation"
    names = [SIMULATED] if simulated else list(study.form.constructs)
    scale = (0, 1) if simulated else (1, len(study.form.scale.labels))
    order = [name for name in study.design.conditions if any(row["model"] == name for row in rows)]
    places = [
        (f"{row['CASE']}, {row['rationale']}", row) for row in sorted(rows, key=lambda row: order.index(row["model"]))
    ]
    try:
        return ratings_of(
            study.home.name, places, "model", "CASE", names, ["rationale_length"], reference, "item", scale
        )
    except ShrinkError as error:
        raise StudyError(str(error)) from error


def _analysis(
    study: Study, rows: Rows, everything: Rows, reference: str | None, adjust: Adjust, margin: float | None, seed: int, resamples: int,
    tick: Tick | None,
) -> tuple[Json, Json, Json]:  # fmt: skip
    """(the statistics, condition → measure → mean, the same of everybody)."""
    if study.form.kind == "preference":
        found = preferences(study, rows, seed, resamples)
        return found, found["means"], preferences(study, everything, seed, resamples)["means"]
    found = analyze(table(study, rows, reference), adjust, margin, seed, resamples, tick=tick)
    return found, _means(found), _plain(table(study, everything, reference), seed, resamples)


def _means(found: Json) -> Json:
    """Condition → measure → {value, low, high, n}, with intervals over resampled people."""
    means: Json = {level: {} for level in found["conditions"]}
    for name, entry in found["measures"].items():
        for level, value in entry["bootstrap"].get("means", {}).items():
            means[level][name] = value
        for level, value in entry["means"].items():
            means[level].setdefault(name, {"value": value, "low": None, "high": None, "n": entry["ns"][level]})
    return means


def _plain(ratings: Ratings, seed: int, resamples: int) -> Json:
    means: Json = {level: {} for level in ratings.levels}
    for name, values in ratings.measures.items():
        try:
            boot = cluster_bootstrap(values, ratings.conditions, ratings.raters, ratings.reference, seed, resamples)
        except ValueError:
            continue
        for row in boot.means:
            means[row.name][name] = {"value": row.value, "low": row.low, "high": row.high, "n": row.n}
    return means


def _people(participants: Sequence[Participant], responses: Sequence[Response], out: Sequence[Exclusion]) -> Json:
    answered = {one.participant for one in responses if one.kind == "item"}
    whole = {one.participant for one in out if one.position is None}
    return {
        "began": len(participants), "finished": sum(person.finished_at is not None for person in participants),
        "answered": len(answered), "excluded": len(whole), "analysed": len(answered - whole),
    }  # fmt: skip


def _reasons(out: Sequence[Exclusion]) -> dict[str, int]:
    counts = Counter(one.reason for one in out)
    return {reason: counts[reason] for reason in REASONS if counts[reason]}


def _exclusions(study: Study, out: Sequence[Exclusion]) -> Json:
    rules = study.form.exclusions.model_dump()
    listed = [
        {"CASE": one.code, "reason": REASONS[one.reason], "detail": one.detail, "page": one.position} for one in out
    ]
    return {
        "rules": rules,
        "counts": {REASONS[reason]: count for reason, count in _reasons(out).items()},
        "list": listed,
    }


def _time(participants: Sequence[Participant], responses: Sequence[Response]) -> Json:
    """Of those who are analysed: minutes from consent to the end, where there is one, and seconds an item, the median of each person."""
    here = {one.participant for one in responses}
    minutes = [person.minutes for person in participants if person.id in here and person.minutes is not None]
    own: dict[int, list[float]] = {}
    for one in responses:
        if one.kind == "item":
            own.setdefault(one.participant, []).append(one.seconds)
    return {
        "minutes": _quartiles(minutes),
        "seconds_an_item": _quartiles([float(np.median(values)) for values in own.values()]),
    }


def _quartiles(values: Sequence[float]) -> Json | None:
    if not values:
        return None
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return {
        "n": len(values),
        "q1": float(low),
        "median": float(middle),
        "q3": float(high),
        "least": min(values),
        "most": max(values),
    }


def _checks(responses: Sequence[Response]) -> Json:
    given = [one for one in responses if one.kind == "check"]
    return {
        "given": len(given),
        "passed": sum(not failed(one) for one in given),
        "people": len({one.participant for one in given}),
    }


def _strata(study: Study, rows: Rows) -> Json:
    """Stratum → condition → {mean, n}, of the mean of the constructs or of the right guesses; empty for preferences."""
    if study.form.kind == "preference":
        return {}
    columns = [SIMULATED] if study.form.kind == "simulation" else list(study.form.constructs)
    found: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        found.setdefault(row["stratum"], {}).setdefault(row["model"], []).append(
            float(np.mean([row[name] for name in columns]))
        )
    return {
        "measure": columns[0] if len(columns) == 1 else QUALITY,
        "means": {
            stratum: {name: {"mean": float(np.mean(values)), "n": len(values)} for name, values in by.items()}
            for stratum, by in found.items()
        },
    }
