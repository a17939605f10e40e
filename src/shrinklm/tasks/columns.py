"""`task.columns` of a recipe, checked against a table: which column holds what."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from ..core.errors import TaskError, UnknownName
from ..core.tables import Rows
from ..core.tables.printed import parsed
from ..core.tables.rows import reach

YESNO = ("yes", "no")
LABELS = ("entailment", "neutral", "contradiction")
_ANSWERS = frozenset(
    {"answer", "answers", "answerkey", "answer_key", "correct", "correct_answer", "gold", "gold_label", "label"}
    | {"labels", "solution", "target"}
)
"""Columns that hold answers, by their usual names."""
_LOOKED_AT = 100
"""Rows in which a key inside a column is looked for: a single one may lack it."""
_KEYS = ("id", "question", "choices", "answer", "answer_from", "context", "explanation", "highlight")


@dataclass(frozen=True)
class Choices:
    """Where the options come from: one column, several, or a fixed list; all empty for free answers."""

    column: str | None = None
    """A list, one printed as text, {label, text} as in CommonsenseQA, or {"A": text, "B": text}."""
    columns: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    implied: bool = False
    """Whether the fixed options are those of the task's type: nobody said in which order numbers count them."""

    @property
    def shuffle(self) -> bool:
        """Whether their order may change: fixed labels keep theirs."""
        return not self.fixed


@dataclass(frozen=True)
class Columns:
    """The columns of one table."""

    question: tuple[str, ...]
    """Joined by a blank when several."""
    answer: str | None
    """None: the questions come without answers."""
    ask: str = ""
    """The question's text, where every row asks the same."""
    choices: Choices = Choices()
    id: str | None = None
    answer_from: int | None = None
    """Answers are numbers of options, counted from this one; None: inferred (text, letter, number from 0)."""
    context: Mapping[str, str] = field(default_factory=dict)
    """Name shown above the question → column."""
    explanation: tuple[str, ...] = ()
    """The first that is not empty; a list in it holds several explanations of the same answer."""
    highlight: str | None = None

    @property
    def needed(self) -> tuple[str, ...]:
        """Every column that is read, once."""
        single = [self.id, self.answer, self.choices.column, self.highlight]
        several = [*self.question, *self.choices.columns, *self.context.values(), *self.explanation]
        return tuple(dict.fromkeys([column for column in single if column] + several))

    @classmethod
    def resolve(cls, spec: Mapping[str, Any], rows: Rows, type: str | None = None, unlabelled: bool = False) -> Columns:
        """`task.columns` (`spec`) for this table, which may lack the column of the answers where it is `unlabelled`.

        Raises TaskError: an unknown key, a missing column.
        """
        for key in spec:
            if key not in _KEYS:
                # The error's advice to name a plug-in does not fit a key.
                raise TaskError(
                    f"task.columns: {UnknownName('key', str(key), _KEYS)}".replace(' Your own: "module:attribute".', "")
                )
        lookup = _Lookup(rows)
        if not spec.get("question"):
            raise TaskError(
                f"task.columns lacks `question`. Columns found in {rows.name}: {lookup.listing}. "
                "Write: columns: {question: NAME}"
            )
        # A text that ends in a question mark and names no column is the question that all rows ask.
        question = spec["question"]
        ask = question if isinstance(question, str) and question.rstrip().endswith("?") else ""
        ask = "" if ask in rows.columns else ask
        start = spec.get("answer_from")
        # True equals 1, and YAML reads an unquoted yes as True.
        if start not in (None, 0, 1) or isinstance(start, bool):
            raise TaskError(
                f"task.columns.answer_from is {start!r}: write 0 or 1, the number of the first option in your file."
            )
        context = spec.get("context") or {}
        # Columns that are only listed are shown under their own names.
        named = context if isinstance(context, Mapping) else {name: name for name in _list(context)}
        answer = lookup.answer(spec, unlabelled)
        return cls(
            question=() if ask else lookup.all("question", question),
            answer=answer,
            ask=ask,
            choices=lookup.choices(spec.get("choices"), type, lookup.names(answer, type)),
            id=lookup.column("id", spec["id"]) if spec.get("id") else None,
            answer_from=start,
            context={str(name): lookup.column("context", column) for name, column in named.items()},
            explanation=lookup.all("explanation", spec.get("explanation") or ()),
            highlight=lookup.column("highlight", spec["highlight"]) if spec.get("highlight") else None,
        )

    def infer_type(self) -> str:
        """choice, nli, yesno or free, by the options."""
        fixed = {option.casefold() for option in self.choices.fixed}
        if fixed:
            return "yesno" if fixed == set(YESNO) else "nli" if fixed == set(LABELS) else "choice"
        return "choice" if self.choices.column or self.choices.columns else "free"


