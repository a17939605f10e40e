"""What marked words are worth: each formula against enumeration or numbers worked out by hand."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest

from shrinklm.core.errors import StoreError
from shrinklm.core.marking import Keep, Marking, best_indices, mark, words
from shrinklm.core.types import Example, Generation, Pair, by_id
from shrinklm.methods.builtin import ASK, PREDICT
from shrinklm.saliency.agreement import WAYS, agreement_table, mark_all_ways, spearman
from shrinklm.saliency.analysis import Examiner, analyze, gold_chance, gold_hit, gold_words, items, method_of, write
from shrinklm.saliency.controls import Chance, Counts
from shrinklm.saliency.erasure import LogProbabilities, erased, erasure_effects
from shrinklm.saliency.highlights import (
    EMPTY,
    EVERYTHING,
    MISSING,
    NOT_FOUND,
    NOTHING,
    highlight_chance,
    highlight_scores,
    human_words,
    locate_highlight,
    question_words,
)
from shrinklm.stats.ranking import average_precision
from student_cases import fresh, generation

KITE = Example(
    "kite",
    "Where does a red kite fly when the wind blows hard?",
    ("open field", "river bed", "dark cellar"),
    "open field",
    meta={"highlight": "kite fly when the wind"},
)
"""Content words: red kite fly wind blows hard | open field river bed dark cellar."""
TWO = Keep(2)


def scored(example: Example, **scores: float) -> Marking:
    """A marking by words; 0 for those not named."""
    return mark(example, [scores.get(word.text.lower(), 0.0) for word in words(example)], example.answer)


def subsets(example: Example, keep: Keep) -> list[Marking]:
    """A marking for each set of words that could be kept."""
    names = [words(example)[at].text.lower() for at in best_indices(example, [1.0] * len(words(example)))]
    kept = itertools.combinations(names, keep.count(len(names)))
    return [scored(example, **dict.fromkeys(some, 1.0)) for some in kept]


def marked_by(step: str, examples: list[Example], teacher: Any) -> dict[str, Generation]:
    return {e.id: generation(e, step, e.answer, mark(e, teacher.scores(e), e.answer).dump()) for e in examples}


class Draw:
    """One random score for each different word: every set of words is equally likely."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)

    def scores(self, example: Example) -> list[float]:
        scores = {word.text.lower(): self.draw.random() for word in words(example)}
        return [scores[word.text.lower()] for word in words(example)]


def synthetic(count: int, seed: int = 0) -> list[Example]:
    """Questions of 4 to 9 nouns, a run of them highlighted, and two options one from the question."""
    draw, found = random.Random(seed), []
    for number in range(count):
        nouns = [f"noun{i}" for i in draw.sample(range(50), 12)]
        asked = nouns[: draw.randint(4, 9)]
        options = (f"{nouns[10]} {draw.choice(asked)}", nouns[11])
        run = asked[1 : draw.randint(2, len(asked))]
        example = Example(
            f"s{number}", f"What is {' '.join(asked)}?", options, options[number % 2], meta={"highlight": " ".join(run)}
        )
        found.append(example)
    return found


# ---- the gold option


def test_gold_hit_is_a_kept_word_of_the_gold_option() -> None:
    assert gold_words(KITE) == frozenset({"open", "field"})
    assert gold_hit(KITE, scored(KITE, kite=3, field=2, river=1), TWO) == {"any": 1.0, "top1": 0.0}
    assert gold_hit(KITE, scored(KITE, open=3, kite=2), TWO) == {"any": 1.0, "top1": 1.0}
    assert gold_hit(KITE, scored(KITE, kite=3, river=2, field=1), TWO) == {"any": 0.0, "top1": 0.0}


def test_a_question_word_that_is_a_gold_word_is_one_word() -> None:
    example = Example("x", "Who rents an Open boat?", ("open sea", "shed"), "open sea")
    assert gold_hit(example, scored(example, open=1), Keep(1)) == {"any": 1.0, "top1": 1.0}
    assert gold_chance(example, Keep(1)) == pytest.approx({"any": 2 / 5, "top1": 2 / 5})  # rents open boat sea shed


