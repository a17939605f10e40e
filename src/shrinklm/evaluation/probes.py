"""What a student is asked beyond the test: its answer once more, with another explanation or another tag in the place of its own.

A probe (`metrics/faithfulness.py`) says what it needs as `Given`s and makes numbers of the answers. All probes are asked together: what
several of them need is asked once, and what was asked before, in an earlier evaluation or before a kill, is not asked again.

The explanation stands where the method reads it: before the answer where the method explains first (`[factual] EXPLANATION So the answer
is ...`), else above the tag, as a premise of the prompt (`Explanation: EXPLANATION [predict]`), as counterfactual training shows it. A
method that never saw a premise in training is probed all the same: then the probe also measures how it takes to one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

from ..core.files import Part
from ..core.results import Probed, read_probes, write_probes
from ..core.types import Example, Pair, Prediction, Score, Task, Tick, by_id, digest
from ..methods.builtin import sentence
from ..methods.view import Method
from ..students.likeliest import Asked, likeliest, option_pairs
from .ask import read_answer
from .metrics.answers import normalise

Asks = tuple[str, str, str]
"""(example id, explanation, tag): what makes two questions of the probes the same."""
_FREE_TOKENS = 24
"""Cap of a free answer."""


@dataclass(frozen=True)
class Given:
    """What stands in the place of a student's explanation, and of its tag."""

    explanation: str = ""
    """"": no explanation at all."""
    tag: str = ""
    """"": the method's own."""


@dataclass(frozen=True)
class Context:
    """What a probe may need besides one question: what the same student said about the other questions, and the chance it draws with."""

    method: Method
    explained: Sequence[Prediction]
    """The predictions with an explanation, in the order of the questions."""
    seed: int = 0
    told: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Example id → wrong option → an explanation of it by the teacher; empty where the teacher explained none."""

    @cached_property
    def others(self) -> Mapping[str, str]:
        """Example id → the explanation of another question. Each is handed on once, in a seeded circle of those that say something."""
        circle = [said for said in self.explained if said.explanation and said.explanation.strip()]
        random.Random(digest("others", self.seed)).shuffle(circle)
        place = {said.example_id: index for index, said in enumerate(circle)}
        found = {}
        for index, said in enumerate(self.explained):
            other = circle[(place.get(said.example_id, index - 1) + 1) % len(circle)] if circle else said
            if other is not said:
                found[said.example_id] = str(other.explanation)
        return found

    @cached_property
    def words(self) -> Sequence[tuple[str, str]]:
        """(example id, word) of every word of every explanation."""
        return [(said.example_id, word) for said in self.explained for word in str(said.explanation).split()]

    def draw(self, *about: str) -> random.Random:
        """A generator of its own for each question and purpose."""
        return random.Random(digest(self.seed, *about))

    @property
    def other_tag(self) -> str:
        """The tag under which the method learned to defend a wrong answer; "" where it learned none."""
        views = [view for view in self.method.views if "counterfactual" in view.also]
        return views[0].last_line if views and views[0].last_line != self.method.answer.last_line else ""


class Probe(Protocol):
    """A metric that needs further answers of the student."""

    def conditions(self, example: Example, prediction: Prediction, context: Context) -> Mapping[str, Given]:
        """What to ask about an explained question, each under a name of the probe's own; empty where there is nothing to ask."""
        ...

    def values(
        self, example: Example, prediction: Prediction, answers: Mapping[str, str | None]
    ) -> Mapping[str, float]:
        """The scores, by name, from the answer under each condition (None: none could be read). What cannot be scored is left out."""
        ...


