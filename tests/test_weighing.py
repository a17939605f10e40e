"""Weights of the samples of a question: the rules by hand, what training makes of them, the stage that keeps them."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from shrinklm import Recipe, Run
from shrinklm.core.errors import MethodError
from shrinklm.core.types import Example, Generation, Pair, that_counts
from shrinklm.methods.builtin import ASK, EXPLAIN
from shrinklm.methods.corpus import Corpus
from shrinklm.methods.spec import method
from shrinklm.methods.weighing import RULES, Weighing, diversity
from shrinklm.report.findings import read
from shrinklm.report.sections.audit.figures import sentences
from shrinklm.run.blocks import StudentBlock
from shrinklm.run.stages.agreement import agreement
from shrinklm.run.stages.figures import SOURCES, Item
from shrinklm.run.stages.train import train_key
from shrinklm.run.stages.weigh import check_readers
from shrinklm.run.stages.weighed import weighed
from shrinklm.students.likeliest import best, option_pairs
from shrinklm.students.reached import reached
from shrinklm.students.told import RANKS, told
from student_cases import corpus as taught_corpus
from student_cases import fresh, generation, opened
from weighing_cases import FOOD, garbage, good, questions, reader, said, trained

FAMILIES = ["tiny", "tiny:seq2seq"]


@pytest.fixture(scope="module")
def use(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A student with some knowledge of the language."""
    return reader(tmp_path_factory.mktemp("reader"))


def shares(rule: str, **columns: list[float | None]) -> list[float]:
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return Weighing.read(rule).shares(rows)


def test_alpha_of_the_student_by_hand() -> None:
    # α = softmax(-surprisal / h): exp(-2), exp(-4), exp(-6), exp(-8); the largest three of four, which sum to 1 again.
    parts = [math.exp(-2), math.exp(-4), math.exp(-6)]
    expected = [part / sum(parts) for part in parts] + [0.0]
    assert shares("student&h=0.5", surprisal=[1.0, 2.0, 3.0, 4.0]) == pytest.approx(expected)
    assert shares("student&h=0.5&share=1", surprisal=[1.0, 2.0]) == pytest.approx([0.8807970779, 0.1192029220])
    assert shares("student&share=0.25", surprisal=[3.0, 1.0, 2.0, 4.0]) == [0.0, 1.0, 0.0, 0.0]
    # A text that could not be read weighs nothing; where none could, all weigh the same.
    assert shares("student&share=1", surprisal=[None, 1.0, 1.0]) == [0.0, 0.5, 0.5]
    assert shares("student", surprisal=[None, None]) == [0.5, 0.5]
    # The mean of so many nats does not overflow, and of equal ones the first stay.
    assert shares("student&h=0.01", surprisal=[900.0, 900.0]) == [0.5, 0.5]


def test_the_rank_surprisal_ratio_by_hand() -> None:
    # 12 / 3 = 4, 9 / 3 = 3, 4 / 1 = 4: the second is unlikely enough to teach, and its tokens rank high.
    assert shares("rsr", rank=[12.0, 9.0, 4.0], surprisal=[3.0, 3.0, 1.0]) == [0.0, 1.0, 0.0]
    # A text that the student would have written itself teaches nothing: likelihood alone would take it.
    likely: dict[str, list[float | None]] = {"rank": [1.0, 5.0], "surprisal": [0.01, 2.0]}
    assert (shares("rsr", **likely), shares("student&share=0.5", **likely)) == ([0.0, 1.0], [1.0, 0.0])
    assert shares("rsr", rank=[None, 2.0, 2.0], surprisal=[None, 1.0, 1.0]) == [0.0, 1.0, 0.0]
    assert shares("rsr", rank=[None, None], surprisal=[None, None]) == [0.5, 0.5]


