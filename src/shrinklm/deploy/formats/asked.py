"""What the students of other runtimes have in common: token ids in, token ids out, one question after another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ...core.errors import StudentError
from ...core.types import Example, Pair, Reply, Tick
from ...methods.view import View
from ...models.load import load_tokenizer
from ...models.locate import Model
from ...students.tokens import PairTokens, by_prompt, causal_target, decoder_target, pair_tokens

if TYPE_CHECKING:
    from torch import Tensor


class RuntimeStudent:
    """A trained student in another runtime. Implements `students.protocol.Student`, but for training."""

    premise_in_target = False
    positions: float
    """How many tokens it reads; infinite where positions are relative."""
    runtime: str
    """Its name in tables."""

    def prompt_ids(self, text: str) -> list[int]:
        """The token ids of a prompt."""
        raise NotImplementedError

    def target_ids(self, text: str, end: bool = True) -> list[int]:
        """The token ids of a target; `end`: the end token closes it."""
        raise NotImplementedError

    def write(self, prompt: list[int], begun: list[int], max_tokens: int) -> Reply:
        """The greedy continuation of a prompt and the first tokens of its target."""
        raise NotImplementedError

    def log_p(self, tokens: PairTokens) -> float:
        """Σ log p of the scored tokens of a pair."""
        raise NotImplementedError

    def chats(self, view: View, examples: Sequence[Example], max_tokens: int) -> dict[str, int] | None:
        """How many questions it reads or answers in a chat as by their prompts; None where it has no chat."""
        return None

    def close(self) -> None:
        """Gives back its memory."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def answer(
        self,
        prompts: Sequence[str],
        max_tokens: int,
        batch: int = 32,
        tick: Tick | None = None,
        begun: Sequence[str] | None = None,
    ) -> list[str]:
        """See Student."""
        return [reply.text for reply in self.replies(prompts, max_tokens, batch, tick, begun)]

    def replies(
        self,
        prompts: Sequence[str],
        max_tokens: int,
        batch: int = 32,
        tick: Tick | None = None,
        begun: Sequence[str] | None = None,
    ) -> list[Reply]:
        """As `answer`, with whether each reply ended by itself; see `BaseStudent.replies`."""
        said = []
        for done, (prompt, words) in enumerate(zip(prompts, begun or [""] * len(prompts), strict=True), 1):
            ids, first = self.prompt_ids(prompt), self.target_ids(words, end=False) if words else []
            if len(ids) + len(first) + max_tokens <= self.positions:
                said.append(self.write(ids, first, max_tokens))
            elif begun:
                said.append(Reply("", finished=False))
            else:
                fit = f"does not fit the {self.positions:,.0f} that it reads"
                raise StudentError(f"A prompt of {len(ids)} tokens {fit}: {prompt[:60]!r}.")
            if tick:
                tick("answer", done, len(prompts), "")
        return said

    def likelihood(self, pairs: Sequence[Pair], batch: int = 32) -> list[float]:
        """See Student."""
        values = []
        for group in by_prompt(pairs):
            for pair, tokens in zip(group, pair_tokens(group, self.prompt_ids, self._target, None), strict=True):
                # An option without a token would have the probability 1.
                values.append(-math.inf if pair.scored and not tokens.scored else self.log_p(tokens))
        return values

    def token_count(self, text: str) -> int | None:
        """See Student."""
        return len(self._target(text))

    def loss(self, pairs: Sequence[Pair]) -> Tensor:
        """Raises StudentError: it does not learn here."""
        raise StudentError(f"A student in {self.runtime} answers, and is trained in torch alone.")

    def save(self, folder: Path) -> None:
        """Raises StudentError: its files are there already."""
        raise StudentError(f"A student in {self.runtime} is saved already: copy its folder.")

    def _target(self, text: str) -> list[int]:
        return self.target_ids(text, end=False)


class TokenizerStudent(RuntimeStudent):
    """A student whose runtime reads token ids, and whose folder holds a tokenizer of transformers."""

    def __init__(self, folder: Path, encodes: bool) -> None:
        self.tokenizer = load_tokenizer(Model(str(folder), folder.name, "", folder.resolve()))
        self._encodes = encodes
        """Whether it is an encoder–decoder."""

    def prompt_ids(self, text: str) -> list[int]:
        """See RuntimeStudent."""
        return list(self.tokenizer(text)["input_ids"])

    def target_ids(self, text: str, end: bool = True) -> list[int]:
        """See RuntimeStudent."""
        return (decoder_target if self._encodes else causal_target)(self.tokenizer, text, end)

    def _text(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True)).strip()
