"""Runs: what is in the folder, what is skipped, what is refused, and that the same recipe gives the same numbers."""

from __future__ import annotations

import importlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file

import shrinklm
from shrinklm import Recipe, Run, open_run
from shrinklm.core.errors import MethodError, StoreError, StudentError
from shrinklm.core.results import read_predictions
from shrinklm.core.types import Completion, Example, Pair, Prompt, Reply, Sampling
from shrinklm.methods.view import Draw, Method, View
from shrinklm.run import once
from shrinklm.run.stages import evaluate as evaluate_stage
from shrinklm.run.stages import train as train_stage
from shrinklm.students.base import BaseStudent
from shrinklm.students.causal import CausalStudent
from shrinklm.teachers.fake import FakeTeacher

CLOCK = {
    "seconds",
    "train_seconds",
    "started",
    "answer_seconds",
    "explain_seconds",
    "tokens_per_second",
    "latency_ms",
    "created",
    "root",
}
"""What two runs of one recipe do not share: times, and where they stand."""
BLOCKS: dict[str, Any] = {
    "name": "r",
    "task": {"use": "everyday", "limit": {"train": 14, "dev": 5, "test": 6}},
    "teacher": {"use": "fake"},
    "generate": ["explanation", "critique", "revision", "counterfactual", "label"],
    "methods": ["finetune", "multitask+counterfactual:revised=explain", "explain-then-answer"],
    "student": "tiny",
    "train": {"examples": 24, "batch": 8, "micro_batch": 4, "learning_rate": 1e-3, "curve": 2, "checkpoints": 2},
    "evaluate": {"batch": 8, "max_tokens": 12},
}
METHODS = ["finetune", "multitask+counterfactual_revised=explain", "explain-then-answer"]


