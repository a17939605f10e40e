"""weigh=discriminator: the scores and weights by hand, who is trusted, and a toy on which it beats equal weights."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cli_cases import call
from cli_cases import recipe as written
from shrinklm import Recipe, Run
from shrinklm.core.errors import MethodError
from shrinklm.core.types import Example, Generation, Pair, that_counts
from shrinklm.methods.builtin import EXPLAIN
from shrinklm.methods.corpus import Corpus
from shrinklm.methods.spec import method
from shrinklm.methods.weighing import Weighing
from shrinklm.models.ngrams import ngram_likeness, ngram_rows
from shrinklm.run.stages import figures
from shrinklm.run.stages.figures import SOURCES, Item, _trusted
from shrinklm.stats import discriminate, judged, log_odds
from shrinklm.students.told import told
from test_weighing import recipe
from weighing_cases import good, questions, reader, several, trained


def babble(example: Example, number: int = 0) -> str:
    """What a bad student says: its own few words, whatever is asked."""
    lot = random.Random(f"babble {number} {example.id}")
    return " ".join(lot.choice(("bla", "well", "and", "it", "so", "hmm")) for _ in range(7))


def drawn(example: Example, by: bool) -> Generation:
    """Four texts: a good one of the teacher, and of the student a good one and two of babble, in an order by lot."""
    lot = random.Random(f"order {example.id}")
    first, second = lot.sample(good(example), 2)
    further = lot.sample([second, babble(example), babble(example, 1)], 3)
    return several(example, [first, *further], ["teacher", *["student"] * 3] if by else None)


def items_of(examples: list[Example], by: bool = True) -> list[Item]:
    made = {example.id: drawn(example, by) for example in examples}
    return [
        Item(each, "explanation", each.answer, made[each.id].texts, {("explanation", each.answer): made[each.id]})
        for each in examples
    ]


def test_scores_are_those_of_the_classifier_of_the_metric() -> None:
    rows = np.random.default_rng(0).normal(size=(20, 3))
    pairs, folds = [(2 * place, 2 * place + 1) for place in range(10)], [place // 2 % 5 for place in range(20)]
    found = judged(rows, pairs, folds)
    assert found == pytest.approx(discriminate(rows @ rows.T, folds[::2], relabelled=1).scores.ravel(), abs=1e-8)
    # By hand, for a text that no pair holds: labels of +1 and -1, a penalty of 1.
    further = np.concatenate([rows, [[1.0, 2.0, 3.0]]])
    own = np.array(folds) != 0
    weights = np.linalg.solve(rows[own].T @ rows[own] + np.eye(3), rows[own].T @ np.tile([1.0, -1.0], 8))
    assert judged(further, pairs, [*folds, 0])[-1] == pytest.approx([1, 2, 3] @ weights)
    with pytest.raises(ValueError, match="no pair"):
        judged(rows, [(0, 1)], folds)
    sparse = ngram_rows(["a bank", "the bank", ""])
    assert (sparse @ sparse.T).toarray() == pytest.approx(ngram_likeness(["a bank", "the bank", ""]))


def test_weights_by_hand() -> None:
    # Means .5 and -.5, variance (4 · .25) / (4 - 2) = .5: log-odds = score · 1 / .5, from the middle.
    assert log_odds([1.0, 0.0, 0.0, -1.0], [True, True, False, False]) == pytest.approx([2.0, 0.0, 0.0, -2.0])
    # First texts that score lower are not told at all.
    assert log_odds([0.0, 1.0], [True, False]).tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="and of others"):
        log_odds([0.0, 1.0], [True, True])
    rows = [{"taken": 0.5}, {"taken": 0.0}, {"taken": None}]
    shares = Weighing.read("discriminator&h=0.5").shares(rows)
    assert shares == pytest.approx([math.e / (math.e + 1), 1 / (math.e + 1), 0.0])
    assert Weighing.read("discriminator&share=0.3").shares(rows) == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("by", [True, False])
def test_what_no_teacher_would_write_is_found(by: bool) -> None:
    items = items_of(questions(0, 30), by)
    scores = SOURCES["taken"].figures(items, None)
    for item, each in zip(items, scores, strict=True):
        order = sorted(range(4), key=lambda place: float(each[place]["taken"] or 0))
        assert {item.texts[place].text for place in order[:2]} == {babble(item.example), babble(item.example, 1)}


def test_where_nothing_tells_the_teacher_all_texts_weigh_nearly_alike() -> None:
    examples = questions(0, 60)
    made = {example.id: several(example, random.Random(example.id).sample(good(example), 3)) for example in examples}
    items = [Item(each, "explanation", each.answer, made[each.id].texts, {("explanation", each.answer): made[each.id]})
             for each in examples]  # fmt: skip
    rule = Weighing.read("discriminator")
    largest = [max(rule.shares(each)) for each in SOURCES["taken"].figures(items, None)]
    assert sum(largest) / 60 < 0.4  # a third is alike


def test_who_is_trusted_is_known_by_name_where_several_write() -> None:
    # The first teacher's text stands last in every fifth question, say because its first try came late.
    examples = questions(0, 20)
    items = []
    for number, example in enumerate(examples):
        texts, by = [good(example)[0], babble(example)], ["teacher", "student"]
        made = several(example, texts[:: -1 if number % 5 == 4 else 1], by[:: -1 if number % 5 == 4 else 1])
        items.append(Item(example, "explanation", example.answer, made.texts, {("explanation", example.answer): made}))
    for item, each in zip(items, SOURCES["taken"].figures(items, None), strict=True):
        scores = {
            text.source.teacher: float(figure["taken"] or 0) for text, figure in zip(item.texts, each, strict=True)
        }
        assert scores["teacher"] > 1 > -1 > scores["student"]


def test_the_trusted_teacher_goes_by_its_name_in_the_recipe() -> None:
    # One model under two names: the first one asks it for reasons, the second one for babble.
    items = items_of(questions(0, 20))
    named = []
    for item in items:
        own = replace(item.texts[0].source, teacher="model")
        texts = [replace(text, by=text.source.teacher, source=own) for text in item.texts]
        first, *further = texts
        # A text of the first name stands second, too: where names are not looked at it counts as a further one.
        made = that_counts([first, replace(further[0], by="teacher", text=good(item.example)[0]), *further[1:]])
        named.append(replace(item, texts=made.texts, known={("explanation", item.answer): made}))
    assert [list(each) for each in _trusted(named)] == [[True, True, False, False]] * 20


def test_no_text_counts_more_often_than_the_classifier_can_know() -> None:
    items = items_of(questions(0, 30))
    plain = {"teacher": "teacher " * 9, "student": "x y z"}
    items = [
        replace(item, texts=tuple(replace(text, text=plain[text.source.teacher]) for text in item.texts))
        for item in items
    ]
    odds = {float(each["taken"] or 0) for item in SOURCES["taken"].figures(items, None) for each in item}
    assert odds == {5.0, -5.0}


def test_many_wrong_options_of_one_question_are_too_few_questions() -> None:
    item = items_of(questions(0, 1))[0]
    options = [f"option {number}" for number in range(12)]
    items = [replace(item, answer=each, known={("explanation", each): that_counts(item.texts)}) for each in options]
    with pytest.raises(MethodError, match="of two questions or more"):
        SOURCES["taken"].figures(items, None)


def test_too_few_training_questions_are_told_before_anybody_is_asked(tmp_path: Path) -> None:
    task = {"use": "everyday", "limit": {"train": 9, "dev": 4, "test": 6}}
    few = recipe(tmp_path, methods=["multitask:weigh=discriminator"], task=task)
    with pytest.raises(MethodError, match="9 'explanation' texts may stand beside another one, and at least 10"):
        Run(few).generate()
    assert not (tmp_path / "asked.log").exists()
    Run(recipe(tmp_path, methods=["multitask:weigh=student"], task=task)).generate()


def test_the_audit_shows_its_table_and_then_what_cannot_be_weighed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "multitask:weigh=discriminator"
    path = written(tmp_path, methods=[name], generate=[{"explanation": {"samples": 2}}])
    Run(Recipe.read(path)).generate()
    # Texts that may be used can be fewer than those that were asked for.
    monkeypatch.setattr(figures, "_LEAST", 100)
    shown = call("audit", path)
    assert shown.exit_code == 1
    table, _, message = shown.output.partition("'weigh=discriminator' tells")
    assert "Audit of fake" in table
    assert "12 stand beside another one" in " ".join(message.split())
    assert list(Run(Recipe.read(path)).audit()["unweighed"]) == [name]


def test_too_few_questions_are_told() -> None:
    with pytest.raises(MethodError, match="9 stand beside another one, and at least 10 are needed"):
        SOURCES["taken"].figures(items_of(questions(0, 9)), None)


def test_a_student_learns_more_from_texts_that_are_taken_for_the_teacher_s(tmp_path: Path) -> None:
    examples, use = questions(0, 24), reader(tmp_path)
    items, rule = items_of(examples), Weighing.read("discriminator")
    weights = {
        text.key: share
        for item, each in zip(items, SOURCES["taken"].figures(items, None), strict=True)
        for text, share in zip(item.texts, rule.shares(each), strict=True)
    }
    known = {item.example.id: item.known for item in items}
    asked = [Pair(EXPLAIN.prompt(one), text) for one in questions(50, 12) for text in good(one)]

    def surprisal(found: dict[str, float]) -> float:
        student = trained(tmp_path / str(len(found)), Corpus(examples, known, 0, found), use=use, learning_rate=5e-3)
        return sum(one.surprisal for one in told(student, asked) if one) / len(asked)

    # The same student, examples and exposure: what differs is the weight of the samples.
    assert surprisal(weights) < surprisal({}) - 0.15


def test_a_run_keeps_the_scores(tmp_path: Path) -> None:
    run = Run(recipe(tmp_path, methods=["multitask:weigh=discriminator&h=0.5"]))
    run.generate()
    cell = run.cells[0]
    weights = run.weights.of(cell.method, cell.student, run.teaching.known()[0])
    assert len(weights) == 120
    assert (run.folder / "weights").is_dir()
    assert (
        Run(recipe(tmp_path, methods=["multitask:weigh=discriminator&h=0.5"])).weights.of(
            method("multitask:weigh=discriminator&h=0.5"), cell.student, run.teaching.known()[0]
        )
        == weights
    )
