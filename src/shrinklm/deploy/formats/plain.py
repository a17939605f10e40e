"""An exported folder of safetensors in transformers alone: no class of ours reads it or writes its texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...core.types import Example, Reply
from ...methods.view import View
from ...models.load import position_limit
from ...students.tokens import PairTokens
from .asked import TokenizerStudent
from .chat import same_prompts


class TransformersStudent(TokenizerStudent):
    """`from_pretrained` and `generate` with the folder's own settings, in the precision of its weights."""

    runtime = "transformers"

    def __init__(self, folder: Path) -> None:
        from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

        super().__init__(folder, bool(AutoConfig.from_pretrained(folder).is_encoder_decoder))
        auto = AutoModelForSeq2SeqLM if self._encodes else AutoModelForCausalLM
        self.model: Any = auto.from_pretrained(folder, dtype="auto", use_safetensors=True).eval()
        self.positions = math.inf if self._encodes else position_limit(self.model.config)

    def write(self, prompt: list[int], begun: list[int], max_tokens: int) -> Reply:
        """See RuntimeStudent."""
        import torch

        asked: dict[str, Any] = {"input_ids": torch.tensor([prompt if self._encodes else prompt + begun])}
        first = asked["input_ids"].shape[1]
        if self._encodes:
            start = self.model.config.decoder_start_token_id
            asked["decoder_input_ids"] = torch.tensor([[start, *begun]])
            first = 1 + len(begun)
        asked["attention_mask"] = torch.ones_like(asked["input_ids"])
        with torch.inference_mode():
            said = self.model.generate(**asked, max_new_tokens=max_tokens)[0, first:].tolist()
        ends = self.model.generation_config.eos_token_id
        ends = {ends} if isinstance(ends, int) else set(ends or ())
        return Reply(self._text(said), finished=not ends.isdisjoint(said))

    def log_p(self, tokens: PairTokens) -> float:
        """See RuntimeStudent."""
        import torch

        if self._encodes:
            start = self.model.config.decoder_start_token_id
            asked = {"input_ids": [tokens.prompt], "decoder_input_ids": [[start, *tokens.target[:-1]]]}
        else:
            asked = {"input_ids": [tokens.whole[:-1]]}
        with torch.inference_mode():
            logits = self.model(**{name: torch.tensor(ids) for name, ids in asked.items()}).logits[0]
        told = logits[-len(tokens.scored) :].float().log_softmax(-1)
        return float(told[range(len(tokens.scored)), tokens.scored].sum())

    def chats(self, view: View, examples: Sequence[Example], max_tokens: int) -> dict[str, int] | None:
        """Of how many questions the chat template makes the prompt, token by token."""
        if self._encodes:
            return None
        same = same_prompts(self.tokenizer, self.tokenizer.chat_template, view, examples)
        return {"asked": len(examples), "same": same}

    def close(self) -> None:
        """See RuntimeStudent."""
        self.model = None
