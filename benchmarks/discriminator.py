"""Does the interval of the metric `discriminator` hold the area, and how often does it find what is not there?

python benchmarks/discriminator.py [--samples 200] [--pairs 100] [--seed 0]
python benchmarks/discriminator.py --columns few_shot_positive_rationale few_shot_revision [--file TABLE.parquet]

Made-up texts of 12 words by two hands that prefer different words of thirty, in pairs. In some of the pairs the two are
exchanged: in half of them the texts are of one distribution and the true area is one half; in fewer, the mean over all
samples stands in for the true area. A second line cuts the texts of one hand short in the same way. With --columns the
metric tells two columns of a table apart, the test questions of the data where they lie at hand.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from shrinklm.core.types import Example, Prediction
from shrinklm.evaluation.metrics.discriminator import discriminator
from shrinklm.models.ngrams import ngram_likeness
from shrinklm.stats import discriminate

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SHARES = (0.5, 0.4, 0.25, 0.0)
"""Pairs that are exchanged."""
_WORDS = np.array([f"{first}{second}" for first in ("ba", "ko", "mi", "ne", "su") for second in "dglnrt"])
_TASTE = 0.5
"""How far the two hands differ: the standard deviation of a word's log-odds."""


def texts(pairs: int, exchanged: float, lengths: tuple[int, int], rng: np.random.Generator) -> list[str]:
    """The first and the second text of each pair, in turn."""
    taste = np.random.default_rng(1).normal(0, _TASTE, len(_WORDS))
    chances = [np.exp(sign * taste) / np.exp(sign * taste).sum() for sign in (1, -1)]
    said = []
    for swap in rng.random(pairs) < exchanged:
        both = [" ".join(rng.choice(_WORDS, size, p=p)) for size, p in zip(lengths, chances, strict=True)]
        said += both[::-1] if swap else both
    return said


def columns(path: Path, first: str, second: str) -> None:
    """The scores of the metric, the texts of one column as explanations and of the other as references."""
    import pyarrow.parquet as pq

    rows = [
        (
            Example(str(number), "", (), "", meta={"reference": row[first]}),
            Prediction("table", str(number), None, row[second], ""),
        )
        for number, row in enumerate(pq.read_table(path, columns=[first, second]).to_pylist())
    ]
    found = [value for value in discriminator.together(rows) if isinstance(value, dict)]
    figures = ", ".join(f"{name} {np.mean([value[name] for value in found]):.3f}" for name in found[0])
    print(f"{second} beside {first}, {len(found):,} questions: {figures}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a line for each share and length."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--columns", nargs=2)
    parser.add_argument("--file", type=Path, default=DATA / "cqa-llama2" / "test.parquet")
    options = parser.parse_args(arguments)
    if options.columns:
        return columns(options.file, *options.columns)
    rng = np.random.default_rng(options.seed)
    folds = [pair % 5 for pair in range(options.pairs)]
    for lengths in ((12, 12), (12, 9)):
        for share in SHARES:
            found = [
                discriminate(ngram_likeness(texts(options.pairs, share, lengths, rng)), folds, relabelled=99)
                for _ in range(options.samples)
            ]
            areas = np.array([each.area for each in found])
            errors = np.array([each.components.std(ddof=1) for each in found]) / math.sqrt(options.pairs)
            truth = 0.5 if share == 0.5 else areas.mean()
            held = np.mean(np.abs(areas - truth) <= 1.96 * errors)
            told = np.mean([each.p <= 0.05 for each in found])
            print(
                f"{lengths[0]} and {lengths[1]} words, {share:.0%} exchanged: area {areas.mean():.3f} "
                f"(sd {areas.std():.3f}, error {errors.mean():.3f}), held by {held:.1%}, p at most 0.05 in {told:.1%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
