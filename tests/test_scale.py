"""The files of recipes/scale do what docs/scale.md says of them, with stand-ins for SLURM, Ray and the GPUs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

SCALE = Path(__file__).parent.parent / "recipes" / "scale"

# As much of shrinklm as the scripts call: a server that says that it is well, and a run that can be interrupted.
SHRINKLM = """
import os, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer

log = lambda line: open(os.environ["LOG"], "a").write(line + "\\n")
told = sys.argv[1:]
if told[:2] == ["teacher", "serve"]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_):
            pass

    log(f"serve {told[2]} on GPU {os.environ['CUDA_VISIBLE_DEVICES']} {' '.join(told[3:])}")
    HTTPServer(("127.0.0.1", int(told[told.index("--port") + 1])), Handler).serve_forever()
try:
    log(" ".join(told))
    if told[0] == "generate":
        log("asked " + open(os.environ["LIST"]).read().replace("\\n", " "))
    if os.environ.get("LONG"):
        time.sleep(30)
except KeyboardInterrupt:
    log("saved")
    sys.exit(130)
sys.exit(int(os.environ.get("CODE", 0)))
"""
STANDS_IN = {
    "shrinklm": f"#!{sys.executable} -S\n{SHRINKLM}",
    "nvidia-smi": "#!/bin/sh\nprintf 'GPU 0: x\\nGPU 1: y\\n'\n",
    "hostname": "#!/bin/sh\necho node1\n",
    "scontrol": '#!/bin/sh\necho "scontrol $*" >> "$LOG"\n',
    # One node here: what is for another one is only noted.
    "srun": '#!/bin/bash\necho "srun $*" >> "$LOG"\nwhile [[ $1 == --* ]]; do [[ $1 == *=* ]] || shift; shift; done\n'
    'if [ "$1" = ray ]; then exec sleep 30; fi\nexec "$@"\n',
    "ray": '#!/bin/sh\necho "ray $*" >> "$LOG"\n[ "$1" = start ] && exec sleep 30\nexit 0\n',
}


class Shell:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, text in STANDS_IN.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        self.list, self._log = folder / "servers.txt", folder / "log"

    def start(self, script: str, *told: str, **more: str) -> subprocess.Popen[str]:
        told_more = {"SLURM_JOB_ID": "4321", "SLURM_JOB_NUM_NODES": "3", "SLURM_GPUS_ON_NODE": "8"} | more
        return subprocess.Popen(
            ["bash", str(SCALE / script), *told],
            env={
                **os.environ,
                "PATH": f"{self.folder}:{os.environ['PATH']}",
                "LOG": str(self._log),
                "LIST": str(self.list),
                "SCALE": str(SCALE),
                "SLURM_CPUS_PER_TASK": "32",
                **told_more,
            },
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def log(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []

    @property
    def listed(self) -> list[str]:
        return sorted(self.list.read_text().split()) if self.list.exists() else []


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def until(true: Callable[[], Any], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def port() -> int:
    return 20000 + os.getpid() % 10000


def test_servers_stand_in_the_list_while_they_answer(shell: Shell) -> None:
    shell.list.write_text("http://other:8000/v1\n")
    first = port()
    running = shell.start("servers.sh", "weights", str(shell.list), "--batch", "8", PORT=str(first))
    ours = [f"http://node1:{first + gpu}/v1" for gpu in range(2)]
    try:
        until(lambda: shell.listed == sorted(["http://other:8000/v1", *ours]))
        assert sorted(shell.log) == [
            f"serve weights on GPU {gpu} --host 0.0.0.0 --port {first + gpu} --batch 8" for gpu in range(2)
        ]
    finally:
        running.terminate()
        _, errors = running.communicate(timeout=20)
    assert running.returncode == 0, errors
    assert shell.listed == ["http://other:8000/v1"]
    assert subprocess.run(["bash", str(SCALE / "servers.sh"), "weights"], capture_output=True).returncode == 2


def test_a_job_of_servers_generates_when_the_first_answers_and_ends_them(shell: Shell) -> None:
    shell.list.write_text("http://gone:8000/v1\n")
    running = shell.start(
        "servers.sbatch", "weights", str(shell.list), "recipe.yaml", "--limit", "5", PORT=str(port() + 10), CODE="75"
    )
    _, errors = running.communicate(timeout=30)
    assert running.returncode == 75, errors  # texts come later: the code of the command is that of the job
    assert "generate recipe.yaml --limit 5" in shell.log
    asked = next(line for line in shell.log if line.startswith("asked "))
    assert "http://node1:" in asked
    assert "gone" not in asked
    assert shell.listed == []


def test_a_job_whose_servers_or_cluster_do_not_start_says_so(shell: Shell) -> None:
    for name in ("srun", "ray"):
        (shell.folder / name).write_text('#!/bin/sh\n[ "$1" = get-auth-token ]\n')
    for script, told, words in (
        ("servers.sbatch", ["weights", str(shell.list), "recipe.yaml"], "No server came up: see above."),
        ("ray.sbatch", ["recipe.yaml"], "Ray did not start: see above."),
    ):
        running = shell.start(script, *told)
        _, errors = running.communicate(timeout=30)
        assert (running.returncode, errors.strip()) == (1, words)
    assert shell.log == []


def test_a_job_on_a_cluster(shell: Shell) -> None:
    running = shell.start("ray.sbatch", "recipe.yaml", "--gpus-per-cell", "0.5", CODE="1")
    _, errors = running.communicate(timeout=30)
    assert running.returncode == 1, errors
    address = "node1:24321"
    node = "--num-cpus 32 --num-gpus 8 --disable-usage-stats --block"
    told = [line for line in shell.log if not line.startswith("ray status")]
    assert told[:2] == [
        "ray get-auth-token --generate",
        f"ray start --head --port 24321 --include-dashboard false {node}",
    ]
    assert sorted(told[2:]) == [  # side by side
        f"run recipe.yaml --engine ray --address {address} --gpus-per-cell 0.5",
        f"srun --nodes 2 --ntasks 2 --exclude node1 --kill-on-bad-exit=0 ray start --address {address} {node}",
    ]


def test_a_job_whose_time_is_over_goes_back_into_the_queue(shell: Shell) -> None:
    running = shell.start("ray.sbatch", "recipe.yaml", LONG="1", SLURM_JOB_NUM_NODES="1")
    until(lambda: any(line.startswith("run recipe.yaml") for line in shell.log))
    running.send_signal(signal.SIGUSR1)
    running.communicate(timeout=20)
    assert shell.log[-2:] == ["saved", "scontrol requeue 4321"]
    assert not [line for line in shell.log if line.startswith("srun")]


def test_the_signal_may_come_while_the_cluster_is_being_made(shell: Shell) -> None:
    running = shell.start("ray.sbatch", "recipe.yaml", LONG="1", SLURM_JOB_NUM_NODES="1")
    until(lambda: any(line.startswith("ray start --head") for line in shell.log))
    running.send_signal(signal.SIGUSR1)
    running.communicate(timeout=20)
    assert shell.log[-1] == "scontrol requeue 4321"


def documents() -> dict[str, dict[str, Any]]:
    files = sorted(SCALE.glob("*.yaml"))
    return {one["kind"]: one for file in files for one in yaml.safe_load_all(file.read_text(encoding="utf-8"))}


def options(command: str) -> set[str]:
    """The options of a command, by docs/cli.md, which a test keeps true."""
    page = (SCALE.parent.parent / "docs" / "cli.md").read_text(encoding="utf-8")
    part = page.partition(f"## shrinklm {command}\n")[2].partition("\n## ")[0]
    return set(re.findall(r"--[a-z-]+", part))


def test_the_cluster_of_kubernetes_shares_a_volume_and_its_commands_are_some() -> None:
    job = documents()["RayJob"]["spec"]
    groups = [job["rayClusterSpec"]["headGroupSpec"], *job["rayClusterSpec"]["workerGroupSpecs"]]
    stateful = documents()["StatefulSet"]["spec"]
    for pod in [*(group["template"]["spec"] for group in groups), stateful["template"]["spec"]]:
        (container,) = pod["containers"]
        assert container["image"] == "REGISTRY/shrinklm"
        assert [mount["name"] for mount in container["volumeMounts"]] == [each["name"] for each in pod["volumes"]]
        assert container["resources"]["requests"] == container["resources"]["limits"]
    assert documents()["Service"]["spec"]["selector"] == stateful["selector"]["matchLabels"]
    assert documents()["Service"]["metadata"]["name"] == stateful["serviceName"]
    served = stateful["template"]["spec"]["containers"][0]["command"]
    for command, told in (("run", job["entrypoint"].split()), ("teacher serve", served)):
        assert told[: 1 + len(command.split())] == ["shrinklm", *command.split()]
        assert {one for one in told if one.startswith("--")} <= options(command)
    script = (SCALE / "ray.sbatch").read_text(encoding="utf-8")
    (line,) = re.findall(r"^shrinklm run .*", script, re.MULTILINE)
    assert set(re.findall(r"--[a-z-]+", line)) <= options("run")
