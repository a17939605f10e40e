"""How far what the teachers of a question say agrees with its answer, and with one another."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence

from ...core.types import Example, Generation, that_counts
from ...core.words import words
from ...evaluation.metrics.explanations import named
from ...evaluation.metrics.mentions import supported
from ...methods.chances import ALONE, chances
from ...methods.view import Generations
from ...methods.weighing import Figures
from ...tasks.literal import possible_answers
from ...teachers.steps import STEPS

Claim = Mapping[str, float]
"""Answer → its probability; what is left of 1 is for answers that are not known."""
_INSIDE = re.compile(r"(?<=\d)[.,](?=\d)")


def agreement(
    example: Example, kind: str, answer: str, texts: Sequence[Generation], known: Generations
) -> Iterator[Figures]:
    """The figures of each sample of a question.

    `gold`: the probability of the answer that the text is about, by what its teacher claims. `others`: the mean, over
    the samples of other teachers, of Σ over answers of both probabilities; of the other samples where there is one
    teacher. `texts`: the usable samples of its teacher.

    A teacher claims what its own labels of the question say: their mean distribution where they come with
    log-probabilities of all options, else the share of each answer. Where it has none, where it wrote all of the texts,
    and of texts about wrong options, a text claims the option that it argues for. One that argues for none claims all
    options alike. A label claims its own distribution or answer.
    """
    writers = [writer(text) for text in texts]
    alone = len(set(writers)) == 1
    # What a teacher answers does not tell its own texts apart.
    labels = [] if alone or kind == "label" or STEPS[kind].about == "wrong" else _labels(known)
    wanted = answer or example.answer
    claims = [_claim(example, text, wanted, labels) for text in texts]
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
    return text.by or model(text)


def model(text: Generation) -> str:
    """The model that wrote a text."""
    return f"{text.source.teacher} {text.source.revision}".strip()


def _labels(known: Generations) -> list[Generation]:
    """The labels of a question that state an answer."""
    label = known.get(("label", ""))
    return [text for text in (label.texts if label is not None else ()) if not text.refusal and text.answer]


def _same(text: Generation, label: Generation) -> bool:
    """Whether one teacher wrote both; a step that it takes alone does not say its name."""
    return text.by == label.by if text.by and label.by else model(text) == model(label)


def _claim(example: Example, text: Generation, wanted: str, labels: Sequence[Generation]) -> Claim:
    own = [text] if text.kind == "label" and text.answer else [label for label in labels if _same(text, label)]
    return _claimed(example, own) if own else _argued(example, text, wanted)


def _claimed(example: Example, labels: Sequence[Generation]) -> Claim:
    found = chances(that_counts(labels), example.choices) if example.choices else ALONE
    if not isinstance(found, str):
        return found
    answers = [_one_spelling(label.answer, example) for label in labels]
    return {answer: answers.count(answer) / len(answers) for answer in answers}


def _argued(example: Example, text: Generation, wanted: str) -> Claim:
    if not example.choices:  # a free answer has no options that could be told apart
        accepted = possible_answers(example) if wanted == example.answer else (wanted,)
        return {wanted: 1.0} if named(_row(text.text), [_row(each) for each in accepted]) else {}
    option = None if text.kind == "label" else supported(text.text, example)
    options = list(dict.fromkeys(example.choices))
    return {option: 1.0} if option in options else dict.fromkeys(options, 1 / len(options))


def _one_spelling(answer: str, example: Example) -> str:
    """An answer as all that mean it write it: an accepted free answer as the first of them."""
    if example.choices:
        return answer
    accepted = {_row(each) for each in possible_answers(example)}
    return example.answer if _row(answer) in accepted else _row(answer)


def _row(text: str) -> str:
    """The words of a text with single blanks between them, a number as one word."""
    # "3.5" is no "5".
    return " ".join(words(_INSIDE.sub("-", text))) or text.strip()
