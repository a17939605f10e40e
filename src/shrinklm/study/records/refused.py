"""Why the records do not take what a page sends them."""

from __future__ import annotations

from ...core.errors import StudyError


class Full(StudyError):
    """Every seat is taken."""


class Gone(StudyError):
    """The person has been withdrawn."""


class Busy(StudyError):
    """Another process holds the database. Nothing was written."""


class Known(StudyError):
    """A person with this platform id has begun already.

    The id is no secret, so it resumes nothing: the person's link does.
    """
