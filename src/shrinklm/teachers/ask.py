"""The only place that calls a teacher. A judge is a teacher too.

Every completion becomes a Generation with its provenance and is stored as it comes, so that a killed run loses only the
requests in flight. No prompt whose generation is in the store is asked again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache, lru_cache
from importlib.metadata import version
from typing import Literal

from ..core.errors import TeacherError
from ..core.logprobs import OptionLogprobs
from ..core.types import Completion, Example, Generation, Prompt, Sampling, Source, Turn, ask_key
from .base import EATEN, BaseTeacher, failed
from .budget import check_price
from .costs import Price, dollars, most_tokens
from .logprobs import of_options
from .store import Store
from .thoughts import split
from .usage import Usage

SLICE = 4096
"""Questions whose prompts are in memory at a time. At the end of each, a server waits for the slowest answer."""

COMMIT = 32
"""Texts of a teacher that costs something in one commit, at most: what a kill loses beside the requests in flight."""


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
    lost: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Key → what a stored failure may have cost. It is asked for again, and what comes then takes its place."""

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

    def find(self, keys: Iterable[str], usage: Usage, ask: bool = True, prompts: bool = True) -> dict[str, Generation]:
        """Return the stored generations of the keys, and count them; their `prompts` are read where they are needed.

        Where the others are asked for next (`ask`), those at which the server failed are left out, to be asked again.
        """
        generations = self.store.get(keys, prompts)
        if self.teacher.budget and self.price:
            for key, one in generations.items():
                self.teacher.budget.count(key, _cost(one, self.price))
        if ask:
            again = {key: one for key, one in generations.items() if failed(one)}
            self.lost.update((key, one.source.uncounted) for key, one in again.items() if any(one.source.uncounted))
            generations = {key: one for key, one in generations.items() if key not in again}
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

        Raises TeacherError when the teacher cannot answer or does not answer every prompt once, BudgetError before a
        call that could pass the run's budget, StoreError.
        """
        answered: dict[str, Generation] = {}
        for part in self._affordable(queries, sampling):
            before = len(answered)
            answered |= self._ask(part, sampling, usage, lambda done, before=before: progress(before + done))  # type: ignore[misc]
        return answered

    def _affordable(self, queries: Sequence[Query], sampling: Sampling) -> Iterator[Sequence[Query]]:
        """The queries in parts of which each fits into the run's budget. Raises BudgetError where none does."""
        teacher, budget = self.teacher, self.teacher.budget
        if not queries:
            return
        if budget is None or teacher.free or (teacher.unpaid and not self.price):
            yield queries
            return
        check_price(self.price, teacher.name, self.role)
        if teacher.keeps_budget:
            yield queries
            return
        start = 0
        while start < len(queries):
            end, most = start, 0.0
            while end < len(queries):
                most_of_it = dollars(*_most(queries[end], sampling), self.price or {})
                one = 0.0 if budget.ordered(queries[end].key) else most_of_it
                if not budget.fits(most + one):
                    break
                end, most = end + 1, most + one
            if end == start:
                raise budget.exceeded(one)
            yield queries[start:end]
            start = end

    def _ask(
        self, queries: Sequence[Query], sampling: Sampling, usage: Usage, progress: Callable[[int], None]
    ) -> dict[str, Generation]:
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
                answered[query.key] = self._generation(query, sampling, self._paid(query, sampling, completion))
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
            self._order([query for query in queries if query.key not in answered], sampling)
        elif len(answered) < len(queries):
            missing = f"returned nothing for {len(queries) - len(answered):,} of {len(queries):,} prompts"
            raise self._error(missing, queries[0].prompt)
        return answered

    def _order(self, queries: Sequence[Query], sampling: Sampling) -> None:
        """Reserve what questions that are answered later may cost."""
        if self.teacher.budget and self.price:
            for query in queries:
                self.teacher.budget.order(query.key, dollars(*_most(query, sampling), self.price))

    def _paid(self, query: Query, sampling: Sampling, completion: Completion) -> Completion:
        """Count a completion against the run's budget; return it with all that its question may have cost."""
        teacher, budget = self.teacher, self.teacher.budget
        if budget and self.price:
            if not teacher.keeps_budget:
                if not completion.tokens_in and not completion.tokens_out and not teacher.free:  # it does not count
                    completion = replace(completion, uncounted=_most(query, sampling))
                counted = completion.tokens_in, completion.tokens_out
                budget.pay(query.key, dollars(*counted, self.price) + dollars(*completion.uncounted, self.price))
            budget.know(query.key)
            if lost := self.lost.pop(query.key, None):
                both = completion.uncounted
                completion = replace(completion, uncounted=(both[0] + lost[0], both[1] + lost[1]))
        return completion

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
            uncounted=completion.uncounted,
        )
        return Generation(
            example_id=prompt.example.id,
            kind=prompt.kind,
            answer=reading.answer,
            text=reading.text,
            # Of what it was held against, the last turn alone differs.
            prompt=f"[{', '.join([*map(_turn, prompt.turns), *map(_against, prompt.against[-1:])])}]",
            parents=query.parents,
            source=source,
            key=query.key,
            refusal=reading.refusal,
            thoughts=thoughts,
            logprobs=_chances(completion, prompt.example, reading.answer) if sampling.logprobs else None,
        )

    def _error(self, what: str, prompt: Prompt) -> TeacherError:
        step = f" of the step '{prompt.kind}'" if self.role == "teacher" else ""
        return TeacherError(
            f"The {self.role} '{self.teacher.name}' {what}{step}. "
            "`complete` must yield one completion for every prompt. Its completions so far are stored."
        )


def read_recording(teacher: BaseTeacher, asked: Sequence[tuple[Prompt, Sampling]]) -> list[str]:
    """The text of each prompt as a recording holds it, neither cleaned nor stored. Raises TeacherError."""
    texts = [""] * len(asked)
    for sampling in dict.fromkeys(sampling for _, sampling in asked):
        part = [position for position, (_, other) in enumerate(asked) if other == sampling]
        for index, completion in teacher.complete([asked[position][0] for position in part], sampling):
            texts[part[index]] = completion.text
    return texts


def _chances(completion: Completion, example: Example, answer: str) -> OptionLogprobs | None:
    """How likely each option was: as the teacher scored it, else as the tokens of its text tell."""
    if completion.options:
        return OptionLogprobs(completion.options, ())
    return of_options(completion.tokens, completion.text, example.choices, answer)


def _cost(generation: Generation, price: Price) -> float:
    source = generation.source
    return dollars(source.tokens_in, source.tokens_out, price) + dollars(*source.uncounted, price)


def _most(query: Query, sampling: Sampling) -> tuple[int, int]:
    return most_tokens(query.prompt.turns), sampling.max_tokens


@lru_cache(maxsize=256)  # all but the last turn are those of every question of the step
def _turn(turn: Turn) -> str:
    return json.dumps({"role": turn.role, "text": turn.text}, ensure_ascii=False)


def _against(turn: Turn) -> str:
    return json.dumps({"role": "against", "text": turn.text}, ensure_ascii=False)


@cache
def _version() -> str:
    """The package's version. Cached: it is read from a file."""
    return version("shrinklm")
