"""Cells → texts and options. Raises TaskError with file, line and column."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain, repeat
from typing import Any, NamedTuple

from ..core.errors import TableError, TaskError
from ..core.tables.printed import parsed
from .columns import Choices
from .options import unlabelled

_TEXTS = {str}


class Options(NamedTuple):
    """The options of one row in their order; empty for free answers."""

    texts: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    """Their own names, such as A, B, C, where the row has them."""
    order: tuple[int, ...] = ()
    """Position of each in the row, from 0: not 0, 1, 2 ... where a cell between was empty."""


class OptionTable(Sequence[Options]):
    """The options of all rows of a table, kept by column: a record for each row would double their memory."""

    def __init__(self) -> None:
        self.texts: list[tuple[str, ...]] = []
        self._labels: list[tuple[str, ...]] = []
        self.orders: list[tuple[int, ...]] = []

    def append(self, options: Options) -> None:
        """Adds those of one row."""
        self.texts.append(options.texts)
        self._labels.append(options.labels)
        self.orders.append(options.order)

    def extend(self, texts: Sequence[tuple[str, ...]]) -> None:
        """Adds those of several rows, which have no names of their own and no cell that is empty."""
        self.texts.extend(texts)
        self._labels.extend(repeat((), len(texts)))
        self.orders.extend(_counted(len(row)) for row in texts)

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, row: Any) -> Any:
        return Options(self.texts[row], self._labels[row], self.orders[row])

    def __iter__(self) -> Iterator[Options]:
        return map(Options, self.texts, self._labels, self.orders)


Where = Callable[[], str]
"""Says where a row stands, for an error."""


def text_of(value: Any, where: Where, column: str, empty: bool = False) -> str:
    """A cell as text; a list of texts is joined.

    Raises TaskError for another type, and for an empty cell unless `empty` allows it.
    """
    if type(value) is str and (text := value.strip()):
        return text
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        value = " ".join(value)
    if isinstance(value, (Mapping, list, tuple, bytes)):
        raise TaskError(
            f"{where()}, column '{column}': expected a text, found a {type(value).__name__}: {abbreviated(value)}."
        )
    text = plain(value)
    if not text and not empty:
        raise TaskError(f"{where()}, column '{column}' is empty. Fill it in or take the row out.")
    return text


def stripped(cells: Sequence[Any]) -> list[str] | None:
    """The cells of a column as `text_of` reads each, where all are texts; else None."""
    try:
        return list(map(str.strip, cells))
    except TypeError:
        return None


def filled(cells: Sequence[Any]) -> list[str] | None:
    """As `stripped`, where no cell is empty; else None."""
    texts = stripped(cells)
    return texts if texts and all(texts) else None


def samples_of(value: Any, where: Where, column: str) -> list[str]:
    """The texts of a cell, one or several, without the empty ones: a list holds several texts about the same thing.

    Raises TaskError for a cell that is no text and no list of texts, printed or not.
    """
    texts = parsed(value) if isinstance(value, str) else value
    if isinstance(texts, (list, tuple)) and all(item is None or isinstance(item, str) for item in texts):
        return [text for item in texts if (text := plain(item))]
    text = text_of(value, where, column, empty=True)
    return [text] if text else []


def options_of(values: Sequence[Any], choices: Choices, where: Where) -> Options:
    """The options of a row, by the values of its columns of options.

    Raises TaskError: not a list, an empty option, fewer than two different ones.
    """
    if choices.fixed:
        return Options(choices.fixed, (), _counted(len(choices.fixed)))
    if choices.columns:
        if set(map(type, values)) == _TEXTS:
            texts = tuple(map(str.strip, values))
        else:
            cells = zip(values, choices.columns, strict=True)
            texts = tuple(text_of(value, where, column, empty=True) for value, column in cells)
        if all(texts):
            options = Options(texts, (), _counted(len(texts)))
        else:
            order = tuple(index for index, text in enumerate(texts) if text)
            options = Options(tuple(texts[index] for index in order), (), order)
    elif choices.column:
        options = _listed(values[0], where, choices.column)
    else:
        return Options()
    if len(set(options.texts)) < 2:
        named = f"columns {', '.join(choices.columns)}" if choices.columns else f"column '{choices.column}'"
        raise TaskError(
            f"{where()}, {named}: a question needs two or more different options, "
            f"found: {' | '.join(options.texts) or 'none'}."
        )
    return options


def options_by_column(values: Sequence[Sequence[Any]], choices: Choices, rows: int) -> list[tuple[str, ...]] | None:
    """The options of several rows, by their columns of options, where all are texts of which none is empty.

    None elsewhere: then `options_of` reads them row by row, and tells what is wrong.
    """
    if choices.fixed or not values:
        return [choices.fixed] * rows
    if choices.columns:
        columns = list(map(filled, values))
        options = [] if None in columns else list(zip(*filter(None, columns), strict=True))
    elif set(map(type, values[0])) == {list} and set(map(type, chain.from_iterable(values[0]))) == _TEXTS:
        options = [tuple(map(str.strip, cell)) for cell in values[0]]
        options = options if all(map(all, options)) else []
    else:
        options = []
    # Most rows need no set to tell that two of their options differ.
    sound = (row[:1] != row[-1:] or len(set(row)) > 1 for row in options)
    return options if options and all(sound) else None


@lru_cache
def _counted(count: int) -> tuple[int, ...]:
    return tuple(range(count))


def _listed(value: Any, where: Where, column: str) -> Options:
    # What nearly all cells hold, in a fraction of the time.
    if type(value) is list and set(map(type, value)) == _TEXTS and all(found := tuple(map(str.strip, value))):
        return Options(found, (), _counted(len(found)))
    try:
        texts, labels = unlabelled(parsed(value) if isinstance(value, str) else value)
    except TableError as error:
        raise TaskError(f"{where()}, column '{column}': {error}") from error
    if not isinstance(texts, (list, tuple)) or any(isinstance(item, (Mapping, list, tuple)) for item in texts):
        raise TaskError(
            f"{where()}, column '{column}': choices must be a list, "
            f"found a {type(value).__name__}: {abbreviated(value)}. "
            'Write a list (in CSV a JSON list: ["bank", "zoo"]), or several columns: choices: [a, b, c].'
        )
    texts = tuple(map(plain, texts))
    if "" in texts:
        raise TaskError(
            f"{where()}, column '{column}': option {texts.index('') + 1} of {len(texts)} is empty. "
            "Fill it in or take it out."
        )
    return Options(texts, tuple(map(plain, labels)) if len(labels) == len(texts) else (), _counted(len(texts)))


def plain(value: Any) -> str:
    """A cell as text, whatever it is; "" for an empty one."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, (list, tuple)) and len(value) == 1:
        return plain(value[0])
    if value is None or value != value:  # NaN is the only value that differs from itself
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    # Where a column has gaps, pandas stores its whole numbers as floats.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def abbreviated(value: Any) -> str:
    """A cell as an error shows it."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
