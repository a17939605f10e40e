"""Whether two texts of each question can be told apart: a cross-fitted classifier, its area under the ROC curve, and
what chance gives. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Matrix = NDArray[np.float64]

FOLDS = 5
_RIDGE = 1.0
"""The penalty, in units of a text's likeness to itself."""
_BLOCK = 250
"""Relabelled classifiers at a time: bounds the memory."""


@dataclass(frozen=True)
class Discrimination:
    """How well a classifier tells the first text of a pair from the second one."""

    area: float
    """Under the ROC curve, 0 to 1: the mean over folds, by their size."""
    components: Matrix
    """[pairs]: what each pair adds. Their mean is `area`, and their standard error that of `area`."""
    scores: Matrix
    """[pairs, 2]: how much the classifier of the other folds takes a text for a first one; 0 is neither."""
    chance: float
    """95 % of the classifiers that learned exchanged labels stay at or below this area."""
    p: float
    """One-sided: the share of these classifiers, the real one included, that reach `area`."""


def discriminate(likeness: ArrayLike, folds: Sequence[int], seed: int = 0, relabelled: int = 999) -> Discrimination:
    """A classifier that learned the pairs of all other folds judges those of a fold.

    The classifier is kernel ridge regression on labels of +1 and -1 (regularised least squares; Rifkin & Klautau,
    2004), which is linear in the labels: so classifiers of exchanged labels cost a product of matrices each. For chance
    the labels are exchanged within each pair with probability one half. A classifier has not seen the labels of the
    pairs that it judges, so that over exchanged labels the expected area is exactly one half in every fold.

    What `pair_components` gives is the spread for a classifier that stands. Another sample would have taught another
    one; under exchanged labels the areas spread this much wider, and `components` are spread by the same ratio.

    Args:
        likeness: [2 · pairs, 2 · pairs] inner products of the texts, the first and the second of a pair side by side.
        folds: The fold of each pair.
        seed: of the exchanges.
        relabelled: Classifiers of exchanged labels.

    Raises ValueError for one fold, another number of folds than pairs, or no relabelled classifier.
    """
    kernel, group = np.asarray(likeness, dtype=float), np.asarray(folds)
    pairs = len(group)
    if kernel.shape != (2 * pairs, 2 * pairs):
        raise ValueError(f"{pairs} pairs have a likeness of {2 * pairs} texts, found {kernel.shape}.")
    if len(np.unique(group)) < 2 or relabelled < 1:
        raise ValueError("A fold is judged by what other folds taught, and chance needs a relabelled classifier.")
    signs = np.random.default_rng(seed).choice((-1.0, 1.0), size=(pairs, relabelled))
    # The first column is the labels as they are.
    signs = np.concatenate([np.ones((pairs, 1)), signs], axis=1)
    components, scores = np.zeros(signs.shape), np.zeros((pairs, 2))
    for fold in np.unique(group):
        own = group == fold
        outputs = _judge(kernel, own, signs)
        scores[own] = outputs[:, 0].reshape(-1, 2)
        components[own] = _components(outputs, signs[own])
    areas = components.mean(axis=0)
    area, by_chance = float(areas[0]), areas[1:]
    p = (1 + np.count_nonzero(by_chance >= area - 1e-12)) / (1 + relabelled)
    real = area + _wider(components[:, 1:]) * (components[:, 0] - area)
    return Discrimination(area, real, scores, float(np.quantile(by_chance, 0.95)), float(p))


