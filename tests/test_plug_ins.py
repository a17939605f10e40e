"""What a wrong "module:attribute" is told, for every group of names: what was found, and what is expected."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shrinklm.core.errors import RecipeError, ShrinkError, TaskError, TeacherError, UnknownName
from shrinklm.core.registry import is_own
from shrinklm.core.types import Completion, Example, Prediction, Prompt, Sampling
from shrinklm.evaluation.metrics.base import metric_of
from shrinklm.evaluation.score import score_predictions
from shrinklm.methods.spec import method
from shrinklm.students.open import StudentSpec, load_student, open_student, outline
from shrinklm.students.training.losses.base import term
from shrinklm.tasks.base import TaskOptions, make_task, without
from shrinklm.teachers.base import as_teacher, make_teacher

CODE = '''
from shrinklm import Completion
from shrinklm.students.base import BaseStudent
from shrinklm.students.training.losses.base import Loss

NUMBER = 7
TEXT = "a text"
NOTHING = None

def nothing(): ...
def one(first): ...
def two(first, second): ...
def wrong(first, second): return "good"
def raises(*arguments, **options): raise KeyError("inside")
def gives_nothing(*arguments, **options): return None

class Bare:
    """Takes no options."""
    name, revision, type = "bare", "1", "choice"
    def complete(self, prompts, sampling): yield from ()
    def examples(self, split): yield from ()
    def parse(self, text, example): return text

class Half:
    def __init__(self, *arguments): ...
    name = "half"
    type = "choice"
    def conditions(self, example, prediction, context): return {}
    def many(self, rows, encoder): return [1.0] * len(rows)

class OnlyConditions:
    def conditions(self, example, prediction, context): return {}

ONLY_CONDITIONS = OnlyConditions()

class Familyless(BaseStudent): ...
class Picky(Loss):
    def __init__(self, value): raise KeyError("inside")
class Lazy(Loss): ...
class Few:
    def together(self, rows): return []
FEW = Few()
'''


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: itertools.count[int] = itertools.count()) -> str:  # noqa: B008
    name = f"own_code_{next(number)}"
    (tmp_path / f"{name}.py").write_text(CODE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def student(use: str) -> Any:
    return open_student(StudentSpec(use, None, 1, 64, False))


OPEN: dict[str, Callable[[str], Any]] = {
    "task": lambda use: make_task(use, TaskOptions()),
    "teacher": make_teacher,
    "method": method,
    "student": student,
    "metric": metric_of,
    "loss": term,
}
OBJECTS = ["NUMBER", "TEXT", "NOTHING", "nothing", "Bare", "one", "raises", "gives_nothing", "Half"]
FITS = {("metric", "raises"), ("metric", "gives_nothing")}
"""Functions of any two arguments: what they do shows when they are called."""


@pytest.mark.parametrize(("group", "attribute"), [*itertools.product(OPEN, OBJECTS)])
def test_what_is_found_and_what_is_expected(code: str, group: str, attribute: str) -> None:
    if (group, attribute) in FITS:
        OPEN[group](f"{code}:{attribute}")
        return
    with pytest.raises(ShrinkError) as told:
        OPEN[group](f"{code}:{attribute}")
    said = str(told.value)
    assert f"{code}:{attribute}" in said
    assert any(each in said for each in ("expected", "Wanted", "it needs", "cannot be made")), said


@pytest.mark.parametrize(
    ("group", "attribute", "message"),
    [
        ("task", "nothing", r"is no task: expected a function of TaskOptions.*, found the function nothing, which"),
        ("task", "Bare", r"found the class Bare, which cannot be called so: too many positional arguments"),
        ("task", "Half", r"is no task: .* found Half without `examples`"),
        ("task", "raises", r"The task '.*' cannot be made: KeyError: 'inside'"),
        ("teacher", "Bare", r"is no teacher: expected an object with `name`, .* found the class Bare, which cannot be"),
        ("teacher", "one", r"found the function one, which cannot be called so: too many positional arguments"),
        ("teacher", "gives_nothing", r"is no teacher: it needs `name`, `revision` and `complete`, found NoneType"),
        ("method", "nothing", r"is no method: expected an object of the class .*Method, found the function nothing"),
        ("method", "Bare", r"found the class Bare"),
        ("student", "nothing", r"is no student: expected a class that inherits .*BaseStudent, found the function noth"),
        ("student", "Familyless", r"expected a class with `family`.*, found the class Familyless, which has none"),
        ("metric", "Half", r"is no metric: expected a function .*, found the class Half: name an object of it"),
        ("metric", "one", r"found the function one, which cannot be called so: too many positional arguments"),
        ("metric", "ONLY_CONDITIONS", r"found OnlyConditions without `values`"),
        ("loss", "Picky", r"missing 1 required positional argument"),
        ("loss", "Lazy", r"the class Lazy, which does not define `asks`"),
    ],
)
def test_the_words(code: str, group: str, attribute: str, message: str) -> None:
    with pytest.raises(ShrinkError, match=message):
        OPEN[group](f"{code}:{attribute}")


@pytest.mark.parametrize("group", OPEN)
@pytest.mark.parametrize(
    ("use", "message"),
    [
        ("no_such_module.inside:X", "does not import: No module named 'no_such_module'. Is its folder on PYTHONPATH"),
        ("{code}:Bear", "does not import: {code} has no 'Bear'. Did you mean 'Bare'"),
        ("{code}.inner:X", "does not import: No module named '{code}.inner'"),
        ("broken_syntax:X", "importing broken_syntax raised SyntaxError"),
        ("broken_value:X", "importing broken_value raised ValueError: at import"),
        ("broken_exit:X", "importing broken_exit raised SystemExit: 3"),
        ("broken_needs:X", "No module named 'not_installed_here'. broken_needs needs it."),
    ],
)
def test_what_does_not_import(code: str, tmp_path: Path, group: str, use: str, message: str) -> None:
    for name, text in {
        "syntax": "def (",
        "value": "raise ValueError('at import')",
        "exit": "raise SystemExit(3)",
        "needs": "import not_installed_here",
    }.items():
        (tmp_path / f"broken_{name}.py").write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError) as told:
        OPEN[group](use.format(code=code))
    assert message.format(code=code) in str(told.value)


def test_a_student_is_looked_at_wherever_it_is_opened(code: str, tmp_path: Path) -> None:
    spec = StudentSpec(f"{code}:nothing", None, 1, 64, False)
    with pytest.raises(RecipeError, match="is no student"):
        outline(spec)
    (tmp_path / "shrinklm.json").write_text('{"class": "a:B", "max_length": 8, "family": "causal"}', encoding="utf-8")
    with pytest.raises(RecipeError, match="is no student"):
        load_student(tmp_path, use=spec.use)


def test_what_a_metric_gives_is_looked_at(code: str) -> None:
    example = Example("e", "Where?", ("here", "there"), "here")
    asked = [Prediction("run", "e", "here", None, "here")]
    with pytest.raises(RecipeError, match=rf"The metric '{code}:wrong' gave 'good': expected a number, None, or names"):
        score_predictions(make_task("everyday", TaskOptions()), [example], asked, [f"{code}:wrong"])
    with pytest.raises(RecipeError, match=rf"The metric '{code}:FEW' gave 0 values for 1 rows"):
        score_predictions(make_task("everyday", TaskOptions()), [example], asked, [f"{code}:FEW"])


@pytest.mark.parametrize(
    "said",
    [
        None,
        "a text",
        ["a text"],
        [Completion("a text")],
        [(0, "a text")],
        [(1, Completion("x"))],
        [(-1, Completion(""))],
    ],
    ids=str,
)
def test_what_a_teacher_gives_is_looked_at(said: Any) -> None:
    class Odd:
        name, revision = "odd", "1"

        def complete(self, prompts: Any, sampling: Any) -> Any:
            return said

    asked = Prompt((), Example("e", "Where?", (), ""), "explanation", "here")
    with pytest.raises(TeacherError, match=r"The teacher odd gave .*: expected pairs of a position among the 1"):
        list(as_teacher(Odd()).complete([asked], Sampling()))


@pytest.mark.parametrize("given", [None, ["a text"], [("e", "Where?")], [{"question": "Where?"}]], ids=str)
def test_what_a_task_gives_is_looked_at(given: Any) -> None:
    class Odd:
        name, type = "odd", "free"

        def examples(self, split: str) -> Any:
            return given

        def parse(self, text: str, example: Example) -> str:
            return text

    with pytest.raises(TaskError, match=r"The task 'odd' gave .* for train: expected objects of the class"):
        without(Odd(), "train", [])


def test_a_misspelt_name_is_no_module(code: str) -> None:
    assert all(is_own("teachers", spec) for spec in (f"{code}:Bare", "nowhere.at_all:X"))
    assert not any(is_own("teachers", spec) for spec in ("fak:x", "fake:first", "recorded:a.csv", f"{code}:a-b", code))
    with pytest.raises(UnknownName, match="Did you mean 'fake'"):
        make_teacher("fak:x")


def test_a_module_that_another_machine_lacks_is_named() -> None:
    said = r'Your own: "module:attribute"\. There is no module \'my_plug\' on the Python path of \S+\.$'
    with pytest.raises(UnknownName, match=said):
        make_teacher("my_plug:Teacher")
    with pytest.raises(UnknownName, match=said):
        open_student(StudentSpec("my_plug:Student", None, 1, 64, False))
    # A model's path is no attribute of a module.
    with pytest.raises(UnknownName, match=r'Your own: "module:attribute"\.$'):
        make_teacher("transformer:org/model")
