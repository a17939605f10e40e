"""How often Levene's test finds cells to differ in spread where none does, by how many seeds the cells have.

python benchmarks/false_spreads.py 1500
"""

from __future__ import annotations

import sys

import numpy as np
from scipy.stats import levene

from shrinklm.stats import wilson

SIZES = ((5, 5, 5, 5), (3, 3, 3, 3), (2, 3, 3, 3), (2, 2, 3, 3), (2, 2, 2, 3), (2, 3), (2, 5))


def main(tables: int) -> None:
    """Count and print."""
    rng = np.random.default_rng(0)
    for sizes in SIZES:
        found = [levene(*(rng.normal(size=n) for n in sizes), center="median").pvalue < 0.05 for _ in range(tables)]
        low, high = wilson(sum(found), tables)
        print(f"{', '.join(map(str, sizes))}: {sum(found) / tables:.1%} ({low:.1%} to {high:.1%})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1500)
