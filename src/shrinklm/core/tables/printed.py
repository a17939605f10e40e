"""Lists and objects that a program printed into a text cell: JSON, Python's repr, numpy's and pandas' texts."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from ..errors import TableError

_DEEPEST = 50
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>[uU]?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"))
    | (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))
    | (?P<word>[A-Za-z_][\w.]*)
    | (?P<mark>\.\.\.|[\[\](){},:=])
    )""",
    re.VERBOSE | re.DOTALL,
)
_QUOTED = re.compile(r"""'([^'\\\r\n\0]*)'|"([^"\\\r\n\0]*)\"""")
_PLAIN = re.compile(rf"\[(?:{_QUOTED.pattern})(?:,? (?:{_QUOTED.pattern}))*\]")
"""A list of texts without a backslash, as nearly all are: read in a tenth of the time."""
_WORDS = {"None": None, "null": None, "nan": None, "NaN": None, "NaT": None, "<NA>": None, "True": True, "False": False}
_WORDS |= {"true": True, "false": False}
_OPEN = {"[": "]", "(": ")", "{": "}"}


def parsed(text: str) -> Any:
    """The list or object that a text is printed as; the text itself where it is printed as none.

    Read are JSON, Python (`['a', "it's"]`), numpy (`['a' 'b']`, `array(['a'], dtype=object)`) and what they hold.

    Raises TableError for a numpy text that was cut ("...").
    """
    shape = text.strip()
    if not shape or (shape[0] not in "[{(" and not shape.startswith(("array(", "np.array("))):
        return text
    if not shape.startswith("['"):
        try:
            return json.loads(shape)
        except (ValueError, RecursionError):
            pass
    if _PLAIN.fullmatch(shape):
        return [single or double for single, double in _QUOTED.findall(shape)]
    reader = _Reader(shape)
    try:
        value = reader.value(0)
    except _NotPrintedError:
        return text
    return value if reader.at_end() else text


class _NotPrintedError(Exception):
    """The text is no printed value."""


class _Reader:
    def __init__(self, text: str) -> None:
        self.text, self.place = text, 0

    def at_end(self) -> bool:
        return not self.text[self.place :].strip()

    def _take(self) -> tuple[str, str]:
        match = _TOKEN.match(self.text, self.place)
        if match is None or match.lastgroup is None:
            raise _NotPrintedError
        self.place = match.end()
        return match.lastgroup, match[match.lastgroup]

    def _peek(self) -> str:
        match = _TOKEN.match(self.text, self.place)
        return match[match.lastgroup] if match and match.lastgroup else ""

    def value(self, depth: int) -> Any:
        """The value that begins here."""
        kind, token = self._take()
        if depth > _DEEPEST:
            raise _NotPrintedError
        if kind == "text":
            return _unquoted(token)
        if kind == "number":
            return _number(token)
        if kind == "word":
            return _WORDS[token] if token in _WORDS else self._call(depth)
        if token == "{":
            return self._object(depth)
        if token in _OPEN:
            return self._items(_OPEN[token], depth)
        raise _NotPrintedError

    def _call(self, depth: int) -> Any:
        # array([...], dtype=object), np.str_('a'), OrderedDict([...]): the first argument is the value.
        if self._take()[1] != "(":
            raise _NotPrintedError
        value = self.value(depth + 1)
        while (token := self._take()[1]) != ")":
            if token in ("{", "[", "(", "..."):
                raise _NotPrintedError
        return value

    def _items(self, close: str, depth: int) -> list[Any]:
        items: list[Any] = []
        while self._peek() != close:
            if self._peek() == "...":
                raise TableError(
                    "the list was cut by numpy when it was printed ('...'). Write the table as JSON or Parquet."
                )
            items.append(self.value(depth + 1))
            if self._peek() == ",":  # numpy writes none
                self._take()
        self._take()
        return items

    def _object(self, depth: int) -> Any:
        entries: dict[str, Any] = {}
        values: list[Any] = []
        while self._peek() != "}":
            key = self.value(depth + 1)
            if self._peek() == ":":
                self._take()
                entries[str(key)] = self.value(depth + 1)
            else:
                values.append(key)  # a set
            if self._peek() == ",":
                self._take()
        self._take()
        if entries and values:
            raise _NotPrintedError
        return values or entries


def _unquoted(token: str) -> str:
    try:
        # A line break that numpy put inside a list stands between texts, but a cell may hold one inside a text.
        return str(ast.literal_eval(token.lstrip("uU").replace("\n", "\\n").replace("\r", "\\r")))
    except (SyntaxError, ValueError):
        raise _NotPrintedError from None


def _number(token: str) -> int | float:
    if re.fullmatch(r"[-+]?\d{1,4000}", token):
        return int(token)
    return float(token)
