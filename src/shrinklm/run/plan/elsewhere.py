"""A plan on other machines: how long its parts take there, one after another, and which of them takes longest.

Works are dealt out as an engine does it (`run.engines`): in the order of the recipe, each to whichever device is free;
all cells are trained before the first is evaluated. A teacher that runs where the command runs is asked on all devices,
one behind a server as fast as that server answers. What one process does alone comes last.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .counted import Size, seconds_to_read, seconds_to_write
from .hardware import Fleet

AUDITED, REPORTED, DRAWN = 0.0009, 0.0005, 6.0
"""Seconds of one core: to audit a text, to score and report an answer of a cell, and to draw a report of any size
(`benchmarks/sizes.py`, two cores of an AMD EPYC)."""
_ROWS = 32
"""Texts that a teacher on this machine writes at a time."""


def elsewhere(planned: Mapping[str, Any], on: Fleet, tests: int, threads: int) -> dict[str, Any]:
    """What a plan takes on other machines, as JSON: `{"on", "devices", "phases", "seconds", "bottleneck", ...}`.

    Args:
        planned: The rest of the plan; its students' figures are those of one device where that is an accelerator.
        on: The machines.
        tests: Test questions.
        threads: Threads of this machine in the trials.

    A figure is None where it is unknown.
    """
    cells, texts = planned["students"], [*planned["texts"], *planned["judges"]]
    share = 1.0 if on.accelerator or not on.cores else threads / on.cores
    training, evaluation = (
        [_times(cell[name], share) for cell in cells] for name in ("train_seconds", "evaluate_seconds")
    )
    served = [row for row in texts if not row["here"]]
    here = [row for row in texts if row["here"]]
    audited = sum(row["found"] + row["prompts"] for row in planned["texts"])
    phases = [
        _phase("texts on these devices", _split(here, on, share), "on all devices at once"),
        _phase(
            "texts from elsewhere", _sum(row["seconds"] for row in served), "as fast as they come now; not by devices"
        ),
        _phase("training", makespan(training, on.count), _spread(training, on.count)),
        _phase("evaluation", makespan(evaluation, on.count), _spread(evaluation, on.count)),
        _phase("audit and report", AUDITED * audited + REPORTED * tests * len(cells) + DRAWN, "one core, from a table"),
    ]
    phases = [phase for phase in phases if phase["seconds"] != 0]
    known = [phase for phase in phases if phase["seconds"] is not None]
    seconds = _sum(phase["seconds"] for phase in phases)
    machines = None if on.hourly is None or seconds is None else seconds / 3600 * on.hourly * on.count
    paid = planned["total"]["dollars"]
    worst = max(known, key=lambda phase: phase["seconds"], default=None)
    need = max((cell["memory_bytes"] or 0 for cell in cells), default=0)
    return {
        "on": on.text,
        "devices": on.count,
        "device": on.name,
        "efficiency": on.efficiency if on.accelerator else None,
        "phases": phases,
        "seconds": seconds,
        "bottleneck": None if worst is None or len(known) < len(phases) else worst["phase"],
        "idle": max(0, on.count - sum(bool(value) for value in training)) if any(training) else 0,
        "device_hours": None if seconds is None else seconds / 3600 * on.count,
        "machine_dollars": machines,
        "dollars": None if machines is None or paid is None else machines + paid,
        "cell_memory_bytes": need or None,
        "cells_on_a_device": int(on.accelerator.memory // need) if on.accelerator and need else None,
        "sources": _sources(on, threads),
    }


def makespan(seconds: Sequence[float | None], devices: int) -> float | None:
    """When the last of several works ends, each begun in turn on the device that is free first; None where one is
    unknown."""
    free = [0.0] * max(1, min(devices, len(seconds)))
    for each in seconds:
        if each is None:
            return None
        heapq.heapreplace(free, free[0] + each)
    return max(free)


def _split(rows: Sequence[Mapping[str, Any]], on: Fleet, share: float) -> float | None:
    """The seconds of texts that are written on the devices."""
    if on.accelerator is None:
        return _times(_sum(row["seconds"] for row in rows), share / on.count)
    seconds = 0.0
    for row in rows:
        if row["prompts"] and not row["tokens_out"]:  # words that are marked: no token is counted
            return None
        size = Size(row["here"], 0)
        seconds += seconds_to_read(size, row["tokens_in"], on.accelerator, on.efficiency)
        seconds += seconds_to_write(size, row["tokens_out"], _ROWS, on.accelerator, on.efficiency)
    return seconds / on.count


def _spread(seconds: Sequence[float | None], devices: int) -> str:
    count = sum(each != 0 for each in seconds)
    return f"{count} {'cell' if count == 1 else 'cells'} on {min(count, devices)} of {devices}"


def _sources(on: Fleet, threads: int) -> list[str]:
    if on.accelerator:
        said = "as you say" if on.stated else "assumed; --efficiency states another"
        return [
            f"{on.name}: {on.accelerator.flops / 1e12:,.0f} TFLOP/s in bfloat16, {on.accelerator.memory / 1e9:.0f} GB, "
            f"{on.accelerator.bandwidth / 1e12:.3g} TB/s, from its data sheet; {on.efficiency:.0%} of that is reached "
            f"({said}). Tokens are counted here, nothing is timed.",
            "Audit and report: from a table of this project's benchmarks.",
        ]
    linear = f", linear in cores (here {threads})" if on.cores else ""
    return [f"Training and evaluation: measured on this machine{linear}. Audit and report: from a table."]


def _phase(name: str, seconds: float | None, how: str) -> dict[str, Any]:
    return {"phase": name, "seconds": seconds, "how": how}


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _sum(values: Iterable[float | None]) -> float | None:
    known = list(values)
    return None if None in known else sum(value for value in known if value is not None)
