"""Works on a real cluster of three nodes: the bytes of the local engine, whatever is lost on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import yaml

from benchmarks_of import benchmark
from ray_cases import Case
from shrinklm import Recipe, Run
from shrinklm.core.errors import ClusterError, StudentError
from shrinklm.core.results import CellFile, RunFile
from shrinklm.run.engines.ray import RayEngine, nodes
from shrinklm.teachers.store import Store

ray = pytest.importorskip("ray")
HERE = Path(__file__).parent
MEMORY = 80 * 2**20
RECIPE: dict[str, Any] = {
    "name": "r",
    "task": {"use": "everyday", "limit": {"train": 24, "dev": 3, "test": 24}},
    "teacher": {"use": "fake"},
    "generate": ["explanation"],
    "methods": ["multitask"],
    "student": "tiny",
    "train": {"examples": 80, "batch": 4, "precision": "fp32", "seeds": [0, 1], "checkpoints": 5},
    "evaluate": {"batch": 2, "max_tokens": 2, "zero_shot": False},
}
FILES = ("student/model.safetensors", CellFile.PREDICTIONS, CellFile.SCORES, CellFile.PAIRS)
Told = list[tuple[str, int, int, str]]
ONE = RayEngine(cpus=1)


class Nodes:
    """A head without CPUs, and two nodes with one each."""

    def __init__(self, count: int = 2, port: int | None = None) -> None:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "object_store_memory": MEMORY, "include_dashboard": False}
        self.all = Cluster(initialize_head=True, head_node_args=head | ({"gcs_server_port": port} if port else {}))
        for _ in range(count):
            self.add()

    def add(self) -> None:
        self.all.add_node(num_cpus=1, object_store_memory=MEMORY)

    @property
    def address(self) -> str:
        return str(self.all.address)

    def lose(self, title: str) -> None:
        """Kill the node that does the work of a title, at once and with all its processes; another one comes."""
        for node in list(self.all.worker_nodes):
            raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
            there = [raylet, *raylet.children(recursive=True)]
            if any(title in " ".join(_line(process)) for process in there):
                for process in there:
                    process.kill()
                self.all.remove_node(node, allow_graceful=False)
                while len(alive()) > 1:  # until the head has noticed
                    time.sleep(0.05)
                return
        raise AssertionError(f"nobody does {title}")

    def end(self) -> None:
        self.all.shutdown()


def _line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    before = dict(os.environ)
    os.environ["SHRINKLM_MIRROR"] = str(tmp_path_factory.mktemp("mirrors"))
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    found = Nodes()
    try:
        ray.init(address=found.address, log_to_driver=False, logging_level="CRITICAL")
        yield found
    finally:
        ONE.close()
        ray.shutdown()
        found.end()
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def write(root: Path, **other: Any) -> Path:
    root.mkdir(exist_ok=True)
    path = root / "recipe.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, **other}))
    return path


def results(root: Path) -> dict[str, bytes]:
    """What was measured, and the weights."""
    cells = sorted((root / "runs/r" / RunFile.CELLS).iterdir())
    paths = [cell / name for cell in cells for name in FILES if (cell / name).exists()]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The results of the local engine."""
    root = tmp_path_factory.mktemp("local")
    one = Run(Recipe.read(write(root)))
    one.generate()
    one.train()
    one.evaluate()
    found = results(root)
    assert len(found) == 8
    return found


def soon(there: Callable[[], bool], what: Callable[[], None]) -> threading.Thread:
    """Do `what` as soon as something is there."""

    def wait() -> None:
        deadline = time.monotonic() + 120
        while not there():
            assert time.monotonic() < deadline
            time.sleep(0.002)
        what()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def checkpoint(root: Path) -> bool:
    return any((root / "runs/r" / RunFile.CELLS).glob("*--s0/checkpoints/*/*.safetensors"))


def test_two_nodes_are_lost_and_the_bytes_are_those_of_one_machine(
    three: Nodes, local: dict[str, bytes], tmp_path: Path
) -> None:
    told: Told = []
    cell = tmp_path / "runs/r" / RunFile.CELLS / "multitask--tiny--s0"
    part = cell / CellFile.PREDICTIONS_PART
    several = Run(Recipe.read(write(tmp_path)), tick=lambda *said: told.append(said), engine=ONE)
    several.generate()
    killer = soon(lambda: checkpoint(tmp_path), lambda: three.lose("train multitask--tiny--s0"))
    several.train()
    killer.join()
    three.add()
    steps = [json.loads(line).get("step") for line in (cell / CellFile.LOG).read_text().splitlines()]
    assert sorted(set(steps)) == list(range(1, 21))
    killer = soon(
        lambda: part.exists() and part.read_bytes().count(b"\n") > 1,
        lambda: three.lose("evaluate multitask--tiny--s0"),
    )
    several.evaluate()
    killer.join()
    three.add()
    lost = [what for what, *_, note in told if note.startswith("lost (")]
    assert lost == ["train multitask--tiny--s0", "evaluate multitask--tiny--s0"]
    first = [done for what, done, *_ in told if what == "train multitask--tiny--s0" and done]
    assert {f"train multitask--tiny--s{seed}" for seed in (0, 1)} <= {what for what, _, total, _ in told if total}
    assert first[-1] == 20
    assert results(tmp_path) == local
    # Nothing is left that the cluster alone needed, and the local engine has nothing to do.
    assert not list((tmp_path / "runs/r").rglob(".*"))
    told.clear()
    Run(Recipe.read(tmp_path / "recipe.yaml"), tick=lambda *said: told.append(said)).train()
    assert not told


