"""What the parts of `gpu.py` share: results, the time that is left, questions with every kind of text, processes."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from shrinklm.core.marking import mark, words
from shrinklm.core.registry import names
from shrinklm.core.types import Example, Generation
from shrinklm.methods.corpus import Corpus
from shrinklm.methods.spec import method
from shrinklm.models.load import bf16_supported, default_device
from shrinklm.run.blocks import StudentBlock, TrainBlock
from shrinklm.students.base import BaseStudent
from shrinklm.students.open import open_student
from shrinklm.students.training import processes
from shrinklm.students.training.lessons import Lessons
from shrinklm.students.training.limit import Limit
from shrinklm.students.training.precision import HalfCopy
from shrinklm.students.training.train import TrainSettings
from shrinklm.students.training.trainer import Plan, Trainer

sys.path.insert(0, str(Path(__file__).parent))

import training

SCRIPT = Path(__file__).parent / "gpu.py"
MARKS = ("salient", "own-saliency", "tfidf-tokens", "random-tokens")
METHODS = (
    *(name for name in names("methods") if name != "zero-shot"),
    "multitask+counterfactual:revised",
    "multitask:teacher-labels",
    "finetune:options",
    "multitask+counterfactual:options",
)


@dataclass
class Kit:
    """One run of the script."""

    out: Path
    work: Path
    model: str
    dry: bool
    until: float
    """When all ends, by `time.time()`."""
    wide: bool = False
    """Whether a dry run goes through all methods."""
    options: Any = None
    part: str = ""
    end: float = 0.0
    """When the present part ends."""
    failed: list[str] = field(default_factory=list)

    @property
    def gpu(self) -> bool:
        return self.device.type == "cuda"

    @cached_property
    def device(self) -> torch.device:
        return default_device()

    def left(self) -> float:
        """Seconds of the present part."""
        return min(self.end, self.until) - time.time()

    def write(self, **figures: Any) -> None:
        """Keep a result at once, as a line of JSON and as text."""
        line = {"part": self.part, **figures}
        with (self.out / "gpu.jsonl").open("a") as file:
            file.write(json.dumps(line, default=str) + "\n")
        shown = " ".join(f"{name}={_short(value)}" for name, value in figures.items())
        text = f"[{time.strftime('%H:%M:%S')}] {self.part}: {shown}"
        print(text, flush=True)
        with (self.out / "gpu.txt").open("a") as file:
            file.write(text + "\n")

    def check(self, what: str, value: float, limit: float, **figures: Any) -> None:
        """Keep a deviation and whether it is within its limit; NaN is not."""
        good = bool(value <= limit)
        if not good:
            self.failed.append(f"{self.part}: {what}")
        self.write(check=what, ok=good, value=value, limit=limit, **figures)

    def tried(self, work: Callable[[], dict[str, Any]], **about: Any) -> None:
        """Keep the figures of one piece of work, or why there are none: the next is tried all the same."""
        try:
            self.write(**about, **work())
        except Exception as error:
            self.failed.append(f"{self.part}: {about}")
            self.write(**about, error=f"{type(error).__name__}: {str(error)[:300]}")
        self.freed()

    def freed(self) -> None:
        """Forget what is no longer used."""
        gc.collect()
        if self.gpu:
            torch.cuda.empty_cache()

    def start(self, job: str, threads: int = 1, **arguments: Any) -> Job:
        """Another process of this script; forked in a dry run without a GPU, which saves the imports."""
        given = [f"--{name.replace('_', '-')}={value}" for name, value in arguments.items()]
        common = ["--out", str(self.out), "--work", str(self.work), "--model", self.model, "--job", job]
        command = [*common, *(["--dry"] if self.dry else []), *given]
        if self.dry and not self.gpu:
            return Job(fork=command)
        # More threads than cores wait for each other: on two cores a training then takes minutes.
        threads = max(1, min(threads, (os.cpu_count() or 1) // 4))
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
        with (self.out / "jobs.log").open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, str(SCRIPT), *command], env=environment, stdout=file, stderr=subprocess.STDOUT
            )
        return Job(process=process)


class Job:
    """A process of this script."""

    def __init__(self, process: Any = None, fork: Sequence[str] = ()) -> None:
        self.process = process
        self.forked = None
        if process is None:
            self.forked = multiprocessing.get_context("fork").Process(target=_job, args=(list(fork),))
            self.forked.start()

    def wait(self, seconds: float) -> int | None:
        """Its exit status; None where it was still running and has been killed."""
        if self.forked is not None:
            self.forked.join(max(0.1, seconds))
            if self.forked.exitcode is None:
                self.forked.kill()
                self.forked.join()
                return None
            return self.forked.exitcode
        try:
            return int(self.process.wait(max(0.1, seconds)))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None


def _job(command: list[str]) -> None:
    import gpu

    gpu.main(command)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def taught(count: int) -> Corpus:
    """Questions with a text of every kind that a method can ask for."""
    plain = training.corpus(count)
    known = {}
    for example in plain.examples:
        said = dict(plain.generations[example.id])
        [explanation] = [text for (kind, _), text in said.items() if kind == "explanation"]
        texts = {
            ("revision", example.answer): f"{explanation.text} So it fits best of all.",
            ("label", ""): f"{explanation.text} The answer is {example.answer}.",
            **{(kind, example.answer): _marked(example, place) for place, kind in enumerate(MARKS)},
        }
        for (kind, answer), text in texts.items():
            stated = answer or example.answer
            said[kind, answer] = Generation(example.id, kind, stated, text, "", (), training.SOURCE, "")
        known[example.id] = said
    return Corpus(plain.examples, known)


def _marked(example: Example, turn: int) -> str:
    count = len(words(example))
    return mark(example, [1 + (place + turn) % count for place in range(count)], example.answer).dump()


@contextmanager
def on(device: torch.device) -> Iterator[None]:
    """Trainings begin on this device."""
    with mock.patch.object(processes, "device", return_value=device):
        yield


def opened(use: str) -> BaseStudent:
    """A student, always with the same weights; without dropout until it is trained."""
    torch.manual_seed(0)
    return open_student(StudentBlock(use=use).spec(1024)).eval()


def trainer(
    student: BaseStudent,
    known: Corpus,
    name: str,
    folder: Path,
    batch: int,
    tokens: int,
    seen: int,
    bf16: bool | None = None,
) -> Trainer:
    """A training that is taken step by step; `bf16`: None, as the machine likes it."""
    half = bf16_supported() if bf16 is None else bf16
    folder.mkdir(parents=True, exist_ok=True)
    plan = Plan(batch, Limit(None, tokens), 1e-4, 0, 0.0, 1.0, half, 0, frozenset(), frozenset(), None)
    made = Trainer(Lessons(student, known, method(name), seen), plan, folder / "train.jsonl", folder / "checkpoints")
    made.student.train()
    if half:
        made._half = HalfCopy(made.student)
    return made


def settings(examples: int, batch: int, checkpoints: int = 0) -> TrainSettings:
    """As a recipe's block would set them."""
    block = TrainBlock(examples=examples, batch=batch, checkpoints=checkpoints, curve=0)
    return TrainSettings(**block.settings(0))


def waited(device: torch.device) -> float:
    """The time, after all that the device was given is done."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def seconds(device: torch.device, work: Callable[[], Any]) -> tuple[float, Any]:
    """(seconds, what came of it)."""
    started = waited(device)
    made = work()
    return waited(device) - started, made
