"""The packaged questions: enough of them, well formed, balanced, none twice.

Their quality was checked blind (see the data card).
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations

import pytest

from shrinklm.core.types import SPLITS, Example, Task
from shrinklm.tasks.base import TaskOptions, duplicates_across, make_task
from shrinklm.tasks.everyday import FOLDER

WRITTEN = all((FOLDER / f"{split}.jsonl").is_file() for split in SPLITS)
pytestmark = pytest.mark.skipif(not WRITTEN, reason="the packaged data is not written yet")


@pytest.fixture(scope="module")
def task() -> Task:
    return make_task("everyday", TaskOptions(shuffle=False))


@pytest.fixture(scope="module")
def examples(task: Task) -> list[Example]:
    return [example for split in SPLITS for example in task.examples(split)]


def test_enough_questions(task: Task) -> None:
    for split, least in zip(SPLITS, (400, 100, 200), strict=True):
        assert len(list(task.examples(split))) >= least


def test_five_different_choices_and_an_explanation(examples: list[Example]) -> None:
    for example in examples:
        assert len({choice.casefold() for choice in example.choices}) == len(example.choices) == 5, example.id
        assert example.answer in example.choices, example.id
        assert len(example.meta["explanation"].split()) >= 5, example.id
        assert example.meta["explanation"][-1] in ".!?", example.id


def test_gold_positions_are_balanced(task: Task) -> None:
    for split in SPLITS:
        found = list(task.examples(split))
        places = Counter(example.choices.index(example.answer) for example in found)
        for place in range(5):
            assert abs(places[place] / len(found) - 0.2) <= 0.04, (split, place)


def test_no_two_questions_are_alike(task: Task, examples: list[Example]) -> None:
    words = {example.id: frozenset(re.findall(r"\w+", example.question.casefold())) for example in examples}
    for (one, first), (other, second) in combinations(words.items(), 2):
        assert len(first & second) / len(first | second) < 0.6, (one, other)
    assert duplicates_across(task) == []


def test_every_answer_reads_back(task: Task, examples: list[Example]) -> None:
    for example in examples:
        for choice in example.choices:
            assert task.parse(f"The answer is {choice}.", example) == choice
