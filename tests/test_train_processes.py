"""Two real processes train one student over gloo: the weights of one process, and one voice."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import socket
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from shrinklm import Recipe, Run, method
from shrinklm.cli import main
from shrinklm.core.errors import Elsewhere, Pending, StudentError, UnknownName
from shrinklm.students.training import processes, train
from student_cases import corpus, fresh, train_settings

RECIPE: dict[str, Any] = {
    "name": "r",
    "task": {"use": "everyday", "limit": {"train": 12, "dev": 3, "test": 2}},
    "teacher": {"use": "fake"},
    "generate": ["explanation"],
    "methods": ["multitask"],
    "evaluate": {"batch": 8, "max_tokens": 2},
}
# A small rate, since Adam makes a whole step of a gradient that is no more than rounding. The last step has one
# example: one of the processes has no pass. Then steps that are cut by tokens.
TRAIN = {"batch": 6, "learning_rate": 1e-4, "precision": "fp32", "checkpoints": 2, "curve": 2}
TRAINS = [{**TRAIN, "examples": 13, "micro_batch": 2, "early_stopping": 2}, {**TRAIN, "examples": 18}]


def environment(rank: int, port: int) -> dict[str, str]:
    """What a launcher tells a process of two on one machine: torchrun the first, and Open MPI the second."""
    names = ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE") if rank else ("RANK", "WORLD_SIZE")
    return dict(zip(names, (str(rank), "2"), strict=True)) | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _in_process(rank: int, port: int, folder: Path, work: Callable[[], object]) -> None:
    """In a process forked from this one, which has torch loaded: what it says goes to files."""
    import torch

    os.environ.update(environment(rank, port))
    os.chdir(folder)
    torch.set_num_threads(1)
    with Path(f"out-{rank}").open("w") as out, Path(f"err-{rank}").open("w") as err:
        sys.stdout, sys.stderr = out, err
        work()


def launch(folder: Path, works: Mapping[int, Callable[[], object]]) -> list[tuple[str, str]]:
    """(what each of two processes printed, what it told on stderr)."""
    context, port = multiprocessing.get_context("fork"), free_port()
    started = [context.Process(target=_in_process, args=(rank, port, folder, work)) for rank, work in works.items()]
    for process in started:
        process.start()
    for process in started:
        process.join(120)
    assert all(process.exitcode is not None for process in started)
    return [((folder / f"out-{rank}").read_text(), (folder / f"err-{rank}").read_text()) for rank in works]


def write(root: Path, student: Path) -> None:
    root.mkdir()
    for number, block in enumerate(TRAINS):
        # T5 draws its dropout in each process anew: here it has none.
        recipe = {**RECIPE, "name": f"r{number}", "student": ["tiny", f"seq2seq:{student}"], "train": block}
        (root / f"{number}.yaml").write_text(yaml.safe_dump(recipe))
    (root / "2.yaml").write_text(yaml.safe_dump({**RECIPE, "name": "r2", "student": "causal:nowhere", "train": TRAIN}))


def command(*arguments: str) -> None:
    sys.argv = ["shrinklm", *arguments]
    try:
        main()
    except SystemExit as end:
        print("exit", *arguments, end.code, file=sys.stderr)


def commands() -> None:
    """What is typed under a launcher; the last ends with an error."""
    command("train", "0.yaml")
    command("preview", "0.yaml", "--json")
    print("all", Run(Recipe.read("1.yaml")).all().name, file=sys.stderr)
    command("train", "2.yaml")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[tuple[str, str]]]:
    """(the folder of one process, that of two, what each of the two said)."""
    home = tmp_path_factory.mktemp("processes")
    plain = fresh("tiny:seq2seq")
    plain.model.config.dropout_rate = 0.0
    plain.save(home / "t5")
    one, two = home / "one", home / "two"
    for root in (one, two):
        write(root, home / "t5")
    for number in range(2):
        Run(Recipe.read(one / f"{number}.yaml")).generate()
        Run(Recipe.read(one / f"{number}.yaml")).train()
    Run(Recipe.read(two / "0.yaml")).generate()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shrinklm.report.build", lambda folder: print("report", file=sys.stderr))  # figures take time
        return one, two, launch(two, {0: commands, 1: commands})


CELLS = [f"r{number}/cells/multitask--{student}--s0" for number in range(len(TRAINS)) for student in ("tiny", "t5")]


@pytest.mark.parametrize("cell", CELLS)
def test_two_processes_train_the_weights_of_one(trained: tuple[Path, Path, Any], cell: str) -> None:
    one, two = (root / "runs" / cell for root in trained[:2])
    weights, others = (load_file(place / "student" / "model.safetensors") for place in (one, two))
    assert weights.keys() == others.keys()
    assert max(float((weights[name] - others[name]).abs().max()) for name in weights) < 1e-5
    lines, theirs = (
        [json.loads(line) for line in (place / "train.jsonl").read_text().splitlines()] for place in (one, two)
    )
    assert [line.keys() for line in lines] == [line.keys() for line in theirs]
    for line, other in zip(lines, theirs, strict=True):
        assert {**other, "seconds": 0.0} == pytest.approx({**line, "seconds": 0.0}, rel=1e-4)
    about, other = (json.loads((place / "cell.json").read_text()) for place in (one, two))
    for key in ("examples_seen", "pairs", "tokens_seen", "steps"):
        assert about[key] == other[key]
    assert (about["processes"], other["processes"]) == (1, 2)


def test_the_first_alone_speaks_and_all_end_alike(trained: tuple[Path, Path, list[tuple[str, str]]]) -> None:
    _, two, [(out, told), (silent, theirs)] = trained
    assert "Trained. Next: shrinklm evaluate 0.yaml" in out
    assert '"summary"' in out
    assert not silent
    ends = ["exit train 0.yaml 0", "exit preview 0.yaml --json 0", "all report.html", "exit train 2.yaml 1"]
    assert theirs.splitlines() == ends
    assert [line for line in told.splitlines() if line.startswith(("exit", "all"))] == ends
    # The other stages are done once, and the student that nobody has is told of once.
    assert (told.count("report\n"), told.count("error: ")) == (1, 1)
    assert (two / "runs" / "r1" / "cells" / "multitask--tiny--s0" / "scores.parquet").is_file()


def test_a_teacher_is_fine_tuned_by_both(tmp_path: Path) -> None:
    fresh("tiny").save(tmp_path / "model")
    finetune = {"examples": 9, "batch": 4, "precision": "fp32"}
    salient = {"use": f"transformers:{tmp_path / 'model'}", "finetune": finetune, "questions": 1}
    recipe = Recipe.parse(
        {
            **RECIPE,
            "root": tmp_path,
            "generate": ["salient"],
            "methods": ["salient"],
            "student": "tiny",
            "salient": salient,
        }
    )

    def work() -> None:
        with pytest.MonkeyPatch.context() as patch:
            for stage in ("generate", "audit", "train", "evaluate", "saliency", "report"):
                patch.setattr(Run, stage, lambda *_, **__: None)
            print(Run(recipe).all().name)

    assert launch(tmp_path, {0: work, 1: work}) == [("report.html\n", "")] * 2
    about = json.loads((recipe.run_folder / "teacher" / "cell.json").read_text())
    assert (about["processes"], about["examples_seen"], about["steps"]) == (2, 9, 3)


# The rest needs no student.


def both(folder: Path, works: Mapping[int, Callable[[], object]]) -> list[list[Any]]:
    """[the error's name, its message, its exit code] of two processes that meet and work; [] of a killed one."""

    def ends(work: Callable[[], object]) -> None:
        try:
            processes.join()
            with processes.all_end(), processes.together():
                work()
        except BaseException as error:
            print(json.dumps([type(error).__name__, str(error), getattr(error, "exit_code", None)]))

    said = launch(folder, {rank: partial(ends, work) for rank, work in works.items()})
    return [json.loads(out or "[]") for out, _ in said]


def fails(error: BaseException) -> Callable[[], object]:
    def work() -> None:
        raise error

    return work


def listens() -> None:
    processes.told(None)


def sums() -> None:
    for _ in range(2):
        processes.total([torch.ones(3)])


@pytest.mark.parametrize("waits", [listens, sums])
def test_an_error_of_the_first_ends_the_other(tmp_path: Path, waits: Callable[[], object]) -> None:
    ends = both(tmp_path, {0: fails(Pending("ordered")), 1: waits})
    assert ends == [["Pending", "ordered", 75], ["Elsewhere", "Process 0 of 2 ended: ordered", 75]]


def test_an_error_of_another_ends_the_first(tmp_path: Path) -> None:
    ends = both(tmp_path, {0: sums, 1: fails(StudentError("Out of memory"))})
    assert ends == [["Elsewhere", "Process 1 of 2 ended: Out of memory", 1], ["StudentError", "Out of memory", 1]]


def test_where_both_fail_one_says_why(tmp_path: Path) -> None:
    ends = both(tmp_path, {rank: fails(KeyboardInterrupt()) for rank in range(2)})
    assert sorted(name for name, _, _ in ends) == ["Elsewhere", "KeyboardInterrupt"]
    assert [code for name, _, code in ends if name == "Elsewhere"] == [130]


def test_a_process_that_is_killed_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_FAREWELL", 0.0)
    [[name, message, _], killed] = both(tmp_path, {0: sums, 1: lambda: os._exit(9)})
    assert (name, killed) == ("StudentError", [])
    assert "ended without a word" in message
    assert "same command again" in message


def test_memory_that_runs_out_in_one_of_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object) -> None:
        raise torch.OutOfMemoryError

    def work() -> None:
        settings = train_settings(batch=8, micro_batch=4)
        train.train_student(fresh, corpus(), method("finetune"), settings, tmp_path)

    def first() -> None:
        processes.told((4, 0))  # the examples of a pass, which all take from the first
        sums()

    monkeypatch.setattr(train, "_train", no_memory)
    ends = both(tmp_path, {0: first, 1: work})
    assert ends[1][0] == "StudentError"
    assert "Out of memory in process 1 of 2." in ends[1][1]
    assert "train: {micro_batch: 2}" in ends[1][1]
    assert ends[0] == ["Elsewhere", f"Process 1 of 2 ended: {ends[1][1]}", 1]


def test_errors_go_from_one_process_to_another() -> None:
    for error in (UnknownName("task", "a", ["b"]), Elsewhere("gone", 75), StudentError("why")):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), again.exit_code) == (type(error), str(error), error.exit_code)
