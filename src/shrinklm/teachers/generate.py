"""The loop over the steps: asks a teacher for every text that the store lacks, and no question twice.

Every question has a key (`core.types.ask_key`); what the store holds under it is used, whoever asked. A refused text is
asked for again with a new seed, so the retries of a question are a chain of keys, and a run that was killed walks down
the same chain when it resumes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Any

from ..core.errors import TeacherError
from ..core.types import Completion, Example, Generation, Prompt, Sampling, Tick, Turn
from .ask import SLICE, Asker, Query, Reading, Usage
from .base import BaseTeacher, Price
from .cleaning import clean
from .prompts import Prompts
from .refusals import EMPTY, LONG, RETRIED, assess, too_long
from .steps import STEPS, StepRequest, plan
from .store import Store

Parse = Callable[[str, Example], str | None]
GenerationsByExample = dict[str, dict[tuple[str, str], Generation]]
"""Example id → (step, answer) → the generation that counts; (label, "") for the teacher's own answer."""

RETRY_TEMPERATURE = 0.7
"""At least: a greedy retry would give the same text again."""
RETRY_SEED = 1000
"""Added to the seed at each retry: far enough that a retry is not the first try of a run with one of the next seeds."""
SAMPLE = 20
"""Texts of a step, each with its retries, after which a teacher of which none can be used is given up."""
_STOP = ("\n\n", "\nQuestion:")
"""Only the first paragraph of a completion is used, and a base model goes on with the next question of the pattern."""
_FREE: Price = {"input": 0.0, "output": 0.0}


@dataclass(frozen=True)
class GenerateSettings:
    """The sampling, the retries and the price of a generation."""

    temperature: float
    top_p: float
    seed: int
    retries: int
    price: Price | None
    """None: the teacher's own, if known."""


Others = Mapping[str, tuple[BaseTeacher, GenerateSettings]]
"""Step → the teacher that takes it, where it is not the first one, and its settings."""


@dataclass
class Report:
    """The cost and the outcome of each step, by name."""

    steps: dict[str, Usage] = field(default_factory=dict)

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """The report in plain types, for JSON."""
        return {name: usage.as_dict() for name, usage in self.steps.items()}


def run_steps(
    examples: Sequence[Example],
    steps: Sequence[StepRequest],
    teacher: BaseTeacher,
    prompts: Prompts,
    store: Store,
    settings: GenerateSettings,
    parse: Parse,
    tick: Tick | None = None,
    others: Others = MappingProxyType({}),
) -> Report:
    """Ask the teacher for everything that the steps need and the store lacks.

    Args:
        examples: The questions.
        steps: The steps to take. Those that a step builds on are added (a recording needs none).
        teacher: Writes the texts.
        prompts: The templates and few-shot examples.
        store: Keeps the texts; every completion is committed as it comes.
        settings: Sampling, seed and retries.
        parse: The task's parser, for the step `label`.
        tick: Called with (step, done, total, note) on the way.
        others: The steps that another teacher takes.

    Raises TeacherError when the teacher cannot answer or all texts are empty; StoreError.
    """
    return _loop(teacher, prompts, store, settings, parse, tick, others, ask=True).run(examples, steps)[1]


def read_steps(
    examples: Sequence[Example],
    steps: Sequence[StepRequest],
    teacher: BaseTeacher,
    prompts: Prompts,
    store: Store,
    settings: GenerateSettings,
    parse: Parse,
    others: Others = MappingProxyType({}),
) -> tuple[GenerationsByExample, Report]:
    """Return the stored generations for these arguments of `run_steps`, and each step's `missing`. Asks for nothing."""
    return _loop(teacher, prompts, store, settings, parse, None, others, ask=False).run(examples, steps)


def _loop(
    teacher: BaseTeacher,
    prompts: Prompts,
    store: Store,
    settings: GenerateSettings,
    parse: Parse,
    tick: Tick | None,
    others: Others,
    ask: bool,
) -> _Loop:
    def loop(teacher: BaseTeacher, settings: GenerateSettings, loops: Mapping[str, _Loop]) -> _Loop:
        asker = Asker(teacher, store, _price(teacher, settings), "teacher")
        return _Loop(asker, prompts, settings, parse, tick, ask, loops)

    return loop(teacher, settings, {step: loop(*other, {}) for step, other in others.items()})


def _price(teacher: BaseTeacher, settings: GenerateSettings) -> Price | None:
    return _FREE if teacher.free else settings.price or teacher.price


