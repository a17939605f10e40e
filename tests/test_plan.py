"""What `shrinklm plan` says of a run, held against the run that is then done; nothing is asked, nothing is written."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cli_cases import call, environment, recipe, snapshot
from endpoint_stub import chat, server
from shrinklm import Recipe, Run
from shrinklm.run.cascades import ask_tests
from shrinklm.run.plan import plan_run
from shrinklm.run.plan.plan import total
from teacher_cases import tiny_model

STEPS = ["explanation", "critique", "revision", "counterfactual", "label"]
PRICE = {"input": 1.0, "output": 5.0}
WORDS = re.findall(
    r"\w+",
    "people keep such a thing close at hand because it does this one job well and each other choice was made for work "
    "of another kind that nobody would mix up with it after a look at how the first is held and where it is found",
)


def answer(words: int, refused_every: int = 0) -> Any:
    """Answers of so many words, every n-th of them cut off; tokens are counted as a rule of thumb has them."""

    def said(body: dict[str, Any], number: int) -> Any:
        last = body["messages"][-1]["content"]
        size = words + number % 5 - 2
        start = number % len(WORDS)
        text = " ".join((WORDS[start:] + WORDS)[:size])
        named = re.search(r"answer is:? ?\"?([^\".\n]+)", last, re.IGNORECASE)
        text = f"{'It is' if named is None else named[1].strip() + ' fits:'} {text}."
        if "The answer is" not in last and "own answer" in last:
            text += " The answer is (a)."
        finish = "length" if refused_every and not number % refused_every else "stop"
        count = sum(len(message["content"]) for message in body["messages"]) / 4.3
        return chat(text if finish == "stop" else text[:-1], finish, {
            "prompt_tokens": round(count), "completion_tokens": round(len(text) / 4.3), "total_tokens": 0
        })  # fmt: skip

    return said


def made(root: Path, url: str, train: int, **changes: Any) -> Path:
    return recipe(
        root,
        task={"use": "everyday", "limit": {"train": train, "dev": 4, "test": 6}},
        teacher={"use": f"endpoint:{url}#model", "price": PRICE},
        generate=STEPS,
        **{"methods": ["finetune"], **changes},
    )


def near(planned: float, happened: float, share: float = 0.25) -> bool:
    return abs(planned - happened) <= share * happened


def sums(report: Any) -> tuple[int, int, int, float]:
    steps = report.steps.values()
    return (
        sum(step.asked for step in steps),
        sum(step.tokens_in for step in steps),
        sum(step.tokens_out for step in steps),
        sum(step.cost for step in steps),
    )


def test_a_plan_comes_near_the_run_that_follows(tmp_path: Path) -> None:
    with server(answer(18)) as (url, asked):
        path = made(tmp_path, url, 16)
        result = call("generate", path, "--dry-run", "--json")
        assert result.exit_code == 0, result.output
        planned = json.loads(result.stdout)
        assert not asked
        assert [item.name for item in tmp_path.iterdir()] == ["recipe.yaml"]
        happened = sums(Run(Recipe.read(path)).generate())
        assert len(asked) == happened[0]
    total = planned["total"]
    for name, real in zip(("prompts", "tokens_in", "tokens_out", "dollars"), happened, strict=True):
        assert near(total[name], real), (name, total[name], real)
    rows = {row["step"]: row["prompts"] - row["retries"] for row in planned["texts"]}
    assert rows == {"explanation": 16, "critique": 16, "revision": 16, "counterfactual": 64, "label (test)": 6}


def test_what_the_store_tells_is_used(tmp_path: Path) -> None:
    # Far longer than the examples in the prompt, and every third is cut off and asked for again.
    with server(answer(60, 3)) as (url, asked):
        first = Run(Recipe.read(made(tmp_path, url, 12)))
        before = first.generate()
        first.store.close()
        path = made(tmp_path, url, 26)
        files, requests = snapshot(tmp_path), len(asked)
        run = Run(Recipe.read(path))
        planned = plan_run(run, students=False)
        assert snapshot(tmp_path) == files
        assert len(asked) == requests
        assert sum(row["found"] for row in planned["texts"]) >= 12 * 7
        after = run.generate()
    new = [now - then for now, then in zip(sums(after), sums(before), strict=True)]
    new[0] = sums(after)[0]
    for name, real in zip(("prompts", "tokens_in", "tokens_out", "dollars"), new, strict=True):
        assert near(planned["total"][name], real), (name, planned["total"][name], real)
    assert planned["total"]["seconds"] > 0
    assert "recorded with" in str(planned["texts"][0]["sources"])
    assert "refused of" in str(planned["texts"][0]["sources"])
    # Once all is there, nothing is left to be paid.
    left = plan_run(Run(Recipe.read(path)), students=False)["total"]
    assert (left["prompts"], left["dollars"], left["seconds"]) == (0, 0.0, 0.0)


def test_students_and_judges_are_planned(tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "methods": ["finetune", "multitask+counterfactual"],
        "train": {"examples": 8, "batch": 4, "curve": 0, "checkpoints": 1},
        "judge": {"use": ["fake:log=judged.log"], "items": 3},
        "evaluate": {"batch": 8, "max_tokens": 4, "metrics": ["accuracy"], "zero_shot": False},
    }
    path = recipe(tmp_path, **changes, teacher={"use": "fake:first,log=asked.log"})
    planned = json.loads(call("plan", path, "--json").stdout)
    assert [item.name for item in tmp_path.iterdir()] == ["recipe.yaml"]
    cells = {row["cell"]: row for row in planned["students"]}
    assert len(cells) == 2
    trained = cells["multitask+counterfactual--tiny--s0"]
    assert trained["steps"] == 2
    assert "time: 2 steps of 4 examples of 'multitask+counterfactual' and two short replies" in str(trained["sources"])
    assert trained["train_seconds"] > cells["finetune--tiny--s0"]["train_seconds"] / 4 > 0
    # One method is enough to hold the plan against.
    changes["methods"] = ["multitask+counterfactual"]
    path = recipe(tmp_path, **changes, teacher={"use": "fake:first,log=asked.log"})
    run = Run(Recipe.read(path))
    run.generate()
    run.train()
    run.evaluate()
    run.judge()
    judged = len((tmp_path / "judged.log").read_text().splitlines())
    assert 0 < judged <= planned["judges"][0]["prompts"]
    folder = run.folder / "cells" / "multitask+counterfactual--tiny--s0"
    about = json.loads((folder / "cell.json").read_text())
    assert about["parameters"] == trained["parameters"]
    real = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert near(trained["disk_bytes"], real), (trained["disk_bytes"], real)
    # Done: nothing is left to be trained; and a further seed takes what this one took.
    result = call("plan", path)
    assert "All: $0.00, 0 s, 0 B of disk" in result.output, result.output
    more = recipe(
        tmp_path,
        teacher={"use": "fake:first,log=asked.log"},
        **{**changes, "train": {**changes["train"], "seeds": [0, 1]}},
    )
    rows = plan_run(Run(Recipe.read(more)), trials=False)["students"]
    assert [row["cell"][-2:] for row in rows] == ["s1"]
    assert all("recorded by mini/" in str(row["sources"]) for row in rows)


def test_a_test_question_that_no_student_reads_is_left_out(tmp_path: Path) -> None:
    rows = [
        {"id": f"q{n}", "question": f"Which helps, {n}?", "choices": ["a rope", "a lamp"], "answer": "a rope"}
        for n in range(6)
    ]
    rows[0]["question"] = "Which helps " + "with this and that " * 2000 + "?"
    for name, some in (("test", rows[:3]), ("train", rows[3:])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    columns = {name: name for name in ("id", "question", "choices", "answer")}
    path = recipe(
        tmp_path,
        task={"use": "table", "train": "train.jsonl", "test": "test.jsonl", "dev": 0.0, "columns": columns},
        teacher=None,
        generate=[],
        methods=["finetune"],
        train={"examples": 8, "batch": 4, "curve": 0, "checkpoints": 0},
        evaluate={"zero_shot": False, "explanations": 0},
    )
    rows = json.loads(call("plan", path, "--json").stdout)["students"]
    assert [row["evaluate_seconds"] > 0 for row in rows] == [True]


def test_cells_that_train_at_once_hold_their_memory_together() -> None:
    row = {"train_seconds": 1.0, "evaluate_seconds": 1.0, "disk_bytes": 1}
    cells = [{**row, "memory_bytes": size, "checkpoint_bytes": 2 * (size or 1)} for size in (5, None, 7, 6)]
    found = {count: total([], cells, 0, count) for count in (1, 2, 9)}
    assert [found[count]["memory_bytes"] for count in found] == [7, 13, 18]
    assert [found[count]["checkpoint_bytes"] for count in found] == [14, 26, 38]
    assert total([], [], 0, 2)["memory_bytes"] is None


def test_unknown_is_said_and_the_rest_is_counted(tmp_path: Path) -> None:
    teacher = {
        "cheap": {"use": "endpoint:http://127.0.0.1:9/v1#a", "price": PRICE},
        "strong": "endpoint:http://127.0.0.1:9/v1#b",
    }
    path = recipe(
        tmp_path, teacher=teacher, generate=["explanation", {"critique": {"teacher": "strong"}}], methods=["finetune"]
    )
    planned = json.loads(call("generate", path, "--dry-run", "--json").stdout)
    assert [(row["step"], row["teacher"], row["dollars"] is None) for row in planned["texts"]] == [
        ("explanation", "a", False),
        ("critique", "b", True),
    ]
    assert planned["total"]["dollars"] is None
    assert planned["total"]["dollars_known"] > 0
    assert planned["total"]["seconds"] is None
    said = call("generate", path, "--dry-run").output
    assert "unknown" in said


def test_a_teacher_that_runs_here_is_planned_without_being_opened(
    tmp_path: Path,
) -> None:
    folder = tiny_model(tmp_path / "model")
    (folder / "model.safetensors").write_bytes(b"")  # whoever opens its weights fails
    path = recipe(tmp_path, teacher={"use": f"transformers:{folder}"}, generate=["explanation"], methods=["multitask"])
    files = snapshot(tmp_path)
    result = call("plan", path, "--no-trial", "--json")
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)["texts"]
    train = len(Run(Recipe.read(path)).splits["train"])
    assert (row["prompts"] - row["retries"], row["found"]) == (train, 0)
    shown = call("preview", path, "--json")
    assert shown.exit_code == 0, shown.output
    assert snapshot(tmp_path) == files


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"student": "causal:nowhere/at/all"}, "No model at"),
        ({"evaluate": {"metrics": ["acuracy"]}}, "No metric is called 'acuracy'"),
        ({"methods": ["multitsk"]}, "No method is called 'multitsk'"),
        ({"judge": {"use": ["fake"]}}, "Nobody may judge alone"),
    ],
)
def test_wrong_recipes_are_told_as_run_tells_them(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    path = recipe(tmp_path, **changed)
    errors = [call(*command, path).stderr for command in (("plan",), ("generate", "--dry-run"), ("run",))]
    assert said in errors[0]
    assert errors[0] == errors[1] == errors[2]


def test_help_needs_no_torch() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from shrinklm.cli.app import app; import shrinklm.cli;"
        "assert CliRunner().invoke(app, ['plan', '--help']).exit_code == 0; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], env=environment(), check=False).returncode == 0


def test_labels_of_questions_without_answers_are_planned(tmp_path: Path) -> None:
    rows = [{"id": f"q{n}", "question": f"Which helps, {n}?", "choices": ["a rope", "a lamp"]} for n in range(6)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = {"id": "id", "question": "question", "choices": "choices"}
    with server(lambda body, number: chat("It fits best. The answer is (a).")) as (url, asked):
        path = recipe(
            tmp_path,
            task={"use": "table", "train": "t.jsonl", "test": 0.34, "dev": 0.0, "columns": columns},
            teacher={"use": f"endpoint:{url}#model", "price": PRICE, "temperature": 0.5},
            generate=[{"label": {"samples": 3}}],
            methods=["finetune"],
        )
        planned = json.loads(call("generate", path, "--dry-run", "--json").stdout)["texts"]
        assert not asked
        happened = sums(Run(Recipe.read(path)).generate())
        assert len(asked) == happened[0] == 18
        rows_left = plan_run(Run(Recipe.read(path)), students=False)["texts"]
    label = next(row for row in planned if row["step"] == "label")
    assert (label["prompts"] - label["retries"], label["found"]) == (18, 0)
    assert label["dollars"] > 0
    assert [(row["prompts"], row["dollars"]) for row in rows_left if row["step"] == "label"] == [(0, 0.0)]


def test_a_plan_counts_what_a_cascade_would_ask(tmp_path: Path) -> None:
    said = chat(
        "People keep it there. The answer is (a).",
        "stop",
        {"prompt_tokens": 90, "completion_tokens": 9, "total_tokens": 0},
    )
    with server(lambda body, number: said) as (url, asked):
        teacher = f"endpoint:{url}#model"
        steps = {"examples": 8, "batch": 4, "precision": "fp32", "curve": 0}
        changes = {
            "generate": ["explanation"],
            "methods": ["finetune"],
            "cascade": {"teacher": teacher, "budget": 0.5},
            "student": "tiny",
        }
        path = recipe(
            tmp_path,
            task={"use": "everyday", "limit": {"train": 8, "dev": 4, "test": 6}},
            teacher={"use": teacher, "price": PRICE},
            **changes,
            train=steps,
            evaluate={"max_tokens": 4},
        )
        result = call("plan", path, "--no-trial", "--json")
        assert result.exit_code == 0, result.output
        plain = json.loads(result.stdout)
        # Six test questions once; and not in the total, since `run` does not ask them.
        assert plain["cascade"]["prompts"] - plain["cascade"]["retries"] == 6
        assert plain["total"]["prompts"] == sum(row["prompts"] for row in plain["texts"])
        told = " ".join(call("plan", path, "--no-trial").stdout.split())
        count, name = plain["cascade"]["prompts"], plain["cascade"]["teacher"]
        assert f"`shrinklm cascade` asks {name} {count} test questions more" in told
        run = Run(Recipe.read(path))
        run.all()
        before = len(asked)
        ask_tests(run)
        assert len(asked) - before == 6
        # What was asked is in the store.
        again = json.loads(call("plan", path, "--no-trial", "--json").stdout)["cascade"]
        assert (again["found"], again["prompts"], again["dollars"]) == (len(asked) - before, 0, 0)
