"""The rows that people gave: who took part, and what they answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from sqlalchemy.engine import Row

Stage = Literal["instructions", "about", "items", "done"]


@dataclass(frozen=True)
class Participant:
    """A person who has agreed to take part. The fields are columns of the table `participant`."""

    id: int
    code: str
    """Pseudonym, such as "K7M2-9QXA"."""
    seat: int
    """Number of the booklet, from 0."""
    source: str
    """ "prolific", "mturk" or "direct"."""
    external: str | None
    consented_at: datetime
    seen_at: datetime
    finished_at: datetime | None
    stage: Stage
    about: Mapping[str, str] | None
    """Demographics by name; None: not asked yet."""
    opened: int | None
    """The item page that was shown last, and when."""
    opened_at: datetime | None

    @property
    def minutes(self) -> float | None:
        """Minutes from consent to the end; None for a person who has not finished."""
        if self.finished_at is None:
            return None
        # The clock may have been set back meanwhile.
        return max(0.0, (self.finished_at - self.consented_at).total_seconds() / 60)


@dataclass(frozen=True)
class Response:
    """A person's answer to one item page. The fields are the columns of the table `response`."""

    participant: int
    position: int
    """Position of the page in the booklet, from 0."""
    kind: str
    question: str
    treatment: tuple[str, ...]
    wanted: int | None
    """Of an attention check: the step to choose; None for any other page."""
    values: Mapping[str, int]
    """Construct → step from 1.

    Of a preference: 0 alike, 1 left, 2 right. Of a simulation, `Choice` is the option, from 1.
    """
    remark: str | None
    seconds: float
    """Time on the page, without pauses in which it was closed."""
    revisions: int
    """How often the answer was changed later."""
    answered_at: datetime


def participant_of(row: Row[Any]) -> Participant:
    """Return the participant in a row, which may hold further columns."""
    return Participant(**{name.name: getattr(row, name.name) for name in fields(Participant)})


def response_of(row: Row[Any]) -> Response:
    """Return the response in a row of the table `response`."""
    data = dict(row._mapping)
    return Response(**{**data, "treatment": tuple(data["treatment"])})