@dataclass(frozen=True)
class _Loop:
    """The arguments that stay the same from step to step."""

    asker: Asker
    prompts: Prompts
    settings: GenerateSettings
    parse: Parse
    tick: Tick | None
    ask: bool
    others: Mapping[str, _Loop]
    """Step → the loop of the teacher that takes it."""

    def run(self, examples: Sequence[Example], steps: Sequence[StepRequest]) -> tuple[GenerationsByExample, Report]:
        """Take every round of every step, each with the texts of those before it at hand."""
        loops = {name: self.others.get(name, self) for name in STEPS}
        for loop in loops.values():
            loop._listen()
        reads = [name for name, loop in loops.items() if loop.asker.teacher.reads]
        known: GenerationsByExample = {example.id: {} for example in examples}
        report = Report()
        planned = plan(steps, reads)
        # What nothing builds on is in the store, and need not be in memory too.
        quoted = {"revision", *(need for request, _ in planned for need in STEPS[request.name].needs)}
        for request, number in planned:
            usage = report.steps.setdefault(request.name, Usage())
            loop = loops[request.name]
            _Round(loop, request, number, usage).run(examples, known, not self.ask or request.name in quoted)
        return known, report

    def _listen(self) -> None:
        """Have the teacher tell its state through the tick."""
        teacher, tick = self.asker.teacher, self.tick
        if tick is not None:
            teacher.tell = lambda state: tick(teacher.name, 0, 0, state)


@dataclass(frozen=True)
class _Item:
    """One text to be written: about an example, for an answer, from the texts that it builds on."""

    example: Example
    answer: str
    quoted: Mapping[str, str]
    """Step → its text."""
    parents: tuple[str, ...]


