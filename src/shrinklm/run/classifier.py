"""A student in scikit-learn's manner: `fit`, `predict`, `predict_proba`. scikit-learn itself is not needed."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import RecipeError, StudentError
from ..core.files import write_jsonl
from .recipe import Recipe
from .run import Run


@dataclass(eq=False)
class ShrunkClassifier:
    """A small language model that classifies texts.

    Args:
        student, method: As in a recipe; a method that needs no teacher.
        examples, batch, learning_rate, seed: Of the training, as in a recipe; `batch` texts are also asked at a time.
        folder: Keeps the run, in which an interrupted training goes on; left out: a temporary one.

    X is a list of texts or of mappings, or a DataFrame: `question`, and what else is read with it (not `id`, `choices`
    and `answer`). After `fit`, `classes_` holds the sorted labels and `student_` the `TrainedStudent`.
    """

    student: str = "tiny"
    method: str = "finetune"
    examples: int = 2000
    batch: int = 32
    learning_rate: float = 1e-4
    seed: int = 0
    folder: str | Path | None = None

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def set_params(self, **params: Any) -> ShrunkClassifier:
        """Change arguments of the constructor."""
        if wrong := [name for name in params if name not in self.get_params()]:
            raise ValueError(f"There is no parameter {wrong[0]!r}. There are: {', '.join(self.get_params())}.")
        vars(self).update(params)
        return self

    def fit(self, X: Any, y: Any) -> ShrunkClassifier:
        """Train a student on texts X and their labels y. Raises what a run raises."""
        self.classes_ = np.unique(np.asarray(y))
        rows = [
            {**row, "id": str(number), "choices": [*map(str, self.classes_)], "answer": str(label)}
            for number, (row, label) in enumerate(zip(_rows(X), y, strict=True))
        ]
        if len(self.classes_) < 2:
            raise RecipeError(f"y holds {len(self.classes_)} label: a classifier needs two or more.")
        columns: dict[str, Any] = {name: name for name in ("id", "question", "choices", "answer")}
        columns["context"] = [*dict.fromkeys(name for row in rows for name in row if name not in columns)]
        with tempfile.TemporaryDirectory() if self.folder is None else nullcontext(self.folder) as place:
            write_jsonl(Path(place) / "train.jsonl", rows)
            task = {"use": "table", "type": "choice", "train": "train.jsonl", "test": 0, "dev": 0, "shuffle": False}
            train = {"examples": self.examples, "batch": self.batch, "learning_rate": self.learning_rate}
            recipe = {"name": "classifier", "task": {**task, "columns": columns}, "methods": [self.method]}
            recipe |= {"student": self.student, "train": {**train, "seeds": [self.seed], "curve": 0}}
            run = Run(Recipe.parse({**recipe, "root": Path(place).resolve()}))
            run.train()
            self.student_ = run.student()
        return self

    def predict(self, X: Any) -> Any:
        """[texts] labels, each the likeliest."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def predict_proba(self, X: Any) -> Any:
        """[texts, classes] probabilities, in the order of `classes_`. Raises StudentError for too long a text."""
        labels = [*map(str, self.classes_)]
        asked = [{**row, "choices": labels} for row in _rows(X)]
        answers = self.student_.predict(asked, explain=False, by="likelihood", batch=self.batch)
        if lost := next((answer for answer in answers if not answer.probabilities), None):
            raise StudentError(f"Text {lost.id} got no probabilities: {lost.why or 'they are no finite numbers'}.")
        return np.array([[row.probabilities[label] for label in labels] for row in answers]).reshape(-1, len(labels))

    def score(self, X: Any, y: Any) -> float:
        """Accuracy."""
        return float(np.mean(self.predict(X) == np.asarray(y)))

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags("classifier", TargetTags(True), None, ClassifierTags(), input_tags=InputTags(string=True))


def _rows(X: Any) -> list[dict[str, Any]]:
    items = X.to_dict("records") if hasattr(X, "columns") else X
    return [dict(item) if isinstance(item, Mapping) else {"question": str(item)} for item in items]
