"""Texts → how alike they are by their runs of characters and words. No model, no torch, no dictionary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.words import words

_CHARACTERS, _WORDS = (2, 3, 4), (1, 2)
"""Lengths of the runs. Characters tell case, punctuation and endings; words tell phrases."""


def ngram_likeness(texts: Sequence[str]) -> NDArray[np.float64]:
    """[texts, texts]: the mean of two cosines, of runs of 2 to 4 characters and of 1 and 2 words, 0 to 1.

    Each run counts (1 + log of its count) times its inverse document frequency among these texts, 1 + log((1 + n) /
    (1 + df)). A text without any run is like none, itself included.
    """
    rows = ngram_rows(texts)
    likeness: NDArray[np.float64] = (rows @ rows.T).toarray()
    return likeness


def ngram_rows(texts: Sequence[str]) -> Any:
    """A sparse matrix [texts, runs] whose product with its transpose is `ngram_likeness`."""
    from scipy.sparse import hstack

    return hstack([_weighted(texts, runs) for runs in (_characters, _word_runs)], "csr") / np.sqrt(2)


def _characters(text: str) -> Iterable[str]:
    padded = f" {' '.join(text.split())} "
    return (padded[at : at + size] for size in _CHARACTERS for at in range(len(padded) - size + 1))


def _word_runs(text: str) -> Iterable[str]:
    own = words(text)
    return (" ".join(own[at : at + size]) for size in _WORDS for at in range(len(own) - size + 1))


def _weighted(texts: Sequence[str], runs: Callable[[str], Iterable[str]]) -> Any:
    """Sparse [texts, runs], rows of length 1; of length 0 where a text is empty."""
    from scipy.sparse import csr_matrix

    known: dict[str, int] = {}
    counts = [Counter(runs(text) if text.split() else ()) for text in texts]
    columns = [known.setdefault(run, len(known)) for own in counts for run in own]
    starts = np.cumsum([0, *map(len, counts)])
    values = 1 + np.log([float(count) for own in counts for count in own.values()])
    rarity = 1 + np.log((1 + len(texts)) / (1 + np.bincount(columns, minlength=len(known))))
    values *= rarity[columns]
    sizes = [float(np.linalg.norm(values[start:end])) for start, end in pairwise(starts)]
    values /= np.repeat(sizes, np.diff(starts))
    return csr_matrix((values, columns, starts), shape=(len(texts), len(known)))
