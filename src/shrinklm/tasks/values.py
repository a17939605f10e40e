"""Cells → texts, options and gold answers. Raises TaskError with file, line and column."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

from ..core.errors import TableError, TaskError
from ..core.tables.printed import parsed
from ..core.types import letter
from .columns import LABELS, Choices, Columns
from .options import unlabelled
from .spelling import canonical

_ENOUGH_TO_DOUBT = 20
"""Answers. That no one of so many is the first of five options has a chance of 0.8^20, about 1 %."""
_TRUTH = {"yes": True, "true": True, "no": False, "false": False}


class Options(NamedTuple):
    """The options of one row in their order; empty for free answers."""

    texts: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    """Their own names, such as A, B, C, where the row has them."""
    order: tuple[int, ...] = ()
    """Position of each in the row, from 0: not 0, 1, 2 ... where a cell between was empty."""


class Gold(NamedTuple):
    """The right answer of one row."""

    text: str
    more: tuple[str, ...] = ()
    """All accepted answers where there are several."""


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
            f"{where()}, column '{column}': expected a text, found a {type(value).__name__}: {_abbreviated(value)}."
        )
    text = plain(value)
    if not text and not empty:
        raise TaskError(f"{where()}, column '{column}' is empty. Fill it in or take the row out.")
    return text


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


@lru_cache
def _counted(count: int) -> tuple[int, ...]:
    return tuple(range(count))


_TEXTS = {str}


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
            f"found a {type(value).__name__}: {_abbreviated(value)}. "
            'Write a list (in CSV a JSON list: ["bank", "zoo"]), or several columns: choices: [a, b, c].'
        )
    texts = tuple(map(plain, texts))
    if "" in texts:
        raise TaskError(
            f"{where()}, column '{column}': option {texts.index('') + 1} of {len(texts)} is empty. "
            "Fill it in or take it out."
        )
    return Options(texts, tuple(map(plain, labels)) if len(labels) == len(texts) else (), _counted(len(texts)))


def gold_answers(
    place: Callable[[int], str], values: Sequence[Any], options: Sequence[Options], columns: Columns
) -> list[Gold]:
    """The gold answer of every row, "" where the table has none; `place` says where a row, counted from 0, stands.

    The notation of a column is settled once for the whole table: text, label, letter, first letters or number from 0,
    whichever reads the most rows, the first of these on a tie. `answer_from` says that answers are numbers, and where
    they start.

    Raises TaskError at the first row that cannot be read.
    """
    column = columns.answer
    if column is None:
        return [Gold("")] * len(options)
    for row, value in enumerate(values):
        # Of several accepted answers the first is the gold one.
        if not (type(value) is str and value.strip()) and not plain(_accepted(value)[:1] or ""):
            raise TaskError(
                f"{place(row)}, column '{column}' is empty. Fill it in or take the row out; "
                "hidden answers cannot be used."
            )
    if not any(option.texts for option in options):
        return [_free(value, partial(place, row), column) for row, value in enumerate(values)]
    start = columns.answer_from
    readers: list[Callable[[Any, Options], int | None]] = [partial(_by_number, start=start or 0)]
    if start is None:
        readers = [_by_text, _by_label, _by_letter, *([_by_start] if columns.choices.fixed else []), *readers]
    best: list[int | None] = []
    most, chosen = -1, readers[0]
    for reader in readers:
        indices = list(map(reader, values, options))
        read = len(indices) - indices.count(None)
        # The first of equals counts, and none reads more than all.
        if read > most:
            best, most, chosen = indices, read, reader
        if most == len(values):
            break
    if start is None and chosen is readers[-1]:
        _doubt(best, columns, place(0))
    if chosen is _by_letter and columns.choices.fixed:
        _doubt_letters(best, values, options, columns, place)
    golds = []
    for row, index in enumerate(best):
        if index is None:
            raise TaskError(_not_among(place(row), values[row], options[row], columns))
        golds.append(Gold(options[row].texts[index]))
    return golds


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
        f"{location}, column '{columns.answer}': the answer {_abbreviated(value)} is not among the choices: "
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
    match = re.fullmatch(r"\(?([A-Za-z]{1,2})[).:]*", plain(value))
    names = [letter(index) for index in range(len(option.texts))]
    return names.index(match[1].lower()) if match and match[1].lower() in names else None


def _by_start(value: Any, option: Options) -> int | None:
    """The one option that begins so: "e" for entailment, "n" for no."""
    text = plain(value).casefold()
    indices = [
        index for index, other in enumerate(option.texts) if text.isalpha() and other.casefold().startswith(text)
    ]
    return indices[0] if len(indices) == 1 else None


def _by_number(value: Any, option: Options, start: int) -> int | None:
    # A column with gaps holds "2.0", or "2,0" where the comma is the decimal sign.
    match = re.fullmatch(r"(\d{1,9})(?:[.,]0+)?", plain(value))
    # Counted as in the row, where an empty cell has its number too.
    return option.order.index(int(match[1]) - start) if match and int(match[1]) - start in option.order else None


def _accepted(value: Any) -> list[Any]:
    """All answers of a cell: a list's, or those of SQuAD's {text, answer_start}."""
    if isinstance(value, Mapping):
        value = value.get("text")
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _free(value: Any, where: Where, column: str) -> Gold:
    accepted = tuple(dict.fromkeys(text_of(item, where, column) for item in _accepted(value)))
    return Gold(accepted[0], accepted if isinstance(value, (Mapping, list, tuple)) else ())


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


def _abbreviated(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
