"""The only place that calls a teacher. A judge is a teacher too.

Every completion becomes a Generation with its provenance and is stored as it comes, so that a killed run loses only the
requests in flight. No prompt whose generation is in the store is asked again.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache, lru_cache, partial
from importlib.metadata import version
from typing import Any, Literal

from ..core.errors import Pending, TeacherError
from ..core.types import Completion, Generation, Prompt, Sampling, Source, Tick, Turn, ask_key, digest
from .base import EATEN, FAILED, BaseTeacher, Price
from .store import Store
from .thoughts import split

SLICE = 4096
"""Questions whose prompts are in memory at a time. At the end of each, a server waits for the slowest answer."""

COMMIT = 32
"""Texts of a teacher that costs something in one commit, at most: what a kill loses beside the requests in flight."""


@dataclass
class Usage:
    """The cost and the outcome of the questions to one teacher or judge.

    The counts add up: found + asked + shared + unasked = kept + refused + retried.
    """

    found: int = 0
    """Generations that were in the store, refused ones included."""
    asked: int = 0
    """Prompts sent, retries included."""
    shared: int = 0
    """Texts that came with the prompt of another one, since both ask the same."""
    unasked: int = 0
    """Texts that were not asked for, since what they build on is refused or missing; counted in `refused` too."""
    retried: int = 0
    """Texts that were refused and taken anew, with another seed."""
    awaited: int = 0
    """Texts that are ordered from a teacher that answers later, and have not come."""
    missing: int = 0
    """Texts that the store lacks and that were not asked for."""
    kept: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Reason → texts that stayed refused."""
    tokens_in: int = 0
    """Of all generations, those from the store included: what it took to make them."""
    tokens_out: int = 0
    seconds: float = 0.0
    cost: float | None = None
    """Dollars; None when no price is known."""

    def add(self, generations: Iterable[Generation], price: Price | None) -> None:
        """Add the tokens, the seconds and the cost of generations."""
        for generation in generations:
            self.tokens_in += generation.source.tokens_in
            self.tokens_out += generation.source.tokens_out
            self.seconds += generation.source.seconds
        if price is not None:
            dollars = self.tokens_in * price.get("input", 0) + self.tokens_out * price.get("output", 0)
            self.cost = dollars / 1_000_000

    def settle(self, refusals: Iterable[str | None]) -> None:
        """Count final texts as kept or refused. A reason counts without its details, which follow a colon."""
        for refusal in refusals:
            if refusal:
                self.refused[refusal.partition(":")[0]] += 1
            else:
                self.kept += 1

    def as_dict(self) -> dict[str, Any]:
        """The record in plain types, for JSON."""
        return {**vars(self), "refused": dict(self.refused.most_common())}


@dataclass(frozen=True)
class Reading:
    """A completion as it is stored: the cleaned text, the reason of its refusal, the answer that it argues for."""

    text: str
    refusal: str | None
    answer: str


@dataclass(frozen=True)
class Query:
    """A prompt that the store has no generation for."""

    key: str
    prompt: Prompt
    read: Callable[[Completion], Reading]
    parents: tuple[str, ...] = ()


