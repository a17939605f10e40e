"""A run folder → what a model card says of one of its students. Reads files; opens no model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from ...core.errors import ShrinkError, StudentError
from ...methods.spec import method
from ...models.locate import Family
from ...report.fields import block
from ...report.findings import Cell, read
from ...report.measures import measure_of
from ...report.results import Results, Row, compare
from ...stats import Estimate, estimates
from ...teachers.steps import STEPS
from ..answering import Answering
from .terms import UNKNOWN, DataTerms, Terms, data_terms, stated_licence, terms_of

_ON_HUB = {
    "smollm2-135m-instruct": "HuggingFaceTB/SmolLM2-135M-Instruct",
    "all-minilm-l6-v2": "sentence-transformers/all-MiniLM-L6-v2",
}
"""Packaged models by their names on the Hub."""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class Model:
    """A model that the student came from."""

    name: str
    terms: Terms
    hub: str = ""
    """Its name on the Hub; "" for another one."""


@dataclass(frozen=True)
class About:
    """What is known of a trained student, for its card."""

    results: Results
    cell: Cell
    row: Row
    """The student's method, over its seeds."""
    answering: Answering
    own: Mapping[str, Estimate]
    """metric → mean of this student alone."""
    base: Model
    teachers: Mapping[str, tuple[Model, tuple[str, ...]]]
    """Name → the model whose output the student was trained on, and the kinds of output."""
    data: DataTerms
    data_hub: str
    """The data set's name on the Hub; "" for a file of somebody's own."""

    @property
    def task(self) -> str:
        """The name of the questions; of a file of somebody's own, the file's."""
        train = block(self.results.findings.recipe, "task").get("train")
        name = self.results.findings.task
        return Path(_last(str(train))).stem if name == "table" and train else name

    @property
    def warnings(self) -> tuple[str, ...]:
        """What terms and licences restrict, and what is not known of them, in sentences."""
        return tuple(_warnings(self))


def about(run: Path, answering: Answering, use: str, root: Path) -> About:
    """What is known of the student that a run's cell holds.

    Args:
        run: The run folder.
        answering: How the student answers; names its cell.
        use: The student in the recipe, such as "causal:org/name".
        root: The folder that the recipe's paths are relative to.

    Raises StoreError for a folder that is no run, StudentError for a cell that it does not hold.
    """
    results = compare(read(run))
    rows = [(row, cell) for row in results.rows for cell in row.cells if cell.name == answering.name]
    if not rows:
        raise StudentError(f"{run} has no cell called '{answering.name}'.")
    row, cell = rows[0]
    task = block(results.findings.recipe, "task")
    name, data = str(task.get("use") or ""), data_terms(str(task.get("use") or ""))
    # A recipe that names files of its own may hold anything under the name of a known data set.
    source = str(task.get("train") or "").partition("@")[0].partition(":")[0]
    own = source if source and _on_hub(source, root) else ""
    return About(
        results=results,
        cell=cell,
        row=row,
        answering=answering,
        own=_own(cell),
        base=_base(cell, use, root),
        teachers=dict(_teachers(results, answering.method, root)),
        data=data if name else DataTerms(UNKNOWN),
        data_hub=own or ("" if source else data.hub),
    )


def _own(cell: Cell) -> dict[str, Estimate]:
    scores = {name: values[None, :] for name, values in cell.scores.items() if not np.isnan(values).all()}
    shares = [name for name, values in scores.items() if measure_of(name).yes_no and _binary(values)]
    return estimates(scores, shares=shares)


def _binary(values: Any) -> bool:
    return bool(np.isin(values[~np.isnan(values)], (0, 1)).all())


def _base(cell: Cell, use: str, root: Path) -> Model:
    """The model that the student started from."""
    ref = use.partition(":")[2] if use.partition(":")[0] in get_args(Family) else use
    hub = _ON_HUB.get(ref, ref.partition("@")[0] if _on_hub(ref, root) else "")
    name = hub or _last(str(block(cell.info, "base").get("name") or ref))
    return Model(name, terms_of(name, _stated(ref, root)), hub)


