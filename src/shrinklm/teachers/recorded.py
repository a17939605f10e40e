"""A teacher that reads the texts of another one from columns of published tables: no model is used."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from ..core.errors import TeacherError
from ..core.tables import Layout, Row, read_file
from ..core.tables.printed import parsed
from ..core.types import Completion, Example, Prompt, Sampling, digest
from ..tasks.letters import moved
from .base import BaseTeacher, TeacherOptions

MISSING = "not recorded"
LETTERS = "option letters that may not fit the options as shown"
_OPTION = "{option}"


@dataclass(frozen=True)
class _Table:
    columns: tuple[str, ...]
    by_question: bool
    """Rows are looked up by the question, since they have no id."""
    rows: Mapping[str, Row]


class RecordedTeacher(BaseTeacher):
    """`recorded:FILE`: texts in the columns of files (Parquet, CSV or JSONL; several joined by commas).

    `{option}` in a column counts the options of the source row from 1, as in the data released with arXiv 2504.16056
    (counterfactual_prompt_answer_{option}_rationale). A cell may hold a list of texts, which are samples. Rows are
    looked up by the column `id`, or `question` where there is none; `columns: {id: ..., question: ...}` renames them.
    "meta.why" reaches into a column of objects.
    """

    free = True
    reads = True

    def __init__(self, rest: str, options: TeacherOptions) -> None:
        self.files = [
            (options.root / Path(part.strip()).expanduser()).resolve() for part in rest.split(",") if part.strip()
        ]
        self.columns = dict(options.columns)
        self._layout = Layout(most_rows=options.most_rows, most_megabytes=options.most_megabytes, block="teacher")
        self._id, self._question = self.columns.pop("id", "id"), self.columns.pop("question", "question")
        if not self.files or not self.columns:
            what = "columns" if self.files else "files"
            raise TeacherError(
                f"'recorded:{rest}' names no {what}. Write use: recorded:FILE and columns: {{explanation: COLUMN}}."
            )
        for path in self.files:
            if not path.is_file():
                raise TeacherError(
                    f"No recording at {path}. Give a Parquet, CSV or JSONL file, relative to the recipe."
                )
        self.name = "recorded:" + "+".join(path.name for path in self.files)
        # Of the columns too: another column of the same file is another recording.
        self.revision = digest([_sha256(path) for path in self.files], self.columns, self._id, self._question)

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        """Yield the recorded texts, with the option letters of the order in which the options are shown.

        One that is not in the files is refused as "not recorded", and one whose letters cannot be told for its own
        reason (`LETTERS`).

        Raises TeacherError for a step without a column and for a column that is not in the file, TableError for a file
        that is no table.
        """
        self._check_kinds(prompt.kind for prompt in prompts)
        for position, prompt in enumerate(prompts):
            yield position, self._completion(prompt, sampling.seed)

    def check_access(self, kinds: Collection[str]) -> None:
        """Raises TeacherError for a step without a column and for a column in none of the files; TableError."""
        self._check_kinds(kinds)
        for kind in kinds:
            column = self.columns[kind]
            if _OPTION not in column and not any(column in table.columns for table in self._tables):
                self._no_column(column, self.files[0], self._tables[0])

    def _check_kinds(self, kinds: Iterable[str]) -> None:
        for kind in dict.fromkeys(kinds):
            if kind not in self.columns:
                raise TeacherError(
                    f"The recording has no column for the step '{kind}'. Columns given: {', '.join(self.columns)}. "
                    f"Add `{kind}: COLUMN` to the teacher's columns, or take the step out of `generate`."
                )

    def listed(self, prompt: Prompt) -> int | None:
        """See `BaseTeacher.listed`."""
        cell = self._cell(prompt) if prompt.kind in self.columns else None
        return len(cell) if isinstance(cell, tuple) and cell else None

    def _completion(self, prompt: Prompt, number: int) -> Completion:
        text = self._cell(prompt)
        if isinstance(text, tuple):
            text = text[max(number, 1) - 1] if text else ""
        if text is None:
            return Completion("", refusal=MISSING)
        shown = moved(text, prompt.example)
        return Completion(text, refusal=LETTERS) if shown is None else Completion(shown)

    def _cell(self, prompt: Prompt) -> str | tuple[str, ...] | None:
        """The text of a prompt, or the texts where its cell holds a list of them; None where there is no row."""
        example, column = prompt.example, self.columns[prompt.kind]
        if _OPTION in column:
            index = _source_index(example, prompt.answer)
            if index is None:
                return None
            column = column.replace(_OPTION, str(index + 1))
        for path, table in zip(self.files, self._tables, strict=True):
            row = table.rows.get(example.question if table.by_question else example.id)
            if row is None:
                continue
            if column not in table.columns:
                self._no_column(column, path, table)
            return _texts(row[column])
        return None

    def _no_column(self, column: str, path: Path, table: _Table) -> NoReturn:
        found = ", ".join(table.columns)
        raise TeacherError(f"{path} has no column '{column}'. Found: {found}. Mend `columns` of the teacher.")

    @cached_property
    def _tables(self) -> list[_Table]:
        return [self._table(path) for path in self.files]

    def _table(self, path: Path) -> _Table:
        table = read_file(path, path.name, self._layout)
        by = self._id if self._id in table.columns or table.route(self._id)[1] else self._question
        if by not in table.columns and not table.route(by)[1]:
            raise TeacherError(
                f"{path} has no column '{self._id}' and no '{self._question}' to find rows by. "
                f"Found: {', '.join(table.columns)}. Add `id: COLUMN` or `question: COLUMN` to the teacher's columns."
            )
        # Only the columns that a step names: a published table may have a hundred others, of long texts.
        wanted = "|".join(re.escape(column).replace(re.escape(_OPTION), r"\d+") for column in self.columns.values())
        rows: dict[str, Row] = {}
        nested = [column for column in self.columns.values() if table.route(column)[1]]
        columns = [by, *(column for column in table.columns if column != by and re.fullmatch(wanted, column)), *nested]
        for _, row in table.records(columns):
            # The first row counts where an id or a question comes twice.
            rows.setdefault(str(row[by]).strip(), row)
        return _Table((*table.columns, *nested), by == self._question, rows)


def _texts(cell: Any) -> str | tuple[str, ...]:
    """The text in a cell, or the texts of a list in it, which a CSV file holds as a program printed it."""
    texts = parsed(cell) if isinstance(cell, str) else cell
    if isinstance(texts, (list, tuple)) and all(text is None or isinstance(text, str) for text in texts):
        return tuple(text or "" for text in texts)
    return "" if cell is None else str(cell)


def _source_index(example: Example, answer: str) -> int | None:
    """The option's index in the source row, from 0; the first of an option that is there twice."""
    order = example.order or tuple(range(len(example.choices)))
    return min(
        (source for choice, source in zip(example.choices, order, strict=True) if choice == answer), default=None
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
