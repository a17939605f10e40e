"""Questions with several texts, good ones and garbage, and a student that has read such texts before."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from shrinklm.core.types import Example, Generation, that_counts
from shrinklm.methods.corpus import Corpus
from shrinklm.methods.spec import method
from student_cases import generation, opened, train_settings

FOOD = {"cat": "fish", "cow": "grass", "dog": "meat", "bear": "honey", "bird": "seeds", "mouse": "cheese"}
SAID = ("The {animal} eats {food}.", "It eats {food} as any {animal} does.", "A {animal} likes {food} best.")


def questions(first: int, count: int) -> list[Example]:
    """Questions about what animals eat, numbered from `first`."""
    animals = list(FOOD)
    return [
        Example(f"q{i}", f"What does {animals[i % 6]} number {i} eat?", tuple(FOOD.values()), FOOD[animals[i % 6]])
        for i in range(first, first + count)
    ]


def good(example: Example) -> list[str]:
    """Three good explanations of an answer."""
    animal = example.question.split()[2]
    return [text.format(animal=animal, food=example.answer) for text in SAID]


def garbage(example: Example) -> str:
    """Letters that say nothing, of the length of an explanation."""
    drawn = random.Random(example.id)
    return " ".join("".join(drawn.choices("bcdfghjkqvwxz", k=5)) for _ in range(6))


def several(example: Example, texts: list[str], by: list[str] | None = None) -> Generation:
    """The explanations of an answer, as samples."""
    made = [
        replace(generation(example, "explanation", example.answer, text), key=f"{example.id} {number}")
        for number, text in enumerate(texts)
    ]
    if by is not None:
        made = [replace(text, source=replace(text.source, teacher=name)) for text, name in zip(made, by, strict=True)]
    return that_counts(made)


def said(examples: list[Example], *, bad: bool) -> dict[str, Any]:
    """Three good explanations of each question, after one of garbage where `bad`."""
    return {
        example.id: {("explanation", example.answer): several(example, [garbage(example)] * bad + good(example))}
        for example in examples
    }


def trained(folder: Path, corpus: Corpus, spec: str = "multitask", use: str = "tiny", **settings: Any) -> Any:
    """A student after a short training on a corpus."""
    from shrinklm.students.training.train import train_student

    common = {"examples": 96, "batch": 8, "learning_rate": 3e-3, "precision": "fp32", "checkpoints": 0, "curve": 0}
    chosen = train_settings(corpus.seed, **{**common, **settings})
    return train_student(lambda: opened(use), corpus, method(spec), chosen, folder, None, None)[0].eval()


def reader(folder: Path) -> str:
    """The spec of a small student that has read explanations of other questions."""
    examples = questions(100, 24)
    student = trained(folder / "reading", Corpus(examples, said(examples, bad=False)), examples=192)
    student.save(folder / "reader")
    return f"causal:{folder / 'reader'}"
