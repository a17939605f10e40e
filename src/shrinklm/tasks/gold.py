"""The right answers of a table, in whatever notation its column has. Raises TaskError with file, line and column."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import takewhile
from operator import contains
from typing import Any

from ..core.errors import TaskError
from .columns import LABELS, Columns
from .spelling import canonical
from .values import Options, OptionTable, abbreviated, filled, plain, text_of

_ENOUGH_TO_DOUBT = 20
"""Answers. That no one of so many is the first of five options has a chance of 0.8^20, about 1 %."""
_TRUTH = {"yes": True, "true": True, "no": False, "false": False}


@dataclass(frozen=True)
class Golds:
    """The right answers of all rows."""

    texts: Sequence[str]
    more: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """Row → all accepted answers, where there are several."""


def gold_answers(place: Callable[[int], str], values: Sequence[Any], options: OptionTable, columns: Columns) -> Golds:
    """The gold answer of every row, "" where the table has none; `place` says where a row, counted from 0, stands.

    The notation of a column is settled once for the whole table: text, label, letter, first letters or number from 0,
    whichever reads the most rows, the first of these on a tie. `answer_from` says that answers are numbers, and where
    they start.

    Raises TaskError at the first row that cannot be read.
    """
    column = columns.answer
    if column is None:
        return Golds([""] * len(options))
    texts = filled(values)
    if texts is None:
        for row, value in enumerate(values):
            # Of several accepted answers the first is the gold one.
            if not (type(value) is str and value.strip()) and not plain(_accepted(value)[:1] or ""):
                raise TaskError(
                    f"{place(row)}, column '{column}' is empty. Fill it in or take the row out; "
                    "hidden answers cannot be used."
                )
    if not any(options.texts):
        return _free(place, values, column) if texts is None else Golds(texts)
    # What most tables hold: the text of one of the options.
    if texts is not None and columns.answer_from is None and all(map(contains, options.texts, texts)):
        # The option's own text, so that memory holds it once.
        return Golds([shown[shown.index(text)] for shown, text in zip(options.texts, texts, strict=True)])
    indices = _read(place, values, options, columns)
    return Golds([shown[index] for shown, index in zip(options.texts, indices, strict=True)])


def _read(place: Callable[[int], str], values: Sequence[Any], options: OptionTable, columns: Columns) -> list[int]:
    """The index of every row's answer among its options. Raises TaskError as `gold_answers` does."""
    start = columns.answer_from
    readers: list[Callable[[Any, Options], int | None]] = [partial(_by_number, start=start or 0)]
    if start is None:
        readers = [_by_text, _by_label, _by_letter, *([_by_start] if columns.choices.fixed else []), *readers]
    # The first that reads all rows counts: none reads more. Most are told by the first row that they cannot read.
    for chosen in readers:
        best = list(takewhile(lambda index: index is not None, map(chosen, values, options)))
        if len(best) == len(values):
            break
    else:
        tried = [list(map(reader, values, options)) for reader in readers]
        best = min(tried, key=lambda indices: indices.count(None))  # the first of equals
        chosen = readers[tried.index(best)]
    if start is None and chosen is readers[-1]:
        _doubt(best, columns, place(0))
    if chosen is _by_letter and columns.choices.fixed:
        _doubt_letters(best, values, options, columns, place)
    read: list[int] = []
    for row, index in enumerate(best):
        if index is None:
            raise TaskError(_not_among(place(row), values[row], options[row], columns))
        read.append(index)
    return read


def _doubt(indices: Sequence[int | None], columns: Columns, first: str) -> None:
    """Raises TaskError where answers that were read as numbers from 0 are ambiguous."""
    where = f"Column '{columns.answer}' (first: {first})"
    fixed = columns.choices.fixed
    # Which label a number stands for, data sets decide in their own ways: some count contradiction as 0, or as 1.
    if columns.choices.implied and fixed == LABELS:
        raise TaskError(
            f"{where} holds numbers, and the file does not say which label each stands for. Write the labels in the "
            "order of your numbers, under task.columns: choices: [entailment, neutral, contradiction] where 0 is "
            "entailment, as in SNLI, MNLI and ANLI."
        )
    # Numbers from 1 also read as numbers from 0, each one option too far. That no answer is the first option gives them
    # away.
    if len(indices) >= _ENOUGH_TO_DOUBT and 0 not in indices:
        raise TaskError(
            f"{where} counts the options, but no answer of {len(indices):,} is 0. "
            "Say where it starts: columns: {answer_from: 1}, or answer_from: 0."
        )
    # Of [yes, no] the first option is 0 and true; as a truth value 0 is false. [no, yes] reads alike both ways.
    if len(fixed) == 2 and _TRUTH.get(fixed[0].casefold()):
        listing = ", ".join(f'"{option}"' for option in fixed)
        raise TaskError(
            f"{where} holds numbers: is 0 the first of [{listing}], or false? "
            "Write the options in the order of your numbers, "
            f'such as choices: ["no", "yes"] where 1 is yes; or say that they count as they stand: answer_from: 0.'
        )


