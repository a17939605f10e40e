"""The quality of a ranking by scores: average precision."""

from __future__ import annotations

import math
from collections.abc import Sequence


def average_precision(scores: Sequence[float], relevant: Sequence[bool]) -> float:
    """The mean, over the relevant items, of the precision among the items that score at least as high.

    Equal scores count as all their orders equally likely, in closed form (McSherry & Najork, ECIR 2008): of t equal
    items, r relevant, after c items, R relevant, the i-th is relevant with probability r / t and then has R + 1 + (i −
    1)(r − 1) / (t − 1) relevant ones up to it. So the order of the items changes nothing, and equal scores everywhere
    give the chance level. Above 0, at most 1.

    Raises:
        ValueError: nothing is relevant.
    """
    if not any(relevant):
        raise ValueError("Average precision needs a relevant item; none is.")
    groups: dict[float, list[bool]] = {}
    for score, is_relevant in zip(scores, relevant, strict=True):
        groups.setdefault(score, []).append(is_relevant)
    total, above, relevant_above = 0.0, 0, 0
    for score in sorted(groups, reverse=True):
        # `above` and `relevant_above` are c and R of the formula; `i` counts from 0, not from 1.
        t, r = len(groups[score]), sum(groups[score])
        step = (r - 1) / (t - 1) if t > 1 else 0.0
        total += math.fsum(r / t * (relevant_above + 1 + i * step) / (above + i + 1) for i in range(t)) if r else 0.0
        above, relevant_above = above + t, relevant_above + r
    return total / relevant_above
