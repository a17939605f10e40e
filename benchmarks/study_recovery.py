"""Does the analysis find what was put in? Studies of made-up people with known effects, and a spread of people,
questions and explanations.

python benchmarks/study_recovery.py [--simulations 150] [--only NAME] [--jobs 2] [--json FILE] [--figure FILE]

Each simulation draws people, questions and explanations anew, hands them out by the package's own booklets (12 items a
person; 48 people, 48 questions and 4 conditions where nothing else is said), and analyses the ratings by the package's
own models. What must hold, of the model that `study analyze` reports: bias of each effect below 5 %, 95 % intervals
that hold the truth in 93 to 97 % of the studies, and 5 % false alarms, each within what the simulations leave open.
Beside it stand the same model with fewer levels, least squares on rows, and the Kruskal-Wallis test on rows, in studies
with the effects and in studies without any. Power is told of half the effects: the whole ones are found nearly always.
docs/recovery.md says what came out.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm

from shrinklm.report.look.numbers import MINUS
from shrinklm.stats.groups import kruskal
from shrinklm.stats.linear_mixed import Method
from shrinklm.study.analysis.base import as_json
from shrinklm.study.analysis.levels import identified
from shrinklm.study.analysis.models import linear_mixed, regression
from shrinklm.study.analysis.ratings import Array, Ratings
from shrinklm.study.design.booklets import Design

Found = dict[str, Any]

CONDITIONS = ("A", "B", "C", "D")
EFFECTS = {"A": 0.0, "B": 0.25, "C": 0.4, "D": 0.6}
PERSON, QUESTION, EXPLANATION, RATING = 0.5, 0.3, 0.25, 0.7
"""Standard deviations, in points."""
MEAN = 3.3
MODELS = ("all levels", "without taste", "people", "rows")
"""All levels that the design tells apart, as `study analyze` reports; without those of people in a condition; people
alone; least squares on rows."""
TESTS = (*MODELS[:3], "Kruskal–Wallis")
"""That the conditions differ: F of each model; the test on rows."""
SHARES = (0.0, 1.0, 0.5)
"""Of the effects; the place is part of the seed."""
SCENARIOS: dict[str, dict[str, Any]] = {
    "complete": {},
    "one in five leaves half way": {"leave": 0.2},
    "one in five ratings missing": {"missing": 0.2},
    "rounded to 1-5": {"rounded": True},
    "explanations alike": {"explanation": 0.0},
    "people differ in taste": {"taste": 0.3},
    "two conditions": {"taste": 0.3, "conditions": 2, "raters": 6},
    "24 people": {"taste": 0.3, "questions": 24},
    "12 people": {"taste": 0.3, "questions": 12},
    "12 people, Kenward–Roger": {"taste": 0.3, "questions": 12, "degrees": "kenward-roger"},
    "one rating an explanation": {"taste": 0.15, "questions": 144, "raters": 1, "rounded": True},
    "each question in one condition": {"taste": 0.3, "nested": True},
    "unequal numbers a person": {"unequal": True},
    "one condition a person": {"between": True},
}
HELD = tuple(SCENARIOS)[:12]
"""Where it must hold. The rest shows what comes of studies that this package does not make."""


@dataclass(frozen=True)
class Task:
    """One simulated study."""

    seed: int
    share: float
    """Of the effects that there are."""
    leave: float = 0.0
    """Share of people who stop half way."""
    missing: float = 0.0
    """Share of ratings that are not there."""
    rounded: bool = False
    explanation: float = EXPLANATION
    unequal: bool = False
    """Each person rates conditions in shares drawn from all shares alike."""
    between: bool = False
    taste: float = 0.0
    """Standard deviation of what a person thinks of a condition."""
    conditions: int = len(CONDITIONS)
    questions: int = 48
    raters: int = 3
    """Ratings of an explanation, so that there are questions × conditions × raters / 12 people."""
    nested: bool = False
    """Each question is shown in one condition only."""
    degrees: Method = "satterthwaite"


def study(task: Task) -> Ratings:
    """The ratings of one study."""
    rng = np.random.default_rng([task.seed, SHARES.index(task.share)])
    names = CONDITIONS[: task.conditions]
    pool = tuple(f"q{at}" for at in range(task.questions))
    design = Design("rating", names, pool, (), 12, task.raters, 0, 5, task.seed)
    # Of nested questions there is one for each condition.
    question = {(q, c if task.nested else ""): rng.normal(0, QUESTION) for q in pool for c in names}
    explanation = {(q, c): rng.normal(0, task.explanation) for q in pool for c in names}
    people, items, conditions, values = [], [], [], []
    for seat in range(design.people):
        level, leaves = rng.normal(0, PERSON), rng.random() < task.leave
        weights = rng.dirichlet(np.ones(len(names))) if task.unequal else None
        taste = dict(zip(names, task.taste * rng.standard_normal(len(names)), strict=True))
        pages = design.booklet(seat)
        for page in pages[: len(pages) // 2] if leaves else pages:
            if task.missing and rng.random() < task.missing:
                continue
            condition = names[seat % len(names)] if task.between else page.treatment[0]
            if weights is not None:
                condition = names[int(rng.choice(len(names), p=weights))]
            asked = page.question, condition if task.nested else ""
            value = MEAN + level + question[asked] + explanation[page.question, condition] + rng.normal(0, RATING)
            values.append(value + task.share * EFFECTS[condition] + taste[condition])
            people.append(f"p{seat}")
            items.append("".join(asked))
            conditions.append(condition)
    made: Array = np.array(values)
    if task.rounded:
        made = np.clip(np.round(made), 1, 5)
    places = tuple(str(at) for at in range(len(made)))
    labels = (tuple(conditions), tuple(people), tuple(items))
    return Ratings(
        "simulated", "model", "CASE", "item", ("Quality",), (1, 5), names, places, *labels, {"Quality": made}, {}
    )


def analysed(task: Task) -> dict[str, Any]:
    """What the models and the test say of one study: with the whole effects also least squares, with half only what
    power is told of."""
    ratings = study(task)
    values = ratings.values["Quality"]
    found: dict[str, Any] = {"p": {"rows": kruskal(ratings.by_condition(values)).p}}
    every = identified(ratings, range(ratings.n))
    levels = dict(zip(MODELS, (every, [level for level in every if level != "taste"], ["person"]), strict=False))
    for name in MODELS[:1] if task.share == 0.5 else MODELS[:3]:
        fit = linear_mixed(ratings, "Quality", values, levels=levels[name], degrees=task.degrees)
        found[name] = {effect.condition: as_json(effect) for effect in fit.effects if effect.condition is not None}
        found["p"][name] = fit.joint.p
        found.setdefault("variances", fit.variances)
    if task.share == 1.0:
        found["rows"] = {
            entry.term.removeprefix("model"): as_json(entry)
            for entry in regression(ratings, "Quality", values).coefficients[1:]
        }
    return found


def truth(rounded: bool, taste: float = 0.0, conditions: int = len(CONDITIONS)) -> dict[str, float]:
    """The effects as ratings show them. The mean of a rounded one is 1 + Σ P(more than k + 1/2) over the steps k."""
    means = {name: MEAN + EFFECTS[name] for name in CONDITIONS[:conditions]}
    if rounded:
        spread = np.sqrt(PERSON**2 + QUESTION**2 + EXPLANATION**2 + RATING**2 + taste**2)
        means = {name: 1 + float(norm.sf(np.arange(1.5, 5), mean, spread).sum()) for name, mean in means.items()}
    return {name: mean - means["A"] for name, mean in means.items() if name != "A"}


def summed(
    whole: Sequence[Found], none: Sequence[Found], half: Sequence[Found], effects: Mapping[str, float]
) -> dict[str, Any]:
    """Bias and coverage where there are effects, false alarms where there are none, power of half of them; each with
    its standard error."""
    out: dict[str, Any] = {}
    for model in MODELS:
        rows, inside = {}, {}
        for name, true in effects.items():
            values = np.array([one[model][name]["estimate"] for one in whole]) / true
            inside[name] = np.array([one[model][name]["low"] <= true <= one[model][name]["high"] for one in whole])
            bias = {"bias": float(values.mean() - 1), "bias_se": float(values.std(ddof=1) / np.sqrt(len(values)))}
            rows[name] = {"true": true, **bias, "coverage": float(inside[name].mean())}
        alarms = share([one["p"][model] < 0.05 for one in none])
        out[model] = {
            "effects": rows,
            "coverage": share(np.mean(list(inside.values()), axis=0)),
            "false_alarms": alarms,
        }
    for model in (MODELS[0], MODELS[-1]):
        out[model]["power"] = share([one["p"][model] < 0.05 for one in half])
    out["variances"] = {
        name: float(np.mean([one["variances"][name] for one in whole])) for name in whole[0]["variances"]
    }
    return out


def share(found: Sequence[float] | Array) -> dict[str, float]:
    """A mean over the studies and its standard error."""
    return {"value": float(np.mean(found)), "se": float(np.std(found, ddof=1) / np.sqrt(len(found)))}


def run(simulations: int, jobs: int, only: Sequence[str] = ()) -> dict[str, Any]:
    """Every scenario with the effects, without, and with half of them."""
    results: dict[str, Any] = {"simulations": simulations, "scenarios": {}}
    with ProcessPoolExecutor(jobs) as pool:
        for name, options in SCENARIOS.items():
            if only and name not in only:
                continue
            start = time.perf_counter()
            tasks = [Task(seed, part, **options) for part in (1.0, 0.0, 0.5) for seed in range(simulations)]
            found = list(pool.map(analysed, tasks, chunksize=10))
            whole, none, half = (found[at : at + simulations] for at in range(0, len(found), simulations))
            taste, conditions = options.get("taste", 0.0), options.get("conditions", len(CONDITIONS))
            effects = truth("rounded" in options, taste, conditions)
            results["scenarios"][name] = summed(whole, none, half, effects)
            print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return results


def tables(results: Mapping[str, Any]) -> str:
    """What must hold, and what the other ways make of the same studies."""

    def percents(*values: float) -> str:
        return " · ".join(f"{100 * value:.1f}" for value in values)

    effects = [name for name, effect in EFFECTS.items() if effect]
    lines = [
        f"| study | {' | '.join(f'bias {name}, %' for name in effects)} | "
        f"{' | '.join(f'covered {name}, %' for name in effects)} |"
    ]
    lines.append("|---|" + "---:|" * 2 * len(effects))
    for name, entry in results["scenarios"].items():
        rows = entry[MODELS[0]]["effects"]
        biases = [
            f"{100 * rows[effect]['bias']:+.1f} ± {196 * rows[effect]['bias_se']:.1f}".replace("-", MINUS)
            if effect in rows
            else "–"
            for effect in effects
        ]
        covered = [percents(rows[effect]["coverage"]) if effect in rows else "–" for effect in effects]
        lines.append(f"| {' | '.join([name, *biases, *covered])} |")
    heads = (
        "study",
        f"covered, %: {' · '.join(MODELS)}",
        f"false alarms, %: {' · '.join(TESTS)}",
        f"power, %: {TESTS[0]} · {TESTS[-1]}",
    )
    lines += ["", f"| {' | '.join(heads)} |", "|---|---:|---:|---:|"]
    for name, entry in results["scenarios"].items():
        cells = [
            [entry[model][key]["value"] for model in MODELS if key in entry[model]]
            for key in ("coverage", "false_alarms", "power")
        ]
        lines.append(f"| {name} | {' | '.join(percents(*values) for values in cells)} |")
    return "\n".join(lines)


def broken(results: Mapping[str, Any]) -> list[str]:
    """What must hold and does not, by more than the simulations leave open (two standard errors)."""
    found = []
    for name in HELD:
        if name not in results["scenarios"]:
            continue
        model = results["scenarios"][name][MODELS[0]]
        for effect, row in model["effects"].items():
            if abs(row["bias"]) - 2 * row["bias_se"] >= 0.05:
                found.append(f"{name}: bias of {effect} {100 * row['bias']:+.1f} %")
        covered, alarms = model["coverage"], model["false_alarms"]
        if not 0.93 - 2 * covered["se"] <= covered["value"] <= 0.97 + 2 * covered["se"]:
            found.append(f"{name}: coverage {100 * covered['value']:.1f} %")
        if abs(alarms["value"] - 0.05) > max(2.6 * alarms["se"], 0.01):
            found.append(f"{name}: false alarms {100 * alarms['value']:.1f} %")
    return found


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Coverage, false alarms and power, by what the analysis knows of."""
    from shrinklm.report.look.axes import canvas
    from shrinklm.report.look.figures import Drawn, styled
    from shrinklm.report.look.style import GRID, MUTED, PAGE, PAPER, colour, mark

    names = (
        "all levels (study analyze)",
        "without people in a condition",
        "people",
        "none: rows as independent",
    )
    panel = {
        "coverage": "95 % intervals that hold the truth, %",
        "false_alarms": "False alarms of a test at 5 %, %\n(rows: Kruskal–Wallis)",
        "power": "Half the effects found, %\n(hollow: too many false alarms)",
    }

    def drawn() -> list[Drawn | None]:
        figure, panels = canvas(PAGE, 5.6, 1, 3)
        last = len(results["scenarios"]) - 1
        for axes, (key, label) in zip(panels, panel.items(), strict=True):
            for y, entry in enumerate(results["scenarios"].values()):
                for rank, model in enumerate(MODELS):
                    if key not in entry[model]:
                        continue
                    at, value, half = (
                        y + 0.18 * (rank - 1.5),
                        100 * entry[model][key]["value"],
                        196 * entry[model][key]["se"],
                    )
                    low = max(value - half, 0.3 if key == "false_alarms" else 0)
                    axes.plot([low, min(value + half, 100)], [at, at], color=colour(rank), linewidth=1.0, zorder=2)
                    alarms = entry[model]["false_alarms"]
                    hollow = (
                        key == "power" and alarms["value"] - 1.96 * alarms["se"] > 0.05
                    )  # finds more for it finds what is not there
                    face = PAPER if hollow else colour(rank)
                    axes.plot(
                        [value], [at], mark(rank), color=colour(rank), markersize=3.6, markerfacecolor=face, zorder=3
                    )
            for y in range(last):
                edge = list(results["scenarios"])[y] == HELD[-1]
                axes.axhline(y + 0.5, color=MUTED if edge else GRID, linewidth=0.8 if edge else 0.5, zorder=0)
            axes.set_yticks(range(last + 1), list(results["scenarios"]) if key == "coverage" else [])
            axes.set_ylim(last + 0.5, -0.5)
            axes.tick_params(axis="y", length=0)
            axes.set_xlabel(label)
            axes.grid(axis="x")
        panels[0].axvspan(93, 97, color=MUTED, alpha=0.15, linewidth=0)
        panels[0].axvline(95, color=MUTED, linewidth=0.8, zorder=1)
        panels[1].axvline(5, color=MUTED, linewidth=0.8, zorder=1)
        panels[1].set_xscale("log")
        panels[1].set_xticks((1, 2, 5, 10, 20, 50, 100), ("1", "2", "5", "10", "20", "50", "100"))
        panels[1].minorticks_off()
        panels[2].set_xlim(0, 100)
        from matplotlib.lines import Line2D

        keys = [
            Line2D([], [], color=colour(rank), marker=mark(rank), markersize=4, label=name)
            for rank, name in enumerate(names)
        ]
        title = "Levels that the analysis knows of"
        figure.legend(handles=keys, loc="outside upper left", ncols=4, handlelength=1.4, title=title, alignment="left")
        return [Drawn("recovery", "", "", "", True, figure)]

    (made,) = styled(drawn)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(made.png)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=150)
    parser.add_argument("--only", action="append", default=[], choices=SCENARIOS, help="this scenario; repeat for more")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--figure", type=Path)
    asked = parser.parse_args()
    results = run(asked.simulations, asked.jobs, asked.only)
    print(tables(results))
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if asked.figure:
        draw(results, asked.figure)
    if bad := broken(results):
        sys.exit("\n".join(["must hold, and does not:", *bad]))


if __name__ == "__main__":
    main()
