"""Toy tasks on which what a method adds must beat the same method without it, at equal exposure."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shrinklm.core.types import Example, Pair
from shrinklm.evaluation.metrics.base import Condition
from shrinklm.evaluation.probes import framed
from shrinklm.methods.builtin import EXPLAIN, FACTUAL
from shrinklm.methods.corpus import Corpus
from shrinklm.methods.spec import method
from student_cases import generation, opened, train_settings

WORDS = ["stone", "river", "apple", "cloud", "paper", "light", "water", "house", "green", "north", "music", "bread"]
NAMES, OPTIONS = ("sun", "sea"), ("red", "blue")
Say = Callable[[random.Random, Example], str]


def questions(say: Say, count: int = 8) -> Corpus:
    """Questions whose first word decides the answer; `say` writes their explanations."""
    draw, examples, texts = random.Random(0), [], {}
    for number in range(count):
        right = draw.randrange(2)
        example = Example(f"q{number}", f"{NAMES[right]} {draw.choice(WORDS)}?", OPTIONS, OPTIONS[right])
        examples.append(example)
        wrong = example.wrong[0]
        texts[example.id] = {
            ("explanation", example.answer): generation(example, "explanation", example.answer, say(draw, example)),
            ("trace", ""): generation(
                example, "trace", example.answer, f"{noise(draw, example)} {noise(draw, example)}"
            ),
            ("counterfactual", wrong): generation(example, "counterfactual", wrong, f"It must be {wrong}."),
        }
    return Corpus(examples, texts)


def trained(folder: Path, name: str, corpus: Corpus, examples: int = 64) -> Any:
    from shrinklm.students.training.train import train_student

    settings = train_settings(examples=examples, batch=8, learning_rate=5e-3, precision="fp32", checkpoints=0, curve=0)
    return train_student(opened, corpus, method(name), settings, folder / name.replace(":", "-"))[0].eval()


def noise(draw: random.Random, example: Example) -> str:
    return " ".join(draw.choice(WORDS) for _ in range(8)) + "."


def noise_with_the_answer(draw: random.Random, example: Example) -> str:
    said = [draw.choice(WORDS) for _ in range(7)]
    said[draw.randrange(7)] = example.answer
    return " ".join(said) + "."


def plain(draw: random.Random, example: Example) -> str:
    return f"It must be {example.answer}."


def of_the_answer(student: Any, corpus: Corpus) -> float:
    """Σ log p of the right answers behind the teacher's explanations."""
    pairs = []
    for item in (corpus.pairs(method("explain-then-answer"), index, 0)[0] for index in range(len(corpus.examples))):
        start = item.pair.target.rindex(item.pair.option)
        pairs.append(Pair(item.pair.prompt, item.pair.target, "", (start, start + len(item.pair.option))))
    return sum(student.likelihood(pairs))


def of_the_answer_alone(student: Any, corpus: Corpus) -> float:
    """Σ log p of what a student says that answers at once."""
    prompts = [FACTUAL.prompt(example) for example in corpus.examples]
    targets = [FACTUAL.states(example.answer) for example in corpus.examples]
    return sum(student.likelihood([Pair(*each) for each in zip(prompts, targets, strict=True)]))


def of_the_keypoint(student: Any, corpus: Corpus) -> float:
    """Σ log p of the option's name inside the explanations."""
    pairs = []
    for example in corpus.examples:
        text = corpus.generations[example.id]["explanation", example.answer].text
        start = text.index(example.answer)
        pairs.append(Pair(EXPLAIN.prompt(example), text, "", (start, start + len(example.answer))))
    return sum(student.likelihood(pairs))


def of_the_explanation(student: Any, corpus: Corpus) -> float:
    """Σ log p of what people are to be told."""
    told = [corpus.pairs(method("multitask"), index, 0)[1].pair for index in range(len(corpus.examples))]
    return sum(student.likelihood(told))


def of_the_wrong(student: Any, corpus: Corpus) -> float:
    """Σ log p of a wrong option behind an explanation of it that is given as the student's own words."""
    pairs = []
    for example in corpus.examples:
        given = Condition(f"It must be {example.wrong[0]}.", "[counterfactual]")
        prompt, before = framed(method("counterfactual"), example, given)
        target = f"{before} {example.wrong[0]}."
        pairs.append(Pair(prompt, target, "", (len(before) + 1, len(target) - 1)))
    return sum(student.likelihood(pairs))


@pytest.mark.parametrize(
    ("name", "control", "say", "figure"),
    [
        ("explain-then-answer:thought=0.05", "explain-then-answer", noise, of_the_answer),
        ("explain-then-answer:internalised=1", "explain-then-answer", plain, of_the_answer_alone),
        ("multitask:keypoints=5", "multitask", noise_with_the_answer, of_the_keypoint),
        ("trace+explanation", "trace-then-answer", plain, of_the_explanation),
        ("counterfactual:counterfactual=prefix", "counterfactual", plain, of_the_wrong),
    ],
)
def test_what_a_method_adds_helps_where_it_should(
    tmp_path: Path, name: str, control: str, say: Say, figure: Callable[[Any, Corpus], float]
) -> None:
    corpus = questions(say)
    figures = [figure(trained(tmp_path, each, corpus), corpus) for each in (name, control)]
    assert figures[0] > figures[1] + 0.5, figures
