"""The records that all other files use: small, frozen, and free of behaviour that belongs to a floor above."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal, Protocol

from .digests import digest as digest
from .digests import digests as digests
from .logprobs import OptionLogprobs, Token
from .sampling import Sampling as Sampling
from .sampling import as_json

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")

Tick = Callable[[str, int, int, str], None]
"""Called with the progress of a long task: (its title, steps done, steps in all, note)."""


@dataclass(frozen=True, slots=True)
class Example:
    """One question of a task."""

    id: str
    """Unique within the task."""
    question: str
    choices: tuple[str, ...]
    """The options as shown, in shown order; NLI: the labels; free answers: ()."""
    answer: str
    """The gold answer; one of `choices` where there are any. "" where the data have none."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Context shown above the question, name → text (premise, hypothesis, passage ...)."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """Never shown to a model: human explanations and highlights, further accepted answers, whether all rows ask the
    same question."""
    order: tuple[int, ...] = field(default_factory=tuple)
    """For each shown choice its position, from 0, in the source row, so that recorded columns can be found again."""

    @property
    def text(self) -> str:
        """Context, question and choices as a model reads them. Every prompt for this example starts with it."""
        return "".join([piece for piece, _ in self._laid_out()])

    @property
    def parts(self) -> tuple[tuple[str, int, int], ...]:
        """(name, start, end) of what the data say in `text`: a field's name, "question", or a choice's "(a)".

        The rest is ours.
        """
        parts, start = [], 0
        for piece, name in self._laid_out():
            if name:
                parts.append((name, start, start + len(piece)))
            start += len(piece)
        return tuple(parts)

    def _laid_out(self) -> list[tuple[str, str]]:
        """The pieces of `text`, each with the name of its part; "" for our own words."""
        pieces: list[tuple[str, str]] = []
        for name, value in self.fields.items():
            pieces += (f"{name.replace('_', ' ').capitalize()}: ", ""), (value, name), ("\n", "")
        pieces += ("Question: ", ""), (self.question, "question")
        for i, choice in enumerate(self.choices):
            option = f"({letter(i)})"
            pieces += (f" {option} " if i else f"\nChoices: {option} ", ""), (choice, option)
        return pieces

    @property
    def wrong(self) -> tuple[str, ...]:
        """The options that are not the gold answer, each once: a repeated option is one option."""
        return tuple(dict.fromkeys(choice for choice in self.choices if choice != self.answer))


