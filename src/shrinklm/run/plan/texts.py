"""The teachers' part of a plan: the loop that asks them is walked through with stand-ins, in memory alone.

So what is counted is what would be asked: what the store holds, retries, dependents, shared prompts and rounds follow
from the same code. Only the texts are supposed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...core.errors import TeacherError
from ...core.types import Completion, Prompt, Sampling
from ...teachers.base import BaseTeacher
from ...teachers.costs import Price, dollars
from ...teachers.generate import GenerateSettings
from ...teachers.refusals import CUT
from ...teachers.seeds import RETRY_SEED, SAMPLE_SEED
from ...teachers.steps import STEPS, StepRequest
from ...teachers.store import Store
from ...teachers.usage import Report
from ..asked import TeacherBlock
from ..run import Run
from ..stages.generate import Teaching
from ..stages.writers import Taker, Writers
from .habits import Habits, Known

_SHOWN = 16
"""Prompts of a step that are kept for a trial."""
_TRIAL_TOKENS = (2, 10)
"""Tokens written in the two trials of a model on this machine: their difference is the time of a token."""


NOTHING: Mapping[str, Any] = {
    **dict.fromkeys(("prompts", "retries", "tokens_in", "tokens_out"), 0),
    **{"dollars": 0.0, "seconds": 0.0, "sources": [], "here": 0},
}
"""The figures of a step in which nobody is asked."""


@dataclass
class Tally:
    """What a stand-in was asked in one step."""

    prompts: int = 0
    retries: int = 0
    tokens_in: float = 0.0
    tokens_out: float = 0.0
    sources: dict[str, None] = field(default_factory=dict)
    """Where the figures come from, in order."""
    shown: list[Prompt] = field(default_factory=list)


class StandIn(BaseTeacher):
    """Takes the place of a model that would be paid or waited for: writes texts as long as the model's, and counts.

    Args:
        teacher: The model.
        habits: How it writes.
        words: Step → the most words of a text.
        seed: The seed of first tries; another one is a retry's.
    """

    supposes = True

    def __init__(self, teacher: BaseTeacher, habits: Habits, words: Mapping[str, int | None], seed: int | None) -> None:
        self.teacher, self.habits, self.words, self.seed = teacher, habits, words, seed
        self.name, self.revision, self.tokenizer_revision = teacher.name, teacher.revision, teacher.tokenizer_revision
        self.max_tokens, self.unpaid, self.contrasts = teacher.max_tokens, teacher.unpaid, teacher.contrasts
        self.tallies: dict[str, Tally] = {}
        self._owed: dict[str, float] = {}

    @property
    def price(self) -> Price | None:
        """The model's."""
        return self.teacher.price

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        """Yield a text for each prompt; as many of them are refused as of the model's own."""
        count, source = self.habits.reads
        for position, prompt in enumerate(prompts):
            tally = self.tallies.setdefault(prompt.kind, Tally())
            written, refused = self.habits.written(prompt), self.habits.refused(prompt.kind)
            size_in, size_out = count(prompt.turns) + count(prompt.against), min(written.value, sampling.max_tokens)
            tally.prompts += 1
            tally.retries += self._retry(sampling)
            tally.tokens_in += size_in
            tally.tokens_out += size_out
            tally.sources |= {f"read: {source}": None, f"written: {written.source}": None}
            if self.seed is not None:  # a judge is asked once
                tally.sources[refused.source] = None
            if len(tally.shown) < _SHOWN:
                tally.shown.append(prompt)
            owed = self._owed.get(prompt.kind, 0.0) + refused.value
            self._owed[prompt.kind] = owed - (owed >= 1)
            reason = CUT if owed >= 1 else None
            yield position, Completion(self._text(prompt, size_out), round(size_in), round(size_out), refusal=reason)

    def _retry(self, sampling: Sampling) -> bool:
        if self.seed is None:
            return False
        offset = (sampling.seed - self.seed) % SAMPLE_SEED
        return 0 < offset < SAMPLE_SEED // 2 and offset % RETRY_SEED == 0

    def _text(self, prompt: Prompt, tokens: float) -> str:
        tally = self.tallies[prompt.kind]
        shown = [turn.text for turn in prompt.turns if turn.role == "assistant"]
        text = (
            self.habits.text(prompt.kind, tally.prompts) or (shown or ["It fits."])[tally.prompts % max(1, len(shown))]
        )
        return " ".join(text.split()[: self.words.get(prompt.kind)])


class Supposed(Writers):
    """The writers of a run, with a stand-in for each that would be paid or waited for."""

    def __init__(self, writers: Writers, store: Store) -> None:
        # Not the one of `Writers`, which would give the teachers a budget of their own.
        self.recipe, self.instead, self.budget = writers.recipe, writers.instead, None
        self._writers, self._store = writers, store
        self._stand_ins: dict[BaseTeacher, StandIn] = {}

    @property
    def first(self) -> BaseTeacher | None:
        """See `Writers.first`."""
        return self._stand_in(self._writers.first)

    def takers(self, step: str) -> list[Taker]:
        """See `Writers.takers`."""
        takers = self._writers.takers(step)
        return [replace(each, teacher=self._stand_in(each.teacher, each.block) or each.teacher) for each in takers]

    def named(self, name: str) -> tuple[BaseTeacher, GenerateSettings]:
        """See `Writers.named`."""
        teacher, settings = self._writers.named(name)
        block, own = self.recipe.named.get(name), self.recipe.teacher
        block = block or (own if own is not None and own.use == name else TeacherBlock(use=name))
        return self._stand_in(teacher, block) or teacher, settings

    def _stand_in(self, teacher: BaseTeacher | None, block: TeacherBlock | None = None) -> BaseTeacher | None:
        # What costs nothing is read, as `preview` reads it.
        if teacher is None or teacher.free:
            return teacher
        if teacher not in self._stand_ins:
            block, words = block or self.block(""), {each.name: each.max_words for each in self.recipe.generate}
            habits = Habits(teacher, self._store, block.thinking)
            self._stand_ins[teacher] = StandIn(teacher, habits, words, block.seed)
        return self._stand_ins[teacher]


