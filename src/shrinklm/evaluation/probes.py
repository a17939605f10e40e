"""Ask a student again with another explanation or another tag in place of its own, and score what changes.

A probe (`metrics.base.Probe`) names the conditions it needs and turns the answers into scores. The conditions of all
probes are asked together: what several of them need is asked once, and what was asked before, in an earlier evaluation
or before a kill, is not asked again.

The explanation stands where the method reads it: before the answer where the method explains first (`[factual]
EXPLANATION So the answer is ...`) or was trained on counterfactuals in that form (`counterfactual=prefix`), else above
the tag, as a premise of the prompt (`Explanation: EXPLANATION [predict]`), as counterfactual training shows it. A
method that never saw a premise in training is probed all the same:
then the probe also measures how the student takes to a premise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.files import Part
from ..core.intact import intact
from ..core.results import Probed, read_probes, write_probes
from ..core.types import Example, Pair, Score, Task, Tick, by_id, digest
from ..methods.view import Method, sentence
from ..students.likeliest import likeliest, option_pairs
from ..students.replies import goes_on, replies
from ..students.room import TOO_LONG, fits
from .metrics.base import Condition, Context, Probe
from .reading import read_answer

if TYPE_CHECKING:
    from ..students.protocol import Student

Ask = tuple[str, str, str]
"""(example id, explanation, tag): what makes two questions of the probes the same."""
_FREE_TOKENS = 24
"""Cap of a free answer, in tokens: an answer alone, without an explanation."""


@dataclass(frozen=True)
class AnswerCache:
    """One student's answers to probes: those in the file are looked up, the others are asked for and added."""

    student: Callable[[], Student]
    """Opens the student; called only when something is not in the file."""
    task: Task
    """Its parser reads free answers."""
    file: Path
    """probes.parquet; a `.part` beside it grows while the student is asked, so that a killed evaluation resumes."""
    key: str
    """Names the student's weights and questions: answers under another key are not used."""
    batch: int
    """Questions in one pass."""
    tick: Tick | None = None
    """Called after each pass."""

    def answers(
        self, questions: Mapping[str, Example], asks: Sequence[Ask], method: Method, run: str
    ) -> dict[Ask, str | None]:
        """The answer of `method`'s answering view to each of `asks`, all different; None where none could be read.

        What is longer than the student reads is not asked and has no answer.

        Raises:
            StoreError: `file` cannot be read or written.
        """
        rows = {
            (row.example_id, row.explanation, row.tag): row
            for row in (read_probes(self.file) if intact(self.file) else ())
            if row.key == self.key
        }
        new = [ask for ask in asks if ask not in rows]
        if new:
            # The part belongs to these questions alone: another list of metrics begins another one.
            part = Part(self.file.with_suffix(".part"), digest(self.key, new, "refusals"))
            answers = self._ask(questions, new, method, part, run)
            for ask, (answer, refusal) in zip(new, answers, strict=True):
                rows[ask] = Probed(run, *ask, answer, self.key, refusal)
            # With this, rows under another key leave the file: they are answers of other weights.
            write_probes(rows.values(), self.file)
            part.path.unlink()
        asked = {ask: rows[ask].answer for ask in asks if rows[ask].refusal is None}
        if self.tick is not None and len(asked) < len(asks):
            left_out = f"{len(asks) - len(asked):,} of {len(asks):,} prompts are {TOO_LONG}: they are left out"
            self.tick(f"probe {run}", 0, 0, left_out)
        return asked

    def _ask(
        self, questions: Mapping[str, Example], asks: Sequence[Ask], method: Method, part: Part, run: str
    ) -> list[tuple[str | None, str | None]]:
        """(answer, why it was not asked) of each; each finished chunk is kept in `part`."""
        student: Student | None = None
        for start in range(0, len(asks), self.batch):
            if start // self.batch >= len(part.chunks):
                student = student or self.student()
                chunk = [(questions[id_], Condition(text, tag)) for id_, text, tag in asks[start : start + self.batch]]
                refusals = [None if _fits(student, method, *each) else TOO_LONG for each in chunk]
                short = [each for each, refusal in zip(chunk, refusals, strict=True) if refusal is None]
                said = iter(conditional_answers(student, self.task, method, short, self.batch) if short else [])
                answers = [next(said) if refusal is None else None for refusal in refusals]
                part.add({"answers": answers, "refusals": refusals})
            if self.tick is not None:
                self.tick(f"probe {run}", min(start + self.batch, len(asks)), len(asks), "")
        return [row for chunk in part.chunks for row in zip(chunk["answers"], chunk["refusals"], strict=True)]


