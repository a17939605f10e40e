"""Does the threshold of a cascade keep its promise? Made-up students, whose temperature and threshold come from the
same dev questions.

python benchmarks/cascade_guarantee.py [--runs 1000] [--questions 200,500] [--seed 0]

A made-up student gives each question scores for five options. The right option is drawn from softmax(scores / T) of the
setting, which knows more than the student tells; what the student answers is its likeliest option, or with some chance
another. Each run draws dev questions, fits the temperature, picks the thresholds for an accuracy of 90 % and for a
share of 20 % passed on, and looks them up in 40,000 further questions, where the chance of each answer to be right is
known. Counted: how often the kept answers are less accurate, or more is passed on, than promised (at most 5 %), and
what is kept on average. Settings:

  overconfident  its scores are three times too large: the temperature does its work
  writes         in a tenth of the questions it writes another option than its likeliest
  flat           a confidence says nothing, and just less than 90 % of all answers are right
  peak           the most confident tenth of its answers is right in 85 % only: accuracy first rises, then falls
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shrinklm.stats import temperature, threshold_for_accuracy, threshold_for_budget, wilson

SETTINGS = ("overconfident", "writes", "flat", "peak")
GOAL, SHARE, LEVEL = 0.9, 0.2, 0.95
OPTIONS, POPULATION = 5, 40_000

Values = NDArray[np.float64]


def questions(setting: str, number: int, rng: np.random.Generator) -> tuple[Values, NDArray[np.int64], Values]:
    """(scores [number, options], the option that is answered, the chances of each option to be right)."""
    scores = rng.normal(0, 1, (number, OPTIONS))
    scores[:, 0] += rng.gamma(2, 1, number)  # some questions are easy
    scores = rng.permuted(scores, axis=1)
    answered = scores.argmax(axis=1)
    chances = shares(scores, 0.6)
    rows = np.arange(number)
    if setting == "overconfident":
        scores = 3 * scores
    elif setting == "writes":
        other = rng.random(number) < 0.1
        answered = np.where(other, rng.integers(0, OPTIONS, number), answered)
    else:
        top = shares(scores, 0.6).max(axis=1)
        right = np.full(number, GOAL - 0.0005) if setting == "flat" else np.where(top > 0.995, 0.85, 0.35 + 0.65 * top)
        chances = np.repeat(((1 - right) / (OPTIONS - 1))[:, None], OPTIONS, axis=1)
        chances[rows, answered] = right
    return scores, answered, chances


def shares(scores: Values, divisor: float) -> Values:
    """softmax(scores / divisor) of each row."""
    weights = np.exp((scores - scores.max(axis=1, keepdims=True)) / divisor)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def told(scores: Values, answered: NDArray[np.int64], divisor: float) -> Values:
    """The confidence in each answer."""
    return shares(scores, divisor)[np.arange(len(scores)), answered]


def count(setting: str, number: int, runs: int, seed: int) -> str:
    """One line about a setting."""
    rng = np.random.default_rng([seed, SETTINGS.index(setting), number])
    known, answers, chances = questions(setting, POPULATION, rng)
    certain = chances[np.arange(POPULATION), answers]
    below = beyond = found = 0
    kept: list[float] = []
    passed: list[float] = []
    for _ in range(runs):
        scores, answered, options = questions(setting, number, rng)
        luck = rng.random((number, 1))
        gold = np.minimum((np.cumsum(options, axis=1) < luck).sum(axis=1), OPTIONS - 1)
        divisor = temperature(list(scores), gold.tolist()).value or 1.0
        confidence, right = told(scores, answered, divisor), (answered == gold).astype(float)
        further = told(known, answers, divisor)
        accuracy = threshold_for_accuracy(confidence, right, GOAL, LEVEL).value
        if accuracy is not None:
            keeps = further >= accuracy
            found += 1
            below += bool(keeps.any()) and float(certain[keeps].mean()) < GOAL
            kept.append(float(keeps.mean()))
        budget = threshold_for_budget(confidence, right, SHARE, LEVEL).value or 0.0
        passed.append(float((further < budget).mean()))
        beyond += passed[-1] > SHARE
    low, high = wilson(below, runs)
    return (
        f"{setting}, {number} dev questions: below {GOAL:.0%} in {below / runs:.1%} ({low:.1%} to {high:.1%}) of "
        f"{runs} runs; a threshold in {found / runs:.0%}, which keeps {np.mean(kept) if kept else 0:.0%}; "
        f"more than {SHARE:.0%} passed on in {beyond / runs:.1%}, {np.mean(passed):.1%} on average"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a line for each setting and number of dev questions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--questions", default="200,500")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    for setting in SETTINGS:
        for number in map(int, options.questions.split(",")):
            print(count(setting, number, options.runs, options.seed), flush=True)


if __name__ == "__main__":
    main()
