"""Reads finished runs into the questions that a study can ask, with each condition's answer and explanation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import StudyError, UnknownName
from ...report.findings import Cell, Findings, Item, read
from .booklets import UNEXPLAINED, Question, Shown

REFERENCE = "reference"
"""The condition of the explanations that a run compares its own with: the teacher's, or the data's."""


@dataclass(frozen=True)
class Pool:
    """The questions that every condition explains."""

    questions: tuple[Question, ...]
    origins: Mapping[str, Mapping[str, Any]]
    """Condition → {"run": folder, "cell": name}."""
    left_out: Mapping[str, int]
    """Reason → questions."""
    notes: tuple[str, ...]
    """Decisions made for the researcher, such as which of several seeds."""


@dataclass(frozen=True)
class _Source:
    """Where a condition's explanations come from."""

    label: str
    run: Path
    findings: Findings
    cell: Cell | None
    """None: the reference."""

    def answer_to(self, item: Item) -> Shown | str:
        """Return the condition's answer and explanation, or the reason why there is none."""
        if self.cell is None:
            return Shown(item.answer, item.reference, True) if item.reference.strip() else "no reference explanation"
        prediction = self.cell.predictions.get(item.id)
        if prediction is None or not (prediction.explanation or "").strip():
            return f"no explanation of {self.label}"
        if prediction.answer is None:
            return f"no answer of {self.label} that could be read"
        return Shown(prediction.answer, str(prediction.explanation).strip(), prediction.answer == item.answer)


def read_pool(runs: Sequence[Path], conditions: Sequence[str], baseline: bool = False) -> Pool:
    """Return the questions that all runs share, and the conditions' answers and explanations.

    Args:
        runs: folders of finished runs.
        conditions: each a method, method--student, a whole cell, or "reference"; with RUN: before it to say which run
            by its folder's name or path, and LABEL= before that to call it otherwise.
        baseline: also every condition without its explanation, for a forward simulation.

    Raises:
        StudyError: no condition, one that is unknown, ambiguous or named twice, or no question that all of them
            explain.
        StoreError: a folder is no run.
    """
    if not conditions:
        raise StudyError("No condition is named. Write which methods to compare: --conditions multitask,counterfactual")
    # By resolved path: a run that is named twice would make every condition ambiguous.
    findings = [(run, read(run)) for run in {run.resolve(): run for run in runs}.values()]
    notes: list[str] = []
    sources = [_source(spec.strip(), findings, notes) for spec in conditions]
    labels = [source.label for source in sources]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise StudyError(f"Two conditions are called '{twice}'. Tell them apart: --conditions old={twice},new={twice}")
    questions, left_out = _questions(sources, baseline)
    if not questions:
        reasons = "; ".join(f"{reason}: {count}" for reason, count in left_out.most_common())
        why = reasons or "the runs are empty"
        raise StudyError(f"There is no question that every condition explains ({why}). Name other conditions or runs.")
    origins: dict[str, Mapping[str, Any]] = {}
    for source in sources:
        origin = {"run": str(source.run.resolve()), "cell": source.cell.name if source.cell else REFERENCE}
        origins[source.label] = origin
        if baseline:
            origins[source.label + UNEXPLAINED] = origin
    return Pool(tuple(questions), origins, dict(left_out), tuple(notes))


def _questions(sources: Sequence[_Source], baseline: bool) -> tuple[list[Question], Counter[str]]:
    items = {source.run: {item.id: item for item in source.findings.items} for source in sources}
    questions, left_out = [], Counter[str]()
    for name, item in items[sources[0].run].items():
        others = [items[run].get(name) for run in items]
        if any(other is None for other in others):
            left_out["not in every run"] += 1
        elif any(other and _content(other) != _content(item) for other in others):
            left_out["asked differently in another run"] += 1
        else:
            answers = {source.label: source.answer_to(items[source.run][name]) for source in sources}
            reason = next((answer for answer in answers.values() if isinstance(answer, str)), None)
            if reason is not None:
                left_out[reason] += 1
                continue
            said = {label: answer for label, answer in answers.items() if isinstance(answer, Shown)}
            if baseline:
                said = {name: side for label, answer in said.items() for name, side in _with_baseline(label, answer)}
            questions.append(
                Question(name, item.question, item.choices, item.answer, item.fields, _stratum(said), said)
            )
    return questions, left_out


def _content(item: Item) -> tuple[object, ...]:
    return item.question, item.choices, item.answer, dict(item.fields)


def _with_baseline(label: str, answer: Shown) -> list[tuple[str, Shown]]:
    return [(label, answer), (label + UNEXPLAINED, Shown(answer.answer, "", answer.right))]


def _stratum(said: Mapping[str, Shown]) -> str:
    if all(side.right for side in said.values()):
        return "right"
    return "wrong" if len({side.answer for side in said.values()}) == 1 else "differ"


def _source(spec: str, runs: Sequence[tuple[Path, Findings]], notes: list[str]) -> _Source:
    """Return the condition that a text names."""
    # Names of methods may hold ":" and "=", so the text is tried as it stands first.
    label, name = spec, spec
    hits = _hits(name, runs)
    if not hits and "=" in spec:
        label, _, name = (part.strip() for part in spec.partition("="))
        hits = _hits(name, runs)
    if not hits:
        known = [REFERENCE, *dict.fromkeys(cell.method for _, findings in runs for cell in findings.cells)]
        raise StudyError(str(UnknownName("condition", name, known)).replace(' Your own: "module:attribute".', ""))
    if not label or not label.isprintable() or len(label) > 80 or label.endswith(UNEXPLAINED):
        raise StudyError(
            f"A condition's name has 1 to 80 printable characters and does not end in '{UNEXPLAINED}', found {label!r}."
        )
    sources = {(run, cell.method, cell.student) if cell else (run, REFERENCE, "") for run, _, cell in hits}
    if len(sources) > 1:
        called = [run.resolve().name for run, _ in runs]
        alike = len(set(called)) < len(called)
        full = ", ".join(
            f"{run if alike else run.resolve().name}:{cell.name if cell else REFERENCE}" for run, _, cell in hits
        )
        raise StudyError(f"'{name}' may be any of: {full}. Write the whole name.")
    run, findings, cell = min(hits, key=lambda hit: hit[2].seed if hit[2] else 0)
    if cell and len(hits) > 1:
        notes.append(
            f"{label}: of {len(hits)} seeds the lowest, {cell.seed}. "
            f"For another, write its whole name as in {cell.name}."
        )
    return _Source(label, run, findings, cell)


def _hits(name: str, runs: Sequence[tuple[Path, Findings]]) -> list[tuple[Path, Findings, Cell | None]]:
    run_name, colon, rest = name.partition(":")
    narrowed = [(run, findings) for run, findings in runs if colon and run_name in (run.resolve().name, str(run))]
    hits: list[tuple[Path, Findings, Cell | None]] = []
    for among, wanted in ((runs, name), (narrowed, rest)):
        for run, findings in among:
            if wanted == REFERENCE and any(item.reference for item in findings.items):
                hits.append((run, findings, None))
            cells = [
                cell for cell in findings.cells if wanted in (cell.name, cell.method, f"{cell.method}--{cell.student}")
            ]
            hits += [(run, findings, cell) for cell in cells]
    return hits
