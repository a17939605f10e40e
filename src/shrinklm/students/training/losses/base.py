"""What a further term of the loss is, what it asks for and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor

from ....core.errors import MethodError, ShrinkError, StudentError
from ....core.registry import find, kind_of
from ....core.types import Example, Pair
from ....methods.corpus import Corpus, ViewPair
from ....methods.view import Generations, Method
from ...base import BaseStudent
from ...batch import Scored
from ...logits import LogitTeacher
from ...tokens import PairTokens


@dataclass(frozen=True)
class Around:
    """What a term may look at before the first step."""

    student: BaseStudent
    """As it is before training."""
    corpus: Corpus
    method: Method
    tokens: Callable[[Sequence[Pair]], list[PairTokens]]
    """The token ids of pairs that are read together."""
    seen: int
    """Examples shown, over all epochs."""
    teacher: LogitTeacher | None = None
    """The model whose logits a term may read; None where the recipe names none."""


@dataclass(frozen=True)
class Shown:
    """One example in one epoch."""

    example: Example
    generations: Generations
    """Those that the epoch shows."""
    pairs: Sequence[ViewPair]
    """What is trained on: the views that can be built and fit the student's length."""
    epoch: int

    def of(self, view: str) -> ViewPair | None:
        """The pair of a view; None where it has none."""
        return next((item for item in self.pairs if item.view.name == view), None)


@dataclass(frozen=True)
class Ask:
    """What a term reads of one example."""

    pairs: Sequence[Pair]
    """At least one. Those of `Shown.pairs` are read once, whether or not terms ask for them; of the others no
    cross-entropy is trained on."""
    figures: Mapping[str, float | Sequence[float]] = field(default_factory=dict)
    """Numbers that the term needs, the same names for every ask; a sequence holds one for each pair."""
    tokens: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Numbers for each scored token of the pairs, one pair after the other, [scored tokens, ...]."""
    weight: float | None = None
    """Of its value: that of the pair that it is about, so that a text teaches a term as little as it teaches itself.
    None: that of the first of `pairs` that does not weigh 1, and 1 where all do."""

    @property
    def share(self) -> float:
        """See `weight`."""
        if self.weight is not None:
            return self.weight
        return next((pair.weight for pair in self.pairs if pair.weight != 1), 1.0)


@dataclass(frozen=True)
class Read:
    """What a student made of the asks of one term in one pass."""

    log_likelihood: Tensor
    """[pairs]: Σ log p of the scored tokens of each pair that was asked for, with its gradient."""
    ask: Tensor
    """[pairs]: the number of the ask that a pair belongs to."""
    place: Tensor
    """[pairs]: the place of a pair among those of its ask."""
    count: int
    """How many asks."""
    most: int
    """The most pairs of one ask."""
    figures: Mapping[str, Tensor]
    """[asks] each, or [asks, most] with 0 where an ask has fewer pairs."""
    pairs: Tensor
    """[pairs]: their number in the pass, which `scored.owner` gives for each token."""
    total: int
    """All pairs of the pass."""
    scored: Scored | None = None
    """All tokens of the targets of the pass, for a term that `reads` logits or states; also those of pairs that were
    not asked for, so that nothing waits for the device."""
    tokens: Mapping[str, Tensor] = field(default_factory=dict)
    """What was asked with for each token, [all scored tokens of the pass, ...]; 0 for those of other pairs."""
    student: BaseStudent | None = None
    """The model that is trained, for a term that has it read something of its own."""

    def table(self, values: Tensor | None = None, fill: float = -torch.inf) -> Tensor:
        """[asks, most]: `values` [pairs], the log-likelihoods if None; `fill` where an ask has fewer pairs."""
        values = self.log_likelihood if values is None else values
        table = values.new_full((self.count, self.most), fill)
        return table.index_put((self.ask, self.place), values)


class Loss:
    """A term of the loss: a class, or an object of one, among the entry points of the group `shrinklm.losses`.

    A class is given what the recipe writes behind its name ("2" in `multitask:soft=2`), "" for nothing, and raises
    ValueError for what it does not understand. A step's loss gets the term's weight × the mean over all asks of the
    step of the ask's weight × `value`, however it is cut into passes and processes.
    """

    reads: frozenset[Literal["logits", "states"]] = frozenset()
    """What it needs of each token beside its log-likelihood."""

    def check(self, student: BaseStudent, method: Method) -> None:
        """Raises MethodError or StudentError for a student that it cannot train, told without weights: they may be
        missing. Called before anything is paid for, and before `begin`."""

    def begin(self, around: Around) -> None:
        """Called once, before anything is asked. Raises MethodError or StudentError where it cannot do its work."""

    def asks(self, shown: Shown) -> Iterable[Ask | str]:
        """What is read of an example, or in words why the term says nothing about it, which is counted.

        A term that asks for nothing of any example is refused when the lessons are made.
        """
        raise NotImplementedError

    def value(self, read: Read) -> Tensor:
        """The loss of each ask, [asks], before its weight, which the trainer multiplies it by.

        Nothing in it may wait for the device.
        """
        raise NotImplementedError


def check_terms(losses: Mapping[str, Loss], student: BaseStudent, method: Method) -> None:
    """Raises MethodError or StudentError for a student that a term of the loss cannot train; see `Loss.check`."""
    for name, loss in losses.items():
        if "states" in loss.reads and type(student).logits is not BaseStudent.logits:
            own = f"{type(student).__name__} has `logits` of its own, and tells none"
            raise StudentError(f"'{name}' reads hidden states; {own}. Take '{name}' out of the method.")
        loss.check(student, method)


def term(option: str) -> Loss:
    """The term of a method's option, such as "options" or "soft=2".

    Raises UnknownName for a term that nobody has, MethodError for one that is no `Loss`, or for a value that it does
    not understand.
    """
    name, _, value = option.partition("=")
    found = find("losses", name)
    if isinstance(found, type) and issubclass(found, Loss):
        try:
            new: Callable[..., Loss] = found
            return _whole(name, new(value) if value else new())
        except ShrinkError:
            raise
        except Exception as error:
            raise MethodError(f"'{option}' is not understood by the loss '{name}': {error}.") from error
    if not isinstance(found, Loss):
        raise MethodError(
            f"The loss '{name}' is {found!r}. Wanted: a subclass of {Loss.__module__}.Loss, or an object of one."
        )
    if value:
        raise MethodError(f"The loss '{name}' takes a weight alone, such as {name}=0.5; found '{option}'.")
    return _whole(name, found)


def _whole(name: str, loss: Loss) -> Loss:
    for part in ("asks", "value"):
        if getattr(type(loss), part) is getattr(Loss, part):
            raise MethodError(f"The loss '{name}' is {kind_of(type(loss))}, which does not define `{part}`. Write it.")
    return loss
