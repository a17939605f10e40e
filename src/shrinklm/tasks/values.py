"""Cells → texts, options and gold answers. Raises TaskError with file, line and column."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from ..core.errors import TaskError
from ..core.types import letter
from .columns import Choices, Columns
from .spelling import canonical

_ENOUGH_TO_DOUBT = 20
"""Answers. That no one of so many is the first of five options has a chance of 0.8^20, about 1 %."""
_TRUTH = {"yes": True, "true": True, "no": False, "false": False}


@dataclass(frozen=True)
class Options:
    """The options of one row in their order; empty for free answers."""

    texts: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    """Their own names, such as A, B, C, where the row has them."""
    order: tuple[int, ...] = ()
    """Position of each in the row, from 0: not 0, 1, 2 ... where a cell between was empty."""


@dataclass(frozen=True)
class Gold:
    """The right answer of one row."""

    text: str
    more: tuple[str, ...] = ()
    """All accepted answers where there are several."""


def text_of(value: Any, location: str, column: str, empty: bool = False) -> str:
    """A cell as text; a list of texts is joined.

    Raises TaskError for another type, and for an empty cell unless `empty` allows it.
    """
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        value = " ".join(value)
    if isinstance(value, (Mapping, list, tuple, bytes)):
        raise TaskError(
            f"{location}, column '{column}': expected a text, found a {type(value).__name__}: {_abbreviated(value)}."
        )
    text = _plain(value)
    if not text and not empty:
        raise TaskError(f"{location}, column '{column}' is empty. Fill it in or take the row out.")
    return text


def options_of(row: Mapping[str, Any], choices: Choices, location: str) -> Options:
    """The options of a row. Raises TaskError: not a list, an empty option, fewer than two different ones."""
    if choices.fixed:
        return Options(choices.fixed, order=tuple(range(len(choices.fixed))))
    if choices.columns:
        texts = [text_of(row[column], location, column, empty=True) for column in choices.columns]
        order = tuple(index for index, text in enumerate(texts) if text)
        options = Options(tuple(texts[index] for index in order), order=order)
        where = f"columns {', '.join(choices.columns)}"
    elif choices.column:
        options = _listed(row[choices.column], location, choices.column)
        where = f"column '{choices.column}'"
    else:
        return Options()
    if len(set(options.texts)) < 2:
        raise TaskError(
            f"{location}, {where}: a question needs two or more different options, "
            f"found: {' | '.join(options.texts) or 'none'}."
        )
    return options


def _listed(value: Any, location: str, column: str) -> Options:
    value, labels = _unlabelled(_unquoted(value))
    if not isinstance(value, (list, tuple)) or any(isinstance(item, (Mapping, list, tuple)) for item in value):
        raise TaskError(
            f"{location}, column '{column}': choices must be a list, "
            f"found a {type(value).__name__}: {_abbreviated(value)}. "
            'Write a list (in CSV a JSON list: ["bank", "zoo"]), or several columns: choices: [a, b, c].'
        )
    texts = tuple(_plain(item) for item in value)
    if "" in texts:
        raise TaskError(
            f"{location}, column '{column}': option {texts.index('') + 1} of {len(texts)} is empty. "
            "Fill it in or take it out."
        )
    return Options(texts, tuple(map(str, labels)) if len(labels) == len(texts) else (), tuple(range(len(texts))))


def _unquoted(value: Any) -> Any:
    """A JSON list that a CSV file holds as text."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except json.JSONDecodeError:
        return value


def _unlabelled(value: Any) -> tuple[Any, Sequence[Any]]:
    """(texts, labels) of {text: [...], label: [...]} as in CommonsenseQA, or of [{text, label}, ...]."""
    if _labelled(value):
        return value["text"], value["label"] or ()
    if isinstance(value, (list, tuple)) and value and all(map(_labelled, value)):
        return [item["text"] for item in value], [item["label"] for item in value]
    return value, ()


def _labelled(value: Any) -> bool:
    return isinstance(value, Mapping) and {"text", "label"} <= value.keys()


