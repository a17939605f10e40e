"""Tables in Excel workbooks (.xlsx), by openpyxl: the values that the sheet shows."""

from __future__ import annotations

import datetime
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ..errors import TableError
from .bound import ROWS, Bound
from .rows import Layout, Rows, in_memory, named_twice

_LARGEST = 500_000_000
"""Bytes of a workbook unpacked, where the recipe names none: far above any table that a spreadsheet opens, far below a
zip bomb."""

_CELLS = 64
"""Cells that are walked for each row that may be read."""


def workbook(path: Path, name: str, layout: Layout) -> Rows:
    """The table in a sheet: its first row that is not empty is the header. Macros and formulas are not run.

    Raises TableError: openpyxl is missing, it is no workbook, the sheet is not there or empty, a header stands twice,
    or a cell holds an error or a formula that was never computed.
    """
    try:
        import openpyxl
    except ImportError:
        raise TableError(f'{name}: Excel workbooks need openpyxl. Type: pip install "shrinklm[xlsx]"') from None
    bound = Bound.of(name, path.stat().st_size, layout)
    bound = replace(bound, bytes=_LARGEST if layout.most_megabytes is None else bound.bytes)
    _check_size(path, name, bound)
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # a damaged archive fails in many ways
        raise TableError(f"{name} is not an Excel workbook (.xlsx): {error}") from error
    titles = [sheet.title for sheet in book.worksheets]
    asked = layout.sheet or layout.part
    if not titles or (asked is not None and asked not in titles):
        raise TableError(f"{name} has no sheet '{asked or 1}'. Sheets found: {', '.join(titles) or 'none'}.")
    title = asked or titles[0]
    label = f"{name}, sheet '{title}'" if len(titles) > 1 else name
    try:
        cells = dict(_cells(book[title], label, bound))
        merged = _merged(path, title)
    except TableError:
        raise
    except Exception as error:
        raise TableError(f"{label} is damaged: {type(error).__name__}: {error}. Save the workbook again.") from error
    finally:
        book.close()
    return _table(label, cells, merged, lambda: _formulas(path, title))


def _check_size(path: Path, name: str, bound: Bound) -> None:
    if not zipfile.is_zipfile(path):
        old = path.read_bytes()[:2] == b"\xd0\xcf"
        more = "an old workbook or one with a password" if old else "no zip archive"
        raise TableError(f"{name} is not an Excel workbook (.xlsx): it is {more}. Save it again as .xlsx or CSV.")
    with zipfile.ZipFile(path) as archive:
        size = sum(part.file_size for part in archive.infolist())
    if size > bound.bytes:
        raised = f", or write in the recipe, under {bound.block}: most_megabytes: {-(-size // 10**6)}"
        raise TableError(
            f"{name} unpacks to {size / 1e6:,.0f} MB, more than the {bound.bytes / 1e6:,.0f} MB that are read. "
            f"Save the sheet as CSV{raised if bound.block else '.'}"
        )


def _cells(sheet: Any, label: str, bound: Bound) -> Iterator[tuple[tuple[int, int], Any]]:
    """((row, column), value) of every cell that holds one, both counted from 1."""
    sheet.reset_dimensions()  # what the file says of them is often wrong
    walked, header, most = 0, 0, _CELLS * bound.rows
    for number, row in enumerate(sheet.iter_rows(), 1):
        # Rows and cells that are left out in the file are walked too: one cell in the last corner makes billions.
        walked += len(row)
        if not header and any(cell.value is not None for cell in row):
            # Where few rows are read, they may be wide.
            header, most = number, max(most, min(len(row) * (bound.rows + 1), _CELLS * ROWS))
        bound.check_rows(number - (header or 1), all_of_them=False)
        if walked > most:
            raise TableError(
                f"{label} has {len(row):,} columns of {number:,} rows. Take out what stands far from the table."
            )
        for column, cell in enumerate(row, 1):
            if cell.value is None:
                continue
            if cell.data_type == "e":
                raise TableError(
                    f"{label}, cell {_name(number, column)} holds the error {cell.value}. Mend its formula."
                )
            yield (number, column), _plain(cell.value)


