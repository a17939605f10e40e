"""The loop over the steps: asks a teacher for every text that the store lacks, and no question twice.

Every question has a key (`core.types.ask_key`); what the store holds under it is used, whoever asked. A refused text is
asked for again with a new seed, so the retries of a question are a chain of keys, and a run that was killed walks down
the same chain when it resumes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from ..core.errors import BudgetError
from ..core.types import Example, Generation, Prompt, Sampling, Tick, that_counts
from .ask import SLICE, Asker, Query
from .base import BaseTeacher
from .contrast import NO_OTHER, check_contrasts
from .costs import Price
from .forecast import Forecast
from .prompts import Prompts
from .reading import Item, Parse, Slot, fitted, join, refuse_silence, told
from .refusals import RETRIED
from .seeds import WARM
from .steps import STEPS, StepRequest, plan
from .store import Store
from .taker import GenerateSettings as GenerateSettings
from .taker import Taker
from .usage import Report, Usage

GenerationsByExample = dict[str, dict[tuple[str, str], Generation]]
"""Example id → (step, answer) → the generation that counts, whose `texts` are all samples.

(label, "") is the teacher's own answer."""

FIRST = 20
"""Texts of a step, each with its retries, after which a teacher of which none can be used is given up."""
_AWAITED = "what it builds on is ordered"
_FREE: Price = {"input": 0.0, "output": 0.0}

Asked = tuple[BaseTeacher, GenerateSettings]
Others = Mapping[str, Asked | Mapping[str, Asked]]
"""Step → the teacher that takes it, where it is not the first one alone, and its settings; or several, by name."""


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
    return _loop(teacher, prompts, store, settings, parse, tick, others, True, False).run(examples, steps)[1]


def read_steps(
    examples: Sequence[Example],
    steps: Sequence[StepRequest],
    teacher: BaseTeacher,
    prompts: Prompts,
    store: Store,
    settings: GenerateSettings,
    parse: Parse,
    others: Others = MappingProxyType({}),
    whole: bool = True,
) -> tuple[GenerationsByExample, Report]:
    """Return the stored generations for these arguments of `run_steps`, and each step's `missing`. Asks for nothing.

    Where they need not be `whole`, texts do not hold their prompts, which take ten times their memory; markings do.
    """
    return _loop(teacher, prompts, store, settings, parse, None, others, False, whole).run(examples, steps)


def _loop(
    teacher: BaseTeacher,
    prompts: Prompts,
    store: Store,
    settings: GenerateSettings,
    parse: Parse,
    tick: Tick | None,
    others: Others,
    ask: bool,
    whole: bool,
) -> _Loop:
    def taker(teacher: BaseTeacher, settings: GenerateSettings) -> Taker:
        price = _FREE if teacher.free else settings.price or teacher.price
        return Taker(Asker(teacher, store, price, "teacher"), prompts, settings, parse, tick, ask, whole)

    first = taker(teacher, settings)
    several = {step: takers if isinstance(takers, Mapping) else {"": takers} for step, takers in others.items()}
    named = {step: {by: taker(*other) for by, other in takers.items()} for step, takers in several.items()}
    return _Loop(first, {step: named.get(step, {"": first}) for step in STEPS})


@dataclass(frozen=True)
class _Loop:
    """The teachers, from step to step."""

    first: Taker
    takers: Mapping[str, Mapping[str, Taker]]
    """Step → the teachers that take it, by name; "" for one that takes it alone."""

    def run(self, examples: Sequence[Example], steps: Sequence[StepRequest]) -> tuple[GenerationsByExample, Report]:
        """Take every round of every step, each with the texts of those before it at hand."""
        teachers = list(dict.fromkeys(each.asker.teacher for step in self.takers.values() for each in step.values()))
        for teacher in teachers:
            self._open(teacher)
        reads = [name for name, step in self.takers.items() if all(each.asker.teacher.reads for each in step.values())]
        known: GenerationsByExample = {example.id: {} for example in examples}
        report, awaited = Report(), set[Slot]()
        planned = plan(steps, reads)
        for request in steps:
            for taker in self.takers[request.name].values():
                check_contrasts([request], {request.name: taker.asker.teacher})
        # What nothing builds on is in the store, and need not be in memory too.
        quoted = {"revision", *(need for request, _ in planned for need in STEPS[request.name].needs)}
        forecast = Forecast(report)
        for request, number in planned:
            for by, taker in self.takers[request.name].items():
                forecast.add(request, number, examples, taker.prompts, taker.asker, by)
        for request, number in planned:
            enter = not self.first.ask or request.name in quoted
            entered: list[GenerationsByExample] = []
            for by, taker in self.takers[request.name].items():
                # Several build on the same texts: what one writes is entered when the others have written too.
                entered.append({example.id: {} for example in examples} if by else known)
                try:
                    _Round(taker, request, number, awaited, forecast, by).run(examples, known, entered[-1], enter)
                except BudgetError as error:
                    for teacher in teachers:
                        teacher.send()  # what fits is ordered
                    raise forecast.stopped(error, taker.asker.teacher.budget) from None
            if len(entered) > 1:
                join(known, entered, awaited)
        if self.first.ask:
            report.awaited += filter(None, [teacher.send() for teacher in teachers])
        return known, report

    def _open(self, teacher: BaseTeacher) -> None:
        """Have the teacher tell its state through the tick, and look at what it has ordered."""
        if (tick := self.first.tick) is not None:
            teacher.tell = lambda state: tick(teacher.name, 0, 0, state)
        if self.first.ask:
            teacher.begin(self.first.asker.store.path)


