"""What all blocks of a recipe share, and values that pydantic's own types do not check: seeds, and lists of names."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_LARGEST_SEED = 2**32 - 1
"""NumPy's generator, which training seeds too, takes no larger one and none below 0."""


class Block(BaseModel):
    """A part of a recipe. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def folder_name(part: str) -> str:
    """A part of a folder's name, fit for any file system."""
    # Names of methods hold "+", "=" and "&" ("salient:alpha=0.9"), which every file system takes; ":" not all do.
    return re.sub(r"[^A-Za-z0-9._+=&-]", "_", part)


_MONEY = re.compile(
    r"(?:USD|US\$|\$)?\s*((?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?)\s*(?:USD|US\$|\$|dollars?)?", re.IGNORECASE
)


def _dollars(value: Any) -> Any:
    """A sum of money as a number: 5, "5 USD", "$5"."""
    if isinstance(value, str) and (match := _MONEY.fullmatch(value.strip())) and match[1]:
        value = float(match[1].replace(",", ""))
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise ValueError("must be dollars, such as 5 USD")
    return value


Dollars = Annotated[float, BeforeValidator(_dollars)]
"""A sum of money, in dollars."""


def _seed(value: Any) -> Any:
    if isinstance(value, bool) or (isinstance(value, int) and not 0 <= value <= _LARGEST_SEED):
        raise ValueError(f"a seed is a whole number from 0 to {_LARGEST_SEED}, not {value}")
    return value


def _seeds(value: Any) -> Any:
    if isinstance(value, int):
        raise ValueError(f"must be a list: [{value}] for that seed, [0, 1, 2] for three")
    if not isinstance(value, (list, tuple)):
        raise ValueError("must be a list: [0, 1, 2] for three trainings")
    seeds = [_seed(seed) for seed in value]
    once = list(dict.fromkeys(seeds))
    if twice := [str(seed) for seed in once if seeds.count(seed) > 1]:
        raise ValueError(f"names {', '.join(twice)} twice: each seed is one training. Write each once: {once}")
    return seeds


def _listed(value: Any) -> Any:
    if isinstance(value, str):
        raise ValueError(f"must be a list: [{value}]")
    return value


Seed = Annotated[int, BeforeValidator(_seed)]
"""The seed of a training."""
Seeds = Annotated[tuple[int, ...], BeforeValidator(_seeds)]
"""Seeds of trainings, each once."""
Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
"""Names; one alone must be a list too."""
Trackers = Annotated[tuple[Literal["tensorboard", "mlflow", "wandb", "trackio"], ...], BeforeValidator(_listed)]
"""Trackers of experiments."""


def _unset(value: Any) -> bool:
    return value is None


# Not written out where they are left out: such recipes stay as they are.
MOST_ROWS = Field(
    None,
    ge=1,
    exclude_if=_unset,
    description="Of a table; left out: 2^20, or one for each byte of its file if that is more.",
)
MOST_MEGABYTES = Field(
    None,
    gt=0,
    exclude_if=_unset,
    description="That a table may unpack to; left out: 1,000 (a workbook: 500), or 100 times the size of its file.",
)
