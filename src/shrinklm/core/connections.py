"""How many connections this process may hold open at once."""

from __future__ import annotations

import contextlib


def room_for(most: int, spare: int) -> int:
    """How many connections may be open, at most `most`; the limit of open files is raised as far as the system lets us.

    Args:
        most: So many are wanted.
        spare: Files that are needed beside them.
    """
    try:
        import resource
    except ImportError:  # Windows
        return most
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most + spare
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most if soft == resource.RLIM_INFINITY else max(1, min(most, soft - spare))
