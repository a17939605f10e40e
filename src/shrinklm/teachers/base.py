"""The base class of teachers, and how a teacher is made: from its spec, or from an object of the user's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from ..core.errors import TeacherError
from ..core.registry import find, is_own, kind_of, make, names, split_spec
from ..core.types import Completion, Generation, Prompt, Sampling, Teacher, Turn
from .costs import Price
from .thoughts import begin_of_answer

if TYPE_CHECKING:
    from .budget import Budget

Thinking = Literal["off", "low", "high"]

DOES_NOT_FIT = "the prompt does not fit"
"""How the refusal of a prompt that is longer than a teacher's context begins; the length and the limit follow."""
FILTERED = "the provider's filter"
"""How the refusal of a prompt or a text that the provider does not let through begins."""
EATEN = "thoughts used up the token cap"
"""How the refusal of a text begins that a reasoning model never came to; the cap and what to set follow."""
FAILED = "the server failed"
"""How the refusal begins where a server gave no usable answer. It cost nothing, and is asked for again next time."""


def failed(generation: Generation) -> bool:
    """Whether a server gave no usable answer."""
    return (generation.refusal or "").startswith(FAILED)


class BaseTeacher(ABC):
    """All that the package reads from a teacher. A subclass sets `name` and `revision` and writes `complete`.

    A plug-in need not inherit from it: any object with `name`, `revision` and `complete` is adapted by `as_teacher`.
    """

    name: str
    revision: str
    tokenizer_revision: str = ""
    """Identifies its tokenizer; "" where `revision` covers it."""
    reads: bool = False
    """It looks texts up instead of writing them: it gets prompts without turns, and refused ones are not retried."""
    free: bool = False
    """It costs nothing, and its completions are stored by the thousand instead of singly."""
    asks: Mapping[str, Any] = MappingProxyType({})
    """Teachers that mark words: the settings that tell one marking of a question from another, as JSON values."""

    supposes: bool = False
    """It stands in for a model in a plan: nobody judges its texts."""
    max_tokens: int | None = None
    """Cap of a completion, thoughts included, where a step names none; None: the step's own."""
    slice: int | None = None
    """Questions that it is given at a time; None: as many as others (`ask.SLICE`). More where each `complete` costs a
    start of its own."""
    ready: int = 0
    """Completions that have come already and will be yielded without waiting; their texts share a commit."""
    tell: Callable[[str], None] = staticmethod(lambda state: None)
    """Called with the state in words while no completion comes, such as "waiting until 12:30:05". Set by who asks."""

    later: bool = False
    """Its completions come hours later: `complete` yields those that have come, and `send` orders the others."""
    budget: Budget | None = None
    """What the run may spend, set by who asks; None: anything."""
    keeps_budget: bool = False
    """`complete` counts each call against `budget` itself, retries included. Others are given what fits at a time."""
    tells_logprobs: bool = False
    """It may give the log-probabilities of tokens (`Sampling.logprobs`). Others are not asked for them."""
    contrasts: bool = False
    """It can hold a prompt against another one, token by token (`Prompt.against`)."""
    spreads: bool = True
    """Copies of it on other machines may answer in its place."""
    on_ray: bool = False
    """It answers on the Ray cluster that this process is connected to."""
    unpaid: bool = False
    """It works on this machine and asks no money, so that a budget needs no price."""

    @property
    def price(self) -> Price | None:
        """None when unknown. A subclass overrides it with a property or an attribute of the class."""
        return None

    def listed(self, prompt: Prompt) -> int | None:
        """Of a recording: the texts that its cell lists for a prompt; None where it holds one text, and no list.

        Under `Sampling.seed` 1 it then completes the prompt with the first of them, under 2 with the second.
        """
        return None

    def begin(self, store: Path) -> None:  # noqa: B027
        """Of a teacher that answers later: called before its questions. It keeps what it orders beside `store`."""

    def send(self) -> str:
        """Of a teacher that answers later: order what `complete` left since `begin`; what is awaited, in words."""
        return ""

    def wait(self, moment: bool) -> bool:
        """Of a teacher that answers later: wait until something has come, or for a moment; whether it has."""
        return False

    def check(self) -> None:  # noqa: B027
        """Raises when it could not answer, as far as can be told without loading weights or asking a server."""

    def check_access(self, kinds: Collection[str]) -> None:  # noqa: B027
        """Raises when it cannot be asked from here for texts of these kinds: its key is not set, a column is missing.

        Called before anybody is asked, and not where all texts are in the store.
        """

    @abstractmethod
    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        """Yield (position in `prompts`, completion) as they come, in any order, one for every prompt."""


