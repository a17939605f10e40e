"""Shared by all tasks: their options, their splits, and the one parser of answers."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ..core.errors import TaskError
from ..core.registry import find, lacks, make, misfit
from ..core.types import SPLITS, Example, Split, Task, digests
from .answers import parse_answer, split_answer
from .asked import AskedRow
from .keys import Questions, question_key
from .order import shuffled

__all__ = [
    "SplitTask",
    "TaskOptions",
    "duplicates_across",
    "make_task",
    "parse_answer",
    "question_key",
    "shuffled",
    "split_answer",
    "without",
]

DEV_SHARE, TEST_SHARE = 0.1, 0.2
"""Where neither the recipe nor the task names a source. Test is taken first; dev is a share of what it leaves."""


@dataclass(frozen=True)
class TaskOptions:
    """The `task:` block of a recipe, with paths still relative to `root`."""

    train: str | None = None
    """File, folder (save_to_disk too) or hub name; a named task knows its own."""
    dev: float | str | None = None
    """Share of train, seeded; or a file like `train`; None: the task's own dev split, else a tenth of train."""
    test: float | str | None = None
    """A file like `train`, or a share of train, seeded; None: the task's own test split, else a fifth of train."""
    columns: dict[str, Any] = field(default_factory=dict)
    type: str | None = None
    """choice, nli, yesno or free; None: the table decides."""
    seed: int = 0
    """Splits the data and shuffles the choices."""
    shuffle: bool = True
    """Shuffle the choices of each question (never a fixed list of labels, nor options that point at each other)."""
    where: dict[str, Any] = field(default_factory=dict)
    """Column → the value or values by which rows are kept; {"not": ...}: by which they are left out."""
    encoding: str | None = None
    """Of a text file; None: UTF-8 or UTF-16, found out."""
    delimiter: str | None = None
    """Between the cells of a text file; None: found out."""
    sheet: str | None = None
    """Of an Excel workbook; None: the first."""
    most_rows: int | None = None
    """Of a table; None: 2^20, or one for each byte of its file if that is more."""
    most_megabytes: float | None = None
    """That a table may unpack to; None: 1,000, or 100 times the size of its file if that is more."""
    limit: int | dict[str, int] | None = None
    """The most examples of each split, or of the splits named: a seeded sample, in the order of the file."""
    root: Path = Path(".")


def make_task(spec_name: str, options: TaskOptions) -> Task:
    """The task that a recipe calls `spec_name`. Bad data raises TaskError later, when it is read.

    Raises:
        UnknownName: no such task.
        RecipeError: the name belongs to something else.
    """
    wanted = "a function of TaskOptions, or a class that takes them"
    task: Task = make("tasks", spec_name, find("tasks", spec_name), (options,), wanted)
    if missing := lacks(task, ("name", "type", "examples", "parse")):
        raise misfit("tasks", spec_name, task, f"{wanted}, which gives a task", f" without `{missing[0]}`")
    return task


class SplitTask:
    """A task whose splits come from files or as seeded shares of train.

    Args:
        name: what the recipe calls it.
        type: choice, nli, yesno or free.
        options: the recipe's.
        read: (file, folder or hub name; split) → its examples.
        sources: those that a named task knows, by split.
        parse: the reader of its answers.
        left_out: split → "column: value" → rows that `where` leaves out, counted as they are read.
        asked: (file, folder or hub name; columns named besides) → its rows as questions to be answered.
    """

    def __init__(
        self,
        name: str,
        type: str,
        options: TaskOptions,
        read: Callable[[str, Split], Sequence[Example]],
        sources: Mapping[Split, str] | None = None,
        parse: Callable[[str, Example], str | None] = parse_answer,
        left_out: Mapping[Split, Counter[str]] | None = None,
        asked: Callable[[str, Mapping[str, Any]], Iterator[AskedRow]] | None = None,
    ) -> None:
        self.name = name
        self.type = type
        self.options = options
        self._read = read
        self._sources = sources or {}
        self._parse = parse
        self.left_out = left_out or {}
        self.asked = asked
        """Reads questions without answers; None for a task that knows no tables."""
        for what, share in (("dev", options.dev), ("test", options.test)):
            if isinstance(share, (int, float)) and not 0 <= share < 1:
                raise TaskError(
                    f"task.{what} is {share}: a share of train lies from 0 to below 1, such as 0.1. Or name a file."
                )

    def examples(self, split: Split) -> Iterator[Example]:
        """The examples of a split, in the order of their file. Raises TaskError for bad data."""
        yield from self._splits[split].examples

    def questions(self, split: Split) -> Questions:
        """The examples of a split with the hashes of their questions. Raises TaskError for bad data."""
        return self._splits[split]

    def parse(self, text: str, example: Example) -> str | None:
        """The answer `text` states; None when it states none."""
        return self._parse(text, example)

    @cached_property
    def _splits(self) -> dict[Split, Questions]:
        # Rows hold no cycles, and each search for some goes through those read so far.
        with _uncollected():
            return self._read_splits()

    def _read_splits(self) -> dict[Split, Questions]:
        options, sources = self.options, self._sources
        source = options.train or sources.get("train")
        if not source:
            raise TaskError(
                f"Task '{self.name}' has no data. Write under task: train: FILE (CSV, JSONL, Parquet), folder or hub "
                "name."
            )
        parts: dict[Split, str | float] = {
            "test": sources.get("test", TEST_SHARE) if options.test is None else options.test,
            "dev": sources.get("dev", DEV_SHARE) if options.dev is None else options.dev,
        }
        shares = {split: share for split, share in parts.items() if not isinstance(share, str)}
        train = Questions(list(self._read(source, "train")), [split for split in shares if shares[split]], options.seed)
        taken: dict[Split, Questions] = {}
        # Test first, so that another dev share leaves the test split as it is.
        for split, part in parts.items():
            if isinstance(part, str):
                taken[split] = Questions(list(self._read(part, split)))
            else:
                train, taken[split] = train.divided(split, part)
        splits: dict[Split, Questions] = {"train": train, "dev": taken["dev"], "test": taken["test"]}
        # Before the limit: two examples with one id are a fault of the data, whether or not the sample holds both.
        _unique({split: questions.examples for split, questions in splits.items()})
        return {split: self._limited(split, questions) for split, questions in splits.items()}

    def _limited(self, split: Split, questions: Questions) -> Questions:
        limit = self._limit(split)
        if limit is None or limit >= len(questions.examples):
            return questions
        # Ranked by a hash, not cut at the top: files are often sorted by label. And a larger limit keeps the examples
        # of a smaller one, so that their generations are found in the store.
        rank = digests("limit", self.options.seed)
        ranks = [rank(example.id) for example in questions.examples]
        last = sorted(ranks)[limit - 1] if limit else ""
        return questions.picked([rank <= last for rank in ranks])

    def _limit(self, split: Split) -> int | None:
        limit = self.options.limit
        return limit.get(split) if isinstance(limit, dict) else limit


