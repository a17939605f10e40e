"""Do the report's tests keep their size? Made-up runs in which all methods are equally good, compared as the report
compares them.

python benchmarks/false_alarms.py [--runs 1000] [--jobs 2] [--json FILE]

Each made-up run has three methods on 200 questions of differing difficulty. A method has likings of its own among the
questions, and each seed moves its accuracy by a standard deviation of 0 or 5 points; over all questions and seeds the
methods are equal. `report.results.compare` compares them, so what is counted is what a reader sees: p below .05 of one
pair, any Holm-adjusted p below .05 in the run, any pair called separated, McNemar's exact test of the first seed, and
how often the 95 % interval of a method's accuracy holds the truth. The last column is the power to find 10 points. At
one seed p speaks of these questions, so that a seed sd of 5 points must show: the count says how much.
docs/statistics.md says what came out.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from shrinklm.report.findings import Cell, Findings, Item
from shrinklm.report.look.numbers import ALPHA
from shrinklm.report.results import compare

METHODS, QUESTIONS = 3, 200
DIFFICULTY, LIKING = 1.0, 0.5
"""Standard deviations of a question's difficulty, and of a method's liking for it, beside a standard deviation of 1 of
chance at every answer; all on the probit scale."""
GAIN = 0.10
"""Of the first method, where power is counted."""
SEEDS, SPREADS = (1, 2, 5), (0.0, 0.05)
RESAMPLES = 1000

Scores = list[NDArray[np.float64]]


@dataclass(frozen=True)
class Setting:
    """What a made-up run is like."""

    seeds: int
    spread: float
    """Standard deviation of a seed's accuracy, as a share."""
    gain: float = 0.0


def scores(setting: Setting, rng: np.random.Generator) -> Scores:
    """For each method [seeds, questions] of right and wrong; in the population each is right in half of the cases, the
    first in `gain` more."""
    total = np.sqrt(DIFFICULTY**2 + LIKING**2 + 1)
    difficulty = rng.normal(0, DIFFICULTY, QUESTIONS)
    matrices = []
    for method in range(METHODS):
        liking = rng.normal(0, LIKING, QUESTIONS)
        # A seed moves the accuracy, and so the threshold by as much as moves the share of all questions.
        share = 0.5 + (setting.gain if method == 0 else 0) + rng.normal(0, setting.spread, (setting.seeds, 1))
        level = total * norm.ppf(np.clip(share, 0.01, 0.99))
        answers = level + difficulty + liking + rng.normal(size=(setting.seeds, QUESTIONS)) > 0
        matrices.append(answers.astype(float))
    return matrices


def findings(matrices: Scores) -> Findings:
    """A run with these scores, as the report reads it."""
    items = tuple(Item(str(index), "", (), "", {}, "", "") for index in range(matrices[0].shape[1]))
    cells = tuple(
        Cell(f"{method}-{seed}", f"method-{method}", "student", seed, {"steps": 1}, (), {}, {"accuracy": row}, {})
        for method, matrix in enumerate(matrices)
        for seed, row in enumerate(matrix)
    )
    return Findings("run", {}, "", {}, {}, {}, items, cells)


def counted(setting: Setting, seed: int) -> dict[str, float]:
    """What the report says of one made-up run: 1 or 0 for each count; the intervals' coverage as a share."""
    rng = np.random.default_rng([seed, setting.seeds, round(1000 * setting.spread), round(1000 * setting.gain)])
    results = compare(findings(scores(setting, rng)), RESAMPLES)
    pair = next(pair for pair in results.pairs if pair.second.method == "method-0")
    truth = {row.method: 0.5 + (setting.gain if row.method == "method-0" else 0) for row in results.rows}
    covered = [
        entry.low <= truth[row.method] <= entry.high for row in results.rows for entry in [row.estimates["accuracy"]]
    ]
    return {
        "pair": float(pair.comparison.p < ALPHA),
        "holm": float(any(other.adjusted < ALPHA for other in results.pairs)),
        "separated": float(any(other.separated for other in results.pairs)),
        "mcnemar": float(pair.by_seed[0].p < ALPHA),
        "covered": float(np.mean(covered)),
        "found": float(pair.separated),
    }


def rates(setting: Setting, runs: Sequence[int], jobs: int = 1) -> dict[str, float]:
    """The mean of each count over runs with these seeds."""
    if jobs > 1:
        with ProcessPoolExecutor(jobs) as pool:
            counts = list(pool.map(partial(counted, setting), runs, chunksize=8))
    else:
        counts = [counted(setting, seed) for seed in runs]
    return {name: float(np.mean([count[name] for count in counts])) for name in counts[0]}


def error(rate: float, runs: int) -> float:
    """1.96 standard errors of a counted rate."""
    return 1.96 * float(np.sqrt(max(rate * (1 - rate), 0.25 / runs) / runs))


def table(found: Mapping[Setting, Mapping[str, float]], runs: int) -> str:
    """The counts as Markdown."""
    lines = [
        "| seeds | seed sd, points | one pair, % | Holm, any pair, % | McNemar, one seed, % | interval holds, % "
        "| finds 10 points, % |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for setting, null in found.items():
        if setting.gain:
            continue
        power = found[Setting(setting.seeds, setting.spread, GAIN)]
        cells = [
            f"{100 * null[name]:.1f} ± {100 * error(null[name], runs):.1f}" for name in ("pair", "holm", "mcnemar")
        ]
        cells += [f"{100 * null['covered']:.1f}", f"{100 * power['found']:.0f}"]
        lines.append(f"| {setting.seeds} | {100 * setting.spread:.0f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> None:
    """Count, print the table, and write the counts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    started, found = time.perf_counter(), {}
    for gain in (0.0, GAIN):
        for spread in SPREADS:
            for seeds in SEEDS:
                setting = Setting(seeds, spread, gain)
                runs = options.runs // 4 if gain else options.runs  # power is told to a few points only
                found[setting] = rates(setting, range(runs), options.jobs)
                print(f"{setting}: {found[setting]}", file=sys.stderr, flush=True)
    print(table(found, options.runs))
    took = time.perf_counter() - started
    print(f"\n{options.runs} runs a row, a quarter of them for the last column; seeds from 0; {took:.0f} s")
    if options.json:
        rows = [{"seeds": at.seeds, "spread": at.spread, "gain": at.gain, **counts} for at, counts in found.items()]
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
