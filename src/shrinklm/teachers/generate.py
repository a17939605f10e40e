"""The loop that asks a teacher, step after step, and never asks twice.

Every question has a key (`types.ask_key`); what the store holds under it is used, whoever asked. A refused text is asked for again
with a new seed, so the retries of a question are a chain of keys, and a run that was killed walks down the same chain when it comes back.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from typing import Any

from ..core.errors import TeacherError
from ..core.types import Completion, Example, Generation, Prompt, Sampling, Source, Teacher, Tick, Turn, ask_key
from .base import Price
from .prompts import Prompts
from .refusals import EMPTY, LONG, RETRIED, clean, judge, too_long
from .steps import STEPS, Step, StepRequest, plan
from .store import Store

Parse = Callable[[str, Example], str | None]
Said = dict[str, dict[tuple[str, str], Generation]]
"""Example id → (kind, answer) → the generation that counts; (label, "") for the teacher's own answer."""

SLICE = 1024
"""Questions whose prompts are held in memory at a time."""
RETRY_TEMPERATURE = 0.7
RETRY_SEED = 1000
"""Added to the seed at each retry."""
_STOP = ("\n\n", "\nQuestion:")


@dataclass(frozen=True)
class GenerateSettings:
    """How the teacher is asked."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    retries: int = 2
    price: Price | None = None
    """None: the teacher's own, if known."""


@dataclass
class StepReport:
    """What became of one step."""

    found: int = 0
    """Generations that were in the store, refused tries included."""
    asked: int = 0
    """Prompts sent to the teacher, tries again included."""
    missing: int = 0
    """Texts that the store lacks and that were not asked for."""
    kept: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Reason → texts that stayed refused."""
    tokens_in: int = 0
    """Of all generations, found ones included: what they took to make."""
    tokens_out: int = 0
    seconds: float = 0.0
    cost: float | None = None
    """Dollars; None when no price is known."""


@dataclass
class Report:
    """What became of all steps, by name."""

    steps: dict[str, StepReport] = field(default_factory=dict)

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """The report in plain types, for JSON."""
        return {name: {**vars(step), "refused": dict(step.refused.most_common())} for name, step in self.steps.items()}


@dataclass(frozen=True)
class _Item:
    """One thing to be said: about an example, for an answer, from what was said before."""

    example: Example
    answer: str
    quoted: Mapping[str, str]
    parents: tuple[str, ...]


def generate(
    examples: Sequence[Example], steps: Sequence[StepRequest], teacher: Teacher, prompts: Prompts, store: Store,
    settings: GenerateSettings, parse: Parse, tick: Tick | None = None,
) -> Report:  # fmt: skip
    """Asks the teacher for everything the steps need and the store lacks.

    Args:
        examples: The questions.
        steps: What to write. The steps a step builds on are added (a recording needs none).
        teacher: Who writes it.
        prompts: The templates and few-shot examples.
        store: Where it is kept; every answer is committed as it comes.
        settings: Sampling, seed and retries.
        parse: The task's parser, for the step `label`.
        tick: Called with (step, done, total, note) on the way.

    Raises TeacherError when the teacher cannot answer or says nothing at all, StoreError when the store cannot be written.
    """
    loop = _Loop(teacher, prompts, store, settings, parse, tick or (lambda what, done, total, note: None), ask=True)
    loop.run(examples, steps)
    return loop.report


def said(
    examples: Sequence[Example], steps: Sequence[StepRequest], teacher: Teacher, prompts: Prompts, store: Store,
    settings: GenerateSettings, parse: Parse,
) -> Said:  # fmt: skip
    """What the store already holds for the same arguments of `generate`; the teacher is not asked."""
    return look(examples, steps, teacher, prompts, store, settings, parse)[0]


def look(
    examples: Sequence[Example], steps: Sequence[StepRequest], teacher: Teacher, prompts: Prompts, store: Store,
    settings: GenerateSettings, parse: Parse,
) -> tuple[Said, Report]:  # fmt: skip
    """`said`, and what is still to be asked: `missing` in each step's report."""
    loop = _Loop(teacher, prompts, store, settings, parse, lambda what, done, total, note: None, ask=False)
    return loop.run(examples, steps), loop.report


def provenance(teacher: Teacher, prompt: Prompt, sampling: Sampling, completion: Completion) -> tuple[str, Source]:
    """(the prompt's turns as JSON, where its answer comes from), as a Generation keeps them."""
    turns = json.dumps([{"role": turn.role, "text": turn.text} for turn in prompt.turns], ensure_ascii=False)
    source = Source(
        teacher.name, teacher.revision, sampling, sampling.seed, datetime.now(UTC).isoformat(timespec="seconds"), completion.tokens_in,
        completion.tokens_out, _version(), round(completion.seconds, 4),
    )  # fmt: skip
    return turns, source