@contextmanager
def _uncollected() -> Iterator[None]:
    """Python looks for no cycles among the objects made meanwhile until it looks through all objects."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            # Together: all become old objects without being looked through, where turning it on would do so twice.
            gc.freeze()
            gc.unfreeze()
            gc.enable()


_LABELS = frozenset({"yes", "no", "true", "false", "entailment", "neutral", "contradiction"})


def labels_of(choices: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """The labels of a task whose questions all have the same options, in whatever order; () for any other.

    A good explanation of "yes" or "entailment" need not name it. One question alone cannot show whether its options
    are labels, but for such as "yes" and "no".
    """
    each = [tuple(dict.fromkeys(options)) for options in choices]
    first = each[0] if each else ()
    usual = {option.casefold() for option in first} <= _LABELS
    return first if {frozenset(options) for options in each} == {frozenset(first)} and (len(each) > 1 or usual) else ()


def duplicates_across(task: Task) -> list[dict[str, Any]]:
    """The questions that occur in more than one split: {"question": text, split: [ids], ...} each."""
    splits = {split: _questions(task, split) for split in SPLITS}
    several = Counter(hashed for questions in splits.values() for hashed in set(questions.hashes))
    entries: dict[str, dict[str, Any]] = {}
    for split, questions in splits.items():
        for example, hashed in zip(questions.examples, questions.hashes, strict=True):
            if several[hashed] > 1:
                entry = entries.setdefault(question_key(example), {"question": example.question})
                entry.setdefault(split, []).append(example.id)
    return [entry for entry in entries.values() if len(entry) > 2]


def without(task: Task, split: Split, shown: Iterable[Example]) -> list[Example]:
    """The examples of a split, but for those that ask the same question as one of `shown`."""
    questions, keys = _questions(task, split), set(map(question_key, shown))
    hashes = set(map(hash, keys))
    return [
        example
        for example, hashed in zip(questions.examples, questions.hashes, strict=True)
        if hashed not in hashes or question_key(example) not in keys
    ]


def _questions(task: Task, split: Split) -> Questions:
    if isinstance(task, SplitTask):
        return task.questions(split)
    # A task of somebody's own has its examples alone.
    given: Any = task.examples(split)
    examples = list(given) if isinstance(given, Iterable) else [given]
    for example in examples:
        if not isinstance(example, Example):
            raise TaskError(
                f"The task '{task.name}' gave {example!r:.80} for {split}: expected objects of the class "
                "shrinklm.Example."
            )
    return Questions(examples)


def _unique(splits: Mapping[Split, Sequence[Example]]) -> None:
    if len({example.id for examples in splits.values() for example in examples}) == sum(map(len, splits.values())):
        return
    seen: dict[str, Split] = {}
    for split, examples in splits.items():
        for example in examples:
            if example.id in seen:
                raise TaskError(
                    f"Two examples have the id '{example.id}': one in {seen[example.id]}, one in {split}. "
                    "Ids are unique within a task. Make them so, or leave `id` out of task.columns to have ids made "
                    "from the questions."
                )
            seen[example.id] = split
