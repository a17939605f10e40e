"""Tables of ratings with known effects, for the tests of studies."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

HUMAN = Path(__file__).parents[2] / "shared" / "data" / "human-study"
CONSTRUCTS = ("Clear", "Complete")
EFFECTS = {"plain": 0.0, "short": 0.0, "revised": 0.9}


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    """A CSV file of the rows."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def ratings(raters: int = 24, each: int = 4, shared: bool = False, seed: int = 0) -> list[dict[str, object]]:
    """Ratings 1 to 5 of three conditions; `revised` is better. With `shared`, everybody rates the same questions."""
    rng = np.random.default_rng(seed)
    level, quality, rows = rng.normal(0, 0.6, raters), rng.normal(0, 0.5, 4000), []
    for person in range(raters):
        for place, condition in enumerate(EFFECTS):
            for k in range(each):
                question = (0 if shared else person * each) + k
                length = int(rng.integers(80, 400))
                base = 3.2 + EFFECTS[condition] + level[person] + quality[question * 3 + place]
                row: dict[str, object] = {
                    "who": f"p{person}",
                    "model": condition,
                    "item": f"q{question}",
                    "chars": length,
                    "sex": "fm"[person % 2],
                }
                for name in CONSTRUCTS:
                    row[name] = int(np.clip(round(base + rng.normal(0, 0.5)), 1, 5))
                rows.append(row)
    return rows