@pytest.mark.parametrize("keep", [Keep(1), TWO, Keep(5), Keep(0.3), Keep(50)], ids=str)
def test_gold_chance_is_the_mean_over_all_subsets(keep: Keep) -> None:
    hits = [gold_hit(KITE, marking, keep) for marking in subsets(KITE, keep)]
    chance = gold_chance(KITE, keep)
    assert chance is not None
    assert chance["any"] == pytest.approx(fmean(hit["any"] for hit in hits if hit))
    assert chance["top1"] == pytest.approx(2 / 12)


def test_gold_hit_needs_a_word_to_hit() -> None:
    nothing = Example("x", "Which one fits?", ("all of them", "bread"), "all of them")
    free = Example("y", "How many plums are left?", (), "5")
    for example, reason in ((nothing, "gold option has no content word"), (free, "gold answer is no option")):
        assert gold_words(example) == reason
        assert gold_hit(example, scored(example), TWO) is None
        assert gold_chance(example, TWO) is None


def test_a_repeated_option_is_one_option() -> None:
    example = Example("x", "What sails?", ("boat", "tree", "boat"), "boat")
    assert gold_words(example) == frozenset({"boat"})
    assert gold_chance(example, Keep(1)) == pytest.approx({"any": 1 / 3, "top1": 1 / 3})


# ---- what a person marked


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("kite fly when the wind", {"kite", "fly", "wind"}),
        ("KITE   fly, when the wind", {"kite", "fly", "wind"}),
        ("red kite, wind blows", {"red", "kite", "wind", "blows"}),
        ("wind, red", {"wind", "red"}),
        ("red kitewind blows", {"red", "kite", "wind", "blows"}),  # fragments run together
        ("ite fly when the win", {"kite", "fly", "wind"}),  # letters lost at the ends
        ("d kite", {"kite"}),  # less than half of "red"
        ("the wind blows h", {"wind", "blows"}),
        ("where does a red kite fly when the wind blows hard?", EVERYTHING),
        ("red kite fly wind blows hard", EVERYTHING),
        ("when the", NOTHING),
        ("{}", EMPTY),
        ("", EMPTY),
        ("a submarine dives below", NOT_FOUND),
        (None, MISSING),
    ],
)
def test_highlights_are_found_again(text: str | None, found: Any) -> None:
    assert human_words(replace(KITE, meta={"highlight": text})) == found


def test_whole_words_win_over_earlier_letters() -> None:
    question = "Is concatenating a cat odd?"
    runs = locate_highlight("cat", question)
    assert [question[run.start : run.stop] for run in runs if isinstance(run, range)] == ["cat"]
    assert runs == [range(19, 22)]


def test_highlights_stand_in_the_question_only() -> None:
    example = Example(
        "x",
        "Where do fish swim fast?",
        ("fish pond", "tree"),
        "tree",
        {"passage": "Birds swim."},
        {"highlight": "swim"},
    )
    assert human_words(example) == frozenset({"swim"})
    assert question_words(example) == {"fish", "swim", "fast"}


def test_accents_and_typographic_signs_do_not_matter() -> None:
    example = Example("x", "Who says árbol or İzmir’s tree loudly?", (), "", meta={"highlight": "arbol or izmir's"})
    assert human_words(example) == frozenset({"árbol", "i̇zmir’s"})


def test_highlight_by_hand() -> None:
    """Marked: kite fly wind. Kept: kite, hard, and `open` of an option, which counts neither way."""
    found = highlight_scores(KITE, scored(KITE, kite=6, hard=5, open=4, wind=3, red=2, fly=1), Keep(3))
    # Ranked question words: kite + hard wind + red fly + blows.
    assert found == pytest.approx(
        {"precision": 1 / 2, "recall": 1 / 3, "f1": 2 / 5, "auprc": (1 / 1 + 2 / 3 + 3 / 5) / 3}
    )


def test_nothing_kept_of_the_question_is_nothing_right() -> None:
    found = highlight_scores(KITE, scored(KITE, open=2, field=1), TWO)
    assert found is not None
    assert (found["precision"], found["recall"], found["f1"]) == (0.0, 0.0, 0.0)


def test_an_oracle_is_perfect() -> None:
    oracle = scored(KITE, kite=1, fly=1, wind=1)
    assert highlight_scores(KITE, oracle, Keep(3)) == dict.fromkeys(("precision", "recall", "f1", "auprc"), 1.0)
    assert gold_hit(KITE, scored(KITE, field=1), Keep(1)) == {"any": 1.0, "top1": 1.0}