def probe(cache: AnswerCache, examples: Sequence[Example], probes: Sequence[Probe], context: Context) -> list[Score]:
    """The scores of all probes on all explained questions, one for each question and name.

    Args:
        cache: Answers of the student.
        examples: The questions.
        probes: What is measured.
        context: The student's explained predictions, and what probes draw from.

    Raises:
        StoreError: the file of answers cannot be read or written.
    """
    questions = by_id(examples)
    rows = [
        (metric, questions[prediction.example_id], prediction) for prediction in context.explained for metric in probes
    ]
    conditions = [metric.conditions(example, prediction, context) for metric, example, prediction in rows]
    # Each different question once: probes share the student's own explanation and another question's.
    asks = dict.fromkeys(
        _key(example, condition)
        for (_, example, _), named in zip(rows, conditions, strict=True)
        for condition in named.values()
    )
    answers = cache.answers(questions, list(asks), context.method, context.explained[0].run) if asks else {}
    scores: dict[tuple[str, str], Score] = {}
    for (metric, example, prediction), named in zip(rows, conditions, strict=True):
        asked = {name: key for name, condition in named.items() if (key := _key(example, condition)) in answers}
        # One condition that could not be asked leaves nothing to compare the others with.
        answered = {name: answers[key] for name, key in asked.items()} if len(asked) == len(named) else {}
        values = metric.values(example, prediction, answered) if answered else {}
        for name, value in values.items():
            # Two probes may give the same baseline (`other_same`): it is one score.
            scores[example.id, name] = Score(prediction.run, example.id, name, float(value))
    return list(scores.values())


def _key(example: Example, condition: Condition) -> Ask:
    return example.id, condition.explanation, condition.tag


def framed(method: Method, example: Example, condition: Condition) -> tuple[str, str]:
    """(the prompt, the student's words that stand before its answer)."""
    view = replace(method.answer, tag=condition.tag) if condition.tag else method.answer
    # The same spelling as in training, where a template makes a whole sentence of every explanation.
    explanation = sentence(condition.explanation.strip()) if condition.explanation.strip() else ""
    if _explains_in_target(method):
        # Behind an explanation the words that training put there: "So the answer is", also where [predict] answers.
        prefixed = next((each for each in method.views if each.prefixed), view)
        lead = prefixed.lead if explanation else view.lead
        return view.prompt(example), " ".join(part for part in (explanation, lead) if part)
    return view.prompt(example, premise=explanation), view.lead


def _explains_in_target(method: Method) -> bool:
    """Whether an explanation that is given stands in the target, before the answer."""
    return method.answer.says[0] == "explanation" or any(view.prefixed for view in method.views)


def _fits(student: Student, method: Method, example: Example, condition: Condition) -> bool:
    """Whether the student can read the question under a condition, with the answer that is scored or generated."""
    prompt, before = framed(method, example, condition)
    targets = [f"{before} {option}".strip() for option in method.answer.options(example).values()] or [before]
    return fits(student, prompt, 2 if example.choices else _FREE_TOKENS, targets)


def conditional_answers(
    student: Student, task: Task, method: Method, asks: Sequence[tuple[Example, Condition]], batch: int
) -> list[str | None]:
    """The likeliest option under each condition; for a free answer, the generated and parsed answer.

    A student that cannot go on after words that it did not write (`replies.goes_on`) gives no free answer after a given
    explanation: None.
    """
    frames = [(example, *framed(method, example, condition)) for example, condition in asks]
    view = method.answer
    groups: list[list[Pair]] = [
        option_pairs(prompt, before, view.options(example)) for example, prompt, before in frames
    ]
    # Options are compared by likelihood: a changed prompt may also change whether a generated answer parses.
    answers = likeliest(student, groups, batch, per_character=not view.letters)
    explains_first = _explains_in_target(method)
    asked = goes_on(student) or not explains_first
    free = [index for index, (example, _, _) in enumerate(frames) if not example.choices and asked]
    # The student goes on after the explanation as if it had written it.
    begun = [frames[index][2] for index in free] if explains_first else []
    said = replies(student, [frames[index][1] for index in free], _FREE_TOKENS, batch, begun)
    # What is generated here is the answer alone, whatever else the view says in training.
    view = replace(view, says=("answer",))
    for index, reply in zip(free, said, strict=True):
        text = f"{view.lead} {reply.text}" if explains_first else reply.text
        answers[index] = read_answer(task, view, text, frames[index][0])
    return answers
