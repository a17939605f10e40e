"""SQuAD: answers are spans of a passage (arXiv 1606.05250; with questions that have none, arXiv 1806.03822).

Data: https://huggingface.co/datasets/rajpurkar/squad
The official files are read as well (train-v1.1.json, train-v2.0.json). A question of SQuAD 2.0 that the passage does
not answer has the answer "unanswerable"; `where: {is_impossible: {not: true}}` leaves these out of an official file.
Its test set is not public, so the official validation split is the test split here.
`meta["answers"]` holds every accepted answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..core.errors import TaskError
from ..core.tables import Rows
from ..core.types import Split
from .answers import stated_text
from .base import SplitTask, TaskOptions
from .forms import with_column
from .table import named

COLUMNS = {"id": "id", "question": "question", "context": "context", "answer": "answers"}


def squad(options: TaskOptions) -> SplitTask:
    """SQuAD; answers keep their own words, exact match and F1 compare them."""
    sources: dict[Split, str] = {"train": "rajpurkar/squad@train", "test": "rajpurkar/squad@validation"}
    return named("squad", options, COLUMNS, sources, type="free", parse=stated_text, prepare=_prepared)


UNANSWERABLE = "unanswerable"
_NESTED = ("id", "title", "context", "question", "answers", "is_impossible")


def _prepared(rows: Rows) -> Rows:
    rows = _flat(rows) if "paragraphs" in rows.columns else rows
    return with_column(rows, "answers", ["answers"], _answers) if "answers" in rows.columns else rows


def _answers(value: Any) -> Any:
    """The answers, of which a question of SQuAD 2.0 may have none: an empty list, which no other cell is."""
    texts = value.get("text") if isinstance(value, Mapping) else value
    if isinstance(texts, (list, tuple)):
        texts = [item.get("text") if isinstance(item, Mapping) else item for item in texts]
        return {"text": texts or [UNANSWERABLE]}
    return value


def _flat(rows: Rows) -> Rows:
    """A row for each question of an official file, which lists paragraphs by article, and questions by paragraph."""

    def questions() -> Iterator[dict[str, Any]]:
        for number, (title, paragraphs) in rows.read(["title", "paragraphs"]):
            try:
                for paragraph in paragraphs:
                    for question in paragraph["qas"]:
                        yield {"title": title, "context": paragraph["context"], **question}
            except (TypeError, KeyError) as error:
                raise TaskError(
                    f"{rows.place(number)}: the paragraphs are not as in SQuAD's own files, "
                    f'[{{"context": ..., "qas": [{{"question": ..., "answers": ...}}]}}]: {error!r}.'
                ) from error

    def read(wanted: Sequence[str]) -> Iterator[tuple[int, Sequence[Any]]]:
        return ((number, [row.get(column) for column in wanted]) for number, row in enumerate(questions(), 1))

    return Rows(rows.name, _NESTED, read, lambda number: f"{rows.name}, question {number}")
