"""The one thread that owns the student: questions of the moment are answered in one batch."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from ...core.types import Example
from .limits import Limits
from .metrics import Metrics
from .words import Words, words_of

if TYPE_CHECKING:
    from ..cascade import Cascade
    from ..student import Answer, By, TrainedStudent


class Wish(NamedTuple):
    """How questions are to be answered; those of one batch are all answered alike."""

    explain: bool
    by: By
    words: bool = False
    """Whether the words that moved the answer are asked for."""


class Reply(NamedTuple):
    """The answer to one question."""

    answer: Answer
    words: Words | None
    """None where they were not asked for, or cannot be told."""


class Full(Exception):
    """The queue has no room; `wait` seconds later it may have."""

    def __init__(self, wait: int) -> None:
        super().__init__(f"come again in {wait} s")
        self.wait = wait


Finish = Callable[[Reply], Any]
"""Makes of a reply what is sent; run where the student is, whose tokenizer bears one thread at a time."""


@dataclass(eq=False)
class _Item:
    example: Example
    wish: Wish
    finish: Finish
    future: Future[Any] = field(default_factory=Future)
    since: float = field(default_factory=time.monotonic)
    cap: int | None = None
    """Tokens of its reply, once the worker has counted: what is asked beside it must not change where it is cut."""


class Worker(threading.Thread):
    """Takes questions from any thread, and sets the future of each when it is answered.

    Args:
        student: Answers; nobody else may use it meanwhile.
        limits: Sizes of batches and of the queue.
        metrics: Is told of every batch.
        cascade: Takes what the student is not sure of, in a thread of its own: the next batch does not wait for a
            teacher.
    """

    def __init__(
        self, student: TrainedStudent, limits: Limits, metrics: Metrics, cascade: Cascade | None = None
    ) -> None:
        super().__init__(name="answering", daemon=True)
        self._student, self._limits, self._metrics, self._cascade = student, limits, metrics, cascade
        self._teacher = ThreadPoolExecutor(1, "passing on")
        self._waiting: list[_Item] = []
        self._changed = threading.Condition()
        self._closed = False
        self._rate = 0.0
        """Questions a second, of the last batches."""

    @property
    def waiting(self) -> int:
        """Questions in the queue."""
        return len(self._waiting)

    def ask(self, examples: Sequence[Example], wish: Wish, finish: Finish) -> list[Future[Any]]:
        """Queues questions, all or none. Each future has what `finish` makes; a cancelled one is not answered.

        Raises Full.
        """
        items = [_Item(example, wish, finish) for example in examples]
        with self._changed:
            if len(self._waiting) + len(items) > self._limits.queue:
                self._metrics.count("shrinklm_refused_questions_total", len(items))
                raise Full(self._wait())
            self._waiting += items
            self._changed.notify()
        return [item.future for item in items]

    def close(self) -> None:
        """Ends after the questions that wait, and those that are passed on."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self.join()
        self._teacher.shutdown()

    def run(self) -> None:
        """See threading.Thread."""
        while batch := self._next():
            began = time.monotonic()
            self._answer(batch)
            seconds = time.monotonic() - began
            rate = len(batch) / max(seconds, 1e-6)
            self._rate = 0.7 * self._rate + 0.3 * rate if self._rate else rate
            self._metrics.observe("shrinklm_batch_questions", len(batch))
            self._metrics.observe("shrinklm_batch_seconds", seconds)

    def _kind(self, item: _Item) -> tuple[Wish, int]:
        if item.cap is None:
            item.cap = self._student.answer_tokens([item.example])
        return item.wish, item.cap

    def _wait(self) -> int:
        return max(1, min(60, round(len(self._waiting) / self._rate))) if self._rate else 1

    def _next(self) -> list[_Item]:
        """The next batch: the oldest question, and what waits and is asked alike. [] at the end."""
        with self._changed:
            while True:
                self._waiting = [item for item in self._waiting if not item.future.cancelled()]
                if not self._waiting:
                    if self._closed:
                        return []
                    self._changed.wait()
                    continue
                oldest = self._waiting[0]
                kind = self._kind(oldest)
                alike = list(islice((item for item in self._waiting if self._kind(item) == kind), self._limits.batch))
                left = oldest.since + self._limits.window - time.monotonic()
                if len(alike) < self._limits.batch and left > 0 and not self._closed:
                    self._changed.wait(left)
                    continue
                taken = set(map(id, alike))
                self._waiting = [item for item in self._waiting if id(item) not in taken]
                if live := [item for item in alike if item.future.set_running_or_notify_cancel()]:
                    return live

    def _answer(self, batch: Sequence[_Item]) -> None:
        wish = batch[0].wish
        examples = [item.example for item in batch]
        try:
            answers = self._student.predict(examples, explain=wish.explain, by=wish.by, batch=self._limits.batch)
            words = words_of(self._student, examples, answers) if wish.words else [None] * len(batch)
            cascade = self._cascade
            unsure = {
                index for index, answer in enumerate(answers) if cascade is not None and not cascade.keeps(answer)
            }
        except Exception as error:
            if len(batch) > 1:
                # One question must not take its company with it.
                for item in batch:
                    self._answer([item])
                return
            _fail(batch, error)
            return
        self._send(
            (batch[index], Reply(answers[index], words[index])) for index in range(len(batch)) if index not in unsure
        )
        if unsure:
            self._teacher.submit(
                self._pass_on, [(batch[index], answers[index], words[index]) for index in sorted(unsure)]
            )

    def _pass_on(self, rows: Sequence[tuple[_Item, Answer, Words | None]]) -> None:
        """Sends what becomes of the answers that do not stand; a teacher's is in the store before."""
        assert self._cascade is not None
        items, answers, words = zip(*rows, strict=True)
        try:
            told = self._cascade.answer([item.example for item in items], answers, items[0].wish.explain)
        except Exception as error:
            _fail(items, error)
            return
        # The words that moved the student's answer moved no other one.
        own = [each if answer.by == "student" else None for each, answer in zip(words, told, strict=True)]
        self._send(zip(items, map(Reply, told, own), strict=True))

    def _send(self, replies: Iterable[tuple[_Item, Reply]]) -> None:
        for item, reply in replies:
            self._metrics.count("shrinklm_questions_total", by=item.wish.by)
            self._metrics.count("shrinklm_unanswered_total", int(reply.answer.answer is None))
            self._metrics.count("shrinklm_escalations_total", int(reply.answer.by == "teacher"))
            try:
                item.future.set_result(item.finish(reply))
            except Exception as error:
                item.future.set_exception(error)


def _fail(items: Sequence[_Item], error: Exception) -> None:
    logging.getLogger("shrinklm.server").error("a question could not be answered", exc_info=error)
    for item in items:
        item.future.set_exception(error)
