"""GGUF files in one reading: transformers reads the header, every word of the vocabulary among it, for each of
configuration, weights and tokenizer, and lists the names that weights can have for every module of the model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np

_ALONE = Lock()
"""Two threads that put their own into the package and back would leave one in it."""


@contextmanager
def read_once() -> Iterator[None]:
    """Inside, the package `gguf` reads each file once, and lists the names of an architecture's weights once."""
    import gguf

    class Reader(gguf.GGUFReader):  # type: ignore[misc]
        def __setattr__(self, name: str, value: Any) -> None:
            # A plain array over the same bytes: a header is a million slices, and those of a memmap take three times as
            # long.
            super().__setattr__(name, value.view(np.ndarray) if name == "data" else value)

    with _ALONE:
        usual = gguf.GGUFReader, gguf.get_tensor_name_map
        gguf.GGUFReader, gguf.get_tensor_name_map = lru_cache(Reader), lru_cache(usual[1])
        try:
            yield
        finally:
            gguf.GGUFReader, gguf.get_tensor_name_map = usual
