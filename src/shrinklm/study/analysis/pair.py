"""Reads people's ratings and a judge's, to compare them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ...core.errors import TableError
from ...core.tables import read_file
from .ratings import Ratings, read_ratings


def read_pair(
    ratings: Path,
    judged: Path,
    condition: str,
    raters: tuple[str, str],
    constructs: Sequence[str],
    item: str | None = None,
    length: str | None = None,
    scale: tuple[float, float] = (1, 5),
    same: Mapping[str, str] | None = None,
) -> tuple[Ratings, Ratings]:
    """Read people's and the judge's table; `item` and `length` are read from whichever has them.

    `same` says which condition of the judge's is which of people's, where they are called differently. Raises
    TableError as `read_ratings` does, and for an item or a length that neither table has.
    """
    columns = [set(read_file(path, path.name).columns) if path.is_file() else set() for path in (ratings, judged)]
    for option, name in (("--item", item), ("--length", length)):
        if name is not None and all(columns) and not any(name in known for known in columns):
            raise TableError(f"Neither {ratings.name} nor {judged.name} has a column '{name}', which {option} names.")
    first, second = (
        read_ratings(
            path,
            condition,
            rater,
            constructs,
            controls=[length] if length in known and length is not None else [],
            item=item if item in known else None,
            scale=scale,
        )
        for path, rater, known in zip((ratings, judged), raters, columns, strict=True)
    )
    return first, _renamed(second, same or {})


def _renamed(judged: Ratings, same: Mapping[str, str]) -> Ratings:
    strays = [name for name in same if name not in judged.levels]
    if strays:
        raise TableError(
            f"{judged.file} has no {judged.condition} '{strays[0]}' to be called otherwise. Found: "
            f"{', '.join(judged.levels)}."
        )
    levels = tuple(dict.fromkeys(same.get(level, level) for level in judged.levels))
    return replace(judged, levels=levels, conditions=tuple(same.get(level, level) for level in judged.conditions))
