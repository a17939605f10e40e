"""Explanations whose worth to a simulator is known, simulators that learn and one that cannot."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from shrinklm.core.files import Part
from shrinklm.core.types import Example, Prediction
from shrinklm.evaluation.metrics.base import SimulateSettings
from shrinklm.evaluation.simulate import VIEWS, masked, simulatability, simulated, trained
from shrinklm.methods.corpus import Corpus
from shrinklm.methods.view import Method
from shrinklm.stats import las
from student_cases import opened, train_settings

OPTIONS = ("red", "green", "blue", "black")
QUESTIONS = [Example(f"q{i}", f"What about {i}?", OPTIONS, "red") for i in range(80)]
ANSWERS = {one.id: random.Random(one.id).choice(OPTIONS) for one in QUESTIONS}
"""What the student answers: nothing that stands in the question tells."""


def says(explain: Callable[[Example, str], str | None]) -> list[Prediction]:
    return [Prediction("cell", one.id, ANSWERS[one.id], explain(one, ANSWERS[one.id]), "") for one in QUESTIONS]


def leaking(example: Example, answer: str) -> str:
    return f"It must be {answer}"


def helping(example: Example, answer: str) -> str:
    """A code that only the question opens: the answer's place, moved on by the question's number."""
    return f"Step {(OPTIONS.index(answer) + int(example.id[1:])) % 4}"


def idle(example: Example, answer: str) -> str:
    return "This is what people often say"


@dataclass
class Scripted:
    """A simulator that reads what is there: names, and the code where it also sees the question; else it guesses."""

    learns: bool = True
    premise_in_target: bool = False

    def likelihood(self, pairs, batch=32):
        return [0.0 if pair.option == self._guess(pair.prompt) else -10.0 * len(pair.target) for pair in pairs]

    def _guess(self, prompt: str) -> str:
        number, code = re.search(r"about (\d+)", prompt), re.search(r"Step (\d)", prompt)
        named = re.search(r"must be (\w+)", prompt)
        if self.learns and named and named[1] in OPTIONS:
            return named[1]
        if self.learns and number and code:
            return OPTIONS[(int(code[1]) - int(number[1])) % 4]
        return "red"


def simulate(tmp_path: Path, predictions, learns=True, fit=None, **more):
    taught = []

    def scripted(corpus: Corpus, method, fold: int) -> Scripted:
        taught.append({one.id for one in corpus.examples})
        return Scripted(learns)

    part = Part(tmp_path / "simulator.part", "k")
    settings = SimulateSettings(**{"folds": 2, "seed": 0, "masked": False, "batch": 32, **more})
    scores = simulatability.simulate(QUESTIONS, predictions, fit or scripted, settings, part)
    found = {name: {score.example_id: score.value for score in scores if score.metric == name} for name in VIEWS}
    return {name: [values[key] for key in sorted(values)] for name, values in found.items() if values}, taught


def measured(scores, masked_too=""):
    return las(scores["sim_question"], scores[f"sim_explanation{masked_too}"], scores[f"sim_both{masked_too}"])


def test_an_explanation_that_leaks_gains_nothing_by_it(tmp_path):
    scores, _ = simulate(tmp_path, says(leaking), masked=True)
    found = measured(scores)
    assert (found.leakage, found.empty) == (1, "not leaking")
    assert found.simulatability > 0.5  # without regard to leaks it looks excellent
    assert found.value != found.value  # NaN
    blank = measured(scores, "_masked")
    assert blank.simulatability == 0  # nothing is left of it without the option's name


def test_an_explanation_that_helps_with_the_question_is_worth_its_gain(tmp_path):
    scores, _ = simulate(tmp_path, says(helping))
    found = measured(scores)
    share = sum(answer == "red" for answer in ANSWERS.values()) / 80
    assert found.leakage == pytest.approx(share)  # by guessing
    assert found.not_leaking.difference == 1
    assert found.value == pytest.approx(0.5)  # nothing to gain where the guess was right
    assert found.low > 0.4


def test_an_idle_explanation_and_a_simulator_that_cannot_learn_are_worth_nothing(tmp_path):
    for name, predictions, learns in (
        ("idle", says(idle), True),
        ("cannot", says(helping), False),
        ("leak", says(leaking), False),
    ):
        found = measured(simulate(tmp_path / name, predictions, learns)[0])
        assert (found.value, found.low, found.high, found.simulatability) == (0, 0, 0, 0)
        assert found.empty == ""


def test_no_question_is_simulated_by_what_learned_from_it(tmp_path):
    seen = {}

    class Watching(Scripted):
        def __init__(self, fold):
            super().__init__()
            self.fold = fold

        def likelihood(self, pairs, batch=32):
            for pair in pairs:
                if number := re.search(r"about (\d+)", pair.prompt):
                    seen.setdefault(f"q{number[1]}", set()).add(self.fold)
            return super().likelihood(pairs, batch)

    taught = {}

    def fit(corpus, method, fold):
        taught[fold] = {one.id for one in corpus.examples}
        return Watching(fold)

    simulate(tmp_path, says(helping), fit=fit, folds=3)
    assert seen.keys() == set(ANSWERS)
    for example_id, folds in seen.items():
        assert len(folds) == 1
        assert example_id not in taught[folds.pop()]
    assert {len(ids) for ids in taught.values()} <= {53, 54}


def test_a_killed_simulation_fits_only_what_is_left(tmp_path):
    whole, _ = simulate(tmp_path / "whole", says(helping))
    fitted = []

    def killed(corpus, method, fold):
        fitted.append(fold)
        if fold:
            raise KeyboardInterrupt
        return Scripted()

    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path, says(helping), fit=killed)
    again, taught = simulate(tmp_path, says(helping))
    assert again == whole
    assert (fitted, len(taught)) == ([0, 1], 1)


def test_what_each_view_shows():
    (one,) = simulated(QUESTIONS[:1], [Prediction("c", "q0", "green", "Grass is green (b), so", "")])
    corpus = Corpus([one], {})
    method = Method("simulator", dict.fromkeys(VIEWS.values(), 0.2), VIEWS["sim_question"], None)
    shown = {item.view.name: item.pair for item in corpus.pairs(method, 0, 0)}
    options = "Choices: (a) red (b) green (c) blue (d) black"
    assert {pair.target for pair in shown.values()} == {"The answer is green."}
    assert shown["sim-question"].prompt == f"Question: What about 0?\n{options}\n[sim-question]"
    assert (
        shown["sim-explanation"].prompt
        == f"Question: \n{options}\nExplanation: Grass is green (b), so.\n[sim-explanation]"
    )
    assert (
        shown["sim-both"].prompt
        == f"Question: What about 0?\n{options}\nExplanation: Grass is green (b), so.\n[sim-both]"
    )
    assert "Explanation: Grass is _ _, so.\n" in shown["sim-both-masked"].prompt
    assert "Explanation: Grass is _ _, so.\n" in shown["sim-explanation-masked"].prompt


def test_only_what_was_explained_and_answered_is_simulated():
    said = [
        Prediction("c", "q0", "green", None, ""),
        Prediction("c", "q1", None, "Why", "", "blue"),
        Prediction("c", "q2", None, "Why", ""),
        Prediction("c", "q3", "black", "", ""),
    ]
    assert [(one.id, one.answer) for one in simulated(QUESTIONS, said)] == [("q1", "blue"), ("q3", "black")]


def test_a_single_explained_question_is_not_simulated(tmp_path):
    assert simulate(tmp_path, says(leaking)[:1])[0] == {}


def test_letters_and_names_are_masked_as_whole_words():
    assert (
        masked("Option (b) or Bank accounts, not a bank account (z).", ("bank", "bank account"))
        == "Option _ or _ accounts, not a _ (z)."
    )


@pytest.mark.slow
def test_the_training_loop_fits_a_simulator_that_reads_a_leak(tmp_path):
    """A real, tiny model: what it reads in the explanation gives the answer away, and nothing else does."""
    code = {"red": "stop ", "green": "grass ", "blue": "sea ", "black": "night "}
    settings = train_settings(examples=480, batch=4, learning_rate=1e-2, checkpoints=0, curve=0, precision="fp32")
    fit = trained(lambda: opened(), settings, tmp_path / "simulator")
    scores, _ = simulate(tmp_path, says(lambda example, answer: 8 * code[answer]), fit=fit)
    assert sum(scores["sim_explanation"]) / 80 > 0.7
    assert sum(scores["sim_question"]) / 80 < 0.5
