"""Can a classifier tell the student's explanations from the reference explanations of the same questions?

This measures imitation, not quality, as the other metrics of likeness do. The idea is that of adversarial training: a
discriminator that is left with chance says that a student writes as its teacher does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...core.types import digest
from ...core.words import piece_spans
from ...models.ngrams import ngram_likeness
from ...stats import discriminate, pair_components
from ...stats.discrimination import FOLDS
from .base import Rows, Value

_LEAST = 2 * FOLDS
"""Questions below which nothing is scored: a fold needs pairs to compare."""
_MOST = 1500
"""Questions that are compared: the likeness of all texts with all others is held in memory."""


class Discriminator:
    """`discriminator`: the area under the ROC curve of a classifier of texts, 0 to 1; one half is chance.

    The share of pairs (a reference, an explanation) in which the classifier takes the reference for it, ties half. It
    learned from the texts of other questions (five folds by question, an area each, `stats.discriminate`), by runs of
    characters and words (`models.ngrams`). More questions make a better classifier: compare methods over the same ones.

    `discriminator_length`: the same area of the number of words alone; far from one half either way says that length
    tells, below it that explanations are the longer ones. `discriminator_cut`: the area for texts cut to the same
    number of words in each question, one fewer than the shorter of the two has, so that length tells nothing.
    `discriminator_chance`: what 95 % of 999 classifiers stay at or below that learned with reference and explanation
    exchanged in questions drawn by lot; `discriminator_p`: the share of them that reach `discriminator`. These two are
    one figure for all questions; of several seeds the mean is shown.

    A question's score is what it adds to the area, which may lie outside 0 to 1. None without an explanation or a
    reference, for all where fewer than ten questions have both, and beyond 1,500 questions for the rest.
    """

    def together(self, rows: Rows) -> Sequence[Value]:
        """The figures of each row; each run has a classifier of its own."""
        values: list[Value] = [None] * len(rows)
        runs: dict[str, list[int]] = {}
        for index, (example, prediction) in enumerate(rows):
            if prediction.explanation is not None and example.meta.get("reference"):
                runs.setdefault(prediction.run, []).append(index)
        for indices in runs.values():
            # By a hash of the id: folds do not follow the order of a file, and are the same for every run.
            chosen = sorted(indices, key=lambda index: digest("fold", rows[index][0].id))[:_MOST]
            if len(chosen) >= _LEAST:
                pairs = [(str(rows[at][0].meta["reference"]), str(rows[at][1].explanation)) for at in chosen]
                for index, value in zip(chosen, _figures(pairs), strict=True):
                    values[index] = value
        return values


discriminator = Discriminator()


def _figures(pairs: Sequence[tuple[str, str]]) -> list[Mapping[str, float]]:
    """The figures of each pair (reference, explanation)."""
    folds = [position % FOLDS for position in range(len(pairs))]
    whole, cut = (
        discriminate(ngram_likeness([text for pair in texts for text in pair]), folds)
        for texts in (pairs, [_cut(*pair) for pair in pairs])
    )
    longer = pair_components(*zip(*(tuple(len(piece_spans(text)) for text in pair) for pair in pairs), strict=True))
    return [
        {
            "discriminator": whole.components[index],
            "discriminator_length": longer[index],
            "discriminator_cut": cut.components[index],
            "discriminator_chance": whole.chance,
            "discriminator_p": whole.p,
        }
        for index in range(len(pairs))
    ]


def _cut(reference: str, explanation: str) -> tuple[str, str]:
    """Both texts with the same number of words, none with its last one, whose full stop would tell which was cut."""
    spans = piece_spans(reference), piece_spans(explanation)
    size = max(0, min(map(len, spans)) - 1)
    first, second = (
        text[: own[size - 1][1]] if size else "" for text, own in zip((reference, explanation), spans, strict=True)
    )
    return first, second
