"""Splits, shuffling, limits and duplicates."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from shrinklm.core.errors import RecipeError, TaskError, UnknownName
from shrinklm.core.types import SPLITS, Example, Task, digest
from shrinklm.tasks.base import TaskOptions, duplicates_across, make_task, question_key
from shrinklm.tasks.keys import question_keys

COLUMNS = {"id": "id", "question": "question", "choices": "choices", "answer": "answer"}
OPTIONS = ["rope", "lamp", "soap", "glue", "sand"]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def rows(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [
        {"id": f"r{n}", "question": f"What is number {n}?", "choices": OPTIONS, "answer": "rope"}
        for n in range(start, start + count)
    ]


def task(root: Path, data: list[dict[str, Any]], **more: Any) -> Task:
    write(root / "t.jsonl", data)
    return make_task("table", TaskOptions(train="t.jsonl", columns=COLUMNS, root=root, **more))


def ids(found: Task) -> dict[str, list[str]]:
    return {split: [example.id for example in found.examples(split)] for split in SPLITS}


def test_shares_are_seeded_disjoint_and_whole(tmp_path: Path) -> None:
    first = ids(task(tmp_path, rows(100), dev=0.25))
    assert [len(first[split]) for split in SPLITS] == [60, 20, 20]  # test is a fifth, dev a quarter of the rest
    assert sorted(name for found in first.values() for name in found) == sorted(row["id"] for row in rows(100))
    assert ids(task(tmp_path, rows(100), dev=0.25)) == first
    other = ids(task(tmp_path, rows(100), dev=0.25, seed=1))
    assert other["test"] != first["test"]
    assert ids(task(tmp_path, rows(100), dev=0.5))["test"] == first["test"]  # another dev share leaves test alone


def test_dev_is_a_tenth_unless_said(tmp_path: Path) -> None:
    assert [len(found) for found in ids(task(tmp_path, rows(100), test=0.0)).values()] == [90, 10, 0]
    assert [len(found) for found in ids(task(tmp_path, rows(100), test=0.0, dev=0)).values()] == [100, 0, 0]
    assert [len(found) for found in ids(task(tmp_path, rows(3), dev=0.1)).values()] == [1, 1, 1]


def test_files_for_dev_and_test(tmp_path: Path) -> None:
    write(tmp_path / "dev.jsonl", rows(3, 100))
    write(tmp_path / "test.jsonl", rows(4, 200))
    assert [len(found) for found in ids(task(tmp_path, rows(10), dev="dev.jsonl", test="test.jsonl")).values()] == [
        10,
        3,
        4,
    ]


def test_a_question_asked_twice_never_straddles_a_share(tmp_path: Path) -> None:
    data = [
        {**row, "question": f"  what is NUMBER {n // 4} ?" if n % 2 else f"What is number {n // 4}?"}
        for n, row in enumerate(rows(200))
    ]
    for seed in range(5):
        found = task(tmp_path, data, dev=0.3, test=0.3, seed=seed)
        keys = {split: {question_key(example) for example in found.examples(split)} for split in SPLITS}
        assert not keys["train"] & (keys["dev"] | keys["test"])
        assert not keys["dev"] & keys["test"]
        assert sum(len(found) for found in ids(found).values()) == 200
        assert duplicates_across(found) == []


def test_duplicates_across_files_are_found(tmp_path: Path) -> None:
    write(tmp_path / "test.jsonl", [{**rows(1)[0], "id": "x", "question": "what is number 3"}, *rows(2, 50)])
    found = duplicates_across(task(tmp_path, rows(10), dev=0, test="test.jsonl"))
    assert found == [{"question": "What is number 3?", "train": ["r3"], "test": ["x"]}]
    assert json.loads(json.dumps(found)) == found


def test_the_same_question_about_another_context_is_no_duplicate(tmp_path: Path) -> None:
    data = [{**row, "question": "What is it?", "scene": f"Scene {n}"} for n, row in enumerate(rows(10))]
    write(tmp_path / "t.jsonl", data)
    options = TaskOptions(train="t.jsonl", columns={**COLUMNS, "context": "scene"}, root=tmp_path)
    assert duplicates_across(make_task("table", options)) == []


def test_defect_05_the_gold_position_carries_no_signal(tmp_path: Path) -> None:
    found = list(task(tmp_path, rows(1500), dev=0, test=0.0).examples("train"))
    places = Counter(example.choices.index(example.answer) for example in found)  # (a) in every row of the file
    assert all(abs(places[place] / 1500 - 0.2) < 0.04 for place in range(5))


def test_order_leads_back_to_the_source(tmp_path: Path) -> None:
    for example in task(tmp_path, rows(30)).examples("train"):
        assert tuple(OPTIONS[place] for place in example.order) == example.choices


def test_an_order_depends_on_its_own_example_alone(tmp_path: Path) -> None:
    def orders(found: Task) -> dict[str, tuple[int, ...]]:
        return {example.id: example.order for split in SPLITS for example in found.examples(split)}

    many = orders(task(tmp_path, rows(40)))
    few = orders(task(tmp_path, rows(40)[10:20], dev=0))
    assert all(many[name] == order for name, order in few.items())
    assert orders(task(tmp_path, rows(40), seed=1)) != many
    assert set(orders(task(tmp_path, rows(40), shuffle=False)).values()) == {(0, 1, 2, 3, 4)}


def test_limit_is_a_seeded_sample_that_only_grows(tmp_path: Path) -> None:
    data = [
        {**row, "answer": OPTIONS[n // 40]} for n, row in enumerate(rows(200))
    ]  # sorted by answer, as files often are
    few, more = (ids(task(tmp_path, data, limit=limit)) for limit in (10, 20))
    for split in SPLITS:
        assert len(few[split]) == 10
        assert set(few[split]) <= set(more[split])
        assert more[split] == sorted(more[split], key=lambda name: int(name[1:]))
    assert len({example.answer for example in task(tmp_path, data, limit=10).examples("train")}) > 1
    assert [len(found) for found in ids(task(tmp_path, data, limit={"test": 5})).values()] == [144, 16, 5]


def test_ids_are_unique_within_a_task(tmp_path: Path) -> None:
    write(tmp_path / "test.jsonl", rows(1))
    with pytest.raises(TaskError, match=r"Two examples have the id 'r0': one in train, one in test.*leave `id` out"):
        ids(task(tmp_path, rows(5), dev=0, test="test.jsonl"))


@pytest.mark.parametrize("share", [{"dev": 1.0}, {"dev": -0.1}, {"test": 2}])
def test_a_share_is_below_one(tmp_path: Path, share: dict[str, float]) -> None:
    with pytest.raises(TaskError, match="a share of train lies from 0 to below 1"):
        task(tmp_path, rows(5), **share)


def test_names_of_tasks(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"No task is called 'csq'\. Did you mean 'csqa'"):
        make_task("csq", TaskOptions())
    with pytest.raises(RecipeError, match="is no task: expected a function"):
        make_task("shrinklm.core.types:SPLITS", TaskOptions())
    own = make_task("shrinklm.tasks.everyday:everyday", TaskOptions())
    assert own.name == "everyday"


MARKS = ["?", "", " — naïve\ncafé", " 银行", ' "x, y"', " ＡＢ_c", " ไทย", "\u2028", " İ"]


def test_ids_and_splits_are_those_that_stored_texts_were_written_for(tmp_path: Path) -> None:
    data = [
        {
            "question": f"Where is number {n // 2}{MARKS[n % 9]}",
            "scene": MARKS[n % 4],
            "choices": [f"a {n}", f"b{MARKS[n % 9]}"],
            "answer": f"a {n}",
        }
        for n in range(40)
    ]
    write(tmp_path / "t.jsonl", data)
    columns = {"question": "question", "context": "scene", "choices": "choices", "answer": "answer"}
    found = make_task("table", TaskOptions(train="t.jsonl", columns=columns, root=tmp_path, limit={"train": 12}))
    answers = {split: [int(example.answer[2:]) for example in found.examples(split)] for split in SPLITS}
    assert answers["train"] == [4, 6, 8, 11, 16, 17, 19, 20, 23, 26, 28, 39]
    assert answers["dev"] == [0, 1, 25]
    assert answers["test"] == [2, 14, 21, 24, 27, 34, 36, 37]
    assert ids(found)["dev"][0] == "5545dc606b6fd81227b983216b1b9c44"
    assert digest([id for names in ids(found).values() for id in names]) == "fedbaf663e74fed8c46cc06feae02e9f"


def test_keys_of_many_questions_are_those_of_each() -> None:
    examples = [
        Example(str(n), f" What's number\t{n}{MARKS[n % 9]}_x ", (), "", {"scene": MARKS[n % 5]} if n % 3 else {})
        for n in range(600)
    ]
    assert list(question_keys(examples)) == [question_key(example) for example in examples]
