"""Questions without answers: a teacher answers each several times, and the answer given most often is taken.

The vote is self-consistency (Wang et al., arXiv 2203.11171). That answer is then the question's own: texts argue for
it, students learn it, and where the test questions have none either, accuracy is agreement with the teacher.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...core.errors import MethodError, RecipeError
from ...core.logprobs import OptionLogprobs
from ...core.types import SPLITS, Example, Generation, Split, Task, Tick
from ...tasks.spelling import canonical
from ...teachers.base import BaseTeacher
from ...teachers.generate import GenerateSettings, read_steps, run_steps
from ...teachers.prompts import Prompts
from ...teachers.reading import Parse
from ...teachers.steps import StepRequest
from ...teachers.store import Store
from ...teachers.usage import Report
from ..blocks import StepBlock
from ..recipe import Recipe
from .generate import until_answered
from .writers import Writers

VOTES = 5
"""Answers of the teacher to a question, where the recipe does not say."""
UNREAD, UNSURE = "no answer could be read", "the teacher's answers agree too little"
Splits = Mapping[Split, Sequence[Example]]


@dataclass(frozen=True)
class Label:
    """What a teacher answered to one question."""

    answer: str
    """The answer given most often, of equals the one that was given first; "" where none could be read."""
    share: float
    """Of all its answers, unread ones included, those that give this one."""
    votes: Mapping[str, int]
    """Answer → how often it was given, the most frequent first."""
    asked: int
    """Its answers, unread ones included."""
    logprobs: OptionLogprobs | None = None
    """How likely each option was in the first answer that tells."""


def vote(texts: Sequence[Generation]) -> Label:
    """The label that several answers to one question give."""
    spellings: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for text in texts:
        if not text.refusal and text.answer:
            counts[canonical(text.answer)] += 1
            spellings.setdefault(canonical(text.answer), text.answer)
    # `most_common` keeps the order in which equals were first seen.
    votes = {spellings[key]: count for key, count in counts.most_common()}
    answer = next(iter(votes), "")
    told = next((text.logprobs for text in texts if text.logprobs and not text.refusal), None)
    return Label(answer, votes.get(answer, 0) / max(len(texts), 1), votes, len(texts), told)


@dataclass(frozen=True)
class Labelling:
    """The teacher's labels of the questions without answers.

    Args:
        questions: All questions of the task.
        request: The step `label` of the recipe.
        least: Questions whose label has a smaller share of the teacher's answers are left out.
        teacher: Answers them.
        prompts: Of the step `label`.
        store: Holds its answers.
        settings: Those of all steps.
        task: Its parser reads the answers.
        tick: Called with the progress.
    """

    questions: Splits
    request: StepRequest
    least: float
    teacher: BaseTeacher
    prompts: Prompts
    store: Store
    settings: GenerateSettings
    task: Task
    tick: Tick

    @property
    def open(self) -> list[Example]:
        """The questions without answers."""
        return [example for split in SPLITS for example in self.questions[split] if not example.answer]

    @property
    def _arguments(
        self,
    ) -> tuple[list[Example], list[StepRequest], BaseTeacher, Prompts, Store, GenerateSettings, Parse]:
        """What `run_steps` and `read_steps` are called with."""
        return self.open, [self.request], self.teacher, self.prompts, self.store, self.settings, self.task.parse

    def ask(self, wait: bool = False) -> Report:
        """Asks for the answers that the store lacks. Raises Pending when they come later, unless it is to `wait`."""
        return until_answered(lambda: run_steps(*self._arguments, self.tick), [self.teacher], wait)

    @property
    def complete(self) -> bool:
        """Whether the store holds all answers, or the teacher costs nothing."""
        return self.teacher.free or not read_steps(*self._arguments, whole=False)[1].steps["label"].missing

    def labels(self) -> dict[str, Label]:
        """Question → its label, from the store.

        Raises MethodError where the teacher was not asked about all of them.
        """
        known, report = read_steps(*self._arguments, whole=False)
        missing = report.steps["label"].missing
        if missing and self.teacher.free:  # nobody has to type a command for what costs nothing
            self.ask()
            known, report = read_steps(*self._arguments, whole=False)
        elif missing:
            raise MethodError(
                f"{len(self.open):,} questions come without answers, and the teacher is still to be asked for "
                f"{missing:,} of its own, which students learn from. Run: shrinklm generate RECIPE"
            )
        return {name: vote(_texts(slots.get(("label", "")))) for name, slots in known.items()}

    def splits(self, labels: Mapping[str, Label]) -> dict[Split, list[Example]]:
        """The questions with their labels as answers; `meta["labelled_by"]` names the teacher of those.

        Left out are questions of whose answers none could be read, or too few agree. Raises MethodError where no
        training question is left.
        """
        splits: dict[Split, list[Example]] = {
            split: [labelled for example in self.questions[split] if (labelled := self._labelled(example, labels))]
            for split in SPLITS
        }
        if not splits["train"]:
            raise MethodError(
                f"None of {len(self.questions['train']):,} training questions got a label: "
                f"{'; '.join(f'{reason}: {count:,}' for reason, count in self._left_out('train', labels).items())}. "
                "Look at the answers with: shrinklm export RECIPE; or try another teacher, or a smaller `agreement`."
            )
        return splits

    def figures(self, labels: Mapping[str, Label]) -> dict[str, Any]:
        """How many questions of each split were labelled and left out, and how far the answers agree, as JSON."""
        splits = {split: self._figures(split, labels) for split in SPLITS if self._of(split)}
        return {"teacher": self.teacher.name, "splits": splits}

    def rows(self, labels: Mapping[str, Label]) -> Iterator[dict[str, Any]]:
        """A row for each question without an answer: its label, and why it is left out.

        They are a table of their own, which may be corrected by hand and named as the data of a recipe.
        """
        for split in SPLITS:
            for example in self._of(split):
                label = labels[example.id]
                yield {
                    "split": split,
                    "id": example.id,
                    **example.fields,
                    "question": example.question,
                    "choices": list(example.choices),
                    "answer": label.answer,
                    "agreement": round(label.share, 4),
                    "votes": dict(label.votes),
                    "left_out": self._reason(label),
                    **_chances(label.logprobs),
                }

    def _labelled(self, example: Example, labels: Mapping[str, Label]) -> Example | None:
        if example.answer:
            return example
        label = labels[example.id]
        if self._reason(label):
            return None
        return replace(example, answer=label.answer, meta={**example.meta, "labelled_by": self.teacher.name})

    def _reason(self, label: Label) -> str | None:
        """Why a question is left out; None where it stays."""
        return UNREAD if not label.answer else UNSURE if label.share < self.least else None

    def _of(self, split: Split) -> list[Example]:
        return [example for example in self.questions[split] if not example.answer]

    def _left_out(self, split: Split, labels: Mapping[str, Label]) -> Counter[str]:
        return Counter(reason for example in self._of(split) if (reason := self._reason(labels[example.id])))

    def _figures(self, split: Split, labels: Mapping[str, Label]) -> dict[str, Any]:
        kept = [label for example in self._of(split) if not self._reason(label := labels[example.id])]
        return {
            "questions": len(self._of(split)),
            "labelled": len(kept),
            "left_out": dict(self._left_out(split, labels).most_common()),
            "answers": max((label.asked for label in kept), default=0),
            "agreement": sum(label.share for label in kept) / len(kept) if kept else None,
            "unanimous": sum(label.share == 1 for label in kept) / len(kept) if kept else None,
        }


def _chances(logprobs: OptionLogprobs | None) -> dict[str, Any]:
    return {} if logprobs is None else {"logprobs": logprobs.options, "probabilities": logprobs.distribution}


def _texts(generation: Generation | None) -> Sequence[Generation]:
    return generation.texts if generation is not None else ()


def labelling_of(
    recipe: Recipe,
    task: Task,
    questions: Splits,
    writers: Writers,
    prompts: Prompts,
    store: Store,
    tick: Tick,
) -> Labelling:
    """How the questions without answers are labelled. Raises RecipeError without a teacher."""
    teacher = writers.of("label")
    if teacher is None:
        raise RecipeError(
            "The questions have no answers, and the recipe names no teacher that could label them. "
            "Add `teacher: {use: ...}`, or name the column of the answers: columns: {answer: NAME}"
        )
    block = next((step for step in recipe.generate if step.name == "label"), StepBlock(name="label"))
    if len(block.teachers) > 1:
        raise RecipeError(
            f"The questions have no answers, and one teacher labels them; the step 'label' names several: "
            f"{', '.join(block.teachers)}. Write: label: {{teacher: {block.teachers[0]}}}"
        )
    samples = block.samples or (1 if teacher.reads else VOTES)
    request = StepRequest("label", 1, block.max_words, block.max_tokens, samples, block.logprobs)
    least = block.agreement or 0.0
    return Labelling(questions, request, least, teacher, prompts, store, writers.settings("label"), task, tick)
