"""Whole files of questions → files of answers, resumable: what was answered before a kill is not asked again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..core.errors import StoreError, TaskError
from ..core.files import NAME_ANOTHER, Part, write_jsonl, write_parquet, write_text, writing
from ..core.spreadsheet import csv_text
from ..core.types import Example, Tick, digest
from ..tasks.asked import AskedRow
from .questions import example_of
from .student import Answer, By, TrainedStudent, check_by

SUFFIXES = (".csv", ".jsonl", ".parquet")
_BATCHES = 8
"""Batches in a chunk: a kill loses at most one chunk, and one that is larger is padded less."""


@dataclass(frozen=True)
class FileReport:
    """What became of the rows of a file."""

    rows: int
    answered: int
    unanswered: int
    """The student was asked, and no answer could be read, or it was withheld."""
    bad: list[tuple[str, str]] = field(default_factory=list)
    """(place, fault) of each row that could not be asked."""


def predict_file(
    student: TrainedStudent,
    rows: Iterable[AskedRow],
    output: Path,
    by: By = "text",
    explanations: int | None = None,
    batch: int = 32,
    tick: Tick | None = None,
) -> FileReport:
    """Answers the rows of a table into a file; a bad row stands there too, with its fault in `why`.

    Args:
        student: Answers.
        rows: See `tasks.asked.asked_rows`.
        output: CSV, JSONL or Parquet, by its suffix: a row for each row, in their order. Answers are kept beside it in
            `.NAME.part` until all are there; the same call goes on from it.
        by: See `TrainedStudent.predict`.
        explanations: Explain only the first so many questions; None: all.
        batch: Questions in one pass.
        tick: Called after each chunk.

    Raises StoreError when the file exists, has another suffix or cannot be written, TaskError for a table that cannot
    be read, and RecipeError for another `by`.
    """
    check_by(by)
    if output.suffix.lower() not in SUFFIXES:
        raise StoreError(f"Answers are written as {', '.join(SUFFIXES)}, by the file's name. Found: {output.name}.")
    if output.exists():
        raise StoreError(f"{output} exists already. Name another file, or remove it.")
    with _alone(output):
        table = [(place, _checked(row, student, place)) for place, row in rows]
        examples = {index: row for index, (_, row) in enumerate(table) if isinstance(row, Example)}
        explained = set(list(examples)[:explanations])
        # With their places: a bad row that was mended or taken out moves the answers of all others.
        questions = [[index, example.text, list(example.choices)] for index, example in examples.items()]
        part = Part(_part(output), digest(student.key, by, explanations, batch, questions))
        for number, chunk in enumerate(_chunks(examples, explained, _BATCHES * batch)):
            if number >= len(part.chunks):
                answers = student.predict([examples[index] for index in chunk], chunk[0] in explained, by, batch)
                part.add({"answers": [[index, asdict(answer)] for index, answer in zip(chunk, answers, strict=True)]})
            if tick is not None:
                done = sum(len(each["answers"]) for each in part.chunks)
                tick("predict", min(done, len(examples)), len(examples), "")
        answered = {index: Answer(**row) for chunk in part.chunks for index, row in chunk["answers"]}
        _write([_row(*table[index], answered.get(index)) for index in range(len(table))], output)
        # After the file, so that a kill between the two leaves the answers in both.
        _part(output).unlink()
    read = sum(answer.answer is not None for answer in answered.values())
    bad = [(place, row) for place, row in table if isinstance(row, str)]
    return FileReport(len(table), read, len(answered) - read, bad)


def _checked(row: Example | str, student: TrainedStudent, place: str) -> Example | str:
    """The example as the student is asked it, or what is wrong with it."""
    try:
        if isinstance(row, Example):
            return example_of(row, student.answering, place)
        fault = row
    except TaskError as error:
        fault = str(error)
    # It may show what stands in the row, and that may be half a character, which no file takes.
    return fault.encode("utf-8", "backslashreplace").decode()


def _chunks(examples: Mapping[int, Example], explained: set[int], size: int) -> Iterator[list[int]]:
    """The rows that are asked together: explained or not, and of about one length, so that little is padded."""
    order = sorted(examples, key=lambda index: (index not in explained, len(examples[index].text), index))
    split = len(explained)
    for group in (order[:split], order[split:]):
        for start in range(0, len(group), size):
            yield group[start : start + size]


def _row(place: str, row: Example | str, answer: Answer | None) -> dict[str, Any]:
    example = row if isinstance(row, Example) else None
    columns: dict[str, Any] = {
        "row": place,
        "id": example and example.id,
        "question": example and example.question,
        **dict.fromkeys(_COLUMNS),
    }
    if answer is None:
        return {**columns, "probabilities": {}, "why": row}
    return {**columns, **{name: getattr(answer, name) for name in _COLUMNS}}


_COLUMNS = (
    *("answer", "confidence", "explanation", "supported", "probabilities", "why"),
    *("by", "cell", "explanation_cut", "raw"),
)


def _write(rows: Sequence[dict[str, Any]], output: Path) -> None:
    suffix = output.suffix.lower()
    if suffix == ".jsonl":
        write_jsonl(output, rows)
    elif suffix == ".csv":
        texts = [{**row, "probabilities": json.dumps(row["probabilities"], ensure_ascii=False)} for row in rows]
        write_text(output, csv_text(texts))
    else:
        import pyarrow as pa

        types = {"confidence": pa.float64(), "supported": pa.bool_(), "explanation_cut": pa.bool_()}
        types["probabilities"] = pa.map_(pa.string(), pa.float64())
        mapped = [{**row, "probabilities": list(row["probabilities"].items())} for row in rows]
        write_parquet(output, mapped, {name: types.get(name, pa.string()) for name in rows[0]})


def _part(output: Path) -> Path:
    return output.with_name(f".{output.name}.part")


@contextmanager
def _alone(output: Path) -> Iterator[None]:
    """Held while a process answers into a file. Raises StoreError where another does."""
    from filelock import FileLock, Timeout

    held = output.with_name(f".{output.name}.lock")
    with writing(output, NAME_ANOTHER):
        output.parent.mkdir(parents=True, exist_ok=True)
        held.open("ab").close()  # a lock that cannot be made reads as one that another process holds
    lock = FileLock(held)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise StoreError(f"Another process is answering into {output}. Wait for it, or name another file.") from None
    try:
        yield
    finally:
        lock.release()
        held.unlink(missing_ok=True)
