"""What a student's replies say: the answer, the explanation, the likeliest option."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..core.types import Example, Prediction, Task
from ..methods.view import View
from ..students.likeliest import best, reason
from ..students.replies import Said
from ..tasks.answers import first_statement
from ..tasks.literal import STATEMENT
from ..tasks.unread import why_unread


def read_reply(task: Task, view: View, reply: Said, example: Example, run: str) -> Prediction:
    """The prediction in a student's reply to `view`'s prompt, without an explanation."""
    answer = read_answer(task, view, reply.raw, example)
    first = view.says[0] == "answer"
    unread = None if answer is not None else why_unread(reply.raw, example, first, reply.finished)
    return Prediction(run, example.id, answer, None, reply.raw, unread=unread, explanation_cut=reply.cut)


def scored(prediction: Prediction, likelihoods: Mapping[str, float], view: View) -> Prediction:
    """The prediction with Σ log p of each option in `view`, and the likeliest of them."""
    return replace(
        prediction,
        likeliest=best(likelihoods, per_character=not view.letters),
        likelihoods=tuple(likelihoods.values()),
        summed=view.letters,
    )


def by_likelihood(prediction: Prediction) -> Prediction:
    """The prediction whose answer is its likeliest option; as it is where there is none."""
    if prediction.likeliest is None:
        return prediction
    return replace(prediction, answer=prediction.likeliest, unread=None)


def explained_by(prediction: Prediction, view: View, reply: Said, example: Example) -> Prediction:
    """The prediction with the explanation in a student's reply to `view`'s prompt."""
    return replace(prediction, explanation=reason(view, reply.raw, example), explanation_cut=reply.cut)


def read_answer(task: Task, view: View, raw: str, example: Example) -> str | None:
    """The answer in a student's reply to `view`'s prompt, by the task's parser.

    A view that answers first is read at its first line, and before its explanation if it has one, so that neither a
    later "the answer is" nor a model that rambles on changes the answer; only when that states nothing is all of it
    read. A view that explains first is read behind its own lead where that is no "the answer is".
    """
    candidates = [raw]
    if view.says[0] == "answer":
        candidates.insert(0, raw.strip().partition("\n")[0])
    if view.says == ("answer", "explanation"):
        candidates.insert(0, first_statement(candidates[0], example, view.letters))
    if view.says[0] == "explanation" and view.lead in raw and not STATEMENT.search(view.lead):
        candidates.insert(0, raw.rpartition(view.lead)[2] if view.lead else raw)
    return next((answer for text in candidates if (answer := task.parse(text, example)) is not None), None)