def test_texts_that_lead_to_the_answer_by_hand() -> None:
    four: dict[str, list[float | None]] = {
        "reaches": [1.0, 0.0, 1.0, 1.0], "gain": [0.2, 3.0, 0.5, 0.4], "diversity": [0.9, 0.9, 0.1, 0.2]
    }  # fmt: skip
    # Of those that reach it 0.2 + 0.45, 0.5 + 0.05, 0.4 + 0.1: half of four texts, the first and the third.
    assert shares("morsd", **four) == [0.5, 0.0, 0.5, 0.0]
    assert shares("morsd&diversity=0", **four) == [0.0, 0.0, 0.5, 0.5]
    assert shares("morsd&share=0.25&diversity=2", **four) == [1.0, 0.0, 0.0, 0.0]
    # Where none does, those that help most; what could not be read is left out; one of few is kept all the same.
    assert shares("morsd", reaches=[0.0, 0.0], gain=[-1.0, -2.0], diversity=[0.5, 0.5]) == [1.0, 0.0]
    found = shares("morsd", reaches=[None, None, 1.0], gain=[None, 2.0, 0.1], diversity=[1.0, 1.0, 0.0])
    assert found == [0.0, 0.0, 1.0]
    assert shares("morsd", reaches=[None, None], gain=[0.5, 0.1], diversity=[0.2, 0.2]) == [1.0, 0.0]
    assert diversity(["a b", "a c", "d"]) == pytest.approx([1 - 1 / 6, 1 - 1 / 6, 1.0])


@pytest.mark.parametrize("spec", FAMILIES)
def test_what_a_text_does_to_the_answer(spec: str) -> None:
    student, example = fresh(spec), questions(0, 1)[0]
    free = Example("f", "How many are left?", (), "5")
    asked = [(example, text, answer) for text in ("It eats fish.", "Nobody knows.") for answer in ("fish", "grass")]
    found = reached(student, [*asked, (free, "Nine minus four.", "5")])
    for (_, text, answer), one in zip(asked, found, strict=False):
        values = []
        for prompt in (ASK.prompt(example, premise=text), ASK.prompt(example)):
            pairs = option_pairs(prompt, "", example.choices)
            values.append(dict(zip([pair.option for pair in pairs], student.likelihood(pairs), strict=True)))
        chances = [each[answer] - math.log(sum(map(math.exp, each.values()))) for each in values]
        assert one is not None
        assert one.gain == pytest.approx(chances[0] - chances[1], abs=1e-4)
        assert one.reaches == float(best(values[0]) == answer)
    assert found[-1] is not None
    assert found[-1].reaches is None
    student.positions = 12
    assert reached(student, asked) == [None] * 4


class Reads:
    """A student that takes its answer from the explanation that it is shown, and guesses without one."""

    positions = 1000

    def length(self, pair: Pair) -> int:
        return len(pair.prompt.split())

    def likelihood(self, pairs: list[Pair], batch: int) -> list[float]:
        return [2.0 * (pair.option in pair.prompt.partition("Explanation:")[2]) - len(pair.option) for pair in pairs]


def test_traces_that_state_no_answer_are_about_the_right_one() -> None:
    examples, items = questions(0, 6), []
    for one in examples:
        said = [garbage(one), *good(one)]
        texts = that_counts([replace(generation(one, "trace", "", text), key=text) for text in said])
        items.append(Item(one, "trace", "", texts.texts, {("trace", ""): texts}))
    rule = Weighing.read("morsd&share=0.75")
    # Where nothing were told, all would weigh the same.
    for each in SOURCES["reached"].figures(items, Reads()):  # type: ignore[arg-type]
        assert all(text["gain"] is not None for text in each)
        assert [bool(share) for share in rule.shares(each)] == [False, True, True, True]


def test_what_a_student_can_use_is_kept_and_garbage_is_not(use: str) -> None:
    examples = questions(0, 12)
    known = said(examples, bad=True)
    items = [Item(one, *slot, text.texts, known[one.id]) for one in examples for slot, text in known[one.id].items()]
    # Nothing but the explanation tells this student the answer: 3 of 4 texts do.
    for rule, student in (("morsd", Reads()), ("morsd&share=0.75", Reads()), ("rsr", opened(use).eval())):
        shown = Weighing.read(rule)
        found = [shown.shares(each) for each in SOURCES[RULES[shown.rule].reads].figures(items, student)]
        assert all(each[0] == 0 for each in found), rule
        assert {sum(map(bool, each)) for each in found} == {{"rsr": 1, "morsd": 2}.get(rule, 3)}


