"""What a server takes: sizes, times, and who may ask."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from ...core.errors import StudentError

KEYS = "SHRINKLM_API_KEYS"
"""Environment variable: the keys that open the server, separated by commas; unset or empty: it is open."""


@dataclass(frozen=True)
class Limits:
    """What a server takes."""

    batch: int = 32
    """Questions in one pass of the student."""
    window: float = 0.004
    """Seconds that a question waits for company, where the batch is not full."""
    queue: int = 1024
    """Questions that may wait; more are refused with 429."""
    timeout: float = 60.0
    """Seconds until a request that is not answered gets 504."""
    reading: float = 10.0
    """Seconds in which the body of a request has to come."""
    body: int = 1 << 20
    """Bytes of a request."""
    questions: int = 256
    """Questions in one request."""
    characters: int = 20_000
    """Characters of a question with its context and options."""
    options: int = 64
    """Options of one question."""
    copies: int = 16
    """Choices of one chat completion."""

    def __post_init__(self) -> None:
        # A request that could never find room in the queue would be told to come again for ever.
        object.__setattr__(self, "questions", min(self.questions, self.queue))


class Keys:
    """The keys that open a server.

    Args:
        text: As `SHRINKLM_API_KEYS` has it.

    Raises StudentError where it holds separators alone: somebody wanted a key.
    """

    def __init__(self, text: str = "") -> None:
        keys = [key.strip() for key in text.split(",") if key.strip()]
        if text and not keys:
            raise StudentError(f"{KEYS} is set and holds no key. Write: {KEYS}=a-long-secret,another")
        self._digests = [_digest(key) for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def open(self, authorization: str) -> bool:
        """Whether a request's header `authorization` opens the server; compared in constant time."""
        scheme, _, key = authorization.strip().partition(" ")
        given = _digest(key.strip()) if scheme.lower() == "bearer" else b""
        # All are compared, so that the time does not tell which was nearly right.
        found = [hmac.compare_digest(given, digest) for digest in self._digests]
        return any(found) or not found


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