def judged(rows: Any, pairs: Sequence[tuple[int, int]], folds: Sequence[int]) -> Matrix:
    """[texts]: how much a classifier that learned the pairs of all other folds takes a text for a first one.

    The classifier is that of `discriminate`: +1 is a first text, -1 a second one, 0 neither.

    Args:
        rows: [texts, features], dense or sparse.
        pairs: The indices of a first and a second text, of one fold, which are learned from.
        folds: The fold of each text.

    Raises ValueError where a fold has nothing to learn from.
    """
    from scipy.linalg import cho_factor, cho_solve

    group, of_pair = np.asarray(folds), np.asarray([folds[first] for first, _ in pairs])
    scores = np.zeros(len(group))
    for fold in np.unique(group):
        known = np.asarray(pairs, dtype=int)[of_pair != fold].ravel() if pairs else np.zeros(0, dtype=int)
        if not len(known):
            raise ValueError("A fold is judged by what other folds taught, and they hold no pair.")
        learned, own = rows[known], np.flatnonzero(group == fold)
        factor = cho_factor(_dense(learned @ learned.T) + _RIDGE * np.eye(len(known)), lower=True)
        weights = cho_solve(factor, np.tile([1.0, -1.0], len(known) // 2))
        scores[own] = _dense(rows[own] @ learned.T) @ weights
    rounded: Matrix = np.round(scores, 9)
    return rounded


def log_odds(scores: ArrayLike, first: Sequence[bool]) -> Matrix:
    """log p(score | first) - log p(score | other), as of two normal distributions of one variance.

    All 0 where first texts do not score higher in the mean: such a classifier tells nothing. Raises ValueError unless
    there are texts of both kinds.
    """
    values, is_first = np.asarray(scores, dtype=float), np.asarray(first, dtype=bool)
    if is_first.all() or not is_first.any():
        raise ValueError("Log-odds need scores of first texts and of others.")
    centre, other = float(values[is_first].mean()), float(values[~is_first].mean())
    residuals = values - np.where(is_first, centre, other)
    variance = max(float(residuals @ residuals) / max(1, len(values) - 2), 1e-12)
    odds: Matrix = max(0.0, centre - other) / variance * (values - (centre + other) / 2)
    return odds


def _dense(matrix: Any) -> Matrix:
    dense: Matrix = matrix.toarray() if hasattr(matrix, "toarray") else matrix
    return dense


def pair_components(first: ArrayLike, second: ArrayLike) -> Matrix:
    """[pairs, ...]: V10 + V01 - A, of the area A under the ROC curve of scores in pairs; their mean is A.

    V10 of a pair is the share of second scores below its first, V01 the share of first scores above its second, ties
    counting half (DeLong et al., 1988). The spread of these sums is that of A where the two scores of a pair hang
    together (Obuchowski, 1997), so that resampling pairs gives an interval, and differences of two methods a test.
    A alone is `groups.vargha_delaney`. Further axes are further sets of scores. Raises ValueError unless both have one
    shape, and a pair.
    """
    from scipy.stats import rankdata

    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if a.shape != b.shape or not a.ndim or not a.size:
        raise ValueError(f"Scores in pairs are two lists of one length, found shapes {a.shape} and {b.shape}.")
    pairs = len(a)
    ranks = rankdata(np.concatenate([a, b]), axis=0)
    # A midrank among all, less that among one's own, counts those of the other side below, ties half.
    above = (ranks[:pairs] - rankdata(a, axis=0)) / pairs
    below = 1 - (ranks[pairs:] - rankdata(b, axis=0)) / pairs
    components: Matrix = above + below - above.mean(axis=0)
    return components


def _judge(kernel: Matrix, test: NDArray[np.bool_], signs: Matrix) -> Matrix:
    """[texts of the fold, classifiers]: the scores of classifiers that learned the other folds under each labelling."""
    from scipy.linalg import cho_factor, cho_solve

    inside = np.repeat(test, 2)
    learned = kernel[np.ix_(~inside, ~inside)] + _RIDGE * np.eye(int((~inside).sum()))
    weights = cho_solve(cho_factor(learned, lower=True), kernel[np.ix_(~inside, inside)]).T
    # The two labels of a pair are s and -s, so that the differences of their weights are all that is needed.
    steps: Any = weights[:, ::2] - weights[:, 1::2]
    # Rounded, so that equal texts have equal scores whatever the order of additions.
    outputs: Matrix = np.round(steps @ signs[~test], 9)
    return outputs


def _components(outputs: Matrix, signs: Matrix) -> Matrix:
    """[pairs, classifiers] components of each classifier; -1 in `signs` says that it exchanged the pair."""
    both = outputs.reshape(len(signs), 2, -1)
    blocks = []
    for start in range(0, signs.shape[1], _BLOCK):
        block = slice(start, start + _BLOCK)
        kept = signs[:, block] > 0
        first, second = both[:, 0, block], both[:, 1, block]
        blocks.append(pair_components(np.where(kept, first, second), np.where(kept, second, first)))
    return np.concatenate(blocks, axis=1)


def _wider(components: Matrix) -> float:
    """How much wider the areas of these classifiers spread than their components say; at least 1."""
    pairs, classifiers = components.shape
    said = np.sqrt(components.var(axis=0, ddof=1).mean() / pairs)
    # By chance alone the mean is known, one half: the spread is around it.
    seen = np.sqrt(np.mean((components.mean(axis=0) - 0.5) ** 2))
    return max(1.0, float(seen / said)) if said > 0 and classifiers > 1 else 1.0
