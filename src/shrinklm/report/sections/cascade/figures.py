"""What becomes of the test questions as a student passes on more of them, and at the threshold that dev picked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ....stats import Comparison, Estimate, estimate, holm, paired, selective
from ...confidences import confidences, temperature_of
from ...fields import block, finite
from ...findings import Cell, Item
from ...rated import Values
from ...results import Results, Row

RESAMPLES = 1000
_POINTS = 101
"""Of a curve."""


@dataclass(frozen=True)
class Teacher:
    """The teacher's answers to the test questions."""

    name: str
    right: Values
    """[items], 1 or 0; one that could not be read is wrong."""
    cost: Values | None
    """[items], dollars; None where no price is known."""
    tokens: Values
    """[items], read and written."""

    @property
    def price(self) -> tuple[Values, str, float] | None:
        """(what each question costs, its unit, factor to the unit); None where neither dollars nor tokens are known."""
        if self.cost is not None and self.cost.sum() > 0:
            return self.cost, "Teacher, dollars for 1,000 questions", 1000.0
        return (self.tokens, "Teacher, tokens for a question", 1.0) if self.tokens.sum() > 0 else None


@dataclass(frozen=True)
class Passing:
    """A row of the report as a cascade."""

    row: Row
    confidence: Values
    """[seeds, items]; NaN where there is none."""
    right: Values
    """[seeds, items], the student's own answers."""
    thresholds: tuple[float | None, ...] | None
    """By cell: where answers are kept; None of a cell: no threshold met the goal. None: none was picked."""
    bounds: tuple[float, ...]
    """By cell: what was promised on dev."""
    needed: tuple[int, ...]
    """By cell without a threshold: dev questions that it would take, where a number would do."""
    teacher: Teacher | None
    adjusted: Mapping[str, float]
    """"never" and "always" → p of the comparison with it after Holm, over the rows of the report."""

    @cached_property
    def kept(self) -> Values:
        """[seeds, items], 1 where the student's answer is kept; an answer without a confidence counts as 0."""
        assert self.thresholds is not None
        ends = [np.inf if value is None else value for value in self.thresholds]
        kept: Values = (np.nan_to_num(self.confidence) >= np.array(ends)[:, None]).astype(float)
        return kept

    @cached_property
    def answered(self) -> Values | None:
        """[seeds, items] of right answers of student and teacher together; None without a teacher or threshold."""
        if self.teacher is None or self.thresholds is None:
            return None
        return np.where(self.kept == 1, self.right, self.teacher.right[None])

    @cached_property
    def selected(self) -> Estimate | None:
        """Accuracy among the kept answers; None where none is kept."""
        if self.thresholds is None or not self.kept.any():
            return None
        return estimate(np.where(self.kept == 1, self.right, np.nan), resamples=RESAMPLES)

    @cached_property
    def compared(self) -> dict[str, Comparison]:
        """The cascade less the student alone ("never"), and less the teacher alone ("always")."""
        if self.answered is None or self.teacher is None:
            return {}
        return {
            "never": paired(self.answered, self.right, resamples=RESAMPLES, share=True),
            "always": paired(self.answered, self.teacher.right, resamples=RESAMPLES, share=True, fixed=True),
        }

    def curve(self) -> tuple[Values, Values]:
        """(share passed on, accuracy), both in percent, the mean over seeds.

        With a teacher the accuracy of all answers; without, that of the kept ones.
        """
        grid = np.linspace(0, 1, _POINTS)
        curves = []
        for shares, right in zip(self.confidence, self.right, strict=True):
            found = selective(shares, right, None if self.teacher is None else self.teacher.right)
            kept, accuracy = np.array(found.kept), np.array(found.accuracy)
            known = ~np.isnan(accuracy)
            curves.append(np.interp(grid, kept[known], accuracy[known], left=np.nan))
        return 100 * (1 - grid[::-1]), 100 * np.mean(curves, axis=0)[::-1]

    def costs(self) -> tuple[Values, Values] | None:
        """(cost of what is passed on, accuracy in percent) on the way from never to always; None where unknown."""
        if self.teacher is None or self.teacher.price is None:
            return None
        each, _, factor = self.teacher.price
        shares, accuracy = self.curve()
        means = []
        for confidence in self.confidence:
            order = np.argsort(np.nan_to_num(confidence), kind="stable")  # the least sure are passed on first
            total = np.concatenate([[0.0], np.cumsum(each[order])]) / len(each)
            means.append(np.interp(shares / 100, np.arange(len(each) + 1) / len(each), total))
        return factor * np.mean(means, axis=0), accuracy

    @property
    def cost(self) -> float | None:
        """What the passed on questions cost at the threshold, in the unit of `Teacher.price`, a question on average."""
        if self.teacher is None or self.teacher.price is None or self.thresholds is None:
            return None
        each, _, factor = self.teacher.price
        return float(factor * ((1 - self.kept) * each[None]).mean())


