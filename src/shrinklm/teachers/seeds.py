"""The seed and the temperature of every text of a question: its samples, and the tries of each."""

from __future__ import annotations

WARM = 0.7
"""The least temperature of a text that must differ from a greedy one: of a retry, and of a further sample."""
RETRY_SEED = 1000
"""Added to the seed at each retry: far enough that a retry is not the first try of a run with one of the next seeds."""
SAMPLE_SEED = 15_485_863
"""Added to the seed for each further sample, whose retries add `RETRY_SEED` to that. The millionth prime: more than any
number of retries adds up to, and no distance between two seeds that people choose, so that no sample is a retry, or a
text of another run."""
MOST_SAMPLES = 100
"""Some servers take seeds below 2^31 only."""


def seed_of(seed: int, sample: int, attempt: int) -> int:
    """The seed of a try.

    Args:
        seed: The recipe's.
        sample: Counts the texts of a question from 0.
        attempt: Counts the tries of a text from 0.
    """
    return seed + sample * SAMPLE_SEED + attempt * RETRY_SEED


def temperature_of(temperature: float, sample: int, attempt: int) -> float:
    """The temperature of a try: the recipe's, but `WARM` where a greedy text would be the one that is there already.

    Arguments as of `seed_of`.
    """
    if attempt:
        return max(temperature, WARM)
    return WARM if sample and not temperature else temperature