def test_a_node_is_lost_while_texts_are_written(three: Nodes, tmp_path: Path) -> None:
    log = tmp_path / "asked"
    slow = {"teacher": {"use": f"fake:log={log},delay=0.15"}}
    engine = RayEngine(cpus=1)
    one = Run(Recipe.read(write(tmp_path, **slow)), engine=engine)
    killer = soon(lambda: log.exists() and log.read_text().count("\n") >= 6, lambda: three.lose("ray::Copy"))
    try:
        report = one.generate()
    finally:
        killer.join()
        engine.close()  # its copies would keep the room that other tests need
    three.add()
    asked = Counter(log.read_text().splitlines())
    assert len(asked) == report.steps["explanation"].asked == 24
    # What was being written, and what had not been fetched yet: half a second.
    assert sum(asked.values()) - 24 <= 5
    assert max(asked.values()) <= 2
    (tmp_path / "plain").mkdir()
    plain = Run(Recipe.read(write(tmp_path / "plain")))
    plain.generate()
    texts = [{each.key: each.text for each in Store(run.recipe.path(run.recipe.store))} for run in (one, plain)]
    assert texts[0] == texts[1]


def test_the_benchmark_runs(three: Nodes) -> None:
    cluster = benchmark("cluster")
    assert min(cluster.on_cluster("fake:delay=0.01", cluster.questions(9), 1)) > 0.02


