"""shrinklm: shrink a large language model into a small one that answers, explains itself, and comes with the evidence.

Every public name is imported when it is first used, so that `import shrinklm` is quick and loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PLACES = {
    "core.errors": ("ShrinkError",),
    "deploy.student": ("Answer", "TrainedStudent"),
    "methods.spec": ("method",),
    "methods.view": ("Method", "View"),
    "run.classifier": ("ShrunkClassifier",),
    "run.recipe": ("Recipe",),
    "run.run": ("Run",),
    "run.opening": ("open_run",),
    "teachers.store": ("Store",),
    "students.protocol": ("Student",),
    "tasks.base": ("TaskOptions", "make_task"),
    "teachers.base": ("TeacherOptions", "make_teacher"),
    "core.types": (
        "Completion",
        "Example",
        "Generation",
        "Metric",
        "Pair",
        "Prediction",
        "Prompt",
        "Sampling",
        "Score",
        "Task",
        "Teacher",
    ),
}
_PLACE = {name: place for place, names in _PLACES.items() for name in names}

__all__ = [
    "Answer",
    "Completion",
    "Example",
    "Generation",
    "Method",
    "Metric",
    "Pair",
    "Prediction",
    "Prompt",
    "Recipe",
    "Run",
    "Sampling",
    "Score",
    "ShrinkError",
    "ShrunkClassifier",
    "Store",
    "Student",
    "Task",
    "TaskOptions",
    "Teacher",
    "TeacherOptions",
    "TrainedStudent",
    "View",
    "__version__",
    "make_task",
    "make_teacher",
    "method",
    "open_run",
]

if TYPE_CHECKING:
    from .core.errors import ShrinkError
    from .core.types import (
        Completion,
        Example,
        Generation,
        Metric,
        Pair,
        Prediction,
        Prompt,
        Sampling,
        Score,
        Task,
        Teacher,
    )
    from .deploy.student import Answer, TrainedStudent
    from .methods.spec import method
    from .methods.view import Method, View
    from .run.classifier import ShrunkClassifier
    from .run.opening import open_run
    from .run.recipe import Recipe
    from .run.run import Run
    from .students.protocol import Student
    from .tasks.base import TaskOptions, make_task
    from .teachers.base import TeacherOptions, make_teacher
    from .teachers.store import Store


def __getattr__(name: str) -> Any:
    if name not in _PLACE:
        raise AttributeError(f"module 'shrinklm' has no attribute {name!r}. Public names: {', '.join(__all__)}.")
    return getattr(importlib.import_module(f"{__name__}.{_PLACE[name]}"), name)


def __dir__() -> list[str]:
    return __all__
