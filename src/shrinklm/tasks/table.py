"""Any table of questions: columns named in the recipe → examples. Named tasks are tables whose columns are known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..core.errors import TaskError
from ..core.tables import SUFFIXES, Layout, Rows
from ..core.types import SPLITS, Example, Split
from .asked import AskedRow, asked_rows, called, plain_columns, question_columns
from .base import SplitTask, TaskOptions, parse_answer
from .columns import Columns
from .rows import RowReader
from .sources import Source, read_rows
from .where import Filter, conditions

_Row = tuple[int, Sequence[Any]]
"""A row's number and its values."""
_BLOCK = 256
"""Rows that are taken in together: few enough for the processor's cache."""
Left = Mapping[Split, Counter[str]]
"""Split → "column: value" → rows that the recipe leaves out."""


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
            "Task 'table' needs columns. Write under task: columns: {question: NAME, choices: NAME, answer: NAME}; "
            "without `answer`, the teacher labels the questions."
        )
    return named("table", options, (), {}, type=None)


def named(
    name: str,
    options: TaskOptions,
    columns: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    sources: Mapping[Split, str],
    type: str | None = "choice",
    parse: Callable[[str, Example], str | None] = parse_answer,
    prepare: Callable[[Rows], Rows] | None = None,
) -> SplitTask:
    """A table whose columns and sources are known; those of the recipe take precedence.

    Args:
        name: what the recipe calls it.
        options: the recipe's.
        columns: the columns, or those of each form in which the data set is published; `where` among them leaves rows
            out as the recipe's does.
        sources: where its splits are.
        type: choice, nli, yesno or free.
        parse: the reader of its answers.
        prepare: lays a table out anew before its columns are looked up.
    """
    forms = [columns] if isinstance(columns, Mapping) else list(columns)
    left_out: Left = {split: Counter() for split in SPLITS}
    layout = _layout(options)

    # A table of lines is read through for its columns: not once more for its rows.
    looked_at: dict[tuple[str, Split], tuple[Rows, dict[str, Any], TaskOptions]] = {}

    def opened(source: str, split: Split) -> tuple[Rows, dict[str, Any], TaskOptions]:
        rows = read_rows(source, split, options.root, layout)
        rows = prepare(rows) if prepare else rows
        spec = {**_form(forms, rows), **options.columns}
        where = {**spec.pop("where", {}), **options.where}
        return rows, spec, replace(options, where=where)

    def read(source: str, split: Split) -> list[Example]:
        place = (source, split)
        rows, spec, asked = looked_at.pop(place) if place in looked_at else opened(*place)
        # A table of gold answers for the test names their column; the questions to learn from may come without.
        unlabelled = split != "test" and isinstance(options.test, str)
        found = Columns.resolve(spec, rows, options.type or type, unlabelled)
        return examples_of(rows, found, split, asked, left_out)

    def header() -> str:
        source: tuple[str, Split] = (options.train or sources["train"], "train")
        looked_at[source] = rows, spec, _ = opened(*source)
        return Columns.resolve(spec, rows, options.type, isinstance(options.test, str)).infer_type()

    # The recipe's type, the task's, or the one that the table's columns imply, for which its header has to be read.
    kind = options.type or type or header()
    sources = _unnamed_sources(options, sources)
    if sources.get("train"):
        options = replace(options, train=sources["train"])
    asked = partial(_asked, forms, options, kind, prepare, layout)
    return SplitTask(name, kind, options, read, sources, parse, left_out, asked)


def _layout(options: TaskOptions) -> Layout:
    return Layout(
        options.encoding,
        options.delimiter,
        options.sheet,
        most_rows=options.most_rows,
        most_megabytes=options.most_megabytes,
        block="task",
    )


def _asked(
    forms: Sequence[Mapping[str, Any]],
    options: TaskOptions,
    kind: str,
    prepare: Callable[[Rows], Rows] | None,
    layout: Layout,
    source: str,
    more: Mapping[str, Any],
) -> Iterator[AskedRow]:
    """The questions of a file in one of the task's forms, or with the usual names; `more`: columns named besides."""
    rows = read_rows(source, "test", Path("."), layout)
    rows = prepare(rows) if prepare else rows
    known = [question_columns({**form, **options.columns}) for form in forms or [{}]]
    usual = plain_columns(kind, known[0].get("context") or ())
    return asked_rows(rows, _form([called(form, more) for form in [*known, *usual]], rows), kind)


def read_asked(source: str, columns: Mapping[str, Any], kind: str, context: Sequence[str] = ()) -> Iterator[AskedRow]:
    """The questions of a file whose columns have the usual names (question, choices, id), but for those in `columns`.

    `kind`: choice, nli, yesno or free; `context`: what is shown above the question. Raises TaskError.
    """
    rows = read_rows(source, "test")
    return asked_rows(rows, _form([called(form, columns) for form in plain_columns(kind, context)], rows), kind)


def _form(forms: Sequence[Mapping[str, Any]], rows: Rows) -> dict[str, Any]:
    """The first of the forms whose columns are all there; else the first, whose lacking column the error names."""

    def there(form: Mapping[str, Any]) -> bool:
        context = form.get("context", ())
        context = list(context.values()) if isinstance(context, Mapping) else context
        said = [form.get(key) for key in ("id", "question", "answer", "choices", "explanation")]
        said += (
            context.values() if isinstance(context, Mapping) else context if isinstance(context, list) else [context]
        )
        names = [name for name in said if isinstance(name, str) and not name.endswith("?")]
        return all(name in rows.columns or rows.route(name)[1] for name in names)

    return dict(next((form for form in forms if there(form)), forms[0] if forms else {}))


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


def examples_of(rows: Rows, columns: Columns, split: Split, options: TaskOptions, left_out: Left) -> list[Example]:
    """All rows that the recipe's `where` keeps as examples, none dropped besides; `left_out` counts the others.

    Raises TaskError with file, line, column and value.
    """
    needed = tuple(dict.fromkeys([*columns.needed, *(str(column) for column in options.where)]))
    position = {column: index for index, column in enumerate(needed)}.__getitem__
    kept = Filter(conditions(options.where, rows), position)
    reader = RowReader(rows, columns, position, options.seed if columns.choices.shuffle and options.shuffle else None)
    # All rows are read before the first example is made: `gold_answers` settles the notation for the whole table.
    wanted = rows.values(needed)
    for block in _blocks((row for row in wanted if kept.keeps(row[1])) if options.where else wanted):
        reader.extend(block)
    left_out[split].update(kept.left_out)
    if not reader.numbers:
        found = ", ".join(f"{value} ({count:,})" for value, count in kept.left_out.most_common(5))
        raise TaskError(f"{rows.name}: task.where leaves out all rows, by {found}. Keep some of these values.")
    return reader.examples(split)


def _blocks(rows: Iterable[_Row]) -> Iterator[list[_Row]]:
    block: list[_Row] = []
    try:
        for row in rows:
            block.append(row)
            if len(block) == _BLOCK:
                yield block
                block = []
    except TaskError:
        # A fault further up in the table is told first.
        if block:
            yield block
        raise
    if block:
        yield block
