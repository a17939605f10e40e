"""The loop over the steps: asks a teacher for every text that the store lacks, and no question twice.

Every question has a key (`core.types.ask_key`); what the store holds under it is used, whoever asked. A refused text is
asked for again with a new seed, so the retries of a question are a chain of keys, and a run that was killed walks down
the same chain when it resumes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from ..core.errors import BudgetError
from ..core.types import Completion, Example, Generation, Prompt, Sampling, Tick, Turn, that_counts
from .ask import SLICE, Asker, Query, Reading
from .base import BaseTeacher
from .contrast import NO_OTHER, check_contrasts, held_against
from .costs import Price
from .forecast import Forecast
from .prompts import Prompts
from .reading import Item, Parse, Slot, fitted, read, refuse_silence, told
from .refusals import RETRIED
from .seeds import WARM, seed_of, temperature_of
from .steps import STEPS, StepRequest, plan
from .store import Store
from .usage import Report, Usage

GenerationsByExample = dict[str, dict[tuple[str, str], Generation]]
"""Example id → (step, answer) → the generation that counts, whose `texts` are all samples.

(label, "") is the teacher's own answer."""

FIRST = 20
"""Texts of a step, each with its retries, after which a teacher of which none can be used is given up."""
_STOP = ("\n\n", "\nQuestion:")
"""Only the first paragraph of a completion is used, and a base model goes on with the next question of the pattern."""
_AWAITED = "what it builds on is ordered"
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
        price = _FREE if teacher.free else settings.price or teacher.price
        asker = Asker(teacher, store, price, "teacher")
        return _Loop(asker, prompts, settings, parse, tick, ask, loops)

    return loop(teacher, settings, {step: loop(*other, {}) for step, other in others.items()})


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
        teachers = list(dict.fromkeys(loop.asker.teacher for loop in loops.values()))
        for teacher in teachers:
            self._open(teacher)
        reads = [name for name, loop in loops.items() if loop.asker.teacher.reads]
        known: GenerationsByExample = {example.id: {} for example in examples}
        report, awaited = Report(), set[Slot]()
        planned = plan(steps, reads)
        check_contrasts(steps, {name: loop.asker.teacher for name, loop in loops.items()})
        # What nothing builds on is in the store, and need not be in memory too.
        quoted = {"revision", *(need for request, _ in planned for need in STEPS[request.name].needs)}
        forecast = Forecast(report)
        for request, number in planned:
            forecast.add(request, number, examples, self.prompts, loops[request.name].asker)
        for request, number in planned:
            taken = _Round(loops[request.name], request, number, awaited, forecast)
            try:
                taken.run(examples, known, not self.ask or request.name in quoted)
            except BudgetError as error:
                for teacher in teachers:
                    teacher.send()  # what fits is ordered
                raise forecast.stopped(error, loops[request.name].asker.teacher.budget) from None
        if self.ask:
            report.awaited += filter(None, [teacher.send() for teacher in teachers])
        return known, report

    def _open(self, teacher: BaseTeacher) -> None:
        """Have the teacher tell its state through the tick, and look at what it has ordered."""
        if (tick := self.tick) is not None:
            teacher.tell = lambda state: tick(teacher.name, 0, 0, state)
        if self.ask:
            teacher.begin(self.asker.store.path)