class _Round:
    """One round of one step with one teacher.

    `by` names it where several take the step; its figures are then a part of the step's.
    """

    def __init__(
        self, taker: Taker, request: StepRequest, number: int, awaited: set[Slot], forecast: Forecast, by: str
    ) -> None:
        self.taker, self.request, self.number, self.awaited, self.forecast = taker, request, number, awaited, forecast
        self.by, self.ordered = by, set[Slot]()
        self.total = forecast.report.steps.setdefault(request.name, Usage())
        self.usage = self.total.by.setdefault(by, Usage()) if by else self.total
        self.step, self.samples = STEPS[request.name], request.samples or 1
        self.reads = taker.asker.teacher.reads
        # The settings of a marking are read from its prompt.
        self.whole = taker.whole or self.step.marks
        self.sampled = not (self.reads or self.step.marks)
        """Whether texts are sampled; texts that are read and words that are marked are the same at every try."""

    def run(
        self, examples: Sequence[Example], known: GenerationsByExample, into: GenerationsByExample, enter: bool
    ) -> None:
        """Take the step slice by slice, building on what is `known`, and `enter` each item's generation `into`."""
        # A slice at a time: the prompts of a large dataset, each with all few-shot examples, would not fit into memory.
        items = list(self._items(examples, known))
        if self.taker.ask and self.sampled and self.samples > 1 and not self.taker.settings.temperature:
            self._tell(f"samples after the first are drawn at temperature {WARM:g}: at 0 all would be the same text")
        start = 0
        while start < len(items):
            # A few first: when none of them can be used, the rest would be paid for in vain.
            teacher = self.taker.asker.teacher  # of one that answers later, a few would cost a day
            many = start or teacher.free or teacher.later
            batch = items[start : start + ((teacher.slice or SLICE) if many else FIRST)]
            for item, texts in zip(batch, self._samples(batch, start, len(items)), strict=True):
                if item.slot(self.step) in self.awaited:
                    known[item.example.id].pop((self.step.name, item.answer), None)
                elif enter and texts:
                    into[item.example.id][self.step.name, item.answer] = that_counts(texts)
            start += len(batch)
        if self.by:
            self.total.gather()

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
        prompts = [self.taker.prompt(self.request, item) for item in items]
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
        listed = self.taker.asker.teacher.listed(prompt) if self.reads else None
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
        for attempt in range(self.taker.settings.retries + 1 if self.sampled else 1):
            sampling = self.taker.sampling(self.request, sample, attempt)
            found = self.taker.asker.keys([prompts[index] for index in pending], sampling)
            keys = dict(zip(pending, found, strict=True))
            # Equal questions share a key: they are asked once, and the answer belongs to all of them.
            queries = {
                key: Query(
                    key,
                    prompts[index],
                    partial(self.taker.read, self.step, items[index], prompts[index]),
                    items[index].parents,
                )
                for index, key in keys.items()
            }
            generations = self._generations(queries, sampling, min(start + len(items), total), total)
            answered = sum(key in generations for key in keys.values())
            self.usage.shared += answered - len(generations)
            self.usage.retried += answered if attempt else 0
            pending = []
            for index, key in keys.items():
                if key not in generations:
                    if self.taker.ask:
                        self.ordered.add(items[index].slot(self.step))
                    continue
                generation = final[index] = fitted(
                    generations[key], items[index], self.request.max_words, self.by, self.whole
                )
                if generation.refusal in RETRIED:
                    pending.append(index)
            if not pending:
                break
        self.awaited |= self.ordered
        self._settle(told([item.slot(self.step) not in self.ordered for item in items], final, FIRST))
        return final

    def _generations(
        self, queries: Mapping[str, Query], sampling: Sampling, end: int, total: int
    ) -> dict[str, Generation]:
        """The generations by key; the store is asked first. `end` items of the step are done when all are there."""
        asker, usage = self.taker.asker, self.usage
        generations = asker.find(queries, usage, self.taker.ask, self.whole)
        missing = [query for key, query in queries.items() if key not in generations]
        done = end - len(missing)
        self._tick(done, total)
        if not self.taker.ask:
            usage.missing += len(missing)
            return generations
        return generations | asker.ask(missing, sampling, usage, lambda count: self._tick(done + count, total))

    def _settle(self, generations: Sequence[Generation]) -> None:
        self.usage.settle(generation.refusal for generation in generations)
        # One refused text is one of many; a whole slice of nothing else is a teacher that does not work.
        if self.taker.ask and generations and not self.usage.kept:
            refuse_silence(self.taker.asker.teacher, self.step.name, generations, FIRST)

    def _tell(self, note: str) -> None:
        if self.taker.tick is not None:
            self.taker.tick(self.step.name, 0, 0, note)

    def _tick(self, done: int, total: int) -> None:
        if self.by:
            self.total.gather()
        self.forecast.reached(self.step.name, self.by, self.number, done + self.usage.unasked)
        if self.taker.tick is not None:
            note = self.forecast.note(self.usage, self.taker.asker.teacher.budget)
            self.taker.tick(f"{self.step.name} ({self.by})" if self.by else self.step.name, done, total, note)