class _Adapted(BaseTeacher):
    """An object with `name`, `revision` and `complete`, and with the defaults of the attributes it does not declare."""

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher
        self.reads = bool(getattr(teacher, "reads", BaseTeacher.reads))
        self.free = bool(getattr(teacher, "free", BaseTeacher.free))
        self.asks = getattr(teacher, "asks", BaseTeacher.asks)
        self.contrasts = bool(getattr(teacher, "contrasts", BaseTeacher.contrasts))
        self.max_tokens = getattr(teacher, "max_tokens", BaseTeacher.max_tokens)
        self.slice = getattr(teacher, "slice", BaseTeacher.slice)

    @property
    def price(self) -> Price | None:
        """See `BaseTeacher`."""
        price: Price | None = getattr(self._teacher, "price", None)
        return price

    def listed(self, prompt: Prompt) -> int | None:
        """See `BaseTeacher.listed`."""
        number: int | None = getattr(self._teacher, "listed", super().listed)(prompt)
        return number

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        """See `BaseTeacher.complete`. Raises TeacherError for what is no completion of one of the prompts."""
        said: Any = self._teacher.complete(prompts, sampling)
        for item in said if isinstance(said, Iterable) else [said]:
            if not _completes(item, len(prompts)):
                raise TeacherError(
                    f"The teacher {self.name} gave {item!r:.80}: expected pairs of a position among the {len(prompts)} "
                    "prompts, counted from 0, and a shrinklm.Completion."
                )
            yield item

    def __getattr__(self, attribute: str) -> Any:
        # `name` and `revision` too are read from the object each time: a revision may be looked up when it is needed.
        if "_teacher" not in self.__dict__:  # while it is copied or unpickled
            raise AttributeError(attribute)
        return getattr(self._teacher, attribute)


def _completes(item: Any, count: int) -> bool:
    """Whether an item is a completion of one of so many prompts."""
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        return False
    position, completion = item
    return isinstance(completion, Completion) and hasattr(position, "__index__") and 0 <= position < count


@dataclass(frozen=True)
class TeacherOptions:
    """The settings of a recipe's `teacher:` block beside its spec."""

    root: Path = Path(".")
    """Relative paths start here."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """recorded: step → column."""
    most_rows: int | None = None
    """recorded: see `tasks.base.TaskOptions`."""
    most_megabytes: float | None = None
    """recorded: see `tasks.base.TaskOptions`."""
    batch: int | None = None
    """Prompts in one forward pass, or requests at a time at most; None: the teacher's own."""
    trust_remote_code: bool = False
    api_key_env: str = "OPENAI_API_KEY"
    """endpoint: the environment variable that holds the key. The key itself is stored nowhere."""
    price: Price | None = None
    thinking: Thinking | None = None
    """Whether, or how much, a reasoning model may think; None: as it does by itself."""
    max_tokens: int | None = None
    """Cap of a completion, thoughts included; None: as asked."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """endpoint: further fields of each request."""
    timeout: float = 600.0
    """endpoint: seconds that one request may take."""
    attempts: int = 6
    """endpoint: tries of one question before it counts as failed."""
    failures: float = 0.2
    """endpoint: share of the last 50 questions whose failing ends the run."""
    run: Path | None = None
    """The folder of the run that asks; None where none does."""
    requests_a_minute: int | None = None
    tokens_a_minute: int | None = None
    """Prompts and completions together."""


def make_teacher(spec: str, options: TeacherOptions | None = None) -> BaseTeacher:
    """Return the teacher of a spec: transformers:PATH, endpoint:URL#model, run:PATH#METHOD, recorded:FILE,
    fake or module:attribute.

    Cheap: no weights are loaded and no server is asked before the first `complete`, so that generations that are in the
    store already need neither. Raises UnknownName, RecipeError or TeacherError.
    """
    name, rest = (spec, "") if is_own("teachers", spec) else split_spec(spec)
    found = find("teachers", name, spec)
    if callable(found) and (isinstance(found, type) or not hasattr(found, "complete")):
        found = make("teachers", name, found, (rest, options or TeacherOptions()), _WANTED)
    return as_teacher(found, f"'{spec}'")


_WANTED = (
    "an object with `name`, `revision` and `complete`, or what makes one of two arguments, the rest of the spec and "
    "TeacherOptions"
)


def as_teacher(teacher: Teacher, source: str = "The object given") -> BaseTeacher:
    """Return a teacher with every attribute of `BaseTeacher`: itself where it inherits from it, else adapted.

    Args:
        teacher: Any object with `name`, `revision` and `complete`. Other attributes of `BaseTeacher` that it declares
            count too.
        source: Where it comes from, as the message of an error begins.

    Raises TeacherError when one of the three is missing.
    """
    if not all(hasattr(teacher, attribute) for attribute in ("name", "revision", "complete")):
        raise TeacherError(
            f"{source} is no teacher: it needs `name`, `revision` and `complete`, found {kind_of(teacher)}."
        )
    return teacher if isinstance(teacher, BaseTeacher) else _Adapted(teacher)


def is_recording(spec: str) -> bool:
    """Whether a spec names a registered teacher that reads texts instead of writing them. Opens no file."""
    name, _ = split_spec(spec)
    # A plug-in may register a function, which has no `reads`.
    return name in names("teachers") and bool(getattr(find("teachers", name), "reads", False))


def first_stop(text: str, stops: Sequence[str]) -> int | None:
    """The index where the first of the stops begins, or None; thoughts and white space before an answer are no stop."""
    begin = begin_of_answer(text)
    if begin is None:
        return None
    # Many models begin with a line break, which would end the text before it began.
    start = len(text) - len(text[begin:].lstrip())
    return min((index for index in (text.find(stop, start) for stop in stops) if index >= 0), default=None)


def without_system(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """The turns for a model without a system role: its text opens the first user turn."""
    if len(turns) < 2 or turns[0].role != "system":
        return turns
    return (Turn(turns[1].role, f"{turns[0].text}\n\n{turns[1].text}"), *turns[2:])
