"""A few steps of a training and a few questions, timed in a temporary folder: what a whole one will take."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.results import CellFile
from ...core.types import Example, Task
from ...evaluation.ask import EvaluateSettings, Evaluation
from ...methods.corpus import Corpus
from ...students.open import open_student, open_untrained, outline, ready_to_answer
from ..folder import Cell
from ..recipe import Recipe
from ..students import LONGEST_CAP, SHORTEST_CAP

if TYPE_CHECKING:
    from ...students.base import BaseStudent

_STEPS = 3
"""Steps of a trial; the first, which warms up, is not timed."""
_WEIGHTS = 4
"""Bytes of a trained weight, in float32."""
_MOMENTS = 8
"""Bytes of AdamW's two moments of a weight."""


@dataclass(frozen=True)
class Weights:
    """The size of a student."""

    parameters: int
    saved: int
    """Bytes of its folder."""
    checkpoint: int
    """Bytes of one checkpoint: the weights that are trained, and the moments of their gradients."""


@dataclass(frozen=True)
class Trial:
    """What a cell takes, in seconds for an example or a question."""

    seconds_each: float
    """Of training, for an example."""
    answer_each: float
    explain_each: float
    memory: int | None
    """Bytes at most in training, with the program itself."""
    pair_bytes: float
    """Of pairs.jsonl, for a training question."""
    sources: tuple[str, ...]

    def with_memory(self, other: Trial) -> Trial:
        """These times with the memory of another trial."""
        return replace(self, memory=other.memory, sources=(*self.sources, *other.sources[1:]))


def weighed(cell: Cell, recipe: Recipe) -> Weights:
    """The size of a cell's student, told by its configuration."""
    student = outline(cell.student.spec(recipe.train.max_length), recipe.root)
    total = student.parameters_total
    trained = sum(weight.numel() for weight in student.model.parameters() if weight.requires_grad)
    # A saved student has its adapters merged into the weights.
    merged = total - (trained if cell.student.lora else 0)
    with tempfile.TemporaryDirectory() as folder:
        student.tokenizer.save_pretrained(folder)
        beside = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return Weights(total, merged * _WEIGHTS + beside, trained * (_WEIGHTS + _MOMENTS))


def tried(cell: Cell, recipe: Recipe, task: Task, corpus: Corpus, tests: Sequence[Example]) -> Trial:
    """Times a few steps and a batch of questions of a cell's student."""
    if not cell.method.views:
        student = open_untrained(cell.student.spec(recipe.train.max_length), recipe.root)
        answer, explain = _asked(student, cell, recipe, task, corpus, tests)
        return Trial(0.0, answer, explain, None, 0.0, ("time: a batch of questions, asked now",))
    from ...students.training.train import TrainSettings, train_student

    block = recipe.train
    settings = TrainSettings(
        **block.model_dump(exclude={"seeds", "dev_questions", "examples", "checkpoints", "curve", "early_stopping"}),
        examples=block.batch * _STEPS, checkpoints=0, curve=0, early_stopping=None, seed=cell.seed,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, _peak() as memory:
        student, fit = train_student(
            lambda: open_student(cell.student.spec(block.max_length), recipe.root),
            corpus, cell.method, settings, Path(folder),
        )  # fmt: skip
        lines = [json.loads(line) for line in (Path(folder) / CellFile.LOG).read_text().splitlines()]
    seconds = [line["seconds"] for line in lines]
    examples = [line["examples"] for line in lines]
    each = (
        (seconds[-1] - seconds[0]) / (examples[-1] - examples[0])
        if len(lines) > 1
        else fit.train_seconds / examples[-1]
    )
    answer, explain = _asked(ready_to_answer(student), cell, recipe, task, corpus, tests)
    rows = [
        json.dumps(item.row())
        for index in range(min(20, len(corpus.examples)))
        for item in corpus.pairs(cell.method, index, 0)
    ]
    size = sum(map(len, rows)) / min(20, len(corpus.examples))
    source = f"time: {len(lines)} steps and a batch of questions, done now; memory: the most that they held"
    return Trial(each, answer, explain, memory[0], size, (source,))


def _asked(
    student: BaseStudent, cell: Cell, recipe: Recipe, task: Task, corpus: Corpus, tests: Sequence[Example]
) -> tuple[float, float]:
    """The seconds that a student takes to answer a question, and those to explain it."""
    # As many tokens as it will have learned to write: a student that is hardly trained does not end by itself.
    cap = _length(student, cell, corpus)
    evaluation = Evaluation(student, task, cell.method, cell.name, EvaluateSettings(cap, recipe.evaluate.batch, None))
    chunk = tests[: recipe.evaluate.batch]
    if not chunk:
        return 0.0, 0.0
    took = evaluation.ask(chunk, len(chunk), evaluation.answer_tokens(chunk))
    return took["answer_seconds"] / len(chunk), took["explain_seconds"] / len(chunk)


def _length(student: BaseStudent, cell: Cell, corpus: Corpus) -> int:
    """The tokens of an explanation, as the first targets have them."""
    if not cell.method.views:
        return 2 * SHORTEST_CAP  # see `explanation_cap`
    targets = [
        item.pair.target
        for index in range(min(20, len(corpus.examples)))
        for item in corpus.pairs(cell.method, index, 0)
        if item.view == cell.method.explain
    ]
    lengths = sorted(len(student.target_ids(target)) for target in targets)
    # A batch is done when its longest reply is.
    return min(LONGEST_CAP, lengths[-1]) if lengths else SHORTEST_CAP


@contextmanager
def _peak() -> Iterator[list[int]]:
    """Yield a list whose first entry, at the end, is the most memory in bytes: of the GPU, else of this process."""
    import torch

    most = [0]
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        yield most
        most[0] = torch.cuda.max_memory_allocated()
        return
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            most[0] = max(most[0], _resident())
            ended.wait(0.02)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield most
    finally:
        ended.set()
        thread.join()


def _resident() -> int:
    """The memory of this process, in bytes."""
    import os

    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        import resource
        import sys

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
