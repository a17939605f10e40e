"""Greedy and sampled decoding of a causal model, for teachers and students alike: one loop, fast on a CPU.

Prompts of one step share a long beginning (instructions, few-shot examples). Its keys and values are computed once and
stay in memory once (`models.shared`). A row that ends leaves the batch, and the next one takes its place, so that the
batch stays full (continuous batching: Yu and others, "Orca", OSDI 2022).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .rows import Choose, Continuation, Row, Source, Stops, choose, shared_beginning, waiting
from .shared import SHARED, SharedCache, attending, point

Beginning = tuple[list[int], list[tuple[Tensor, Tensor]]]
"""The tokens with which rows begin, and their keys and values in each layer."""

REFILL = 4
"""New rows join once a fourth of the places in the batch is free: a pass over several prompts costs less than a pass
over each."""
CHUNK = 2048
"""Tokens of prompts in one pass at most: longer ones are read in pieces, since the scores of all their tokens at once
would be the largest tensors in memory."""
ROWS, ROOM = 32, 512
"""Rows at a time where nobody says how many, as long as each has at most so many tokens of its own, which is what
memory holds for each of them. A step of 32 rows takes little longer than one of 16. Of longer rows half as many."""
SHORT = 16
"""A shared beginning of fewer tokens costs a pass of its own and saves nothing."""


class BaseDecoder:
    """Continues the token ids of prompts with one model. A way to do so adds `run`."""

    plain = False
    """Whether the beginning that rows share is computed once and stands in memory once."""
    several = True
    """Whether it continues several rows at a time."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model
        self.tokenizer = tokenizer
        # Several may end a reply: chat models list the end of a turn beside the end of a text.
        ends = model.generation_config.eos_token_id if getattr(model, "generation_config", None) else None
        ends = [ends] if isinstance(ends, int) else list(ends or [])
        self.ends: set[int] = {*ends, tokenizer.eos_token_id} - {None}
        self.pad: int = tokenizer.pad_token_id or 0

    def decode(
        self,
        prompts: Sequence[list[int]],
        max_tokens: int,
        stop: Stops | None = None,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seeds: Sequence[int] | None = None,
        shared: int | None = None,
        batch: int | None = None,
    ) -> list[Continuation]:
        """Continue token ids. Each row ends at its end token, where `stop(text so far)` holds, or at `max_tokens`.

        Args:
            prompts: The token ids of each row, none empty.
            max_tokens: Cap of the new tokens of a row.
            stop: Ends a row by its text.
            temperature: 0 takes the likeliest token. Otherwise each row draws from a generator of its own, so that its
                neighbours change nothing.
            top_p: Draw from the likeliest tokens that have this probability together.
            seeds: One for each row; its index when left out.
            shared: At most so many tokens are taken as the shared beginning; see `run`.
            batch: Rows at a time; all of them when left out.
        """
        rows = [
            Row(prompt, max_tokens, stop, temperature, top_p, seed)
            for prompt, seed in zip(prompts, seeds or range(len(prompts)), strict=True)
        ]
        for _ in self.stream(rows, batch or len(rows), shared):
            pass
        return [row.said for row in rows]

    def stream(self, rows: Sequence[Row], batch: int | None = None, shared: int | None = None) -> Iterator[Row]:
        """Yield each row when it has ended. `batch` rows are continued at a time, begun in their order.

        A row that is held against another counts as two of them, and the other is not yielded.

        `batch`: None for as many as are quick and need little memory, `ROWS` or half of it.
        """
        # Of all prompts and not of those that come first, so that it is computed once for all of them.
        both = [each for row in rows for each in (row, row.against) if each is not None]
        common = shared_beginning([row.prompt for row in both]) if rows else 0
        common = common if shared is None else min(common, shared)
        if batch is None:
            longest = max((len(row.prompt) + row.max_tokens for row in both), default=0)
            batch = ROWS if longest - (common if self.plain else 0) <= ROOM else ROWS // 2
        held = {row.against for row in rows} - {None}
        ended = self.run(waiting(rows), max(batch, 2) if held else batch, shared=common)
        return (row for row in ended if row not in held)

    def run(self, source: Source, batch: int, choose: Choose = choose, shared: int | None = None) -> Iterator[Row]:
        """Yield each row of `source` when it has ended; ends when none is live and the source has none.

        Args:
            source: Asked for further rows whenever there is room for some.
            batch: Rows at a time.
            choose: Names the next tokens.
            shared: At most so many tokens are taken as the beginning that all rows share; None: as many as the rows
                that come together share. Not every way of decoding uses it.
        """
        raise NotImplementedError

    def text(self, tokens: list[int]) -> str:
        """The text of new tokens."""
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True))

    def take(self, rows: Sequence[Row], tokens: Sequence[int]) -> list[int]:
        """Add a token to each row and return the indices of the unfinished ones; a row ends by its own tokens."""
        ended = [row.take(token, self.ends, self.text) for row, token in zip(rows, tokens, strict=True)]
        return [index for index, done in enumerate(ended) if not done]


