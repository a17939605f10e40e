"""The ways in which data sets write the options of a question and their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

_TEXT = ("text", "texts", "value", "option", "options", "choice", "choices", "content", "answer", "answers")
_LABEL = ("label", "labels", "key", "keys", "letter", "letters", "id", "ids", "name", "names", "option_label")


def unlabelled(value: Any) -> tuple[Any, Sequence[Any]]:
    """(texts, names) of the options in one cell; names () where there are none.

    Read are lists, {text: [...], label: [...]} as in CommonsenseQA, [{text, label}, ...], {"A": ..., "B": ...},
    [{"A": ...}, {"B": ...}] and [["A", ...], ["B", ...]]. An option without a text in an object (null) is none.
    """
    if isinstance(value, list) and value and isinstance(value[0], str):
        return value, ()
    if isinstance(value, Mapping):
        return _of_object(value)
    if not isinstance(value, (list, tuple)) or not value:
        return value, ()
    if all(isinstance(item, Mapping) for item in value):
        return _of_objects(value)
    pairs = all(isinstance(item, (list, tuple)) and len(item) == 2 for item in value)
    if pairs and len({str(item[0]) for item in value}) == len(value) and all(len(str(item[0])) <= 2 for item in value):
        return [item[1] for item in value], [item[0] for item in value]
    return value, ()


def _of_object(value: Mapping[str, Any]) -> tuple[Any, Sequence[Any]]:
    text, label = _key(value, _TEXT), _key(value, _LABEL)
    if text is not None and isinstance(value[text], (list, tuple)):
        labels = value[label] if label is not None else None
        return value[text], labels if isinstance(labels, (list, tuple)) else ()
    # Files with one column for all options write null where a question has fewer.
    entries = {key: item for key, item in value.items() if item is not None}
    return list(entries.values()), list(entries)


def _of_objects(items: Sequence[Mapping[str, Any]]) -> tuple[Any, Sequence[Any]]:
    text = _key(items[0], _TEXT)
    if text is not None and all(text in item for item in items):
        label = _key(items[0], tuple(name for name in _LABEL if name != text))
        labels = [item.get(label) for item in items] if label is not None else ()
        return [item[text] for item in items], labels
    single = [[(key, item) for key, item in entry.items() if item is not None] for entry in items]
    if all(len(entries) == 1 for entries in single):
        return [entries[0][1] for entries in single], [entries[0][0] for entries in single]
    return items, ()


def _key(value: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    return _found(tuple(value), names)


@lru_cache
def _found(keys: tuple[str, ...], names: tuple[str, ...]) -> str | None:
    # Remembered: the objects of a table have the same keys.
    return next((key for name in names for key in keys if str(key).casefold() == name), None)
