"""Tables and texts for people."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from .printed import shown


class Terminal(Console):
    """A console in whose tables and texts characters that would steer the terminal are written by their codes."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """See Console."""
        for segment in super().render(renderable, options):
            # Rich's own codes are segments of their own.
            yield segment if segment.control else Segment(shown(segment.text), segment.style)
