"""A teacher that takes a step: what it is asked, with which sampling, and how its reply is read."""

from __future__ import annotations

import json
from dataclasses import dataclass

from ..core.types import Completion, Prompt, Sampling, Tick, Turn
from .ask import Asker, Reading
from .base import BaseTeacher
from .contrast import held_against
from .costs import Price
from .prompts import Prompts
from .reading import Item, Parse, read
from .seeds import seed_of, temperature_of
from .steps import STEPS, Step, StepRequest

_STOP = ("\n\n", "\nQuestion:")
"""Only the first paragraph of a completion is used, and a base model goes on with the next question of the pattern."""


@dataclass(frozen=True)
class GenerateSettings:
    """The sampling, the retries and the price of a generation."""

    temperature: float
    top_p: float
    seed: int
    retries: int
    price: Price | None
    """None: the teacher's own, if known."""


@dataclass(frozen=True)
class Taker:
    """A teacher that takes a step, and what stays the same from step to step."""

    asker: Asker
    prompts: Prompts
    settings: GenerateSettings
    parse: Parse
    tick: Tick | None
    ask: bool
    whole: bool
    """Whether the texts are to hold their prompts too: see `Store.get`."""

    def prompt(self, request: StepRequest, item: Item) -> Prompt:
        """The question for an item."""
        step = STEPS[request.name]
        if self.asker.teacher.reads:
            return Prompt((), item.example, step.name, item.answer)
        if step.marks:
            # No model reads these turns. They make the key: other settings are another question.
            asks = json.dumps(dict(self.asker.teacher.asks), sort_keys=True)
            turns = (Turn("system", asks), Turn("user", item.example.text), Turn("assistant", item.answer))
            return Prompt(turns, item.example, step.name, item.answer)
        prompt = self.prompts.prompt(step, item.example, item.answer, item.quoted, request.max_words)
        return held_against(prompt, request, step, self.prompts)

    def sampling(self, request: StepRequest, sample: int, attempt: int) -> Sampling:
        """How a try of a sample is asked for."""
        return sampling_of(self.asker.teacher, self.settings, request, sample, attempt)

    def read(self, step: Step, item: Item, prompt: Prompt, completion: Completion) -> Reading:
        """A completion as it is stored."""
        return read(item, prompt, completion, step, self.parse, self.asker.teacher)


def sampling_of(
    teacher: BaseTeacher, settings: GenerateSettings, request: StepRequest, sample: int, attempt: int
) -> Sampling:
    """How a teacher is asked for a try of a sample."""
    step = STEPS[request.name]
    if teacher.reads:
        return Sampling(seed=sample)  # see `BaseTeacher.listed`
    if step.marks:
        return Sampling()  # part of the key: no setting may have words marked once more
    return Sampling(
        max_tokens=request.max_tokens or teacher.max_tokens or step.max_tokens,
        temperature=temperature_of(settings.temperature, sample, attempt),
        top_p=settings.top_p,
        # A label's answer may come in a paragraph of its own.
        stop=_STOP[1:] if step.about == "own" else _STOP,
        seed=seed_of(settings.seed, sample, attempt),
        logprobs=request.logprobs and sample == 0 and teacher.tells_logprobs,
    )
