"""Similarity of an explanation to the reference and to its question, by a local model's embeddings.

This measures imitation, not quality: a student that reasons well in other words scores low, and one that parrots scores
high.

Each metric is computed for all rows at once (`many`), so that texts are encoded in batches and each of them once. None
or a missing name: there is no explanation, no reference, or a single sentence where two are compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...core.types import Example, Prediction
from ...models.encoder import Encoder, Vectors
from .base import Rows
from .mentions import sentences

Values = list[Mapping[str, float] | None]

_CHUNK = 256
"""Rows whose token vectors are held at a time."""


class Similarity:
    """`similarity`: cosine, -1 to 1, of the explanation's and the reference's sentence embeddings.

    Paraphrases come near 0.8 and unrelated texts near 0 with the packaged model (Sentence-BERT, arXiv 1908.10084). None
    without a reference.
    """

    def many(self, rows: Rows, encoder: Encoder) -> Values:
        """The cosine of each row."""
        pairs = [_pair(*row) for row in rows]
        vectors = encoder.embed([text for pair in pairs if pair for text in pair])
        # Explanation and reference take turns in the list, and the vectors have length 1.
        cosines = iter((vectors[::2] * vectors[1::2]).sum(-1).tolist())
        return [None if pair is None else {"similarity": next(cosines)} for pair in pairs]


class BertScore:
    """`bertscore_p`, `bertscore_r`, `bertscore_f`: greedy matching of token vectors, -1 to 1, in practice 0.2 to 1.

    P = mean over the explanation's tokens of the highest cosine to any token of the reference, R the same the other way
    round, F = 2PR / (P + R). As BERTScore (arXiv 1904.09675) without idf weights and without rescaling; no token is
    matched with [CLS] or [SEP]. On the local encoder's last layer: its figures compare with others of the same encoder
    alone.
    """

    def many(self, rows: Rows, encoder: Encoder) -> Values:
        """Precision, recall and F of each row; those of an empty explanation are 0."""
        pairs = [_pair(*row) for row in rows]
        values: Values = []
        for start in range(0, len(pairs), _CHUNK):
            chunk = pairs[start : start + _CHUNK]
            vectors = iter(encoder.tokens([text for pair in chunk if pair for text in pair]))
            values += [None if pair is None else _bertscore(next(vectors), next(vectors)) for pair in chunk]
        return values


class Roscoe:
    """ROSCOE's step metrics without reference (arXiv 2212.07919), 0 to 1, more is better. Steps h are sentences.

    The source s is context and question, sentence by sentence, and align(x -> y) = mean over x of (1 + max over y of
    the cosine) / 2. `roscoe_faithfulness` = align(h -> s). `roscoe_informativeness` = (align(h -> s) + align(s -> h)) /
    2. `roscoe_repetition` = (1 - highest cosine of two steps) / 2, so near 0 when a step is repeated.
    `roscoe_coherence` = 1 - highest probability that a step contradicts an earlier one; it needs an entailment model
    and is left out without one. The last two need two steps. Embeddings are the local encoder's, not the paper's:
    compare methods, not papers.
    """

    def many(self, rows: Rows, encoder: Encoder) -> Values:
        """The figures of each row."""
        steps = [[] if prediction.explanation is None else sentences(prediction.explanation) for _, prediction in rows]
        sources = [
            [sentence for text in (*example.fields.values(), example.question) for sentence in sentences(text)]
            for example, _ in rows
        ]
        every = list(dict.fromkeys(text for texts in (*steps, *sources) for text in texts))
        vectors = dict(zip(every, encoder.embed(every), strict=True))
        values: list[dict[str, float] | None] = [
            _aligned(np.stack([vectors[text] for text in own]), np.stack([vectors[text] for text in source]))
            if own and source
            else None
            for own, source in zip(steps, sources, strict=True)
        ]
        if encoder.judge is not None:
            for row, value in zip(values, _coherence(steps, encoder), strict=True):
                if row is not None and value is not None:
                    row["roscoe_coherence"] = value
        return list(values)


class Entailment:
    """Whether the question's answer follows from the explanation, by a local entailment model that the recipe names.

    The premise is the explanation, the hypothesis 'The answer to "QUESTION" is ANSWER.' `entails_predicted` and
    `entails_gold` are probabilities, 0 to 1; `contradicts_predicted` too. `entails_best` is 1.0 when no option is more
    probable than the predicted one.
    """

    entails = True
    """It needs an entailment model, and none is packaged."""

    def many(self, rows: Rows, encoder: Encoder) -> Values:
        """The figures of each row. Raises RecipeError when no entailment model is named."""
        hypotheses = [
            list(dict.fromkeys((*example.choices, example.answer, *filter(None, [prediction.answer]))))
            if prediction.explanation
            else []
            for example, prediction in rows
        ]
        pairs = [
            (str(prediction.explanation), f'The answer to "{example.question}" is {option}.')
            for (example, prediction), options in zip(rows, hypotheses, strict=True)
            for option in options
        ]
        relations = iter(encoder.relations(pairs).tolist())
        values: Values = []
        for (example, prediction), options in zip(rows, hypotheses, strict=True):
            # Option → probabilities of (entailment, neutral, contradiction).
            probabilities = {option: next(relations) for option in options}
            values.append(_entailment(example, prediction.answer, probabilities) if probabilities else None)
        return values


similarity, bertscore, roscoe, entailment = Similarity(), BertScore(), Roscoe(), Entailment()


def _pair(example: Example, prediction: Prediction) -> tuple[str, str] | None:
    """(explanation, reference); None when there is none of either."""
    reference = example.meta.get("reference")
    return None if prediction.explanation is None or not reference else (prediction.explanation, str(reference))


def _bertscore(explanation: Vectors, reference: Vectors) -> Mapping[str, float]:
    """Precision, recall and F of unit vectors, [tokens, d]."""
    if not len(explanation) or not len(reference):
        return {"bertscore_p": 0.0, "bertscore_r": 0.0, "bertscore_f": 0.0}
    cosines = explanation @ reference.T
    p, r = float(cosines.max(1).mean()), float(cosines.max(0).mean())
    return {"bertscore_p": p, "bertscore_r": r, "bertscore_f": 2 * p * r / (p + r) if p + r > 0 else 0.0}


def _aligned(steps: Vectors, source: Vectors) -> dict[str, float]:
    """ROSCOE's figures of unit vectors, [sentences, d]."""
    cosines = steps @ source.T
    forward, backward = float((1 + cosines.max(1)).mean() / 2), float((1 + cosines.max(0)).mean() / 2)
    values = {"roscoe_faithfulness": forward, "roscoe_informativeness": (forward + backward) / 2}
    if len(steps) > 1:
        # Below the diagonal: every two steps once, and no step with itself.
        values["roscoe_repetition"] = float((1 - (steps @ steps.T)[np.tril_indices(len(steps), -1)].max()) / 2)
    return values


def _coherence(steps: Sequence[Sequence[str]], encoder: Encoder) -> list[float | None]:
    """1 - the highest probability that a step contradicts an earlier one; None for a single step."""
    # Each step with every earlier one, which is the premise.
    pairs = [[(earlier, step) for index, step in enumerate(own) for earlier in own[:index]] for own in steps]
    contradictions = iter(encoder.relations([pair for own in pairs for pair in own])[:, 2].tolist())
    highest = [max((next(contradictions) for _ in own), default=None) for own in pairs]
    return [None if probability is None else 1 - probability for probability in highest]


def _entailment(
    example: Example, answer: str | None, probabilities: Mapping[str, Sequence[float]]
) -> Mapping[str, float]:
    """The figures of one row; `probabilities` by option: (entailment, neutral, contradiction)."""
    values = {"entails_gold": probabilities[example.answer][0]}
    if answer is not None:
        values |= {"entails_predicted": probabilities[answer][0], "contradicts_predicted": probabilities[answer][2]}
        if example.choices:
            best = max(entailment for entailment, *_ in probabilities.values())
            values["entails_best"] = float(probabilities[answer][0] >= best)
    return values
