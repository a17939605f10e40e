"""Code that a recipe names runs without a question only where the recipe lies in the current project."""

from __future__ import annotations

import importlib
import os
import pickle
import pty
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cli_cases import call, recipe
from shrinklm import Recipe, Run, open_run
from shrinklm.core import trust
from shrinklm.core.errors import RecipeError, TeacherError
from shrinklm.report.findings import read
from shrinklm.report.results import compare
from shrinklm.run.code import allow, code_of
from shrinklm.teachers.base import TeacherOptions, make_teacher

CODE = """
import pathlib
from dataclasses import replace
from shrinklm.methods.spec import method
pathlib.Path(__file__).with_name("ran").touch()
METHOD = replace(method("finetune"), name="own")
"""


class Place:
    """Two folders beside each other: the working directory, and one with somebody's recipe."""

    def __init__(self, root: Path) -> None:
        self.project, self.other = root / "project", root / "other"
        self.project.mkdir()
        self.other.mkdir()
        (root / "strange.py").write_text(CODE, encoding="utf-8")
        self.mark = root / "ran"

    def recipe(self, folder: Path | None = None, **blocks: Any) -> Path:
        """A recipe that names code."""
        place = folder or self.other
        place.mkdir(parents=True, exist_ok=True)
        blocks = {"methods": ["strange:METHOD"], "teacher": None, "generate": None, **blocks}
        return recipe(place, **blocks)

    @property
    def ran(self) -> bool:
        """Whether the code did."""
        return self.mark.exists()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    made = Place(tmp_path)
    monkeypatch.chdir(made.project)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SHRINKLM_TRUST", raising=False)
    monkeypatch.setattr(trust, "_files", set())
    monkeypatch.setattr(trust, "_everything", False)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "strange", raising=False)
    return made


