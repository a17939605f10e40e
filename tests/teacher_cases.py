"""Questions and a small random model for the tests of teachers and of generation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shrinklm.core.types import Example, Prompt, Turn
from shrinklm.teachers.generate import GenerateSettings
from shrinklm.teachers.steps import StepRequest

BEAVER = Example(
    "beaver",
    "A beaver builds dams, where does it find what it needs?",
    ("body of water", "wooded area", "zoo"),
    "wooded area",
    order=(1, 2, 0),
)
SKATES = Example(
    "skates",
    "What do you wear on the feet to glide over ice?",
    ("skates", "sandals", "gloves"),
    "skates",
    order=(0, 1, 2),
)
KETTLE = Example(
    "kettle", "What do you boil water in for tea?", ("kettle", "drawer", "lamp"), "kettle", order=(2, 1, 0)
)
EXAMPLES = [BEAVER, SKATES, KETTLE]


def step(name: str, rounds: int = 1, max_words: int | None = None, max_tokens: int | None = None) -> StepRequest:
    """A step as a recipe asks for it that says no more."""
    return StepRequest(name, rounds, max_words, max_tokens)


def settings(**changes: Any) -> GenerateSettings:
    """The settings of a recipe's teacher, but for `changes`."""
    defaults = {"temperature": 0.0, "top_p": 1.0, "seed": 0, "retries": 2, "price": None}
    return GenerateSettings(**{**defaults, **changes})


def many(count: int) -> list[Example]:
    return [
        Example(
            f"q{i}",
            f"Which of these goes with number {i}?",
            ("apple", "river", "stone"),
            ("apple", "river", "stone")[i % 3],
        )
        for i in range(count)
    ]


def asking(text: str, example: Example = BEAVER, kind: str = "explanation") -> Prompt:
    turns = (
        Turn("system", "You explain answers in one short sentence and add nothing else to it at all."),
        Turn("user", text),
    )
    return Prompt(turns, example, kind, example.answer)


def tiny_model(folder: Path, seq2seq: bool = False, chat: bool = False, **config: Any) -> Path:
    """A random checkpoint in float32 with a trained tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration

    from shrinklm.students.tiny import build_tokenizer

    tokenizer = build_tokenizer(600)
    if chat:
        tokenizer.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant>"
    ids = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    torch.manual_seed(0)
    model: Any
    if seq2seq:
        model = T5ForConditionalGeneration(
            T5Config(
                d_model=32,
                d_kv=8,
                d_ff=64,
                num_layers=2,
                num_heads=4,
                decoder_start_token_id=tokenizer.pad_token_id,
                **ids,
            )
        )
    else:
        settings = {"num_hidden_layers": 2, "max_position_embeddings": 512, "bos_token_id": None, **config}
        model = LlamaForCausalLM(
            LlamaConfig(
                hidden_size=32,
                intermediate_size=64,
                num_attention_heads=4,
                num_key_value_heads=2,
                **settings,
                **ids,
            )
        )
    for weight in model.parameters():  # far apart, so that rounding cannot change which token is likeliest
        torch.nn.init.normal_(weight, std=0.5)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
