"""Simulatability: whether an explanation lets another model, the simulator, predict the student's answer.

One simulator reads three inputs: the question, the explanation (with the options, without the question), or both (Hase
et al. 2020, arXiv 2010.04119: one model for all three). It is trained by the students' training loop on one student's
answers to some of the questions, and predicts the others, fold by fold, so that every explained question is scored by a
simulator that never saw it. `stats.las` turns its scores into simulatability and LAS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.files import Part
from ..core.names import replaced
from ..core.types import Example, Pair, Prediction, Score, Tick, by_id, digest, letter
from ..methods.corpus import Corpus
from ..methods.view import Draw, Generations, Method, View, sentence
from ..students.likeliest import likeliest, option_pairs
from ..students.room import fits
from .metrics.answers import normalise
from .metrics.base import Fit, SimulateSettings

if TYPE_CHECKING:
    from ..students.base import BaseStudent
    from ..students.protocol import Student
    from ..students.training.train import TrainSettings

_FREE_TOKENS = 24
"""Cap of a free answer, in tokens."""


def _prompt(view: View, example: Example) -> str:
    """The prompt of a view: question, explanation, or both."""
    question, explanation = _INPUTS[view.name]
    visible = example if question else replace(example, question="", fields={})
    return view.prompt(visible, str(example.meta.get(explanation, "")))


def _build(view: View, example: Example, generations: Generations, draw: Draw) -> Pair | str:
    return Pair(_prompt(view, example), view.states(example.answer), example.answer)


_INPUTS: Mapping[str, tuple[bool, str]] = {
    "sim-question": (True, ""),
    "sim-explanation": (False, "explanation"),
    "sim-both": (True, "explanation"),
    "sim-explanation-masked": (False, "masked"),
    "sim-both-masked": (True, "masked"),
}
"""View → (whether it shows the question, which entry of `Example.meta` it shows as the explanation)."""
VIEWS = {name.replace("-", "_"): View(name, _build) for name in _INPUTS}
"""Score → the view whose answer is compared."""


class Simulatability:
    """Whether a simulator that reads the question, the student's explanation, or both predicts the student's answer.

    sim_question, sim_explanation, sim_both (and sim_explanation_masked, sim_both_masked, where the names and letters of
    the options are blanked in the explanation): 1.0 when the simulator's likeliest option is the student's answer, else
    0.0. Simulatability is the mean of sim_both - sim_question; LAS (arXiv 2010.04119) is that mean taken within the
    items whose explanation gives the answer away (sim_explanation = 1) and within the rest, and then averaged, so that
    an explanation gains nothing by stating the answer: `stats.las`. Where the student's answer did not parse, its
    likeliest option is predicted.
    """

    def simulate(
        self,
        examples: Sequence[Example],
        predictions: Sequence[Prediction],
        fit: Fit,
        settings: SimulateSettings,
        part: Part,
        tick: Tick | None = None,
    ) -> list[Score]:
        """The scores of every explained question, by simulators fitted without its fold; none for a single question.

        Args:
            examples: The questions.
            predictions: One student's; those without an explanation are left out.
            fit: Trains a simulator; called once a fold.
            settings: Folds and views.
            part: A line for each finished fold, so that a killed evaluation resumes.
            tick: Called after each fold.
        """
        explained = simulated(examples, predictions)
        # One question alone leaves nothing to learn from.
        if len(explained) < 2:
            return []
        views = {name: view for name, view in VIEWS.items() if settings.masked or not name.endswith("masked")}
        # Equal weights: the simulator must not read one input better than another because it saw more of it.
        method = Method("simulator", dict.fromkeys(views.values(), 1 / len(views)), VIEWS["sim_question"], None)
        # Ids and seed alone decide the order: a fold is the same in every run, whatever order the data have.
        order = sorted(explained, key=lambda example: digest("fold", settings.seed, example.id))
        folds = min(settings.folds, len(order))
        for fold in range(folds):
            if fold >= len(part.chunks):
                # Every n-th question: the sizes of two folds differ by one at most.
                held_out = order[fold::folds]
                training = [example for index, example in enumerate(order) if index % folds != fold]
                simulator = fit(Corpus(training, {}, settings.seed), method, fold)
                right = {name: _right(simulator, view, held_out, settings.batch) for name, view in views.items()}
                part.add({"ids": [example.id for example in held_out], "right": right})
            if tick is not None:
                tick(f"simulate {predictions[0].run}", fold + 1, folds, "folds")
        return [
            Score(predictions[0].run, example_id, name, value)
            for chunk in part.chunks
            for name, values in chunk["right"].items()
            for example_id, value in zip(chunk["ids"], values, strict=True)
            if value is not None
        ]


def simulated(examples: Sequence[Example], predictions: Sequence[Prediction]) -> list[Example]:
    """The explained questions as a simulator learns them.

    `answer` is the student's; `meta` holds its explanation, plain and masked.
    """
    questions, explained = by_id(examples), []
    for prediction in predictions:
        # Where no answer parsed, the likeliest option is what the student prefers, and can be predicted as well.
        answer = prediction.answer or prediction.likeliest
        if prediction.explanation is not None and answer:
            example = questions[prediction.example_id]
            text = sentence(prediction.explanation.strip()) if prediction.explanation.strip() else ""
            meta = {"explanation": text, "masked": masked(text, (*example.choices, answer))}
            explained.append(replace(example, answer=answer, meta=meta))
    return explained


def masked(text: str, options: Sequence[str]) -> str:
    """`text` with "_" for each option that stands in it as whole words, and for each option's letter in brackets."""
    names = {option for option in options if option.strip()}
    letters = "|".join(letter(index) for index in range(len(names)))
    # The longest first: of "bank account" nothing may stay beside a masked "bank".
    return replaced(text, sorted(names), lambda name: "_", also=rf"\((?:{letters})\)")


