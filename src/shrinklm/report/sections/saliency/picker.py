"""The data of the page's picker of items."""

from __future__ import annotations

from typing import Any

from ...look.numbers import count
from ...marks import Marked, Saliency, pieces


def picker_data(saliency: Saliency) -> dict[str, Any]:
    """JSON with the keys of saliency.js: {"steps": [{name, about}], "items": [{id, a, p, m}]}.

    An item's `p` holds its text cut at its words, once for all steps that cut it alike, and `m` for each step
    [step, which cut, the words' shares in per mille, [kept word, share in percent]].
    """
    steps = list(saliency.steps)
    # A step may have marked words without having figures.
    steps += sorted({marks.step for item in saliency.items for marks in item.markings} - set(steps))
    about = [{"name": step, "about": _about(saliency, step)} for step in steps]
    return {"steps": about, "items": [_item(item, steps) for item in saliency.items]}


def _item(item: Marked, steps: list[str]) -> dict[str, Any]:
    cuts: list[list[str]] = []
    rows = []
    for marks in item.markings:
        cut = pieces(item.text, marks.spans)
        if cut not in cuts:
            cuts.append(cut)
        shares = [round(1000 * score) for score in marks.scores]
        kept = [[word, round(100 * marks.scores[word])] for word in marks.kept]
        rows.append([steps.index(marks.step), cuts.index(cut), shares, kept])
    return {"id": item.id, "a": item.answer, "p": cuts, "m": rows}


def legend(saliency: Saliency) -> str:
    """How to read the shades, and the command that shows the items left out of the page."""
    text = (
        "The stronger a word's colour, the larger its share of the step's scores in this item. "
        "Underlined words are kept; words such as “the” or “what” never are."
    )
    if saliency.total <= len(saliency.items):
        return text
    return (
        f"{text} The page holds the first {count(len(saliency.items))} of {count(saliency.total)} items; any other: "
        "shrinklm explain-saliency RUN --item ID."
    )


def _about(saliency: Saliency, step: str) -> str:
    figures = saliency.steps.get(step, {})
    return ", ".join(str(figures[key]) for key in ("by", "method") if figures.get(key))
