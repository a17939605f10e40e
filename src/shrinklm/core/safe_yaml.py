"""YAML of others: read without running anything, and within bounds."""

from __future__ import annotations

from typing import Any

import yaml

_MOST = 200_000
"""Values of a document, those counted each time that an alias repeats them."""
_SHALLOW = 1_000
"""Characters that may open a level, up to which libyaml reads a text: it would follow more levels than a C stack has
room for."""
_OPEN = "[{-?:"
"""Each level is opened by one of these."""


class TooMuch(yaml.YAMLError):
    """A document that would grow without bound: aliases of aliases, or brackets in brackets."""


def load(text: str) -> Any:
    """The content of a YAML text.

    Raises yaml.YAMLError, also for one that aliases blow up, or that is nested too deep.
    """
    quick = getattr(yaml, "CSafeLoader", None)
    try:
        if quick is not None and sum(map(text.count, _OPEN)) <= _SHALLOW:
            try:
                return _read(text, quick)  # libyaml takes a tenth of the time
            except TooMuch:
                raise
            except yaml.YAMLError:
                pass  # messages are in the words of Python's own reader, whether or not libyaml is there
        return _read(text, yaml.SafeLoader)
    except RecursionError:
        raise TooMuch("its values are nested too deep") from None


def _read(text: str, reader: Any) -> Any:
    loader = reader(text)
    try:
        # The nodes share what an alias repeats; only what they stand for can be large.
        node = loader.get_single_node()
        if node is None:
            return None
        if _size(node, {}) > _MOST:
            raise TooMuch(f"its aliases stand for more than {_MOST:,} values; write them out, or fewer")
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _size(node: yaml.Node, known: dict[int, float]) -> float:
    """The values that a node stands for; infinite for one that holds itself."""
    if id(node) not in known:
        known[id(node)] = float("inf")  # until it is known: whoever meets it before is inside of it
        inner = node.value if isinstance(node, yaml.CollectionNode) else ()
        parts = [part for item in inner for part in (item if isinstance(item, tuple) else (item,))]
        known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(node)]