@pytest.mark.parametrize("keep", [Keep(1), TWO, Keep(5), Keep(0.3), Keep(50)], ids=str)
def test_highlight_chance_is_the_mean_over_all_subsets(keep: Keep) -> None:
    all_found = [highlight_scores(KITE, marking, keep) for marking in subsets(KITE, keep)]
    chance = highlight_chance(KITE, keep)
    assert chance is not None
    for name in ("precision", "recall", "f1"):
        assert chance[name] == pytest.approx(fmean(found[name] for found in all_found if found)), name


def test_auprc_chance_is_the_mean_over_all_orders() -> None:
    chance = highlight_chance(KITE, TWO)
    assert chance is not None
    orders = itertools.permutations([True] * 3 + [False] * 3)
    assert chance["auprc"] == pytest.approx(fmean(plain_average_precision(order) for order in orders))


def plain_average_precision(ranked: Any) -> float:
    """Of a ranking without ties: precision at each hit."""
    hits = np.flatnonzero(ranked)
    return float(np.mean(np.arange(1, len(hits) + 1) / (hits + 1)))


@pytest.mark.parametrize("seed", range(6))
def test_average_precision_of_ties_is_the_mean_over_their_orders(seed: int) -> None:
    draw = random.Random(seed)
    scores = [float(draw.randrange(3)) for _ in range(7)]
    relevant = [True, *(draw.random() < 0.4 for _ in range(6))]
    orders = [
        order
        for order in itertools.permutations(range(7))
        if sorted(scores, reverse=True) == [scores[i] for i in order]
    ]
    expected = fmean(plain_average_precision([relevant[i] for i in order]) for order in orders)
    assert average_precision(scores, relevant) == pytest.approx(expected)
    shuffled = draw.sample(range(7), 7)
    assert average_precision([scores[i] for i in shuffled], [relevant[i] for i in shuffled]) == pytest.approx(expected)


def test_average_precision_is_the_area_under_the_curve() -> None:
    """Without ties: the steps of recall times the precision reached, over thresholds."""
    draw = np.random.default_rng(1)
    scores, relevant = draw.random(30), draw.random(30) < 0.3
    area, before = 0.0, 0.0
    for threshold in sorted(scores, reverse=True):
        above = scores >= threshold
        recall = (relevant & above).sum() / relevant.sum()
        area += (recall - before) * (relevant & above).sum() / above.sum()
        before = recall
    assert average_precision(scores.tolist(), relevant.tolist()) == pytest.approx(area)
    with pytest.raises(ValueError, match="needs a relevant item"):
        average_precision([1.0], [False])


# ---- agreement


def test_spearman_by_hand() -> None:
    example = Example("x", "Cats chase mice, cats sleep.", (), "")
    a = scored(example, cats=4, chase=3, mice=2, sleep=1)
    assert spearman(example, a, a) == pytest.approx(1.0)
    assert spearman(example, a, scored(example, cats=1, chase=2, mice=3, sleep=4)) == pytest.approx(-1.0)
    # Ranks 1 2 3 4 and 2 1 3 4: 1 - 6 * 2 / (4 * 15).
    assert spearman(example, a, scored(example, cats=3, chase=4, mice=2, sleep=1)) == pytest.approx(0.8)


def test_markings_without_an_order_agree_with_none() -> None:
    example = Example("x", "Cats chase mice.", (), "")
    flat, steep = scored(example, cats=1, chase=1, mice=1), scored(example, cats=3, chase=2, mice=1)
    assert spearman(example, flat, steep) is None
    other = replace(example, id="y")
    found = agreement_table(
        [example, other], {"a": {"x": steep, "y": steep}, "b": {"x": flat, "y": steep}, "c": {"x": flat, "y": flat}}
    )
    assert found is not None
    assert found["names"] == ["a", "b", "c"]
    assert found["n"] == 2
    assert found["spearman"] == [
        [pytest.approx(1), pytest.approx(1), None],
        [pytest.approx(1), pytest.approx(1), None],
        [None] * 3,
    ]
    assert agreement_table([example], {"a": {}}) is None
    json.dumps(found, allow_nan=False)


# ---- erasure


