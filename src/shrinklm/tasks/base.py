"""Shared by all tasks: their options, their splits, and the one parser of answers."""

from __future__ import annotations

import itertools
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import regex

from ..core.errors import RecipeError, TaskError
from ..core.registry import find
from ..core.types import SPLITS, Example, Split, Task, digests
from .answers import parse_answer, split_answer
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
]

# Of `regex`: to `re`, the vowel signs of Hindi and Thai are no part of a word.
_WORD = regex.compile(r"\w+")

_WORDS_ALONE = bytes(code if chr(code).isalnum() or code == ord("_") else ord(" ") for code in range(256))
"""Of ASCII texts: what separates words becomes a blank."""

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
    limit: int | dict[str, int] | None = None
    """The most examples of each split, or of the splits named: a seeded sample, in the order of the file."""
    root: Path = Path(".")


def make_task(spec_name: str, options: TaskOptions) -> Task:
    """The task that a recipe calls `spec_name`. Bad data raises TaskError later, when it is read.

    Raises:
        UnknownName: no such task.
        RecipeError: the name belongs to something else.
    """
    factory = find("tasks", spec_name)
    if not callable(factory):
        raise RecipeError(
            f"'{spec_name}' is no task: expected a function of TaskOptions, found {type(factory).__name__}."
        )
    task: Task = factory(options)
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
    ) -> None:
        self.name = name
        self.type = type
        self.options = options
        self._read = read
        self._sources = sources or {}
        self._parse = parse
        self.left_out = left_out or {}
        for what, share in (("dev", options.dev), ("test", options.test)):
            if isinstance(share, (int, float)) and not 0 <= share < 1:
                raise TaskError(
                    f"task.{what} is {share}: a share of train lies from 0 to below 1, such as 0.1. Or name a file."
                )

    def examples(self, split: Split) -> Iterator[Example]:
        """The examples of a split, in the order of their file. Raises TaskError for bad data."""
        yield from self._splits[split]

    def parse(self, text: str, example: Example) -> str | None:
        """The answer `text` states; None when it states none."""
        return self._parse(text, example)

    @cached_property
    def _splits(self) -> dict[Split, list[Example]]:
        options, sources = self.options, self._sources
        source = options.train or sources.get("train")
        if not source:
            raise TaskError(
                f"Task '{self.name}' has no data. Write under task: train: FILE (CSV, JSONL, Parquet), folder or hub "
                "name."
            )
        train = list(self._read(source, "train"))
        taken: dict[Split, list[Example]] = {}
        # Test first, so that another dev share leaves the test split as it is.
        for split, option, share in (("test", options.test, TEST_SHARE), ("dev", options.dev, DEV_SHARE)):
            name: Split = "test" if split == "test" else "dev"
            file_or_share = sources.get(name, share) if option is None else option
            if isinstance(file_or_share, str):
                taken[name] = list(self._read(file_or_share, name))
            else:
                train, taken[name] = _share(train, file_or_share, options.seed, name)
        splits: dict[Split, list[Example]] = {"train": train, "dev": taken["dev"], "test": taken["test"]}
        # Before the limit: two examples with one id are a fault of the data, whether or not the sample holds both.
        _unique(splits)
        return {split: _limited(examples, self._limit(split), options.seed) for split, examples in splits.items()}

    def _limit(self, split: Split) -> int | None:
        limit = self.options.limit
        return limit.get(split) if isinstance(limit, dict) else limit


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


def question_key(example: Example) -> str:
    """The key by which two questions are the same: context and question without case, punctuation and blanks."""
    text = " ".join((*example.fields.values(), example.question))
    if text.isascii():
        return b" ".join(text.lower().encode().translate(_WORDS_ALONE).split()).decode()
    return " ".join(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def duplicates_across(task: Task) -> list[dict[str, Any]]:
    """The questions that occur in more than one split: {"question": text, split: [ids], ...} each."""
    entries: dict[str, dict[str, Any]] = {}
    for split in SPLITS:
        for example in task.examples(split):
            entry = entries.setdefault(question_key(example), {"question": example.question})
            entry.setdefault(split, []).append(example.id)
    return [entry for entry in entries.values() if len(entry) > 2]


def _share(examples: Sequence[Example], share: float, seed: int, salt: str) -> tuple[list[Example], list[Example]]:
    """(rest, about `share` of the examples), in whole questions: a repeated question never lands on both sides."""
    if not share:
        return list(examples), []
    # Ranked by a hash of the question: rows that are added leave nearly all others on the side where they were.
    ranks = list(map(digests("share", salt, seed), map(question_key, examples)))
    # A split that is wanted gets a question, however small the share; one question cannot be on both sides.
    wanted = 0 if len(set(ranks)) < 2 else max(1, round(share * len(examples)))
    taken: set[int] = set()
    for _, same in itertools.groupby(sorted(range(len(ranks)), key=ranks.__getitem__), key=ranks.__getitem__):
        if len(taken) >= wanted:
            break
        taken.update(same)
    rest = [example for index, example in enumerate(examples) if index not in taken]
    return rest, [examples[index] for index in sorted(taken)]


def _limited(examples: list[Example], limit: int | None, seed: int) -> list[Example]:
    if limit is None or limit >= len(examples):
        return examples
    # Ranked by a hash, not cut at the top: files are often sorted by label. And a larger limit keeps the examples of a
    # smaller one, so that their generations are found in the store.
    rank = digests("limit", seed)
    ranked = sorted(range(len(examples)), key=lambda index: rank(examples[index].id))
    return [examples[index] for index in sorted(ranked[:limit])]


def _unique(splits: Mapping[Split, Iterable[Example]]) -> None:
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
