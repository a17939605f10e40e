"""Computes a study's result: who was left out by which rule, the statistics, and people's ratings beside the runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.errors import ShrinkError, StudyError
from ...core.types import Tick
from ...stats.clusters import cluster_bootstrap
from ...stats.groups import Adjust
from ...stats.linear_mixed import Method
from ..analysis.base import NotComputed
from ..analysis.pipeline import analyze
from ..analysis.ratings import QUALITY, Ratings, ratings_of
from ..analysis.records import Analysis, Estimate
from ..design.folder import Study
from ..design.rules import Kept, changes, rules_of
from ..records.exclude import REASONS, Exclusion, excluded, failed, kept
from ..records.export import SIMULATED, Rows, ratings
from ..records.people import Participant, Response
from .joined import join
from .pairwise import preferences
from .records import (
    Answers,
    ChangedRule,
    Checks,
    ExclusionRow,
    Exclusions,
    KeptRules,
    Means,
    Outcome,
    People,
    Preferences,
    Quartiles,
    Strata,
    StratumMean,
    Time,
)


@dataclass(frozen=True)
class Options:
    """How a study is analysed."""

    reference: str | None = None
    """The condition to compare with; None: the first of the study."""
    adjust: Adjust = "bonferroni"
    """Adjustment of Dunn's p-values."""
    margin: float | None = None
    """A difference that would not matter: effects are tested for being smaller."""
    seed: int = 0
    """Seed of bootstraps and permutations."""
    resamples: int = 10_000
    """Draws of bootstraps."""
    degrees: Method = "satterthwaite"
    """How linear mixed models find degrees of freedom."""

    @classmethod
    def of(cls, study: Study, seed: int = 0, **stated: Any) -> Options:
        """As the form says, but for what is stated otherwise: keys of `analysis` in study.yaml; None: as it says."""
        told = study.form.analysis.model_dump()
        return cls(seed=seed, **{**told, **{key: value for key, value in stated.items() if value is not None}})


DEFAULTS = Options()


@dataclass(frozen=True)
class Sample:
    """Who took part, and what is left of it by the rules of the form."""

    participants: Sequence[Participant]
    responses: Sequence[Response]
    exclusions: list[Exclusion]
    analysed: list[Response]
    """The responses that no rule leaves out."""
    rows: Rows
    """The ratings among them, as they are exported."""
    everyone: Rows
    """All ratings."""
    registered: Kept | None = None
    """The rules as `shrinklm study register` kept them."""
    first: Kept | None = None
    """The rules as they stood when the first answer came."""


def sample_of(study: Study, participants: Sequence[Participant], responses: Sequence[Response]) -> Sample:
    """Apply the rules of the form. Raises StudyError when nobody has answered, or nobody is left."""
    if not any(response.kind == "item" for response in responses):
        raise StudyError(
            f"Nobody has answered an item yet. Serve the study, and come back: shrinklm study serve {study.home}"
        )
    exclusions = excluded(study, participants, responses)
    analysed = kept(responses, exclusions)
    rows = ratings(study, participants, analysed)
    if not rows:
        counts = "; ".join(f"{REASONS[reason]}: {count}" for reason, count in _reasons(exclusions).items())
        raise StudyError(
            f"The exclusions of study.yaml leave nobody ({counts}). The records: shrinklm study export {study.home}"
        )
    return Sample(participants, responses, exclusions, analysed, rows, ratings(study, participants, responses))


def outcome_of(study: Study, sample: Sample, options: Options = DEFAULTS, tick: Tick | None = None) -> Outcome:
    """Analyse a study, and join it with its runs.

    Args:
        study: the design.
        sample: see `sample_of`.
        options: see `Options`.
        tick: progress.

    Raises:
        StudyError: nothing is left to compare.
    """
    analysis, means, everyone = _analysis(study, sample, options, tick)
    joined = join(study, sample.rows, means, options.seed)
    return Outcome(
        study=study.form.title,
        kind=study.form.kind,
        folder=study.home.name,
        design=study.digest,
        conditions=list(study.design.conditions),
        measures=list(next(iter(means.values()), {})),
        people=_people(sample),
        ratings=Answers(given=len(sample.everyone), analysed=len(sample.rows)),
        exclusions=_exclusions(study, sample.exclusions),
        time=_time(sample.participants, sample.analysed),
        checks=_checks(sample.responses),
        analysis=analysis,
        means=means,
        everyone=everyone,
        strata=_strata(study, sample.rows),
        methods=joined.methods,
        columns=joined.columns,
        judge=joined.judge,
        missing=joined.missing,
        asked=study.design,
        facts=dict(study.facts),
        rules=_rules(study, sample, options),
    )


def _rules(study: Study, sample: Sample, options: Options) -> KeptRules:
    used = {name: getattr(options, name) for name in study.form.analysis.model_dump()}
    now = rules_of(study, used)
    since = {"registered": sample.registered, "first answer": sample.first}
    # Of one that has changed since both, the older time counts.
    found = {
        change.rule: ChangedRule(change.rule, change.before, change.after, name)
        for name, kept in reversed(since.items())
        if kept is not None
        for change in changes(kept.rules, now)
    }
    order = list(dict.fromkeys([*now, *found]))
    stood = sample.first or sample.registered
    return KeptRules(
        registered=sample.registered.at if sample.registered else None,
        first=sample.first.at if sample.first else None,
        digest=stood.digest if stood else None,
        changes=tuple(found[rule] for rule in order if rule in found),
    )


