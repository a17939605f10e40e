"""Asking a judge: what the store holds is not asked again, and what is said is stored word by word as it comes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..core.errors import TeacherError
from ..core.types import Completion, Generation, Prompt, Sampling, Teacher, Tick, ask_key, digest
from .generate import dollars, provenance
from .store import Store

KIND = "judgement"
"""What a judge's words are called in the store."""


@dataclass
class Bill:
    """What asking one judge took."""

    found: int = 0
    """Answers that were in the store."""
    asked: int = 0
    refused: int = 0
    """Prompts it could not take, such as one longer than its context."""
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0
    cost: float | None = None
    """Dollars; None when no price is known."""


def ask(
    judge: Teacher, prompts: Sequence[Prompt], store: Store, max_tokens: int, seed: int = 0, tick: Tick | None = None
) -> tuple[list[Generation], Bill]:
    """What a judge says to each prompt, in their order, and what it took. Greedy; what the store holds is not asked again.

    It is asked in an order drawn from `seed`, so that what a killed run has is a fair sample. Raises TeacherError.
    """
    sampling = Sampling(max_tokens)
    keys = [ask_key(judge.name, judge.revision, prompt, sampling) for prompt in prompts]
    known = store.get(keys)
    missing = {key: prompt for key, prompt in zip(keys, prompts, strict=True) if key not in known}
    bill = Bill(found=len(set(keys)) - len(missing), asked=len(missing))
    order = sorted(missing, key=lambda key: digest(seed, key))
    before = time.perf_counter()
    for position, completion in judge.complete([missing[key] for key in order], sampling) if order else ():
        now = time.perf_counter()
        key = order[position]
        known[key] = _generation(
            judge, key, missing.pop(key), sampling, replace(completion, seconds=completion.seconds or now - before)
        )
        store.put([known[key]])
        before = now
        if tick is not None:
            tick(f"judge {judge.name}", len(order) - len(missing), len(order), f"{bill.found:,} found")
    if missing:
        raise TeacherError(
            f"The judge '{judge.name}' returned nothing for {len(missing):,} of {len(order):,} prompts. `complete` must yield one "
            "completion for every prompt. What it said is stored."
        )
    for generation in known.values():
        bill.refused += generation.refusal is not None
        bill.tokens_in += generation.source.tokens_in
        bill.tokens_out += generation.source.tokens_out
        bill.seconds += generation.source.seconds
    if (price := getattr(judge, "price", None)) is not None:
        bill.cost = dollars(price, bill.tokens_in, bill.tokens_out)
    return [known[key] for key in keys], bill


def _generation(judge: Teacher, key: str, prompt: Prompt, sampling: Sampling, completion: Completion) -> Generation:
    turns, source = provenance(judge, prompt, sampling, completion)
    return Generation(
        prompt.example.id, KIND, prompt.answer, completion.text, turns, (), source, key, completion.refusal
    )
