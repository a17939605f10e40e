"""A judge is a teacher whose texts are replies about other texts: asked once, greedily, and kept word for word."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ..core.errors import BudgetError, Pending
from ..core.types import Completion, Generation, Prompt, Sampling, Tick, digest
from .ask import Asker, Query, Reading
from .base import BaseTeacher
from .budget import outlook
from .store import Store
from .usage import Usage


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
    try:
        generations |= asker.ask([missing[key] for key in order], sampling, usage, progress)
    except BudgetError as error:
        if judge.budget is None:
            raise
        left, there = len(order) - usage.asked, usage.found + usage.asked
        each = (usage.cost or 0.0) / there if there else 0.0
        raise outlook(error, judge.budget, left, judge.budget.spent + left * each) from None
    if usage.awaited:
        awaited = judge.send()
        if not judge.wait(moment=True):
            raise Pending(awaited)
        return ask_judge(judge, prompts, store, max_tokens, seed, tick)
    usage.settle(generation.refusal for generation in generations.values())
    return [generations[key] for key in keys], usage


def _verbatim(prompt: Prompt, completion: Completion) -> Reading:
    return Reading(completion.text, completion.refusal, prompt.answer)