def recipe(root: Path, **changes: Any) -> Recipe:
    """The recipe in `root`; a dictionary changes a block, anything else takes its place."""
    blocks = {**BLOCKS, "root": root}
    for name, change in changes.items():
        old = blocks.get(name)
        blocks[name] = {**old, **change} if isinstance(old, dict) and isinstance(change, dict) else change
    return Recipe.parse(blocks)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with everything done."""
    run = Run(recipe(tmp_path_factory.mktemp("finished")))
    run.all()
    return run


@pytest.fixture
def copied(finished: Run, tmp_path: Path) -> Path:
    """A root that holds a copy of the finished run and its store."""
    return Path(shutil.copytree(finished.recipe.root, tmp_path / "root"))


@pytest.fixture
def quick(tmp_path: Path) -> Any:
    """Makes a small run of one student in a root of its own."""

    def make(place: str = "quick", **changes: Any) -> Run:
        small = {
            "teacher": None,
            "generate": [],
            "methods": ["finetune"],
            "train": {"examples": 16, "seeds": [0], "curve": 0},
        }
        return Run(recipe(tmp_path / place, **{**small, **changes}))

    return make


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


# What stands in the folder


def test_the_folder_holds_what_it_should(finished: Run) -> None:
    names = {path.name for path in finished.folder.iterdir()}
    asked = {"recipe.yaml", "env.json", "data.json", "generations.json", "audit.json", "done", "examples.parquet"}
    assert names == asked | {"cells", "report", "report.html", "report.md"}
    trained = {f"{method}--tiny--s0" for method in METHODS}
    assert {path.name for path in (finished.folder / "cells").iterdir()} == trained | {"zero-shot--tiny--s0"}
    common = {"cell.json", "predictions.parquet", "scores.parquet", "timing.json", "done"}
    for cell in (finished.folder / "cells").iterdir():
        learnt = {"pairs.jsonl", "train.jsonl", "student", "dev_predictions.parquet", "calibration.json"}
        more = learnt if cell.name in trained else set()
        assert {path.name for path in cell.iterdir()} == common | more
        assert {path.name for path in (cell / "done").iterdir()} == {"predict", "evaluate"} | (
            {"train", "ask-dev", "calibrate"} if more else set()
        )


def test_no_pickle_is_left(finished: Run) -> None:
    files = [path for path in finished.recipe.root.rglob("*") if path.is_file()]
    assert {path.suffix for path in files if "student" in path.parts} == {".safetensors", ".json"}
    for path in files:
        assert path.suffix not in {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"}, path
        assert path.read_bytes()[:2] not in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK"), path


def test_what_is_said_about_the_data(finished: Run) -> None:
    data = read(finished.folder / "data.json")
    sizes = {"train": 14, "dev": 5, "test": 6}
    train, tests = finished.splits["train"], finished.splits["test"]
    common = Counter(example.choices.index(example.answer) for example in train).most_common(1)[0][0]
    majority = sum(example.choices[common] == example.answer for example in tests) / 6
    assert data == {
        "task": "everyday",
        "type": "choice",
        **sizes,
        "duplicates": [],
        "held_out": 0,
        "majority": majority,
        "random": pytest.approx(0.2),
    }


def test_questions_that_stand_in_two_splits_are_told(tmp_path: Path, quick: Any) -> None:
    rows = [
        {"id": f"r{i}", "question": f"Which {i}?", "choices": ["rope", "lamp"], "answer": "rope"} for i in range(10)
    ]
    root = tmp_path / "quick"
    root.mkdir()
    (root / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    again = [{**row, "id": f"{row['id']}t", "question": str(row["question"]).upper()} for row in rows[:2]]
    (root / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in again))
    columns = {name: name for name in ("id", "question", "choices", "answer")}
    run = quick(
        task={
            "use": "table",
            "train": "train.jsonl",
            "test": "test.jsonl",
            "dev": 0.0,
            "columns": columns,
            "limit": None,
        }
    )
    run.start()
    data = read(run.folder / "data.json")
    assert [(entry["train"], entry["test"]) for entry in data["duplicates"]] == [(["r0"], ["r0t"]), (["r1"], ["r1t"])]
    assert (data["random"], data["majority"]) == (0.5, pytest.approx(data["majority"]))


def test_what_is_said_about_the_generations(finished: Run) -> None:
    found = read(finished.folder / "generations.json")
    assert (found["teacher"], found["revision"]) == ("fake", "1")
    steps = {"explanation": 14, "critique": 14, "revision": 14, "counterfactual": 56, "label": None, "label (test)": 6}
    assert {name: step["asked"] for name, step in found["steps"].items()} == {
        name: count for name, count in steps.items() if count
    }
    for step in found["steps"].values():
        assert step["kept"] == step["asked"]
        assert step.keys() >= {"found", "asked", "kept", "refused", "tokens_in", "tokens_out", "seconds", "cost"}


def test_teacher_accuracy_is_that_of_its_own_answers_on_test(tmp_path: Path) -> None:
    # Among so many questions the teacher is wrong about one.
    run = Run(
        recipe(tmp_path, task={"limit": {"train": 14, "dev": 5, "test": 14}}, generate=["label"], methods=["finetune"])
    )
    run.generate()
    teacher = FakeTeacher()
    tests = run.splits["test"]
    right = [f"The answer is {example.answer}." in said(teacher, example) for example in tests]
    assert 0 < sum(right) < len(right)
    accuracy = read(run.folder / "generations.json")["teacher_accuracy"]
    assert accuracy == {"split": "test", "value": sum(right) / len(right), "n": 14}


def said(teacher: FakeTeacher, example: Example) -> str:
    return next(teacher.complete([Prompt((), example, "label", "")], Sampling()))[1].text


def test_the_test_questions_are_kept_as_they_were_asked(finished: Run) -> None:
    rows = pq.read_table(finished.folder / "examples.parquet").to_pylist()
    for row, example in zip(rows, finished.splits["test"], strict=True):
        assert row == {
            "id": example.id,
            "question": example.question,
            "choices": list(example.choices),
            "answer": example.answer,
            "fields": "{}",
            "reference": example.meta["explanation"],
            "teacher": "task",
        }


def test_what_is_said_about_a_cell(finished: Run) -> None:
    folder = finished.folder / "cells" / f"{METHODS[1]}--tiny--s0"
    cell = read(folder / "cell.json")
    views = ["predict", "explain", "factual", "counterfactual"]
    weights = load_file(folder / "student" / "model.safetensors")
    assert (cell["cell"], cell["method"], cell["student"], cell["seed"]) == (
        folder.name,
        finished.recipe.methods[1],
        "tiny",
        0,
    )
    assert (cell["examples_seen"], cell["batch"], cell["micro_batch"], cell["steps"], cell["diverged"]) == (
        24,
        8,
        4,
        3,
        False,
    )
    assert cell["pairs"] == dict.fromkeys(views, 24)
    assert cell["unbuilt"] == {}
    assert cell["parameters"] == sum(weight.numel() for weight in weights.values())
    assert cell["bytes"] == (folder / "student" / "model.safetensors").stat().st_size
    rows = [json.loads(line) for line in (folder / "pairs.jsonl").read_text().splitlines()]
    assert Counter(row["view"] for row in rows) == dict.fromkeys(views, 14)
    assert all(row.keys() == {"view", "weight", "example_id", "option", "prompt", "target"} for row in rows)
    lines = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    assert [(line["step"], line["examples"]) for line in lines if "loss" in line] == [(1, 8), (2, 16), (3, 24)]
    assert [(line["step"], line["dev_n"]) for line in lines if "dev_accuracy" in line] == [(2, 5), (3, 5)]
    timing = read(folder / "timing.json")
    assert timing.keys() == {
        "questions", "answer_seconds", "explain_seconds", "tokens_out", "tokens_per_second", "latency_ms", "latency_n"
    }  # fmt: skip
    zero = read(finished.folder / "cells" / "zero-shot--tiny--s0" / "cell.json")
    assert (zero["examples_seen"], zero["steps"], zero["pairs"], zero["parameters"]) == (0, 0, {}, cell["parameters"])


def test_every_question_is_answered_and_scored_in_every_cell(finished: Run) -> None:
    ids = {example.id for example in finished.splits["test"]}
    for folder in (finished.folder / "cells").iterdir():
        predictions = pq.read_table(folder / "predictions.parquet").to_pylist()
        assert {row["example_id"] for row in predictions} == ids
        assert {row["run"] for row in predictions} == {folder.name}
        explained = not folder.name.startswith("finetune")
        assert all((row["explanation"] is not None) == explained for row in predictions)
        scores = pq.read_table(folder / "scores.parquet").to_pylist()
        for metric in ("accuracy", "accuracy_likelihood", "unparsed"):
            assert {row["example_id"] for row in scores if row["metric"] == metric} == ids
        assert {row["rater"] for row in scores} == {None}


# What is skipped, what is refused


def test_what_is_done_is_skipped(finished: Run, copied: Path) -> None:
    before = snapshot(copied / "runs" / "r" / "cells")
    Run(recipe(copied)).all()
    assert snapshot(copied / "runs" / "r" / "cells") == before
    assert read(copied / "runs" / "r" / "generations.json")["steps"]["counterfactual"]["asked"] == 0


def test_other_metrics_only_score_again(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BaseStudent, "__init__", lambda *_, **__: pytest.fail("asked again"))
    before = snapshot(copied / "runs" / "r" / "cells")
    Run(recipe(copied, evaluate={"metrics": ["accuracy"]})).evaluate()
    after = snapshot(copied / "runs" / "r" / "cells")
    changed = {Path(name).name for name in before if before[name] != after[name]}
    assert changed == {"scores.parquet", "evaluate"}
    scores = pq.read_table(copied / "runs" / "r" / "cells" / "finetune--tiny--s0" / "scores.parquet")
    assert set(scores["metric"].to_pylist()) == {"accuracy"}


def test_another_cap_asks_again_and_trains_nothing(copied: Path) -> None:
    before = snapshot(copied / "runs" / "r" / "cells")
    Run(recipe(copied, evaluate={"max_tokens": 2})).evaluate()
    after = snapshot(copied / "runs" / "r" / "cells")
    changed = {Path(name).name for name in before if before[name] != after[name]}
    asked = {"predictions.parquet", "timing.json", "cell.json", "predict", "scores.parquet", "evaluate"}
    assert changed == asked | {"dev_predictions.parquet", "calibration.json", "ask-dev", "calibrate"}
    assert {Path(name).parts[0] for name in before if before[name] != after[name] and name.endswith("cell.json")} == {
        "zero-shot--tiny--s0"
    }


def test_fewer_explanations_throw_none_away_and_more_ask_for_those_alone(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied / "runs" / "r" / "cells" / f"{METHODS[1]}--tiny--s0"
    whole = pq.read_table(folder / "predictions.parquet").to_pylist()
    Run(recipe(copied, evaluate={"explanations": 2})).evaluate()
    assert pq.read_table(folder / "predictions.parquet").to_pylist() == whole
    (folder / "done" / "predict").unlink()
    Run(recipe(copied, evaluate={"explanations": 2})).evaluate()
    few = pq.read_table(folder / "predictions.parquet").to_pylist()
    assert [row["explanation"] is None for row in few] == [False] * 2 + [True] * (len(few) - 2)
    prompts: list[str] = []
    asked = CausalStudent.replies

    def listening(self: Any, texts: Sequence[str], *rest: Any, **more: Any) -> list[Reply]:
        prompts.extend(texts)
        return asked(self, texts, *rest, **more)

    monkeypatch.setattr(CausalStudent, "replies", listening)
    Run(recipe(copied)).evaluate()
    assert prompts
    assert all(prompt.endswith("[explain]") for prompt in prompts)
    assert pq.read_table(folder / "predictions.parquet").to_pylist() == whole, "as if asked in one go"


SHOWN: Counter[tuple[str, str, int]] = Counter()


def _counted(view: View, example: Example, generations: Any, draw: Draw) -> Pair:
    SHOWN[view.name, example.id, draw.epoch] += 1
    return Pair(view.prompt(example), view.states(example.answer), example.answer)


COUNTING = Method("counting", {View("one", _counted): 0.5, View("two", _counted): 0.5}, View("one", _counted), None)


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_training_builds_each_pair_of_an_epoch_at_most_twice(quick: Any, epochs: int) -> None:
    limit = {"train": 40, "dev": 2, "test": 2}
    train = {"examples": 40 * epochs, "batch": 8}
    SHOWN.clear()
    quick(methods=[f"{__name__}:COUNTING"], task={"limit": limit}, train=train).train()
    assert len(SHOWN) == 2 * 40 * epochs
    assert max(SHOWN.values()) <= 2


@pytest.mark.parametrize("stage", ["generate", "train", "evaluate", "all"])
@pytest.mark.parametrize(
    "change",
    [
        {"train": {"learning_rate": 2e-3}},
        {"train": {"examples": 32}},
        {"student": {"use": "tiny", "keep_every": 2}},
        {"task": {"seed": 5}},
    ],
    ids=["learning rate", "examples", "student", "data"],
)
def test_a_changed_recipe_overwrites_nothing(copied: Path, change: dict[str, Any], stage: str) -> None:
    before = snapshot(copied)
    with pytest.raises(
        StoreError, match=r"trained from another recipe .* nothing is overwritten\. Give the recipe a new `name`"
    ):
        getattr(Run(recipe(copied, **change)), stage)()
    assert {name: content for name, content in snapshot(copied).items() if not name.startswith(".shrinklm")} == {
        name: content for name, content in before.items() if not name.startswith(".shrinklm")
    }


def test_what_changes_no_weight_is_no_other_recipe(copied: Path) -> None:
    before = snapshot(copied / "runs" / "r" / "cells")
    harmless = {"curve": 0, "checkpoints": 3, "micro_batch": 8}
    Run(recipe(copied, train=harmless, methods=["finetune"])).train()
    assert snapshot(copied / "runs" / "r" / "cells") == before


def test_other_words_of_the_teacher_are_another_training(copied: Path) -> None:
    class Other(FakeTeacher):
        def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
            for place, completion in super().complete(prompts, sampling):
                yield place, Completion("Indeed. " + completion.text, 1, 1)

    for path in (copied / ".shrinklm").iterdir():
        path.unlink()
    run = Run(recipe(copied, methods=["explain-then-answer"]), teacher=Other())
    with pytest.raises(StoreError, match="or other generations"):
        run.all()


def test_a_training_of_something_else_that_was_never_finished_is_no_beginning(quick: Any) -> None:
    def killed(what: str, done: int, total: int, note: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    run = quick(train={"examples": 32, "checkpoints": 4, "seeds": [0]})
    run.tick = killed
    with pytest.raises(KeyboardInterrupt):
        run.train()
    (cell,) = (run.folder / "cells").iterdir()
    assert (cell / "checkpoints" / "checkpoint-1").exists()
    other = {"examples": 32, "checkpoints": 4, "seeds": [0], "learning_rate": 5e-3}
    quick(train=other).train()
    quick("elsewhere", train=other).train()
    (apart,) = (run.folder.parents[2] / "elsewhere" / "runs" / "r" / "cells").iterdir()
    assert (cell / "student" / "model.safetensors").read_bytes() == (
        apart / "student" / "model.safetensors"
    ).read_bytes()
    lines = [json.loads(line) for line in (cell / "train.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4]


def test_what_a_kill_after_the_last_word_left_is_cleared(copied: Path) -> None:
    cell = copied / "runs" / "r" / "cells" / "finetune--tiny--s0"
    (cell / "checkpoints" / "checkpoint-3").mkdir(parents=True)
    (cell / "started").write_text("x")
    Run(recipe(copied)).train()
    assert not (cell / "checkpoints").exists()
    assert not (cell / "started").exists()


# What is missing


def test_generations_that_were_not_asked_for_are_named(tmp_path: Path) -> None:
    run = Run(recipe(tmp_path, methods=["multitask+counterfactual"], evaluate={"zero_shot": False}))
    run.generate("explanation")
    with pytest.raises(
        MethodError, match=r"14 of 14 examples: no counterfactual\. Run: shrinklm generate RECIPE --step counterfactual"
    ):
        run.train()
    run.generate()
    with run.store._db as db:
        db.execute(
            "DELETE FROM generations WHERE key = (SELECT MIN(key) FROM generations WHERE kind = 'counterfactual')"
        )
    with pytest.raises(
        MethodError, match=r"needs 'counterfactual' generations, and 1 were not asked for yet\. Run: .* --step counter"
    ):
        Run(run.recipe).train()
    assert not (run.folder / "cells").exists()


def test_a_step_that_the_recipe_lacks_is_named_before_anything_is_asked(tmp_path: Path) -> None:
    run = Run(
        recipe(
            tmp_path, teacher={"use": "fake:log=asked.log"}, methods=["multitask:revised"], generate=["counterfactual"]
        )
    )
    with pytest.raises(
        MethodError, match=r"needs 'revision' generations, which .* Write: generate: \[counterfactual, revision\]"
    ):
        run.generate()
    assert not (tmp_path / "asked.log").exists()


def test_early_stopping_without_dev(quick: Any) -> None:
    run = quick(
        task={"use": "everyday", "dev": 0.0, "limit": {"train": 8, "test": 4}},
        train={"early_stopping": 1, "examples": 8},
    )
    with pytest.raises(StudentError, match="`early_stopping` goes by dev accuracy"):
        run.train()


# Predicting


def test_a_run_is_opened_and_asked_from_anywhere(
    finished: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    run = open_run(finished.folder)
    assert run.recipe == finished.recipe
    found = run.predict("What holds water?", ["a sieve", "a bucket"])
    assert found.cell == "explain-then-answer--tiny--s0"
    assert found.answer in (None, "a sieve", "a bucket")
    assert isinstance(found.explanation, str)
    assert run.predict("What holds water?", ["a sieve", "a bucket"]) == found
    assert run.predict("Who?", ["a", "b"], cell="finetune").cell == "finetune--tiny--s0"
    assert run.predict("Who?", ["a", "b"], cell="finetune--tiny--s0").explanation is None
    with pytest.raises(StudentError, match=r"No trained student is called 'x'\. There are: finetune--tiny--s0, "):
        run.predict("Who?", cell="x")


@pytest.mark.parametrize("cell", ["finetune", "explain-then-answer", "multitask+counterfactual:revised=explain"])
def test_a_student_that_says_nothing_is_a_prediction_without_an_answer(
    finished: Run, monkeypatch: pytest.MonkeyPatch, cell: str
) -> None:
    for kind in (BaseStudent, CausalStudent):
        monkeypatch.setattr(kind, "replies", lambda self, prompts, *_, **__: [Reply("", True)] * len(prompts))
    found = open_run(finished.folder).predict("Who?", ["a", "b"], cell=cell)
    assert (found.answer, found.raw, found.explanation) == (None, "", None if cell == "finetune" else "")


def test_what_is_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(
        StoreError, match=r"is not a run folder: it has no recipe\.yaml\. Run folders are made by: shrinklm run RECIPE"
    ):
        open_run(tmp_path)


# The same recipe gives the same


def timeless(path: Path) -> Any:
    """A file's content without what the clock and the place say."""
    if path.suffix == ".json":
        return strip(read(path))
    if path.suffix == ".jsonl":
        return [strip(json.loads(line)) for line in path.read_text().splitlines()]
    return path.read_bytes()