@dataclass(frozen=True)
class Asker:
    """One teacher or judge with the store of its texts."""

    teacher: BaseTeacher
    store: Store
    price: Price | None
    role: Literal["teacher", "judge"]
    """Its name in errors."""

    def keys(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[str]:
        """The keys of prompts in the store: each of the way in which it is stored, or else of the present one.

        Of a greedy text the seed is no part, since it changes nothing.
        """
        keys: dict[int, str] = {}
        for way in self._ways(sampling):
            made = {position: self._key(prompt, way) for position, prompt in enumerate(prompts) if position not in keys}
            known = self.store.known(made.values())
            keys |= {position: key for position, key in made.items() if key in known}
            if len(keys) == len(prompts):
                break
        present = self._present, self._settled(sampling)
        return [keys.get(position) or self._key(prompt, present) for position, prompt in enumerate(prompts)]

    @property
    def _present(self) -> str:
        return f"{self.teacher.revision} {self.teacher.tokenizer_revision}".rstrip()

    def _settled(self, sampling: Sampling) -> Sampling:
        """The sampling without a seed that changes nothing; a recording counts the texts of a cell by it."""
        return replace(sampling, seed=0) if sampling.seed and self._greedy(sampling) else sampling

    def _greedy(self, sampling: Sampling) -> bool:
        return not (sampling.temperature or self.teacher.reads)

    def _ways(self, sampling: Sampling) -> list[tuple[str, Sampling]]:
        """The revisions and samplings that keys in the store may be made of; none if only the present ones may."""
        # What version 0.1.0 paid for is read: it wrote keys without the tokenizer, whatever that was then, and with
        # the seed of greedy texts too. The recipe's own seed comes first, so that its texts stay the ones they were.
        seeds = [sampling.seed, *((0, *self.store.greedy_seeds) if self._greedy(sampling) else ())]
        ways = [
            (revision, replace(sampling, seed=seed))
            for seed in dict.fromkeys(seeds)
            for revision in dict.fromkeys((self.teacher.revision, self._present))
        ]
        # What is not found is asked under the present key: where that would be looked for last, there is no need to.
        return ways[:-1] if ways[-1] == (self._present, self._settled(sampling)) else ways

    def _key(self, prompt: Prompt, way: tuple[str, Sampling]) -> str:
        return ask_key(self.teacher.name, way[0], prompt, way[1])

    def find(self, keys: Iterable[str], usage: Usage, ask: bool = True) -> dict[str, Generation]:
        """Return the stored generations of the keys, and count them.

        Where the others are asked for next (`ask`), those at which the server failed are left out, to be asked again.
        """
        generations = self.store.get(keys)
        if ask:
            generations = {key: one for key, one in generations.items() if not (one.refusal or "").startswith(FAILED)}
        usage.found += len(generations)
        usage.add(generations.values(), self.price)
        return generations

    def ask(
        self, queries: Sequence[Query], sampling: Sampling, usage: Usage, progress: Callable[[int], None]
    ) -> dict[str, Generation]:
        """Ask in the order given, store each completion as it comes and count it; return the generations by key.

        Args:
            queries: The prompts, no key twice.
            sampling: The same for all.
            usage: Is added to, also when an error ends the asking.
            progress: Called with the number of completions so far.

        Raises TeacherError when the teacher cannot answer or does not answer every prompt once, StoreError.
        """
        if not queries:
            return {}
        answered: dict[str, Generation] = {}
        unstored: list[Generation] = []
        teacher = self.teacher
        previous = time.perf_counter()
        try:
            for position, completion in teacher.complete([query.prompt for query in queries], sampling):
                now = time.perf_counter()
                query = self._query(queries, position, answered)
                # A teacher that measures nothing took the time since its last completion.
                if not completion.seconds:
                    completion = replace(completion, seconds=now - previous)
                previous = now
                answered[query.key] = self._generation(query, sampling, completion)
                unstored.append(answered[query.key])
                usage.asked += 1
                usage.add([answered[query.key]], self.price)
                # Each commit waits for the disk. Texts that have come already share one, and texts that can be had
                # again for nothing wait for many more; before any other text is waited for, all are stored.
                if len(unstored) >= (SLICE if teacher.free else COMMIT) or not (teacher.free or teacher.ready):
                    self.store.put(unstored)
                    unstored = []
                # Free texts come by the thousand in a second: to draw each step of a bar would take longer.
                if not teacher.free or len(answered) == len(queries):
                    progress(len(answered))
        finally:
            # Also when the teacher fails half-way: nothing that was answered is asked, or paid for, again.
            self.store.put(unstored)
        if teacher.later:
            usage.awaited += len(queries) - len(answered)
        elif len(answered) < len(queries):
            missing = f"returned nothing for {len(queries) - len(answered):,} of {len(queries):,} prompts"
            raise self._error(missing, queries[0].prompt)
        return answered

    def _query(self, queries: Sequence[Query], position: int, answered: dict[str, Generation]) -> Query:
        """The query that a completion belongs to. Raises TeacherError for an unknown or repeated position."""
        if not 0 <= position < len(queries):
            raise self._error(f"answered position {position} of {len(queries):,} prompts", queries[0].prompt)
        if queries[position].key in answered:
            raise self._error(f"answered position {position} of {len(queries):,} prompts twice", queries[0].prompt)
        return queries[position]

    def _generation(self, query: Query, sampling: Sampling, completion: Completion) -> Generation:
        # Here, whoever wrote it: a recording and a plug-in's model have thoughts too, and no reader may see them.
        thoughts, text = split(completion.text)
        thoughts = "\n".join(filter(None, [completion.thoughts, thoughts]))
        refusal = completion.refusal
        if thoughts and not text.strip() and not completion.finished and not refusal:
            # Not tried again with a new seed: it would be paid for once more, and end in the same place.
            refusal = f"{EATEN}: {sampling.max_tokens}. Set `max_tokens` of the {self.role} higher, or `thinking: off`"
        if (text, thoughts, refusal) != (completion.text, completion.thoughts, completion.refusal):
            completion = replace(completion, text=text, thoughts=thoughts, refusal=refusal)
        prompt, reading = query.prompt, query.read(completion)
        source = Source(
            teacher=self.teacher.name,
            revision=self.teacher.revision,
            sampling=self._settled(sampling),
            seed=sampling.seed,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            tokens_in=completion.tokens_in,
            tokens_out=completion.tokens_out,
            version=_version(),
            tokenizer=self.teacher.tokenizer_revision,
            seconds=round(completion.seconds, 4),
            adapted=completion.adapted,
            batch=completion.batch,
        )
        return Generation(
            example_id=prompt.example.id,
            kind=prompt.kind,
            answer=reading.answer,
            text=reading.text,
            prompt=f"[{', '.join(map(_turn, prompt.turns))}]",
            parents=query.parents,
            source=source,
            key=query.key,
            refusal=reading.refusal,
            thoughts=thoughts,
        )

    def _error(self, what: str, prompt: Prompt) -> TeacherError:
        step = f" of the step '{prompt.kind}'" if self.role == "teacher" else ""
        return TeacherError(
            f"The {self.role} '{self.teacher.name}' {what}{step}. "
            "`complete` must yield one completion for every prompt. Its completions so far are stored."
        )


def ask_judge(
    judge: BaseTeacher, prompts: Sequence[Prompt], store: Store, max_tokens: int, seed: int, tick: Tick | None = None
) -> tuple[list[Generation], Usage]:
    """Return a judge's answers in the order of the prompts, word for word, and their usage. Decoding is greedy.

    The prompts are asked in an order drawn from `seed`, so that a killed run leaves a random sample.
    Raises TeacherError; Pending when it answers later, with what it is asked now ordered.
    """
    sampling, usage = Sampling(judge.max_tokens or max_tokens), Usage()
    asker = Asker(judge, store, judge.price, "judge")
    keys = asker.keys(prompts, sampling)
    generations = asker.find(keys, usage)
    missing = {
        key: Query(key, prompt, partial(_verbatim, prompt))
        for key, prompt in zip(keys, prompts, strict=True)
        if key not in generations
    }
    # By a hash and not by a shuffle: the order of the rest stays the same when a part is in the store already.
    order = sorted(missing, key=lambda key: digest(seed, key))

    if tick is not None:
        judge.tell = lambda state: tick(f"judge {judge.name}", 0, 0, state)

    def progress(done: int) -> None:
        if tick is not None:
            tick(f"judge {judge.name}", done, len(order), f"{usage.found:,} found")

    if missing:
        judge.begin(store.path)
    generations |= asker.ask([missing[key] for key in order], sampling, usage, progress)
    if usage.awaited:
        awaited = judge.send()
        if not judge.wait(moment=True):
            raise Pending(awaited)
        return ask_judge(judge, prompts, store, max_tokens, seed, tick)
    usage.settle(generation.refusal for generation in generations.values())
    return [generations[key] for key in keys], usage


def read_recording(teacher: BaseTeacher, asked: Sequence[tuple[Prompt, Sampling]]) -> list[str]:
    """The text of each prompt as a recording holds it, neither cleaned nor stored. Raises TeacherError."""
    texts = [""] * len(asked)
    for sampling in dict.fromkeys(sampling for _, sampling in asked):
        part = [position for position, (_, other) in enumerate(asked) if other == sampling]
        for index, completion in teacher.complete([asked[position][0] for position in part], sampling):
            texts[part[index]] = completion.text
    return texts


def _verbatim(prompt: Prompt, completion: Completion) -> Reading:
    return Reading(completion.text, completion.refusal, prompt.answer)


@lru_cache(maxsize=256)  # all but the last turn are those of every question of the step
def _turn(turn: Turn) -> str:
    return json.dumps({"role": turn.role, "text": turn.text}, ensure_ascii=False)


@cache
def _version() -> str:
    """The package's version. Cached: it is read from a file."""
    return version("shrinklm")
