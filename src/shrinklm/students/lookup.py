"""Explanations that are looked up: a student that writes none shows that of the training question nearest by meaning.

After RetriKT (arXiv 2310.15594), where a small student retrieves from a store of what a large model wrote; without its
reinforced search for prompts, and with the student's own states as they are after training in the place of a retriever
that is trained.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..core.files import write_text

VECTORS, TEXTS = "explanations.safetensors", "explanations.json"
"""The files beside a student's weights: a vector for each training question, and the explanations in their order."""


@dataclass(frozen=True)
class Lookup:
    """The explanations of the training questions."""

    vectors: Tensor
    """[questions, width], of length 1, in float32."""
    texts: Sequence[str]

    @classmethod
    def of(cls, vectors: Tensor, texts: Sequence[str]) -> Lookup:
        """From vectors of any length, [questions, width]."""
        return cls(nn.functional.normalize(vectors.float(), dim=-1).cpu(), texts)

    @classmethod
    def read(cls, folder: Path) -> Lookup | None:
        """From what `save` wrote; None where there is nothing."""
        if not (folder / VECTORS).is_file():
            return None
        texts = json.loads((folder / TEXTS).read_text(encoding="utf-8"))
        return cls(load_file(folder / VECTORS)["vectors"], texts)

    def save(self, folder: Path) -> None:
        """Write both files."""
        save_file({"vectors": self.vectors.contiguous()}, folder / VECTORS)
        write_text(folder / TEXTS, json.dumps(list(self.texts), ensure_ascii=False))

    def nearest(self, vectors: Tensor) -> list[str]:
        """The explanation of the question with the greatest cosine to each of some vectors, [questions, width]."""
        near = nn.functional.normalize(vectors.float(), dim=-1).cpu() @ self.vectors.T
        return [self.texts[index] for index in near.argmax(-1).tolist()]
