"""How far what the teachers of a question say agrees with its answer, and with one another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from ...core.types import Example, Generation, that_counts
from ...evaluation.metrics.mentions import supported
from ...methods.chances import ALONE, chances
from ...methods.view import Generations
from ...methods.weighing import Figures
from ...teachers.steps import STEPS

Claim = Mapping[str, float]
"""Answer → its probability; what is left of 1 is for answers that are not known."""


def agreement(
    example: Example, kind: str, answer: str, texts: Sequence[Generation], known: Generations
) -> Iterator[Figures]:
    """The figures of each sample of a question.

    `gold`: the probability of the answer that the text is about, by what its teacher claims. `others`: the mean, over
    the samples of other teachers, of Σ over answers of both probabilities; of the other samples where there is one
    teacher. `texts`: the usable samples of its teacher.

    A teacher claims what its own labels of the question say: their mean distribution where they come with
    log-probabilities of all options, else the share of each answer. Where it has none, and of texts about wrong
    options, a text claims the option that it argues for. One that argues for none claims all options alike.
    """
    labels = {} if STEPS[kind].about == "wrong" else _labels(example, known)
    wanted = answer or example.answer
    claims = [labels.get(writer(text)) or _argued(example, text, wanted) for text in texts]
    writers = [writer(text) for text in texts]
    alone = len(set(writers)) == 1
    for place, (mine, claim) in enumerate(zip(writers, claims, strict=True)):
        others = [
            math.fsum(claim[each] * other.get(each, 0.0) for each in claim)
            for number, (theirs, other) in enumerate(zip(writers, claims, strict=True))
            if number != place and (alone or theirs != mine)
        ]
        yield {
            "gold": claim.get(wanted, 0.0),
            "others": math.fsum(others) / len(others),
            "texts": float(writers.count(mine)),
        }


def writer(text: Generation) -> str:
    """Who wrote a text: its name in the recipe where several teachers take a step, else the model."""
    return text.by or f"{text.source.teacher} {text.source.revision}".strip()


def _labels(example: Example, known: Generations) -> dict[str, Claim]:
    """Teacher → what its labels of a question claim."""
    label = known.get(("label", ""))
    texts: dict[str, list[Generation]] = {}
    for text in label.texts if label is not None else ():
        if not text.refusal and text.answer:
            texts.setdefault(writer(text), []).append(text)
    return {name: _claimed(example, each) for name, each in texts.items()}


def _claimed(example: Example, texts: Sequence[Generation]) -> Claim:
    found = chances(that_counts(texts), example.choices) if example.choices else ALONE
    if not isinstance(found, str):
        return found
    answers = [text.answer for text in texts]
    return {answer: answers.count(answer) / len(answers) for answer in answers}


def _argued(example: Example, text: Generation, wanted: str) -> Claim:
    if not example.choices:  # a free answer has no options that could be told apart
        return {wanted: 1.0} if wanted.casefold() in text.text.casefold() else {}
    option = text.answer if text.kind == "label" else supported(text.text, example)
    options = list(dict.fromkeys(example.choices))
    return {option: 1.0} if option in options else dict.fromkeys(options, 1 / len(options))
