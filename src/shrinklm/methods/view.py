"""The records View and Method. No model, no torch.

A View turns an example and the teacher's generations into one prompt → target pair. A Method is a set of weighted views
and says which of them answers and which explains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

import regex

from ..core.errors import MethodError
from ..core.marking import Keep
from ..core.types import Example, Generation, Pair, Sampling, Source
from ..tasks.answers import after_answer
from ..tasks.base import split_answer
from ..tasks.literal import lettered
from ..tasks.reasoning import reasoning
from .emphasis import Emphasis, explanation_of
from .terms import TERMS, Term
from .weighing import RULES, Weighing

_ENDS = regex.compile(r"[.!?]|\p{STerm}", regex.V1)
# What stands for an answer, and for its source, where a view is asked how it closes an explanation.
_ANSWER = "\ue000"
_NOBODY = Source("", "", Sampling(), 0, "", 0, 0, "")

Generations = Mapping[tuple[str, str], Generation]
"""The teacher's generations for one example by (kind, answer it argues for); (label, "") holds its own answer."""


def sentence(text: str) -> str:
    """`text` with a full stop at its end, unless a mark closes it already."""
    return text if _ENDS.match(text.rstrip("\"'”’)」』）")[-1:]) else f"{text}."


def traced(generation: Generation) -> str:
    """The reasoning of a trace (`tasks.reasoning`); "" where there is none."""
    return reasoning(generation.text, generation.thoughts)


def shows(generation: Generation) -> bool:
    """Whether a sample may be shown: one that is not refused and, of a trace, gives reasons."""
    return not generation.refusal and (generation.kind != "trace" or bool(traced(generation)))


@dataclass
class Draw:
    """The seeded choices behind one pair."""

    seed: int
    turn: int
    """The epoch, for `epoch` alone, which notes that it was asked for."""
    rank: int
    """The example's position in a seeded order of all examples: spreads the wrong options evenly over an epoch."""
    other: tuple[Example, Generations] | None
    """The next example in that order, for `donor` alone."""
    by_epoch: bool = False
    """Whether the epoch was asked for: a pair that was built without it is the same in every epoch."""

    @property
    def donor(self) -> tuple[Example, Generations] | None:
        """The next example, for the control that explains another question; None when there is no other."""
        return self.other

    @property
    def epoch(self) -> int:
        """The epoch, counted from 0."""
        self.by_epoch = True
        return self.turn


_STOP = "."
"""Closes the sentence that states an answer."""

Build = Callable[["View", Example, Generations, Draw], "Pair | str"]
"""(the view, example, generations, draw) → a pair, or the reason why it cannot be built."""


