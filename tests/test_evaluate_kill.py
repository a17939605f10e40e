"""kill -9 in the middle of an evaluation, then the same command again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

COUNT = 24


def evaluate(folder: Path, delay: float) -> None:
    from evaluation_fakes import FakeStudent, FakeTask, questions
    from shrinklm.core.results import write_predictions
    from shrinklm.evaluation.ask import EvaluateSettings, Evaluation, predict
    from shrinklm.methods.spec import method

    student, settings = FakeStudent(folder / "asked.log", delay), EvaluateSettings(96, batch=2, explanations=None)
    evaluation = Evaluation(student, FakeTask(), method("multitask"), "cell", settings)
    predictions, timing = predict(evaluation, questions(COUNT), folder / "part.jsonl")
    write_predictions(predictions, folder / "predictions.parquet")
    (folder / "timing.json").write_text(json.dumps(asdict(timing)))


def start(folder: Path, delay: float) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    return subprocess.Popen([sys.executable, __file__, str(folder), str(delay)])


def asked(folder: Path) -> Counter[str]:
    """What the student was asked for the predictions (batch 2), how often; latency is asked one by one."""
    log = folder / "asked.log"
    lines = log.read_text().splitlines() if log.exists() else []
    return Counter(line for line in lines if line.startswith("2 "))


def test_a_killed_evaluation_goes_on_and_asks_no_finished_chunk_again(tmp_path):
    from shrinklm.core.results import read_predictions

    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = start(killed, delay=0.05)
    deadline = time.monotonic() + 60
    part = killed / "part.jsonl"
    while not part.exists() or part.read_bytes().count(b"\n") < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (killed / "predictions.parquet").exists()
    lines = [line for line in part.read_bytes().splitlines(keepends=True)[1:] if line.endswith(b"\n")]
    kept = [row["example_id"] for line in lines for row in json.loads(line)["predictions"]]
    assert 8 <= len(kept) < COUNT

    assert start(killed, delay=0).wait(60) == 0
    assert start(whole, delay=0).wait(60) == 0
    assert read_predictions(killed / "predictions.parquet") == read_predictions(whole / "predictions.parquet")
    tokens = [json.loads((folder / "timing.json").read_text())["tokens_out"] for folder in (killed, whole)]
    assert tokens[0] == tokens[1]

    again = {line for line, times in asked(killed).items() if times > 1}
    assert len(asked(killed)) == len(asked(whole)) == 2 * COUNT
    finished = {f"number {example_id[1:]}?" for example_id in kept}
    assert not [line for line in again if any(mark in line for mark in finished)]
    assert len(again) <= 2 * 4  # the chunk in flight


if __name__ == "__main__":
    evaluate(Path(sys.argv[1]), float(sys.argv[2]))
