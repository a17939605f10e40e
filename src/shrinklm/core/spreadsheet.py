"""Rows as CSV that a spreadsheet opens without running anything."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

_FORMULA = re.compile(r"(^|[,;|\t\r\n])(?=[=+\-@\t\r＝＋－＠])")
"""Matches where a formula may begin: a text, or what stands behind a character that some program takes for the end of a
cell (the characters by which Excel and LibreOffice know a formula: OWASP, CSV injection)."""
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d+)*|\.\d+)([eE][+-]?\d+)?\s?%?")
"""Matches a number, which runs nothing."""


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as CSV (RFC 4180), every text in quotes and `harmless`."""
    out = io.StringIO(newline="")
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.writer(out, lineterminator="\r\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow([harmless(name) for name in names])
    writer.writerows([[harmless(row.get(name, "")) for name in names] for row in rows])
    return out.getvalue()


def harmless(value: Any) -> Any:
    """A value for a cell: a text that a spreadsheet would take for a formula gets an apostrophe before it, also inside
    the text where another program would end the cell."""
    if not isinstance(value, str) or _NUMBER.fullmatch(value):
        return value
    return _FORMULA.sub(r"\1'", value)
