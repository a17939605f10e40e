"""Works as bytes: what is large stands in the cluster's memory once, however many works hold it."""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

_LARGE = 256
"""Entries from which a list, tuple or mapping is sent by itself: the questions of a run, and their texts."""
_KEPT = 32
"""So many of them are kept for later works."""


class Packer:
    """Makes works into bytes, and puts their large parts into the memory of the cluster, each once."""

    def __init__(self) -> None:
        # With each part, so that no other object takes its id.
        self._parts: OrderedDict[int, tuple[Any, Any]] = OrderedDict()

    def pack(self, work: Any) -> tuple[bytes, list[Any]]:
        """The bytes of a work without its large parts, and the references to these."""
        import ray
        from ray import cloudpickle

        refs: list[Any] = []
        packer = self

        class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
            def persistent_id(self, part: Any) -> int | None:
                if type(part) not in (list, tuple, dict) or len(part) < _LARGE:
                    return None
                if id(part) not in packer._parts:
                    packer._parts[id(part)] = part, ray.put(part)
                packer._parts.move_to_end(id(part))
                ref = packer._parts[id(part)][1]
                if ref not in refs:
                    refs.append(ref)
                return refs.index(ref)

        buffer = io.BytesIO()
        Pickler(buffer).dump(work)
        while len(self._parts) > _KEPT:
            self._parts.popitem(last=False)
        return buffer.getvalue(), refs


def unpack(content: bytes, parts: Sequence[Any]) -> Any:
    """The work of `Packer.pack`."""

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, number: int) -> Any:
            return parts[number]

    return Unpickler(io.BytesIO(content)).load()
