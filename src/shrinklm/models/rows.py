"""A row of a batch: a prompt that a decoder continues, how it does so, and the tokens that came."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

Stops = Callable[[str], bool]
"""Whether a row ends with the text so far."""


@dataclass
class Continuation:
    """The new tokens of one row."""

    tokens: list[int]
    finished: bool
    """False: the cap cut it."""


@dataclass(eq=False)
class Row:
    """A prompt to continue and what became of it."""

    prompt: list[int]
    """Token ids, at least one."""
    max_tokens: int
    """Cap of the new tokens."""
    stop: Stops | None = None
    temperature: float = 0.0
    """0 takes the likeliest token."""
    top_p: float = 1.0
    """Draw from the likeliest tokens that have this probability together."""
    seed: int = 0
    key: Any = None
    """What its asker knows it by."""
    said: Continuation = field(default_factory=lambda: Continuation([], False))
    against: Row | None = None
    """Another prompt under which the text shall be less likely than under this one: it is continued with the same
    tokens, and stands in the batch as long as this one does."""

    @cached_property
    def generator(self) -> torch.Generator:
        """Its own random numbers, so that neither its neighbours nor its place in a batch change anything."""
        return torch.Generator().manual_seed(self.seed)

    @cached_property
    def _read(self) -> _Text:
        return _Text()

    def take(self, token: int, ends: set[int], text: Callable[[list[int]], str]) -> bool:
        """Add a token. True when the row has ended: by an end token, by its stop or at its cap.

        `text` decodes tokens.
        """
        if token in ends:
            self.said.finished = True
            return True
        tokens = self.said.tokens
        tokens.append(token)
        # The whole text has the last word: some tokenizers clean up what stands between two words.
        self.said.finished = (
            self.stop is not None and self.stop(self._read.of(tokens, text)) and self.stop(text(tokens))
        )
        return self.said.finished or len(tokens) >= self.max_tokens


class _Text:
    """The text of growing tokens, of which each is decoded a few times and not once for every one after it."""

    def __init__(self) -> None:
        self.begin, self.end = 0, 0
        self.known, self.last = "", ""
        """The text of the tokens before `end`, and of those from `begin` to `end`."""

    def of(self, tokens: list[int], text: Callable[[list[int]], str]) -> str:
        """The text of `tokens`, which begin with those of the last call."""
        # Decoded together with the tokens before: whether a blank stands before a word depends on them.
        now = text(tokens[self.begin :])
        if not now.startswith(self.last):
            return text(tokens)
        whole = self.known + now[len(self.last) :]
        # Never between the bytes of a character.
        if len(tokens) - self.end >= _SETTLED and not now.endswith("\N{REPLACEMENT CHARACTER}"):
            self.known, self.begin, self.end = whole, self.end, len(tokens)
            self.last = text(tokens[self.begin :])
        return whole


_SETTLED = 8
"""New tokens after which those before count as known."""

Source = Callable[[int], Sequence[Row]]
"""At most so many further rows; none where there are none now."""
Choose = Callable[[Tensor, Sequence[Row]], Tensor]
"""(logits [rows, vocabulary], these rows) → the next token of each row, [rows]."""


def waiting(rows: Iterable[Row]) -> Source:
    """The source that hands out given rows in their order, each with the one that it is held against."""
    units = [[row] if row.against is None else [row, row.against] for row in rows][::-1]

    def source(count: int) -> list[Row]:
        taken: list[Row] = []
        while units and len(taken) + len(units[-1]) <= count:
            taken += units.pop()
        return taken

    return source


def choose(logits: Tensor, rows: Sequence[Row]) -> Tensor:
    """The next token of each row by its own settings, [rows]."""
    if any(row.against is not None for row in rows):
        return _contrasted(logits, rows)
    return _by_settings(logits, rows)


def _by_settings(logits: Tensor, rows: Sequence[Row]) -> Tensor:
    if all(row.temperature <= 0 for row in rows):
        return logits.argmax(-1)
    tokens = [
        pick(logits[place : place + 1], row.temperature, row.top_p, [row.generator]) for place, row in enumerate(rows)
    ]
    return torch.cat(tokens)


GROWTH, CUTOFF = 1.0, 0.1
"""Of a contrast: how much the growth of a token counts beside its own likelihood, and the share of the greatest
probability below which a token is not plausible."""


def contrast(logits: Tensor, against: Tensor) -> Tensor:
    """Scores of the next token of rows held against others, all [rows, vocabulary].

    log p(t) + growth(t), growth(t) = log p(t) - log p(t | the other prompt) (SCOTT, arXiv 2305.01879), for
    the tokens with p(t) ≥ `CUTOFF` · max p (V_head of arXiv 2210.15097); -inf for all others.
    """
    log_p, other = logits.log_softmax(-1), against.log_softmax(-1)
    plausible = log_p >= log_p.amax(-1, keepdim=True) + math.log(CUTOFF)
    return (log_p + GROWTH * (log_p - other)).where(plausible, -torch.inf)


def _contrasted(logits: Tensor, rows: Sequence[Row]) -> Tensor:
    """As `choose`, where each row is held against another of these rows, or is such another."""
    places = {id(row): place for place, row in enumerate(rows)}
    own = [place for place, row in enumerate(rows) if row.against is not None]
    others = [places[id(rows[place].against)] for place in own]
    tokens = logits.new_zeros(len(rows), dtype=torch.long)
    named = _by_settings(contrast(logits[own], logits[others]), [rows[place] for place in own])
    tokens[own] = tokens[others] = named
    return tokens


def pick(logits: Tensor, temperature: float, top_p: float, generators: Sequence[torch.Generator]) -> Tensor:
    """The next token of each row, [rows]; sampling draws on the CPU so that a seed means the same on every device."""
    if temperature <= 0:
        return logits.argmax(-1)
    probabilities = (logits / temperature).softmax(-1).cpu()
    ordered, order = probabilities.sort(-1, descending=True)
    # What comes before a token decides, so that the token that crosses `top_p` stays, and the likeliest always does;
    # multinomial takes weights that do not sum to 1.
    ordered = ordered.masked_fill(ordered.cumsum(-1) - ordered >= top_p, 0.0)
    ranks = torch.stack(
        [torch.multinomial(row, 1, generator=generator) for row, generator in zip(ordered, generators, strict=True)]
    )
    return order.gather(-1, ranks).squeeze(-1).to(logits.device)


def shared_beginning(prompts: Sequence[Sequence[int]]) -> int:
    """How many first tokens all prompts have in common."""
    first, last = min(prompts, key=list), max(prompts, key=list)  # of prompts in order, those that differ most
    # By halves: to compare two slices takes less than to look at their tokens one by one.
    same, bound = 0, min(len(first), len(last))
    while same < bound:
        middle = (same + bound + 1) // 2
        if first[same:middle] == last[same:middle]:
            same = middle
        else:
            bound = middle - 1
    return same
