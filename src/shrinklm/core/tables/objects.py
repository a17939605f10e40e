"""Tables of JSON: one object a line, a list of objects, rows under a key, by their ids, or by columns."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from ..errors import TableError
from .rows import Layout, Row, Rows, in_memory
from .text import blocks, encoding_of

_DEEPEST = 3
"""Keys under which rows may stand: {"data": {"train": {"rows": [...]}}}."""
_BLANK = re.compile(r"\s*")
_USUAL = ("data", "rows", "examples", "questions", "records", "items", "instances")


def objects(path: Path, name: str, layout: Layout) -> Rows:
    """The table in a JSON file, with one object a line or as a whole, whatever its suffix says.

    Raises TableError: no JSON, no table, or no rows.
    """
    encoding = encoding_of(path, name, layout.encoding)
    first = list(islice(chain.from_iterable(block for _, block in blocks(path, encoding)), 2))
    start = first[0].lstrip("\ufeff").lstrip()
    alone = start.startswith("{") and _is_object(start)
    # A line that is an object by itself, and another one below it.
    if alone and len(first) > 1:
        return _by_lines(path, name, encoding)
    if path.suffix.lower() == ".json":
        return _whole(path, name, layout, encoding)
    # One object may be a row or a whole table; what is neither is told by its line.
    row = alone and _rows(_json(start, name, 1), name, layout.parts, sure=True) is None
    if row or not start.startswith(("[", "{")):
        return _by_lines(path, name, encoding)
    try:
        return _whole(path, name, layout, encoding)
    except TableError:
        _by_lines(path, name, encoding)
        raise


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        # The first of a list of objects ends in a comma, the first of one object over many lines is "{".
        return line.rstrip() != "{" and not line.rstrip().endswith((",", "[", "{"))


def _by_lines(path: Path, name: str, encoding: str) -> Rows:
    def place(number: int) -> str:
        return f"{name}, line {number}"

    columns: dict[str, None] = {}
    for numbers, block in blocks(path, encoding):
        for number, line in zip(numbers, block, strict=True):
            row = _plain(line) or _object(_json(line, name, number), name, number)
            if not row.keys() <= columns.keys():
                columns |= dict.fromkeys(row)

    def read(wanted: Sequence[str]) -> Iterator[tuple[int, Sequence[Any]]]:
        picked = _picker(wanted)
        for numbers, block in blocks(path, encoding):
            for number, line in zip(numbers, block, strict=True):  # each was checked
                yield number, picked(_SCAN(line, 0)[0] if line[0] == "{" else json.loads(line.lstrip("\ufeff")))

    return Rows(name, tuple(columns), read, place)


def _picker(wanted: Sequence[str]) -> Callable[[Row], Sequence[Any]]:
    """What takes the wanted values out of a row; None where it lacks one."""
    if len(wanted) < 2:
        return lambda row: list(map(row.get, wanted))
    whole: Callable[[Row], Sequence[Any]] = itemgetter(*wanted)

    def picked(row: Row) -> Sequence[Any]:
        try:
            return whole(row)
        except KeyError:
            return list(map(row.get, wanted))

    return picked


def _whole(path: Path, name: str, layout: Layout, encoding: str) -> Rows:
    text = path.read_text(encoding=encoding)
    try:
        data = _json(text, name)
    except TableError:
        if (data := _in_a_row(text)) is None:
            raise
    name = f"{name}@{layout.part}" if layout.part else name
    if layout.part is not None:
        if not isinstance(data, Mapping) or layout.part not in data:
            keys = ", ".join(data) if isinstance(data, Mapping) else "none"
            raise TableError(f"{name}: there is no key '{layout.part}'. Keys found: {keys}.")
        data = data[layout.part]
    rows = _rows(data, name, layout.parts)
    if rows is None:
        raise TableError(
            f'{name} holds a {type(data).__name__}; expected a list of objects: [{{"question": ...}}, ...], such a '
            'list under a key, or columns: {"question": [...], "answer": [...]}. A file with one object a line ends in '
            ".jsonl."
        )

    def place(number: int) -> str:
        return f"{name}, item {number}"

    return in_memory(name, [(n, _object(row, name, n, "item")) for n, row in enumerate(rows, 1)], place)


def _in_a_row(text: str) -> list[Any] | None:
    """Objects one after another, over many lines each; None where there is anything else."""
    decoder, found, place = json.JSONDecoder(), [], _BLANK.match(text).end()  # type: ignore[union-attr]
    while place < len(text):
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            return None
        found.append(value)
        place = _BLANK.match(text, place).end()  # type: ignore[union-attr]
    return found if len(found) > 1 and all(isinstance(value, dict) for value in found) else None


def _rows(
    data: Any, name: str, parts: Sequence[str], sure: bool = False, depth: int = 0, key: str = ""
) -> Sequence[Any] | None:
    """The rows in a JSON value, however they are arranged; None where it holds none.

    With `sure`, a key of objects counts only by a usual name: the object may be a row with a list of options.
    """
    if isinstance(data, list):
        return _listed(data)
    if not isinstance(data, Mapping) or depth > _DEEPEST:
        return None
    # pandas, orient="split"
    if isinstance(data.get("columns"), list) and isinstance(data.get("data"), list):
        return [dict(zip(data["columns"], values, strict=False)) for values in data["data"]]
    # Deeper down, a few lists of one length may be the options of a single row.
    usual = depth == 0 or key in (*parts, *_USUAL)
    if usual and (columns := _by_columns(data)):
        return columns
    under = {name: value for name, value in data.items() if _is_rows(value)}
    if not under:
        if usual and (named := _by_name(data)):
            return named
        inside = ((at, value) for at, value in data.items() if isinstance(value, Mapping))
        deeper = (_rows(value, name, parts, sure, depth + 1, str(at)) for at, value in inside)
        return next((rows for rows in deeper if rows is not None), None)
    chosen = [key for key in (*parts, *_USUAL) if key in under] or list(under)
    if sure and chosen[0] not in (*parts, *_USUAL):
        return None
    if len(under) > 1 and chosen[0] not in (*parts, *_USUAL):
        raise TableError(f"{name} holds rows under several keys: {', '.join(under)}. Name one: {name}@{chosen[0]}")
    found: Sequence[Any] = under[chosen[0]]
    return found


def _listed(data: list[Any]) -> Sequence[Any]:
    """Rows of a list; lists of cells below a list of names are rows too."""
    if len(data) > 1 and all(isinstance(row, list) for row in data):
        names = data[0]
        if all(isinstance(cell, str) for cell in names) and len(set(names)) == len(names):
            return [dict(zip(names, row, strict=False)) for row in data[1:]]
    return data


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _by_columns(data: Mapping[str, Any]) -> list[Row] | None:
    """The rows of {"question": [...], "answer": [...]}, or of {"question": {"0": ..., "1": ...}, ...} (pandas)."""
    values = list(data.values())
    if len(values) > 1 and all(isinstance(value, list) for value in values):
        if len({len(value) for value in values}) == 1 and not all(map(_is_rows, values)):
            return [dict(zip(data, row, strict=True)) for row in zip(*values, strict=True)]
        return None
    if not values or not all(isinstance(value, Mapping) for value in values):
        return None
    keys = list(dict.fromkeys(key for value in values for key in value))
    numbered, by_number = all(key.isdigit() for key in keys), all(key.isdigit() for key in data)
    same = all(len(value) == len(keys) for value in values)
    # Objects of objects are columns of rows, or rows of columns: numbers name rows, and there are more rows.
    if not keys or by_number or not (numbered or (same and len(keys) > len(values))):
        return None
    if any(isinstance(cell, Mapping) for value in values for cell in value.values()) and not numbered:
        return None
    # What is of one kind is a column: texts here, lists of options there.
    if not numbered and same and not _alike(values) and _alike([{k: v[key] for k, v in data.items()} for key in keys]):
        return None
    return [{column: value.get(key) for column, value in data.items()} for key in keys]


def _alike(groups: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the values of each group are of one kind."""
    return all(len({type(value) for value in group.values()}) == 1 for group in groups)


