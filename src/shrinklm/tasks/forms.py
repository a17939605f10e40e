"""Tables laid out anew: a column read in another way, options out of the text that holds them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from ..core.tables import Rows

_MARKER = re.compile(r"\s*\(([A-H1-8])\)\s*")


def with_column(rows: Rows, name: str, source: Sequence[str], make: Callable[..., Any]) -> Rows:
    """`rows` with a column that is made of the values of others; it may take the place of one."""

    def read(wanted: Sequence[str]) -> Iterator[tuple[int, Sequence[Any]]]:
        if name not in wanted:
            yield from rows.read(wanted)
            return
        asked = list(dict.fromkeys([*(column for column in wanted if column != name), *source]))
        places = [asked.index(column) if column != name else -1 for column in wanted]
        sources = [asked.index(column) for column in source]
        for number, values in rows.read(asked):
            made = make(*(values[place] for place in sources))
            yield number, [made if place < 0 else values[place] for place in places]

    return replace(rows, columns=tuple(dict.fromkeys([*rows.columns, name])), read=read)


def with_options(rows: Rows, column: str) -> Rows:
    """`rows` with the columns "COLUMN: stem" and "COLUMN: options" of a text such as "What melts? (A) ice (B) iron"."""
    rows = with_column(rows, f"{column}: stem", [column], lambda text: cut_options(text)[0])
    return with_column(rows, f"{column}: options", [column], lambda text: cut_options(text)[1])


def cut_options(text: Any) -> tuple[str, list[dict[str, str]]]:
    """(the text before its options, [{label, text}, ...]); the last run of marks from (A) or (1) on counts."""
    marks = list(_MARKER.finditer(str(text or "")))
    start = max((index for index, mark in enumerate(marks) if mark[1] in "A1"), default=len(marks))
    run = marks[start:]
    ends = [*(mark.start() for mark in run[1:]), len(str(text or ""))]
    options = [
        {"label": mark[1], "text": str(text)[mark.end() : end].strip()} for mark, end in zip(run, ends, strict=False)
    ]
    return str(text or "")[: run[0].start()].strip() if run else str(text or "").strip(), options