@dataclass(frozen=True)
class View:
    """One way to show an example."""

    name: str
    build: Build
    """Makes the pair, or gives the reason why there is none: counted, never silent."""
    source: str = ""
    """The kind of generation its target is made of: explanation, revision or label; "" = the gold answer alone."""
    also: tuple[str, ...] = ()
    """Further kinds it needs."""
    says: tuple[str, ...] = ("answer",)
    """What its target holds, in order: answer, explanation, or both."""
    lead: str = "The answer is"
    """The words before the answer."""
    tag: str = ""
    """The last line of its prompt; `[name]` when empty."""
    always: bool = False
    """Whether `build` makes a pair of every example where the view needs no generation."""
    keep: Keep | None = None
    """Which of the marked words its target holds; None for a view of texts."""
    prefixed: bool = False
    """Of a view that reads an explanation and says the answer alone: whether the explanation begins its target, where
    it is read and not scored, instead of standing in its prompt."""
    internalised: int = 0
    """Over so many epochs its explanation loses its sentences, the first ones first, until the answer stands alone; 0:
    it keeps them."""
    emphasis: Emphasis | None = None
    """How much the tokens of its explanations weigh; None: all alike."""
    letters: bool = False
    """Whether its targets state an option with its letter before its words: "(b) bank"."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The kinds of generation without which it cannot be built."""
        return ((self.source,) if self.source else ()) + self.also

    @property
    def sure(self) -> bool:
        """Whether there is a pair for every example, so that nobody has to build it to know."""
        return self.always and not self.needs

    def only(self, what: str) -> bool:
        """Whether its target is the question's answer alone, or the explanation of it alone: `what` is "answer" or
        "explanation". A view of wrong options says what somebody else's explanation asks for."""
        return self.says == (what,) and "counterfactual" not in self.also and not self.prefixed

    def prompt(self, example: Example, premise: str = "") -> str:
        """The student's prompt: the question first, the tag last, so that an example's views share their beginning."""
        return example.text + (f"\nExplanation: {premise}" if premise else "") + f"\n{self.last_line}"

    @property
    def last_line(self) -> str:
        """The line of its prompt that names the view."""
        return self.tag or f"[{self.name}]"

    def pair(self, example: Example, generations: Generations, draw: Draw) -> Pair | str:
        """The pair of this view, or why there is none."""
        pair = self.build(self, example, generations, draw)
        if self.emphasis is None or isinstance(pair, str):
            return pair
        said = explanation_of(pair, self.says, self.states(pair.option, example))
        if said is None:
            return "its explanation is not told apart from its answer, so its tokens cannot be weighed"
        return replace(pair, emphasis=self.emphasis.spans(example, pair, said))

    def states(self, answer: str, example: Example | None = None) -> str:
        """The sentence in which its target states an answer to a question; None: one whose options have no letters."""
        return _statement(self.lead, answer if example is None else self.named(example, answer))

    def named(self, example: Example, answer: str) -> str:
        """An answer as its targets name it."""
        return self.options(example).get(answer, answer)

    def options(self, example: Example) -> dict[str, str]:
        """Each different option of a question → as its targets name it."""
        return lettered(example.choices) if self.letters else dict(zip(example.choices, example.choices, strict=True))

    def closes(self, example: Example, explanation: str) -> str:
        """The words of its target up to the answer, behind an explanation: "... So the answer is".

        They are taken from the target that the view builds of this explanation, so that a view of somebody's own is
        closed in its own format; where it builds none, the explanation as a sentence and the lead.
        """
        stated = replace(example, answer=_ANSWER, choices=(_ANSWER, *example.choices) if example.choices else ())
        closed = f"{sentence(explanation)} {self.lead}".strip()
        pair = self._tried(stated, explanation, (_ANSWER, ""))
        before, found, _ = pair.target.partition(self.named(stated, _ANSWER)) if pair else ("", "", "")
        return before.strip() if found and before.lstrip().startswith(explanation) else closed

    @property
    def keeps_names(self) -> bool:
        """Whether its target names an option as `named` says; so it does where it builds none without real texts."""
        example = Example("", "?", (_ANSWER, "other"), _ANSWER)
        pair = self._tried(example, "It fits.", (_ANSWER, "other", ""))
        return pair is None or "answer" not in self.says or self.named(example, pair.option) in pair.target

    def _tried(self, example: Example, explanation: str, answers: Sequence[str]) -> Pair | None:
        """The pair that it builds of a text about these answers; None where it builds none."""
        generations = {
            (kind, answer): Generation(example.id, kind, answer or _ANSWER, explanation, "", (), _NOBODY, "")
            for kind in self.needs
            for answer in answers
        }
        try:
            pair = self.build(self, example, generations, Draw(0, 0, 0, None))
        except Exception:  # a view of somebody's own may ask more of a text than this one holds
            return None
        return pair if isinstance(pair, Pair) else None

    def read(self, raw: str, answers: Sequence[str] = ()) -> str:
        """The explanation in a student's reply to this view's prompt; "" for a view that only answers.

        `answers`, the options or the accepted free answers, tell where an answer that comes first ends, whatever
        full stops are in it.
        """
        if "explanation" not in self.says:
            return ""
        if self.says == ("explanation",):
            return raw.strip()
        if self.says[0] == "answer":
            return after_answer(raw, answers).strip()
        before, after = split_answer(raw)
        # The lead of a view of somebody's own may hold no "the answer is".
        return (raw.rpartition(self.lead)[0] if self.lead and (before, after) == ("", raw) else before).strip()


