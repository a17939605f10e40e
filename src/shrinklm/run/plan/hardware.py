"""The machines that a plan can be made for: named accelerators, cores, and machines like this one.

Peak figures are those of the makers' data sheets, of dense bfloat16 matrix products without sparsity, SXM or OAM
modules where nothing else is said: https://www.nvidia.com/en-us/data-center/h100/ (also `h200`, `a100`, `l40s`, `l4`,
`hgx` for the B200), https://www.amd.com/en/products/accelerators/instinct/mi300/mi300x.html. NVIDIA's pages print the
figures with sparsity, which are twice as high.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from ...core.errors import RecipeError

EFFICIENCY = 0.35
"""Share of a peak that is assumed to be reached, of arithmetic and of bandwidth. No run of ours has measured it on an
accelerator; published trainings of language models reach 0.3 to 0.5 (PaLM, arXiv 2204.02311, table 3)."""


@dataclass(frozen=True)
class Accelerator:
    """The peak of one device."""

    flops: float
    """Dense bfloat16 operations a second."""
    memory: float
    """Bytes."""
    bandwidth: float
    """Bytes a second."""


ACCELERATORS = {
    "A100": Accelerator(312e12, 80e9, 2.039e12),
    "A100-40GB": Accelerator(312e12, 40e9, 1.555e12),
    "B200": Accelerator(2250e12, 180e9, 8.0e12),
    "H100": Accelerator(989e12, 80e9, 3.35e12),
    "H100-PCIe": Accelerator(756e12, 80e9, 2.0e12),
    "H200": Accelerator(989e12, 141e9, 4.8e12),
    "L4": Accelerator(121e12, 24e9, 0.3e12),
    "L40S": Accelerator(362e12, 48e9, 0.864e12),
    "MI300X": Accelerator(1307e12, 192e9, 5.3e12),
}
_GRAMMAR = re.compile(r"((?:\d+x)*)(?:(\d+)|(\d+)cpus?|(this)|([a-z].*))", re.IGNORECASE)


@dataclass(frozen=True)
class Fleet:
    """Devices of one kind. A cell is trained on one of them."""

    text: str
    """As it was typed."""
    count: int
    name: str
    """Of one device, in words."""
    accelerator: Accelerator | None = None
    """None: a machine like this one, whose times are measured."""
    cores: int | None = None
    """Of a machine like this one; None: all that it uses."""
    efficiency: float = EFFICIENCY
    stated: bool = False
    """Whether whoever asked named the efficiency."""
    hourly: float | None = None
    """Dollars for one device and hour."""


_LONGEST = 100
"""Characters of a text that can name devices."""


def fleet(text: str, efficiency: float | None = None, hourly: float | None = None) -> Fleet:
    """The devices that a text names: "8xH100", "2x8xA100" (16), "2x16cpu", "4xthis" or "4".

    Raises RecipeError for another text, and for an efficiency of what is measured.
    """
    match = _GRAMMAR.fullmatch(re.sub(r"\s+", "", text)) if len(text) <= _LONGEST else None
    if match is None:
        raise _unknown(text)
    if hourly is not None and not 0 <= hourly < math.inf:
        raise RecipeError(f"--hourly takes the dollars of a device and hour, and got {hourly}. Write: --hourly 2.5")
    if efficiency is not None and not 0 < efficiency <= 1:
        raise RecipeError(f"--efficiency takes a share of the peak, and got {efficiency}. Write: --efficiency 0.35")
    times, machines, cores, _, name = match.groups()
    count = int(machines or 1)
    for factor in times.lower().split("x")[:-1]:
        count *= int(factor)
    if count < 1 or cores == "0":
        raise _unknown(text)
    stated = efficiency is not None
    settings = (EFFICIENCY if efficiency is None else efficiency, stated, hourly)
    if name is None:
        if stated:
            raise RecipeError(
                f"--efficiency is the share of an accelerator's peak, and the times of '{text}' are measured on this "
                "machine. Leave it out."
            )
        words = f"{cores} cores like this machine's" if cores else "a machine like this one"
        return Fleet(text, count, words, None, int(cores) if cores else None, *settings)
    known = {_plain(other): other for other in ACCELERATORS}
    if _plain(name) not in known:
        raise _unknown(text)
    found = known[_plain(name)]
    return Fleet(text, count, found, ACCELERATORS[found], None, *settings)


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).lower().removesuffix("gb")


def _unknown(text: str) -> RecipeError:
    listed = ", ".join(f"{name} ({device.memory / 1e9:.0f} GB)" for name, device in ACCELERATORS.items())
    return RecipeError(
        f"--on '{text[:_LONGEST]}' names no machine that is known. Type a number and a kind, such as 8xH100. "
        f"Kinds: {listed}; 16cpu: cores like this machine's; this, or a number alone: machines like this one."
    )
