"""Does the analysis find what was put in? Studies of made-up people with known effects, and a spread of people, questions and explanations.

python benchmarks/study_recovery.py [--simulations 500] [--jobs 2] [--json FILE] [--figure FILE]

Each simulation draws people, questions and explanations anew, hands them out by the package's own booklets (48 questions, 4 conditions,
48 people with 12 items each), and analyses the ratings by the package's own models. What must hold, of the model that `study analyze` reports:
bias of each effect below 5 %, and 95 % intervals that hold the truth in 93 to 97 % of the studies. Beside it stand the same model with fewer
levels, least squares on rows, and the Kruskal-Wallis test on rows, in studies with the effects and in studies without any.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shrinklm.stats.groups import kruskal
from shrinklm.study.design import Design
from shrinklm.study.models import linear_mixed, regression
from shrinklm.study.ratings import Array, Ratings

CONDITIONS = ("A", "B", "C", "D")
EFFECTS = {"A": 0.0, "B": 0.25, "C": 0.4, "D": 0.6}
PERSON, QUESTION, EXPLANATION, RATING = 0.5, 0.3, 0.25, 0.7
"""Standard deviations, in points."""
MEAN = 3.3
MODELS = ("explanations", "questions", "people", "rows")
"""Levels of people, questions and explanations, as `study analyze` reports; of people and questions; of people; least squares on rows."""
SCENARIOS: dict[str, dict[str, Any]] = {
    "complete": {},
    "one in five leaves half way": {"leave": 0.2},
    "rounded to 1-5": {"rounded": True},
    "one condition a person": {"between": True},
}
"""The last is not how this package hands items out; it is a common way, and shows what rows make of it."""


@dataclass(frozen=True)
class Task:
    """One simulated study."""

    seed: int
    effects: bool
    leave: float = 0.0
    rounded: bool = False
    between: bool = False


def study(task: Task) -> Ratings:
    """The ratings of one study."""
    rng = np.random.default_rng([task.seed, int(task.effects)])
    design = Design("rating", CONDITIONS, tuple(f"q{at}" for at in range(48)), (), 12, 3, 0, 5, task.seed)
    question = {q: rng.normal(0, QUESTION) for q in design.questions}
    explanation = {(q, c): rng.normal(0, EXPLANATION) for q in design.questions for c in CONDITIONS}
    people, items, conditions, values = [], [], [], []
    for seat in range(design.people):
        level, leaves = rng.normal(0, PERSON), rng.random() < task.leave
        pages = design.booklet(seat)
        for page in pages[: len(pages) // 2] if leaves else pages:
            condition = CONDITIONS[seat % len(CONDITIONS)] if task.between else page.treatment[0]
            value = MEAN + level + question[page.question] + explanation[page.question, condition] + rng.normal(0, RATING)
            values.append(value + (EFFECTS[condition] if task.effects else 0.0))
            people.append(f"p{seat}")
            items.append(page.question)
            conditions.append(condition)
    made: Array = np.array(values)
    if task.rounded:
        made = np.clip(np.round(made), 1, 5)
    places = tuple(str(at) for at in range(len(made)))
    labels = (tuple(conditions), tuple(people), tuple(items))
    return Ratings("simulated", "model", "CASE", "item", ("Quality",), (1, 5), CONDITIONS, places, *labels, {"Quality": made}, {})


def analysed(task: Task) -> dict[str, Any]:
    """What the models and the test say of one study."""
    ratings = study(task)
    values = ratings.values["Quality"]
    fits = {
        "explanations": linear_mixed(ratings, "Quality", values, items=True, explanations=True),
        "questions": linear_mixed(ratings, "Quality", values, items=True),
        "people": linear_mixed(ratings, "Quality", values),
    }
    found: dict[str, Any] = {name: {e["condition"]: e for e in fit["effects"] if "condition" in e} for name, fit in fits.items()}
    found["rows"] = {entry["term"].removeprefix("model"): entry for entry in regression(ratings, "Quality", values)["coefficients"][1:]}
    found["joint"] = {name: fit["joint"]["p"] for name, fit in fits.items()}
    found["kruskal"] = kruskal(ratings.by_condition(values)).p
    found["variances"] = fits["explanations"]["variances"]
    return found


def truth(rounded: bool) -> dict[str, float]:
    """The effects as ratings show them: of rounded ones by a large sample."""
    if not rounded:
        return {name: effect for name, effect in EFFECTS.items() if effect}
    rng = np.random.default_rng(1)
    spread = np.sqrt(PERSON**2 + QUESTION**2 + EXPLANATION**2 + RATING**2)
    noise = spread * rng.standard_normal(4_000_000)
    means = {name: float(np.clip(np.round(MEAN + effect + noise), 1, 5).mean()) for name, effect in EFFECTS.items()}
    return {name: means[name] - means["A"] for name, effect in EFFECTS.items() if effect}


def summed(found: Sequence[dict[str, Any]], null: Sequence[dict[str, Any]], effects: dict[str, float]) -> dict[str, Any]:
    """Bias, coverage, false alarms and power over the studies."""
    n, out = len(found), dict[str, Any]()
    for model in MODELS:
        rows = {}
        for name, true in effects.items():
            values = np.array([one[model][name]["estimate"] for one in found])
            inside = [one[model][name]["low"] <= true <= one[model][name]["high"] for one in found]
            noise = float(values.std(ddof=1) / true / np.sqrt(n))
            rows[name] = {"true": true, "bias": float(values.mean() / true - 1), "noise": noise, "coverage": float(np.mean(inside))}
        held = [one[model][name]["low"] <= 0 <= one[model][name]["high"] for one in null for name in effects]
        pooled = {"pooled": float(np.mean([row["coverage"] for row in rows.values()])), "no effect": float(np.mean(held))}
        out[model] = {"effects": rows, **pooled}
    tests = {"Kruskal-Wallis on rows": "kruskal", **{name: name for name in MODELS[:3]}}
    out["tests"] = {}
    for name, key in tests.items():
        with_, without = ([one["kruskal"] if key == "kruskal" else one["joint"][key] for one in group] for group in (found, null))
        out["tests"][name] = {"power": float(np.mean(np.array(with_) < 0.05)), "false alarms": float(np.mean(np.array(without) < 0.05))}
    out["variances"] = {name: float(np.mean([one["variances"][name] for one in found])) for name in found[0]["variances"]}
    return out


def run(simulations: int, jobs: int) -> dict[str, Any]:
    """Every scenario, with and without effects."""
    results: dict[str, Any] = {"simulations": simulations, "scenarios": {}}
    with ProcessPoolExecutor(jobs) as pool:
        for name, options in SCENARIOS.items():
            groups = []
            for effects in (True, False):
                tasks = [Task(seed, effects, **options) for seed in range(simulations)]
                groups.append(list(pool.map(analysed, tasks, chunksize=10)))
            results["scenarios"][name] = summed(*groups, truth(bool(options.get("rounded"))))
            show(name, results["scenarios"][name])
    return results


def show(name: str, found: dict[str, Any]) -> None:
    print(f"\n{name}")
    for model in MODELS:
        rows = found[model]["effects"].items()
        each = "  ".join(f"{name} bias {100 * row['bias']:+.1f} % covered {100 * row['coverage']:.1f} %" for name, row in rows)
        print(f"  {model:13} {each}  all {100 * found[model]['pooled']:.1f} %, no effect {100 * found[model]['no effect']:.1f} %")
    for test, rates in found["tests"].items():
        print(f"  {test:24} false alarms {100 * rates['false alarms']:.1f} %  power {100 * rates['power']:.1f} %")
    print("  variances", {key: round(value, 3) for key, value in found["variances"].items()}, flush=True)


def draw(results: dict[str, Any], path: Path) -> None:
    """Coverage by model, and false alarms by test, for every scenario."""
    from shrinklm.report.figures import styled
    from shrinklm.report.plots import Drawn, canvas
    from shrinklm.report.style import MUTED, PAGE, colour, mark

    names = {"explanations": "people, questions, explanations", "questions": "people, questions", "people": "people", "rows": "none: rows"}
    tests = {"explanations": "explanations", "questions": "questions", "people": "people", "Kruskal-Wallis on rows": "rows"}

    def drawn() -> list[Drawn | None]:
        figure, panels = canvas(PAGE, 2.7, 1, 2)
        for y, entry in enumerate(results["scenarios"].values()):
            for rank, model in enumerate(MODELS):
                at = y + 0.17 * (rank - 1.5)
                n = results["simulations"]
                shares = [100 * entry[model]["pooled"]]
                panels[0].plot(shares, [at], mark(rank), color=colour(rank), label=names[model] if y == 0 else None, zorder=3)
                test = next(name for name, of in tests.items() if of == model)
                value = entry["tests"][test]["false alarms"]
                half = 196 * np.sqrt(max(value * (1 - value), 1e-9) / n)
                panels[1].plot([100 * value - half, 100 * value + half], [at, at], color=colour(rank), linewidth=1.1, zorder=2)
                panels[1].plot([100 * value], [at], mark(rank), color=colour(rank), zorder=3)
        labels = ("Intervals that hold the truth, %", "False alarms at 5 % (rows: Kruskal–Wallis), %")
        for axes, x, label in zip(panels, (95, 5), labels, strict=True):
            axes.axvline(x, color=MUTED, linewidth=0.8, zorder=1)
            axes.set_yticks(range(len(results["scenarios"])), list(results["scenarios"]))
            axes.set_ylim(len(results["scenarios"]) - 0.5, -0.5)
            axes.tick_params(axis="y", length=0)
            axes.set_xlabel(label)
            axes.grid(axis="x")
        panels[0].axvspan(93, 97, color=MUTED, alpha=0.12, linewidth=0)
        panels[1].set_yticklabels([])
        figure.legend(loc="outside upper left", ncols=4, handlelength=1.2, title="Levels in the model", alignment="left")
        return [Drawn("recovery", "", "", "", True, figure)]

    (made,) = styled(drawn)
    path.write_bytes(made.png)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=500)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--figure", type=Path)
    asked = parser.parse_args()
    results = run(asked.simulations, asked.jobs)
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=1) + "\n")
    if asked.figure:
        draw(results, asked.figure)
    bad = []
    for name, entry in results["scenarios"].items():
        for effect, row in entry["explanations"]["effects"].items():
            if abs(row["bias"]) > 0.05:
                bad.append(f"{name}: bias of {effect} {100 * row['bias']:+.1f} %")
            if not 0.93 <= row["coverage"] <= 0.97:
                bad.append(f"{name}: coverage of {effect} {100 * row['coverage']:.1f} %")
    if bad:
        sys.exit("\n".join(["must hold, and does not:", *bad]))


if __name__ == "__main__":
    main()
