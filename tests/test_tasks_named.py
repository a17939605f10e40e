"""Every named task on tiny files laid out and typed as on the hub: no network, no configuration."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shrinklm.core.errors import TaskError
from shrinklm.core.registry import names
from shrinklm.core.types import SPLITS, Example, Split, Task
from shrinklm.tasks.base import TaskOptions, duplicates_across, make_task

GOLDEN = Path(__file__).parent / "golden" / "tasks.txt"
Rows = list[dict[str, Any]]

WORDS = ["bread", "stone", "cloud", "spoon", "river", "chair"]


def choice_rows(tag: str, question: str, labels: list[str], key: str = "question") -> Rows:
    return [
        {
            "id": f"{tag}-{n}",
            key: f"{question} number {n} of {tag}?",
            "choices": {"text": [WORDS[(n + k) % 6] for k in range(len(labels))], "label": labels},
            "answerKey": labels[n % len(labels)],
        }
        for n in range(6)
    ]


def nli_rows(tag: str, **more: str) -> Rows:
    return [
        {
            "premise": f"A cook stirs pot {n} of {tag}.",
            "hypothesis": f"Somebody cooks {n}.",
            "label": n % 3,
            **{k: f"{v} {n} {tag}" for k, v in more.items()},
        }
        for n in range(6)
    ]


def yes_rows(tag: str, **more: Any) -> Rows:
    return [{"question": f"does pot {n} of {tag} hold soup", "answer": n % 2 == 0, **more} for n in range(6)]


def strategy_rows(tag: str) -> Rows:
    return [
        {**row, "qid": f"{tag}-{n}", "term": "Pot", "description": "vessel", "facts": "Pots hold soup."}
        for n, row in enumerate(yes_rows(tag))
    ]


def svamp_rows(tag: str) -> Rows:
    return [
        {
            "ID": f"chal-{tag}-{n}",
            "Body": f"Mia has {n + 3} eggs in the {tag} basket. She boils 2",
            "Question": "How many eggs stay raw?",
            "Equation": f"( {n + 3}.0 - 2.0 )",
            "Answer": str(n + 1),
            "Type": "Subtraction",
            "question_concat": "",
        }
        for n in range(6)
    ]


def squad_rows(tag: str) -> Rows:
    return [
        {
            "id": f"{tag}-{n}",
            "title": "Soup",
            "context": f"In {tag} kitchen {n} the soup cooks for two hours.",
            "question": "How long does it cook?",
            "answers": {"text": ["two hours", "for two hours"], "answer_start": [30, 26]},
        }
        for n in range(6)
    ]


def everyday_rows(tag: str) -> Rows:
    return [
        {
            "id": f"{tag}-{n}",
            "question": f"What does cook {n} of {tag} stir with?",
            "choices": WORDS[:5],
            "answer": "spoon",
            "explanation": f"A spoon reaches into pot {n}.",
        }
        for n in range(6)
    ]


def sharded(name: str) -> str:
    return f"{name}-00000-of-00001.parquet"


LETTERS = ["A", "B", "C", "D", "E"]
HUB: dict[str, tuple[str, dict[str, Rows]]] = {
    "csqa": (
        "tau/commonsense_qa/data",
        {sharded(s): choice_rows(s, "What is baked", LETTERS) for s in ("train", "validation")},
    ),
    "strategyqa": ("ChilleD/StrategyQA", {f"data/{sharded(s)}": strategy_rows(s) for s in ("train", "test")}),
    "esnli": (
        "esnli/esnli/plain_text",
        {
            f"{s}/0000.parquet": nli_rows(s, explanation_1="Stirring is cooking", explanation_2="", explanation_3="")
            for s in ("train", "validation", "test")
        },
    ),
    "anli": (
        "facebook/anli/plain_text",
        {
            sharded(f"{s}_r{r}"): nli_rows(f"{s}{r}", uid=f"{s}{r}", reason="It says so")
            for s in ("train", "dev", "test")
            for r in (1, 2, 3)
        },
    ),
    "mnli": (
        "nyu-mll/multi_nli/data",
        {sharded(s): nli_rows(s, genre="fiction") for s in ("train", "validation_matched", "validation_mismatched")},
    ),
    "boolq": (
        "google/boolq/data",
        {sharded(s): yes_rows(s, passage=f"A {s} pot often holds soup.") for s in ("train", "validation")},
    ),
    "svamp": ("ChilleD/SVAMP/data", {sharded(s): svamp_rows(s) for s in ("train", "test")}),
    "arc": (
        "allenai/ai2_arc",
        {
            f"{c}/{sharded(s)}": choice_rows(f"{c}{s}", "What melts", list("1234"))
            for c in ("ARC-Challenge", "ARC-Easy")
            for s in ("train", "validation", "test")
        },
    ),
    "openbookqa": (
        "allenai/openbookqa",
        {
            f"{c}/{sharded(s)}": choice_rows(f"{c}{s}", "What floats", list("ABCD"), "question_stem")
            for c in ("main", "additional")
            for s in ("train", "validation", "test")
        },
    ),
    "squad": ("rajpurkar/squad/plain_text", {sharded(s): squad_rows(s) for s in ("train", "validation")}),
}
TYPES = {
    "strategyqa": "yesno",
    "boolq": "yesno",
    "esnli": "nli",
    "anli": "nli",
    "mnli": "nli",
    "svamp": "free",
    "squad": "free",
}
OWN_DEV = {"esnli", "anli", "arc", "openbookqa", "everyday"}
TEST_TAG = {
    "csqa": "validation",
    "boolq": "validation",
    "squad": "validation",
    "mnli": "validation_matched",
    "anli": "test1",
    "arc": "ARC-Challengetest",
}


def write(path: Path, rows: Rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hub")
    for folder, files in HUB.values():
        for name, rows in files.items():
            write(root / folder / name, rows)
    write(
        root / "table.jsonl",
        [{"text": f"Why stir pot {n}?", "a": "to mix it", "b": "to eat it", "right": "a"} for n in range(6)],
    )
    for split in SPLITS:
        write(root / "everyday" / f"{split}.jsonl", everyday_rows(split))
    return root


def options(name: str, hub: Path, **more: Any) -> TaskOptions:
    files = {split: f"everyday/{split}.jsonl" for split in SPLITS} if name == "everyday" else {}
    return TaskOptions(root=hub, **{**files, **more})


def splits(task: Task) -> dict[Split, list[Example]]:
    return {split: list(task.examples(split)) for split in SPLITS}


NAMED = [name for name in names("tasks") if name != "table"]


def test_every_named_task_is_tested() -> None:
    assert sorted(NAMED) == sorted([*HUB, "everyday"])


@pytest.mark.parametrize("name", NAMED)
def test_named_task_reads_its_hub_format(name: str, hub: Path) -> None:
    task = make_task(name, options(name, hub))
    found = splits(task)
    assert task.name == name
    assert task.type == TYPES.get(name, "choice")
    assert [len(found[split]) for split in SPLITS] == ([6, 6, 6] if name in OWN_DEV else [5, 1, 6])
    for example in (*found["train"], *found["dev"], *found["test"]):
        assert "None" not in example.text
        if example.choices:
            assert example.answer in example.choices
            assert sorted(example.order) == list(range(len(example.choices)))
            assert task.parse(f"The answer is {example.answer}.", example) == example.answer
    tag = TEST_TAG.get(name, "test")
    assert any(tag in f"{example.id} {example.text}" for example in found["test"])
    assert not duplicates_across(task)


def test_official_splits_are_the_right_ones(hub: Path) -> None:
    tested = {
        name: next(iter(make_task(name, options(name, hub)).examples("test")))
        for name in ("anli", "mnli", "arc", "openbookqa")
    }
    assert "test1" in tested["anli"].text
    assert "of validation_matched." in tested["mnli"].text
    assert tested["arc"].id.startswith("ARC-Challengetest")
    assert tested["openbookqa"].id.startswith("maintest")


def test_labels_become_texts(hub: Path) -> None:
    csqa = {example.id: example for example in make_task("csqa", options("csqa", hub)).examples("test")}
    assert csqa["validation-2"].answer == WORDS[4]  # label C of the third row
    nli = [example.answer for example in make_task("mnli", options("mnli", hub)).examples("test")]
    assert nli[:3] == ["entailment", "neutral", "contradiction"]
    assert [example.answer for example in make_task("strategyqa", options("strategyqa", hub)).examples("test")][:2] == [
        "yes",
        "no",
    ]


def test_defect_02_yes_and_no_are_what_the_source_says(hub: Path) -> None:
    for name in ("strategyqa", "boolq"):
        for example in make_task(name, options(name, hub)).examples("test"):
            even = int(next(word for word in example.question.split() if word.isdigit())) % 2 == 0
            assert example.answer == ("yes" if even else "no")
            assert example.wrong == ("no" if even else "yes",)


def test_fixed_labels_are_never_shuffled(hub: Path) -> None:
    for name, choices in (("strategyqa", ("yes", "no")), ("anli", ("entailment", "neutral", "contradiction"))):
        for example in make_task(name, options(name, hub, seed=5)).examples("train"):
            assert example.choices == choices
            assert example.order == tuple(range(len(choices)))


def test_defect_08_esnli_has_the_human_explanations(hub: Path) -> None:
    for name in ("esnli", "anli", "strategyqa", "everyday"):
        for example in make_task(name, options(name, hub)).examples("test"):
            assert example.meta["explanation"]
            assert example.meta["explanation"] not in example.text


def test_squad_keeps_every_gold_answer(hub: Path) -> None:
    task = make_task("squad", options("squad", hub))
    example = next(iter(task.examples("test")))
    assert example.answer == "two hours"
    assert example.meta["answers"] == ["two hours", "for two hours"]
    assert task.parse("The answer is about two hours.", example) == "about two hours"


def test_svamp_answers_are_numbers(hub: Path) -> None:
    task = make_task("svamp", options("svamp", hub))
    example = next(iter(task.examples("test")))
    assert task.parse(f"The answer is {example.answer}.0 eggs.", example) == example.answer


def test_local_files_for_a_named_task(hub: Path, tmp_path: Path) -> None:
    write(tmp_path / "mine.jsonl", choice_rows("mine", "What is cut", LETTERS))
    task = make_task("csqa", TaskOptions(train=str(tmp_path / "mine.jsonl"), dev=0.34, root=hub))
    found = splits(task)
    assert [len(found[split]) for split in SPLITS] == [
        4,
        2,
        6,
    ]  # dev out of the user's rows, test still the official one
    assert {example.id.split("-")[0] for example in found["test"]} == {"validation"}


def test_a_folder_is_taken_as_a_copy_of_the_data_set(hub: Path) -> None:
    task = make_task("arc", TaskOptions(train="ai2_arc", root=hub / "allenai"))
    assert [example.id.split("-")[1] for example in task.examples("dev")] == ["Challengevalidation"] * 6


def test_limit_and_dev_of_a_task_with_fixed_splits(hub: Path) -> None:
    few = make_task("everyday", options("everyday", hub, limit={"train": 2, "test": 3}))
    assert [len(list(few.examples(split))) for split in SPLITS] == [2, 6, 3]
    share = make_task("everyday", options("everyday", hub, dev=0.5))
    assert [len(list(share.examples(split))) for split in SPLITS] == [3, 3, 6]


def test_hidden_labels_are_an_error(tmp_path: Path) -> None:
    rows = choice_rows("t", "What is baked", LETTERS)
    write(tmp_path / "test.parquet", [{**row, "answerKey": ""} for row in rows])
    write(tmp_path / "train.parquet", rows)
    task = make_task("csqa", TaskOptions(train="train.parquet", test="test.parquet", root=tmp_path))
    with pytest.raises(TaskError, match=r"test\.parquet, row 1, column 'answerKey' is empty.*hidden"):
        list(task.examples("train"))


def test_golden_texts(hub: Path) -> None:
    """One example of every task as text. After a wanted change: UPDATE_GOLDEN=1 pytest tests/test_tasks_named.py."""
    shown = []
    columns = {"question": "text", "choices": ["a", "b"], "answer": "right"}
    for name in names("tasks"):
        table = {"train": "table.jsonl", "columns": columns} if name == "table" else {}
        example = next(iter(make_task(name, options(name, hub, **table)).examples("test")))
        shown.append(f"== {name}\n{example.text}\n-> {example.answer}\n")
    text = "\n".join(shown)
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def official(root: Path, name: str, file: str, content: str, **more: Any) -> list[Example]:
    """The examples of a file as its authors publish it."""
    (root / file).write_text(content, encoding="utf-8")
    return list(
        make_task(name, TaskOptions(train=file, root=root, dev=0.0, test=0.0, shuffle=False, **more)).examples("train")
    )


def nested(question: str, labels: str, key: str) -> str:
    choices = [{"text": word, "label": label} for word, label in zip(WORDS, labels, strict=False)]
    return json.dumps({"id": "x1", "question": {"stem": question, "choices": choices}, "answerKey": key}) + "\n"


def test_official_files_of_multiple_choice(tmp_path: Path) -> None:
    for name, labels, key in (
        ("csqa", "ABCDE", "C"),
        ("arc", "ABCD", "C"),
        ("arc", "1234", "3"),
        ("openbookqa", "ABCD", "C"),
    ):
        (found,) = official(tmp_path, name, "train.jsonl", nested("What floats?", labels, key))
        assert (found.id, found.question, found.answer) == ("x1", "What floats?", "cloud")
        assert found.choices == tuple(WORDS[: len(labels)])
    with pytest.raises(TaskError, match="column 'answerKey'"):
        official(
            tmp_path, "csqa", "test_rand.jsonl", nested("What floats?", "ABCDE", "").replace(', "answerKey": ""', "")
        )


def test_official_tables_with_options_in_the_text(tmp_path: Path) -> None:
    arc = (
        "questionID,originalQuestionID,AnswerKey,question,category\n"
        'M1,1,C,"Which (of these) melts? (A) iron (B) a stone (C) ice, now (D) wood",Test\n'
        'M2,2,2,"Which floats? (1) iron (2) wood",Test\n'
    )
    found = official(tmp_path, "arc", "ARC-Challenge-Train.csv", arc)
    assert [(e.id, e.question, e.choices, e.answer) for e in found] == [
        ("M1", "Which (of these) melts?", ("iron", "a stone", "ice, now", "wood"), "ice, now"),
        ("M2", "Which floats?", ("iron", "wood"), "wood"),
    ]
    book = "ID\tQuestion Stem\tChoices\tComplete Question\tAnswer Key\n7-1\tIce is\t(A) hot (B) cold\tIce is (A)\tB\n"
    (one,) = official(tmp_path, "openbookqa", "train.tsv", book)
    assert (one.question, one.choices, one.answer) == ("Ice is", ("hot", "cold"), "cold")


def test_official_files_of_squad(tmp_path: Path) -> None:
    qas = [
        {
            "id": "a",
            "question": "How long?",
            "answers": [{"text": "two hours", "answer_start": 3}],
            "is_impossible": False,
        },
        {"id": "b", "question": "Who cooks?", "answers": [], "plausible_answers": [], "is_impossible": True},
    ]
    data = {
        "version": "v2.0",
        "data": [{"title": "Soup", "paragraphs": [{"context": "It cooks two hours.", "qas": qas}]}],
    }
    found = official(tmp_path, "squad", "train-v2.0.json", json.dumps(data))
    assert [(e.id, e.question, e.fields["context"], e.answer) for e in found] == [
        ("a", "How long?", "It cooks two hours.", "two hours"),
        ("b", "Who cooks?", "It cooks two hours.", "unanswerable"),
    ]
    answered = official(tmp_path, "squad", "train-v2.0.json", json.dumps(data), where={"is_impossible": {"not": True}})
    assert [e.id for e in answered] == ["a"]
    data["data"][0]["paragraphs"] = [{"text": "no questions"}]  # type: ignore[index]
    with pytest.raises(TaskError, match="the paragraphs are not as in SQuAD's own files"):
        official(tmp_path, "squad", "train-v2.0.json", json.dumps(data))


def test_official_files_of_inference(tmp_path: Path) -> None:
    anli = "".join(
        json.dumps({"uid": f"u{n}", "context": "A pot.", "hypothesis": f"H{n}", "label": label, "reason": "It says so"})
        + "\n"
        for n, label in enumerate("cne")
    )
    found = official(tmp_path, "anli", "train.jsonl", anli)
    assert [e.answer for e in found] == ["contradiction", "neutral", "entailment"]
    assert dict(found[0].fields) == {"premise": "A pot.", "hypothesis": "H0"}
    tsv = 'gold_label\tsentence1\tsentence2\tlabel1\n-\tA "pot\tno gold\tneutral\nneutral\tA "pot\tB\tneutral\n'
    for name, file in (("mnli", "train.tsv"), ("mnli", "multinli_1.0_train.txt"), ("esnli", "snli_1.0_dev.txt")):
        (one,) = official(tmp_path, name, file, tsv)
        assert (one.answer, dict(one.fields)) == ("neutral", {"premise": 'A "pot', "hypothesis": "B"})
    lines = '{"gold_label": "-", "sentence1": "a", "sentence2": "b", "annotator_labels": ["neutral", "entailment"]}\n'
    kept = official(tmp_path, "mnli", "train.jsonl", lines + lines.replace('"-"', '"entailment"'))
    assert [e.answer for e in kept] == ["entailment"]
    esnli = "pairID,gold_label,Sentence1,Sentence2,Explanation_1\nx#1,contradiction,A,B,Because.\n"
    (told,) = official(tmp_path, "esnli", "esnli_train_1.csv", esnli)
    assert (told.answer, told.meta["explanation"]) == ("contradiction", "Because.")
    hub = [{"premise": "A", "hypothesis": f"B{n}", "label": label} for n, label in enumerate((-1, 0, 2))]
    plain = official(tmp_path, "esnli", "snli.jsonl", "".join(json.dumps(row) + "\n" for row in hub))
    assert [e.answer for e in plain] == ["entailment", "contradiction"]


def test_official_facts_of_strategyqa_are_one_explanation(tmp_path: Path) -> None:
    row = {"qid": "q1", "question": "Do pots float?", "answer": False, "facts": ["Pots are iron.", "Iron sinks."]}
    (found,) = official(tmp_path, "strategyqa", "strategyqa_train.json", json.dumps([row]))
    assert (found.answer, found.meta["explanation"]) == ("no", "Pots are iron. Iron sinks.")
