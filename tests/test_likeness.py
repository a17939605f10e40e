"""Similarity to reference and question: with vectors of known cosines, and with the packaged model if installed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from evaluation_fakes import FakeTask
from shrinklm.core.errors import RecipeError
from shrinklm.core.types import Example, Prediction
from shrinklm.evaluation.metrics.likeness import bertscore, entailment, roscoe, similarity
from shrinklm.evaluation.score import score_predictions
from shrinklm.models.encoder import Encoder, installed, unit

BANK = Example(
    "b",
    "Where is money safe? It must be locked.",
    ("bank", "zoo"),
    "bank",
    meta={"reference": "Money is safe in a bank."},
)


def said(text: str | None, answer: str | None = "bank", name: str = "b") -> Prediction:
    return Prediction("run", name, answer, text, "")


class Words:
    """Every word has a direction of its own: cosines can be counted by hand."""

    def __init__(self, judge: Any = None) -> None:
        self.judge, self.known, self.calls = judge, {}, 0

    def _word(self, word: str) -> np.ndarray:
        return np.eye(64, dtype=np.float32)[self.known.setdefault(word, len(self.known))]

    def tokens(self, texts: Sequence[str]) -> list[np.ndarray]:
        self.calls += 1
        rows = [[self._word(word) for word in re.findall(r"\w+", text.lower())] for text in texts]
        return [np.stack(row) if row else np.zeros((0, 64), np.float32) for row in rows]

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        self.calls += 1
        found = [vectors.sum(0) if len(vectors) else np.zeros(64, np.float32) for vectors in self.tokens(texts)]
        return unit(np.stack(found)) if found else np.zeros((0, 64), np.float32)

    def relations(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        return np.array([self.judge(*pair) for pair in pairs]).reshape(-1, 3)


def test_similarity_is_the_cosine_with_the_reference() -> None:
    rows = [(BANK, said(text)) for text in ("Money is safe in a bank.", "dogs bark", "money dogs", "", None)]
    found = similarity.many([*rows, (Example("n", "?", (), "x"), said("no reference"))], Words())
    assert [row and round(row["similarity"], 4) for row in found] == [1, 0, round(1 / np.sqrt(12), 4), 0, None, None]


def test_bertscore_matches_greedily() -> None:
    # Of four words said three stand in the reference; of its six words three are found.
    texts = ("Money is safe in a bank.", "Money is safe today", "dogs", "")
    same, part, none, empty = bertscore.many([(BANK, said(text)) for text in texts], Words())
    assert same == {"bertscore_p": 1, "bertscore_r": 1, "bertscore_f": 1}
    assert part["bertscore_p"] == pytest.approx(3 / 4)
    assert part["bertscore_r"] == pytest.approx(3 / 6)
    assert part["bertscore_f"] == pytest.approx(2 * 0.75 * 0.5 / 1.25)
    assert none == empty == {"bertscore_p": 0, "bertscore_r": 0, "bertscore_f": 0}


def test_roscoe_by_hand() -> None:
    question = "Where is money safe? It must be locked."
    copy, off, loop, one = roscoe.many(
        [(BANK, said(t)) for t in (question, "Dogs bark. Cats sleep.", "Dogs bark. Dogs bark.", "Dogs bark.")], Words()
    )  # fmt: skip
    assert copy == {"roscoe_faithfulness": 1, "roscoe_informativeness": 1, "roscoe_repetition": 0.5}
    assert off == {"roscoe_faithfulness": 0.5, "roscoe_informativeness": 0.5, "roscoe_repetition": 0.5}
    assert loop["roscoe_repetition"] == pytest.approx(0, abs=1e-6)
    assert set(one) == {"roscoe_faithfulness", "roscoe_informativeness"}  # one step: nothing to compare
    half = roscoe.many([(BANK, said("Where is money safe?"))], Words())[0]
    assert half["roscoe_faithfulness"] == pytest.approx(1)
    assert half["roscoe_informativeness"] == pytest.approx(
        (1 + 0.75) / 2
    )  # the second sentence of the question is not spoken of
    assert roscoe.many([(BANK, said("")), (BANK, said(None))], Words()) == [None, None]


def test_roscoe_coherence_is_the_worst_clash_of_two_steps() -> None:
    def judge(first: str, second: str) -> tuple[float, float, float]:
        return (0.1, 0.1, 0.8) if (first, second) == ("It is cold.", "It is hot.") else (0.6, 0.3, 0.1)

    texts = ("It is cold. It snows. It is hot.", "It is hot. It is dry.", "It is hot.")
    clash, fine, one = roscoe.many([(BANK, said(text)) for text in texts], Words(judge))
    assert clash["roscoe_coherence"] == pytest.approx(0.2)
    assert fine["roscoe_coherence"] == pytest.approx(0.9)
    assert "roscoe_coherence" not in one


def test_entailment_asks_for_every_option() -> None:
    asked = []

    def judge(premise: str, hypothesis: str) -> tuple[float, float, float]:
        asked.append((premise, hypothesis))
        return (0.7, 0.2, 0.1) if "bank" in premise and hypothesis.endswith("is bank.") else (0.1, 0.3, 0.6)

    right, wrong, unread, none = entailment.many(
        [
            (BANK, one)
            for one in (
                said("The bank locks it."),
                said("The bank locks it.", "zoo"),
                said("The bank.", None),
                said(None),
            )
        ],
        Words(judge),
    )
    assert right == {"entails_gold": 0.7, "entails_predicted": 0.7, "contradicts_predicted": 0.1, "entails_best": 1}
    assert wrong == {"entails_gold": 0.7, "entails_predicted": 0.1, "contradicts_predicted": 0.6, "entails_best": 0}
    assert unread == {"entails_gold": 0.7}
    assert none is None
    assert ("The bank locks it.", f'The answer to "{BANK.question}" is zoo.') in asked


def test_score_asks_about_all_rows_at_once_and_opens_one_encoder() -> None:
    opened = []

    def encoder() -> Words:
        opened.append(Words())
        return opened[-1]

    other = Example("c", "Where do fish swim?", ("sea", "sky"), "sea", meta={"reference": "Fish swim in the sea."})
    rows = [said("Money is safe in a bank."), said("In the sea.", "sky", "c")]
    scores = score_predictions(
        FakeTask(), [BANK, other], rows, ["accuracy", "similarity", "bertscore", "names_answer"], encoder
    )
    assert len(opened) == 1
    assert opened[0].calls == 3  # similarity embeds (by its tokens), bertscore takes tokens: whatever number of rows
    found = {(one.example_id, one.metric): one.value for one in scores}
    assert found["b", "accuracy"] == pytest.approx(found["b", "similarity"]) == 1
    assert 0 < found["c", "similarity"] < 1
    assert found["c", "names_answer"] == 0
    assert {metric for _, metric in found} == {
        "accuracy",
        "similarity",
        "bertscore_p",
        "bertscore_r",
        "bertscore_f",
        "names_answer",
    }
    score_predictions(FakeTask(), [BANK], rows[:1], ["accuracy"], encoder)
    assert len(opened) == 1, "no model is opened for metrics that need none"


@pytest.mark.skipif(not installed(), reason="the packaged encoder is not installed")
def test_the_packaged_model_tells_paraphrases_from_strangers() -> None:
    encoder = Encoder()
    texts = ("In a bank your money is kept safely.", "The dog ran over the green hill.", "Money is safe in a bank.")
    near, far, same = similarity.many([(BANK, said(text)) for text in texts], encoder)
    assert same["similarity"] == pytest.approx(1, abs=1e-5)
    assert near["similarity"] > 0.75
    assert far["similarity"] < 0.15
    close, off, equal = bertscore.many([(BANK, said(text)) for text in texts], encoder)
    assert equal["bertscore_f"] == pytest.approx(1, abs=1e-5)
    assert off["bertscore_f"] < close["bertscore_f"] - 0.15 < 1
    assert (
        roscoe.many([(BANK, said("Money is safe if locked. Money is safe if locked up."))], encoder)[0][
            "roscoe_repetition"
        ]
        < 0.1
    )
    with pytest.raises(RecipeError, match=r"evaluate: \{entailment:"):
        entailment.many([(BANK, said("The bank."))], encoder)
