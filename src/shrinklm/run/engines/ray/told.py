"""What workers tell whoever sent them their works."""

from __future__ import annotations

from typing import Any


class Told:
    """What workers tell, until it is taken: an actor."""

    def __init__(self) -> None:
        self._told: list[tuple[Any, ...]] = []

    def tell(self, *said: Any) -> None:
        """Keep it."""
        self._told.append(said)

    def take(self) -> list[tuple[Any, ...]]:
        """All that was told since the last time."""
        told, self._told = self._told, []
        return told