@pytest.mark.parametrize("spec", FAMILIES)
def test_surprisal_and_rank_are_those_of_the_tokens(spec: str) -> None:
    student = fresh(spec)
    pairs = [item.pair for index in range(3) for item in taught_corpus(3).pairs(method("multitask"), index, 0)]
    pairs.append(Pair(pairs[0].prompt, "It fits."))
    found = told(student, pairs)
    for pair, one in zip(pairs, found, strict=True):
        read = student.scored(student.encode([[pair]], end=False), logits=True)
        chances = read.logits.log_softmax(-1)
        labels = read.labels.tolist()
        ranks = [int((row > row[label]).sum()) + 1 for row, label in zip(chances, labels, strict=True)]
        assert one is not None
        assert one.tokens == len(labels) == len(student.target_ids(pair.target, end=False))
        assert one.surprisal == pytest.approx(
            -sum(chances[i, label].item() for i, label in enumerate(labels)) / len(labels), abs=1e-5
        )
        assert one.rank == pytest.approx(sum(min(rank, RANKS) for rank in ranks) / len(ranks))
    alone = [told(student, [pair])[0] for pair in pairs]
    assert [one.surprisal for one in alone if one] == pytest.approx([one.surprisal for one in found if one], abs=1e-5)


def test_what_a_student_cannot_read_has_no_figures() -> None:
    student = fresh(max_length=64)
    student.positions = 60
    long, empty = Pair("a question", "word " * 80), Pair("a question", "")
    assert told(student, [long, Pair("a question", "because"), empty])[::2] == [None, None]


def weighed_corpus(weights: Mapping[str, float], seed: int = 0, count: int = 5) -> Corpus:
    examples = questions(0, count)
    return Corpus(examples, said(examples, bad=True), seed, weights)


def test_training_shows_a_sample_as_often_as_it_weighs() -> None:
    weights = {f"q{i} {n}": (0.0, 0.6, 0.3, 0.1)[n] for i in range(5) for n in range(4)}
    found, alike = weighed_corpus(weights), weighed_corpus({})
    for index, example in enumerate(found.examples):
        items = [item for epoch in range(50) for item in found.pairs(method("multitask"), index, epoch)]
        shown = Counter(item.pair.target for item in items if item.view.name == "explain")
        # Within one turn or two of the weight in any run of turns, and each pair counts the same.
        assert dict(shown) == pytest.approx(dict(zip(good(example), (30, 15, 5), strict=True)), abs=2)
        assert {item.pair.weight for item in items} == {1.0}
        assert not any("pair_weight" in item.row() for item in items)
    # The questions of one epoch, too.
    many = weighed_corpus({f"q{i} {n}": (0.0, 0.6, 0.3, 0.1)[n] for i in range(50) for n in range(4)}, count=50)
    texts = [(good(example), many.in_epoch(index, 3)) for index, example in enumerate(many.examples)]
    places = Counter(said.index(known["explanation", known_answer].text)
                     for said, known in texts for _, known_answer in known)  # fmt: skip
    assert dict(places) == pytest.approx({0: 30, 1: 15, 2: 5}, abs=2)
    assert found.unweighted.pairs(method("multitask"), 0, 1) == alike.pairs(method("multitask"), 0, 1)
    assert alike.unweighted is alike


def test_a_text_that_weighs_next_to_nothing_takes_no_turn() -> None:
    for tiny in (1e-300, 1e-12):
        for weights in ((tiny, 1.0, tiny, tiny), (0.0, tiny, tiny, 1.0), (1.0, tiny, 0.0, tiny)):
            found = weighed_corpus({f"q{i} {n}": weights[n] for i in range(5) for n in range(4)})
            for index, example in enumerate(found.examples):
                shown = {found.in_epoch(index, epoch)["explanation", example.answer].text for epoch in range(40)}
                assert shown == {[garbage(example), *good(example)][weights.index(1.0)]}


