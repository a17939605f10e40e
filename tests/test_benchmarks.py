"""Benchmarks run, at a tiny size; how fast things are is for `benchmarks/` to say."""

from __future__ import annotations

import contextlib
import json
import os
import re
import runpy
import signal
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks_of import FOLDER, benchmark
from forked import Forked
from shrinklm import Run
from shrinklm.students.causal import CausalStudent
from teacher_cases import tiny_model


@pytest.mark.parametrize(
    ("name", "arguments", "line"),
    [
        ("saliency", ["tiny", "2"], r"captum Saliency: ([\d.]+) questions/s, ratio ([\d.]+)"),
        ("study_load", ["--people", "3", "--think", "0.02"], r"answers acknowledged (\d+), kept (\d+)"),
        (
            "study_load",
            ["--going", "--people", "4", "--think", "0.02"],
            r"(4) finished, [\s\S]* acknowledged (\d+), kept",
        ),
        ("study_false_alarms", ["1"], r"ordinal, as analysed: \d of (1)"),
        ("false_spreads", ["3"], r"2, 5: [\d.]+% \([\d.]+% to ([\d.]+)%\)"),
        (
            "calibration_coverage",
            ["--samples", "2", "--resamples", "20"],
            r"100 answers, 30 points off: held by ([\d.]+)%",
        ),
        (
            "discriminator",
            ["--samples", "2", "--pairs", "10"],
            r"12 and 9 words, 0% exchanged: area ([\d.]+) ",
        ),
        ("cascade_guarantee", ["--runs", "3", "--questions", "60"], r"overconfident, (60) dev questions: below 90% in"),
        ("predict", ["--model", "tiny", "--questions", "6"], r"by text: ([\d.]+) s, ([\d.]+) times as fast"),
        ("scoring", ["12"], r"all \d+: ([\d.]+) s"),
        ("tables", ["20"], r"parquet: (20) rows in ([\d.]+) s .* (\d+) MB at most\nall three show the same: True"),
    ],
)
def test_it_runs(
    name: str, arguments: list[str], line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    monkeypatch.syspath_prepend(FOLDER)  # as for a script, which may import its neighbours
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)  # of the whole process, other tests included
    with contextlib.suppress(SystemExit):  # at this size a limit of time says nothing
        runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    out = capsys.readouterr().out
    found = re.search(line, out)
    assert found, out
    assert all(float(figure) > 0 for figure in found.groups())


def test_every_stage_of_a_large_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = ["generate", "again", "preview", "train", "epoch", "evaluate"]
    monkeypatch.setattr(sys, "argv", ["sizes", "28", "--tests", "3", "--folder", str(tmp_path), "--only", *stages])
    sizes = benchmark("sizes")
    # In this process, which has loaded torch; the student's own answers come back.
    monkeypatch.setattr(sizes, "in_a_process", lambda name, folder: (0.0, 0.0, 0.0, sizes.STAGES[name](folder)))
    for name in ("replies", "likelihood"):
        monkeypatch.setattr(CausalStudent, name, getattr(CausalStudent, name))
    sizes.main()
    out = capsys.readouterr().out
    assert re.search(r"^again: .* 0 asked, \d+ found", out, re.MULTILINE), out
    assert re.search(r"^evaluate: .* 7 cells of 3 questions", out, re.MULTILINE), out


