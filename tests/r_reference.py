"""Simulated data and what R says of them: tests/data/r, made by tests/data/r/make.R."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent / "data" / "r"


def read(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text())


def number(cell: Any) -> float:
    """A figure of R, whose NaN, NA and Inf are text in the JSON."""
    if isinstance(cell, str):
        return {"NaN": np.nan, "NA": np.nan, "Inf": np.inf, "-Inf": -np.inf}[cell]
    return np.nan if cell is None else float(cell)


def indicators(columns: dict[str, list[Any]], terms: list[str]) -> dict[str, Any]:
    """Columns named as R names its terms: numbers as they are, text as 0 or 1 for each level among the terms."""
    built: dict[str, Any] = {}
    for name, cells in columns.items():
        if name in terms:
            built[name] = cells
            continue
        levels = dict.fromkeys(cells)
        built |= {f"{name}{x}": (np.array(cells) == x) * 1.0 for x in levels if f"{name}{x}" in terms}
    return built


def differences(theirs: Any, again: Any, place: str = "") -> list[tuple[float, str]]:
    """How far figures made again are from those in a file, relative to them, with their places; texts are left out."""
    if isinstance(theirs, list) and len(theirs) == 1 and not isinstance(again, list):
        again = [again]  # R has no list of one
    if isinstance(theirs, dict) and isinstance(again, dict):
        return [row for key in theirs if key in again for row in differences(theirs[key], again[key], f"{place}/{key}")]
    if isinstance(theirs, list) and isinstance(again, list) and len(theirs) == len(again):
        pairs = enumerate(zip(theirs, again, strict=True))
        return [row for at, (a, b) in pairs for row in differences(a, b, f"{place}/{at}")]
    if isinstance(theirs, int | float) and isinstance(again, int | float):
        return [(abs(theirs - again) / max(abs(theirs), 1e-9), place)]
    return [] if theirs == again else [(float("inf"), f"{place}: {str(theirs)[:60]} and {str(again)[:60]}")]


def main() -> None:
    """Run make.R over the files and tell how far its figures are from theirs; `--write` puts them in."""
    import subprocess
    import sys

    figures = {"ordinal_wide_people": "R_loglik_sd"}
    write = "--write" in sys.argv
    asked = [name for name in sys.argv[1:] if name != "--write"]
    for name in asked or ["groups", "anova", "ols", "multivariate", "misc", "ordinal_wide_people", "ordinal"]:
        done = subprocess.run(["Rscript", str(FOLDER / "make.R"), name], capture_output=True, text=True, check=True)
        again, stored = json.loads(done.stdout), read(name)
        key = figures.get(name, "R")
        rows = sorted(differences(stored[key], again), reverse=True)
        print(
            f"{name}: {len(rows):,} figures, {sum(far > 1e-6 for far, _ in rows)} differ by more than 1e-6", flush=True
        )
        for far, place in rows[:6]:
            print(f"  {far:.2g} {place}")
        if write:
            (FOLDER / f"{name}.json").write_text(json.dumps({**stored, key: again}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
