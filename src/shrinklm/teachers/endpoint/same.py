"""Whether servers serve the same model, as far as their lists of models (`/v1/models`) tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_BESIDE = ("revision", "max_model_len")
_OF_WEIGHTS = ("n_params", "n_vocab", "n_embd", "size")
"""What llama.cpp says of a file under `meta`; the size tells quantisations apart."""


def facts(listed: Sequence[Mapping[str, Any]], model: str) -> dict[str, str]:
    """What a server's list says of a model: name → value, both in words. Empty where it says nothing.

    vLLM and SGLang state `root` (where the weights came from), `parent` (what an adapter stands on) and
    `max_model_len`; llama.cpp states `meta`; `shrinklm teacher serve` states `revision`.

    Args:
        listed: The entries of `data`.
        model: The name by which the model is asked for.
    """
    entry = next((one for one in listed if one.get("id") == model), None)
    if entry is None:
        # Some servers take any name, and list the one model that they have. Of several, nobody knows which answers.
        entry = listed[0] if len(listed) == 1 else {}
    found = {"id": entry.get("id")} | {name: entry.get(name) for name in _BESIDE}
    # Weights lie in other folders on other machines. Some servers repeat the name there.
    for name in ("root", "parent"):
        value = entry.get(name)
        if isinstance(value, str) and value != entry.get("id"):
            found[name] = value.rstrip("/").rpartition("/")[2]
    meta = entry.get("meta")
    if isinstance(meta, Mapping):
        found |= {f"meta.{name}": meta.get(name) for name in _OF_WEIGHTS}
    return {name: str(value) for name, value in found.items() if isinstance(value, (str, int, float))}


def difference(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    """In what two servers differ, in words; "" where they do not, or do not tell."""
    names = [name for name in here if name in there and here[name] != there[name]]
    return "; ".join(f"`{name}` is '{here[name][:80]}' and there '{there[name][:80]}'" for name in names)