def measure(results: Results) -> list[Passing]:
    """The trained rows as cascades; none where the recipe asks for none and the teacher was not asked."""
    findings = results.findings
    goal = block(findings.recipe, "cascade")
    if not goal and not findings.passed:
        return []
    teacher = _teacher(findings.items, findings.passed)
    rows = [entry for row in results.trained if (entry := _passing(findings.items, row, goal, teacher)) is not None]
    for name in ("never", "always"):
        tested = [entry for entry in rows if name in entry.compared]
        adjusted = dict(zip(map(id, tested), holm([entry.compared[name].p for entry in tested]), strict=True))
        rows = [
            replace(entry, adjusted={**entry.adjusted, name: adjusted[id(entry)]}) if id(entry) in adjusted else entry
            for entry in rows
        ]
    return rows


def _passing(items: Sequence[Item], row: Row, goal: Mapping[str, Any], teacher: Teacher | None) -> Passing | None:
    likeliest = goal.get("by") == "likelihood"
    metric = "accuracy_likelihood" if likeliest else "accuracy"
    cells = [cell for cell in row.cells if metric in cell.scores]
    shares = [confidences(items, cell, temperature_of(cell), likeliest) for cell in cells]
    if not cells or all(np.isnan(values).all() for values in shares):
        return None
    found = [block(cell.cascade, "threshold") for cell in cells]
    picked = goal and all("value" in entry for entry in found) and all(_same(cell, goal) for cell in cells)
    return Passing(
        row=row,
        confidence=np.stack(shares),
        right=np.nan_to_num(np.stack([cell.scores[metric] for cell in cells])),
        thresholds=tuple(finite(entry["value"]) for entry in found) if picked else None,
        bounds=tuple(bound for entry in found if (bound := finite(entry.get("bound"))) is not None),
        needed=tuple(int(needed) for entry in found if (needed := finite(entry.get("needed"))) is not None),
        teacher=teacher,
        adjusted={},
    )


def _same(cell: Cell, goal: Mapping[str, Any]) -> bool:
    """Whether a threshold was picked for the goal of the recipe."""
    return all(cell.cascade.get(name) == goal.get(name) for name in ("accuracy", "budget"))


def _teacher(items: Sequence[Item], passed: Mapping[str, Any]) -> Teacher | None:
    answers = block(passed, "answers")
    if not all(item.id in answers for item in items):
        return None
    rows = [answers[item.id] for item in items]
    costs = [finite(row.get("cost")) for row in rows]
    return Teacher(
        name=str(passed.get("teacher") or "the teacher"),
        right=np.array([float(row.get("answer") == item.answer) for row, item in zip(rows, items, strict=True)]),
        cost=None if None in costs else np.array([cost for cost in costs if cost is not None]),
        tokens=np.array([float((row.get("tokens_in") or 0) + (row.get("tokens_out") or 0)) for row in rows]),
    )