def dollars(price: Price, tokens_in: int, tokens_out: int) -> float:
    """What so many tokens cost."""
    return (tokens_in * price.get("input", 0) + tokens_out * price.get("output", 0)) / 1_000_000


@cache
def _version() -> str:
    """Looked up once: it reads a file."""
    return version("shrinklm")


@dataclass
class _Loop:
    teacher: Teacher
    prompts: Prompts
    store: Store
    settings: GenerateSettings
    parse: Parse
    tick: Tick
    ask: bool
    report: Report = field(default_factory=Report)

    def __post_init__(self) -> None:
        self.reads = bool(getattr(self.teacher, "reads", False))
        self.free = bool(getattr(self.teacher, "free", False))
        nothing: Price = {"input": 0.0, "output": 0.0}
        self.price: Price | None = nothing if self.free else self.settings.price or getattr(self.teacher, "price", None)

    def run(self, examples: Sequence[Example], steps: Sequence[StepRequest]) -> Said:
        """Works through the plan."""
        known: Said = {example.id: {} for example in examples}
        for request, turn in plan(steps, self.reads):
            step = STEPS[request.name]
            report = self.report.steps.setdefault(request.name, StepReport())
            items = list(self._items(step, turn, examples, known, report))
            for start in range(0, len(items), SLICE):
                some = items[start : start + SLICE]
                for item, generation in zip(
                    some, self._slice(request, step, some, report, (start, len(items))), strict=True
                ):
                    slot = (request.name, "" if step.about == "own" else item.answer)
                    if generation is not None:
                        known[item.example.id][slot] = generation
        return known

    def _items(
        self, step: Step, turn: int, examples: Sequence[Example], known: Said, report: StepReport
    ) -> Iterator[_Item]:
        """What the step has to say. One whose parent is refused or missing is counted, and not asked."""
        for example in examples:
            said = known[example.id]
            quoted, parents, missing = {}, [], ""
            for need in () if self.reads else step.needs:
                # In later rounds the revision of the round before takes the place of the explanation.
                kind = "revision" if turn > 1 and need == "explanation" else need
                parent = said.get((kind, example.answer))
                if parent is None or parent.refusal:
                    missing = missing or f"no {need} to build on"
                    continue
                quoted[need] = parent.text
                parents.append(parent.key)
            if missing:
                report.refused[missing] += 1
                said.pop((step.name, example.answer), None)
                continue
            for answer in {"gold": (example.answer,), "own": ("",), "wrong": example.wrong}[step.about]:
                yield _Item(example, answer, quoted, tuple(parents))

    def _slice(
        self, request: StepRequest, step: Step, items: Sequence[_Item], report: StepReport, place: tuple[int, int]
    ) -> list[Generation | None]:
        """The generation that counts for each item: the first of its chain that is not refused, or the last.

        `place` is how many items of the step are done, and how many it has.
        """
        asked = [self._prompt(request, step, item) for item in items]
        final: list[Generation | None] = [None] * len(items)
        pending = list(range(len(items)))
        for attempt in range(1 if self.reads or step.marks else self.settings.retries + 1):
            sampling = self._sampling(request, step, attempt)
            keys = {
                index: ask_key(self.teacher.name, self.teacher.revision, asked[index], sampling) for index in pending
            }
            found = self.store.get(keys.values())
            report.found += len(found)
            missing = list({key: index for index, key in keys.items() if key not in found}.values())
            self._count(report, list(found.values()))
            here = (place[0] + len(items) - len(missing), place[1])
            self.tick(request.name, *here, self._note(report))
            report.missing += 0 if self.ask else len(missing)
            if self.ask and missing:
                questions = [(keys[index], items[index], asked[index]) for index in missing]
                found |= self._ask(request.name, questions, sampling, report, here)
            pending = []
            for index, key in keys.items():
                if key not in found:
                    continue
                generation = final[index] = self._again(found[key], items[index], request)
                if generation.refusal in RETRIED:
                    pending.append(index)
            if not pending:
                break
        self._settle(request, final, report)
        return final

    def _prompt(self, request: StepRequest, step: Step, item: _Item) -> Prompt:
        if self.reads:
            return Prompt((), item.example, step.name, item.answer)
        if step.marks:
            asks = json.dumps(self.teacher.asks, sort_keys=True)  # type: ignore[attr-defined]
            turns = (Turn("system", asks), Turn("user", item.example.text), Turn("assistant", item.answer))
            return Prompt(turns, item.example, step.name, item.answer)
        return self.prompts.prompt(step, item.example, item.answer, item.quoted, request.max_words)

    def _sampling(self, request: StepRequest, step: Step, attempt: int) -> Sampling:
        if self.reads or step.marks:
            return Sampling()  # nothing is drawn, and no setting should make it read or count again
        settings = self.settings
        return Sampling(
            max_tokens=request.max_tokens or step.max_tokens,
            temperature=max(settings.temperature, RETRY_TEMPERATURE) if attempt else settings.temperature,
            top_p=settings.top_p,
            # A label's answer may come in a paragraph of its own.
            stop=_STOP[1:] if step.about == "own" else _STOP,
            seed=settings.seed + attempt * RETRY_SEED,
        )

    def _ask(
        self,
        step: str,
        asked: Sequence[tuple[str, _Item, Prompt]],
        sampling: Sampling,
        report: StepReport,
        place: tuple[int, int],
    ) -> dict[str, Generation]:
        """Asks and stores, answer by answer: a killed run loses what was in flight and no more."""
        new: dict[str, Generation] = {}
        waiting: list[Generation] = []
        before = time.perf_counter()
        try:
            for position, completion in self.teacher.complete([prompt for _, _, prompt in asked], sampling):
                now = time.perf_counter()
                key, item, prompt = asked[position]
                generation = self._generation(
                    key, item, prompt, sampling, replace(completion, seconds=completion.seconds or now - before)
                )
                before = now
                new[key] = generation
                waiting.append(generation)
                report.asked += 1
                self._count(report, [generation])
                if len(waiting) >= (SLICE if self.free else 1):
                    self.store.put(waiting)
                    waiting = []
                if not self.free or len(new) == len(asked):
                    self.tick(step, place[0] + len(new), place[1], self._note(report))
        finally:
            self.store.put(waiting)
        if len(new) < len(asked):
            raise TeacherError(
                f"The teacher '{self.teacher.name}' returned nothing for {len(asked) - len(new):,} of {len(asked):,} prompts of the step "
                f"'{step}'. `complete` must yield one completion for every prompt. What it said is stored."
            )
        return new

    def _generation(
        self, key: str, item: _Item, prompt: Prompt, sampling: Sampling, completion: Completion
    ) -> Generation:
        answer: str | None = item.answer
        if prompt.kind == "label":
            answer = None if completion.refusal else self.parse(clean(completion.text, prompt.kind)[0], item.example)
        if STEPS[prompt.kind].marks:
            text, refusal = completion.text, completion.refusal
        else:
            hidden = [turn.text for turn in prompt.turns[:-1]]
            if "critique" in item.quoted:
                hidden.append(item.quoted["critique"])
            quoted = item.quoted.get("explanation", "")
            text, refusal = judge(prompt, completion, recorded=self.reads, hidden=hidden, quoted=quoted, answer=answer)
        turns, source = provenance(self.teacher, prompt, sampling, completion)
        return Generation(item.example.id, prompt.kind, answer or "", text, turns, item.parents, source, key, refusal)

    @staticmethod
    def _again(generation: Generation, item: _Item, request: StepRequest) -> Generation:
        """A stored generation as this request sees it: the same words may have been said of another example or under another length cap."""
        refusal = None if generation.refusal == LONG else generation.refusal
        if refusal is None and too_long(generation.text, request.max_words):
            refusal = LONG
        return replace(generation, example_id=item.example.id, refusal=refusal)

    def _settle(self, request: StepRequest, final: Sequence[Generation | None], report: StepReport) -> None:
        refusals = [generation.refusal for generation in final if generation is not None]
        report.kept += refusals.count(None)
        report.refused.update(reason.partition(":")[0] for reason in refusals if reason)
        if self.ask and refusals and set(refusals) == {EMPTY} and report.kept == 0:
            what = f"all {len(refusals):,} texts of the step '{request.name}' are empty"
            raise TeacherError(
                f"The teacher '{self.teacher.name}' says nothing: {what}. Try one prompt by hand, or another teacher."
            )

    def _count(self, report: StepReport, generations: Sequence[Generation]) -> None:
        for generation in generations:
            report.tokens_in += generation.source.tokens_in
            report.tokens_out += generation.source.tokens_out
            report.seconds += generation.source.seconds
        if self.price is not None:
            report.cost = dollars(self.price, report.tokens_in, report.tokens_out)

    @staticmethod
    def _note(report: StepReport) -> str:
        cost = "" if report.cost is None else f", ${report.cost:,.2f}"
        return f"{report.found:,} found, {report.asked:,} asked, {report.tokens_in + report.tokens_out:,} tokens{cost}"
