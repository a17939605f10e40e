"""Every error a user can meet.

ShrinkError                     the base: catch this one
├── RecipeError                 the recipe: an unknown key, a value out of range, a file that is not there
├── TableError                  a table: it cannot be read, or lacks a column, a row or a value
│   └── TaskError               a task's data: a missing column, a bad row, an answer not among its choices
├── TeacherError                a teacher cannot answer: no server, no weights, no reply
│   └── BudgetError             the next call could pass the recipe's budget
├── Pending                     texts are ordered and come later: no fault, and the same command goes on then
├── AuditError                  the teacher's texts support their answers less often than the recipe asks for
├── MethodError                 a method's name or its generations are missing
├── ModelError                  weights or a tokenizer are not where the recipe says, or cannot be read
├── StudentError                a student cannot be loaded, trained or asked
│   └── ExportError             an exported student does not answer as the one that was trained
├── StudyError                  a study with people: its form, its design, or its records
├── HubError                    the Hub cannot be reached, or does not take what is uploaded
├── StoreError                  the store or a run folder cannot be read or written
├── ClusterError                a cluster cannot be reached, or loses what is done on it
├── MissingExtra                an optional package is not installed
├── Elsewhere                   another of the processes that train together failed, and has said why
└── UnknownName                 no such task, teacher, method, student or metric

A message says what is wrong, what was found, and what to type.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class ShrinkError(Exception):
    """Base of all errors of this package."""

    exit_code = 1
    """Of a command that ends with it."""

    def __reduce__(self) -> tuple[Any, ...]:
        # By its message: the constructors of some take other arguments, and one process may raise it in another.
        return _again, (type(self), self.args, self.__dict__)


def _again(kind: type[ShrinkError], args: tuple[Any, ...], state: dict[str, Any]) -> ShrinkError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class RecipeError(ShrinkError):
    """A recipe is not valid, or asks for something impossible."""


class TableError(ShrinkError):
    """A table cannot be read, or lacks a column, a row or a value."""


class TaskError(TableError):
    """A dataset of a task, or a row of it, is not what the recipe says."""


class TeacherError(ShrinkError):
    """A teacher cannot be reached or cannot answer."""


class Pending(ShrinkError):
    """Texts are ordered from a teacher and have not come yet."""

    exit_code = 75
    """EX_TEMPFAIL of sysexits.h, "try again later"."""


class BudgetError(TeacherError):
    """The next call to a teacher or a judge could pass the recipe's budget. What came before is stored."""


class AuditError(ShrinkError):
    """A teacher's texts are not good enough to train on."""


class MethodError(ShrinkError):
    """A method is unknown or lacks what its views need."""


class ModelError(ShrinkError):
    """Weights or a tokenizer cannot be found or read."""


class StudentError(ShrinkError):
    """A student cannot be loaded, trained or asked."""


class ExportError(StudentError):
    """An exported student does not answer as the one that was trained, and is not kept."""

    def __init__(self, message: str, report: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.report = report
        """What was measured; None where it was not asked."""


class StudyError(ShrinkError):
    """A study with people cannot be made, served or analysed as it stands."""


class HubError(ShrinkError):
    """The Hub cannot be reached, or does not take what is uploaded."""


class StoreError(ShrinkError):
    """A store or a run folder cannot be read or written."""


class ClusterError(ShrinkError):
    """A cluster cannot be reached, has no room for what is asked of it, or loses what is done on it."""


class MissingExtra(ShrinkError):
    """An optional package is needed."""

    def __init__(self, package: str, extra: str, needed_for: str) -> None:
        super().__init__(
            f"{needed_for} needs the package '{package}', which is not installed. Run: "
            f'pip install "shrinklm[{extra}]"'
        )


class Elsewhere(ShrinkError):
    """Another of the processes that train together failed, and has said why: one message is enough."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def nearest(name: str, known: Iterable[str]) -> str:
    """ " Did you mean 'revised'?" for the known name that is most like a misspelt one; "" where none is."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{near[0]}'?" if near else ""


def last_line(error: BaseException) -> str:
    """The last line of what an error says, which of one with a traceback in it is the reason; else its name."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


class UnknownName(ShrinkError):
    """A name is not known; the message lists the known ones and the nearest."""

    def __init__(self, what: str, name: str, known: Iterable[str], more: str = "") -> None:
        names = sorted(known)
        super().__init__(
            f"No {what} is called '{name}'.{nearest(name, names)} Known: {', '.join(names)}. "
            f'Your own: "module:attribute".{more}'
        )