def test_erased_words_go_everywhere_they_stand() -> None:
    example = Example(
        "x", "Does the kite, a red Kite, fly?", ("open field", "kite shop"), "open field", {"premise": "A kite."}
    )
    without, alone = erased(example, {"kite", "open"})
    assert without == "Premise: A.\nQuestion: Does the, a red, fly?\nChoices: (a) field (b) shop"
    assert alone == "Premise: kite.\nQuestion: kite, Kite,?\nChoices: (a) open (b) kite"
    assert erased(example, set())[0] == example.text


@pytest.mark.parametrize("view", [ASK, PREDICT], ids=lambda view: view.name)
@pytest.mark.parametrize("spec", ["tiny", "tiny:seq2seq"])
def test_erasure_asks_other_prompts(spec: str, view: Any) -> None:
    model = fresh(spec)
    other = Example("other", "What sails on water?", ("boat", "tree"), "boat")
    markings = {"kite": scored(KITE, kite=2, field=1), "other": scored(other, sails=2, boat=1)}
    known: dict[tuple[str, str], float] = {}
    probabilities = LogProbabilities(model, view, 2, known=known)
    found = erasure_effects(probabilities, [KITE, other, replace(KITE, id="unmarked")], markings, TWO)
    assert found.keys() == markings.keys()
    tail = view.prompt(KITE).removeprefix(KITE.text)
    prompts = [
        KITE.text + tail,
        "Question: Where does a red fly when the wind blows hard?\nChoices: (a) open (b) river bed (c) dark cellar"
        + tail,
        "Question: kite?\nChoices: (a) field (b) (c)" + tail,
    ]
    assert {prompt for prompt, answer in known if answer == KITE.answer} == set(prompts)
    assert len(known) == 6
    values = []
    for prompt in prompts:  # log p of the answer after the lead, by another way
        lead, both = model.likelihood([Pair(prompt, view.lead), Pair(prompt, f"{view.lead} {KITE.answer}".strip())])
        values.append(both - (lead if view.lead else 0.0))
    assert found["kite"]["comprehensiveness"] == pytest.approx(values[0] - values[1], abs=1e-4)
    assert found["kite"]["sufficiency"] == pytest.approx(values[0] - values[2], abs=1e-4)
    assert abs(values[0] - values[1]) > 1e-3
    assert abs(values[0] - values[2]) > 1e-3


def test_erasure_measures_a_prompt_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def log_probability(model: Any, questions: Any) -> list[float]:
        asked.extend(question.prompt for question in questions)
        return [float(len(question.prompt)) for question in questions]

    monkeypatch.setattr("shrinklm.saliency.attribution.log_probability", log_probability)
    probabilities = LogProbabilities(None, ASK, 4)  # type: ignore[arg-type]
    for kite in (1.0, 2.0):
        erasure_effects(probabilities, [KITE], {"kite": scored(KITE, kite=kite, red=1.5)}, Keep(1))
    assert len(asked) == len(set(asked)) == 5
    assert asked.count(ASK.prompt(KITE)) == 1


# ---- the whole


def test_random_markings_are_at_chance() -> None:
    examples = synthetic(400)
    said = {"random-tokens": marked_by("random-tokens", examples, Draw(0))}
    figures = analyze(examples, said, Keep(3), resamples=1000)
    step, chance = figures["steps"]["random-tokens"], figures["chance"]
    pairs = [(step[name], chance[name]) for name in ("gold_hit", "gold_hit_top1")]
    pairs += [(step["highlight"][name], chance["highlight"][name]) for name in ("precision", "recall", "f1", "auprc")]
    for estimate, expected in pairs:
        assert estimate["low"] <= expected <= estimate["high"]
        assert estimate["low"] < estimate["value"] < estimate["high"]
    assert step["highlight"]["auprc"]["n"] == 400


