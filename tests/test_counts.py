"""Counts of a teacher's texts add up, dev questions are a sample, and accepted answers are in the keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shrinklm.core.types import Completion, Example, Prompt, Sampling
from shrinklm.report.sections.refused.counts import steps
from shrinklm.run.stages.questions import dev_sample, question_key
from shrinklm.teachers.base import BaseTeacher
from shrinklm.teachers.generate import GenerateSettings, read_steps, run_steps
from shrinklm.teachers.prompts import Prompts
from shrinklm.teachers.steps import StepRequest
from shrinklm.teachers.store import Store
from shrinklm.teachers.usage import Usage

SETTINGS = GenerateSettings(0.0, 1.0, 0, 2, None)


class Stubborn(BaseTeacher):
    """Says nothing at the first try about every third question, and never anything of use about the last one."""

    name, revision = "stubborn", "1"

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        for position, prompt in enumerate(prompts):
            number = int(prompt.example.question.split()[1])
            silent = number == 9 or (number % 3 == 0 and sampling.seed == 0)
            text = "" if silent else f"Thing {number} fits {prompt.answer} because people put it there every day."
            yield position, Completion(text)


def adds_up(usage: Usage) -> bool:
    left = usage.found + usage.asked + usage.shared + usage.unasked
    return left == usage.kept + usage.refused.total() + usage.retried


def examples() -> list[Example]:
    made = [Example(f"e{n}", f"Thing {n} goes where?", ("a box", "a bin"), "a box") for n in range(10)]
    return [*made, replace(made[1], id="twin of 1"), replace(made[3], id="twin of 3")]


def test_counts_of_retried_shared_and_unasked_texts_add_up(tmp_path: Path) -> None:
    requests = [StepRequest("explanation", 1, None, None), StepRequest("critique", 1, None, None)]
    known, teacher, prompts = examples(), Stubborn(), Prompts("choice")

    def parse(text: str, example: Example) -> str | None:
        return None

    with Store(tmp_path / "store.db") as store:
        first = run_steps(known, requests, teacher, prompts, store, SETTINGS, parse).steps
        again = run_steps(known, requests, teacher, prompts, store, SETTINGS, parse).steps
        _, read = read_steps(known, requests, teacher, prompts, store, SETTINGS, parse)
    explained = first["explanation"]
    assert (explained.kept, explained.refused.total()) == (11, 1)
    # 0, 3 with its twin and 6 are taken anew once; 9 twice.
    assert (explained.shared, explained.retried) == (3, 6)
    assert explained.asked == 15
    assert first["critique"].unasked == 1
    for usage in (*first.values(), *again.values(), *read.steps.values()):
        assert adds_up(usage), usage
    assert (again["explanation"].asked, again["explanation"].found) == (0, 15)


def test_counts_of_an_earlier_version_are_read() -> None:
    old = {
        "found": 0,
        "asked": 30,
        "kept": 29,
        "refused": {},
        "tokens_in": 1,
        "tokens_out": 1,
        "seconds": 1.0,
        "cost": None,
    }
    new = old | {"shared": 0, "unasked": 0, "retried": 1}
    results: Any = SimpleNamespace(
        findings=SimpleNamespace(generations={"steps": {"explanation": old, "critique": new}})
    )
    table = steps(results)
    names = [column.name for column in table.columns]
    before, after = (dict(zip(names, line.cells, strict=True)) for line in table.lines)
    assert (before["Retried"], after["Retried"]) == ("–", "1")
    assert "A dash" in table.caption


def labelled(count: int, rare: int = 10) -> list[Example]:
    """The first questions are all of one label, the last ones of the other."""
    return [
        Example(f"d{index}", f"Is it {index}?", ("yes", "no"), "no" if index >= count - count // rare else "yes")
        for index in range(count)
    ]


def test_dev_questions_are_a_sample_in_which_labels_have_their_shares() -> None:
    dev = labelled(1000)
    sample = dev_sample(dev, 100, 0)
    assert len(sample) == 100
    assert sum(example.answer == "no" for example in sample) == 10
    assert sample != dev[:100]
    assert sample == sorted(sample, key=dev.index)
    backwards = dev_sample(dev[::-1], 100, 0)
    assert {example.id for example in backwards} == {example.id for example in sample}
    assert {example.id for example in dev_sample(dev, 100, 1)} != {example.id for example in sample}
    assert dev_sample(dev, 1000, 0) == dev_sample(dev, 2000, 0) == dev
    assert [len(dev_sample(labelled(101, 3), most, 0)) for most in range(1, 102)] == list(range(1, 102))


def test_accepted_answers_are_in_the_key_where_there_are_any() -> None:
    plain = Example("q", "Who?", (), "Ann")
    assert question_key(plain) == ("q", plain.text, "Ann")
    assert question_key(replace(plain, meta={"answers": ["Ann"]})) == question_key(plain)
    more = [question_key(replace(plain, meta={"answers": answers})) for answers in (["Ann", "Anne"], ["Ann", "A."])]
    assert len({str(key) for key in (*more, question_key(plain))}) == 3
    options = Example("q", "Who?", ("Ann", "Bo"), "Ann", meta={"answers": ["Anne"]})
    assert question_key(options) == ("q", options.text, "Ann")


@pytest.mark.parametrize(("dev", "same"), [(40, True), (100, True), (101, False), (600, False)])
def test_early_stopping_keeps_the_key_where_it_asks_the_same_dev_questions(dev: int, same: bool) -> None:
    from shrinklm.run.stages.train import _stopped_by

    recipe: Any = SimpleNamespace(train=SimpleNamespace(dev_questions=500), task=SimpleNamespace(seed=0))
    questions = labelled(dev)
    earlier = [(example.id, example.text, example.answer) for example in questions]
    assert (_stopped_by(recipe, questions) == earlier) == same
