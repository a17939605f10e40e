"""Exports a trained student: written, opened again by the runtime that reads it, asked the test questions, and kept
only where it answers as well as before."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import ExportError, ModelError, StoreError, TaskError
from ..core.files import NAME_PLACE, read_json, whole_folder, write_json, writing
from ..core.types import Example, Task, Tick
from .formats.asked import RuntimeStudent
from .formats.check import EXPLAINED, Asked, agreement, ask, misread, resident
from .formats.written import FORMATS, Format
from .student import TrainedStudent

if TYPE_CHECKING:
    from ..students.base import BaseStudent

REPORT = "export.json"
"""The file beside an export: what it is, and how it answered."""
BOUND = 2.0
"""Points that accuracy may fall by."""


@dataclass(frozen=True)
class Wanted:
    """What is asked for."""

    to: str
    """A name in `FORMATS`."""
    folder: Path
    """Its place; an earlier export there is replaced."""
    bits: int | None = None
    """Of a matrix's weights; None: as the format has them first."""
    bound: float = BOUND
    """Points of accuracy that may be lost."""


def export(
    load: Callable[[], TrainedStudent],
    task: Task,
    tests: Sequence[Example],
    wanted: Wanted,
    tick: Tick | None = None,
) -> dict[str, Any]:
    """Writes a student in a format; returns what export.json says.

    Args:
        load: Gives the student, in float32.
        task: Reads its answers.
        tests: The questions that it is asked, with their right answers.
        wanted: The format and its place.
        tick: Told the progress.

    Raises:
        RecipeError: the format does not have these bits.
        ExportError: accuracy falls by more than the bound, or the runtime reads other tokens; nothing is left.
        ModelError: the format or its runtime cannot hold this student.
        MissingExtra: a package is missing.
        TaskError: there are no test questions.
        StoreError: the folder is something else, or cannot be written.
    """
    tick = tick or (lambda what, done, total, note: None)
    form = FORMATS[wanted.to]
    bits = form.choose(wanted.to, wanted.bits)
    if not tests:
        raise TaskError("There are no test questions to hold the exported student against. Check `test` in the recipe.")
    _check_place(wanted.folder)
    import torch  # noqa: F401  # before memory is measured: it is no part of a student

    before = resident()
    trained = load()
    student: BaseStudent = trained.student.to("cpu")  # type: ignore[attr-defined]  # where the others run too
    _check_format(student, trained.name, wanted.to)
    original = ask(student, "shrinklm", trained.answering, task, tests, before, tick)
    with whole_folder(wanted.folder, advice=NAME_PLACE) as new:
        tick(f"write {wanted.to}", 0, 1, "")
        form.write(student, trained.answering, new, bits)
        tick(f"write {wanted.to}", 1, 1, "")
        trained.answering.write(new)
        files = _sizes(new)
        gc.collect()  # what writing left
        before = resident()
        with form.open(new) as opened:
            _check_tokens(student, opened, trained, tests)
            exported = ask(opened, opened.runtime, trained.answering, task, tests, before, tick)
            chats = opened.chats(trained.answering.answer, tests[:EXPLAINED], trained.answering.answer_tokens)
        report = _report(wanted, form, bits, trained, (original, exported), tests)
        report |= {"chat": chats} if chats else {}
        report["original"]["bytes"] = FORMATS["safetensors"].size(trained.folder)
        report["exported"]["bytes"] = form.size(new)
        report["files"] = files
        if _sizes(new) != files:
            raise StoreError(f"{wanted.folder} is written by another process at the same time. Type the command again.")
        _check_bound(report, wanted, len(tests))
        write_json(new / REPORT, report)
    return report


def _report(
    wanted: Wanted,
    form: Format,
    bits: int,
    trained: TrainedStudent,
    asked: tuple[Asked, Asked],
    tests: Sequence[Example],
) -> dict[str, Any]:
    original, exported = asked
    return {
        "cell": trained.name,
        "format": wanted.to,
        "bits": bits,
        "questions": len(tests),
        "bound_points": wanted.bound,
        "original": {**original.to_json(), "bits": 32},
        "exported": exported.to_json(),
        "agreement": agreement(original, exported),
        "explained": len(original.explanations),
        "versions": {name: version(name) for name in ("shrinklm", "transformers", *form.packages)},
    }


def _sizes(folder: Path) -> dict[str, int]:
    """The files in a folder, and their bytes."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.stat().st_size for path in files}


def _check_place(folder: Path) -> None:
    """Raises StoreError for a folder that holds something else than an export."""
    # Before the student is asked, which takes its time.
    with writing(folder, NAME_PLACE):
        folder.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent).cleanup()
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not _holds_export(folder)):
        raise StoreError(f"{folder} holds something else than an export, which would be lost. Name a new --output.")


def _holds_export(folder: Path) -> bool:
    """Whether a folder holds an export and nothing else: what somebody put beside it would be lost."""
    try:
        files = read_json(folder / REPORT)["files"]
        return set(_sizes(folder)) <= {*files, REPORT}
    except (StoreError, KeyError, TypeError):
        return False


def _check_format(student: BaseStudent, name: str, to: str) -> None:
    if not student.writes and to != "safetensors":
        raise ModelError(
            f"{name} is an encoder, which chooses among options and writes no text; its head is not written as {to}. "
            "Take --to safetensors."
        )


def _check_tokens(
    student: BaseStudent, opened: RuntimeStudent, trained: TrainedStudent, tests: Sequence[Example]
) -> None:
    if wrong := misread(student, opened, trained.answering, tests):
        raise ExportError(
            f"{opened.runtime} cuts {len(wrong)} of {len(tests)} prompts into other tokens than the student was "
            f"trained with, such as {wrong[0][:80]!r}. Nothing was written. Take --to onnx or --to safetensors."
        )


def _check_bound(report: dict[str, Any], wanted: Wanted, questions: int) -> None:
    fall = -report["agreement"]["accuracy_points"]
    if fall <= wanted.bound + 1e-9:
        return
    one = 100 / questions
    small = f" One of {questions} questions is {one:.1f} points." if one > wanted.bound else ""
    before, after = (100 * report[name]["accuracy"] for name in ("original", "exported"))
    raise ExportError(
        f"Accuracy falls from {before:.1f} to {after:.1f} %, by {fall:.1f} points, and {wanted.bound:g} are allowed "
        f"(--bound). Nothing was written to {wanted.folder}. Take more --bits.{small}",
        report,
    )
