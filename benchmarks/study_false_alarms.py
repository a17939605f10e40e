"""How often models of ratings find a difference between conditions where there is none, counted over simulated studies.

    python benchmarks/study_false_alarms.py 200

Each question is shown in one condition (nested), or in all (crossed); explanations differ. Against the model that the
analysis takes (the levels that the design tells apart) stands the one with a level for people alone. Ordinal models
take longer, and are counted over a fifth of the studies.
"""

from __future__ import annotations

import sys

import numpy as np

from shrinklm.stats import wilson
from shrinklm.study.analysis.models import linear_mixed, ordinal_mixed
from shrinklm.study.analysis.ratings import Ratings, ratings_of

PEOPLE, CONDITIONS, QUESTIONS, EACH = 24, "ABC", 30, 4
SPREADS = {"person": 0.5, "explanation": 0.5, "rating": 0.6}


def study(nested: bool, rng: np.random.Generator) -> Ratings:
    """Ratings from 1 to 5 of a study without a difference: everybody rates `EACH` explanations of every condition."""
    quality = SPREADS["explanation"] * rng.standard_normal((QUESTIONS, len(CONDITIONS)))
    rows = []
    for person in range(PEOPLE):
        level, order = SPREADS["person"] * rng.standard_normal(), rng.permutation(QUESTIONS)
        for at, condition in enumerate(CONDITIONS):
            questions = order[order % len(CONDITIONS) == at][:EACH] if nested else order[at * EACH : (at + 1) * EACH]
            for question in questions:
                value = 3.4 + level + quality[question, at] + SPREADS["rating"] * rng.standard_normal()
                cells = {"model": condition, "who": f"p{person}", "item": f"q{question}"}
                rows.append((f"row {len(rows)}", {**cells, "Clear": float(np.clip(np.round(value), 1, 5))}))
    return ratings_of("simulated", rows, "model", "who", ["Clear"], item="item")


def main(studies: int) -> None:
    """Count and print."""
    models = {"linear": linear_mixed, "ordinal": ordinal_mixed}
    for nested in (True, False):
        design = "each question in one condition" if nested else "each question in every condition"
        print(f"{design}; {PEOPLE} people, {len(CONDITIONS)} conditions, {QUESTIONS} questions, {EACH} ratings of each")
        rng = np.random.default_rng(0)
        tables = [study(nested, rng) for _ in range(studies)]
        for kind, fit in models.items():
            some = tables if kind == "linear" else tables[: -(-studies // 5)]
            for name, levels in (("people alone", ["person"]), ("as analysed", None)):
                hits = sum(fit(one, "Clear", one.values["Clear"], levels=levels).joint.p < 0.05 for one in some)
                low, high = wilson(hits, len(some))
                print(f"  {kind}, {name}: {hits} of {len(some)} ({low:.1%} to {high:.1%})", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