def test_figures_have_the_shape_of_the_report(tmp_path: Path) -> None:
    examples = [KITE, *synthetic(5)]
    examples[1] = replace(examples[1], meta={"highlight": examples[1].question})
    examples[2] = replace(examples[2], choices=("all of it", "pig"), answer="all of it")
    said: dict[str, dict[str, Generation]] = {
        "random-tokens": marked_by("random-tokens", examples, Chance()),
        "tfidf-tokens": marked_by("tfidf-tokens", examples, Counts(examples)),
        "salient": marked_by("salient", examples, Chance(1)),
    }
    said["salient"]["kite"] = replace(said["salient"]["kite"], refusal="does not fit")
    said["salient"]["s4"] = replace(said["salient"]["s4"], text="kite fly")
    del said["salient"]["s3"]
    prompt = json.dumps(
        [{"role": "system", "text": json.dumps({"method": "gradient", "norm": "l2", "pieces": "max", "label": "gold"})}]
    )
    said["salient"] = {id_: replace(found, prompt=prompt) for id_, found in said["salient"].items()}
    about = {"name": "tiny", "finetuned": False, "accuracy": {"before": None, "after": None}}
    examiner = Examiner(fresh(), ASK, about, erased=2, compared=2, batch=16)
    figures = analyze(examples, said, TWO, examiner=examiner, resamples=100)
    assert list(figures) == [
        "split", "n", "keep", "model", "steps", "chance", "left_out", "erased", "agreement", "completeness",
    ]  # fmt: skip
    assert list(figures["steps"]) == ["salient", "tfidf-tokens", "random-tokens"]
    salient = figures["steps"]["salient"]
    assert list(salient) == [
        "by",
        "method",
        "n",
        "refused",
        "gold_hit",
        "gold_hit_top1",
        "highlight",
        "comprehensiveness",
        "sufficiency",
    ]
    assert (salient["by"], salient["method"], salient["n"]) == ("t", "gradient (l2, max)", 3)
    assert salient["refused"] == {"does not fit": 1, "text is no marking": 1, "not marked": 1}
    assert salient["gold_hit"]["n"] == 2
    assert figures["steps"]["tfidf-tokens"]["gold_hit"]["n"] == 5
    assert figures["steps"]["tfidf-tokens"]["highlight"]["f1"]["n"] == 5
    assert figures["left_out"] == {EVERYTHING: 1, "gold option has no content word": 1}
    assert (figures["keep"], figures["model"], figures["erased"]) == ({"top": 2, "order": "text"}, about, 2)
    assert {step["comprehensiveness"]["n"] for step in figures["steps"].values()} == {2}
    names = figures["agreement"]["names"]
    assert names == [*WAYS, "tf-idf", "random"]
    table = figures["agreement"]["spearman"]
    for row, column in itertools.product(range(len(names)), repeat=2):
        assert table[row][column] == pytest.approx(table[column][row])
        assert row != column or table[row][column] in (None, pytest.approx(1.0))
    assert figures["completeness"]["n"] == 2
    write(tmp_path / "saliency", figures, items(examples, said, TWO))
    assert json.loads((tmp_path / "saliency" / "figures.json").read_text(encoding="utf-8")) == figures
    rows = [
        json.loads(line) for line in (tmp_path / "saliency" / "items.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert [row["id"] for row in rows] == [example.id for example in examples]
    assert "salient" not in rows[0]["markings"]
    for row, example in zip(rows, examples, strict=True):
        assert (row["text"], row["answer"]) == (example.text, example.answer)
        for found in row["markings"].values():
            assert [row["text"][start:end] for start, end in found["spans"]] == [word.text for word in words(example)]
            assert found["kept"] == TWO.choose(example, found["scores"])
    assert not list((tmp_path / "saliency").glob(".*"))


def test_every_way_marks_every_example() -> None:
    examples = [KITE, *synthetic(2)]
    found = mark_all_ways(fresh(), examples, ASK, batch=2)
    assert list(found) == list(WAYS)
    for way, markings in found.items():
        assert markings.keys() == by_id(examples).keys()
        assert all(sum(marking.scores) == pytest.approx(1, abs=1e-4) for marking in markings.values()), way
    assert found["gradient l1"]["kite"].scores != found["gradient l2"]["kite"].scores
    assert all("completeness_error" in marking.figures for marking in found["integrated_gradients"].values())


def test_incomplete_gradients_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    examples = synthetic(3)
    errors = dict(zip(by_id(examples), (0.01, 0.08, 0.3), strict=True))
    markings = {e.id: replace(scored(e), figures={"completeness_error": errors[e.id]}) for e in examples}
    monkeypatch.setattr("shrinklm.saliency.analysis.mark_all_ways", lambda *_: {"integrated_gradients": markings})
    monkeypatch.setattr("shrinklm.saliency.analysis.erasure_effects", lambda *_: {})
    examiner = Examiner(None, ASK, {}, erased=200, compared=20, batch=16)  # type: ignore[arg-type]
    figures = analyze(
        examples, {"salient": marked_by("salient", examples, Chance())}, TWO, examiner=examiner, resamples=10
    )
    assert figures["completeness"] == {"mean": pytest.approx(0.13), "above_5_percent": 2, "steps": None, "n": 3}


def test_without_a_model_nothing_is_erased() -> None:
    figures = analyze([KITE], {"random-tokens": marked_by("random-tokens", [KITE], Chance())}, TWO, resamples=10)
    assert (figures["model"], figures["erased"], figures["agreement"], figures["completeness"]) == (None, 0, None, None)
    assert figures["steps"]["random-tokens"]["comprehensiveness"] is None


def test_without_highlights_there_is_no_figure() -> None:
    plain = replace(KITE, meta={})
    figures = analyze([plain], {"salient": marked_by("salient", [plain], Chance())}, TWO, resamples=10)
    assert figures["steps"]["salient"]["highlight"] is None
    assert figures["chance"]["highlight"] is None
    assert figures["left_out"] == {MISSING: 1}


def test_a_step_that_marked_nothing_has_no_figures() -> None:
    refused = {"kite": generation(KITE, "salient", KITE.answer, "", "does not fit")}
    figures = analyze(
        [KITE], {"salient": refused, "random-tokens": marked_by("random-tokens", [KITE], Chance())}, TWO, resamples=10
    )
    empty = figures["steps"]["salient"]
    assert (empty["n"], empty["refused"], empty["gold_hit"], empty["highlight"]) == (0, {"does not fit": 1}, None, None)


def test_markings_of_other_words_are_refused() -> None:
    other = replace(KITE, question="Where does a blue kite fly when the wind blows hard?")
    text = mark(other, [1.0] * len(words(other)), other.answer).dump()
    figures = analyze([KITE], {"salient": {"kite": generation(KITE, "salient", KITE.answer, text)}}, TWO)
    assert figures["steps"]["salient"]["refused"] == {"marks other words than the question has": 1}


def test_the_same_seed_gives_the_same_figures() -> None:
    examples = synthetic(40)
    said = {"salient": marked_by("salient", examples, Chance())}
    first, again, other = (analyze(examples, said, TWO, seed=seed, resamples=200) for seed in (1, 1, 2))
    assert first == again
    assert first["steps"]["salient"]["gold_hit"]["value"] == other["steps"]["salient"]["gold_hit"]["value"]
    assert first != other


@pytest.mark.parametrize(
    ("asks", "shown"),
    [
        ({"method": "integrated_gradients", "steps": 32, "pieces": "sum", "label": "own"},
         "integrated_gradients (32 steps, sum, the model's own answers)"),
        ({"method": "random", "seed": 1}, "random"),
        ({}, ""),
        ([], ""),
    ],
)  # fmt: skip
def test_a_step_says_how_it_marked(asks: Any, shown: str) -> None:
    found = replace(
        generation(KITE, "salient", "", ""), prompt=json.dumps([{"role": "system", "text": json.dumps(asks)}])
    )
    assert method_of(found) == shown
    assert method_of(replace(found, prompt="")) == ""


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    write(tmp_path, {"n": 1}, [{"id": "a"}])
    with pytest.raises(ValueError, match="JSON compliant"):
        write(tmp_path, {"n": float("nan")}, [{"id": "b"}])
    assert json.loads((tmp_path / "figures.json").read_text()) == {"n": 1}
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"items\.jsonl cannot be written: .+\. Check permissions and free space"):
        write(tmp_path / "file", {}, [])


def test_importing_it_loads_no_torch() -> None:
    code = (
        "import sys, shrinklm.saliency.analysis; print({'torch', 'captum', 'transformers', 'scipy'} & set(sys.modules))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        == "set()"
    )


def test_a_model_keeps_its_precision_when_comparing_ways_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    model = fresh().to(torch.bfloat16)
    model.model.model.rotary_emb.inv_freq.data = model.model.model.rotary_emb.inv_freq.data.float()
    before = {name: tensor.dtype for name, tensor in [*model.named_parameters(), *model.named_buffers()]}
    assert len(set(before.values())) == 2
    monkeypatch.setattr("shrinklm.saliency.attribution.attribute", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        mark_all_ways(model, [KITE], ASK, batch=2)
    assert {name: tensor.dtype for name, tensor in [*model.named_parameters(), *model.named_buffers()]} == before