def plan_texts(teaching: Teaching, only: str | None, trials: bool) -> list[dict[str, Any]]:
    """A row for each step: what it will take to write its texts. `teaching` has stand-ins for its teachers.

    With `trials`, a model on this machine whose speed is not known writes a few tokens.
    """
    rows = []
    for split, requests in teaching.questions(only):
        written = [request for request in requests if not STEPS[request.name].marks]
        report = teaching.ask(teaching.splits[split], written) if written else Report()
        for name, usage in report.steps.items():
            for taker in teaching.writers.takers(name):
                found = usage.by[taker.by].found if taker.by else usage.found
                row: dict[str, Any] = {"step": name if split == "train" else f"{name} ({split})"}
                row |= {"teacher": taker.teacher.name, "found": found, **NOTHING}
                if isinstance(taker.teacher, StandIn):
                    row |= costs(taker.teacher, name, taker.block.price or taker.teacher.price, trials)
                rows.append(row)
        marked = [request for request in requests if STEPS[request.name].marks]
        rows += _marked(teaching, marked)
    return rows


def plan_labels(run: Run, trials: bool) -> list[dict[str, Any]]:
    """A row for the labels of questions that come without answers."""
    labelling, writer = run.data.labelling, run.writers.of("label")
    assert labelling is not None
    found = labelling.ask(False).steps
    row: dict[str, Any] = {"step": "label", "teacher": writer.name if writer else "", **NOTHING}
    row["found"] = sum(step.found for step in found.values())
    if isinstance(writer, StandIn):
        row |= costs(writer, "label", run.writers.block("label").price or writer.price, trials)
    return [row]


def costs(stand_in: StandIn, kind: str, price: Price | None, trials: bool) -> dict[str, Any]:
    """What a stand-in counted in a step, which it forgets: prompts, tokens, dollars, seconds; None where unknown."""
    tally = stand_in.tallies.pop(kind, Tally())
    tokens_in, tokens_out = round(tally.tokens_in), round(tally.tokens_out)
    pace = _pace(stand_in, kind, tally, trials) if tally.prompts else Known(0.0, "")
    found = {
        "prompts": tally.prompts, "retries": tally.retries, "tokens_in": tokens_in, "tokens_out": tokens_out,
        "dollars": 0.0 if not tally.prompts else None if price is None else dollars(tokens_in, tokens_out, price),
        "seconds": None if pace is None else pace.value * tally.prompts, "here": _weights_here(stand_in.teacher),
    }  # fmt: skip
    time_source = f"time: {pace.source if pace else 'unknown, no text of this model is in the store'}"
    return found | {"sources": [*tally.sources, *([time_source] if tally.prompts else [])]}


def _weights_here(teacher: BaseTeacher) -> int:
    """The weights of a model that writes where the command runs, by the length of its files, as if of two bytes each; 0
    for one behind a server."""
    path = getattr(getattr(teacher, "model", None), "path", None)
    if path is None:
        return 0
    files = path.glob("*.safetensors") if path.is_dir() else [path]
    size: int = sum(file.stat().st_size for file in files)
    return max(1, size // 2)


def _marked(teaching: Teaching, requests: Sequence[StepRequest]) -> list[dict[str, Any]]:
    """The steps that mark words: how many questions; nobody is paid, and how long it takes is not known."""
    rows: list[dict[str, Any]] = []
    examples = teaching.splits["train"]
    for request in requests:
        row = {"step": request.name, "teacher": STEPS[request.name].by, "found": 0, **NOTHING, "here": 1}
        try:
            usage = teaching.look(examples, [request])[1].steps[request.name]
            row |= {"found": usage.found, "prompts": usage.missing, "seconds": None if usage.missing else 0.0}
        except TeacherError as error:  # not fine-tuned yet
            row |= {"prompts": len(examples), "seconds": None, "sources": [str(error)]}
        rows.append(row)
    return rows


def _pace(stand_in: StandIn, kind: str, tally: Tally, trials: bool) -> Known | None:
    """The seconds between two texts: as recorded, else tried out where a trial costs nothing."""
    known = stand_in.habits.seconds
    if kind in known:
        return known[kind]
    # Other steps of the same model, by the tokens that they write.
    if known:
        other = next(iter(known))
        texts = [one.source.tokens_out for one in stand_in.habits.texts(other)]
        length = sum(texts) / len(texts)
        ratio = tally.tokens_out / tally.prompts / length if length else 1.0
        return Known(known[other].value * ratio, f"recorded with texts of the step '{other}'")
    teacher = stand_in.teacher
    # A model in this process: nobody else's, and nobody is paid.
    if not trials or getattr(getattr(teacher, "model", None), "path", None) is None:
        return None
    return Known(_tried(teacher.complete, tally), "tried out on this machine with a few tokens")


def _tried(complete: Callable[[Sequence[Prompt], Sampling], Iterator[Any]], tally: Tally) -> float:
    """The seconds for each text of a step, by two short trials of a batch after one to warm up."""
    few, more = _TRIAL_TOKENS
    took = {}
    for tokens in (few, few, more):
        began = time.perf_counter()
        list(complete(tally.shown, Sampling(tokens)))
        took[tokens] = time.perf_counter() - began
    each = max(0.0, took[more] - took[few]) / (more - few)
    batch = took[few] + each * (tally.tokens_out / tally.prompts - few)
    return batch / len(tally.shown)
