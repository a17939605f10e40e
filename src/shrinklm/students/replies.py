"""Replies of a student to the prompts of a view. A cap on an explanation does not cut the answer behind it.

Where a view explains before it answers, a reply that its cap cut is closed as the view closes an explanation, and the
answer is asked for with a budget of its own. The replies that were not cut are not asked again.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..core.types import Example, Reply
from ..core.words import END
from ..methods.view import View
from ..tasks.answers import after_answer
from ..tasks.literal import STATEMENT, begun_literally, possible_answers
from ..tasks.spelling import canonical

if TYPE_CHECKING:
    from .protocol import Student


@dataclass(frozen=True)
class Said:
    """A student's reply to the prompt of a view."""

    raw: str
    """All of it; an explanation that was cut is closed in it, and the answer follows."""
    cut: bool
    """Whether the cap cut the explanation in it."""
    finished: bool
    """Whether the reply, or the answer that was asked for behind a cut explanation, ended by itself."""


def say(
    student: Student, view: View, examples: Sequence[Example], max_tokens: int, answer_tokens: int, batch: int
) -> list[Said]:
    """The student's reply to each example under a view.

    Args:
        student: Replies.
        view: Its prompts; says whether an answer follows an explanation.
        examples: The questions.
        max_tokens: Cap of a reply.
        answer_tokens: Cap of the answer where it is asked for once more, behind a cut explanation.
        batch: Questions in one pass.
    """
    if not getattr(student, "writes", True):
        chosen: list[Said] = student.say(view, examples, batch)  # type: ignore[attr-defined]
        return chosen
    prompts = [view.prompt(example) for example in examples]
    first = replies(student, prompts, max_tokens, batch)
    said = [Said(reply.text, "explanation" in view.says and not reply.finished, reply.finished) for reply in first]
    if view.says[0] != "explanation" or "answer" not in view.says:
        return said
    begun = {
        index: _closed(view, example, reply.text)
        for index, (example, reply) in enumerate(zip(examples, first, strict=True))
        if not reply.finished
    }
    # What goes on after an answer, until its cap, is not missed.
    said = [
        replace(reply, cut=False, finished=True) if begun.get(index, "") is None else reply
        for index, reply in enumerate(said)
    ]
    cut = {index: closed for index, closed in begun.items() if closed is not None}
    # One further pass, for these alone: where nothing was cut, it costs nothing.
    starts = [start for start, _ in cut.values()]
    again = replies(student, [prompts[index] for index in cut], answer_tokens, batch, starts)
    for (index, (start, in_explanation)), reply in zip(cut.items(), again, strict=True):
        said[index] = Said(f"{start} {reply.text}".strip(), in_explanation, reply.finished)
    return said


def replies(
    student: Student, prompts: Sequence[str], max_tokens: int, batch: int, begun: Sequence[str] = ()
) -> list[Reply]:
    """The continuation of each prompt, and whether it ended by itself.

    `begun`: the words that each reply begins with; what is returned goes on after them.
    """
    if not prompts:
        return []
    if own := getattr(student, "replies", None):
        continued: list[Reply] = own(prompts, max_tokens, batch, begun=begun)
        return continued
    # A student of somebody's own may only answer: then the tokens of its text tell whether the cap cut it.
    if not begun:
        texts = student.answer(prompts, max_tokens, batch=batch)
    elif "begun" in inspect.signature(student.answer).parameters:
        texts = student.answer(prompts, max_tokens, batch=batch, begun=begun)
    else:
        asked = [f"{prompt} {words}" for prompt, words in zip(prompts, begun, strict=True)]
        texts = student.answer(asked, max_tokens, batch=batch)
    # Where it counts no tokens either, nothing is known of its cap.
    counts = map(getattr(student, "token_count", lambda text: None), texts)
    return [Reply(text, count is None or count < max_tokens) for text, count in zip(texts, counts, strict=True)]


def goes_on(student: Student) -> bool:
    """Whether a student can go on after given words: an encoder–decoder needs a way to write them itself."""
    return bool(getattr(student, "replies", None)) or not student.premise_in_target


def _closed(view: View, example: Example, raw: str) -> tuple[str, bool] | None:
    """(the words before the answer of a reply that was cut, whether that was in its explanation); None if answered."""
    if _answered(view, example, raw):
        return None
    before, lead, _ = raw.rpartition(view.lead) if view.lead else ("", "", raw)
    # The explanation had ended, and the cap cut the answer: that is written anew from its first word.
    if lead:
        return before + lead, False
    explanation = _without_part_of(view.lead, raw)
    return view.closes(example, explanation), explanation == raw


def _answered(view: View, example: Example, raw: str) -> bool:
    """Whether a reply that was cut had stated its answer before."""
    answers = possible_answers(example, view.letters)
    _, lead, rest = raw.rpartition(view.lead) if view.lead else ("", "", raw)
    statements = [(match[0], raw[match.end() :]) for match in STATEMENT.finditer(raw)] + (
        [(lead, rest)] if lead else []
    )
    if any(begun_literally(said, answer.lstrip(), answers) for said, answer in statements):
        return True
    # By the view's own words alone: "the answer is surely near water. It" may stand in any explanation. "St." may be
    # the beginning of "St. Paul".
    begins_one = any(canonical(option).startswith(canonical(rest)) for option in view.options(example).values())
    return bool(lead) and not begins_one and bool(after_answer(rest.strip(), answers).strip() or "\n" in rest.strip())


def _without_part_of(lead: str, raw: str) -> str:
    """A reply without the first words of `lead` at its end, where a sentence ends before them."""
    for size in range(len(lead), 0, -1):
        before = raw[: len(raw) - size].rstrip()
        if raw.endswith(f" {lead[:size]}") and any(match.end() == len(before) for match in END.finditer(before)):
            return before
    return raw
