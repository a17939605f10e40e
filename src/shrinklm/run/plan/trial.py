"""Two steps of a training and two short replies, timed in a temporary folder: what a whole training will take."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.results import CellFile
from ...core.types import Example, Task
from ...evaluation.ask import EvaluateSettings, Evaluation
from ...methods.corpus import Corpus
from ...methods.view import Method, View
from ...students.likeliest import option_likelihoods
from ...students.open import open_student, open_untrained, outline, ready_to_answer
from ...students.replies import say
from ..folder import Cell
from ..recipe import Recipe
from ..stages.distil import logit_teacher
from ..students import SHORTEST_CAP, longest_cap

if TYPE_CHECKING:
    from ...students.base import BaseStudent

_STEPS = 3
"""Steps of a trial; the first, which warms up, is not timed where another follows."""
_MICRO = 8
"""Examples of a step at most."""
_BOX = 20.0
"""Seconds that the steps of a trial may take: none is begun that would pass them."""
_WRITTEN = (2, 6)
"""Tokens of the two replies that are timed: their difference is the time of a token."""
_ASKED = 16
"""Questions that are asked at most."""
_LOOKED = 40
"""Examples whose tokens are counted, evenly from all."""
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
    score_each: float
    """To compare the options of a question; 0 where that is not known."""
    explain_each: float
    memory: int | None
    """Bytes at most in training, with the program itself."""
    pair_bytes: float
    """Of pairs.jsonl, for a training question."""
    sources: tuple[str, ...]

    def with_memory(self, other: Trial) -> Trial:
        """These times with what another trial alone tells: the memory, and the comparison of options."""
        return replace(
            self, memory=other.memory, score_each=other.score_each, sources=(*self.sources, *other.sources[1:])
        )


@dataclass(frozen=True)
class _Pace:
    """What a student takes, in seconds."""

    token: float
    """To train on a token."""
    read: float
    """To read a question."""
    write: float
    """To write a token of a reply to it."""
    score: float
    """To compare its options."""


class _Enough(Exception):
    """A trial has taken its time."""


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


def tried(
    methods: Sequence[Method], cell: Cell, recipe: Recipe, task: Task, corpus: Corpus, tests: Sequence[Example]
) -> dict[str, Trial]:
    """Method → what a cell of it takes, after one trial of their student, which is that of `cell`.

    The method with most tokens is trained for a few steps, on questions of every length, the longest too; the others
    take as much for a token. Replies are as long as what is learned.
    """
    spec = cell.student.spec(recipe.train.max_length)
    student = open_student(spec, recipe.root)
    tokens = {method.name: tokens_of(student, corpus, method) for method in methods if method.views}
    caps = {method.name: explanation_length(student, method, corpus) for method in methods}
    trained, memory, source = 0.0, None, "a batch of questions, asked now"
    if tokens:
        heaviest = max((method for method in methods if method.views), key=lambda method: tokens[method.name])
        student, trained, memory, steps = _trained(student, cell, heaviest, recipe, corpus)
        source = f"{steps} of '{heaviest.name}' and two short replies, done now, by the tokens of this method"
        student = ready_to_answer(student)
    else:
        student = open_untrained(spec, recipe.root)
    first = Evaluation(student, task, methods[0], cell.name, settings_of(caps[methods[0].name], recipe))
    asked = _fitting(first, tests, min(recipe.evaluate.batch, _ASKED))
    pace = _Pace(trained, *_asked(student, methods[0].answer, asked, recipe.evaluate.batch))
    trials = {}
    for method in methods:
        evaluation = Evaluation(student, task, method, cell.name, settings_of(caps[method.name], recipe))
        answer = evaluation.answer_tokens(tests[: recipe.evaluate.batch]) if tests else 0
        explains = method.explain is not None and method.explain != method.answer
        trials[method.name] = Trial(
            seconds_each=pace.token * tokens.get(method.name, 0.0),
            answer_each=pace.read + pace.write * answer,
            score_each=pace.score,
            explain_each=(pace.read + pace.write * caps[method.name]) if explains else 0.0,
            memory=memory if method.views else None,
            pair_bytes=pair_bytes(corpus, method),
            sources=(f"time: {source}", *(["memory: the most that those steps held"] if method.views else [])),
        )
    return trials


def _trained(
    student: BaseStudent, cell: Cell, method: Method, recipe: Recipe, corpus: Corpus
) -> tuple[BaseStudent, float, int, str]:
    """(the student, seconds to train on a token, bytes at most, the steps in words)."""
    from ...students.training.train import TrainSettings, train_student

    block = recipe.train
    micro = min(block.batch, block.micro_batch or _MICRO)
    settings = TrainSettings(
        **block.settings(cell.seed, batch=micro, examples=micro * _STEPS, checkpoints=0, curve=0, early_stopping=None)
    )
    usable = sorted(corpus.usable(method), key=lambda index: len(corpus.examples[index].text))
    some = [corpus.examples[index] for index in evenly(usable, micro * _STEPS)]
    students: list[BaseStudent] = []

    def opened() -> BaseStudent:
        # Once more where memory ran out, and the steps are smaller.
        students.append(open_student(cell.student.spec(block.max_length), recipe.root) if students else student)
        return students[-1]

    began = time.perf_counter()

    def tick(what: str, done: int, of: int, note: str) -> None:
        if done and (time.perf_counter() - began) * (done + 1) / done > _BOX:
            raise _Enough

    with tempfile.TemporaryDirectory() as folder, _peak() as memory:
        with suppress(_Enough):
            known = Corpus(some, corpus.generations, corpus.seed)
            teacher = logit_teacher(replace(cell, method=method), recipe)
            train_student(opened, known, method, settings, Path(folder), tick=tick, teacher=teacher)
        took = time.perf_counter() - began
        lines = [json.loads(line) for line in (Path(folder) / CellFile.LOG).read_text().splitlines()]
    # The log may hold nothing where a loss was not finite.
    begun = lines[0] if len(lines) > 1 else {"seconds": 0.0, "tokens": 0}
    ended = lines[-1] if lines else {"seconds": took, "tokens": tokens_of(student, corpus, method) * micro}
    token = (ended["seconds"] - begun["seconds"]) / max(1, ended["tokens"] - begun["tokens"])
    most = memory[0]
    if len(lines) < 2:
        # The moments of the gradients came after the first step, and are there in every other.
        most += _MOMENTS * sum(weight.numel() for weight in students[-1].model.parameters() if weight.requires_grad)
    steps = f"{max(1, len(lines) - 1)} step{'s' if len(lines) > 2 else ''} of {micro} examples"
    return students[-1], token, most, steps


def settings_of(cap: int, recipe: Recipe) -> EvaluateSettings:
    """How a student answers, with its cap of an explanation."""
    return EvaluateSettings(cap, recipe.evaluate.batch, None)


def _fitting(evaluation: Evaluation, tests: Sequence[Example], most: int) -> list[Example]:
    """The first test questions that the student can read: an evaluation asks no others."""
    tokens = evaluation.answer_tokens(tests) if tests else 0
    return list(islice((example for example in tests if evaluation.fits(example, tokens)), most))


def _asked(student: BaseStudent, view: View, chunk: Sequence[Example], batch: int) -> tuple[float, float, float]:
    """The seconds that a student takes to read a question, to write a token of a reply, and to compare options."""
    if not chunk:
        return 0.0, 0.0, 0.0
    few, more = _WRITTEN
    took = {}
    for tokens in (few, more):
        began = time.perf_counter()
        said = say(student, view, chunk, tokens, tokens, batch)
        took[tokens] = time.perf_counter() - began
    began = time.perf_counter()
    option_likelihoods(student, view, chunk, [reply.raw for reply in said], batch)
    score = time.perf_counter() - began
    write = max(0.0, took[more] - took[few]) / (more - few)
    return max(0.0, took[few] - few * write) / len(chunk), write / len(chunk), score / len(chunk)


def tokens_of(student: BaseStudent, corpus: Corpus, method: Method) -> float:
    """The tokens of an example on average, as training reads them."""
    looked = evenly(corpus.usable(method), _LOOKED)
    groups = ([item.pair for item in corpus.pairs(method, index, 0)] for index in looked)
    fitting = [[pair for pair in group if student.length(pair) <= student.max_length] for group in groups]
    counts = [int(student.encode([group])["tokens"]) for group in fitting if group]
    return sum(counts) / max(1, len(counts))


def explanation_length(student: BaseStudent, method: Method, corpus: Corpus) -> int:
    """The tokens of an explanation, as the first targets have them."""
    if not method.views:
        return 2 * SHORTEST_CAP  # see `explanation_cap`
    targets = [
        item.pair.target
        for index in range(min(20, len(corpus.examples)))
        for item in corpus.pairs(method, index, 0)
        if item.view == method.explain
    ]
    lengths = sorted(len(student.target_ids(target)) for target in targets)
    # A batch is done when its longest reply is.
    return min(longest_cap(method, student), lengths[-1]) if lengths else SHORTEST_CAP


def pair_bytes(corpus: Corpus, method: Method) -> float:
    """Bytes of pairs.jsonl for a training question."""
    if not method.views or not corpus.examples:
        return 0.0
    looked = range(min(20, len(corpus.examples)))
    rows = [json.dumps(item.row()) for index in looked for item in corpus.pairs(method, index, 0)]
    return sum(map(len, rows)) / len(looked)


def evenly(indices: Sequence[int], most: int) -> list[int]:
    """At most so many of the indices, evenly, the last among them."""
    if len(indices) <= most:
        return list(indices)
    return [indices[-1 - number * len(indices) // most] for number in range(most)]


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
