"""What an engine is: it does works, and knows nothing of what they are; what they make stands in their folders. And it
asks teachers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ...core.types import Tick

if TYPE_CHECKING:
    from ...teachers.base import BaseTeacher, TeacherOptions


class Work(ABC):
    """A part of a run that one process does alone. It can be pickled, to be done in another process or machine.

    What it makes stands in `folder`, with a marker written last: done a second time, it goes on where it was killed.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """What it does and to what: "train finetune--smollm2--s0"."""

    @property
    @abstractmethod
    def folder(self) -> Path:
        """The folder that it writes to, and no other work of the same stage."""

    @property
    def memory(self) -> int:
        """Bytes, about, that it takes while it is done."""
        return 0

    @abstractmethod
    def do(self, tick: Tick) -> Any:
        """Do it, telling `tick` the progress. What it returns can be pickled too."""


class Engine(ABC):
    """Does works, one or several at a time. Weights and figures depend on the works, and not on the engine."""

    elsewhere: ClassVar[bool] = False
    """Whether works may be done on other machines, each with a mirror of its own of a run at a URL."""

    @abstractmethod
    def do(self, works: Iterable[Work], tick: Tick, at_once: int = 1) -> dict[str, Any]:
        """Do works, as many at a time as there is room for.

        Where one fails, those under way are done to their end and no other is begun.

        Args:
            works: Asked for one after another, each when there is room for it.
            tick: Called, in this process, with the progress of each.
            at_once: How many at a time the recipe asks for, where whoever made the engine named no number.

        Returns the name of each work → what it returned. Raises the error of the first that failed.
        """

    def spread(self, teacher: BaseTeacher, use: str, options: TeacherOptions) -> BaseTeacher:
        """The teacher, asked wherever there is room for it; itself where there is no other place.

        Args:
            teacher: Made of a spec; nothing of it is loaded.
            use: The spec.
            options: What it was made with.
        """
        return teacher

    def close(self) -> None:  # noqa: B027
        """End what was begun for works beside themselves."""