def _teachers(results: Results, method_name: str, root: Path) -> Iterator[tuple[str, tuple[Model, tuple[str, ...]]]]:
    """Who wrote, labelled or marked what the method is trained on."""
    findings = results.findings
    kinds: dict[str, list[str]] = {}
    reports = block(findings.generations, "steps")
    for step in _steps(method_name):
        if STEPS[step].by == "teacher":
            report = block(reports, step)
            several = {str(part["teacher"]) for part in block(report, "by").values()}
            for name in sorted(several) or [str(report.get("teacher") or findings.teacher)]:
                kinds.setdefault(name, []).append(step)
        elif STEPS[step].by == "white-box":
            marker = block(findings.recipe, "salient").get("use") or findings.teacher
            kinds.setdefault(_ref(str(marker)), []).append(step)
    labels = block(findings.data, "labels")
    if block(block(labels, "splits"), "train"):
        kinds.setdefault(str(labels.get("teacher") or findings.teacher), []).append("label")
    stated = dict(_stated_by_teachers(findings.recipe, root))
    for name, steps in kinds.items():
        if name:
            yield name, (Model(name, terms_of(name, stated.get(name, ""))), tuple(dict.fromkeys(steps)))


def _steps(method_name: str) -> list[str]:
    """The steps that a method needs, with the steps that those quote; none where the method is not installed here."""
    try:
        todo = [kind for kind in method(method_name).needs if kind in STEPS]
    except ShrinkError:
        return []
    found: list[str] = []
    while todo:
        step = todo.pop()
        found += [step] if step not in found else []
        todo += [need for need in STEPS[step].needs if need not in found]
    return [step for step in STEPS if step in found]


def _stated_by_teachers(recipe: Mapping[str, Any], root: Path) -> Iterator[tuple[str, str]]:
    """(name, licence) of each teacher in a folder that states one."""
    teacher = block(recipe, "teacher")
    for entry in [teacher, *teacher.values()]:
        if isinstance(entry, Mapping) and isinstance(entry.get("use"), str):
            ref = entry["use"].partition(":")[2]
            if licence := _stated(ref, root):
                yield (root / ref).expanduser().name, licence


def _stated(ref: str, root: Path) -> str:
    """The licence that a model's folder states."""
    try:
        folder = (root / Path(ref).expanduser()).resolve()
        return stated_licence(folder if folder.is_dir() else folder.parent) if ref and folder.exists() else ""
    except (OSError, RuntimeError):  # no path at all
        return ""


def _on_hub(ref: str, root: Path) -> bool:
    """Whether a reference is a name on the Hub, and no path on this machine."""
    try:
        return bool(_HUB_ID.fullmatch(ref.partition("@")[0])) and not (root / ref).exists()
    except OSError:
        return False


def _ref(use: str) -> str:
    """The model's name in a recipe's `use`, without its folder."""
    return _last(use.partition(":")[2]) or use


def _last(path: str) -> str:
    return re.split(r"[\\/]", path.rstrip("\\/"))[-1]


def _warnings(about: About) -> Iterator[str]:
    for model, kinds in about.teachers.values():
        terms = model.terms
        what = f"The student was trained on output of {model.name} ({', '.join(kinds)})"
        if terms.output == "unknown":
            yield f"{what}. Its terms are not known here: look up whether they allow that."
        elif terms.output != "allowed":
            yield f"{what}. {terms.title} ({terms.year}) {terms.says}: {terms.link}"
    terms = about.base.terms
    if not terms.id:
        yield f"The licence of the base model {about.base.name} is not known here: look it up before you publish."
    elif terms.weights:
        yield f"The student starts from {about.base.name}. {terms.title} ({terms.year}): {terms.weights}: {terms.link}"
    terms = about.data.terms
    if not terms.id:
        yield f"The licence of the training questions ({about.task}) is not known here: look it up."
    elif terms.output != "allowed":
        yield f"The training questions are under {terms.title}, which {terms.says}: {terms.link}"
