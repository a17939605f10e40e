"""How a teacher decodes, a part of the key of each of its texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any


@dataclass(frozen=True)
class Sampling:
    """The decoding of a teacher. Temperature 0 is greedy."""

    max_tokens: int = 128
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    """The completion ends before the first of these."""
    seed: int = 0
    logprobs: bool = False
    """Whether the log-probabilities of the options are asked for too."""


@lru_cache  # the same for thousands of questions
def as_json(sampling: Sampling) -> Mapping[str, Any]:
    """A sampling in plain types, by the names of its fields; equal samplings give the same text as JSON."""
    fields = asdict(sampling)
    # 0, 0.0 and -0.0 are equal, also to the cache, and are written in three ways.
    fields |= {name: float(fields[name]) + 0.0 for name in ("temperature", "top_p")}
    fields |= {name: int(fields[name]) for name in ("max_tokens", "seed")}
    if not sampling.logprobs:
        del fields["logprobs"]  # of nearly every text: its key is the one that it would have without such a setting
    return fields
