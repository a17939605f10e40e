"""What is kept of a completion: its cleaned text, and the reason for which it is refused."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from ..core.errors import TeacherError
from ..core.types import Completion, Example, Generation, Prompt, that_counts
from ..core.words import words
from ..tasks.literal import possible_answers
from .ask import Reading
from .base import BaseTeacher
from .cleaning import clean
from .refusals import EMPTY, LONG, WRONG, assess, too_long
from .steps import Step

Slot = tuple[str, str, str]
"""(example, step, answer) of a text."""
Parse = Callable[[str, Example], str | None]


@dataclass(frozen=True)
class Item:
    """One text to be written: about an example, for an answer, from the texts that it builds on."""

    example: Example
    answer: str
    quoted: Mapping[str, str]
    """Step → its text."""
    parents: tuple[str, ...]

    def slot(self, step: Step) -> Slot:
        """Where its text belongs."""
        return self.example.id, step.name, self.answer


def read(item: Item, prompt: Prompt, completion: Completion, step: Step, parse: Parse, teacher: BaseTeacher) -> Reading:
    """The stored form of a completion: its cleaned text, and the reason for which it is refused."""
    if step.marks:
        return Reading(completion.text, completion.refusal, item.answer)
    if teacher.supposes:
        return Reading(completion.text, completion.refusal, _supposed(item))
    answer: str | None = item.answer
    if step.about == "own":
        text, _ = clean(completion.text, step.name)
        answer = None if completion.refusal else parse(text, item.example)
    # All but the last turn, the question: how much of it a text may repeat is a rule of its own in `assess`.
    hidden = [turn.text for turn in prompt.turns[:-1]]
    if "critique" in item.quoted:
        hidden.append(item.quoted["critique"])
    quoted = item.quoted.get("explanation", "")
    text, refusal = assess(prompt, completion, recorded=teacher.reads, hidden=hidden, quoted=quoted, answer=answer)
    return Reading(text, refusal, answer or "")


def _supposed(item: Item) -> str:
    """The answer of a stand-in: the one it was asked about, the right one, or any."""
    example = item.example
    return item.answer or example.answer or (example.choices[0] if example.choices else example.question)


def fitted(generation: Generation, item: Item, max_words: int | None, by: str = "", prompt: bool = True) -> Generation:
    """A stored generation for an item: it may be of an equal question, with another right answer, or of a request with
    another length cap. `by`: the teacher, where several take the step. Without `prompt` it holds none: see `Store.get`.
    """
    refusal = None if generation.refusal in (LONG, WRONG) else generation.refusal
    if refusal is None and too_long(generation.text, max_words):
        refusal = LONG
    if refusal is None and generation.kind == "trace" and not _right(item, generation.answer):
        refusal = WRONG
    asked = generation.prompt if prompt else ""
    return replace(generation, example_id=item.example.id, refusal=refusal, by=by, prompt=asked)


def join(
    known: dict[str, dict[tuple[str, str], Generation]],
    entered: Sequence[Mapping[str, Mapping[tuple[str, str], Generation]]],
    awaited: Collection[Slot],
) -> None:
    """Enter the texts of several teachers of one step, one after another, as the samples of their question.

    A question that waits for one of them has none yet. What two teachers that are one and the same say is one text.
    """
    for example, texts in known.items():
        slots = dict.fromkeys(slot for each in entered for slot in each[example])
        for slot in slots:
            if (example, *slot) not in awaited:
                found: dict[str, Generation] = {}
                for each in entered:
                    for text in each[example][slot].texts if slot in each[example] else ():
                        found.setdefault(text.key, text)
                texts[slot] = that_counts(list(found.values()))


def _right(item: Item, answer: str) -> bool:
    """Whether a trace ends in the right answer, as far as it states one and the question has one."""
    if not (answer and item.example.answer):
        return True
    accepted = (item.example.answer,) if item.example.choices else possible_answers(item.example)
    return any(words(answer) == words(each) for each in accepted)


def told(final: Sequence[bool], texts: Sequence[Generation | None], enough: int) -> list[Generation]:
    """The texts that count: those that are `final`, or all that there are where they are `enough` to tell."""
    # While new tries are ordered and have not come, a few refusals say nothing yet, and many say it before those cost.
    found = [(last, text) for last, text in zip(final, texts, strict=True) if text is not None]
    return [text for last, text in found if last or len(found) >= enough]


def refuse_silence(teacher: BaseTeacher, step: str, generations: Sequence[Generation], enough: int) -> None:
    """Raises TeacherError when all generations of a step are empty, or `enough` of them and all refused."""
    refusals = [generation.refusal for generation in generations]
    if not all(refusals):
        return
    counted = f"{len(refusals):,} texts of the step '{step}'"
    if set(refusals) == {EMPTY}:
        what = f"says nothing: all {counted} are empty. "
    elif len(refusals) >= enough and not teacher.free:
        shown = "".join(
            f"\n  {one.refusal}: {' '.join((one.text or one.thoughts).split())[:120]!r}" for one in generations[:3]
        )
        what = f"says nothing that can be used: the first {counted} are all refused. Three of them:{shown}\n"
    else:
        return
    raise TeacherError(f"The teacher '{teacher.name}' {what}Try one prompt by hand, or another teacher.")