class Decoder(BaseDecoder):
    """Decodes with one causal model; remembers the last shared beginning between calls."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__(model, tokenizer)
        config = model.config.get_text_config(decoder=True)
        # Soft-capped scores and attention sinks are computed elsewhere than in a plain softmax: such models take their
        # own path.
        sinks = any("sinks" in name for name, _ in model.named_parameters())
        self.plain = not sinks and not getattr(config, "attn_logit_softcapping", None)
        self._beginning: Beginning = ([], [])
        self._layers = attending(model)

    def run(self, source: Source, batch: int, choose: Choose = choose, shared: int | None = None) -> Iterator[Row]:
        """See BaseDecoder."""
        new, state = list(source(batch)), None
        while new or state:
            ended: list[Row] = []
            # Changed until a row has ended alone: while the caller has the turn, the model is its owner's.
            with self._shared_attention():
                while (new or state) and not ended:
                    # Rows that do not begin as the live ones wait until those have ended, and then share a beginning
                    # of theirs.
                    joins = bool(new) and (state is None or self._joins(state, new, shared))
                    state, ended = self._advance(state, new if joins else [], choose, shared)
                    new = [] if joins else new
                    if not ended:
                        new = new or self._more(source, batch, state)
            yield from ended
            new = new or self._more(source, batch, state)

    @staticmethod
    def _more(source: Source, batch: int, state: _Live | None) -> list[Row]:
        free = batch - (len(state.rows) if state else 0)
        return list(source(free)) if free >= max(1, batch // REFILL) else []

    @contextmanager
    def _shared_attention(self) -> Iterator[None]:
        before = self.model.config._attn_implementation
        if self.plain:
            self.model.set_attn_implementation(SHARED)
        try:
            yield
        finally:
            if self.plain:
                self.model.set_attn_implementation(before)

    def _advance(
        self, state: _Live | None, new: list[Row], choose: Choose, limit: int | None
    ) -> tuple[_Live | None, list[Row]]:
        """Read new rows, or else give each live row its next token: (what is live then, the rows that have ended)."""
        with torch.inference_mode():
            if not new:
                assert state is not None
                logits = self._step(state)
                return self._chosen(state, logits, choose)
            beginning = state.beginning if state else self._share([row.prompt for row in new], limit)
            read, ended = self._chosen(*self._read(new, beginning), choose)
            return (state.join(read) if state and read else read or state), ended

    def _chosen(self, live: _Live, logits: Tensor, choose: Choose) -> tuple[_Live | None, list[Row]]:
        """Live rows with the tokens that their logits give them, [rows, vocabulary]; the rows that ended with it."""
        tokens = choose(logits, live.rows)
        unfinished = self.take(live.rows, tokens.tolist())
        going = set(unfinished)
        ended = [row for place, row in enumerate(live.rows) if place not in going]
        if not unfinished:
            return None, ended
        live.tokens = tokens.to(self.model.device)
        if ended:
            live.keep(unfinished)
        return live, ended

    def _read(self, new: Sequence[Row], beginning: Beginning) -> tuple[_Live, Tensor]:
        """The rows after their prompts were read, and the logits after them, [rows, vocabulary]."""
        device, shared = self.model.device, len(beginning[0])
        # Several texts of one prompt: it is read once.
        places: dict[tuple[int, ...], int] = {}
        index = [places.setdefault(tuple(row.prompt), len(places)) for row in new]
        width = max(map(len, places)) - shared
        gaps = [width + shared - len(prompt) for prompt in places]
        # Padding stands on the left, so that every row's next token comes last.
        ids = torch.tensor(
            [[self.pad] * gap + list(prompt[shared:]) for gap, prompt in zip(gaps, places, strict=True)], device=device
        )
        mask = torch.tensor([[1] * shared + [0] * gap + [1] * (width - gap) for gap in gaps], device=device)
        # Padding counts for nothing, so that a row's positions are those it has alone; its own, -1, no table holds.
        positions = (mask.cumsum(-1)[:, shared:] - 1).clamp(min=0)
        cache = SharedCache(beginning[1])
        piece = max(1, CHUNK // len(places))
        for start in range(0, width, piece):
            end = min(start + piece, width)
            logits = self._forward(ids[:, start:end], mask[:, : shared + end], positions[:, start:end], cache)
        live = _Live(list(new), beginning, cache, mask, positions[:, -1:], ids[:, -1])
        if len(places) < len(new):
            live.select(index)
            logits = logits[index]
        return live, logits

    def _step(self, live: _Live) -> Tensor:
        """The logits after the last token of each row, [rows, vocabulary]."""
        live.positions = live.positions + 1
        live.mask = torch.cat((live.mask, live.mask.new_ones(len(live.rows), 1)), -1)
        return self._forward(live.tokens[:, None], live.mask, live.positions, live.cache)

    def _forward(self, ids: Tensor, mask: Tensor, positions: Tensor, cache: SharedCache) -> Tensor:
        point(self._layers, cache)
        inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": positions}
        # Of the last token alone: the logits of a whole prompt would be the largest tensor in memory.
        out = self.model(**inputs, past_key_values=cache, use_cache=True, logits_to_keep=1)
        logits: Tensor = out.logits[:, -1].float()
        return logits

    def _joins(self, state: _Live, new: Sequence[Row], limit: int | None) -> bool:
        known = state.beginning[0]
        if known or not self.plain:
            return all(len(row.prompt) > len(known) and row.prompt[: len(known)] == known for row in new)
        return self._common([row.prompt for row in (*state.rows, *new)], limit) < SHORT

    def _common(self, prompts: Sequence[list[int]], limit: int | None) -> int:
        # One token of each prompt stays outside: its logits give the row's first new token.
        common = min(shared_beginning(prompts), min(len(prompt) for prompt in prompts) - 1)
        return common if limit is None else min(common, limit)

    def _share(self, prompts: Sequence[list[int]], limit: int | None) -> Beginning:
        """The beginning that all prompts share; computes its keys and values unless the last call did."""
        common = self._common(prompts, limit) if self.plain else 0
        known, _ = self._beginning
        # The last one is good enough even where these prompts share more: another would cost another pass.
        if known and common >= len(known) and prompts[0][: len(known)] == known:
            return self._beginning
        if limit is None and known and (both := shared_beginning([known, prompts[0][:common]])) >= common / 2:
            common = both  # what comes next will hardly share more with these than the last ones did
        # No layer may see the last beginning while the new one is computed, nor need memory hold both.
        self._beginning = ([], [])
        # A beginning that is short, or of one prompt, costs a pass of its own and saves nothing.
        if len(prompts) < 2 or common < SHORT:
            return self._beginning
        cache = SharedCache()
        ids = torch.tensor([prompts[0][:common]], device=self.model.device)
        for start in range(0, common, CHUNK):
            end = min(start + CHUNK, common)
            places = torch.arange(start, end, device=ids.device)[None]
            self._forward(ids[:, start:end], torch.ones_like(ids[:, :end]), places, cache)
        # Cloned: a slice would keep the free room behind it in memory, for as long as the decoder lives.
        kept = [(layer.seen(0).clone(), layer.seen(1).clone()) for layer in cache.layers]
        self._beginning = (prompts[0][:common], kept)
        return self._beginning


@dataclass
class _Live:
    """The rows that are being continued, and what the model needs for their next token."""

    rows: list[Row]
    beginning: Beginning
    cache: SharedCache
    mask: Tensor
    """[rows, tokens]: 1 for the shared beginning and for what stands in the cache of each row, 0 for its padding."""
    positions: Tensor
    """[rows, 1], of the last token in the cache."""
    tokens: Tensor
    """[rows], the next to be read."""

    def keep(self, places: list[int]) -> None:
        """Drop the other rows. The last ones take the places that become free, so that the fewest are copied."""
        count, kept = len(places), set(places)
        last = iter(place for place in places if place >= count)
        order = [place if place in kept else next(last) for place in range(count)]
        self.rows = [self.rows[place] for place in order]
        self.select(order)

    def select(self, places: list[int]) -> None:
        """Give each row what stands at its place."""
        self._arrange(torch.tensor(places, device=self.mask.device), None)

    def join(self, other: _Live) -> _Live:
        """These rows and then those of `other`."""
        self._arrange(torch.arange(len(self.rows), device=self.mask.device), other)
        self.rows += other.rows
        self.positions = torch.cat((self.positions, other.positions))
        self.tokens = torch.cat((self.tokens, other.tokens))
        return self

    def _arrange(self, places: Tensor, other: _Live | None) -> None:
        self.mask, self.positions, self.tokens = self.mask[places], self.positions[places], self.tokens[places]
        shared = len(self.beginning[0])
        # Columns in which nothing but rows that have ended stood fall away.
        width = int(self.positions.max()) + 1 - shared
        masks = [self.mask[:, shared:][:, -width:]]
        if other is not None:
            masks.append(other.mask[:, shared:])
            width = max(width, masks[1].shape[1])
        self.cache.arrange(places, width, other.cache if other else None)
        own = torch.cat([torch.nn.functional.pad(mask, (width - mask.shape[1], 0)) for mask in masks])
        self.mask = torch.cat((own.new_ones(len(own), shared), own), -1)


def below_lora(model: Any) -> Any:
    """The model of transformers inside LoRA's wrapper, which takes other arguments; itself without one."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model