def test_texts_of_one_weight_take_turns_one_after_another() -> None:
    weights = (0.0, 1 / 3, 1 / 3 + 1e-17, 1 / 3 * (1 + 1e-12))
    found = weighed_corpus({f"q{i} {n}": weights[n] for i in range(5) for n in range(4)})
    for index, example in enumerate(found.examples):
        shown = Counter(found.in_epoch(index, epoch)["explanation", example.answer].text for epoch in range(6))
        assert shown == dict.fromkeys(good(example), 2)


def test_a_rule_that_picks_one_shows_that_one() -> None:
    found = weighed_corpus({f"q{i} {n}": float(n == 2) for i in range(5) for n in range(4)})
    for index, example in enumerate(found.examples):
        items = [item for epoch in range(3) for item in found.pairs(method("explain-then-answer"), index, epoch)]
        assert {item.pair.target.partition(" So the")[0] for item in items} == {good(example)[1]}
        assert {item.pair.weight for item in items} == {1.0}


def test_the_control_shows_another_question_s_texts_by_their_weight() -> None:
    weights = {f"q{i} {n}": (0.0, 0.5, 0.25, 0.25)[n] for i in range(5) for n in range(4)}
    found = weighed_corpus(weights)
    for index in range(5):
        shown = Counter(found.pairs(method("random-explanation"), index, epoch)[1].pair.target for epoch in range(40))
        assert sorted(shown.values()) == pytest.approx([10, 10, 20], abs=2)


def test_wrong_options_and_own_answers_are_shown_by_the_weights_of_their_own_samples() -> None:
    example = Example("e", "Which?", ("a", "b", "c"), "a")
    texts = {
        ("counterfactual", "b"): [generation(example, "counterfactual", "b", f"b {n}") for n in range(2)],
        ("counterfactual", "c"): [generation(example, "counterfactual", "c", f"c {n}") for n in range(2)],
        ("label", ""): [generation(example, "label", "b", f"own {n}. The answer is b.") for n in range(2)],
        ("explanation", "a"): [generation(example, "explanation", "a", f"a {n}") for n in range(2)],
    }
    named = {slot: [replace(text, key=text.text) for text in each] for slot, each in texts.items()}
    weights = {
        text.key: 0.9 if text.text.split(".")[0].endswith("0") else 0.1 for each in named.values() for text in each
    }
    found = Corpus([example], {"e": {slot: that_counts(each) for slot, each in named.items()}}, 0, weights)
    shown = Counter[str]()
    for epoch in range(80):
        for item in found.pairs(method("multitask+counterfactual:teacher-labels"), 0, epoch):
            text = item.pair.target if item.view.name in ("explain", "factual") else item.pair.prompt
            words = [word for word in ("b 0", "b 1", "c 0", "c 1", "own 0", "own 1") if word in text]
            shown.update([f"{item.view.name} {word}" for word in words if item.view.name != "predict"])
            assert item.pair.weight == 1
    expected = {"counterfactual b 0": 36, "counterfactual b 1": 4, "counterfactual c 0": 36, "counterfactual c 1": 4}
    assert {name: shown[name] for name in expected} == pytest.approx(expected, abs=2)
    assert shown["explain own 0"] == pytest.approx(72, abs=2)


def test_unequal_weights_are_equal_through_accumulation_and_change_the_loss(use: str, tmp_path: Path) -> None:
    weights = {f"q{i} {n}": (0.0, 0.6, 0.3, 0.1)[n] for i in range(5) for n in range(4)}
    states = []
    for micro in (1, 4):
        student = trained(
            tmp_path / str(micro), weighed_corpus(weights), use=use, examples=8, batch=4, micro_batch=micro
        )
        states.append(student.state_dict())
    other = trained(tmp_path / "alike", weighed_corpus({}), use=use, examples=8, batch=4, micro_batch=4).state_dict()
    largest = max(float((states[0][name] - states[1][name]).abs().max()) for name in states[0])
    changed = max(float((states[1][name] - other[name]).abs().max()) for name in other)
    assert largest < 1e-4 < changed


