"""Any table of questions: columns named in the recipe → examples. Named tasks are tables whose columns are known."""

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
from .values import gold_answers, options_of, text_of


def table(options: TaskOptions) -> SplitTask:
    """A table of your own, read by `task.columns`.

    Raises TaskError when the recipe names no data or no columns.
    """
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
    name: str,
    options: TaskOptions,
    columns: Mapping[str, Any],
    sources: Mapping[Split, str],
    type: str | None = "choice",
    parse: Callable[[str, Example], str | None] = parse_answer,
) -> SplitTask:
    """A table whose columns and sources are known; those of the recipe take precedence."""
    spec = {**columns, **options.columns}

    def read(source: str, split: Split) -> list[Example]:
        rows = read_rows(source, split, options.root)
        return examples_of(rows, Columns.resolve(spec, rows, options.type or type), split, options)

    def header() -> str:
        rows = read_rows(options.train or sources["train"], "train", options.root)
        return Columns.resolve(spec, rows, options.type).infer_type()

    # The recipe's type, the task's, or the one that the table's columns imply, for which its header has to be read.
    kind = options.type or type or header()
    sources = _unnamed_sources(options, sources)
    if sources.get("train"):
        options = replace(options, train=sources["train"])
    return SplitTask(name, kind, options, read, sources, parse)


def _unnamed_sources(options: TaskOptions, sources: Mapping[Split, str]) -> Mapping[Split, str]:
    """The sources of the splits that the recipe does not name.

    A folder or hub name as `train` is taken as a copy of the whole dataset, with the same configurations and splits. A
    file holds training rows of the user's: dev comes out of it, and the test split stays the task's.
    """
    if not sources or options.train is None:
        return sources
    train = Path(options.train)
    if train.suffix.lower() in SUFFIXES or Source.parse(options.train).name != options.train:
        return {"test": sources["test"]}
    return {split: replace(Source.parse(source), name=options.train).text for split, source in sources.items()}


def examples_of(rows: Rows, columns: Columns, split: Split, options: TaskOptions) -> list[Example]:
    """All rows as examples, none dropped. Raises TaskError with file, line, column and value."""
    # All rows are read before the first example is made: `gold_answers` settles the notation for the whole table.
    locations, records = zip(*rows.records(columns.needed), strict=True)
    options_by_row = [
        options_of(row, columns.choices, location) for location, row in zip(locations, records, strict=True)
    ]
    golds = gold_answers(locations, [row[columns.answer] for row in records], options_by_row, columns)
    examples: list[Example] = []
    seen: dict[str, str] = {}
    twins: Counter[str] = Counter()
    for location, row, option, gold in zip(locations, records, options_by_row, golds, strict=True):
        question = columns.ask or " ".join(text_of(row[column], location, column) for column in columns.question)
        fields = {name: text_of(row[column], location, column, empty=True) for name, column in columns.context.items()}
        identity = _id(row, location, columns, (split, question, fields, option.texts), twins)
        if identity in seen:
            raise TaskError(
                f"{location}, column '{columns.id}': the id '{identity}' stands already in {seen[identity]}. "
                "Ids are unique; leave `id` out of task.columns to have ids made from the questions."
            )
        seen[identity] = location
        # An empty cell shows no line above the question. In the id it stays: stored generations are keyed by it.
        filled_fields = {name: text for name, text in fields.items() if text}
        meta = _meta(row, location, columns, gold.more)
        example = Example(identity, question, option.texts, gold.text, filled_fields, meta, option.order)
        examples.append(shuffled(example, options.seed) if columns.choices.shuffle and options.shuffle else example)
    return examples


def _id(row: Mapping[str, Any], location: str, columns: Columns, about: Sequence[Any], twins: Counter[str]) -> str:
    if columns.id is not None:
        return text_of(row[columns.id], location, columns.id)
    # Made from the question and not from the row number: a row added above must not rename all rows below, whose
    # generations would then be generated again.
    name = digest(*about)
    twins[name] += 1
    return name if twins[name] == 1 else digest(name, twins[name])


def _meta(row: Mapping[str, Any], location: str, columns: Columns, more: Sequence[str]) -> dict[str, Any]:
    meta: dict[str, Any] = {}
    words = [text for column in columns.explanation if (text := text_of(row[column], location, column, empty=True))]
    if words:
        meta["explanation"] = words[0]
    if columns.highlight and (words := [text_of(row[columns.highlight], location, columns.highlight, empty=True)]) != [
        ""
    ]:
        meta["highlight"] = words[0]
    if columns.ask:
        meta["same_question"] = True
    if more:
        meta["answers"] = list(more)
    return meta