class _Lookup:
    """Looks columns up in a table. Raises TaskError for those that it lacks."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.listing = ", ".join(rows.columns)

    def column(self, key: str, column: Any) -> str:
        """The column that `task.columns.KEY` names, or a place inside one: "question.stem"."""
        if isinstance(column, str) and self.has(column, f"task.columns.{key}"):
            return column
        near = difflib.get_close_matches(str(column), self.rows.columns, n=1, cutoff=0.5)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise TaskError(
            f"{self.rows.name} has no column '{column}' (task.columns.{key}).{hint} Columns found: {self.listing}."
        )

    def has(self, column: str, where: str) -> bool:
        """Whether there is such a column, or such a place inside one. Raises TaskError for keys that lead nowhere."""
        if column in self.rows.columns:
            return True
        top, path = self.rows.route(column)
        if not path:
            return False
        values = [values[0] for _, values in islice(self.rows.values([top]), _LOOKED_AT)]
        if all(reach(value, path) in (None, []) for value in values):
            inside = next((parsed(value) if isinstance(value, str) else value for value in values if value), None)
            inside = inside[0] if isinstance(inside, (list, tuple)) and inside else inside
            keys = ", ".join(map(str, inside)) if isinstance(inside, Mapping) else f"none, but {inside!r:.60}"
            raise TaskError(
                f"{self.rows.name}: in column '{top}' nothing is called '{'.'.join(path)}' ({where}). "
                f"Keys found: {keys}."
            )
        return True

    def answer(self, spec: Mapping[str, Any], unlabelled: bool) -> str | None:
        """The column of the answers; None where the questions have none, and a teacher is to label them."""
        column = spec.get("answer")
        if column and (not unlabelled or self.has(str(column), "task.columns.answer")):
            return self.column("answer", column)
        # The teacher's answers cost money: none are asked for where the user has some and forgot to name them.
        used = [*_list(spec.get("question")), *_list(spec.get("choices")), *_list(spec.get("context"))]
        likely = [name for name in self.rows.columns if name.casefold() in _ANSWERS and name not in used]
        if likely and (column or "answer" not in spec):
            raise TaskError(
                f"task.columns names no `answer` for {self.rows.name}, which has a column '{likely[0]}'. "
                f"Write: columns: {{answer: {likely[0]}}}. Is it something else, and the teacher is to label the "
                "questions? Then write: columns: {answer: null}"
            )
        return None

    def names(self, answer: Any, type: str | None) -> tuple[str, ...]:
        """The names of the answers where the file has them (ClassLabel) and they may serve as options."""
        names = self.rows.labels.get(str(answer), ())
        # Names such as "0" say nothing.
        return () if type == "free" or len(set(names)) < 2 or all(name.isdigit() for name in names) else names

    def all(self, key: str, columns: Any) -> tuple[str, ...]:
        """The columns that `task.columns.KEY` names, one or several."""
        return tuple(self.column(key, column) for column in _list(columns))

    def choices(self, spec: Any, type: str | None, names: tuple[str, ...]) -> Choices:
        """`task.columns.choices`: a column, several, a pattern, or fixed options; else the file's or the type's."""
        if not spec:
            usual = _usual(names) or names or {"yesno": YESNO, "nli": LABELS}.get(type or "", ())
            return Choices(fixed=usual, implied=not names)
        if isinstance(spec, str):
            if self.has(spec, "task.columns.choices"):
                return Choices(column=spec)
            return Choices(columns=self.pattern(spec))
        # An unquoted yes or no in YAML is a boolean.
        listed = [{True: "yes", False: "no"}[name] if isinstance(name, bool) else str(name) for name in _list(spec)]
        missing = [name for name in listed if not self.has(name, "task.columns.choices")]
        # Names of columns mixed with other names: a typo, not a list of fixed options.
        if missing and len(missing) < len(listed):
            raise TaskError(
                f"{self.rows.name} has no column '{missing[0]}' (task.columns.choices). Columns found: {self.listing}."
            )
        if not missing:
            return Choices(columns=tuple(listed))
        if len({name.casefold() for name in listed}) < max(2, len(listed)):
            raise TaskError(
                f"task.columns.choices: a fixed list needs two or more different options, found: {', '.join(listed)}."
            )
        return Choices(fixed=tuple(listed))

    def pattern(self, pattern: str) -> tuple[str, ...]:
        """Columns by a pattern: "option_{option}" in the order of its numbers, "option_*" in the order of the table."""
        if "{option}" in pattern:
            # By number and not by name: option_10 comes after option_2.
            number = re.compile(re.escape(pattern).replace(re.escape("{option}"), r"(\d+)") + r"\Z")
            numbered = sorted((int(match[1]), name) for name in self.rows.columns if (match := number.match(name)))
            columns = [name for _, name in numbered]
        else:
            columns = (
                [column for column in self.rows.columns if fnmatch.fnmatchcase(column, pattern)]
                if re.search(r"[*?\[]", pattern)
                else []
            )
        if len(columns) < 2:
            raise TaskError(
                f"{self.rows.name} has no column '{pattern}' (task.columns.choices). Columns found: {self.listing}. "
                "Write one list column, several columns [a, b], a pattern such as option_{option} or option_*, "
                'or fixed options ["yes", "no"].'
            )
        return tuple(columns)


def _usual(names: Sequence[str]) -> tuple[str, ...]:
    """The usual labels in their usual order, where these are their names, in whatever spelling; else ()."""
    spelled = {name.casefold() for name in names}
    if spelled in ({"yes", "no"}, {"true", "false"}):
        return YESNO
    return LABELS if spelled in (set(LABELS), {"e", "n", "c"}) else ()


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
