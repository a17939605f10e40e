"""What the engine of a cluster decides without one: room, addresses, options, errors, and whose folder it is."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from filelock import FileLock

from ray_cases import Case
from shrinklm.cli.engine import Where, engine_of
from shrinklm.core.errors import ClusterError, MissingExtra, RecipeError, ShrinkError, StudentError
from shrinklm.core.types import Completion, Example, Prompt, Sampling, Turn
from shrinklm.run.engines.ray import RayEngine, cluster, nodes, worker
from shrinklm.run.engines.ray.copies import Copies, _At, may_spread
from shrinklm.teachers.base import TeacherOptions, make_teacher

ray = pytest.importorskip("ray")
Told = list[tuple[str, int, int, str]]


def test_a_wrong_address_and_a_missing_ray_say_what_to_type(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(ClusterError, match=r"nobody listens at 127\.0\.0\.1:1\. Begin one with `ray start --head`"):
        RayEngine("127.0.0.1:1").do([Case(tmp_path, 0)], lambda *_: None)
    with pytest.raises(ClusterError, match="--address takes auto, HOST:PORT or ray://HOST:PORT, and got 'head'"):
        cluster.Cluster("head")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r'--engine ray needs .* pip install "shrinklm\[ray\]"'):
        RayEngine().do([Case(tmp_path, 0)], lambda *_: None)


def test_a_cluster_that_asks_for_a_token_is_shown_it(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    env = own | {"RAY_AUTH_TOKEN": "a" * 64, "HOME": str(tmp_path), "RAY_USAGE_STATS_ENABLED": "0"}
    options = ["--num-cpus=0", "--include-dashboard=false", "--object-store-memory=80000000", "--disable-usage-stats"]
    start = "import sys; from ray.scripts.scripts import main; sys.argv[0] = 'ray'; main()"
    head = subprocess.Popen(
        [sys.executable, "-c", start, "start", "--head", f"--port={port}", "--block", *options],
        env=env | {"RAY_AUTH_MODE": "token"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    join = f"from {cluster.__name__} import Cluster; c = Cluster('127.0.0.1:{port}'); print(len(c.nodes)); c.leave()"
    try:
        until = time.monotonic() + 60
        while not cluster._reached(("127.0.0.1", port)) and time.monotonic() < until:
            time.sleep(0.1)
        said = [
            subprocess.run([sys.executable, "-c", join], env=one, capture_output=True, text=True, timeout=60)
            for one in (env, env | {"RAY_AUTH_TOKEN": "b" * 64}, own | {"HOME": str(tmp_path)})
        ]
    finally:
        head.terminate()
        head.wait(30)
    assert said[0].stdout.strip() == "1", said[0].stderr
    for one in said[1:]:
        assert "asks for a token, and takes none from here. Copy ~/.ray/auth_token of its head" in one.stderr


def has(*nodes: tuple[int, int]) -> list[dict[str, Any]]:
    return [{"Resources": {"CPU": float(cpus), **({"GPU": float(gpus)} if gpus else {})}} for cpus, gpus in nodes]


@pytest.mark.parametrize(
    ("there", "cpus", "gpus", "share", "places"),
    [
        (has((4, 0), (8, 0)), None, None, (2, 0.0), 6),
        (has((1, 0)), None, None, (1, 0.0), 1),
        (has((32, 8), (4, 0)), None, None, (2, 1.0), 8),
        (has((32, 8)), 4, 0.5, (4, 0.5), 8),
        (has((64, 8)), 2, 0.4, (2, 0.4), 16),  # a part is of one GPU
        (has((32, 8), (32, 4)), 1, 3.0, (1, 3.0), 3),
        (has((3, 1), (9, 0)), 2, 0.0, (2, 0.0), 5),
    ],
)
def test_cells_have_room_by_cpus_and_gpus(
    there: Any, cpus: int | None, gpus: float | None, share: tuple[int, float], places: int
) -> None:
    found = nodes.Share.of(there, cpus, gpus)
    assert (found.cpus, found.gpus) == share
    assert nodes.room(there, found) == places


def test_a_folder_in_use_is_waited_for_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_SOON", 0.01)
    monkeypatch.setattr(worker, "_AT_MOST", 0.05)
    told: Told = []
    folder = tmp_path / "cells/one"
    with worker.alone(folder, "one", lambda *said: told.append(said)):
        assert [path.name for path in folder.parent.iterdir()] == [".one.lock"]
    assert not list(folder.parent.iterdir())
    with (
        FileLock(folder.with_name(".one.lock")),
        pytest.raises(ClusterError, match="still in use by another process"),
        worker.alone(folder, "one", lambda *said: told.append(said)),
    ):
        pytest.fail("two work in one folder")
    assert [note for *_, note in told] == [f"another process still writes to {folder}: waiting for its end"]


def test_teachers_that_compute_are_spread_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "texts.csv").write_text("id,text\n1,a\n")
    options = TeacherOptions(root=tmp_path, columns={"explanation": "text"})
    specs = ["fake", "endpoint:http://127.0.0.1:1/v1#m", "endpoint-batch:http://127.0.0.1:1/v1#m", "recorded:texts.csv"]
    assert [may_spread(make_teacher(spec, options)) for spec in specs] == [True, False, False, False]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"address": "auto"}, "--address is for a Ray cluster. Write: --engine ray --address auto"),
        ({"cpus": 2, "where": Where.local}, "--cpus-per-cell is for a Ray cluster"),
        ({"where": Where.ray, "jobs": "2"}, "--jobs 2 is for this machine alone"),
        ({"where": Where.ray, "cpus": 0}, "--cpus-per-cell takes a number from 1, and got 0"),
        ({"where": Where.ray, "gpus": 1.5}, "--gpus-per-cell takes a part of one GPU or whole ones, and got 1.5"),
        ({"where": Where.ray, "gpus": float("nan")}, "and got nan"),
        ({"where": Where.ray, "gpus": float("inf")}, "and got inf"),
    ],
)
def test_options_that_do_not_go_together_say_what_to_type(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as raised:
        engine_of(**options)
    assert message in str(raised.value)


def test_errors_come_back_from_workers_as_they_were() -> None:
    for kind in (StudentError("a"), MissingExtra("ray", "ray", "It"), ClusterError("c")):
        sent = worker.sendable(kind)
        assert (type(sent), str(sent)) == (type(kind), str(kind))

    class Odd(Exception):
        def __init__(self, one: int, other: int) -> None:
            super().__init__(f"{one} and {other}")

    assert str(worker.sendable(Odd(1, 2))) == "Odd: 1 and 2"
    assert isinstance(worker.sendable(Odd(1, 2)), ShrinkError)


def test_copies_that_are_lost_without_a_word_are_told_by_the_kind_of_their_error() -> None:
    copies = Copies.__new__(Copies)  # of no cluster
    copies._cluster, copies.spec, copies._lost = SimpleNamespace(lost=True), ("fake", TeacherOptions()), 0  # type: ignore[assignment]
    copies._all = [_At(None, None) for _ in range(4)]
    ended = [copies._again(at, deque(), ConnectionError()) for at in list(copies._all)]
    assert ended[:3] == [None] * 3
    assert "4 copies of the teacher fake were lost, one after another: ConnectionError" in str(ended[3])


def test_copies_that_find_no_room_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shrinklm.run.engines.ray.copies._LATE", 0.0)
    told: list[str] = []

    def room_at_last(refs: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        return (refs, []) if told and "no free room" in told[-1] else ([], refs)

    completion = Completion("It fits.")
    actor = SimpleNamespace(
        there=SimpleNamespace(remote=lambda: "there"),
        begin=SimpleNamespace(remote=lambda *_: None),
        more=SimpleNamespace(remote=lambda: "more"),
    )
    copies = Copies.__new__(Copies)
    copies.spec, copies._share, copies._all, copies._lost = ("fake", TeacherOptions()), nodes.Share(1, 0), [], 0
    copies._cluster = SimpleNamespace(nodes=[{"Resources": {"CPU": 1}}], check=lambda: None, lost=False)  # type: ignore[assignment]
    answers = {"there": "node1", "more": ([(0, completion)], True, None)}
    copies._ray = SimpleNamespace(wait=room_at_last, get=answers.__getitem__)
    copies._new = lambda: actor
    teacher = make_teacher("fake")
    teacher.tell = told.append
    example = Example("q", "Where?", ("here", "there"), "here")
    prompt = Prompt((Turn("user", "Where?"),), example, "explanation", "here")
    assert list(copies.deal(teacher, [prompt], Sampling())) == [(0, completion)]
    assert told == [
        "1 more copy on the cluster, 1 in all",
        "no copy has begun: the cluster has no free room yet, or is slow to start one",
    ]
