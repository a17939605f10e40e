"""How a trained student answers, as a record that goes with its weights: neither recipe nor data are needed then."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..core.errors import StudentError
from ..core.files import write_json
from ..core.types import Task
from ..methods.view import Method, View
from ..tasks.answers import parse_answer, stated_text
from ..tasks.base import SplitTask, TaskOptions

NOTE = "answering.json"
"""The file beside exported weights that holds the record."""
_VERSION, _LETTERS = 1, 2
"""Of a record, and of one whose options are stated with letters, which earlier versions do not know of."""
_PARSERS = {"squad": stated_text}
"""Tasks whose answers are read in a way of their own."""


@dataclass(frozen=True)
class Answering:
    """How one trained student answers."""

    name: str
    """Its cell in the run: method, student and seed."""
    method: str
    """As the recipe names it."""
    answer: View
    """The view that answers."""
    explain: View | None
    """The view that explains; None where the method teaches no explanation."""
    max_tokens: int
    """Cap of an explanation, in tokens."""
    answer_tokens: int
    """Cap of the answering view's reply, in tokens, as in the evaluation."""
    task: str
    """What the recipe calls the task."""
    type: str
    """choice, nli, yesno or free."""
    labels: tuple[str, ...] = ()
    """The options of every question, where they never change; () where each question brings its own."""
    fields: Mapping[str, bool] = field(default_factory=dict)
    """The context that training questions have, such as a premise → whether all of them have it."""
    temperature: float | None = None
    """Divides the scores of options (`evaluation.confidence`), so that probabilities are calibrated; None: not so."""

    def task_alone(self) -> Task:
        """A task without questions: its name, its type and its parser."""
        parse = _PARSERS.get(self.task, parse_answer)
        return SplitTask(self.task, self.type, TaskOptions(), lambda source, split: [], parse=parse)

    def as_method(self) -> Method:
        """The method without what it is trained on."""
        return Method(self.method, {}, self.answer, self.explain)

    def to_json(self) -> dict[str, Any]:
        """The content of answering.json."""
        views = {"answer": _from_view(self.answer), "explain": self.explain and _from_view(self.explain)}
        rest = {name: value for name, value in vars(self).items() if name not in views}
        version = _LETTERS if any(view and view.letters for view in (self.answer, self.explain)) else _VERSION
        return {"version": version, **rest, **views, "labels": list(self.labels), "fields": dict(self.fields)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Answering:
        """From what `to_json` gave. Raises StudentError for anything else."""
        try:
            if content["version"] not in (_VERSION, _LETTERS):
                raise StudentError(
                    f"{NOTE} has version {content['version']}; this shrinklm reads {_LETTERS}. Update shrinklm."
                )
            known = {name: content[name] for name in cls.__dataclass_fields__ if name in content}
            explain = content["explain"] and _view(content["explain"])
            made = cls(**{**known, "answer": _view(content["answer"]), "explain": explain})
            _check_numbers(made)
            return replace(made, labels=tuple(map(str, made.labels)), fields=dict(made.fields))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StudentError(f"{NOTE} does not say how a student answers: {error!r}. Export it again.") from error

    def write(self, folder: Path) -> None:
        """Writes answering.json into a folder. Raises StoreError."""
        write_json(folder / NOTE, self.to_json())

    @classmethod
    def read(cls, folder: Path) -> Answering:
        """What `write` wrote. Raises StudentError."""
        try:
            content = json.loads((folder / NOTE).read_bytes())
        except OSError:
            raise StudentError(
                f"{folder} holds no {NOTE}: it is no exported student. Make one with: shrinklm export-model RUN"
            ) from None
        except ValueError as error:
            raise StudentError(f"{folder / NOTE} is damaged: {error}. Export the student again.") from error
        return cls.from_json(content)


def _check_numbers(made: Answering) -> None:
    """Raises ValueError for caps that are none, and for a temperature that would turn probabilities round."""
    for name in ("max_tokens", "answer_tokens"):
        if type(value := getattr(made, name)) is not int or value < 1:
            raise ValueError(f"{name} is {value!r}, not a whole number above 0")
    warm = made.temperature
    if warm is not None and (type(warm) not in (int, float) or not 0 < warm < math.inf):
        raise ValueError(f"temperature is {warm!r}, not a number above 0")
    if isinstance(made.labels, str):
        raise ValueError(f"labels are {made.labels!r}, not a list")


def _from_view(view: View) -> dict[str, Any]:
    record = {"name": view.name, "says": list(view.says), "lead": view.lead, "tag": view.tag}
    return {**record, "letters": True} if view.letters else record


def _view(content: Mapping[str, Any]) -> View:
    name, lead, tag = (str(content[key]) for key in ("name", "lead", "tag"))
    says = tuple(map(str, content["says"]))
    if not says or not set(says) <= {"answer", "explanation"}:
        raise ValueError(f"a view says {list(says)}, not answer and explanation")
    return View(name, _never, says=says, lead=lead, tag=tag, letters=content.get("letters") is True)


def _never(*_: object) -> str:
    """An exported view asks, and builds no pairs."""
    return "this student is not trained any more"