def _doubt_letters(
    indices: Sequence[int | None],
    values: Sequence[Any],
    options: Sequence[Options],
    columns: Columns,
    place: Callable[[int], str],
) -> None:
    """Raises TaskError where "a" is the letter of one option and the beginning of another."""
    for row, (index, value, option) in enumerate(zip(indices, values, options, strict=True)):
        other = _by_start(value, option)
        if index is not None and other is not None and other != index:
            raise TaskError(
                f"{place(row)}, column '{columns.answer}': is {plain(value)!r} the letter of '{option.texts[index]}', "
                f"or does it stand for '{option.texts[other]}'? Write the answers out, or as numbers."
            )


def _not_among(location: str, value: Any, option: Options, columns: Columns) -> str:
    fixed = " The choices are taken as fixed options, since no column is called so." if columns.choices.fixed else ""
    return (
        f"{location}, column '{columns.answer}': the answer {abbreviated(value)} is not among the choices: "
        f"{' | '.join(option.texts)}.{fixed} "
        "An answer is an option's text, its letter (a, b, ...), or its number from 0 "
        "(answer_from: 1 if yours count from 1)."
    )


def _by_text(value: Any, option: Options) -> int | None:
    if isinstance(value, bool):
        indices = [index for index, text in enumerate(option.texts) if _TRUTH.get(text.casefold()) is value]
        return indices[0] if len(indices) == 1 else None
    text = value.strip() if type(value) is str else plain(value)
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
    return option.labels.index(plain(value)) if plain(value) in option.labels else None


def _by_letter(value: Any, option: Options) -> int | None:
    index = _lettered(plain(value))
    return index if index is not None and index < len(option.texts) else None


@lru_cache(4096)
def _lettered(text: str) -> int | None:
    """The index that a letter names (a: 0, aa: 26); None for any other text."""
    match = re.fullmatch(r"\(?([A-Za-z]{1,2})[).:]*", text)
    if match is None:
        return None
    *first, last = (ord(mark) - ord("a") for mark in match[1].lower())
    return 26 * (first[0] + 1) + last if first else last


def _by_start(value: Any, option: Options) -> int | None:
    """The one option that begins so: "e" for entailment, "n" for no."""
    text = plain(value).casefold()
    indices = [
        index for index, other in enumerate(option.texts) if text.isalpha() and other.casefold().startswith(text)
    ]
    return indices[0] if len(indices) == 1 else None


def _by_number(value: Any, option: Options, start: int) -> int | None:
    number = _numbered(plain(value))
    # Counted as in the row, where an empty cell has its number too.
    return option.order.index(number - start) if number is not None and number - start in option.order else None


@lru_cache(4096)
def _numbered(text: str) -> int | None:
    # A column with gaps holds "2.0", or "2,0" where the comma is the decimal sign.
    match = re.fullmatch(r"(\d{1,9})(?:[.,]0+)?", text)
    return int(match[1]) if match else None


def _accepted(value: Any) -> list[Any]:
    """All answers of a cell: a list's, or those of SQuAD's {text, answer_start}."""
    if isinstance(value, Mapping):
        value = value.get("text")
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _free(place: Callable[[int], str], values: Sequence[Any], column: str) -> Golds:
    texts, more = [], {}
    for row, value in enumerate(values):
        where = partial(place, row)
        accepted = tuple(dict.fromkeys(text_of(item, where, column) for item in _accepted(value)))
        texts.append(accepted[0])
        if isinstance(value, (Mapping, list, tuple)):
            more[row] = accepted
    return Golds(texts, more)