def surprisal(use: str, folder: Path, corpus: Corpus) -> float:
    """Of good explanations of other questions, in nats a token, after a training on a corpus."""
    student = trained(folder, corpus, use=use, learning_rate=5e-3)
    asked = [Pair(EXPLAIN.prompt(one), text) for one in questions(50, 12) for text in good(one)]
    return sum(one.surprisal for one in told(student, asked) if one) / len(asked)


def test_a_student_weighs_garbage_away_and_learns_more_from_the_rest(use: str, tmp_path: Path) -> None:
    examples = questions(0, 24)
    known = said(examples, bad=True)
    items = [
        Item(one, "explanation", one.answer, known[one.id]["explanation", one.answer].texts, known[one.id])
        for one in examples
    ]
    figures, rule = SOURCES["told"].figures(items, opened(use).eval()), Weighing.read("student")
    weights = {
        text.key: share
        for item, each in zip(items, figures, strict=True)
        for text, share in zip(item.texts, rule.shares(each), strict=True)
    }
    assert all(weights[item.texts[0].key] == 0 and item.texts[0].text == garbage(item.example) for item in items)
    # The same student, examples and exposure: what differs is the weight of the samples.
    weighed = surprisal(use, tmp_path / "weighed", Corpus(examples, known, 0, weights))
    assert weighed < surprisal(use, tmp_path / "alike", Corpus(examples, known)) - 0.05


def texts_of_three(example: Example, turn: int) -> dict[tuple[str, str], Generation]:
    """Two teachers that know what animals eat, and z, which has no idea and says so at length."""
    foods = list(FOOD.values())
    wrong = foods[(foods.index(example.answer) + 1) % len(foods)]
    texts = [
        *(good(example)[(turn + place) % 3] for place in range(2)),
        f"Nobody can know, so why not say {wrong} here.",
    ]
    answers = [example.answer, example.answer, wrong]
    said = {("explanation", example.answer): texts, ("label", ""): answers}
    return {
        (kind, about): that_counts(
            [
                replace(generation(example, kind, about or text, text), by=name, key=f"{kind} {example.id} {name}")
                for name, text in zip("xyz", each, strict=True)
            ]
        )
        for (kind, about), each in said.items()
    }


def test_one_bad_teacher_of_three_costs_less_where_they_are_weighed(use: str, tmp_path: Path) -> None:
    examples = questions(0, 24)
    known = {example.id: texts_of_three(example, turn // 6) for turn, example in enumerate(examples)}
    rule, weights = Weighing.read("agreement"), dict[str, float]()
    for example in examples:
        texts = known[example.id]["explanation", example.answer].texts
        figures = list(agreement(example, "explanation", example.answer, texts, known[example.id]))
        weights |= {text.key: share for text, share in zip(texts, rule.shares(figures), strict=True)}
    assert {weights[f"explanation q3 {name}"] for name in "xy"} == {0.5}
    assert {key for key, share in weights.items() if not share} == {f"explanation {one.id} z" for one in examples}
    weighed, alike = (
        surprisal(use, tmp_path / name, Corpus(examples, known, 0, found))
        for name, found in (("w", weights), ("a", {}))
    )
    assert weighed < alike - 0.05, (weighed, alike)


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        ("multitask:weigh=best", r"'weigh=best' names no rule. Known: weigh=student"),
        ("multitask:weigh=studnt", r"names no rule. Did you mean 'student'\? Known: weigh=student"),
        ("multitask:weigh", "names no rule"),
        ("multitask:weigh=student&t=1", r"'student' has no setting 't'. Its settings: h \(the temperature"),
        ("multitask:weigh=student&h=0", "a number above 0, such as h=0.25"),
        ("multitask:weigh=student&share=2", "a number above 0 and at most 1, such as share=0.75"),
        ("multitask:weigh=student&h", "a number above 0"),
        ("finetune:weigh=student", "this method is trained on none"),
        ("salient:weigh=student", "this method is trained on none"),
        ("zero-shot:weigh=student", "this method is trained on none"),
    ],
)
def test_mistakes_say_what_to_type(spec: str, what: str) -> None:
    with pytest.raises(MethodError, match=what):
        method(spec)


