"""The steps of a generation (texts that a teacher writes, words that a model marks), their parents and their order."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from ..core.errors import UnknownName
from ..core.types import Example, digest


@dataclass(frozen=True)
class Step:
    """One kind of text that a teacher is asked to write, or of words that a model marks."""

    name: str
    template: str
    """File name, without .md, of its prompt; "" for a step that marks words."""
    about: Literal["gold", "wrong", "own"]
    """Which answer the text argues for: the gold one, every wrong one, or the teacher's own."""
    needs: tuple[str, ...] = ()
    """The steps before it, whose texts its prompt quotes."""
    max_tokens: int = 120
    by: Literal["teacher", "white-box", "student", "chance", "counts"] = "teacher"
    """What produces it. All but the teacher mark words of the question instead of writing (`core.marking`)."""
    title: str = ""
    """What it is, for people, in a few words."""

    def answers(self, example: Example) -> tuple[str, ...]:
        """The answers of a question that it is about; "" for the teacher's own."""
        return {"gold": (example.answer,), "own": ("",), "wrong": example.wrong}[self.about]

    @property
    def states(self) -> bool:
        """Whether its prompt states an answer and quotes no other text: it may be held against another answer."""
        return self.by == "teacher" and self.about != "own" and not self.needs

    def against(self, example: Example, answer: str, contrast: str) -> str | None:
        """The answer that a text for `answer` is held against; None where there is none.

        Args:
            example: The question.
            answer: That of the text.
            contrast: "empty", or "wrong": of a wrong answer the gold one, of the gold one a wrong option by chance, the
                same in every run (as in SCOTT's code, arXiv 2305.01879).
        """
        if contrast == "empty":
            return ""
        if answer != example.answer:
            return example.answer or None
        others = example.wrong
        return others[int(digest("contrast", example.id, example.text), 16) % len(others)] if others else None

    @property
    def marks(self) -> bool:
        """Whether it marks words: no prompt file, nothing sampled, no retry."""
        return self.by != "teacher"


STEPS: dict[str, Step] = {
    step.name: step
    for step in (
        Step("explanation", "explanation", "gold", title="why the right answer is right"),
        Step("critique", "critique", "gold", ("explanation",), title="what the explanation lacks"),
        # Revisions are longer: 97 words against 40 in the data released with arXiv 2504.16056 (CommonsenseQA, Llama-2).
        Step(
            "revision", "revision", "gold", ("explanation", "critique"), 160, title="the explanation after its critique"
        ),
        # The same prompt as `explanation`, so that right and wrong answers are explained in one style.
        Step("counterfactual", "explanation", "wrong", title="for each wrong option, why it would be right"),
        Step("label", "label", "own", title="the teacher's own answer and its reasons"),
        # Of a reasoning model its thoughts, which are long.
        Step("trace", "trace", "own", max_tokens=1024, title="the teacher's own reasoning towards the answer"),
        Step("salient", "", "gold", by="white-box", title="words of the question that move a white-box teacher"),
        Step("own-saliency", "", "gold", by="student", title="words that move the untrained student"),
        Step("random-tokens", "", "gold", by="chance", title="words drawn by lot"),
        Step("tfidf-tokens", "", "gold", by="counts", title="the words of highest tf-idf"),
    )
}
"""Every step by its name, each after the steps it builds on."""


JUDGEMENT = "judgement"
"""The kind of a judge's texts in the store, where those of a teacher have the name of their step."""


@dataclass(frozen=True)
class StepRequest:
    """One step of a recipe's `generate:` list."""

    name: str
    rounds: int
    """Rounds of critique and revision."""
    max_words: int | None
    max_tokens: int | None
    """None: the step's own."""
    samples: int | None = None
    """Texts of each question; None: one, and of a recording all that a cell lists."""
    logprobs: bool = False
    """Whether the first text of each question comes with the log-probabilities of its options."""
    contrast: str | None = None
    """What its texts are held against, "wrong" or "empty" (`Step.against`); None: nothing."""


def plan(requests: Sequence[StepRequest], reads: bool | Collection[str] = False) -> list[tuple[StepRequest, int]]:
    """Return (step, round from 1) in the order to work in. Steps that others build on are added.

    Args:
        requests: The steps of the recipe.
        reads: The steps whose teacher is a recording, whose revisions do not need the explanations before them; or
            whether all are.

    Raises UnknownName for a step that is not in `STEPS`.
    """
    read = (STEPS if reads else ()) if isinstance(reads, bool) else reads
    wanted = {request.name: request for request in requests}
    for name in tuple(wanted):
        if name not in STEPS:
            raise UnknownName("step", name, STEPS)
        for need in () if name in read else STEPS[name].needs:
            wanted.setdefault(need, StepRequest(need, rounds=1, max_words=None, max_tokens=None))
    order = [(wanted[name], 1) for name in STEPS if name in wanted]
    rounds = wanted["revision"].rounds if "revision" in wanted and "revision" not in read else 1
    if rounds > 1:
        # Further rounds stand right behind the first, before any step that does not belong to them.
        position = order.index((wanted["revision"], 1)) + 1
        order[position:position] = [
            (wanted[name], number) for number in range(2, rounds + 1) for name in ("critique", "revision")
        ]
    return order
