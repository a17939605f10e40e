"""`endpoint-batch:URL#MODEL` as a teacher."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from ...core.errors import TeacherError
from ...core.types import Completion, Prompt, Sampling, ask_key
from ..base import FAILED, TeacherOptions
from ..costs import Price, dollars, expected_tokens
from ..endpoint import EndpointTeacher
from ..endpoint.reply import Trouble, trimmed
from .ledger import Batch, Entry, Ledger
from .orders import TRIES, Orders
from .results import completion_of, line_at, parse
from .server import BatchServer

MOMENT = 15.0
"""Seconds for which a command that has ordered waits until the server has looked the order through."""
LONGEST = 60.0
"""Seconds between two looks at a batch, at most."""


class BatchTeacher(EndpointTeacher):
    """`endpoint-batch:http://host:port/v1#model`: the texts of `endpoint:`, ordered by the file at half the price.

    It is the same teacher under the same name, so texts of the one serve the other. A command orders what the store
    lacks and ends; the same command, hours or days later, takes what has come and orders what follows from it.
    """

    spec = "endpoint-batch"
    later = True
    keeps_budget = False

    def __init__(self, rest: str, options: TeacherOptions) -> None:
        super().__init__(rest, options)
        if self.addresses.file or len(self.addresses.read()) > 1:
            raise TeacherError(
                f"'{self.spec}:{rest}' names several servers, and a batch is ordered from one. "
                f"Write {self.spec}:http://HOST:PORT/v1#{self.name}, or endpoint: for several."
            )
        (self.url,) = self.addresses.read()
        self._asking = self._request()

    _orders: Orders | None = None
    _left = 0
    _tokens = (0, 0)

    @cached_property
    def price(self) -> Price | None:
        """Half of the known price, or what the recipe says."""
        price = super().price
        if price is None or self.options.price is not None:
            return price
        return {"input": price.get("input", 0.0) / 2, "output": price.get("output", 0.0) / 2}

    @property
    def ready(self) -> int:  # type: ignore[override]
        """See `BaseTeacher`."""
        return self._left

    def begin(self, store: Path) -> None:
        """See `BaseTeacher`. Raises TeacherError, StoreError."""
        if self._orders is None or self._orders.ledger.store != store:
            options = self.options
            ledger = Ledger(store, f"{self.url}#{self.name} {self.revision}".strip())
            server = BatchServer(self._wire(self.url), options.attempts, self.backoff)
            self._orders = Orders(ledger, server, self._asking, options.batch, options.failures, self._say)
        self._orders.forget()
        self._hopeless: list[str] = []
        self._batches: dict[str, Batch] = {}
        self._fresh, self._tokens = False, (0, 0)

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        """Yield the completions that have come. The other prompts are kept for `send`.

        Raises TeacherError when the server does not answer or wants a key.
        """
        orders = self._orders
        if orders is None:
            raise TeacherError("A teacher that answers in batches is asked by `run_steps` or a recipe.")
        if not self._fresh:
            orders.refresh()
            self._batches = {batch.name: batch for batch in orders.ledger.batches("read")}
            self._fresh = True
        # Greedy texts are the same whatever the seed.
        named = sampling if sampling.temperature else replace(sampling, seed=0)
        keys = [ask_key(self.name, self.revision, prompt, named) for prompt in prompts]
        entries = orders.ledger.entries(keys)
        self._left = sum(entry.state == "here" for entry in entries.values())
        for position, (key, prompt) in enumerate(zip(keys, prompts, strict=True)):
            entry = entries.get(key)
            completion = None if entry is None else self._completion(key, entry, sampling)
            if completion is not None:
                self._left -= 1
                yield position, completion
            elif entry is not None and entry.state == "out":
                orders.awaited += 1
            else:
                orders.take(key, self._asking.encode(prompt, sampling))
                taken_in, taken_out = self._tokens
                self._tokens = (taken_in + expected_tokens(prompt.turns), taken_out + sampling.max_tokens)

    def send(self) -> str:
        """See `BaseTeacher`. Raises TeacherError when the last batch went wrong, or the order does."""
        orders = self._orders
        assert orders is not None
        lines, awaited = orders.lines, orders.awaited
        if not lines and not awaited:
            # All has come that will: what failed is ordered again by the next command.
            for key in self._hopeless:
                orders.ledger.give_up(key)
            return ""
        sent = orders.send()
        orders.forget()
        under_way = orders.ledger.batches("ordered")
        done, asked = sum(batch.done for batch in under_way), sum(batch.requests for batch in under_way)
        status = ", ".join(sorted({batch.status for batch in under_way}))
        what = "The batch is" if len(under_way) == 1 else f"{len(under_way)} batches are"
        return (
            f"{self._ordered(sent, lines)}{what} not done: {done:,} of {asked:,} texts ({status}). "
            f"{f'{lines - sent:,} more are ordered when there is room. ' if sent < lines else ''}"
            "Type the same command later: it goes on from here."
        )

    def wait(self, moment: bool) -> bool:
        """See `BaseTeacher`."""
        orders = self._orders
        assert orders is not None
        end, pause, said = time.monotonic() + (MOMENT if moment else math.inf), 1.0, ""
        while not orders.refresh():
            under_way = orders.ledger.batches("ordered")
            checked = all(batch.status != "validating" for batch in under_way)
            if not under_way or (moment and (checked or time.monotonic() + pause > end)):
                return False
            done, asked = sum(batch.done for batch in under_way), sum(batch.requests for batch in under_way)
            state = f"waiting for a batch: {done:,} of {asked:,} ({', '.join({one.status for one in under_way})})"
            if state != said:
                self.tell(state)
                said = state
            time.sleep(pause)
            pause = min(2 * pause, LONGEST)
        return True

    def _completion(self, key: str, entry: Entry, sampling: Sampling) -> Completion | None:
        """What has come of a question; None when it is to be ordered, or is."""
        assert self._orders is not None
        if entry.state == "hopeless" or (entry.state == "failed" and entry.tries >= TRIES):
            self._hopeless.append(key)
            return Completion("", refusal=f"{FAILED}: {entry.reason}")
        if entry.state != "here" or entry.batch not in self._batches:
            return None
        ledger, batch = self._orders.ledger, self._batches[entry.batch]
        line: Mapping[str, object] | None = parse(line_at(ledger.results(entry.batch), entry.at))
        if line is None or line["custom_id"] != key:  # somebody changed the file
            ledger.give_up(key)
            return None
        try:
            completion = trimmed(completion_of(line), sampling, tuple(json.loads(batch.adapted)))
        except Trouble as trouble:
            completion = Completion("", refusal=trouble.reason)
        return replace(completion, batch=batch.number)

    def _ordered(self, sent: int, lines: int) -> str:
        if not sent:
            return ""
        tokens_in, tokens_out = (round(tokens * sent / lines) for tokens in self._tokens)
        cost = "at a price that is not known (`price` of the teacher)"
        if self.price is not None:
            half = "" if self.options.price is not None else " (half of the price of single requests)"
            cost = f"at most about ${dollars(tokens_in, tokens_out, self.price):,.2f}{half}"
        return (
            f"Ordered {sent:,} texts of '{self.name}' from {self.url}: about {tokens_in:,} tokens of prompts and at "
            f"most {tokens_out:,} of completions, {cost}.\n"
        )

    def _say(self, state: str) -> None:
        self.tell(state)