class _Round:
    """One round of one step."""

    def __init__(self, loop: _Loop, request: StepRequest, number: int, awaited: set[Slot], forecast: Forecast) -> None:
        self.loop, self.request, self.number, self.awaited, self.forecast = loop, request, number, awaited, forecast
        self.usage = forecast.report.steps.setdefault(request.name, Usage())
        self.step, self.samples = STEPS[request.name], request.samples or 1
        self.reads = loop.asker.teacher.reads
        self.sampled = not (self.reads or self.step.marks)
        """Whether texts are sampled; texts that are read and words that are marked are the same at every try."""

    def run(self, examples: Sequence[Example], known: GenerationsByExample, enter: bool) -> None:
        """Take the step slice by slice, and `enter` each item's generation into `known`."""
        # A slice at a time: the prompts of a large dataset, each with all few-shot examples, would not fit into memory.
        items = list(self._items(examples, known))
        if self.loop.ask and self.sampled and self.samples > 1 and not self.loop.settings.temperature:
            self._tell(f"samples after the first are drawn at temperature {WARM:g}: at 0 all would be the same text")
        start = 0
        while start < len(items):
            # A few first: when none of them can be used, the rest would be paid for in vain.
            teacher = self.loop.asker.teacher  # of one that answers later, a few would cost a day
            batch = items[start : start + (SLICE if start or teacher.free or teacher.later else FIRST)]
            for item, texts in zip(batch, self._samples(batch, start, len(items)), strict=True):
                if item.slot(self.step) in self.awaited:
                    known[item.example.id].pop((self.step.name, item.answer), None)
                elif enter and texts:
                    known[item.example.id][self.step.name, item.answer] = that_counts(texts)
            start += len(batch)

    def _items(self, examples: Sequence[Example], known: GenerationsByExample) -> Iterator[Item]:
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
                    later = (example.id, kind, example.answer) in self.awaited
                    missing = missing or (_AWAITED if later else f"no {need} to build on")
                    continue
                quoted[need] = parent.text
                parents.append(parent.key)
            if missing == _AWAITED:
                self.awaited.add((example.id, self.step.name, example.answer))
            elif missing:
                self.usage.refused[missing] += self.samples
                self.usage.unasked += self.samples
            if missing:
                # The text of the round before must not pass for one of this round.
                texts.pop((self.step.name, example.answer), None)
                continue
            for answer in self.step.answers(example):
                if self.request.contrast and self.step.against(example, answer, self.request.contrast) is None:
                    self.usage.refused[NO_OTHER] += self.samples
                    self.usage.unasked += self.samples
                    continue
                yield Item(example, answer, quoted, tuple(parents))

    def _samples(self, items: Sequence[Item], start: int, total: int) -> list[list[Generation]]:
        """The texts of each item, in the order of its samples; `start` of the step's `total` items stand before."""
        prompts = [self._prompt(item) for item in items]
        numbers = [self._numbers(prompt) for prompt in prompts]
        texts: list[list[Generation]] = [[] for _ in items]
        for sample in range(max(each.stop for each in numbers)):
            part = [index for index, each in enumerate(numbers) if sample in each]
            asked = [(items[index], prompts[index]) for index in part]
            # Samples that come before, of this slice and of all before it, are done when these begin.
            done = start * self.samples + sample * len(items)
            for index, text in zip(part, self._texts(asked, sample, done, total * self.samples), strict=True):
                if text is not None:
                    texts[index].append(text)
        return texts

    def _numbers(self, prompt: Prompt) -> range:
        """The numbers of a prompt's samples."""
        listed = self.loop.asker.teacher.listed(prompt) if self.reads else None
        if listed is not None:
            # From 1: version 0.1.0 kept the list in a recording's cell as one text, and its key stands for number 0.
            return range(1, min(listed, self.request.samples or listed) + 1)
        return range(1 if self.reads else self.samples)

    def _texts(
        self, asked: Sequence[tuple[Item, Prompt]], sample: int, start: int, total: int
    ) -> list[Generation | None]:
        """A sample of each item: the first of its chain of tries that is not refused, or the last.

        `start` of the step's `total` texts stand before these.
        """
        items, prompts = [item for item, _ in asked], [prompt for _, prompt in asked]
        final: list[Generation | None] = [None] * len(items)
        pending: list[int] = list(range(len(items)))
        for attempt in range(self.loop.settings.retries + 1 if self.sampled else 1):
            sampling = self._sampling(sample, attempt)
            found = self.loop.asker.keys([prompts[index] for index in pending], sampling)
            keys = dict(zip(pending, found, strict=True))
            # Equal questions share a key: they are asked once, and the answer belongs to all of them.
            queries = {
                key: Query(key, prompts[index], partial(self._read, items[index], prompts[index]), items[index].parents)
                for index, key in keys.items()
            }
            generations = self._generations(queries, sampling, min(start + len(items), total), total)
            answered = sum(key in generations for key in keys.values())
            self.usage.shared += answered - len(generations)
            self.usage.retried += answered if attempt else 0
            pending = []
            for index, key in keys.items():
                if key not in generations:
                    if self.loop.ask:
                        self.awaited.add(items[index].slot(self.step))
                    continue
                generation = final[index] = fitted(generations[key], items[index], self.request.max_words)
                if generation.refusal in RETRIED:
                    pending.append(index)
            if not pending:
                break
        slots = [item.slot(self.step) for item in items]
        self._settle(told([each not in self.awaited for each in slots], final, FIRST))
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

    def _prompt(self, item: Item) -> Prompt:
        if self.reads:
            return Prompt((), item.example, self.step.name, item.answer)
        if self.step.marks:
            # No model reads these turns. They make the key: other settings are another question.
            asks = json.dumps(dict(self.loop.asker.teacher.asks), sort_keys=True)
            turns = (Turn("system", asks), Turn("user", item.example.text), Turn("assistant", item.answer))
            return Prompt(turns, item.example, self.step.name, item.answer)
        prompt = self.loop.prompts.prompt(self.step, item.example, item.answer, item.quoted, self.request.max_words)
        return held_against(prompt, self.request, self.step, self.loop.prompts)

    def _sampling(self, sample: int, attempt: int) -> Sampling:
        if self.reads:
            return Sampling(seed=sample)  # see `BaseTeacher.listed`
        if not self.sampled:
            return Sampling()  # part of the key: no setting may have a text read, or words marked, once more
        settings = self.loop.settings
        return Sampling(
            max_tokens=self.request.max_tokens or self.loop.asker.teacher.max_tokens or self.step.max_tokens,
            temperature=temperature_of(settings.temperature, sample, attempt),
            top_p=settings.top_p,
            # A label's answer may come in a paragraph of its own.
            stop=_STOP[1:] if self.step.about == "own" else _STOP,
            seed=seed_of(settings.seed, sample, attempt),
            logprobs=self.request.logprobs and sample == 0 and self.loop.asker.teacher.tells_logprobs,
        )

    def _read(self, item: Item, prompt: Prompt, completion: Completion) -> Reading:
        return read(item, prompt, completion, self.step, self.loop.parse, self.loop.asker.teacher)

    def _settle(self, generations: Sequence[Generation]) -> None:
        self.usage.settle(generation.refusal for generation in generations)
        # One refused text is one of many; a whole slice of nothing else is a teacher that does not work.
        if self.loop.ask and generations and not self.usage.kept:
            refuse_silence(self.loop.asker.teacher, self.step.name, generations, FIRST)

    def _tell(self, note: str) -> None:
        if self.loop.tick is not None:
            self.loop.tick(self.step.name, 0, 0, note)

    def _tick(self, done: int, total: int) -> None:
        self.forecast.reached(self.step.name, self.number, done + self.usage.unasked)
        if self.loop.tick is not None:
            note = self.forecast.note(self.usage, self.loop.asker.teacher.budget)
            self.loop.tick(self.step.name, done, total, note)
