"""Small recipes and a way to call the command line, for the tests of the command line."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from typer import testing
from typer.testing import CliRunner, Result

from shrinklm.cli.app import app

# The tree of all commands is made once: to make it takes longer than most commands do.
testing._get_command = cache(testing._get_command)

MINI: dict[str, Any] = {
    "name": "mini",
    "task": {"use": "everyday", "limit": {"train": 12, "dev": 4, "test": 6}},
    "teacher": {"use": "fake:log=asked.log"},
    "generate": ["explanation", "critique", "revision", "counterfactual", "label"],
    "methods": ["finetune", "multitask+counterfactual:revised=explain"],
    "student": "tiny",
    "train": {"examples": 24, "batch": 8, "seeds": [0], "learning_rate": 1.0e-3, "curve": 1},
    "evaluate": {"batch": 8, "max_tokens": 16},
}
ROW = {"id": "r1", "question": "What helps?", "choices": ["rope", "lamp", "soap"], "answer": "rope"}
COLUMNS = {"id": "id", "question": "question", "choices": "choices", "answer": "answer"}


def call(*arguments: str | Path) -> Result:
    """One command in this process; `output` holds stdout and stderr."""
    return CliRunner(env={"COLUMNS": "100", "SHRINKLM_DEBUG": ""}).invoke(
        app, [str(argument) for argument in arguments]
    )


def golden(name: str, text: str) -> None:
    """Holds a view against its file in tests/golden;

    UPDATE_GOLDEN=1 writes it, to be looked at before it is kept.
    """
    path = Path(__file__).parent / "golden" / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def recipe(root: Path, **changes: Any) -> Path:
    """A recipe file: the mini recipe with changes; None leaves a block out."""
    data = {key: value for key, value in {**MINI, **changes}.items() if value is not None}
    path = root / "recipe.yaml"
    quick = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    path.write_text(yaml.dump(data, Dumper=quick, sort_keys=False), encoding="utf-8")
    return path


def table(root: Path, content: str | bytes | list[dict[str, Any]], name: str = "t.jsonl", **columns: Any) -> Path:
    """A recipe over a table file."""
    text = "".join(json.dumps(row) + "\n" for row in content) if isinstance(content, list) else content
    (root / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return recipe(root, task={"use": "table", "train": name, "columns": {**COLUMNS, **columns}})


def asked(root: Path) -> int:
    """How many prompts the fake teacher got."""
    log = root / "asked.log"
    return len(log.read_text().splitlines()) if log.is_file() else 0


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """File → (size, time of change)."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def environment(**more: str) -> dict[str, str]:
    """The environment of a child process, with changes."""
    return {**os.environ, "OMP_NUM_THREADS": "1", **more}
