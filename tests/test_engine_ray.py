"""Works on a real cluster of three nodes: the bytes of the local engine, whatever is lost on the way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from shrinklm.core.results import CellFile, RunFile
from shrinklm.run.engines.ray import RayEngine
from test_engine_local import run

ray = pytest.importorskip("ray")
HERE = Path(__file__).parent
MEMORY = 80 * 2**20


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    before = dict(os.environ)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    head = {"num_cpus": 1, "object_store_memory": MEMORY, "include_dashboard": False}
    nodes = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(2):
            nodes.add_node(num_cpus=1, object_store_memory=MEMORY)
        ray.init(address=nodes.address, log_to_driver=False, logging_level="CRITICAL")
        yield nodes
    finally:
        ray.shutdown()
        nodes.shutdown()
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


FILES = ("student/model.safetensors", CellFile.PREDICTIONS, CellFile.SCORES, "pairs.jsonl")


def results(root: Path) -> dict[str, bytes]:
    """What was measured, and the weights."""
    cells = sorted((root / "runs/r" / RunFile.CELLS).iterdir())
    paths = [cell / name for cell in cells for name in FILES if (cell / name).exists()]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The results of the local engine."""
    root = tmp_path_factory.mktemp("local")
    one = run(root, 1)
    one.generate()
    one.train()
    one.evaluate()
    return results(root)


def test_a_cluster_makes_the_bytes_of_one_machine(cluster: Any, local: dict[str, bytes], tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    several = run(tmp_path, 1, lambda *tick: told.append(tick[:3]), RayEngine(cluster.address, cpus=1))
    several.generate()
    several.train()
    several.evaluate()
    assert len(local) == 10
    assert results(tmp_path) == local
    assert {f"train multitask--tiny--s{seed}" for seed in (0, 1)} <= {what for what, done, total in told if total}
    # Nothing is left that the cluster alone needed, and the local engine has nothing to do.
    assert not list((tmp_path / "runs/r").rglob(".*"))
    told.clear()
    run(tmp_path, 1, lambda *tick: told.append(tick[:3])).train()
    assert not told
