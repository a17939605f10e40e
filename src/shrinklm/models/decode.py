"""Greedy and sampled decoding of a causal model, for teachers and students alike: one loop, fast on a CPU.

Prompts of one step share a long beginning (instructions, few-shot examples). Its keys and values are computed once,
stay in memory once, and every row attends to them where they are (`models.shared`): nothing is copied per row. Rows
leave the batch when they stop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .shared import SHARED, SharedCache, point

Stops = Callable[[str], bool]
"""Whether a row ends with the text so far."""
Choose = Callable[[Tensor, Sequence[int]], Tensor]
"""(logits [rows, vocabulary], the indices of these rows among the prompts) → the next token of each row, [rows]."""


@dataclass
class Continuation:
    """The new tokens of one row."""

    tokens: list[int]
    finished: bool
    """False: the cap cut it."""


class BaseDecoder:
    """Continues the token ids of prompts with one model. A way to do so adds `run`."""

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
    ) -> list[Continuation]:
        """Continue token ids. Each row ends at its end token, where `stop(text so far)` holds, or at `max_tokens`.

        Args:
            prompts: The token ids of each row, none empty.
            max_tokens: Cap of the new tokens of a row.
            stop: Ends a row by its text.
            temperature: 0 takes the likeliest token. Otherwise each row draws from a generator of its own, so that its
                neighbours change nothing.
            top_p: Draw from the likeliest tokens that have this probability together.
            seeds: One for each row; its index in the batch when left out.
            shared: At most so many tokens are taken as the shared beginning: those with which all batches of a larger
                job begin, so that they are computed once for all of them. Not every way of decoding uses it.
        """
        # A generator for each row: a row that leaves the batch must not shift the random numbers of the others.
        generators = [torch.Generator().manual_seed(seed) for seed in seeds or range(len(prompts))]

        def choose(logits: Tensor, live: Sequence[int]) -> Tensor:
            return pick(logits, temperature, top_p, [generators[row] for row in live])

        with torch.inference_mode():
            return self.run(prompts, max_tokens, choose, stop, shared)

    def run(
        self,
        prompts: Sequence[list[int]],
        max_tokens: int,
        choose: Choose,
        stop: Stops | None = None,
        shared: int | None = None,
    ) -> list[Continuation]:
        """`decode` with the next tokens that `choose` names."""
        raise NotImplementedError

    def text(self, tokens: list[int]) -> str:
        """The text of new tokens."""
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True))

    def take(self, rows: Sequence[Continuation], tokens: Sequence[int], stop: Stops | None) -> list[int]:
        """Add a token to each row and return the indices of the unfinished ones; a row ends by its own tokens."""
        return take(rows, tokens, self.ends, lambda new: stop is not None and stop(self.text(new)))


class Decoder(BaseDecoder):
    """Decodes with one causal model; remembers the last shared beginning between calls."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__(model, tokenizer)
        config = model.config.get_text_config(decoder=True)
        # Soft-capped scores and attention sinks are computed elsewhere than in a plain softmax: such models take their
        # own path.
        sinks = any("sinks" in name for name, _ in model.named_parameters())
        self.plain = not sinks and not getattr(config, "attn_logit_softcapping", None)
        self._beginning: tuple[list[int], list[tuple[Tensor, Tensor]]] = ([], [])

    def run(
        self,
        prompts: Sequence[list[int]],
        max_tokens: int,
        choose: Choose,
        stop: Stops | None = None,
        shared: int | None = None,
    ) -> list[Continuation]:
        """See BaseDecoder."""
        before = self.model.config._attn_implementation
        if self.plain:
            self.model.set_attn_implementation(SHARED)
        try:
            return self._run(prompts, max_tokens, choose, stop, shared)
        finally:
            self.model.set_attn_implementation(before)

    def _run(
        self,
        prompts: Sequence[list[int]],
        max_tokens: int,
        choose: Choose,
        stop: Stops | None,
        limit: int | None,
    ) -> list[Continuation]:
        device = self.model.device
        shared = self._share(prompts, limit) if self.plain else 0
        width = max(len(prompt) for prompt in prompts) - shared
        gaps = [width + shared - len(prompt) for prompt in prompts]
        # Padding stands on the left, so that every row's next token comes last.
        ids = torch.tensor(
            [[self.pad] * gap + prompt[shared:] for gap, prompt in zip(gaps, prompts, strict=True)], device=device
        )
        mask = torch.tensor([[1] * shared + [0] * gap + [1] * (width - gap) for gap in gaps], device=device)
        cache = SharedCache(self._beginning[1])
        point(self.model, cache)
        rows = [Continuation([], False) for _ in prompts]
        live = list(range(len(prompts)))
        # Padding counts for nothing, so that a row's positions are those it has alone; its own, -1, no table holds.
        positions = mask.cumsum(-1)[:, shared:] - 1
        for _ in range(max_tokens):
            inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": positions.clamp(min=0)}
            # Of the last token alone: the logits of a whole prompt would be the largest tensor in memory.
            logits = self.model(**inputs, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[:, -1].float()
            tokens = choose(logits, live)
            unfinished = self.take([rows[row] for row in live], tokens.tolist(), stop)
            if not unfinished:
                break
            # A finished row would be computed on until the longest one ends.
            if len(unfinished) < len(live):
                kept = torch.tensor(unfinished, device=device)
                cache.keep(kept)
                tokens, mask, positions = tokens[kept], mask[kept], positions[kept]
                live = [live[index] for index in unfinished]
            ids = tokens[:, None].to(device)
            positions = positions[:, -1:] + 1
            mask = torch.cat((mask, mask.new_ones(len(live), 1)), -1)
        return rows

    def _share(self, prompts: Sequence[list[int]], limit: int | None) -> int:
        """The length of the beginning that all prompts share; computes its keys and values unless the last call did."""
        # One token of each prompt stays outside: its logits give the row's first new token.
        common = min(shared_beginning(prompts), min(len(prompt) for prompt in prompts) - 1)
        common = common if limit is None else min(common, limit)
        known, _ = self._beginning
        # The last call's is good enough even where these prompts share more: another would cost another pass.
        if known and common >= len(known) and prompts[0][: len(known)] == known:
            return len(known)
        # A beginning that is short, or of one prompt, costs a pass of its own and saves nothing.
        if len(prompts) < 2 or common < 16:
            self._beginning = ([], [])
            return 0
        # No layer may see the last beginning while the new one is computed, nor need memory hold both.
        self._beginning = ([], [])
        cache = SharedCache()
        point(self.model, cache)
        ids = torch.tensor([prompts[0][:common]], device=self.model.device)
        self.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        # Cloned: a slice would keep the free room behind it in memory, for as long as the decoder lives.
        kept = [
            (layer.room[0][:, :, : layer.length].clone(), layer.room[1][:, :, : layer.length].clone())
            for layer in cache.layers
        ]
        self._beginning = (prompts[0][:common], kept)
        return common


def below_lora(model: Any) -> Any:
    """The model of transformers inside LoRA's wrapper, which takes other arguments; itself without one."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def shared_beginning(rows: Sequence[Sequence[int]]) -> int:
    """How many first tokens all rows have in common."""
    first, last = min(rows, key=list), max(rows, key=list)  # of rows in order, those that differ most
    return next(
        (index for index, (token, other) in enumerate(zip(first, last, strict=False)) if token != other),
        min(len(first), len(last)),
    )


def take(
    rows: Sequence[Continuation], tokens: Sequence[int], ends: set[int], stops: Callable[[list[int]], bool]
) -> list[int]:
    """Add a token to each row and return the indices of the unfinished ones.

    A row ends by its own tokens, whatever the others do.
    """
    for row, token in zip(rows, tokens, strict=True):
        if token not in ends:
            row.tokens.append(token)
        row.finished = token in ends or stops(row.tokens)
    return [index for index, row in enumerate(rows) if not row.finished]


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
