"""How like an explanation is to the reference, and to its question, by a local model's vectors. Imitation, not quality: a student that
reasons well in other words scores low, and one that parrots scores high.

Each metric is asked about all rows at once (`many`), so that texts are encoded in batches and each one once. None or a missing name:
there is no explanation, no reference, or a single sentence where two are compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...core.types import Example, Prediction
from ...models.encoder import Encoder, Vectors
from .mentions import sentences

Rows = Sequence[tuple[Example, Prediction]]
Found = list[Mapping[str, float] | None]

_CHUNK = 256
"""Rows whose token vectors are held at a time."""


class Similarity:
    """`similarity`: cosine, -1 to 1, of the explanation's and the reference's sentence embeddings.

    Paraphrases come near 0.8 and unrelated texts near 0 with the packaged model (Sentence-BERT, arXiv 1908.10084). None without reference.
    """

    def many(self, rows: Rows, encoder: Encoder) -> Found:
        """The cosine of each row."""
        pairs = [_pair(*row) for row in rows]
        vectors = encoder.embed([text for pair in pairs if pair for text in pair])
        cosines = iter((vectors[::2] * vectors[1::2]).sum(-1).tolist())
        return [None if pair is None else {"similarity": next(cosines)} for pair in pairs]


class BertScore:
    """`bertscore_p`, `bertscore_r`, `bertscore_f`: greedy matching of token vectors with the reference, -1 to 1, in practice 0.2 to 1.

    P = mean over the explanation's tokens of the highest cosine to any token of the reference, R the same the other way round,
    F = 2PR / (P + R). As BERTScore (arXiv 1904.09675) without idf weights and without rescaling; no token is matched with [CLS] or
    [SEP]. On the local encoder's last layer: its figures compare with others of the same encoder alone.
    """

    def many(self, rows: Rows, encoder: Encoder) -> Found:
        """Precision, recall and F of each row; those of an empty explanation are 0."""
        pairs = [_pair(*row) for row in rows]
        found: Found = []
        for start in range(0, len(pairs), _CHUNK):
            some = pairs[start : start + _CHUNK]
            vectors = iter(encoder.tokens([text for pair in some if pair for text in pair]))
            found += [None if pair is None else _greedy(next(vectors), next(vectors)) for pair in some]
        return found


class Roscoe:
    """ROSCOE's step metrics without reference (arXiv 2212.07919), 0 to 1, more is better; steps h are sentences of the explanation.

    The source s is context and question, sentence by sentence, and align(x -> y) = mean over x of (1 + max over y of the cosine) / 2.
    `roscoe_faithfulness` = align(h -> s). `roscoe_informativeness` = (align(h -> s) + align(s -> h)) / 2.
    `roscoe_repetition` = (1 - highest cosine of two steps) / 2, so near 0 when a step is said again. `roscoe_coherence` = 1 - highest
    probability that a step contradicts an earlier one; it needs an entailment model and is left out without one. The last two need two
    steps. Embeddings are the local encoder's, not the paper's: compare methods, not papers.
    """

    def many(self, rows: Rows, encoder: Encoder) -> Found:
        """The figures of each row."""
        said = [[] if row[1].explanation is None else sentences(row[1].explanation) for row in rows]
        shown = [
            [part for text in (*example.fields.values(), example.question) for part in sentences(text)]
            for example, _ in rows
        ]
        every = list(dict.fromkeys(text for texts in (*said, *shown) for text in texts))
        vectors = dict(zip(every, encoder.embed(every), strict=True))
        found: list[dict[str, float] | None] = [
            _aligned(np.stack([vectors[text] for text in steps]), np.stack([vectors[text] for text in source]))
            if steps and source
            else None
            for steps, source in zip(said, shown, strict=True)
        ]
        if encoder.judge is not None:
            self._coherence(said, found, encoder)
        return list(found)

    @staticmethod
    def _coherence(said: Sequence[Sequence[str]], found: Sequence[dict[str, float] | None], encoder: Encoder) -> None:
        pairs = [[(a, b) for at, b in enumerate(steps) for a in steps[:at]] for steps in said]
        clashes = iter(encoder.relations([pair for some in pairs for pair in some])[:, 2].tolist())
        for row, some in zip(found, pairs, strict=True):
            highest = max((next(clashes) for _ in some), default=None)
            if row is not None and highest is not None:
                row["roscoe_coherence"] = 1 - highest


class Entailment:
    """Whether the question's answer follows from the explanation, by a local entailment model that the recipe names.

    The premise is the explanation, the hypothesis 'The answer to "QUESTION" is ANSWER.' `entails_predicted` and `entails_gold` are
    probabilities, 0 to 1; `contradicts_predicted` too. `entails_best` is 1.0 when no option is more probable than the predicted one.
    """

    def many(self, rows: Rows, encoder: Encoder) -> Found:
        """The figures of each row. Raises RecipeError when no entailment model is named."""
        asked = [
            [*dict.fromkeys((*example.choices, example.answer, *filter(None, [prediction.answer])))]
            if prediction.explanation
            else []
            for example, prediction in rows
        ]
        pairs = [
            (str(prediction.explanation), f'The answer to "{example.question}" is {option}.')
            for (example, prediction), options in zip(rows, asked, strict=True)
            for option in options
        ]
        told = iter(encoder.relations(pairs).tolist())
        found: Found = []
        for (example, prediction), options in zip(rows, asked, strict=True):
            by = {option: next(told) for option in options}
            if not by:
                found.append(None)
                continue
            row = {"entails_gold": by[example.answer][0]}
            if prediction.answer is not None:
                row |= {
                    "entails_predicted": by[prediction.answer][0],
                    "contradicts_predicted": by[prediction.answer][2],
                }
                if example.choices:
                    row["entails_best"] = float(by[prediction.answer][0] >= max(values[0] for values in by.values()))
            found.append(row)
        return found


similarity, bertscore, roscoe, entailment = Similarity(), BertScore(), Roscoe(), Entailment()


def _pair(example: Example, prediction: Prediction) -> tuple[str, str] | None:
    """(explanation, reference); None when there is none of either."""
    reference = example.meta.get("reference")
    return None if prediction.explanation is None or not reference else (prediction.explanation, str(reference))


def _greedy(said: Vectors, reference: Vectors) -> Mapping[str, float]:
    if not len(said) or not len(reference):
        return {"bertscore_p": 0.0, "bertscore_r": 0.0, "bertscore_f": 0.0}
    cosines = said @ reference.T
    p, r = float(cosines.max(1).mean()), float(cosines.max(0).mean())
    return {"bertscore_p": p, "bertscore_r": r, "bertscore_f": 2 * p * r / (p + r) if p + r > 0 else 0.0}


def _aligned(steps: Vectors, source: Vectors) -> dict[str, float]:
    cosines = steps @ source.T
    there, back = float((1 + cosines.max(1)).mean() / 2), float((1 + cosines.max(0)).mean() / 2)
    found = {"roscoe_faithfulness": there, "roscoe_informativeness": (there + back) / 2}
    if len(steps) > 1:
        found["roscoe_repetition"] = float((1 - (steps @ steps.T)[np.tril_indices(len(steps), -1)].max()) / 2)
    return found
