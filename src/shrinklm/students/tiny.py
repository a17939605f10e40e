"""A student of a million random weights, for tests and first tries: trains in seconds and needs no download."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from ..core.errors import StudentError
from .base import BaseStudent
from .causal import CausalStudent
from .layers import adapted
from .seq2seq import Seq2SeqStudent
from .start import TINY_TEXT


class Tiny(CausalStudent):
    """`tiny` (decoder-only) or `tiny:seq2seq`."""

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
        """Random weights, drawn from torch's generator as it stands; two layers of width 64.

        Raises StudentError for another `ref`.
        """
        if ref not in ("", "seq2seq"):
            raise StudentError(f"No student is called 'tiny:{ref}'. There are tiny and tiny:seq2seq.")
        tokenizer = build_tokenizer()
        common: dict[str, Any] = {
            "vocab_size": len(tokenizer),
            "pad_token_id": tokenizer.pad_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        }
        if ref == "seq2seq":
            t5 = T5Config(
                d_model=64,
                d_kv=16,
                d_ff=128,
                num_layers=2,
                num_heads=4,
                # T5 starts its decoder with padding; without a start token it could not be trained.
                decoder_start_token_id=tokenizer.pad_token_id,
                **common,
            )
            return Seq2SeqStudent(
                adapted(T5ForConditionalGeneration(t5), "seq2seq", lora, keep_every), tokenizer, max_length
            )
        llama = LlamaConfig(
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
            bos_token_id=None,  # Llama's default, 1, is this tokenizer's end token
            **common,
        )
        return CausalStudent(adapted(LlamaForCausalLM(llama), "causal", lora, keep_every), tokenizer, max_length)


def build_tokenizer(vocabulary: int = 2000) -> Any:
    """A byte-level BPE tokenizer trained on the embedded questions: the same on every machine."""
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_trained(vocabulary)), pad_token="<pad>", eos_token="<end>"
    )


@cache
def _trained(vocabulary: int) -> str:
    """The trained tokenizer as JSON: each student has one of its own, which it may change."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<pad>", "<end>"],
        # Every byte is a token, so that no text has an unknown one.
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TINY_TEXT.read_text(encoding="utf-8").splitlines(), trainer)
    return tokenizer.to_str()
