"""YAML of others: read without running anything, and within bounds."""

from __future__ import annotations

from typing import Any

import yaml

_MOST = 200_000
"""Values of a document, those counted each time that an alias repeats them."""


class TooMuch(yaml.YAMLError):
    """A document that would grow without bound: aliases of aliases, or brackets in brackets."""


def load(text: str) -> Any:
    """The content of a YAML text.

    Raises yaml.YAMLError, also for one that aliases blow up, or that is nested too deep.
    """
    try:
        # The nodes share what an alias repeats; only what they stand for can be large.
        node = yaml.compose(text, yaml.SafeLoader)
        if node is not None and _size(node, {}) > _MOST:
            raise TooMuch(f"its aliases stand for more than {_MOST:,} values; write them out, or fewer")
        return yaml.safe_load(text)
    except RecursionError:
        raise TooMuch("its values are nested too deep") from None


def _size(node: yaml.Node, known: dict[int, float]) -> float:
    """The values that a node stands for; infinite for one that holds itself."""
    if id(node) not in known:
        known[id(node)] = float("inf")  # until it is known: whoever meets it before is inside of it
        inner = node.value if isinstance(node, yaml.CollectionNode) else ()
        parts = [part for item in inner for part in (item if isinstance(item, tuple) else (item,))]
        known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(node)]
