"""The teacher's distribution over the options as the target."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from cli_cases import asked, recipe
from loss_cases import FAMILIES, assert_cuts_change_nothing, cued, right_share, trained
from shrinklm.core.errors import MethodError
from shrinklm.core.logprobs import OptionLogprobs
from shrinklm.core.types import Example, Generation, that_counts
from shrinklm.methods.chances import ALONE, chances
from shrinklm.methods.corpus import Corpus
from shrinklm.methods.spec import method
from shrinklm.run.folder import Cell
from shrinklm.run.recipe import Recipe
from shrinklm.run.run import Run
from shrinklm.run.stages.train import train_key
from shrinklm.students.training.lessons import Lessons
from shrinklm.students.training.losses.base import term
from shrinklm.students.training.losses.soft import divergence
from student_cases import TYPES, corpus, fresh, generation, many, taught

EXAMPLE = TYPES["choice"]
OPTIONS = EXAMPLE.choices


def label(answer: str, told: dict[str, float] | None = None, refusal: str | None = None) -> Generation:
    """A label, with the log p of options whose probabilities are given."""
    logprobs = told and OptionLogprobs({option: math.log(value) for option, value in told.items()}, ())
    return replace(generation(EXAMPLE, "label", answer, f"{answer}.", refusal), logprobs=logprobs or None)


def labelled(example: Example, chance: float) -> dict[tuple[str, str], Generation]:
    """All texts about an example, with a label that gives its answer this chance and each other option the same."""
    rest = (1 - chance) / len(example.wrong)
    told = {option: math.log(chance if option == example.answer else rest) for option in example.choices}
    texts = taught(example)
    texts["label", ""] = replace(texts["label", ""], logprobs=OptionLogprobs(told, ()))
    return texts


def test_what_labels_tell_about_the_options() -> None:
    first, second = dict(zip(OPTIONS, (0.5, 0.3, 0.2), strict=True)), dict(zip(OPTIONS, (0.1, 0.8, 0.1), strict=True))
    part = {OPTIONS[0]: 0.4}

    def told(*texts: Generation) -> dict[str, float] | str:
        return chances(that_counts(texts), OPTIONS)

    assert told(label("cellar", first)) == pytest.approx(first)
    # The mean over the samples that tell all options; the others do not vote.
    both = told(label("cellar", first), label("open field", second), label("open field"), label("cellar", part))
    assert both == pytest.approx({option: (first[option] + second[option]) / 2 for option in OPTIONS})
    shares = told(label("cellar"), label("open field"), label("", refusal="no answer"), label("open field"))
    assert shares == pytest.approx({"cellar": 1 / 3, "open field": 2 / 3, "river bed": 0})
    assert told(label("cellar")) == told(label("cellar", part)) == ALONE
    assert told(label("cellar"), label("", refusal="no answer")) == ALONE
    assert told(label("", refusal="no answer")) == "label refused: no answer"
    assert chances(None, OPTIONS) == "no label"


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_divergence_is_that_of_its_formula(temperature: float) -> None:
    scores = [[-3.0, -1.0, -2.5], [-4.0, -2.0]]
    given = [[0.2, 0.0, 0.8], [0.25, 0.75]]
    expected = []
    for row, shares in zip(scores, given, strict=True):
        target = [share ** (1 / temperature) for share in shares]
        whole = sum(math.exp(score / temperature) for score in row)
        expected.append(
            temperature**2
            * sum(
                q / sum(target) * (math.log(q / sum(target)) - math.log(math.exp(score / temperature) / whole))
                for q, score in zip(target, row, strict=True)
                if q
            )
        )
    table = torch.tensor([scores[0], [*scores[1], -torch.inf]], dtype=torch.float64)
    wanted = torch.tensor([given[0], [*given[1], 0.0]], dtype=torch.float64)
    assert divergence(table, wanted, temperature).tolist() == pytest.approx(expected, rel=1e-12)
    known = table.isfinite()

    def value(found: torch.Tensor) -> torch.Tensor:
        return divergence(torch.full_like(table, -torch.inf).masked_scatter(known, found), wanted, temperature)

    assert torch.autograd.gradcheck(value, (table[known].requires_grad_(),))
    same = wanted[:1, ::2]
    assert float(divergence(same.log(), same, temperature)) == pytest.approx(0, abs=1e-12)


def test_a_low_temperature_takes_the_likeliest_option() -> None:
    # Three options at .45, .35 and .2: to the power of 1,000 all are 0 in float32.
    scores = torch.tensor([[-3.0, -1.0, -2.5]], requires_grad=True)
    (slope,) = torch.autograd.grad(divergence(scores, torch.tensor([[0.45, 0.35, 0.2]]), 1e-3).sum(), scores)
    assert slope[0].tolist() == pytest.approx([-1e-3, 1e-3, 0], abs=1e-9)


@pytest.mark.parametrize("spec", FAMILIES)
def test_however_a_step_is_cut_the_gradient_is_the_same(spec: str, tmp_path: Path) -> None:
    examples = many(5)
    known = Corpus(examples, {each.id: labelled(each, 0.4 + 0.1 * place) for place, each in enumerate(examples)})
    assert_cuts_change_nothing(spec, "multitask+counterfactual:soft=2&0.5", known, tmp_path)
    lessons = Lessons(fresh(spec), known, method("multitask+counterfactual:soft=2"), 5)
    # `predict` and `factual` state the answer to the question, `counterfactual` another one.
    assert len(lessons.asks) == 2 * 5


def test_soft_labels_that_know_of_wrong_gold_labels_teach_what_is_right(tmp_path: Path) -> None:
    noisy, known = [], {}
    for number, example in enumerate(cued(16)):
        known[example.id] = {("label", ""): labelled(example, 0.85)["label", ""]}
        wrong = example.wrong[number // 10 % 3] if number % 10 in (1, 4, 7) else example.answer
        noisy.append(replace(example, answer=wrong))
    right = {
        name: right_share(
            trained("tiny", Corpus(noisy, known), name, tmp_path / name, seen=256, batch=8, learning_rate=5e-3),
            name,
            cued(40, 1),
        )
        for name in ("finetune", "finetune:options", "finetune:soft=2")
    }
    assert right["finetune:soft=2"] > max(right["finetune"], right["finetune:options"]) + 0.1, right


def test_questions_without_chances_are_counted_and_a_training_without_any_is_refused() -> None:
    examples = [*many(3), TYPES["free"]]
    some = {each.id: labelled(each, 0.5) if each.id == "q1" else taught(each) for each in examples}
    del some["q2"]["label", ""]
    lessons = Lessons(fresh(), Corpus(examples, some), method("finetune:soft=2"), 4)
    assert lessons.unbuilt == {
        ("soft=2", ALONE): 1,
        ("soft=2", "no label"): 1,
        ("soft=2", "the question has no options"): 1,
    }
    with pytest.raises(MethodError, match=rf"of none of 4 questions .*{ALONE}: 4.*generate: \[\{{label: \{{samples: 5"):
        Lessons(fresh(), corpus(4), method("finetune:soft=2"), 4)


def test_how_soft_is_written() -> None:
    assert method("finetune:soft").losses == {"soft": 1.0}
    assert method("finetune:soft=2&0.5").losses == {"soft=2": 0.5}
    assert {tuple(method(f"finetune:soft={number}").losses) for number in ("2", "2.0", "02.00")} == {("soft=2",)}
    assert {tuple(method(f"finetune:soft={number}").losses) for number in (".5", "0.5", "0.50&2")} == {("soft=0.5",)}
    assert tuple(method("finetune:soft=1000000,soft=0.0000001").losses) == ("soft=1000000", "soft=0.0000001")
    assert method("finetune:soft").needs == ("label",)
    with pytest.raises(MethodError, match=r"'soft=hot' is not understood. Known: soft=2 \(temperature\)"):
        method("finetune:soft=hot")
    with pytest.raises(MethodError, match="'soft=0' is not understood by the loss 'soft': a temperature is a number"):
        term("soft=0")


def test_what_the_teacher_finds_likely_is_part_of_the_key_where_it_is_learnt_and_only_there(tmp_path: Path) -> None:
    made, examples = Recipe.read(recipe(tmp_path)), many(3)

    def key(name: str, chance: float) -> str:
        known = {each.id: labelled(each, chance) for each in examples}
        return train_key(Cell(method(name), made.student[0], 0, tmp_path / "cell"), made, Corpus(examples, known), [])

    assert key("finetune:soft", 0.5) != key("finetune:soft", 0.6)
    assert key("finetune:soft", 0.5) == key("finetune:soft", 0.5)
    assert key("finetune:teacher-labels", 0.5) == key("finetune:teacher-labels", 0.6)


ONE = {"methods": ["finetune:soft=2"], "evaluate": {"zero_shot": False, "metrics": ["accuracy"]}}
TEACHER = "endpoint:http://127.0.0.1:9/v1#m"


@pytest.mark.parametrize(
    ("teacher", "generate", "said"),
    [
        ("fake:log=asked.log", ["explanation"], r"asks for no label. Write under `generate`: {label: {samples: 5}}$"),
        ("fake:log=asked.log", ["label"], "asks for one label of each question, and for no log-probabilities"),
        ("fake:log=asked.log", [{"label": {"logprobs": True}}], "whose log-probabilities fake does not tell"),
        (TEACHER, ["label"], r"{samples: 5}} or, for log-probabilities, {label: {logprobs: true}}$"),
    ],
)
def test_a_recipe_whose_labels_cannot_tell_is_refused_before_anybody_is_asked(
    tmp_path: Path, teacher: str, generate: list[Any], said: str
) -> None:
    run = Run(Recipe.read(recipe(tmp_path, teacher={"use": teacher}, generate=generate, **ONE)))
    for act in (run.check, run.generate):
        with pytest.raises(MethodError, match=said):
            act()
    assert asked(tmp_path) == 0


def test_several_labels_of_a_teacher_are_learnt_from(tmp_path: Path) -> None:
    run = Run(Recipe.read(recipe(tmp_path, generate=[{"label": {"samples": 3}}], **ONE)))
    run.generate()
    run.train()
    (cell,) = run.cells
    lines = [json.loads(line) for line in (cell.folder / "train.jsonl").read_text().splitlines()]
    assert all(line["loss/soft=2"] > 0 for line in lines if "loss" in line)


def test_one_label_of_each_of_two_teachers_is_enough(tmp_path: Path) -> None:
    teachers = {"a": {"use": "fake"}, "b": {"use": "fake:first"}}
    run = Run(Recipe.read(recipe(tmp_path, teacher=teachers, generate=[{"label": {"teacher": ["a", "b"]}}], **ONE)))
    run.check()
    with pytest.raises(MethodError, match="asks for one label of each question"):
        Run(Recipe.read(recipe(tmp_path, teacher=teachers, generate=[{"label": {"teacher": "b"}}], **ONE))).check()