def _by_name(data: Mapping[str, Any]) -> list[Row] | None:
    """The rows of {"q1": {"question": ...}, "q2": ...}; the names stand in a column `key`."""
    values = list(data.values())
    if len(values) < 2 or not all(isinstance(value, dict) and value for value in values):
        return None
    shared = set.intersection(*(set(value) for value in values))
    if not shared:
        return None
    return [{"key": key, **value} for key, value in data.items()]


def _json(text: str, name: str, number: int = 0) -> Any:
    """The value of a JSON text, which is line `number` of a file, or all of it."""
    try:
        # The decoder's own `decode` takes twice the time for a short text.
        value, end = _DECODER.scan_once(text, 0)  # type: ignore[attr-defined]
        if not text[end:].strip():
            return value
    except (StopIteration, ValueError, KeyError, RecursionError):
        pass
    location = f"{name}, line {number}" if number else name
    try:
        return _DECODER.decode(text.lstrip("\ufeff"))
    except json.JSONDecodeError as error:
        line = f", line {error.lineno}" if "\n" in text.strip() else ""
        raise TableError(f"{location}{line}: not JSON: {error.msg} at column {error.colno}.") from error
    except RecursionError as error:
        raise TableError(f"{location}: lists or objects are nested too deeply to be read. Is it a table?") from error
    except KeyError as error:
        raise TableError(
            f"{location}: the key {error} stands twice in one object. Give each value a key of its own."
        ) from error
    except ValueError as error:  # a number of thousands of digits
        raise TableError(f"{location}: a number is too long to be read ({error}). Write it as a text.") from error


def _plain(line: str) -> Row | None:
    """The object in a line where it is sound beyond doubt, in half the time of `_json`; else None."""
    try:
        value, end = _SCAN(line, 0)
    except (StopIteration, ValueError, RecursionError):
        return None
    if type(value) is not dict or (line[end:] != "\n" and line[end:].strip()):
        return None
    # Each key has a colon behind it: with no more of them than keys, none stands twice.
    colons = line.count(":") - len(value)
    return value if not colons or colons == sum(len(item) for item in value.values() if type(item) is dict) else None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of its pairs. Raises KeyError for a key that stands twice."""
    entries = dict(pairs)
    if len(entries) < len(pairs):
        names = [key for key, _ in pairs]
        raise KeyError(next(key for key in names if names.count(key) > 1))
    return entries


def _object(row: Any, name: str, number: int, unit: str = "line") -> Row:
    if not isinstance(row, dict):
        raise TableError(
            f'{name}, {unit} {number}: expected an object such as {{"question": "..."}}, found {type(row).__name__}.'
        )
    return row


_DECODER = json.JSONDecoder(object_pairs_hook=_once)
_SCAN = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
