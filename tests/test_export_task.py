"""Exported tasks: they ask what the student was trained to be asked, and score as the run does."""

from __future__ import annotations

import ast
import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from cli_cases import call
from shrinklm import Run
from shrinklm.core.errors import StoreError, TaskError
from shrinklm.deploy.harness.task import Questions, task_name, write_task
from shrinklm.methods.spec import method
from student_cases import TYPES


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "test.jsonl").read_text().splitlines()]


def utils(folder: Path) -> Any:
    """The module that lm-evaluation-harness would load."""
    spec = importlib.util.spec_from_file_location("exported_utils", folder / "utils.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Loader(yaml.SafeLoader):
    """Reads `!function` as lm-evaluation-harness does, but for loading it."""


Loader.add_constructor("!function", lambda loader, node: f"function {node.value}")


def test_the_harness_scores_the_options_as_the_run_does(tmp_path: Path, deployed: Run) -> None:
    done = call("export-task", deployed.folder, "--to", "lm-eval", "--output", tmp_path / "t", "--cell", "multitask")
    assert done.exit_code == 0, done.output
    name = "shrinklm_deployed_multitask"
    assert {path.name for path in (tmp_path / "t").iterdir()} == {
        *("test.jsonl", "utils.py", f"{name}.yaml", f"{name}_generate.yaml"),
    }
    task = yaml.load((tmp_path / "t" / f"{name}.yaml").read_text(), Loader)
    assert (task["task"], task["output_type"], task["target_delimiter"]) == (name, "multiple_choice", " ")
    assert (task["doc_to_text"], task["doc_to_choice"], task["doc_to_target"]) == ("context", "options", "target")
    student = deployed.student("multitask").student
    found = []
    with torch.inference_mode():
        for row in rows(tmp_path / "t"):
            values = []
            for option in row["options"]:  # as the harness cuts a text into what is read and what is scored
                whole = student.tokenizer(f"{row['context']} {option}")["input_ids"]
                read = len(student.tokenizer(row["context"])["input_ids"])
                logits = student.model(torch.tensor([whole])).logits[0].log_softmax(-1)
                values.append(sum(float(logits[at - 1, whole[at]]) for at in range(read, len(whole))) / len(option))
            found.append((row["options"][values.index(max(values))], row["options"][row["target"]]))
    answers = deployed.student("multitask").predict(deployed.splits["test"], explain=False, by="likelihood")
    assert [best for best, _ in found] == [answer.answer for answer in answers]
    assert [gold for _, gold in found] == [example.answer for example in deployed.splits["test"]]


@pytest.mark.parametrize("name", ["finetune", "answer-then-explain", "explain-then-answer"])
@pytest.mark.parametrize("kind", TYPES)
def test_replies_in_the_trained_form_are_read(tmp_path: Path, name: str, kind: str) -> None:
    view, example = method(name).answer, TYPES[kind]
    names = write_task(Questions("t", view, [example], 8), "lm-eval", tmp_path / "t")
    assert ("t" in names) == bool(name != "explain-then-answer" and example.choices)
    [row] = rows(tmp_path / "t")
    assert row["prompt"] == view.prompt(example)
    right = utils(tmp_path / "t").right
    explains = "It is so, not otherwise. " if view.says[0] == "explanation" else ""
    for answer, value in [(example.answer, 1.0), (example.wrong[0] if example.choices else "77", 0.0)]:
        assert right(row, [f"{explains}{view.states(answer)}"])["acc"] == value
    after = " As for cellar, that is why the answer is cellar." if name == "answer-then-explain" else ""
    assert right(row, [f"{explains}{view.states(example.answer.upper())}{after}"])["acc"] == 1.0
    assert right(row, [""])["acc"] == 0.0


def test_a_longer_option_is_not_taken_for_the_shorter_one(tmp_path: Path) -> None:
    example = replace(TYPES["choice"], choices=("field", "field of wheat", "field"), answer="field")
    write_task(Questions("t", method("finetune").answer, [example], 8), "lm-eval", tmp_path / "t")
    [row] = rows(tmp_path / "t")
    assert row["options"] == ["field", "field of wheat"]
    right = utils(tmp_path / "t").right
    assert right(row, ["The answer is field of wheat."])["acc"] == 0.0
    assert right(row, ["The answer is fields."])["acc"] == 0.0
    assert right(row, ["The answer is field."])["acc"] == 1.0


def test_the_task_for_inspect(tmp_path: Path, deployed: Run) -> None:
    done = call("export-task", deployed.folder, "--to", "inspect", "--output", tmp_path / "t")
    assert done.exit_code == 0, done.output
    code = (tmp_path / "t" / "task.py").read_text()
    names = {node.name for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)}
    assert {"shrinklm_deployed_answer_then_explain", "states_answer", "stated"} <= names
    assert [row["question"] for row in rows(tmp_path / "t")] == [example.text for example in deployed.splits["test"]]


def test_names_and_folders(tmp_path: Path) -> None:
    assert (
        task_name("my-task", "multitask+counterfactual:alpha=0.5")
        == "shrinklm_my_task_multitask_counterfactual_alpha_0_5"
    )
    assert task_name("x'); import os #", "é").isidentifier()
    asked = Questions("t", method("finetune").answer, [TYPES["choice"]], 8)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    write_task(asked, "inspect", tmp_path / "task")
    write_task(asked, "lm-eval", tmp_path / "task")  # an earlier one is replaced
    for theirs in (("test.jsonl",), ("test.jsonl", "train.jsonl"), ("test.jsonl", "utils.py", "train.jsonl")):
        data = tmp_path / f"data-{len(theirs)}"
        data.mkdir()
        for name in theirs:
            (data / name).write_text("theirs")
        with pytest.raises(StoreError, match="something else"):
            write_task(asked, "lm-eval", data)
        assert {path.name: path.read_text() for path in data.iterdir()} == dict.fromkeys(theirs, "theirs")
    with pytest.raises(StoreError, match="something else"):
        write_task(asked, "lm-eval", tmp_path / "mine")
    with pytest.raises(TaskError, match="no test questions"):
        write_task(replace(asked, tests=[]), "inspect", tmp_path / "t")
    assert not (tmp_path / "t").exists()