def command(recipe: Path, address: str, gone: float = 20.0) -> subprocess.Popen[str]:
    said = (
        "import sys; from shrinklm.run.engines.ray import cluster; from shrinklm.cli import main; "
        f"cluster._GONE = {gone}; sys.argv = ['shrinklm', 'train', {str(recipe)!r}, '--engine', "
        f"'ray', '--address', {address!r}, '--cpus-per-cell', '1']; main()"
    )
    return subprocess.Popen([sys.executable, "-c", said], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_process_that_drives_is_killed_and_another_goes_on(
    three: Nodes, local: dict[str, bytes], tmp_path: Path
) -> None:
    recipe = write(tmp_path, train={**RECIPE["train"], "seeds": [0]})
    Run(Recipe.read(recipe)).generate()
    first = command(recipe, three.address)
    killer = soon(lambda: checkpoint(tmp_path) or first.poll() is not None, first.kill)
    killer.join()
    assert first.wait() == -signal.SIGKILL, first.stderr
    several = Run(Recipe.read(recipe), engine=ONE)
    several.train()
    several.evaluate()
    assert results(tmp_path) == of_seed_0(local)


def of_seed_0(local: dict[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in local.items() if "--s0/" in name}


def alive() -> list[str]:
    return [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]


def done(cases: list[Case], told: Told | None = None, engine: RayEngine = ONE) -> dict[str, Any]:
    notes = [] if told is None else told
    return engine.do(cases, lambda *said: notes.append(said))


def begun(root: Path, number: int) -> list[str]:
    path = root / f"cells/c{number}/begun"
    return path.read_text().split() if path.exists() else []


def test_a_slow_node_gets_less_and_what_works_share_is_sent_once(
    three: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put: list[int] = []
    plain = ray.put
    monkeypatch.setattr(ray, "put", lambda part: put.append(len(part)) or plain(part))
    slow, shared = alive()[0], list(range(5_000))
    made = done([Case(tmp_path, number, "slow", slow, shared) for number in range(12)])
    assert [made[f"case {number}"][1:] for number in range(12)] == [(1, 5_000)] * 12
    assert Counter(node for node, *_ in made.values())[slow] <= 4
    assert put == [5_000]


def test_a_run_at_a_url_is_whole_there(three: Nodes, local: dict[str, bytes], tmp_path: Path) -> None:
    there = tmp_path / "bucket"
    recipe = write(tmp_path, runs=f"file://{there}", train={**RECIPE["train"], "seeds": [0]})
    one = Run(Recipe.read(recipe), engine=ONE)
    one.generate()
    one.train()
    one.evaluate()
    found = {f"runs/{name}": (there / name).read_bytes() for name in (name[5:] for name in of_seed_0(local))}
    assert found == of_seed_0(local)
    with pytest.raises(ClusterError, match=r"The node n mirrors file:///.* in another folder, .* Set SHRINKLM_MIRROR"):
        nodes.Place(url=f"file://{there}/r", folder="/elsewhere").check("n")


def test_a_full_disk_of_one_node_sends_the_work_to_another(three: Nodes, tmp_path: Path) -> None:
    full, told = alive()[0], []
    made = done([Case(tmp_path, number, "full", full) for number in range(4)], told)
    assert {node for node, *_ in made.values()} == {node for node in alive() if node != full}
    assert full in [node for number in range(4) for node in begun(tmp_path, number)]
    assert [note for *_, note in told if "no room on a disk of" in note]


def test_an_error_of_a_work_ends_the_others_in_order(three: Nodes, tmp_path: Path) -> None:
    told: Told = []
    hows = ["fails", "waits", "slow"]
    with pytest.raises(StudentError, match=r"^It does not open\.$"):
        done([Case(tmp_path, number, how) for number, how in enumerate(hows)], told)
    assert (tmp_path / "cells/c1/ended").exists()
    assert not begun(tmp_path, 2)
    assert ("waits", 1, 2, "") in told


def test_ctrl_c_ends_the_works_and_the_same_goes_on(three: Nodes, tmp_path: Path) -> None:
    def tick(*said: Any) -> None:
        if said[0] == "hangs":
            raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        ONE.do([Case(tmp_path, number, "hangs") for number in range(3)], tick)
    told: Told = []
    assert len(done([Case(tmp_path, number) for number in range(3)], told)) == 3
    assert time.monotonic() - began < 60
    assert not [note for *_, note in told if "still writes" in note]
    assert not list((tmp_path / "cells").glob(".*"))


def test_a_work_that_is_lost_again_and_again_is_given_up(three: Nodes, tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="'case 0' was lost 4 times without getting further") as raised:
        done([Case(tmp_path, 0, "dies")])
    assert "--cpus-per-cell" in str(raised.value)
    assert len(begun(tmp_path, 0)) == 4
    assert len(set(begun(tmp_path, 0))) == 2


def test_a_node_that_does_not_see_the_folder_is_told(
    three: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    elsewhere = Path("/proc/self/cwd")  # to each process another folder
    with pytest.raises(ClusterError, match=r"does not see /proc/self/cwd/cells, in which .* runs: s3://BUCKET/FOLDER"):
        done([Case(elsewhere, 0)])
    assert not begun(tmp_path, 0)
    assert not list((tmp_path / "cells").iterdir())


def test_other_code_on_a_node_is_told(three: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "code", lambda: "0.0.9 (12345678)")
    with pytest.raises(ClusterError, match=r"has other code of shrinklm .* 0\.0\.9 \(12345678\): found 0\.1\.0 \("):
        done([Case(tmp_path, 0)], engine=RayEngine(cpus=1))


def test_more_than_a_node_has_is_told(three: Nodes, tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"No node has 64 CPUs and 0 GPUs.* Write: --cpus-per-cell 1$"):
        RayEngine(cpus=64).do([Case(tmp_path, 0)], lambda *_: None)


def test_a_head_vanishes_and_the_same_command_goes_on_on_another(
    three: Nodes, local: dict[str, bytes], tmp_path: Path
) -> None:
    recipe = write(tmp_path, train={**RECIPE["train"], "seeds": [0]})
    Run(Recipe.read(recipe)).generate()
    first = command(recipe, three.address, gone=1)
    soon(lambda: checkpoint(tmp_path) or first.poll() is not None, lambda: None).join()
    ray.shutdown()
    head = three.all.head_node
    for name in ("gcs_server", "raylet"):
        head.all_processes[name][0].process.kill()
    out, said = first.communicate(timeout=120)
    assert first.returncode == 1, said
    assert "The head of the Ray cluster" in said
    assert "type the same command" in said
    assert out == ""
    assert not [word for word in ("raylet", "ray::", " E ", "Traceback") if word in said], said
    port = int(three.address.rpartition(":")[2])
    three.end()
    again = Nodes(1, port)
    try:
        ray.init(address=again.address, log_to_driver=False, logging_level="CRITICAL")
        several = Run(Recipe.read(recipe), engine=RayEngine(cpus=1))
        several.train()
        several.evaluate()
        assert results(tmp_path) == of_seed_0(local)
    finally:
        ray.shutdown()
        again.end()