@lru_cache
def letter(index: int) -> str:
    """Name of the option at `index`: a, b, ... z, then aa, ab, ..."""
    return (letter(index // 26 - 1) if index >= 26 else "") + "abcdefghijklmnopqrstuvwxyz"[index % 26]


@dataclass(frozen=True)
class Turn:
    """One message of a prompt."""

    role: Literal["system", "user", "assistant"]
    text: str


@dataclass(frozen=True)
class Prompt:
    """One question to a teacher. A model reads `turns`; the other fields tell what the question is about."""

    turns: tuple[Turn, ...]
    example: Example
    kind: str
    """The step that asks: explanation, critique, revision, counterfactual, label, trace."""
    answer: str
    """The answer the text must support; "" where the teacher gives its own."""
    against: tuple[Turn, ...] = ()
    """The turns of the same prompt with a wrong answer or none, under which each token of the text shall be less likely
    (`Step` with a contrast); () without one."""

    @property
    def text(self) -> str:
        """The turns as plain text, for models without a chat template."""
        return "\n\n".join(turn.text for turn in self.turns)


@dataclass(frozen=True)
class Completion:
    """A teacher's reply to one prompt."""

    text: str
    tokens_in: int = 0
    tokens_out: int = 0
    finished: bool | None = None
    """False: the token cap cut it. None: the teacher does not say."""
    refusal: str | None = None
    """Why the teacher could not say anything, such as a prompt longer than its context."""
    seconds: float = 0.0
    """Wall time of its batch divided by the prompts in it; 0: not measured."""
    thoughts: str = ""
    """What a reasoning model wrote before its answer. Never a part of `text`."""
    adapted: tuple[str, ...] = ()
    """Where the teacher could not keep to the sampling or the prompt, in words, such as "no seed"."""
    batch: str = ""
    """The provider's id of the batch that it was ordered with; "" for an answer to a single request."""
    tokens: tuple[Token, ...] = ()
    """With their log-probabilities, where they were asked for and the server gives them; thoughts included."""
    uncounted: tuple[int, int] = (0, 0)
    """Under a budget: tokens of prompts and completions, at most, of calls for it whose answer or count was lost."""
    options: Mapping[str, float | None] = field(default_factory=dict)
    """Option → log p, of a teacher that scores the options themselves; {} for any other."""


@dataclass(frozen=True)
class Source:
    """The provenance of a generated text."""

    teacher: str
    """The model's name, without host or folder."""
    revision: str
    """Identifies its weights or file: a commit or a SHA-256; "" when unknown."""
    sampling: Sampling
    """As it is a part of the key: of a greedy text with seed 0."""
    seed: int
    """The seed that this text was asked for with (a retry uses a new one)."""
    created: str
    """UTC, ISO 8601."""
    tokens_in: int
    tokens_out: int
    version: str
    """shrinklm's own version."""
    seconds: float = 0.0
    """Wall time of the batch divided by its prompts."""
    adapted: tuple[str, ...] = ()
    """See `Completion`."""
    batch: str = ""
    """See `Completion`."""
    uncounted: tuple[int, int] = (0, 0)
    """See `Completion`."""
    tokenizer: str = ""
    """Identifies the tokenizer; "" where `revision` covers it, and in what version 0.1.0 wrote."""


@dataclass(frozen=True)
class Generation:
    """One text of a teacher about one example."""

    example_id: str
    kind: str
    answer: str
    """The answer the text argues for; for `label` the answer the teacher chose ("" when it did not parse)."""
    text: str
    prompt: str
    """The prompt's turns as JSON, word for word; "" where it was left in the store."""
    parents: tuple[str, ...]
    """Keys of the generations that went into the prompt."""
    source: Source
    key: str
    """Hash of the teacher, its prompt and its sampling (`ask_key`): identity, cache key and resume marker in one."""
    refusal: str | None = None
    """Why the text may not be used; the text is kept all the same."""
    thoughts: str = ""
    """See `Completion`."""
    logprobs: OptionLogprobs | None = None
    """How likely each option was; None where that was not asked for, or is not told."""
    by: str = ""
    """The recipe's name of the teacher that wrote it, where several take its step. Not stored."""
    samples: tuple[Generation, ...] = ()
    """Where several texts were asked for: all of them in their order, this one among them. Not stored."""

    @property
    def texts(self) -> tuple[Generation, ...]:
        """All texts of its question: the samples in their order, or this one alone."""
        return self.samples or (self,)


def that_counts(texts: Sequence[Generation]) -> Generation:
    """The one of a question's texts that stands for them: the first that is not refused, else the first.

    It holds all of them as `samples` where there are several.
    """
    alone = [replace(text, samples=()) if text.samples else text for text in texts]
    first = next((text for text in alone if not text.refusal), alone[0])
    return replace(first, samples=tuple(alone)) if len(alone) > 1 else first


def ask_key(teacher: str, revision: str, prompt: Prompt, sampling: Sampling) -> str:
    """Key of a question to a teacher. The same question is never paid for twice.

    A prompt without turns asks a recording, where the row and the option are the whole question.
    """
    about = [] if prompt.turns else [prompt.example.id, prompt.example.text]
    turns = [[turn.role, turn.text] for turn in prompt.turns]
    against = [["against", *([turn.role, turn.text] for turn in prompt.against)]] if prompt.against else []
    return digest(teacher, revision, prompt.kind, prompt.answer, turns, about, as_json(sampling), *against)


@dataclass(frozen=True)
class Pair:
    """A prompt that a student reads and the target that it learns."""

    prompt: str
    target: str
    option: str = ""
    """The answer that the target states; "" when none."""
    scored: tuple[int, int] | None = None
    """(start, end) of the characters of the target whose probability is asked for; None: of all of it. What stands
    before them is read and not scored."""
    weight: float = 1.0
    """Of its loss: the loss of a view is the mean over its pairs of weight × cross-entropy."""
    emphasis: tuple[tuple[int, int, float], ...] = ()
    """(start, end, weight above 0) of characters of the target: its cross-entropy is Σ weight × that of each token /
    Σ weight. Weights of overlapping spans multiply; all other characters have 1, and the end token has the last one's.
    """


@dataclass(frozen=True)
class Reply:
    """A student's continuation of a prompt."""

    text: str
    finished: bool
    """False: the cap cut it."""


@dataclass(frozen=True)
class Prediction:
    """A student's reply to one test question."""

    run: str
    """Name of the cell: method, student and seed."""
    example_id: str
    answer: str | None
    """None: did not parse. Counted wrong, and reported as a number of its own."""
    explanation: str | None
    """None: the student was not asked to explain this question; such an item has no explanation scores."""
    raw: str
    """The generated text the answer was parsed from."""
    likeliest: str | None = None
    """The option with the highest log-likelihood per character, or `summed`; None for free answers."""
    refusal: str | None = None
    """Why the student was not asked, such as a question longer than it reads, which counts as wrong; None: it was."""
    unread: str | None = None
    """Why no answer could be read (`tasks.unread`); None where one was, and where nobody asked."""
    explanation_cut: bool = False
    """Whether the explanation reached its cap: then it holds what was written until there."""
    likelihoods: tuple[float, ...] = ()
    """Σ log p of each different option, in the order in which the question shows them; () for free answers."""
    summed: bool = False
    """Whether options are compared by that sum and not by the character, as where their letters stand before them."""


@dataclass(frozen=True)
class Score:
    """One number about one prediction. A person's rating is a Score with a rater."""

    run: str
    example_id: str
    metric: str
    value: float
    rater: str | None = None


class Task(Protocol):
    """A named set of examples and the only parser of its answers."""

    name: str
    type: str
    """choice, nli, yesno or free: picks the few-shot examples of the prompts."""

    def examples(self, split: Split) -> Iterator[Example]:
        """The examples of a split, in a fixed order."""
        ...

    def parse(self, text: str, example: Example) -> str | None:
        """The answer `text` states: one of the choices (free answers: the text itself); None when it states none."""
        ...


class Teacher(Protocol):
    """A model, a server or a file that completes prompts. `complete` is the one method a plug-in author writes.

    What else a teacher may declare, with its defaults, is in `teachers.base.BaseTeacher`.
    """

    name: str
    revision: str

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        """Yield (position in `prompts`, completion) as they come, in any order, one for every prompt."""
        ...


class Metric(Protocol):
    """A pure function of an example and a prediction; a mapping names several numbers.

    Means and intervals belong to `stats`.
    """

    def __call__(self, example: Example, prediction: Prediction) -> float | Mapping[str, float] | None:
        """The number of one prediction; None where it cannot be scored."""
        ...


def by_id(examples: Iterable[Example]) -> dict[str, Example]:
    """The examples by their id."""
    return {example.id: example for example in examples}
