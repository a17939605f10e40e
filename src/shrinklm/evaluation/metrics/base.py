"""The five kinds of metric, and the arguments of those that need a student.

A metric is whatever its name leads to (`core.registry.find("metrics", name)`): a function, or an object with the
methods of one of the protocols below. `isinstance` tells the kinds apart, so that a plug-in needs no base class:

- `Metric`: a function of one example and one prediction.
- `BatchMetric`: all rows at once, with an encoder; for metrics that compare meanings.
- `SetMetric`: all rows at once, without a model; for metrics of a set of texts.
- `Probe`: asks the student again under changed conditions (`evaluation.probes`).
- `Simulated`: trains a second student to predict the first (`evaluation.simulate`).
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ...core.files import Part
from ...core.registry import find, lacks, misfit
from ...core.types import Example, Metric, Prediction, Score, Tick, digest
from ...core.words import pieces
from ...methods.corpus import Corpus
from ...methods.view import Method
from ...models.encoder import Encoder
from .answers import normalise

if TYPE_CHECKING:
    from ...students.protocol import Student

Value = float | Mapping[str, float] | None
"""A metric's value of one row: a number, several by their names, or None where it cannot be scored."""
Rows = Sequence[tuple[Example, Prediction]]
Fit = Callable[[Corpus, Method, int], "Student"]
"""(what to learn from, as which views, index of the fold) → a trained simulator."""


@runtime_checkable
class BatchMetric(Protocol):
    """A metric of all rows at once, so that texts are encoded in batches and each of them once."""

    def many(self, rows: Rows, encoder: Encoder) -> Sequence[Value]:
        """The value of each row, in the order of the rows."""
        ...


@runtime_checkable
class SetMetric(Protocol):
    """A metric of a run's texts as a set, which needs no model."""

    def together(self, rows: Rows) -> Sequence[Value]:
        """What each row adds, in the order of the rows; there may be rows of several runs."""
        ...


@dataclass(frozen=True)
class Condition:
    """The explanation and tag that replace a student's own when it answers again."""

    explanation: str = ""
    """"": no explanation at all."""
    tag: str = ""
    """"": the method's own."""


@dataclass(frozen=True)
class Context:
    """The context of a probe beyond one question: the student's other explanations, and seeded random choices."""

    method: Method
    explained: Sequence[Prediction]
    """The predictions with an explanation, in the order of the questions."""
    seed: int = 0
    counterfactuals: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Example id → wrong option → the teacher's explanation of it; empty where the teacher explained none."""

    @cached_property
    def others(self) -> Mapping[str, str]:
        """Example id → the explanation of another question.

        The explanations that hold text stand in a seeded circle and each question gets the next one, so that every text
        is used once and the texts in use are the same as in the test: only their pairing with questions changes.
        """
        circle = [
            prediction for prediction in self.explained if prediction.explanation and prediction.explanation.strip()
        ]
        random.Random(digest("others", self.seed)).shuffle(circle)
        position = {prediction.example_id: index for index, prediction in enumerate(circle)}
        others = {}
        for index, prediction in enumerate(self.explained):
            # An empty explanation is not in the circle; its question takes one by its own index.
            successor = position.get(prediction.example_id, index - 1) + 1
            other = circle[successor % len(circle)] if circle else prediction
            if other is not prediction:
                others[prediction.example_id] = str(other.explanation)
        return others

    @cached_property
    def words(self) -> Sequence[tuple[str, str]]:
        """(example id, word) of every word of every explanation."""
        return [
            (prediction.example_id, word)
            for prediction in self.explained
            for word in pieces(str(prediction.explanation))
        ]

    def draw(self, *about: str) -> random.Random:
        """A generator for each question and purpose, so that a further probe does not change what the others draw."""
        return random.Random(digest(self.seed, *about))

    @property
    def other_tag(self) -> str:
        """The tag under which the method learned to defend a wrong answer; "" where it learned none."""
        views = [view for view in self.method.views if "counterfactual" in view.also]
        # A method that shows both kinds of explanation under one tag cannot have learned the tag as a shortcut.
        return views[0].last_line if views and views[0].last_line != self.method.answer.last_line else ""


@runtime_checkable
class Probe(Protocol):
    """A metric that needs further answers of the student."""

    def conditions(self, example: Example, prediction: Prediction, context: Context) -> Mapping[str, Condition]:
        """Name → condition under which the student answers again; empty where the probe does not apply."""
        ...

    def values(
        self, example: Example, prediction: Prediction, answers: Mapping[str, str | None]
    ) -> Mapping[str, float]:
        """The scores, by name, from the answer under each condition (None: none could be read).

        What cannot be scored is left out.
        """
        ...


@dataclass(frozen=True)
class SimulateSettings:
    """The settings of a simulation."""

    folds: int
    """Each question is simulated by a model that learned from the other folds."""
    seed: int
    """Divides the questions into folds."""
    masked: bool
    """Also read the explanation without the names and letters of the options."""
    batch: int
    """Questions in one pass."""


@runtime_checkable
class Simulated(Protocol):
    """A metric that trains a model to predict the student's answers."""

    def simulate(
        self,
        examples: Sequence[Example],
        predictions: Sequence[Prediction],
        fit: Fit,
        settings: SimulateSettings,
        part: Part,
        tick: Tick | None = None,
    ) -> list[Score]:
        """The scores of the explained predictions.

        `part` keeps each finished fold, so that a killed evaluation resumes.
        """
        ...


AnyMetric = Metric | BatchMetric | SetMetric | Probe | Simulated


def metric_of(name: str) -> AnyMetric:
    """The metric of a name. Raises UnknownName, or RecipeError for what is none of the five kinds."""
    found: AnyMetric = find("metrics", name)
    wanted = (
        "a function of an example and a prediction, or an object with `many`, `together`, `simulate`, or `conditions` "
        "and `values`"
    )
    if isinstance(found, type):
        raise misfit("metrics", name, found, wanted, ": name an object of it")
    if isinstance(found, BatchMetric | SetMetric | Probe | Simulated):
        return found
    half = lacks(found, ("conditions", "values"))
    if len(half) == 1:
        raise misfit("metrics", name, found, wanted, f" without `{half[0]}`")
    if not callable(found):
        raise misfit("metrics", name, found, wanted)
    try:
        inspect.signature(found).bind(None, None)
    except TypeError as error:
        raise misfit("metrics", name, found, wanted, f", which cannot be called so: {error}") from error
    except ValueError:
        pass  # of some that are built in nobody knows what they take
    return found


def same_answer(example: Example, first: str | None, second: str | None) -> bool:
    """Whether two answers are the same option, or free answers of the same normalised words.

    An unread answer (None) equals no answer.
    """
    if first is None or second is None:
        return False
    return first == second if example.choices else normalise(first) == normalise(second)