def _plain(value: Any) -> Any:
    """A cell's value as a text, a number or a truth value: dates as 2024-05-31."""
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        value = value.date()
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat(" ") if isinstance(value, datetime.datetime) else value.isoformat()
    return value if isinstance(value, (str, int, float, bool)) else str(value)


def _merged(path: Path, title: str) -> list[tuple[int, int, int, int]]:
    """(first row, first column, last row, last column) of each merged area, which read-only sheets do not tell."""
    from openpyxl.utils import range_boundaries

    relation = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
    with zipfile.ZipFile(path) as archive:
        sheets = ElementTree.fromstring(archive.read("xl/workbook.xml")).iter()
        wanted = next(
            node.get(relation) for node in sheets if node.tag.endswith("}sheet") and node.get("name") == title
        )
        targets = ElementTree.fromstring(archive.read("xl/_rels/workbook.xml.rels"))
        target = next(str(node.get("Target")) for node in targets if node.get("Id") == wanted)
        part = target.lstrip("/") if target.startswith("/") else f"xl/{target}"
        found = re.findall(rb'<(?:\w+:)?mergeCell\b[^>]*\bref="([A-Z]+\d+:[A-Z]+\d+)"', archive.read(part))
    areas = []
    for reference in found:
        left, top, right, bottom = (edge or 1 for edge in range_boundaries(reference.decode()))
        areas.append((top, left, bottom, right))
    return areas


def _table(
    label: str,
    cells: dict[tuple[int, int], Any],
    merged: list[tuple[int, int, int, int]],
    formulas: Callable[[], set[Any]],
) -> Rows:
    if not cells:
        raise TableError(f"{label} is empty. A table needs a header and at least one row.")
    filled = sorted({row for row, _ in cells})
    width = max(column for _, column in cells)
    for top, left, bottom, right in merged:
        # A merged cell has its value in its first corner alone, and stands for all rows beside it.
        if (top, left) in cells:
            for row in (row for row in filled if top <= row <= bottom):
                for column in range(left, min(right, width) + 1):
                    cells.setdefault((row, column), cells[top, left])
    header = {
        column: str(cells[filled[0], column]).strip() for column in range(1, width + 1) if (filled[0], column) in cells
    }
    names = list(header.values())
    if (twice := named_twice(names)) is not None:
        raise TableError(
            f"{label}, row {filled[0]}: the header names '{twice}' twice. Give each column a name of its own."
        )
    rows = [
        (row, {name: cells.get((row, column)) for column, name in header.items()})
        for row in filled[1:]
        if any((row, column) in cells for column in header)
    ]
    if any(value is None for _, row in rows for value in row.values()):
        # A program that writes formulas without computing them leaves no value to read.
        lacking = sorted(formulas() - cells.keys())
        if lacking:
            raise TableError(
                f"{label}, cell {_name(*lacking[0])} holds a formula whose value was never computed. Open the workbook "
                "in Excel or LibreOffice and save it."
            )
    return in_memory(label, rows, lambda number: f"{label}, row {number}")


def _formulas(path: Path, title: str) -> set[Any]:
    """(row, column) of every formula of a sheet."""
    import openpyxl

    book = openpyxl.load_workbook(path, read_only=True)
    try:
        sheet = book[title]
        sheet.reset_dimensions()
        return {
            (row, column)
            for row, cells in enumerate(sheet.iter_rows(), 1)
            for column, cell in enumerate(cells, 1)
            if cell.data_type == "f"
        }
    finally:
        book.close()


def _name(row: int, column: int) -> str:
    from openpyxl.utils import get_column_letter

    return f"{get_column_letter(column)}{row}"
