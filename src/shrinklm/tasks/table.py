"""Any table of questions: columns named in the recipe → examples. The named tasks are tables whose columns are known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..core.errors import TaskError
from ..core.tables import SUFFIXES, Rows
from ..core.types import Example, Split, digest
from .base import SplitTask, TaskOptions, parse_answer, shuffled
from .columns import Columns
from .sources import Source, read_rows
from .values import answers, options_of, text_of


def table(options: TaskOptions) -> SplitTask:
    """A table of the user's: `task.columns` says what is where. Raises TaskError when nothing is named."""
    if not options.train:
        raise TaskError(
            "Task 'table' has no data. Write under task: train: FILE (CSV, JSONL, Parquet), a folder, or a hub name."
        )
    if not options.columns:
        raise TaskError(
            "Task 'table' needs columns. Write under task: columns: {question: NAME, choices: NAME, answer: NAME}"
        )
    return named("table", options, {}, {}, type=None)


def named(
    name: str, options: TaskOptions, columns: Mapping[str, Any], own: Mapping[Split, str], type: str | None = "choice",
    parse: Callable[[str, Example], str | None] = parse_answer,
) -> SplitTask:  # fmt: skip
    """A table whose columns and sources are known; what the recipe says goes before both."""
    said = {**columns, **options.columns}

    def read(source: str, split: Split) -> list[Example]:
        rows = read_rows(source, split, options.root)
        return examples_of(rows, Columns.resolve(said, rows, options.type or type), split, options)

    def header() -> str:
        rows = read_rows(options.train or own["train"], "train", options.root)
        return Columns.resolve(said, rows, options.type).infer_type()

    kind = options.type or type or header()
    own = _own_sources(options, own)
    if own.get("train"):
        options = replace(options, train=own["train"])
    return SplitTask(name, kind, options, read, own, parse)


def _own_sources(options: TaskOptions, own: Mapping[Split, str]) -> Mapping[Split, str]:
    """Where a named task finds the splits that the recipe does not name.

    A folder or hub name given as `train` is taken as a copy of the whole data set, with the same configurations and splits. A file is
    the user's own training rows: dev comes out of it, the test split stays the task's.
    """
    if not own or options.train is None:
        return own
    given = Path(options.train)
    if given.suffix.lower() in SUFFIXES or Source.parse(options.train).name != options.train:
        return {"test": own["test"]}
    return {split: replace(Source.parse(source), name=options.train).text for split, source in own.items()}


def examples_of(rows: Rows, columns: Columns, split: Split, options: TaskOptions) -> list[Example]:
    """All rows as examples, none dropped. Raises TaskError with file, line, column and what was found."""
    places, found = zip(*rows.records(columns.needed), strict=True)
    shown = [options_of(row, columns.choices, place) for place, row in zip(places, found, strict=True)]
    golds = answers(places, [row[columns.answer] for row in found], shown, columns)
    examples: list[Example] = []
    seen: dict[str, str] = {}
    twins: Counter[str] = Counter()
    for place, row, option, gold in zip(places, found, shown, golds, strict=True):
        question = columns.ask or " ".join(text_of(row[column], place, column) for column in columns.question)
        fields = {name: text_of(row[column], place, column, empty=True) for name, column in columns.context.items()}
        identity = _id(row, place, columns, (split, question, fields, option.texts), twins)
        if identity in seen:
            raise TaskError(
                f"{place}, column '{columns.id}': the id '{identity}' stands already in {seen[identity]}. Ids are unique; "
                "leave `id` out of task.columns to have ids made from the questions."
            )
        seen[identity] = place
        shown_fields = {name: text for name, text in fields.items() if text}
        meta = _meta(row, place, columns, gold.more)
        example = Example(identity, question, option.texts, gold.text, shown_fields, meta, option.order)
        examples.append(shuffled(example, options.seed) if columns.choices.shuffle and options.shuffle else example)
    return examples


def _id(row: Mapping[str, Any], place: str, columns: Columns, about: Sequence[Any], twins: Counter[str]) -> str:
    if columns.id is not None:
        return text_of(row[columns.id], place, columns.id)
    # Made from the question and not from its row number: a row added above must not rename, and so ask again, all below.
    name = digest(*about)
    twins[name] += 1
    return name if twins[name] == 1 else digest(name, twins[name])


def _meta(row: Mapping[str, Any], place: str, columns: Columns, more: Sequence[str]) -> dict[str, Any]:
    meta: dict[str, Any] = {}
    words = [text for column in columns.explanation if (text := text_of(row[column], place, column, empty=True))]
    if words:
        meta["explanation"] = words[0]
    if columns.highlight and (words := [text_of(row[columns.highlight], place, columns.highlight, empty=True)]) != [""]:
        meta["highlight"] = words[0]
    if columns.ask:
        meta["same_question"] = True
    if more:
        meta["answers"] = list(more)
    return meta
