"""How much one pass of a training reads: memory decides, and the loss of a step is the same."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from ..base import BaseStudent

GPU_ROOM = 16 * 10**9
"""Bytes that the layers of a pass may hold on a GPU."""
_CPU, _GPU = (2 * 10**9, 1024, 8192), (GPU_ROOM, 4096, 65_536)
"""(bytes that the layers of a pass may hold, the least and the most tokens of a pass)."""
_FEW = 64
"""Tokens below which a pass is not cut further: it then holds a single example."""


@dataclass(frozen=True)
class Limit:
    """How much one pass reads."""

    examples: int | None
    """So many examples; None: by tokens."""
    tokens: int
    """So many tokens with their padding. A single unit may have more."""
    again: bool = False
    """Whether the layers are computed once more in the backward pass instead of being held (gradient checkpointing)."""

    @classmethod
    def of(cls, student: BaseStudent, examples: int | None, bf16: bool) -> Limit:
        """What a pass of this student reads; `examples` as a recipe sets it, None: what keeps the machine busy."""
        config = student.config.get_text_config(decoder=True)
        width = int(getattr(config, "hidden_size", 0) or getattr(config, "d_model", 0) or 512)
        layers = int(getattr(config, "num_hidden_layers", 0) or 12) * (2 if student.family == "seq2seq" else 1)
        # A layer keeps about 32 numbers of its width for the backward pass; measured: 1.7 MB a token of SmolLM2-135M.
        held = layers * width * 32 * (2 if bf16 else 4)
        room, least, most = _GPU if torch.cuda.is_available() else _CPU
        return cls(examples, min(most, max(least, room // held // 256 * 256)))

    @classmethod
    def read(cls, text: str, batch: int) -> Limit | None:
        """From `note`; None for what is none. `batch`: examples of a step."""
        number, *words = text.split() or [""]
        if not number.isdigit() or int(number) < 1:
            return None
        again = "again" in words
        return cls(None, int(number), again) if "tokens" in words else cls(divisor(batch, int(number)), 0, again)

    @property
    def note(self) -> str:
        """What is written down for a training that goes on after a kill."""
        size = f"{self.tokens} tokens" if self.examples is None else f"{self.examples}"
        return f"{size} again" if self.again else size

    @property
    def smallest(self) -> bool:
        """Whether half of it would be no less: a pass holds at least one example."""
        return self.tokens <= _FEW if self.examples is None else self.examples == 1

    def less(self, batch: int) -> Limit | None:
        """The next that takes less memory; None where there is none. `batch`: examples of a step."""
        if not self.smallest:
            if self.examples is None:
                return replace(self, tokens=self.tokens // 2)
            return replace(self, examples=divisor(batch, self.examples // 2))
        # Last, since it costs a third more time.
        return None if self.again else replace(self, again=True)

    def __str__(self) -> str:
        return f"{self.tokens:,} tokens" if self.examples is None else f"{self.examples}"


def held(student: BaseStudent, trains: bool) -> int:
    """Bytes, about, that a student takes in memory: to train in float32 with Adam, or to answer."""
    room = (_GPU if torch.cuda.is_available() else _CPU)[0]
    return student.parameters_total * 4 * (4 if trains else 1) + room


def divisor(batch: int, most: int) -> int:
    """The largest divisor of `batch` that is at most `most`, so that the effective batch stays exact."""
    return next(size for size in range(max(1, min(batch, most)), 0, -1) if batch % size == 0)


def compute_again(model: Any) -> bool:
    """Let a model compute its layers once more in the backward pass. Returns whether it can."""
    if not getattr(model, "supports_gradient_checkpointing", False):
        return False
    # The second is its name in transformers 5.0, and warns in later versions.
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    # Not the reentrant kind, which loses the gradients of a model whose embeddings are frozen (below LoRA).
    enable({"use_reentrant": False})
    return True
