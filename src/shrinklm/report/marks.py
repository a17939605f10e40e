"""RUN/saliency → Saliency: the words that each step marked, and the figures about them. Reads files only."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..core.errors import StoreError
from ..core.results import RunFile, SaliencyFile
from ..stats import Estimate
from .fields import block, estimate_of, finite

EMBEDDED = 1000
"""Items that a page holds."""
_ADVICE = "Run: shrinklm saliency RECIPE"


@dataclass(frozen=True)
class Marks:
    """The words of one item as one step marked them."""

    step: str
    about: str
    """The model and the method, such as "Qwen2.5-0.5B, gradient (l2, max)"."""
    spans: tuple[tuple[int, int], ...]
    """(start, end) of the words in the item's text, in its order."""
    scores: tuple[float, ...]
    """Shares of the words, not negative."""
    kept: tuple[int, ...]
    """Indices into `spans`, in the order in which the words are kept."""

    def heat(self) -> list[float]:
        """Each score divided by the highest, 0 to 1: how dark its word is drawn."""
        top = max(self.scores, default=0.0)
        return [score / top if top else 0.0 for score in self.scores]


@dataclass(frozen=True)
class Marked:
    """One item with all its markings."""

    id: str
    text: str
    answer: str
    markings: tuple[Marks, ...]


@dataclass(frozen=True)
class Saliency:
    """The folder `saliency` of a run."""

    figures: Mapping[str, Any]
    """figures.json as it stands."""
    items: tuple[Marked, ...]
    """The first `EMBEDDED` of them."""
    total: int

    @property
    def steps(self) -> Mapping[str, Mapping[str, Any]]:
        """The steps that marked words, name → figures, the teacher's step first."""
        return block(self.figures, "steps")

    def chance(self, name: str) -> float | None:
        """The expectation of a figure for random content words; None when unknown."""
        return finite(_figure(block(self.figures, "chance"), name))

    def estimate(self, step: str, name: str) -> Estimate | None:
        """A figure of a step with its interval; None when it was not measured."""
        return estimate_of(_figure(self.steps.get(step, {}), name))


def read_saliency(run: Path, limit: int = EMBEDDED) -> Saliency | None:
    """Read the marked words of a run, with its first `limit` items; None when it has none.

    Raises StoreError for a broken file.
    """
    path = run / RunFile.SALIENCY / SaliencyFile.FIGURES
    if not path.is_file():
        return None
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}). Remove it. {_ADVICE}") from error
    if not isinstance(figures, dict):
        raise StoreError(f"{path} holds no figures. Remove it. {_ADVICE}")
    items, total = [], 0
    for total, row in enumerate(_rows(run), 1):  # also those beyond the limit: their number is shown
        if total <= limit:
            items.append(_item(run, total, row, figures))
    return Saliency(figures, tuple(items), total)


def read_item(run_folder: str | Path, id: str) -> Marked:
    """Read the item `id` of a run with its marked words.

    Raises:
        StoreError: the folder holds no marked words, a broken file, or no such item; the message names the nearest ids.
    """
    run = Path(run_folder)
    if not (run / RunFile.SALIENCY / SaliencyFile.ITEMS).is_file():
        raise StoreError(f"{run} holds no marked words (saliency/items.jsonl). {_ADVICE}")
    saliency = read_saliency(run, 0)  # its figures alone: they name the model and the method of each step
    ids = []
    for line, row in enumerate(_rows(run), 1):
        ids.append(str(row.get("id")))
        if ids[-1] == id:
            return _item(run, line, row, saliency.figures if saliency else {})
    near = difflib.get_close_matches(id, ids, n=3, cutoff=0.4) or ids[:3]
    raise StoreError(
        f"No item '{id}' among the {len(ids):,} marked items of {run}. Nearest: {', '.join(near) or 'there is none'}."
    )


def _figure(figures: Mapping[str, Any], name: str) -> Any:
    """A figure by name: those against human highlights stand in a mapping of their own."""
    return figures[name] if name in figures else block(figures, "highlight").get(name)


def _rows(run: Path) -> Iterator[Mapping[str, Any]]:
    path = run / RunFile.SALIENCY / SaliencyFile.ITEMS
    if not path.is_file():
        return
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise StoreError(f"{path}, line {number}: no item. Remove the file. {_ADVICE}")
                yield row
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}). Remove it. {_ADVICE}") from error


def _item(run: Path, line: int, row: Mapping[str, Any], figures: Mapping[str, Any]) -> Marked:
    try:
        text, markings, steps = str(row["text"]), row["markings"], block(figures, "steps")
        order = list(steps)
        names = sorted(markings, key=lambda step: order.index(step) if step in order else len(order))
        marks = tuple(_marks(text, step, markings[step], block(steps, step)) for step in names)
        return Marked(str(row["id"]), text, str(row["answer"]), marks)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(
            f"{run / 'saliency' / 'items.jsonl'}, line {line}: {error!r}. Remove the file. {_ADVICE}"
        ) from error


def _marks(text: str, step: str, row: Mapping[str, Any], about: Mapping[str, Any]) -> Marks:
    spans = tuple((int(start), int(end)) for start, end in row["spans"])
    scores, kept = tuple(map(float, row["scores"])), tuple(map(int, row["kept"]))
    # Overlapping or unordered spans would cut the text into pieces that repeat or drop letters.
    edges = [0, *(edge for span in spans for edge in span), len(text)]
    if edges != sorted(edges) or len(scores) != len(spans) or any(not 0 <= index < len(spans) for index in kept):
        raise ValueError(f"the words of {step} do not fit the text")
    if any(not math.isfinite(score) or score < 0 for score in scores):
        raise ValueError(f"a score of {step} is not a share")
    by = ", ".join(filter(None, (str(about.get("by") or ""), str(about.get("method") or ""))))
    return Marks(step, by, spans, scores, kept)


def pieces(text: str, spans: Sequence[tuple[int, int]]) -> list[str]:
    """The text cut at its words: the text before the first word, the word, the text before the next, ... the rest."""
    edges = [0, *(edge for span in spans for edge in span), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]
