"""Findings → Results: estimates and comparisons. Every number about methods that the report shows is computed here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np

from ..core.errors import ShrinkError
from ..core.registry import is_own
from ..evaluation.metrics.answers import REASONS
from ..evaluation.metrics.explanations import NAMING
from ..methods.spec import method
from ..stats import Comparison, Estimate, McNemar, estimates_of, holm, las, mcnemar, paired, seed_spread
from ..tasks.base import labels_of
from ..teachers.steps import STEPS
from .alignment import Aligned, align
from .fields import block, finite
from .findings import Cell, Findings
from .look.numbers import ALPHA
from .measures import AREAS, measure_of
from .rated import Values

PRIMARY = ("accuracy", "f1", "accuracy_likelihood")
"""Metrics that methods may be compared by: the first that was scored is taken."""
METRICS = (
    "accuracy",
    "f1",
    "accuracy_likelihood",
    "unparsed",
    *REASONS,
    "length",
    "rougeL",
    "bleu",
    "names_answer",
    "names_distractors",
)
"""The metrics that a row names first, in this order."""

SIMULATED = {
    **dict.fromkeys(("las", "simulatability"), "sim_both"),
    **dict.fromkeys(("las_masked", "simulatability_masked"), "sim_both_masked"),
}
"""Figures of several scores at once → one of these scores."""


@dataclass(frozen=True)
class Row:
    """A method on a student, over its seeds."""

    method: str
    student: str
    cells: tuple[Cell, ...]
    estimates: dict[str, Estimate]
    """metric → mean over questions and seeds; absent when nothing was scored. All rows stand on the same questions."""
    teacher_tokens: int | None
    """Tokens the teacher read and wrote for the steps this method needs; None when unknown."""
    teacher_cost: float | None
    """Dollars; None when unknown."""
    rank: int
    """Position of the method among the trained ones, which picks its colour and mark; -1 for an untrained student."""
    aligned: Mapping[str, Aligned] = field(default_factory=dict)
    """metric → the scores that the estimate is of."""

    @property
    def trained(self) -> bool:
        """Whether any of its cells was trained."""
        return any(cell.trained for cell in self.cells)

    def matrix(self, metric: str) -> Values:
        """[seeds, items] scores over the questions that the rows share; no row for a cell without the metric."""
        return self.aligned[metric].values if metric in self.aligned else np.empty((0, 0))

    def missing(self, metric: str) -> float:
        """Share of the questions that other methods have a score of the metric for, and this one has not."""
        entry = self.aligned.get(SIMULATED.get(metric, metric))
        return entry.missing if entry else 0.0

    def ranked(self, metric: str) -> bool:
        """Whether its figure stands on the same questions as those of the other methods."""
        entry = self.aligned.get(SIMULATED.get(metric, metric))
        return metric in self.estimates and (entry is None or entry.ranked)

    @property
    def unread(self) -> dict[str, float]:
        """Reason → share of all answers that could not be read for it; empty where some answers have no reason."""
        shares = {reason: self.estimates[name].value for name, reason in REASONS.items() if name in self.estimates}
        # Predictions of earlier versions hold no reason: then fewer answers have these scores.
        counts = {self.estimates[name].n for name in ("unparsed", *REASONS) if name in self.estimates}
        known = "unparsed" in self.estimates and len(counts) == 1
        return {reason: share for reason, share in shares.items() if share} if known else {}

    def mean(self, key: str) -> float | None:
        """Mean over the cells of a number of cell.json or timing.json; None when no cell has it."""
        numbers = [number for cell in self.cells if (number := cell.number(key)) is not None]
        return float(np.mean(numbers)) if numbers else None

    @property
    def diverged(self) -> bool:
        """Whether a seed of it diverged."""
        return any(cell.diverged for cell in self.cells)

    @property
    def exposure(self) -> tuple[frozenset[object], ...]:
        """Examples seen, effective batch and optimizer steps of the cells: a fair comparison needs them equal."""
        return tuple(
            frozenset(cell.info.get(key) for cell in self.cells if cell.trained)
            for key in ("examples_seen", "batch", "steps")
        )


@dataclass(frozen=True)
class Pairwise:
    """Two rows of one student on the same questions: first - second."""

    first: Row
    second: Row
    comparison: Comparison
    adjusted: float
    """p after Holm, within its family."""
    by_seed: dict[int, McNemar]
    """Exact McNemar for each seed that both have; empty when scores are not right/wrong."""

    @property
    def separated(self) -> bool:
        """Whether the data shows a difference: adjusted p below 0.05 and an interval without zero.

        Of one training each it is shown for these questions; whether it would come again with another seed is not.
        """
        return apart(self.comparison, self.adjusted)


@dataclass(frozen=True)
class Results:
    """Rows of estimates, and comparisons between them."""

    findings: Findings
    primary: str | None
    rows: tuple[Row, ...]
    pairs: tuple[Pairwise, ...]
    """Every two trained methods of a student, the one that the recipe names later as `first`; one Holm family."""
    gains: tuple[Pairwise, ...]
    """Every trained method against its untrained student; a second Holm family."""

    @property
    def students(self) -> tuple[str, ...]:
        """Students in the order of the report."""
        return tuple(dict.fromkeys(row.student for row in self.rows))

    @property
    def trained(self) -> tuple[Row, ...]:
        """The rows of trained students."""
        return tuple(row for row in self.rows if row.trained)

    def label(self, row: Row) -> str:
        """The method's name, with its student's where there are several."""
        return f"{row.method} on {row.student}" if len(self.students) > 1 else row.method

    def baseline(self, name: str) -> float | None:
        """Share of right answers of the `majority` or `random` answer; None when unknown."""
        return finite(self.findings.data.get(name))

    @property
    def teacher(self) -> tuple[float, int, str] | None:
        """(accuracy, number of questions, split) of the teacher itself; None where its accuracy is not known."""
        accuracy = block(self.findings.generations, "teacher_accuracy")
        value = finite(accuracy.get("value"))
        return None if value is None else (value, int(accuracy.get("n") or 0), str(accuracy.get("split") or "test"))


def labels(findings: Findings) -> tuple[str, ...]:
    """The labels that all questions have as their options; () where options are of the questions."""
    return labels_of(item.choices for item in findings.items)


def compare(findings: Findings, resamples: int = 10_000) -> Results:
    """Estimate and compare the methods of a run. Seeded: equal findings give equal results."""
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in findings.cells:
        groups.setdefault((cell.method, cell.student), []).append(cell)
    ranks = {
        name: rank for rank, name in enumerate(dict.fromkeys(cell.method for cell in findings.cells if cell.trained))
    }
    rows = [
        Row(*key, tuple(cells), {}, *_teacher_usage(findings, key[0], any(cell.trained for cell in cells)),
            ranks.get(key[0], -1))
        for key, cells in groups.items()
    ]  # fmt: skip
    # Earlier versions scored names of labels, too.
    without = tuple(NAMING.values()) if labels(findings) else ()
    lined_up = align([_scores(row.cells, without) for row in rows], [row.trained for row in rows])
    rows = [replace(row, aligned=aligned) for row, aligned in zip(rows, lined_up, strict=True)]
    for row, found in zip(rows, _estimates(rows, resamples), strict=True):
        row.estimates.update(found)
    primary = next((name for name in PRIMARY if any(name in row.estimates for row in rows)), None)
    scored = [row for row in rows if primary in row.estimates]
    # (b, a): of two methods the later one in the recipe is usually the new idea, and a gain should be positive.
    trained = [(b, a) for a, b in combinations(scored, 2) if a.student == b.student and a.trained and b.trained]
    untrained = [(a, b) for a in scored for b in scored if a.student == b.student and a.trained and not b.trained]
    families = [_family(pairs, rows, primary, resamples) for pairs in (trained, untrained)]
    return Results(findings, primary, tuple(rows), *families)


def compare_rows(
    first: Row, second: Row | float, rows: Iterable[Row], metric: str, resamples: int = 10_000
) -> Comparison | None:
    """The difference of two rows of one student, or of a row from a constant; None where they share no question.

    How far seeds spread is taken from all `rows` of the student together: two trainings alone hardly say.
    """
    a = first.matrix(metric)
    b = second.matrix(metric) if isinstance(second, Row) else np.full((1, a.shape[1]), second)
    # A question without a score in one of the rows tells nothing of their difference.
    if not a.size or not b.size or not (~np.isnan(a).all(axis=0) & ~np.isnan(b).all(axis=0)).any():
        return None
    # A seed that diverged lies far off. It widens what is said of its own method, and of no other.
    steady = [row for row in rows if row.student == first.student and row.trained and not row.diverged]
    pooled = seed_spread(row.matrix(metric) for row in steady if row.matrix(metric).size)
    own = first.diverged or (isinstance(second, Row) and second.diverged)
    fixed = not isinstance(second, Row) or not second.trained
    yes_no = measure_of(metric).yes_no and _binary(a) and _binary(b)
    return paired(a, b, resamples=resamples, share=yes_no, spread=None if own else pooled, fixed=fixed)


def apart(comparison: Comparison, p: float) -> bool:
    """Whether a comparison shows a difference: p, adjusted, below 0.05, and an interval without zero."""
    return p < ALPHA and comparison.low * comparison.high > 0


def _scores(cells: Sequence[Cell], without: Sequence[str]) -> dict[str, Values]:
    """metric → [seeds, items] of the cells that have it, but for those in `without`; those of `METRICS` first."""
    every = dict.fromkeys((*METRICS, *sorted({name for cell in cells for name in cell.scores})))
    names = [name for name in every if name not in without]
    matrices = {name: [cell.scores[name] for cell in cells if name in cell.scores] for name in names}
    return {name: np.stack(rows) for name, rows in matrices.items() if rows and not np.isnan(rows).all()}


def _estimates(rows: Sequence[Row], resamples: int) -> list[dict[str, Estimate]]:
    # All metrics of all rows at once: resampling fifty together costs little more than one.
    tables = [{name: entry.values for name, entry in row.aligned.items()} for row in rows]
    shares = [
        [name for name, matrix in table.items() if measure_of(name).yes_no and _binary(matrix)] for table in tables
    ]
    every = estimates_of(tables, resamples=resamples, shares=shares)
    for found in every:
        for name in found.keys() & set(AREAS):
            found[name] = replace(found[name], low=max(0.0, found[name].low), high=min(1.0, found[name].high))
    return [found | _simulated(row, resamples) for found, row in zip(every, rows, strict=True)]


def _binary(matrix: Values) -> bool:
    """Whether every score is 0 or 1; another tool may have filed something else under the name of a share."""
    return bool(np.isin(matrix[~np.isnan(matrix)], (0, 1)).all())


def _simulated(row: Row, resamples: int) -> dict[str, Estimate]:
    """LAS and simulatability, where a simulator answered: from the explanations, and with their options masked."""
    simulated = {}
    for mask in ("", "_masked"):
        names = ("sim_question", f"sim_explanation{mask}", f"sim_both{mask}")
        if len({row.matrix(name).shape for name in names}) > 1 or names[2] not in row.aligned:
            continue  # a score that some seed lacks says nothing of the three together
        question, explanation, both = (row.matrix(name) for name in names)
        # A question counts where the simulator answered it in all three ways.
        scored = ~np.isnan(question + explanation + both)
        if not scored.any():
            continue
        leakage = las(question, explanation, both, resamples=resamples)
        about = (int(scored.any(axis=0).sum()), len(question), leakage.unit)
        bounds = (leakage.simulatability, leakage.simulatability_low, leakage.simulatability_high)
        simulated[f"simulatability{mask}"] = Estimate(*bounds, *about)
        # LAS averages over leaking and other explanations; without one of the groups it has no value.
        if not leakage.empty:
            simulated[f"las{mask}"] = Estimate(leakage.value, leakage.low, leakage.high, *about)
    return simulated


def _family(
    pairs: Sequence[tuple[Row, Row]], rows: Sequence[Row], metric: str | None, resamples: int
) -> tuple[Pairwise, ...]:
    """The comparisons of pairs that were scored on the same questions, adjusted together."""
    compared = [
        (first, second, comparison)
        for first, second in (pairs if metric else ())
        if (comparison := compare_rows(first, second, rows, metric or "", resamples)) is not None
    ]
    adjusted = holm([comparison.p for _, _, comparison in compared])
    return tuple(
        Pairwise(first, second, comparison, p, _by_seed(first, second, metric or ""))
        for (first, second, comparison), p in zip(compared, adjusted, strict=True)
    )


def _by_seed(first: Row, second: Row, metric: str) -> dict[int, McNemar]:
    """McNemar of the cells of one seed; an untrained student stands in for each seed of the other."""
    others = {cell.seed: cell for cell in second.cells}
    tests = {}
    for cell in first.cells:
        other = others.get(cell.seed) if second.trained else second.cells[0]
        if other is None or metric not in cell.scores or metric not in other.scores:
            continue
        a, b = cell.scores[metric], other.scores[metric]
        both = ~np.isnan(a) & ~np.isnan(b)
        # The test is about right and wrong; F1 has values between.
        if both.any() and np.isin(np.concatenate([a[both], b[both]]), (0, 1)).all():
            tests[cell.seed] = mcnemar(a[both], b[both])
    return tests


def _teacher_usage(findings: Findings, name: str, trained: bool) -> tuple[int | None, float | None]:
    """(tokens, dollars) of the teacher for the steps a method needs, with the steps those quote."""
    if not trained:
        return 0, 0.0
    if is_own("methods", name) and not findings.trusted:
        return None, None  # the name stands in a run folder that may be anybody's
    try:
        todo = list(method(name).needs)
    except ShrinkError:  # a plug-in that is not installed where the report is made
        return None, None
    steps = findings.generations.get("steps") or {}
    needed: set[str] = set()
    while todo:  # a revision quotes an explanation and a critique, so it costs what these cost too
        step = todo.pop()
        needed.add(step)
        todo += [other for other in (STEPS[step].needs if step in STEPS else ()) if other not in needed]
    reports = [steps.get(step) or {} for step in sorted(needed)]
    tokens = [sum(int(report.get(key) or 0) for key in ("tokens_in", "tokens_out")) for report in reports]
    costs = [finite(report.get("cost")) for report in reports]
    return (
        None if 0 in tokens else sum(tokens),  # a recorded step has no count of tokens
        None if None in costs else sum(cost for cost in costs if cost is not None),
    )