def test_methods_say_which_texts_they_weigh() -> None:
    weighed = {
        spec: method(spec).weighed
        for spec in (
            "multitask:weigh=student",
            "salient+explanation:weigh=student",
            "multitask+counterfactual:revised,weigh=student&h=1",
        )
    }
    assert list(weighed.values()) == [("explanation",), ("explanation",), ("revision", "counterfactual")]
    assert method("multitask").weighed == ()
    assert all(
        rule.about and all(setting.fits(setting.default) for setting in rule.settings.values())
        for rule in RULES.values()
    )


def recipe(root: Path, **changed: Any) -> Recipe:
    block: dict[str, Any] = {
        "name": "r", "root": root, "task": {"use": "everyday", "limit": {"train": 40, "dev": 4, "test": 6}},
        "teacher": {"use": "fake:log=asked.log"}, "student": "tiny", "methods": ["multitask:weigh=student"],
        "generate": [{"explanation": {"samples": 3}}], "evaluate": {"zero_shot": False},
        "train": {"examples": 16, "batch": 8, "curve": 0, "checkpoints": 0},
    }  # fmt: skip
    return Recipe.parse({**block, **changed})


def test_one_text_of_a_question_is_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    run = Run(recipe(tmp_path, generate=["explanation"]))
    with pytest.raises(MethodError, match=r"Write: generate: \[\{explanation: \{samples: 4\}\}"):
        run.generate()
    assert not (tmp_path / "asked.log").exists()


def test_the_stage_keeps_what_it_finds_and_goes_on_after_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(recipe(tmp_path))
    run.generate()
    shown = [row for row in Run(recipe(tmp_path)).preview(3) if "view" in row]
    folder = run.folder / "weights"
    assert not folder.exists(), "preview writes nothing"
    run.train()
    path = folder / "tiny--student--explanation.jsonl"
    first = path.read_bytes()
    rows = [json.loads(line) for line in first.splitlines()]
    assert len(rows) == 120
    assert {"example_id", "teacher", "key", "surprisal", "rank", "tokens", "weight", "text"} <= rows[0].keys()
    by_question = Counter[str]()
    for row in rows:
        by_question[row["example_id"]] += row["weight"]
    assert list(by_question.values()) == pytest.approx([1.0] * 40)
    cell = run.cells[0]
    trained_on = [json.loads(line) for line in (cell.folder / "pairs.jsonl").read_text().splitlines()]
    kept = {row["text"]: row["weight"] for row in rows}
    assert all(kept[row["target"]] for row in trained_on if row["view"] == "explain")
    assert not any("pair_weight" in row for row in trained_on)
    assert [{key: row[key] for key in row if key != "method"} for row in shown] == trained_on[: len(shown)]

    # Killed in the middle: the second slice is lost, the first is not asked for again.
    part = folder / "tiny--explanation--told.part"
    lines = part.read_bytes().splitlines(keepends=True)
    assert len(lines) == 3
    part.write_bytes(lines[0] + lines[1] + lines[2][:20])
    path.unlink()
    read: list[int] = []
    monkeypatch.setitem(
        SOURCES,
        "told",
        replace(SOURCES["told"], read=lambda items, student: [read.append(len(items)), *told_of(items, student)][1:]),
    )  # type: ignore[index]
    again = Run(recipe(tmp_path))
    again.weights.of(cell.method, cell.student, again.teaching.known()[0])
    assert (path.read_bytes(), read) == (first, [8])
    # Another rule with the same figures asks for none; the same rule reads its file.
    again.weights.of(method("multitask:weigh=student&h=2"), cell.student, again.teaching.known()[0])
    Run(recipe(tmp_path)).train()
    assert read == [8]


told_of = SOURCES["told"].read