def ratings_table(study: Study, rows: Rows, reference: str | None = None) -> Ratings:
    """Return exported rows as `analyze` takes them. Raises StudyError where there is nothing to compare."""
    simulated = study.form.kind == "simulation"
    names = [SIMULATED] if simulated else list(study.form.constructs)
    scale = (0, 1) if simulated else (1, len(study.form.scale.labels))
    # In the order of the design: the first condition is the reference unless another is named.
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
    study: Study, sample: Sample, options: Options, tick: Tick | None
) -> tuple[Analysis | Preferences, Means, Means]:
    """Return the statistics, the means of those who are analysed, and the means of everybody."""
    seed, resamples = options.seed, options.resamples
    if study.form.kind == "preference":
        result = preferences(study, sample.rows, seed, resamples)
        return result, result.means, preferences(study, sample.everyone, seed, resamples).means
    ratings_left = ratings_table(study, sample.rows, options.reference)
    analysis = analyze(
        ratings_left, options.adjust, options.margin, seed, resamples, degrees=options.degrees, tick=tick
    )
    everyone = ratings_table(study, sample.everyone, options.reference)
    return analysis, _means(analysis), _bootstrapped(everyone, seed, resamples)


def _means(analysis: Analysis) -> Means:
    """Return the means with intervals over resampled people; without, where the bootstrap is not possible."""
    means: Means = {level: {} for level in analysis.conditions}
    for name, measure in analysis.measures.items():
        if not isinstance(measure.bootstrap, NotComputed):
            for level, estimate in measure.bootstrap.means.items():
                means[level][name] = estimate
        # Fewer than two people, say: the mean is still known.
        for level, value in measure.means.items():
            means[level].setdefault(name, Estimate(value, None, None, measure.ns[level]))
    return means


def _bootstrapped(ratings: Ratings, seed: int, resamples: int) -> Means:
    means: Means = {level: {} for level in ratings.levels}
    for name, values in ratings.measures.items():
        try:
            boot = cluster_bootstrap(
                values, ratings.conditions, ratings.raters, ratings.reference, seed, resamples, share=ratings.yes_no
            )
        except ValueError:
            continue
        for row in boot.means:
            means[row.name][name] = Estimate(row.value, row.low, row.high, row.n)
    return means


def _people(sample: Sample) -> People:
    answered = {response.participant for response in sample.responses if response.kind == "item"}
    whole = {exclusion.participant for exclusion in sample.exclusions if exclusion.position is None}
    return People(
        began=len(sample.participants),
        finished=sum(person.finished_at is not None for person in sample.participants),
        answered=len(answered),
        excluded=len(whole),
        analysed=len(answered - whole),
    )


def _reasons(exclusions: Iterable[Exclusion]) -> dict[str, int]:
    counts = Counter(exclusion.reason for exclusion in exclusions)
    return {reason: counts[reason] for reason in REASONS if counts[reason]}


def _exclusions(study: Study, exclusions: Sequence[Exclusion]) -> Exclusions:
    return Exclusions(
        rules=study.form.exclusions.model_dump(),
        counts={REASONS[reason]: count for reason, count in _reasons(exclusions).items()},
        list=tuple(
            ExclusionRow(exclusion.code, REASONS[exclusion.reason], exclusion.detail, exclusion.position)
            for exclusion in exclusions
        ),
    )


def _time(participants: Sequence[Participant], analysed: Sequence[Response]) -> Time:
    present = {response.participant for response in analysed}
    minutes = [person.minutes for person in participants if person.id in present and person.minutes is not None]
    seconds: dict[int, list[float]] = {}
    for response in analysed:
        if response.kind == "item":
            seconds.setdefault(response.participant, []).append(response.seconds)
    medians = [float(np.median(values)) for values in seconds.values()]
    return Time(minutes=_quartiles(minutes), seconds_an_item=_quartiles(medians))


def _quartiles(values: Sequence[float]) -> Quartiles | None:
    if not values:
        return None
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return Quartiles(len(values), float(low), float(middle), float(high), min(values), max(values))


def _checks(responses: Sequence[Response]) -> Checks:
    checks = [response for response in responses if response.kind == "check"]
    return Checks(
        given=len(checks),
        passed=sum(not failed(response) for response in checks),
        people=len({response.participant for response in checks}),
    )


def _strata(study: Study, rows: Rows) -> Strata:
    """Return means by stratum, of the mean of the constructs or of the right guesses; nothing for preferences."""
    if study.form.kind == "preference":
        return Strata()
    columns = [SIMULATED] if study.form.kind == "simulation" else list(study.form.constructs)
    values: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        rating = float(np.mean([row[name] for name in columns]))
        values.setdefault(row["stratum"], {}).setdefault(row["model"], []).append(rating)
    return Strata(
        measure=columns[0] if len(columns) == 1 else QUALITY,
        means={
            stratum: {name: StratumMean(float(np.mean(part)), len(part)) for name, part in conditions.items()}
            for stratum, conditions in values.items()
        },
    )