def gold_answers(
    locations: Sequence[str], values: Sequence[Any], options: Sequence[Options], columns: Columns
) -> list[Gold]:
    """The gold answer of every row.

    The notation of a column is settled once for the whole table: text, label, letter or number from 0, whichever reads
    the most rows, the first of these on a tie. `answer_from` says that answers are numbers, and where they start.

    Raises TaskError at the first row that cannot be read.
    """
    column = columns.answer
    for location, value in zip(locations, values, strict=True):
        # Of several accepted answers the first is the gold one.
        if not _plain(_accepted(value)[:1] or ""):
            raise TaskError(
                f"{location}, column '{column}' is empty. Fill it in or take the row out; "
                "hidden answers cannot be used."
            )
    if not any(option.texts for option in options):
        return [_free(value, location, column) for location, value in zip(locations, values, strict=True)]
    start = columns.answer_from
    readers: list[Callable[[Any, Options], int | None]] = [partial(_by_number, start=start or 0)]
    if start is None:
        # `max` below takes the first of equals, so text goes before label, letter and number.
        readers = [_by_text, _by_label, _by_letter, *readers]
    readings = [[reader(value, option) for value, option in zip(values, options, strict=True)] for reader in readers]
    best = max(readings, key=lambda indices: sum(index is not None for index in indices))
    if start is None and best is readings[-1]:
        _doubt(best, columns, locations[0])
    golds = []
    for location, value, option, index in zip(locations, values, options, best, strict=True):
        if index is None:
            raise TaskError(_not_among(location, value, option, columns))
        golds.append(Gold(option.texts[index]))
    return golds


def _doubt(indices: Sequence[int | None], columns: Columns, first: str) -> None:
    """Raises TaskError where answers that were read as numbers from 0 are ambiguous."""
    where = f"Column '{columns.answer}' (first: {first})"
    # Numbers from 1 also read as numbers from 0, each one option too far. That no answer is the first option gives them
    # away.
    if len(indices) >= _ENOUGH_TO_DOUBT and 0 not in indices:
        raise TaskError(
            f"{where} counts the options, but no answer of {len(indices):,} is 0. "
            "Say where it starts: columns: {answer_from: 1}, or answer_from: 0."
        )
    # Of [yes, no] the first option is 0 and true; as a truth value 0 is false. [no, yes] reads alike both ways.
    if len(columns.choices.fixed) == 2 and _TRUTH.get(columns.choices.fixed[0].casefold()):
        listing = ", ".join(f'"{option}"' for option in columns.choices.fixed)
        raise TaskError(
            f"{where} holds numbers: is 0 the first of [{listing}], or false? "
            "Write the options in the order of your numbers, "
            f'such as choices: ["no", "yes"] where 1 is yes; or say that they count as they stand: answer_from: 0.'
        )


def _not_among(location: str, value: Any, option: Options, columns: Columns) -> str:
    fixed = " The choices are taken as fixed options, since no column is called so." if columns.choices.fixed else ""
    return (
        f"{location}, column '{columns.answer}': the answer {_abbreviated(value)} is not among the choices: "
        f"{' | '.join(option.texts)}.{fixed} "
        "An answer is an option's text, its letter (a, b, ...), or its number from 0 "
        "(answer_from: 1 if yours count from 1)."
    )


def _by_text(value: Any, option: Options) -> int | None:
    if isinstance(value, bool):
        indices = [index for index, text in enumerate(option.texts) if _TRUTH.get(text.casefold()) is value]
        return indices[0] if len(indices) == 1 else None
    text = _plain(value)
    # The exact spelling first: options may differ in case or punctuation alone ("Polish", "polish").
    if text in option.texts:
        return option.texts.index(text)
    alike = {other for other in option.texts if _alike(other) == _alike(text)}
    if not alike and text.casefold() in _TRUTH:
        return _by_text(_TRUTH[text.casefold()], option)
    return option.texts.index(alike.pop()) if len(alike) == 1 else None


@lru_cache(4096)
def _alike(text: str) -> str:
    return canonical(text)


def _by_label(value: Any, option: Options) -> int | None:
    return option.labels.index(_plain(value)) if _plain(value) in option.labels else None


def _by_letter(value: Any, option: Options) -> int | None:
    match = re.fullmatch(r"\(?([A-Za-z]{1,2})[).:]*", _plain(value))
    names = [letter(index) for index in range(len(option.texts))]
    return names.index(match[1].lower()) if match and match[1].lower() in names else None


def _by_number(value: Any, option: Options, start: int) -> int | None:
    text = _plain(value)
    # Counted as in the row, where an empty cell has its number too.
    return (
        option.order.index(int(text) - start)
        if re.fullmatch(r"\d+", text) and int(text) - start in option.order
        else None
    )


def _accepted(value: Any) -> list[Any]:
    """All answers of a cell: a list's, or those of SQuAD's {text, answer_start}."""
    if isinstance(value, Mapping):
        value = value.get("text")
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _free(value: Any, location: str, column: str) -> Gold:
    accepted = tuple(dict.fromkeys(text_of(item, location, column) for item in _accepted(value)))
    return Gold(accepted[0], accepted if isinstance(value, (Mapping, list, tuple)) else ())


def _plain(value: Any) -> str:
    if isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    if value is None or value != value:  # NaN is the only value that differs from itself
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    # Where a column has gaps, pandas stores its whole numbers as floats.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _abbreviated(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
