"""Rows as CSV that a spreadsheet opens without running anything."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as CSV (RFC 4180). A text that a spreadsheet would take for a formula gets an apostrophe before it."""
    out = io.StringIO(newline="")
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(out, names, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows([{name: _safe(value) for name, value in row.items()} for row in rows])
    return out.getvalue()


def _safe(value: Any) -> Any:
    # The characters by which Excel and LibreOffice know a formula (OWASP, CSV injection).
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
