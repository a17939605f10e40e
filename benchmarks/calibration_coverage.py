"""Does the interval of a calibration error hold the true error? Made-up answers whose confidences are too high.

python benchmarks/calibration_coverage.py [--samples 400] [--resamples 1000] [--seed 0]

Confidences lie between 30 and 100 %; an answer is right with that chance less 0, 5, 15 or 30 points, which is the true
error but for the few chances that would fall below 0. Counted over samples of 100, 300 and 1,000 answers: how often the
95 % interval of `shrinklm.stats.calibration_error` holds it, and the mean error less what the same number of answers
shows by chance.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from shrinklm.stats import calibration_error

SIZES, ERRORS = (100, 300, 1000), (0.0, 0.05, 0.15, 0.3)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a line for each size and error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    rng = np.random.default_rng(options.seed)
    for size in SIZES:
        for error in ERRORS:
            held, surplus = 0, 0.0
            for _ in range(options.samples):
                confidence = 0.3 + 0.7 * rng.beta(4, 1.5, size)
                right = (rng.random(size) < confidence - error).astype(float)
                found = calibration_error(confidence, right, resamples=options.resamples)
                held += found.low <= error <= found.high
                surplus += (found.value - found.noise) / options.samples
            print(
                f"{size} answers, {100 * error:.0f} points off: held by {held / options.samples:.1%} of "
                f"{options.samples} intervals; above chance by {100 * surplus:.1f} points",
                flush=True,
            )


if __name__ == "__main__":
    main()