def trained(
    open_student: Callable[[], BaseStudent],
    settings: TrainSettings,
    folder: Path,
    tick: Tick | None = None,
    what: str = "simulator",
) -> Fit:
    """A `Fit` that uses the students' training loop; each fold resumes from its checkpoints below `folder`."""

    def fit(corpus: Corpus, method: Method, fold: int) -> Student:
        from ..students.training.train import train_student

        def named(name: str, done: int, total: int, note: str) -> None:
            if tick is not None:
                tick(f"{name} {what} {fold + 1}", done, total, note)

        student, _ = train_student(open_student, corpus, method, settings, folder / f"fold-{fold}", tick=named)
        return student

    return fit


def _right(simulator: Student, view: View, examples: Sequence[Example], batch: int) -> list[float | None]:
    """1.0 for each example whose answer the simulator predicts, else 0.0; None where it is longer than that reads."""
    short = [
        fits(
            simulator,
            _prompt(view, example),
            2 if example.choices else _FREE_TOKENS,
            [f"{view.lead} {option}" for option in example.choices],
        )
        for example in examples
    ]
    values = iter(
        _predicted(simulator, view, [one for one, is_short in zip(examples, short, strict=True) if is_short], batch)
    )
    return [next(values) if is_short else None for is_short in short]


def _predicted(simulator: Student, view: View, examples: Sequence[Example], batch: int) -> list[float]:
    """`_right` of examples that fit."""
    prompts = [_prompt(view, example) for example in examples]
    groups = [
        option_pairs(prompt, view.lead, example.choices) for prompt, example in zip(prompts, examples, strict=True)
    ]
    options = likeliest(simulator, groups, batch)
    right = [float(option == example.answer) for option, example in zip(options, examples, strict=True)]
    # Free answers have no options to compare: the simulator's own words are compared with the student's.
    free = [index for index, example in enumerate(examples) if not example.choices]
    raws = simulator.answer([prompts[index] for index in free], _FREE_TOKENS, batch=batch) if free else []
    for index, raw in zip(free, raws, strict=True):
        right[index] = float(normalise(raw) == normalise(view.states(examples[index].answer)))
    return right


simulatability = Simulatability()