COMMANDS = {
    "preview": (), "plan": (), "generate": (), "audit": (), "train": (), "evaluate": (), "judge": (),
    "run": (), "train-teacher": (), "cascade": (), "score": ("--metrics", "length"), "predict": ("Where?",),
    "serve": ("--port", "18973"), "push": ("--to", "./out"), "export-model": ("--to", "safetensors"),
    "export-task": ("--to", "lm-eval", "--output", "out"),
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_would_run_it_says_what_was_found_and_what_to_type(place: Place, command: str) -> None:
    path = place.recipe()
    told = call(command, path, *COMMANDS[command])
    assert told.exit_code == 1
    said = " ".join(told.output.split())
    assert f"{path} lies outside the current project ({place.project}) and names code" in said
    assert f"methods: strange:METHOD, from {place.mark.with_name('strange.py')}" in said
    assert "add --trust to the command" in said
    assert not place.ran
    assert not (place.other / "runs").exists()


def test_trust_runs_it_and_what_runs_none_asks_nothing(place: Place) -> None:
    path = place.recipe()
    assert call("preview", path, "--trust", "--json").exit_code == 0
    assert place.ran
    assert not trust.trusted(place.recipe(place.other / "next")), "--trust holds for its command alone"
    plain = place.recipe(place.other / "plain", methods=["finetune"])
    assert call("preview", plain, "--json").exit_code == 0
    store = place.other / "next" / "recipe.yaml"
    assert "No store at" in call("export", store, "out.jsonl").output, "reads no name of the recipe"


NAMES: dict[str, dict[str, Any]] = {
    "task.use": {"task": {"use": "strange:X"}},
    "teacher.use": {"teacher": {"use": "strange:X"}},
    "teacher.b.use": {"teacher": {"a": {"use": "fake"}, "b": {"use": "strange:X"}}},
    "methods": {"methods": ["finetune", "strange:X"]},
    "student.use": {"student": ["tiny", "strange:X"]},
    "evaluate.metrics": {"evaluate": {"metrics": ["accuracy", "strange:X"]}},
    "evaluate.simulator.use": {"evaluate": {"simulator": {"use": "strange:X"}}},
    "judge.use": {"judge": {"use": ["fake", "strange:X"]}},
    "distil.teacher": {"distil": {"teacher": "strange:X"}},
    "cascade.teacher": {"cascade": {"teacher": "strange:X", "budget": 0.5}},
}
CHECKPOINTS: dict[str, dict[str, Any]] = {
    "student": {"student": {"use": "causal:of/somebody", "trust_remote_code": True}},
    "teacher": {"teacher": {"use": "transformers:of/somebody", "trust_remote_code": True}},
    "teacher.b": {"teacher": {"a": "fake", "b": {"use": "transformers:of/somebody", "trust_remote_code": True}}},
    "salient": {"salient": {"use": "transformers:of/somebody", "trust_remote_code": True}},
    "judge.use": {"judge": {"use": [{"use": "transformers:of/somebody", "trust_remote_code": True}]}},
    "evaluate.simulator": {"evaluate": {"simulator": {"use": "causal:of/somebody", "trust_remote_code": True}}},
}


@pytest.mark.parametrize("key", NAMES)
def test_every_name_of_a_recipe_that_imports_is_told(place: Place, key: str) -> None:
    found = Recipe.read(place.recipe(**{"methods": ["finetune"], **NAMES[key]}))
    assert list(code_of(found)) == [f"{key}: strange:X, from {place.mark.with_name('strange.py')}"]
    with pytest.raises(RecipeError, match=r"trust=True"):
        _ = Run(found).methods


@pytest.mark.parametrize("key", CHECKPOINTS)
def test_every_checkpoint_that_brings_code_is_told(place: Place, key: str) -> None:
    found = Recipe.read(place.recipe(**{"methods": ["finetune"], **CHECKPOINTS[key]}))
    assert [line.partition(": ")[0] for line in code_of(found)] == [f"{key}.trust_remote_code"]
    assert "of/somebody" in next(code_of(found))


def test_names_of_the_package_are_no_code() -> None:
    blocks = {
        "name": "n", "task": {"use": "table", "train": "a:b.csv", "columns": {"question": "json:dumps"}},
        "teacher": {"use": "endpoint:http://host/v1#a:b"}, "methods": ["multitask:revised"],
        "student": ["causal:org/name", "misspelt:x"], "judge": {"use": "fake:first"},
    }  # fmt: skip
    assert list(code_of(Recipe.parse(blocks))) == []


def test_what_is_the_current_project(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    root, project = place.project.parent, place.project
    inside = place.recipe(project / "a" / "b")
    assert (trust.project(), trust.trusted(inside), trust.trusted(place.recipe())) == (project, True, False)
    # From deeper inside: the folder with .git or pyproject.toml, and without one the working directory alone.
    monkeypatch.chdir(project / "a" / "b")
    above = place.recipe(project)
    assert not trust.trusted(above)
    for mark in (".git", "pyproject.toml"):
        (project / mark).touch()
        assert (trust.project(), trust.trusted(above)) == (project, True), mark
        (project / mark).unlink()
    # What was cloned into it is a project of its own, and a link leads to where it points.
    monkeypatch.chdir(project)
    (project / "a" / ".git").mkdir()
    assert not trust.trusted(inside)
    (project / "link.yaml").symlink_to(place.recipe())
    assert not trust.trusted(project / "link.yaml")
    # A store is made beside any recipe that is run.
    (root / ".shrinklm").mkdir()
    assert trust.project() == project


def test_the_home_folder_and_folders_of_everybody_are_no_project(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    path = place.recipe(place.project / "downloads")
    assert trust.trusted(path)
    for home in (place.project, path.parent):
        monkeypatch.setenv("HOME", str(home))
        assert (trust.project(), trust.trusted(path)) == (None, False)
    with pytest.raises(RecipeError, match=r"lies in no project \(.*/project is none\)"):
        allow(Recipe.read(path))
    monkeypatch.setenv("HOME", str(place.project.parent / "home"))
    place.project.chmod(0o1777)
    (place.project / ".git").mkdir()
    assert (trust.project(), trust.trusted(path)) == (None, False)
    monkeypatch.chdir(path.parent)
    assert trust.project() == path.parent, "the mark is in a folder to which everybody may write"


def test_a_working_directory_that_is_gone(place: Place) -> None:
    path = place.recipe()
    plain = place.recipe(place.other / "plain", methods=["finetune"])
    place.project.rmdir()
    assert (trust.project(), trust.trusted(path)) == (None, False)
    allow(Recipe.read(plain))
    with pytest.raises(RecipeError, match=r"lies in no project \(this folder is none\) and names code"):
        allow(Recipe.read(path))


def test_folders_that_are_always_trusted(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    path = place.recipe(place.other / "deep")
    monkeypatch.setenv("SHRINKLM_TRUST", f"/no/such{os.pathsep}{place.other}")
    assert call("preview", path, "--json").exit_code == 0
    monkeypatch.setenv("SHRINKLM_TRUST", "1")
    told = call("preview", place.recipe(place.other / "next"))
    assert "$SHRINKLM_TRUST lists folders by their whole paths, found '1'" in " ".join(told.output.split())


def test_a_program_trusts_what_it_made_and_what_it_says(place: Place) -> None:
    path = place.recipe()
    with pytest.raises(RecipeError, match="names code, which runs with all that you may do"):
        _ = Run(Recipe.read(path)).task
    assert not place.ran
    data = {"name": "n", "task": {"use": "everyday"}, "methods": ["strange:METHOD"], "student": "tiny"}
    assert Run(Recipe.parse({**data, "root": place.other})).methods[0].name == "own"
    assert Run(Recipe.read(path, trust=True)).methods[0].name == "own"
    assert Run(Recipe.read(path)).methods[0].name == "own", "it was said in this process"


def test_a_module_of_the_project_that_the_program_imported_is_its_own(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Recipe.read(place.recipe(methods=["mine:METHOD"], student="subprocess:Popen"))
    (place.project / "mine.py").write_text(CODE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(place.project))
    lines = list(code_of(found))
    assert [line.partition(",")[0] for line in lines] == ["methods: mine:METHOD", "student.use: subprocess:Popen"]
    importlib.import_module("mine")
    assert list(code_of(found)) == lines[1:]
    monkeypatch.setattr(sys, "prefix", str(place.project))
    assert list(code_of(found)) == lines


@pytest.mark.parametrize("key", ["trusted", "trust", "file", "_file", "said"])
def test_a_recipe_does_not_say_that_it_is_trusted(place: Place, key: str) -> None:
    with pytest.raises(RecipeError, match="No key is called"):
        Recipe.read(place.recipe(**{key: True}))


def test_a_run_folder_from_elsewhere(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(Recipe.read(place.recipe(), trust=True))
    run.start()
    assert open_run(run.folder).methods[0].name == "own", "this process wrote it"
    monkeypatch.setattr(trust, "_files", set())
    # `root` in its env.json may say anything.
    env = run.folder / "env.json"
    env.write_text(env.read_text().replace(str(place.other), str(place.project)))
    with pytest.raises(RecipeError, match=r"runs/mini/recipe\.yaml lies outside the current project"):
        _ = open_run(run.folder).methods
    with pytest.raises(TeacherError, match=r"names code"):
        make_teacher(f"run:{run.folder}#own", TeacherOptions())
    assert open_run(run.folder, trust=True).methods[0].name == "own"


def test_a_report_imports_nothing_that_a_folder_names(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    old = Path(__file__).parent / "data" / "project-0.1.0" / "run"
    folder = place.other / "run"
    subprocess.run(["cp", "-r", old, folder], check=True)
    for path in folder.glob("cells/*/cell.json"):
        path.write_text(path.read_text().replace('"finetune"', '"strange:METHOD"'))
    compare(read(folder))
    assert not place.ran
    trust.trust(folder / "recipe.yaml")
    compare(read(folder))
    assert place.ran


def test_processes_that_work_for_this_one_are_told(place: Place, tmp_path: Path) -> None:
    found = Recipe.read(place.recipe(), trust=True)
    trust.trust(place.other / "mentor.yaml")
    code = (
        "import sys, pickle; from pathlib import Path; from shrinklm.core import trust\n"
        "recipe = pickle.loads(sys.stdin.buffer.read())\n"
        "from shrinklm.run.code import allow; allow(recipe)\n"
        "print(trust.trusted(Path(sys.argv[1])), trust.trusted(Path('/elsewhere.yaml')), recipe.file)"
    )
    asked = [sys.executable, "-c", code, str(place.other / "mentor.yaml")]
    done = subprocess.run(asked, input=pickle.dumps(found), capture_output=True, check=True, cwd=tmp_path)
    assert done.stdout.decode().split() == ["True", "False", str(place.other / "recipe.yaml")]


@pytest.mark.parametrize("answer", ["n", "y", ""])
def test_on_a_terminal_it_is_asked(place: Place, answer: str) -> None:
    path = place.recipe()
    pid, terminal = pty.fork()
    if not pid:
        code = 1
        try:
            from shrinklm.cli import main

            sys.stdin, sys.stdout, sys.stderr = (os.fdopen(n, "w" if n else "r", closefd=False) for n in range(3))
            sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
            sys.argv = ["shrinklm", "preview", str(path), "--json", "--limit", "1"]
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            sys.stdout.flush()
            os._exit(code)
    said, deadline = "", time.monotonic() + 60
    try:
        while "Run it?" not in said and time.monotonic() < deadline:
            said += os.read(terminal, 4096).decode()
        os.write(terminal, f"{answer}\n".encode())
        while part := os.read(terminal, 4096):
            said += part.decode()
    except OSError:  # the other end is closed
        pass
    _, status = os.waitpid(pid, 0)
    plain = " ".join(said.split())
    assert f"{path} lies outside" in plain
    assert "methods: strange:METHOD, from" in plain
    assert os.waitstatus_to_exitcode(status) == (0 if answer == "y" else 1), said
    assert place.ran == (answer == "y")
    assert ("was not run, as you answered" in plain) == (answer != "y")
