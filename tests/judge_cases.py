"""Judges that judge by rule, and a run of two methods whose explanations were written by hand: no model anywhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from shrinklm import Recipe, Run
from shrinklm.core.results import write_predictions, write_scores
from shrinklm.core.types import Completion, Prediction, Prompt, Sampling, Score

SHORT, LONG = "multitask", "multitask:revised"


class Scripted:
    """Says what its rule says, and counts what it was asked."""

    def __init__(self, name: str, rule: Callable[[Prompt], str], revision: str = "") -> None:
        self.name, self.rule, self.revision = name, rule, revision
        self.asked: list[Prompt] = []

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        for position, prompt in enumerate(prompts):
            self.asked.append(prompt)
            yield position, Completion(self.rule(prompt), 10, 5)


def explained(prompt: Prompt) -> list[str]:
    """The explanations that a prompt shows, in order."""
    return re.findall(r'(?:that was given|explained): "(.*)"', prompt.turns[-1].text)


def filled(prompt: Prompt, score: Callable[[str], int]) -> str:
    """The form of a rating, with one score everywhere."""
    form = [line.partition(":")[0] for line in prompt.turns[-1].text.splitlines() if "<evidence>" in line]
    return "\n".join(
        f'{head}: It says "{explained(prompt)[0][:10]}". Score: {score(explained(prompt)[0])}' for head in form
    )


def _longest(prompt: Prompt) -> str:
    texts = explained(prompt)
    if len(texts) == 2:
        return f"A: long.\nB: long.\nBetter: {'A' if len(texts[0]) > len(texts[1]) else 'B'}"
    return filled(prompt, lambda text: min(5, 1 + len(text) // 25))


def _position(prompt: Prompt) -> str:
    return (
        "A: it stands first.\nB: it stands second.\nBetter: A"
        if len(explained(prompt)) == 2
        else filled(prompt, lambda text: 3)
    )


def longest() -> Scripted:
    """Likes the longest, always."""
    return Scripted("longest-liker", _longest)


def unreadable() -> Scripted:
    """Gives no score."""
    return Scripted("rambler", lambda prompt: "There is much to be said on both sides of this explanation.")


def position_a() -> Scripted:
    """Prefers what stands first, whatever it is."""
    return Scripted("first-liker", _position)


def fair() -> Scripted:
    """Likes explanations that say because."""
    return Scripted("fair", lambda prompt: filled(prompt, lambda text: 5 if "because" in text else 2))


def teacher_itself() -> Scripted:
    """The teacher of the run, from another place and under another spelling."""
    return Scripted("org/Fake", lambda prompt: filled(prompt, lambda text: 5))


def run_of(
    root: Path, explain: Callable[[str, int], str | None] | None = None, questions: int = 8, **judge: Any
) -> Run:
    """A run whose students answered by hand. `explain(method, place of the question)` says what they say."""
    recipe = {
        "name": "r",
        "task": {"use": "everyday", "limit": {"train": 4, "dev": 2, "test": questions}},
        "teacher": {"use": "fake"},
        "generate": ["explanation", "critique", "revision"],
        "methods": ["finetune", SHORT, LONG],
        "student": {"use": "tiny"},
        "judge": judge,
        "root": root,
    }
    run = Run(Recipe.parse(recipe))
    run.start()
    for cell in run.cells:
        predictions = []
        for place, example in enumerate(run.splits["test"]):
            explains = cell.method.name in (SHORT, LONG)
            text = (explain or _words)(cell.method.name, place) if explains else None
            answer = example.answer if place % 2 else example.wrong[0]
            predictions.append(Prediction(cell.name, example.id, answer, text, f"The answer is {answer}."))
        write_predictions(predictions, cell.folder / "predictions.parquet")
        right = [
            Score(cell.name, example.id, "accuracy", float(place % 2))
            for place, example in enumerate(run.splits["test"])
        ]
        write_scores(right, cell.folder / "scores.parquet")
    return run


def _words(method: str, place: int) -> str:
    reason = f"It fits case {place}, because people keep it there."
    return (
        reason
        if method == SHORT
        else f"{reason} The other choices are less at hand, so that nobody would look for it in any of them first."
    )


LONGEST, UNREADABLE, POSITION, FAIR, TEACHER = longest(), unreadable(), position_a(), fair(), teacher_itself()
"""What a recipe names: "judge_cases:FAIR"."""
