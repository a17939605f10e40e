"""Whether a classifier tells explanations from their references: the area by hand, chance exactly, toys both ways."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from evaluation_fakes import FakeTask
from shrinklm.cli.show.runs import left_out
from shrinklm.core.types import Example, Prediction
from shrinklm.evaluation.metrics.discriminator import discriminator
from shrinklm.evaluation.score import score_predictions
from shrinklm.models.ngrams import ngram_likeness
from shrinklm.stats import discriminate, estimate, pair_components, vargha_delaney
from shrinklm.stats.discrimination import _judge

FOLDS = [0, 1, 2, 3, 4]
Rows = list[tuple[Example, Prediction]]


def rows(pairs: Sequence[tuple[str, str | None]], run: str = "run") -> Rows:
    """Questions with (reference, explanation)."""
    return [
        (
            Example(f"q{index}", "Where?", ("bank", "zoo"), "bank", meta={"reference": reference}),
            Prediction(run, f"q{index}", "bank", explanation, ""),
        )
        for index, (reference, explanation) in enumerate(pairs)
    ]


def speaker(words: str, seed: int, least: int = 6, most: int = 12) -> Callable[[], str]:
    """Somebody who says so many of these words."""
    lot, known = random.Random(seed), words.split()
    return lambda: " ".join(lot.choice(known) for _ in range(lot.randint(least, most))) + "."


def vectors(pairs: int, apart: float, seed: int) -> np.ndarray:
    """Likeness of normal vectors in two dimensions, the first of a pair `apart` from the second."""
    drawn = np.random.default_rng(seed).normal(size=(2 * pairs, 2))
    drawn[::2, 0] += apart
    return drawn @ drawn.T


def test_the_area_counts_ties_half() -> None:
    # 3 beats 2 and 1 and ties 3; each 2 ties 2, beats 1 and loses to 3.
    first, second = [3.0, 2.0, 2.0], [2.0, 1.0, 3.0]
    found = pair_components(first, second)
    area = (2.5 + 1.5 + 1.5) / 9
    assert found.mean() == pytest.approx(area)
    assert vargha_delaney(first, second) == pytest.approx(area)
    # V10 + V01 - A: of the seconds, 2 is below one first and ties two, 1 below all, 3 ties one.
    assert found == pytest.approx([2.5 / 3 + 2 / 3 - area, 1.5 / 3 + 1 - area, 1.5 / 3 + 0.5 / 3 - area])
    stacked = pair_components(np.stack([first, second], 1), np.stack([second, first], 1))
    assert stacked[:, 0] == pytest.approx(found)
    assert stacked[:, 1].mean() == pytest.approx(1 - area)
    with pytest.raises(ValueError, match="one length"):
        pair_components([1.0], [1.0, 2.0])


def test_scores_are_those_of_a_ridge_regression_of_the_other_folds() -> None:
    drawn = np.random.default_rng(3).normal(size=(20, 4))
    found = discriminate(drawn @ drawn.T, FOLDS * 2, relabelled=1)
    for fold in FOLDS:
        own = np.repeat(np.array(FOLDS * 2) == fold, 2)
        x, y = drawn[~own], np.tile([1.0, -1.0], 8)
        weights = np.linalg.solve(x.T @ x + np.eye(4), x.T @ y)  # the penalty is 1
        assert found.scores[np.array(FOLDS * 2) == fold].ravel() == pytest.approx(drawn[own] @ weights, abs=1e-8)


def test_by_exchanged_labels_the_area_is_one_half_on_average() -> None:
    drawn = np.random.default_rng(4).normal(size=(16, 3))
    signs = np.array(list(itertools.product((1.0, -1.0), repeat=8))).T
    total = []
    for fold in (0, 1):
        own = np.arange(8) % 2 == fold
        outputs = _judge(drawn @ drawn.T, own, signs).reshape(4, 2, -1)
        kept = signs[own] > 0
        areas = pair_components(
            np.where(kept, outputs[:, 0], outputs[:, 1]), np.where(kept, outputs[:, 1], outputs[:, 0])
        )
        total.append(areas.mean())
    assert total == pytest.approx([0.5, 0.5])


def test_one_distribution_is_held_at_one_half_and_two_are_told() -> None:
    held, low = 0, 0
    for seed in range(60):
        same = discriminate(vectors(40, 0, seed), FOLDS * 8, relabelled=99)
        error = same.components.std(ddof=1) / math.sqrt(40)
        held += abs(same.area - 0.5) < 1.96 * error
        low += same.p <= 0.05
    assert held >= 52  # of 60; 57 are expected, and 51 or fewer have a chance of 1 %
    assert low <= 8
    told = discriminate(vectors(40, 3, 0), FOLDS * 8, relabelled=99)
    assert told.area > 0.95
    assert told.p == 0.01
    assert told.chance < 0.7


def test_texts_of_two_speakers_are_told_apart() -> None:
    one, other = speaker("money bank vault lock key safe", 1), speaker("coin bank till door key shut", 2)
    values = discriminator.together(rows([(one(), other()) for _ in range(40)]))
    area = np.mean([value["discriminator"] for value in values])
    assert area > 0.95
    assert {value["discriminator_p"] for value in values} == {0.001}
    assert np.mean([value["discriminator_cut"] for value in values]) > 0.95
    assert 0.3 < np.mean([value["discriminator_length"] for value in values]) < 0.7


def test_length_alone_tells_nothing_once_texts_are_cut() -> None:
    words = "money bank vault lock key safe coin till door shut"
    short, long = speaker(words, 3, 4, 6), speaker(words, 4, 14, 20)
    values = discriminator.together(rows([(short(), long()) for _ in range(40)]))
    # Each pair adds 0 + 0 - 0: every explanation is longer than every reference.
    assert {value["discriminator_length"] for value in values} == {0.0}
    assert np.mean([value["discriminator"] for value in values]) > 0.8
    cut = estimate([value["discriminator_cut"] for value in values])
    assert cut.low < 0.5 < cut.high


def test_equal_texts_are_chance_exactly() -> None:
    one = speaker("money bank vault lock key safe", 5)
    texts = [one() for _ in range(20)]
    values = discriminator.together(rows([(text, text) for text in texts]))
    for name in ("discriminator", "discriminator_cut", "discriminator_length"):
        assert [value[name] for value in values] == [0.5] * 20
    assert values[0]["discriminator_p"] == 1.0
    # Not a word on either side: nothing to tell by.
    assert discriminator.together(rows([("word", "")] * 12))[0]["discriminator_cut"] == 0.5


def test_what_has_no_reference_or_too_few_questions_has_no_score() -> None:
    one, other = speaker("money bank vault lock key", 6), speaker("coin bank till door shut", 7)
    pairs: list[tuple[str, str | None]] = [(one(), other()) for _ in range(11)]
    lacking = [*pairs, (one(), None), ("", other())]
    values = discriminator.together(rows(lacking))
    assert [value is None for value in values] == [False] * 11 + [True] * 2
    assert discriminator.together(rows(pairs[:9])) == [None] * 9
    # Neither the order of the rows nor another run beside it changes a run's figures.
    both = discriminator.together([*reversed(rows(lacking)), *rows(pairs, "other")])
    assert list(reversed(both[:13])) == values
    assert both[13:] == values[:11]


def test_it_needs_no_encoder() -> None:
    one, other = speaker("money bank vault lock key", 8), speaker("coin bank till door shut", 9)
    asked = rows([(one(), other()) for _ in range(12)])

    def encoder() -> None:
        raise AssertionError("opened")

    scores = score_predictions(
        FakeTask(), [example for example, _ in asked], [said for _, said in asked], ["discriminator"], encoder
    )
    assert len(scores) == 12 * 5


@pytest.mark.parametrize(("reference", "told"), [(None, True), ("Money is safe.", False)])
def test_without_a_reference_the_command_says_what_is_needed(
    reference: str | None, told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [Example("a", "Where?", ("bank", "zoo"), "bank", meta={"reference": reference})]
    run = SimpleNamespace(recipe=SimpleNamespace(evaluate=None), splits={"test": asked}, tests=lambda: asked)
    left_out(run, ["accuracy", "discriminator", "overlap"])
    out = capsys.readouterr().out
    assert ("Without a score: discriminator, overlap." in out and "explanation: COLUMN" in out) is told


def test_likeness_by_hand() -> None:
    same, case, none, empty = ngram_likeness(["The bank", "the BANK", "ox", " "])
    assert same[0] == pytest.approx(1)
    assert 0.5 < case[0] < 1  # the words are equal, half of it; capitals differ
    assert none[0] == 0
    assert not empty.any()
    # Two texts of one word each, "a" in both: its weight is 1, and that of the runs with "b" log(3/2) + 1 each.
    words = ngram_likeness(["a", "a b"])[0, 1]
    rare = 1 + math.log(3 / 2)
    said = 1 / math.sqrt(1 + 2 * rare**2)  # "a", "b", "a b"
    # Characters: " a", "a ", " a " of three; beside them " b", "b ", " b ", "a b", " a b", "a b " in the other.
    assert words == pytest.approx((said + 3 / math.sqrt(3 * (3 + 6 * rare**2))) / 2)