class _Round:
    """One round of one step."""

    def __init__(self, loop: _Loop, request: StepRequest, number: int, usage: Usage) -> None:
        self.loop, self.request, self.number, self.usage = loop, request, number, usage
        self.step = STEPS[request.name]
        self.reads = loop.asker.teacher.reads
        self.sampled = not (self.reads or self.step.marks)
        """Whether texts are sampled; texts that are read and words that are marked are the same at every try."""

    def run(self, examples: Sequence[Example], known: GenerationsByExample, enter: bool) -> None:
        """Take the step slice by slice, and `enter` each item's generation into `known`."""
        # A slice at a time: the prompts of a large dataset, each with all few-shot examples, would not fit into memory.
        items = list(self._items(examples, known))
        start = 0
        while start < len(items):
            # A few first: when none of them can be used, the rest would be paid for in vain.
            batch = items[start : start + (SLICE if start or self.loop.asker.teacher.free else SAMPLE)]
            for item, generation in zip(batch, self._texts(batch, start, len(items)), strict=True):
                if enter and generation is not None:
                    known[item.example.id][self.step.name, item.answer] = generation
            start += len(batch)

    def _items(self, examples: Sequence[Example], known: GenerationsByExample) -> Iterator[_Item]:
        """The texts to be written. An item whose parent is refused or missing is counted as refused, and not asked."""
        for example in examples:
            texts = known[example.id]
            quoted, parents, missing = {}, [], ""
            # A recording's texts are written already: they build on nothing of this run.
            for need in () if self.reads else self.step.needs:
                # In later rounds the revision of the round before takes the place of the explanation.
                kind = "revision" if self.number > 1 and need == "explanation" else need
                parent = texts.get((kind, example.answer))
                if parent is None or parent.refusal:
                    missing = missing or f"no {need} to build on"
                    continue
                quoted[need] = parent.text
                parents.append(parent.key)
            if missing:
                self.usage.refused[missing] += 1
                self.usage.unasked += 1
                # The text of the round before must not pass for one of this round.
                texts.pop((self.step.name, example.answer), None)
                continue
            for answer in {"gold": (example.answer,), "own": ("",), "wrong": example.wrong}[self.step.about]:
                yield _Item(example, answer, quoted, tuple(parents))

    def _texts(self, items: Sequence[_Item], start: int, total: int) -> list[Generation | None]:
        """The generation that counts for each item: the first of its chain of tries that is not refused, or the last.

        `start` of the step's `total` items stand before these.
        """
        prompts = [self._prompt(item) for item in items]
        final: list[Generation | None] = [None] * len(items)
        pending: list[int] = list(range(len(items)))
        for attempt in range(self.loop.settings.retries + 1 if self.sampled else 1):
            sampling = self._sampling(attempt)
            found = self.loop.asker.keys([prompts[index] for index in pending], sampling)
            keys = dict(zip(pending, found, strict=True))
            # Equal questions share a key: they are asked once, and the answer belongs to all of them.
            queries = {
                key: Query(key, prompts[index], partial(self._read, items[index], prompts[index]), items[index].parents)
                for index, key in keys.items()
            }
            generations = self._generations(queries, sampling, start + len(items), total)
            answered = sum(key in generations for key in keys.values())
            self.usage.shared += answered - len(generations)
            self.usage.retried += answered if attempt else 0
            pending = []
            for index, key in keys.items():
                if key not in generations:
                    continue
                generation = final[index] = self._fitted(generations[key], items[index])
                if generation.refusal in RETRIED:
                    pending.append(index)
            if not pending:
                break
        self._settle([generation for generation in final if generation is not None])
        return final

    def _generations(
        self, queries: Mapping[str, Query], sampling: Sampling, end: int, total: int
    ) -> dict[str, Generation]:
        """The generations by key; the store is asked first. `end` items of the step are done when all are there."""
        asker, usage = self.loop.asker, self.usage
        generations = asker.find(queries, usage, self.loop.ask)
        missing = [query for key, query in queries.items() if key not in generations]
        done = end - len(missing)
        self._tick(done, total)
        if not self.loop.ask:
            usage.missing += len(missing)
            return generations
        return generations | asker.ask(missing, sampling, usage, lambda count: self._tick(done + count, total))

    def _prompt(self, item: _Item) -> Prompt:
        if self.reads:
            return Prompt((), item.example, self.step.name, item.answer)
        if self.step.marks:
            # No model reads these turns. They make the key: other settings are another question.
            asks = json.dumps(dict(self.loop.asker.teacher.asks), sort_keys=True)
            turns = (Turn("system", asks), Turn("user", item.example.text), Turn("assistant", item.answer))
            return Prompt(turns, item.example, self.step.name, item.answer)
        return self.loop.prompts.prompt(self.step, item.example, item.answer, item.quoted, self.request.max_words)

    def _sampling(self, attempt: int) -> Sampling:
        if not self.sampled:
            return Sampling()  # part of the key: no setting may have a text read, or words marked, once more
        settings = self.loop.settings
        return Sampling(
            max_tokens=self.request.max_tokens or self.loop.asker.teacher.max_tokens or self.step.max_tokens,
            temperature=max(settings.temperature, RETRY_TEMPERATURE) if attempt else settings.temperature,
            top_p=settings.top_p,
            # A label's answer may come in a paragraph of its own.
            stop=_STOP[1:] if self.step.about == "own" else _STOP,
            seed=settings.seed + attempt * RETRY_SEED,
        )

    def _read(self, item: _Item, prompt: Prompt, completion: Completion) -> Reading:
        """The stored form of a completion: its cleaned text, and the reason for which it is refused."""
        if self.step.marks:
            return Reading(completion.text, completion.refusal, item.answer)
        answer: str | None = item.answer
        if self.step.name == "label":
            text, _ = clean(completion.text, self.step.name)
            answer = None if completion.refusal else self.loop.parse(text, item.example)
        # All but the last turn, the question: how much of it a text may repeat is a rule of its own in `assess`.
        hidden = [turn.text for turn in prompt.turns[:-1]]
        if "critique" in item.quoted:
            hidden.append(item.quoted["critique"])
        quoted = item.quoted.get("explanation", "")
        text, refusal = assess(prompt, completion, recorded=self.reads, hidden=hidden, quoted=quoted, answer=answer)
        return Reading(text, refusal, answer or "")

    def _fitted(self, generation: Generation, item: _Item) -> Generation:
        """A stored generation for this item: it may be of an equal question or of a request with another length cap."""
        refusal = None if generation.refusal == LONG else generation.refusal
        if refusal is None and too_long(generation.text, self.request.max_words):
            refusal = LONG
        return replace(generation, example_id=item.example.id, refusal=refusal)

    def _settle(self, generations: Sequence[Generation]) -> None:
        refusals = [generation.refusal for generation in generations]
        self.usage.settle(refusals)
        if not self.loop.ask or not refusals or self.usage.kept or not all(refusals):
            return
        # One refused text is one of many; a whole slice of nothing else is a teacher that does not work.
        counted = f"{len(refusals):,} texts of the step '{self.step.name}'"
        if set(refusals) == {EMPTY}:
            what = f"says nothing: all {counted} are empty. "
        elif len(refusals) >= SAMPLE and not self.loop.asker.teacher.free:
            shown = "".join(
                f"\n  {one.refusal}: {' '.join((one.text or one.thoughts).split())[:120]!r}" for one in generations[:3]
            )
            what = f"says nothing that can be used: the first {counted} are all refused. Three of them:{shown}\n"
        else:
            return
        raise TeacherError(
            f"The teacher '{self.loop.asker.teacher.name}' {what}Try one prompt by hand, or another teacher."
        )

    def _tick(self, done: int, total: int) -> None:
        if self.loop.tick is None:
            return
        usage = self.usage
        cost = "" if usage.cost is None else f", ${usage.cost:,.2f}"
        tokens = usage.tokens_in + usage.tokens_out
        note = f"{usage.found:,} found, {usage.asked:,} asked, {tokens:,} tokens{cost}"
        self.loop.tick(self.step.name, done, total, note)