def strip(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: strip(item) for name, item in value.items() if name not in CLOCK}
    return value


def test_two_runs_of_one_recipe_are_the_same(finished: Run, tmp_path: Path) -> None:
    other = Run(recipe(tmp_path))
    other.generate()
    other.audit()
    other.train()
    other.evaluate()
    files = {path.relative_to(finished.folder) for path in finished.folder.rglob("*") if path.is_file()}
    work = {path.relative_to(other.folder) for path in other.folder.rglob("*") if path.is_file()}
    assert work == {name for name in files if not str(name).startswith("report")}
    assert [name for name in work if timeless(finished.folder / name) != timeless(other.folder / name)] == []
    differ = {name.name for name in work if (finished.folder / name).read_bytes() != (other.folder / name).read_bytes()}
    assert differ <= {"env.json", "generations.json", "train.jsonl", "cell.json", "timing.json"}  # they hold times
    for name in work:  # with the times of the other run, the report is the other run's, byte for byte
        shutil.copyfile(finished.folder / name, other.folder / name)
    other.report()
    assert len(files - work) > 8
    assert [
        name for name in files - work if (finished.folder / name).read_bytes() != (other.folder / name).read_bytes()
    ] == []


def test_defect_31_the_report_needs_the_folder_alone(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shrinklm import report

    before = (copied / "runs" / "r" / "report.md").read_bytes()
    moved = Path(shutil.move(copied / "runs" / "r", tmp_path / "moved"))
    shutil.rmtree(copied)
    for cell in (moved / "cells").iterdir():
        shutil.rmtree(cell / "student", ignore_errors=True)
    monkeypatch.chdir(tmp_path)
    report.build(moved)
    assert (moved / "report.md").read_bytes() == before

    scores = moved / "cells" / "finetune--tiny--s0" / "scores.parquet"
    table = pq.read_table(scores)
    metric, value = (table.column(name).to_pylist() for name in ("metric", "value"))
    turned = [1.0 - number if name == "accuracy" else number for name, number in zip(metric, value, strict=True)]
    import pyarrow as pa

    pq.write_table(table.set_column(table.schema.get_field_index("value"), "value", pa.array(turned)), scores)
    report.build(moved)
    assert (moved / "report.md").read_bytes() != before


def metrics_of(cell: Path) -> Counter[str]:
    return Counter(pq.read_table(cell / "scores.parquet").column("metric").to_pylist())


def test_metrics_added_by_score_stay_when_more_is_explained(quick: Any) -> None:
    first = quick(evaluate={"explanations": 2})
    first.train()
    first.evaluate()
    first.score(["hedges"])
    cell = first.folder / "cells" / "zero-shot--tiny--s0"
    assert metrics_of(cell)["hedges"] == 2
    quick(evaluate={"explanations": 4}).evaluate()
    assert (metrics_of(cell)["hedges"], metrics_of(cell)["length"]) == (4, 4)


def test_predictions_that_were_deleted_are_made_again_and_no_more_is_promised(quick: Any) -> None:
    many, few = ({"explanations": number} for number in (4, 2))
    run = quick(evaluate=many)
    run.train()
    run.evaluate()
    cell = run.folder / "cells" / "zero-shot--tiny--s0"
    before = (cell / "predictions.parquet").read_bytes()
    (cell / "predictions.parquet").unlink()
    quick(evaluate=few).evaluate()
    assert (cell / "done" / "predict").read_text().endswith(" explained 2")
    quick(evaluate=many).evaluate()
    assert (cell / "predictions.parquet").read_bytes() == before


def test_chunks_stay_until_the_marker_of_the_predictions_is_written(
    quick: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = quick()
    run.train()
    whole = once.write_text

    def full(path: Path, text: str) -> None:
        if path.name == "predict":
            raise StoreError("no space left")
        whole(path, text)

    monkeypatch.setattr(once, "write_text", full)
    with pytest.raises(StoreError, match="no space left"):
        run.evaluate()
    part = run.folder / "cells" / "finetune--tiny--s0" / "predictions.part"
    chunks = part.read_bytes()
    assert chunks.count(b"\n") > 1
    monkeypatch.undo()
    run.evaluate()
    assert not part.exists()
    rows = [row for line in chunks.splitlines()[1:] for row in json.loads(line)["predictions"]]
    written = [asdict(prediction) for prediction in read_predictions(part.with_name("predictions.parquet"))]
    assert rows == json.loads(json.dumps(written))


def test_deleted_weights_are_trained_anew_by_train_alone(quick: Any) -> None:
    run = quick()
    run.train()
    run.evaluate()
    student = run.folder / "cells" / "finetune--tiny--s0" / "student"
    weights = (student / "model.safetensors").read_bytes()
    shutil.rmtree(student)
    run.evaluate()
    run.all()
    assert not student.exists()
    run.train()
    assert (student / "model.safetensors").read_bytes() == weights


def test_preview_writes_nothing(tmp_path: Path) -> None:
    """Not even what a teacher that costs nothing says, nor an empty store."""
    recipe = Recipe.parse(
        {
            "name": "seen",
            "root": tmp_path,
            "task": {"use": "everyday", "limit": {"train": 6, "dev": 2, "test": 2}},
            "teacher": {"use": "fake"},
            "generate": ["explanation", "random-tokens", "tfidf-tokens"],
            "methods": ["multitask", "random-tokens", "tfidf-tokens"],
            "student": "tiny",
        }
    )
    summary = list(Run(recipe).preview(limit=0))[-1]["summary"]
    assert summary["pairs"]["random-tokens"] == {"predict": 6, "salient": 6}
    assert not list(tmp_path.iterdir())
    run = Run(recipe)
    run.generate("explanation")
    before = len(run.store)
    assert list(Run(recipe).preview(limit=0))[-1]["summary"]["pairs"]["multitask"] == {"predict": 6, "explain": 6}
    assert len(run.store) == before


# No test data in training or selection


def test_defect_23_test_questions_are_touched_by_evaluation_alone(quick: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def spied(whole: Any) -> Any:
        def spy(evaluation: Any, examples: Sequence[Example], *rest: Any) -> Any:
            asked.extend(example.id for example in examples)
            return whole(evaluation, examples, *rest)

        return spy

    for stage, name in ((train_stage, "answers"), (evaluate_stage, "predict")):
        monkeypatch.setattr(stage, name, spied(getattr(stage, name)))
    train = {"examples": 24, "seeds": [0], "early_stopping": 2, "checkpoints": 3, "curve": 1}
    run = quick(train=train)
    run.train()
    dev, tests = ({example.id for example in run.splits[split]} for split in ("dev", "test"))
    assert set(asked) == dev
    assert not dev & tests
    (cell,) = (run.folder / "cells").iterdir()
    shown = (cell / "pairs.jsonl").read_text()
    assert {json.loads(line)["example_id"] for line in shown.splitlines()} == {
        example.id for example in run.splits["train"]
    }
    held = [example.question for split in ("dev", "test") for example in run.splits[split]]
    assert not [question for question in held if json.dumps(question, ensure_ascii=False)[1:-1] in shown]

    other = quick("other", task={"limit": {"train": 14, "dev": 5, "test": 3}}, train=train)
    other.train()
    (apart,) = (other.folder / "cells").iterdir()
    assert (cell / "student" / "model.safetensors").read_bytes() == (
        apart / "student" / "model.safetensors"
    ).read_bytes()
    asked.clear()
    run.evaluate()
    assert set(asked) == tests


def test_defect_22_every_cell_of_a_run_has_the_same_exposure(finished: Run, quick: Any) -> None:
    seeds = quick(train={"examples": 24, "seeds": [0, 1, 2]})
    seeds.train()
    about = [read(path) for run in (finished, seeds) for path in run.folder.glob("cells/*--tiny--s?/cell.json")]
    trained = [cell for cell in about if cell["method"] != "zero-shot"]
    assert [cell["seed"] for cell in trained].count(0) == 4
    assert len(trained) == 6
    assert {(cell["examples_seen"], cell["batch"], cell["steps"]) for cell in trained} == {(24, 8, 3)}
    weights = {path.read_bytes() for path in seeds.folder.glob("cells/*/student/model.safetensors")}
    assert len(weights) == 3


def test_defect_24_a_diverged_student_is_saved_asked_scored_and_reported(quick: Any) -> None:
    run = quick(
        train={"examples": 80, "seeds": [0], "learning_rate": 1e30, "clip": 1e30}, evaluate={"zero_shot": False}
    )
    path = run.all()
    (cell,) = (run.folder / "cells").iterdir()
    assert read(cell / "cell.json")["diverged"] is True
    assert len(pq.read_table(cell / "predictions.parquet")) == 6
    assert len(pq.read_table(cell / "scores.parquet")) > 6
    assert "diverged" in path.with_suffix(".md").read_text()


# The package among others


def test_defect_28_no_module_of_ours_shadows_a_package() -> None:
    ours = Path(shrinklm.__file__).parent
    tops = [name for name, packages in packages_distributions().items() if "shrinklm" in packages]
    assert [name for name in tops if not name.startswith("_")] in (["shrinklm"], [])
    needed = {
        re.split(r"[^A-Za-z0-9_.-]", line, maxsplit=1)[0].lower()
        for line in requires("shrinklm") or []
        if "extra" not in line
    }
    for name, packages in packages_distributions().items():
        if needed & {package.lower() for package in packages} and name.isidentifier() and not name.startswith("_"):
            found = importlib.util.find_spec(name)
            assert found is not None
            assert found.origin is None or not Path(found.origin).is_relative_to(ours), name
    tests = {path.stem for path in Path(__file__).parent.glob("*.py")}  # pytest puts this folder first on the path
    assert not tests & (set(packages_distributions()) - {"conftest"})
