"""Controls for marked words: words drawn at random, and words that are rare in the data. Neither asks a model."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence

from ..core.marking import mark, words
from ..core.types import Completion, Example, Prompt, Sampling, digest
from ..teachers.base import BaseTeacher


class _Control(BaseTeacher):
    """A teacher that marks words and costs nothing."""

    # It is asked without `shrinklm generate`, wherever its markings are missing.
    free = True

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        """Markings as JSON, in order."""
        for index, prompt in enumerate(prompts):
            yield index, Completion(mark(prompt.example, self.scores(prompt.example), prompt.answer).dump())

    def scores(self, example: Example) -> list[float]:
        """One score for each of `words(example)`."""
        raise NotImplementedError


class Chance(_Control):
    """Every word gets a random score, seeded by the question."""

    name, revision = "random", ""

    def __init__(self, seed: int = 0) -> None:
        self.asks = {"method": "random", "seed": seed}
        self.seed = seed

    def scores(self, example: Example) -> list[float]:
        """Uniform in [0, 1); a word that stands twice draws once, or it would be kept too often."""
        draw = random.Random(digest(self.seed, example.text))
        scores: dict[str, float] = {}
        return [scores.setdefault(word.text.lower(), draw.random()) for word in words(example)]


class Counts(_Control):
    """tf-idf: tf × (ln((1 + N) / (1 + df)) + 1) over the given questions (Salton and Buckley 1988, smoothed)."""

    name = "tf-idf"

    def __init__(self, examples: Sequence[Example]) -> None:
        self.size = len(examples)
        self.documents = Counter(
            word for example in examples for word in {word.text.lower() for word in words(example)}
        )
        """df: word → questions that hold it."""
        self.asks = {"method": "tf-idf"}
        # The counts are this teacher's weights: other data are another teacher.
        self.revision = digest(self.size, sorted(self.documents.items()))

    def scores(self, example: Example) -> list[float]:
        """tf-idf of each word, never 0."""
        spelled = [word.text.lower() for word in words(example)]
        times = Counter(spelled)
        return [times[word] * (math.log((1 + self.size) / (1 + self.documents[word])) + 1) for word in spelled]