def test_a_server_that_answers_at_once() -> None:
    done = subprocess.run(
        [sys.executable, str(FOLDER / "endpoint.py"), "40", "--servers", "0.01"],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    rounds = re.findall(r"^round \d: ([\d,]+) requests a second .* ([\d.]+) times$", done.stdout, re.MULTILINE)
    assert len(rounds) == 3, done.stdout + done.stderr
    assert all(float(times) > 0 for _, times in rounds)
    shared = re.findall(r"servers 1: .*, 2: .* s \(([\d.]+) times\), 4: .* s \(([\d.]+) times\)$", done.stdout, re.M)
    assert len(shared) == 2 == done.stdout.count("one of four ten times as slow"), done.stdout + done.stderr


def test_a_server_bears_a_crowd(
    deployed: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Server(Forked):
        """In the place of a process that would import torch again."""

        def __init__(self, command: list[str], env: dict[str, str], **_: Any) -> None:
            assert command[:3] == [sys.executable, "-m", "shrinklm"]
            os.mkfifo(tmp_path / "stdout")
            super().__init__(command[3:], tmp_path, **env)
            self.stdout = self.out.open()

        def terminate(self) -> None:
            self.send(signal.SIGTERM)
            self.stdout.close()

    settings = ["--run", str(deployed.folder), "--cell", "multitask", "--clients", "8", "--each", "1", "--alone", "3"]
    monkeypatch.setattr(sys, "argv", ["serve", *settings])
    serving = benchmark("serve")
    monkeypatch.setattr(serving.subprocess, "Popen", Server)
    with contextlib.suppress(SystemExit):  # at this size the throughput says nothing
        serving.main()
    out = capsys.readouterr().out
    assert re.search(r"^8 clients: 8 answers in .* p95 \d+ ms", out, re.MULTILINE), out
    assert re.search(r"^lost 0, other than alone 0, [\d.]+ times", out, re.MULTILINE), out


def test_training_beside_the_trainer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    settings = "--model tiny --examples 24 --rounds 1 --methods multitask"
    monkeypatch.setattr(sys, "argv", ["training", *settings.split()])
    benchmark("training").main()
    out = capsys.readouterr().out
    assert re.search(r"^multitask: [\d.]+ examples/s, \d+ tokens each$", out, re.MULTILINE), out
    assert re.search(r"^  [\d.]+ times transformers' Trainer", out, re.MULTILINE)
    assert re.search(r"^  data: [\d,]+ examples/s of one core$", out, re.MULTILINE)


def test_options_in_one_pass(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["likelihood", "--model", "tiny", "--questions", "6", "--rounds", "1"])
    benchmark("likelihood").main()
    out = capsys.readouterr().out
    assert re.search(r"^[\d.]+ times one padded forward an option", out, re.MULTILINE), out
    differ = re.search(r"differ by ([\d.e-]+) at most", out)
    assert differ
    assert float(differ[1]) < 1e-3


def test_what_the_loss_over_options_does(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    settings = "--model tiny --questions 8 --test 5 --seeds 0 --methods finetune:options"
    monkeypatch.setattr(sys, "argv", ["options_loss", *settings.split()])
    monkeypatch.syspath_prepend(str(FOLDER))
    benchmark("options_loss").main()
    out = capsys.readouterr().out
    assert re.search(
        r"^finetune:options, seed 0: generated [\d.]+, summed [\d.]+, per character [\d.]+, calibration error [\d.]+ %",
        out,
        re.MULTILINE,
    ), out


def test_all_methods_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHRINKLM_DATA", str(tmp_path))  # the packaged questions
    monkeypatch.syspath_prepend(str(FOLDER))
    methods = benchmark("methods")
    settings = f"--student tiny --questions 8 --test 10 --seeds 0 --recipe methods-several-2cores --folder {tmp_path}"
    with pytest.raises(SystemExit, match=r"unknown option 'optoins'. Did you mean 'options'"):
        methods.main([*settings.split(), "--methods", "finetune", "finetune:optoins"])
    methods.main([*settings.split(), "--methods", "finetune", "multitask:teacher-labels"])
    out = capsys.readouterr().out
    assert re.search(
        r"^\| multitask:teacher-labels \| [\d.]+ \(.*\) \| .* \| [\d.]+ \| label \|$", out, re.MULTILINE
    ), out
    assert len(re.findall(r"^\| multitask:teacher-labels − finetune \| Accuracy", out, re.MULTILINE)) == 2, out
    assert re.search(
        r"^\| multitask:teacher-labels \| .* \| [\d.]+[^|]*\|$", out.rpartition("| Method |")[2], re.MULTILINE
    ), out


def test_a_store_is_compared_by_its_keys() -> None:
    done = subprocess.run(
        [sys.executable, str(FOLDER / "store.py"), "200", "--rounds", "1"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    sides = re.findall(
        r"^(opened and compared|every row read): +20 missing, [\d.]+ s .*, \d+ MB", done.stdout, re.MULTILINE
    )
    assert len(sides) == 2, done.stdout + done.stderr


def test_decoding_beside_generate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny_model(tmp_path / "model", chat=True, max_position_embeddings=4096)
    settings = "--prompts 4 --batch 2 --rows 3 --tokens 6 --rounds 2 --check 3 --dtype float32"
    monkeypatch.setattr(sys, "argv", ["decoding", str(model), *settings.split()])
    benchmark("decoding").main()
    out = capsys.readouterr().out
    assert "float32: 3 of 3 texts are those of generate" in out
    assert len(re.findall(r"^round \d: ours [\d.]+ examples/s, .* ratio [\d.]+$", out, re.MULTILINE)) == 2
    assert re.search(r"^median ratio of examples a second: [\d.]+$", out, re.MULTILINE)


def test_what_a_gpu_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHRINKLM_DATA", str(tmp_path))  # the packaged questions
    out = tmp_path / "out"
    parts = "gradients,answers,steps,repeated,training,likelihood,decoding,comparison"
    benchmark("gpu").main(["--dry", "--out", str(out), "--work", str(tmp_path / "work"), "--parts", parts])
    lines = [json.loads(line) for line in (out / "gpu.jsonl").read_text().splitlines()]
    assert lines[-1] == {"part": "end", "failed": []}, lines
    assert {line["part"] for line in lines if "took" in line} == {*parts.split(",")}
    checks = [line for line in lines if "check" in line]
    assert {line["part"] for line in checks} == {"gradients", "answers", "repeated"}
    assert all(line["ok"] for line in checks)
    assert [line["ended"] for line in lines if "ended" in line] == [[0, 0, -9]]
    speeds = [line["examples_per_second"] for line in lines if line["part"] == "training" and "method" in line]
    assert len(speeds) == 1
    assert speeds[0] > 0
    with tarfile.open(out / "honey-smollm2.tar.gz") as archive:
        names = archive.getnames()
    assert "honey-smollm2/cells/multitask--smollm2-135m--s0/scores.parquet" in names
    assert not any("safetensors" in name for name in names)
