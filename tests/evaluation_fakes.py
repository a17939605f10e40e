"""A task and a student without a model, for the tests of evaluation."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from shrinklm.core.types import Example, Pair, Split, Tick
from shrinklm.tasks.base import split_answer


def questions(count: int) -> list[Example]:
    """Questions whose gold answer is the option (b)."""
    return [
        Example(f"q{i}", f"Which is number {i}?", (f"zero {i}", f"gold {i}", f"other {i}"), f"gold {i}")
        for i in range(count)
    ]


class FakeTask:
    name = "fake"
    type = "choice"

    def __init__(self, examples: Sequence[Example] = ()) -> None:
        self._examples = examples

    def examples(self, split: Split) -> Iterator[Example]:
        return iter(self._examples)

    def parse(self, text: str, example: Example) -> str | None:
        said = split_answer(text)[1].strip().rstrip(".")
        return next((choice for choice in example.choices if choice == said), None) if example.choices else said or None


class FakeStudent:
    """Answers by rule, remembers what it was asked, and writes it to `log` so that another process can read it."""

    premise_in_target = False

    def __init__(
        self, log: Path | None = None, delay: float = 0.0, texts: dict[str, str] | None = None, likes: str = "gold"
    ) -> None:
        self.log, self.delay, self.texts, self.likes = log, delay, texts or {}, likes
        self.asked: list[tuple[str, int, int]] = []
        self.pairs: list[Pair] = []

    def answer(self, prompts: Sequence[str], max_tokens: int, batch: int = 32, tick: Tick | None = None) -> list[str]:
        self.asked += [(prompt, max_tokens, batch) for prompt in prompts]
        if self.log is not None:
            with self.log.open("a") as file:
                file.writelines(f"{batch} {prompt.splitlines()[0]} {prompt.splitlines()[-1]}\n" for prompt in prompts)
        time.sleep(self.delay * len(prompts))
        return [self._say(prompt) for prompt in prompts]

    def _say(self, prompt: str) -> str:
        tag = prompt.splitlines()[-1]
        number = int(re.search(r"number (\d+)", prompt)[1])
        option = f"gold {number}" if number % 3 else f"zero {number}"
        words = {
            "[predict]": f"The answer is {option}.",
            "[explain]": f"Because {option} is it.",
            "[factual]": f"Because {option} is it. So the answer is {option}.",
            "[justify]": f"The answer is {option}. Since the answer is other {number} for fools.",
        }
        return self.texts.get(tag, words.get(tag, option))

    def likelihood(self, pairs: Sequence[Pair], batch: int = 32) -> list[float]:
        self.pairs += pairs
        return [-1.0 * len(pair.target) + (10.0 if self.likes in pair.target else 0.0) for pair in pairs]

    def token_count(self, text: str) -> int | None:
        return len(text.split())
