"""Files at a URL, and their mirrors here. What stands at a URL is worked on in its mirror, a folder of the cache."""

from .habits import Habits
from .known import away
from .lease import Lease, Lost, this_process
from .mirror import Mirror, bring, fetched
from .objects import Objects, open_objects
from .urls import check_url, home_of, is_url, mirror, named, prepared, received, sent, top_of, url_of

__all__ = [
    "Habits",
    "Lease",
    "Lost",
    "Mirror",
    "Objects",
    "away",
    "bring",
    "check_url",
    "fetched",
    "home_of",
    "is_url",
    "mirror",
    "named",
    "open_objects",
    "prepared",
    "received",
    "sent",
    "this_process",
    "top_of",
    "url_of",
]
