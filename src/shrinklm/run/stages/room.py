"""Whether questions fit into what the students read, before texts about them are paid for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ...core.errors import MethodError
from ...core.types import Example, Generation, Pair, Sampling, Source, Split, Task, Tick
from ...evaluation.ask import EvaluateSettings, Evaluation, tell_long
from ...methods.view import Draw, Method, View
from ...students.open import always_opens, outline
from ...teachers.steps import STEPS
from ..folder import Cell
from ..recipe import Recipe
from ..students import SHORTEST_CAP

if TYPE_CHECKING:
    from ...students.base import BaseStudent

_LOOKED = 1000
"""Questions of a split that are looked at where some of them fit; all of them are where none does."""
_LEAST = 1024
"""Tokens that the student of random weights reads at least."""
_BESIDE = 200
"""Bytes of a prompt and a target beside the question, at most, where it is certain that all fits."""
_NOBODY = Source("", "", Sampling(), 0, "", 0, 0, "")


def check_room(
    recipe: Recipe,
    task: Task,
    cells: Sequence[Cell],
    questions: Mapping[Split, Sequence[Example]],
    outlines: Mapping[str, BaseStudent],
    tick: Tick,
) -> None:
    """Raises MethodError where no training question can fit in a view that a student learns, and StudentError where no
    test question can be asked; tells how many cannot where it is some.

    What is counted is the least that a pair can take: the view's prompt and its answer, with no words of a teacher.
    `outlines` are of the students that are to be opened, but for some that always can be.
    """
    train, tests = questions["train"], questions["test"]
    for student in recipe.student:
        own = {cell.method.name: cell for cell in cells if cell.student == student and cell.opens}
        spec = student.spec(recipe.train.max_length)
        texts = [example.text for example in (*_some(train), *_some(tests))]
        cap = recipe.evaluate.max_tokens or 2 * SHORTEST_CAP
        longest = 2 * (max((len(text.encode()) for text in texts), default=0) + _BESIDE) + cap
        # Then nobody has to load torch to know.
        if not own or (always_opens(spec) and longest <= min(recipe.train.max_length, _LEAST)):
            continue
        model = outlines.get(student.label) or outline(spec, recipe.root)
        for cell in own.values():
            if train:
                _check_views(model, cell.method, student.label, train, tick)
            if tests:
                _check_asked(Evaluation(model, task, cell.method, cell.name, _least(cell, recipe)), tests, tick)


def _check_views(student: BaseStudent, method: Method, label: str, train: Sequence[Example], tick: Tick) -> None:
    most = student.max_length
    for view in method.views:
        looked = _some(train)
        long = sum(not _fits(student, least_pair(view, example)) for example in looked)
        if long == len(looked):
            shortest = None
            for example in train:
                size = student.length(least_pair(view, example))
                shortest = size if shortest is None else min(shortest, size)
                if size <= most:
                    break
            assert shortest is not None
            if shortest > most:
                advice = (
                    f"Write: train: {{max_length: {2 * shortest}}}"
                    if 2 * shortest <= student.positions
                    else "Take a student that reads more, or shorter questions"
                )
                raise MethodError(
                    f"Method '{method.name}': of {len(train):,} training questions none fits into the {most:,} tokens "
                    f"that '{label}' is trained on. The shortest takes {shortest:,} in the view '{view.name}', without "
                    f"any words of a teacher. {advice}."
                )
        if long:
            note = f"{long:,} of {len(looked):,} training questions do not fit into {most:,} tokens in the view"
            tick(f"{method.name} {label}", 0, 0, f"{note} '{view.name}'; they are left out of it")


def _least(cell: Cell, recipe: Recipe) -> EvaluateSettings:
    # The longest text that it is trained on decides later, and is no shorter than this.
    cap = recipe.evaluate.max_tokens or (SHORTEST_CAP if cell.method.views else 2 * SHORTEST_CAP)
    return EvaluateSettings(cap, recipe.evaluate.batch, recipe.evaluate.explanations)


def _check_asked(evaluation: Evaluation, tests: Sequence[Example], tick: Tick) -> None:
    looked = _some(tests)
    tokens = evaluation.answer_tokens(looked)
    long = sum(not evaluation.fits(example, tokens) for example in looked)
    if long == len(looked) and any(evaluation.fits(example, tokens) for example in tests):
        return  # none of those that were looked at, but others: `train` counts them
    if long:
        tell_long(evaluation, long, len(looked), tick, "test")


def _fits(student: BaseStudent, pair: Pair) -> bool:
    # No tokenizer makes more tokens than bytes, but for a few of its own: most texts need not be tokenised.
    written = len(pair.prompt.encode()) + len(pair.target.encode())
    return 2 * written + 16 <= student.max_length or student.length(pair) <= student.max_length


def least_pair(view: View, example: Example) -> Pair:
    """The shortest pair that a view can make of an example: of a teacher's text nothing but a full stop."""
    prompt = Pair(view.prompt(example), "", "")
    if any(STEPS[kind].marks for kind in view.needs):
        return prompt
    # An answer that a teacher gives, and one that it is still to give, may be any option.
    own = min(example.choices, key=len, default="")
    texts = {
        (kind, answer): Generation(example.id, kind, answer or own, ".", "", (), _NOBODY, "")
        for kind in view.needs
        for answer in STEPS[kind].answers(example)
    }
    try:
        pair = view.pair(example, texts, Draw(0, 0, 0, (example, texts)))
    except Exception:  # a view of somebody's own may ask more of a text
        return prompt
    return pair if isinstance(pair, Pair) else prompt


def _some(examples: Sequence[Example]) -> Sequence[Example]:
    """At most so many of the examples, evenly from all of them."""
    return examples[:: -(-len(examples) // _LOOKED)] if examples else examples