def probe(
    student: Callable[[], Asked],
    task: Task,
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    probes: Sequence[Probe],
    context: Context,
    file: Path,
    key: str,
    batch: int = 32,
    tick: Tick | None = None,
) -> list[Score]:
    """The scores of all probes on all explained questions, one for each question and name.

    Args:
        student: opens who is asked; called only when something was not asked before.
        task: whose parser reads free answers.
        examples: the questions.
        predictions: what the student said about them; those without an explanation are left out.
        probes: what is wanted.
        context: what probes draw from.
        file: probes.parquet, where all answers are kept; a `.part` beside it grows while they are asked.
        key: names the student's weights and questions: answers under another key are not used.
        batch: questions in one pass.
        tick: told after each pass.

    Raises:
        StoreError: `file` cannot be read or written.
    """
    questions = by_id(examples)
    wanted = [
        (one, questions[said.example_id], said, one.conditions(questions[said.example_id], said, context))
        for said in context.explained
        for one in probes
    ]
    known = {
        (row.example_id, row.explanation, row.tag): row
        for row in (read_probes(file) if file.is_file() else ())
        if row.key == key
    }
    asks = dict.fromkeys(
        (example.id, given.explanation, given.tag) for _, example, _, found in wanted for given in found.values()
    )
    new = [ask for ask in asks if ask not in known]
    if new:
        run = context.explained[0].run
        part = Part(file.with_suffix(".part"), digest(key, new))
        answers = _asked(student, task, questions, new, context.method, part, batch, tick, run)
        rows = (Probed(run, *ask, answer, key) for ask, answer in zip(new, answers, strict=True))
        known |= {(row.example_id, row.explanation, row.tag): row for row in rows}
        write_probes(known.values(), file)
        part.path.unlink()
    scores: dict[tuple[str, str], Score] = {}
    for one, example, said, found in wanted:
        answered = {name: known[example.id, given.explanation, given.tag].answer for name, given in found.items()}
        for name, value in (one.values(example, said, answered) if answered else {}).items():
            scores[example.id, name] = Score(said.run, example.id, name, float(value))
    return list(scores.values())


def same(example: Example, one: str | None, other: str | None) -> bool:
    """Whether two answers are the same: the same option, or free answers of the same words. None is like nothing."""
    if one is None or other is None:
        return False
    return one == other if example.choices else normalise(one) == normalise(other)


def framed(method: Method, example: Example, given: Given) -> tuple[str, str]:
    """(the prompt, the student's words that stand before its answer)."""
    view = replace(method.answer, tag=given.tag) if given.tag else method.answer
    words = sentence(given.explanation.strip()) if given.explanation.strip() else ""
    if view.says[0] == "explanation":
        return view.prompt(example), " ".join(part for part in (words, view.lead) if part)
    return view.prompt(example, premise=words), view.lead


def _asked(
    student: Callable[[], Asked], task: Task, questions: Mapping[str, Example], asks: Sequence[Asks], method: Method, part: Part,
    batch: int, tick: Tick | None, run: str,
) -> list[str | None]:  # fmt: skip
    """The answers, chunk by chunk on the disk."""
    opened: Asked | None = None
    for start in range(0, len(asks), batch):
        if start // batch >= len(part.chunks):
            opened = opened or student()
            some = [(questions[name], Given(words, tag)) for name, words, tag in asks[start : start + batch]]
            part.add({"answers": answers(opened, task, method, some, batch)})
        if tick is not None:
            tick(f"probe {run}", min(start + batch, len(asks)), len(asks), "")
    return [answer for chunk in part.chunks for answer in chunk["answers"]]


def answers(
    student: Asked, task: Task, method: Method, asks: Sequence[tuple[Example, Given]], batch: int
) -> list[str | None]:
    """The likeliest option under each condition; for a free answer what is said and read.

    An encoder–decoder student cannot be made to go on from words of its own choosing, so a free answer after a given explanation is None.
    """
    split = getattr(student, "family", "") == "seq2seq"
    frames = [(example, *framed(method, example, given)) for example, given in asks]
    groups: list[list[Pair]] = [option_pairs(prompt, said, example.choices, split) for example, prompt, said in frames]
    found = likeliest(student, groups, batch)
    first = method.answer.says[0] == "explanation"
    free = [place for place, (example, _, _) in enumerate(frames) if not example.choices and not (first and split)]
    prompts = [f"{frames[place][1]} {frames[place][2]}" if first else frames[place][1] for place in free]
    raws = student.answer(prompts, _FREE_TOKENS, batch=batch) if prompts else []
    view = replace(method.answer, says=("answer",))
    for place, raw in zip(free, raws, strict=True):
        found[place] = read_answer(task, view, f"{view.lead} {raw}" if first else raw, frames[place][0])
    return found