def answer_pair(prompt: str, before: str, answer: str, option: str | None = None) -> Pair:
    """The pair that asks how likely an answer is: the target that training shows, with the answer alone scored.

    The sentence is whole, so that the answer is cut into the tokens that were trained: a tokenizer may join an answer's
    end with the full stop, or its beginning with the word before it.

    Args:
        prompt: The student's prompt.
        before: The words of the target before the answer, such as an explanation and "So the answer is".
        answer: Is scored.
        option: That the answer names; None: itself.
    """
    target = _statement(before, answer)
    end = len(target) - len(_STOP)
    return Pair(prompt, target, answer if option is None else option, (end - len(answer), end))


def prefixed_pair(prompt: str, before: str, answer: str, option: str | None = None) -> Pair:
    """The pair that trains an answer behind words which are read and not scored, those of `answer_pair`.

    The answer is scored with the full stop and the end token behind it.
    """
    pair = answer_pair(prompt, before, answer, option)
    return replace(pair, scored=(pair.scored[0] if pair.scored else 0, len(pair.target)))


def _statement(before: str, answer: str) -> str:
    return f"{before} {answer}{_STOP}" if before else f"{answer}{_STOP}"


@dataclass(frozen=True)
class Method:
    """A way to train a student. Every method is asked and scored alike."""

    name: str
    views: Mapping[View, float]
    """The weights of the loss: Σ weight × mean cross-entropy of the view's targets. Empty: nothing is trained."""
    answer: View
    """The view that answers test questions."""
    explain: View | None
    """The view that explains them; None where the method teaches no explanation."""
    losses: Mapping[str, float] = field(default_factory=dict)
    """Further terms of the loss, each with its weight: "options", or "soft=2" with a value of the term's own. The name
    is that of an entry point of the group `shrinklm.losses`."""
    about: str = ""
    """One line for people."""
    weigh: Weighing | None = None
    """The rule that weighs the samples of a question; None: all alike."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The kinds of generation that its views and its terms of the loss need."""
        return self._kinds(self.views)

    @property
    def weighed(self) -> tuple[str, ...]:
        """The kinds of generation whose samples have weights: texts, not marked words."""
        return self._kinds(view for view in self.views if view.keep is None) if self.weigh else ()

    def only(self, what: str) -> View | None:
        """The first of its trained views that says the answer, or the explanation, alone (see `View.only`)."""
        return next((view for view in self.views if view.only(what)), None)

    @property
    def weighed_by(self) -> tuple[str, ...]:
        """The kinds of generation that its rule reads beside them, where the recipe asks for some."""
        return RULES[self.weigh.rule].also if self.weigh else ()

    def without(self, key: str) -> str:
        """Its name without an option, as a recipe writes it."""
        name, _, options = self.name.partition(":")
        others = [each for each in options.split(",") if each.partition("=")[0] != key]
        return ":".join(filter(None, (name, ",".join(others))))

    def check_epochs(self, examples: int, questions: int) -> None:
        """Raises MethodError where a training of so many examples ends before an explanation is internalised.

        Args:
            examples: Seen in the training.
            questions: That it has pairs of.
        """
        epochs = max((view.internalised for view in self.views), default=0)
        if not epochs or examples > epochs * questions:
            return
        fewer = (examples - 1) // questions
        raise MethodError(
            f"Method '{self.name}': explanations lose their sentences over {epochs} epochs, and {examples:,} examples "
            f"of {questions:,} questions are {examples / questions:.1f}: the answer would never stand alone. Write: "
            f"train: {{examples: {(epochs + 1) * questions}}}" + (f", or internalised={fewer}" if fewer else "")
        )

    def _kinds(self, views: Iterable[View]) -> tuple[str, ...]:
        kinds = [*(view.needs for view in views), *(term.needs for term in self.terms.values())]
        return tuple(dict.fromkeys(chain.from_iterable(kinds)))

    @property
    def terms(self) -> dict[str, Term]:
        """The terms of this package among `losses`, by their name there."""
        names = {option: option.partition("=")[0] for option in self.losses}
        return {option: TERMS[name] for option, name in names.items() if name in TERMS}