def test_the_audit_tells_the_figures_and_what_was_chosen(tmp_path: Path) -> None:
    told_of = (("p", "x", 2.0, 0.75), ("p", "y", 6.0, 0.25), ("q", "x", None, 0.0), ("q", "y", 4.0, 1.0))
    rows = [
        {"example_id": e, "kind": "explanation", "answer": "a", "key": f"{e}{t}", "teacher": t, "rank": rank,
         "surprisal": 2.0, "tokens": 3, "weight": weight, "text": "x"}
        for e, t, rank, weight in told_of
    ]  # fmt: skip
    found = weighed(rows)
    assert (found["questions"], found["texts"], found["dropped"]) == (2, 4, 1)
    assert found["effective"] == pytest.approx((1 / (0.75**2 + 0.25**2) + 1) / 2)
    assert found["teachers"] == {
        "x": {"texts": 2, "share": 0.375, "won": 1}, "y": {"texts": 2, "share": 0.625, "won": 1}
    }  # fmt: skip
    assert (found["places"], found["tied"]) == ({"1": 1, "2": 1}, 0)
    even = weighed([{**row, "weight": 0.5} for row in rows])
    assert (even["tied"], even["places"], even["teachers"]["x"]["won"]) == (2, {}, 0)
    assert found["figures"]["rank"] == {"n": 3, "mean": 4.0, "quartiles": [3.0, 4.0, 5.0], "chosen": 3.5}
    assert found["figures"]["ratio"]["mean"] == 2.0

    run = Run(recipe(tmp_path, methods=["multitask:weigh=student", "multitask:weigh=rsr"]))
    run.generate()
    told = run.audit()["weighed"]
    assert list(told) == ["tiny--student--explanation", "tiny--rsr--explanation"]
    assert told["tiny--rsr--explanation"]["dropped"] == 80
    assert "weighed" not in Run(recipe(tmp_path, name="plain", methods=["multitask"])).audit()
    only = Run(recipe(tmp_path, methods=["multitask:weigh=rsr"]))
    only.train()
    said = dict(sentences(read(only.folder)))
    assert (
        "80 of 120 texts weigh nothing. In the mean of the questions as many count as 1.0 equal ones."
        in (said["Weights tiny--rsr--explanation"])
    )
    assert "fake has 100.0 % of the weight" in said["Weights tiny--student--explanation"]


def test_a_student_that_writes_nothing_is_not_asked_about_texts(tmp_path: Path) -> None:
    with pytest.raises(MethodError, match=r"writes nothing\. Write: student: causal"):
        Run(recipe(tmp_path, student="encoder:nowhere")).generate()
    assert not (tmp_path / "asked.log").exists()


@pytest.mark.parametrize(
    ("spec", "left"),
    [
        ("multitask:weigh=student", "multitask"),
        ("multitask:weigh=agreement&gold=1", "multitask"),
        ("multitask:soft=2,weigh=morsd,trace=1", "multitask:soft=2,trace=1"),
    ],
)
def test_the_advice_for_a_student_that_writes_nothing_is_one_that_it_takes(spec: str, left: str) -> None:
    weighing = replace(method("multitask:weigh=student"), name=spec)
    encoder, own = StudentBlock(use="encoder:nowhere"), StudentBlock(use="some.module:Student")
    for student, outlines in ((encoder, {}), (own, {own.label: Mock(writes=False)})):
        with pytest.raises(MethodError, match="writes nothing") as told:
            check_readers([weighing], [student], outlines)
        assert str(told.value).endswith(f"take the option out: {left}")
    check_readers([method("multitask")], [encoder], {})
    check_readers([weighing], [own], {own.label: Mock(writes=True)})


def test_a_rule_is_a_part_of_the_key_only_where_it_is_used(tmp_path: Path) -> None:
    run = Run(recipe(tmp_path, methods=["multitask", "multitask:weigh=student", "multitask:weigh=student&h=1"]))
    run.generate()
    cells = run.cells
    keys = [train_key(cell, run.recipe, run.corpus(0, cell.student), []) for cell in cells]
    assert len(set(keys)) == 3
    # Not of the weights themselves, so that it is known before they are.
    assert keys == [train_key(cell, run.recipe, run.corpus(0, cell.student, cell.method), []) for cell in cells]
    alike = replace(cells[1], method=replace(cells[1].method, name="multitask", weigh=None))
    assert train_key(alike, run.recipe, run.corpus(0), []) == keys[0]
