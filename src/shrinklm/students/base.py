"""The base of both families of students: saving, pairs → tensors → one loss per pair.

A family adds `encode`, `logits` and the like.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..core.errors import StudentError
from ..core.files import whole_folder
from ..core.types import Pair, Reply, Tick
from ..models.decode import below_lora
from ..models.exact import Decoding
from ..models.load import load_model, position_limit
from ..models.locate import Family, locate_model
from .batch import Batch, Scored, labelled, sums
from .blocks import Block
from .defaults import Defaults
from .exact import Reading, Rows
from .layers import adapted
from .projection import cross_entropy_at, layers_at, logits_at, token_losses
from .saved import class_name, seal
from .tokens import PairTokens, by_prompt, pair_tokens, target_offsets


class BaseStudent(Defaults):
    """A transformers model with its tokenizer.

    As a module it maps a batch to (summed loss, scored tokens) of each pair, both by the weights of the tokens.
    """

    family: ClassVar[Family]
    premise_in_target: bool = False
    layouts: ClassVar[tuple[Rows, ...]] = ("single",)
    """What a row may hold, the quickest first."""
    decodings: ClassVar[tuple[Decoding, ...]] = ("generate", "alone", "uncached")
    """The ways in which it may decode, the quickest first."""
    _reading: Reading | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        # So that a user's own encoder-decoder class needs to state nothing but its family.
        super().__init_subclass__(**options)
        if getattr(cls, "family", None) == "seq2seq":
            cls.premise_in_target = True

    def __init__(self, model: Any, tokenizer: Any, max_length: int = 1024) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.config = model.config
        self.positions = position_limit(self.config)
        """How many tokens the model itself can read; infinite where positions are relative (T5)."""
        self.max_length = int(min(max_length, self.positions))

    @classmethod
    def open(
        cls,
        ref: str,
        root: Path = Path("."),
        *,
        lora: int | None = None,
        keep_every: int = 1,
        max_length: int = 1024,
        trust_remote_code: bool = False,
    ) -> BaseStudent:
        """A student to train, in float32, from a hub id, folder or GGUF file. Raises ModelError or StudentError."""
        # Never in bfloat16: an optimiser's small updates would be rounded away. Training may still compute in bfloat16.
        model, tokenizer = load_model(locate_model(ref, root), cls.family, "float32", trust_remote_code)
        return cls(adapted(model, cls.family, lora, keep_every), tokenizer, max_length)

    @property
    def device(self) -> torch.device:
        """The device of its weights."""
        device: torch.device = next(self.model.parameters()).device
        return device

    @property
    def reading(self) -> Reading:
        """How it reads pairs and writes answers: tried out when it is first asked for, unless it was recorded.

        Raises StudentError where no way is exact.
        """
        if self._reading is None:
            self._reading = self.examined()
        return self._reading

    @reading.setter
    def reading(self, reading: Reading) -> None:
        self._reading = reading

    def examined(self) -> Reading:
        """See `reading`. A class with an `encode` of its own answers for it itself."""
        return Reading(self.layouts[0], self.decodings[0])

    @property
    def parameters_total(self) -> int:
        """The number of its weights; tied ones count once."""
        return sum(weight.numel() for weight in self.model.parameters())

    @property
    def packs(self) -> bool:
        """Whether a row holds several pairs."""
        return self.reading.rows == "packed" and "packed" in self.layouts

    def encode(self, groups: Sequence[Sequence[Pair]], end: bool = True, pack: bool = True) -> Batch:
        """The tensors of pairs.

        Args:
            groups: The pairs, grouped by example.
            end: Every target closes with the end token.
            pack: A row may hold several examples.

        Raises StudentError for a pair that does not fit.
        """
        tokenized = [self.tokenized(group, end) for group in groups]
        for group, tokens in zip(groups, tokenized, strict=True):
            for pair, ids in zip(group, tokens, strict=True):
                self.check_length(pair, len(ids.prompt), len(ids.target), end)
        return self.batch(list(map(Block, tokenized)), None if pack else [[index] for index in range(len(groups))])

    def batch(self, blocks: Sequence[Block], rows: Sequence[Sequence[int]] | None = None) -> Batch:
        """The tensors of token ids.

        Args:
            blocks: The pairs, one block an example.
            rows: The blocks that share a row; None: as many as fit.
        """
        raise NotImplementedError

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(summed cross-entropy, number of scored tokens), each [pairs]; see `batch.sums`."""
        return sums(self.scored(batch), batch)

    def scored(self, batch: Batch, logits: bool = False, states: bool = False) -> Scored:
        """The cross-entropy of each token of the targets; `logits`, `states`: with those, and their gradients.

        Raises StudentError for a class with `logits` of its own, which tells no states.
        """
        if type(self).logits is not BaseStudent.logits:
            if states:
                raise StudentError(f"{type(self).__name__} has `logits` of its own, and tells no hidden states.")
            values, labels, owner = self.logits(batch)
            return Scored(token_losses(values, labels), labels, owner, values)
        chosen, labels, owner = labelled(batch)
        model, shape, inputs = below_lora(self.model), batch["labels"].shape, self.inputs(batch)
        if not logits and not states:
            return Scored(cross_entropy_at(model, shape, chosen, inputs, labels), labels, owner)
        values, layers = layers_at(model, shape, chosen, inputs, states)
        return Scored(token_losses(values, labels), labels, owner, values, layers)

    def logits(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """(logits [scored, vocabulary], labels [scored], pair of each [scored]) at the tokens of the targets alone."""
        chosen, labels, owner = labelled(batch)
        logits = logits_at(below_lora(self.model), batch["labels"].shape, chosen, self.inputs(batch))
        return logits, labels, owner

    def inputs(self, batch: Batch) -> dict[str, Any]:
        """The keyword arguments of the model's forward."""
        raise NotImplementedError

    def owner(self, batch: Batch) -> Tensor:
        """[rows, tokens]: the pair of each token that the model reads, -1 for padding; a pair's prompt comes first."""
        raise NotImplementedError

    def attentions(self, batch: Batch) -> Sequence[Tensor]:
        """For each layer [rows, heads, writing tokens, read tokens]; the model must compute attention "eager"."""
        raise NotImplementedError

    def loss(self, pairs: Sequence[Pair]) -> Tensor:
        """The mean cross-entropy of each pair, [pairs], over the tokens of its target alone."""
        total, count = self(self.to_device(self.encode([[pair] for pair in pairs])))
        losses: Tensor = total / count
        return losses

    def to_device(self, batch: Batch) -> Batch:
        """The batch on the device of the weights."""
        # Single numbers stay where the CPU reads them without waiting for the device.
        return {
            name: value.to(self.device, non_blocking=True) if value.dim() else value for name, value in batch.items()
        }

    def likelihood(self, pairs: Sequence[Pair], batch: int = 32) -> list[float]:
        """Σ log p of each target's scored tokens given what stands before them, without the end token.

        The pairs that are compared must be adjacent. -inf for a scored part that is no token.
        """
        values: list[float] = []
        # Adjacent pairs of one prompt form a group, so that a decoder-only student reads their prompt once.
        groups = by_prompt([replace(pair, emphasis=()) if pair.emphasis else pair for pair in pairs])
        for start in range(0, len(groups), batch):
            chunk = groups[start : start + batch]
            # As lm-evaluation-harness scores options: the probability of the end token says not which option is right.
            with torch.inference_mode():
                total, count = self(self.to_device(self.encode(chunk, end=False)))
            # An option without a token (such as a mark that the tokenizer drops) would have the probability 1.
            for pair, value, tokens in zip(chain.from_iterable(chunk), (-total).tolist(), count.tolist(), strict=True):
                values.append(value if tokens or pair.scored is None else -math.inf)
        return values

    def answer(
        self,
        prompts: Sequence[str],
        max_tokens: int,
        batch: int = 32,
        tick: Tick | None = None,
        begun: Sequence[str] | None = None,
    ) -> list[str]:
        """The greedy reply to each prompt, of at most `max_tokens` new tokens; with `begun`, what follows those words.

        They are read as the first tokens of a target, so that the reply goes on as if the student had written them.
        """
        return [reply.text for reply in self.replies(prompts, max_tokens, batch, tick, begun)]

    def replies(
        self,
        prompts: Sequence[str],
        max_tokens: int,
        batch: int = 32,
        tick: Tick | None = None,
        begun: Sequence[str] | None = None,
    ) -> list[Reply]:
        """As `answer`, with whether each reply ended by itself.

        Where a prompt, its words in `begun` and the new tokens do not fit the model, it is an empty reply that was cut.
        """
        words = begun or [""] * len(prompts)
        # By length in characters, close enough and free, so that a batch has little padding.
        order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]) + len(words[index]))
        said = [Reply("", finished=False)] * len(prompts)
        if begun:
            known = [len(self.prompt_ids(prompts[index]) + self.target_ids(words[index], end=False)) for index in order]
            order = [index for index, size in zip(order, known, strict=True) if size + max_tokens <= self.positions]
        asked = self.stream([prompts[index] for index in order], [words[index] for index in order], max_tokens, batch)
        for done, (place, reply) in enumerate(asked, 1):
            said[order[place]] = reply
            if tick and (done % batch == 0 or done == len(order)):
                tick("answer", done, len(order), "")
        return said

    def stream(
        self, prompts: Sequence[str], begun: Sequence[str], max_tokens: int, batch: int
    ) -> Iterator[tuple[int, Reply]]:
        """Yield (index, reply) as they come, of at most `batch` prompts at a time; the prompts begin in their order."""
        for start in range(0, len(prompts), batch):
            part = slice(start, start + batch)
            yield from enumerate(self.decode(prompts[part], begun[part], max_tokens), start)

    def continue_text(self, prompts: Sequence[str], max_tokens: int, begun: Sequence[str] = ()) -> list[str]:
        """One batch of `answer`."""
        return [reply.text for reply in self.decode(prompts, begun or [""] * len(prompts), max_tokens)]

    def decode(self, prompts: Sequence[str], begun: Sequence[str], max_tokens: int) -> list[Reply]:
        """One batch of `replies`."""
        raise NotImplementedError

    def prompt_ids(self, text: str) -> list[int]:
        """The token ids of a prompt."""
        return list(self.tokenizer(text, add_special_tokens=True)["input_ids"])

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """(start, end) in `text` of each token of `prompt_ids`; (0, 0) for the model's own tokens.

        Raises StudentError for a tokenizer that does not know them.
        """
        if not self.tokenizer.is_fast:
            needs = "Attribution needs one of the `tokenizers` library (tokenizer.json)"
            raise StudentError(
                f"The tokenizer {type(self.tokenizer).__name__} does not say where its tokens stand. {needs}."
            )
        spans = self.tokenizer(text, add_special_tokens=True, return_offsets_mapping=True)["offset_mapping"]
        return [(int(start), int(end)) for start, end in spans]

    def target_ids(self, text: str, end: bool = True) -> list[int]:
        """The token ids of a whole target; the end token closes them."""
        raise NotImplementedError

    def tokenized(self, pairs: Sequence[Pair], end: bool) -> list[PairTokens]:
        """The token ids of the pairs of one example; `end`: the end token closes a target that is scored whole."""
        closing = self.tokenizer.eos_token_id if end else None
        target_ids = partial(self.target_ids, end=False)
        return pair_tokens(pairs, self.prompt_ids, target_ids, closing, self.target_offsets)

    def target_offsets(self, text: str) -> list[tuple[int, int]]:
        """(start, end) in a target's text of the characters of each token of `target_ids`, without the end token."""
        target_ids = partial(self.target_ids, end=False)
        return target_offsets(self.tokenizer, text, target_ids, self.family == "seq2seq")

    def token_count(self, text: str) -> int | None:
        """The number of tokens in a text of its own, without the end token."""
        return len(self.target_ids(text, end=False))

    def length(self, pair: Pair) -> int:
        """The tokens of the prompt and the target together."""
        [tokens] = self.tokenized([pair], end=True)
        return len(tokens.prompt) + len(tokens.target)

    def check_length(self, pair: Pair, prompt: int, target: int, end: bool) -> None:
        """Raise StudentError for a pair that does not fit: nothing is ever truncated.

        Args:
            pair: Named in the message.
            prompt: Tokens of its prompt.
            target: Tokens of its target.
            end: Whether it is trained on. Otherwise only the model itself sets a limit.
        """
        limit = self.max_length if end else self.positions
        if prompt + target > limit:
            advice = "raise `train: {max_length: ...}`" if limit < self.positions else "take a student that reads more"
            what = f"A pair of {prompt} + {target} tokens does not fit the student's {limit}"
            raise StudentError(f"{what}: {pair.prompt[:60]!r}. Nothing is cut: {advice}, or leave the question out.")

    def tokens(self, pair: Pair) -> tuple[list[str], list[bool]]:
        """(tokens, whether each is scored) of one pair, as the model reads them: for `preview --tokens`."""
        [tokens] = self.tokenized([pair], end=True)
        read = tokens.prompt + tokens.given
        names = self.tokenizer.convert_ids_to_tokens(read + tokens.scored)
        return list(names), [False] * len(read) + [True] * len(tokens.scored)

    def save(self, folder: Path) -> None:
        """Write safetensors, the tokenizer and shrinklm.json, all or nothing.

        LoRA adapters are merged into the weights, also in this object.

        Raises StoreError when the folder cannot be written.
        """
        from transformers.utils import logging

        logging.disable_progress_bar()
        # Merged, a student is read like any checkpoint, without peft and without the base model.
        if hasattr(self.model, "merge_and_unload"):
            self.model = self.model.merge_and_unload()
        with whole_folder(folder) as new:
            self.model.save_pretrained(new)
            self.tokenizer.save_pretrained(new)
            self.save_beside(new)
            note = {"family": self.family, "class": class_name(type(self)), "max_length": self.max_length}
            seal(new, {**note, "reading": asdict(self.reading)})
