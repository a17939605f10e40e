"""The rules of a study in its database: as they were registered, and as they stood when the first answer came."""

from __future__ import annotations

import json

from sqlalchemy import Connection

from ..design.rules import Kept, Rules, digest_of
from .log import INITIAL, setting, utc_now

REGISTERED, FIRST = "rules registered", "rules"
"""When rules were kept."""


def keep_rules(c: Connection, when: str, rules: Rules) -> bool:
    """Keep rules, unless there are some already. Returns whether they were kept."""
    kept = {"at": f"{utc_now():%Y-%m-%d %H:%M:%S} UTC", "digest": digest_of(rules), "rules": rules}
    return bool(c.execute(INITIAL, {"key": when, "value": json.dumps(kept, ensure_ascii=False)}).rowcount)


def kept_rules(c: Connection, when: str) -> Kept | None:
    """Return the rules that were kept; None: none were."""
    text = setting(c, when)
    return None if text is None else Kept(**json.loads(text))
