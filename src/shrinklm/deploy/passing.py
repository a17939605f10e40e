"""Questions that are passed on to a teacher: asked once, stored, within the budget; and kept as training rows."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..core.errors import TeacherError
from ..core.files import writing
from ..core.permissions import close, folder_below
from ..core.types import Example, Generation, digest
from ..tasks.answers import split_answer
from ..teachers.base import BaseTeacher
from ..teachers.costs import dollars
from ..teachers.generate import GenerateSettings, read_steps, run_steps
from ..teachers.prompts import Prompts
from ..teachers.reading import Parse
from ..teachers.remote import open_store
from ..teachers.steps import StepRequest

SILENT = "the teacher gave no answer that could be read"


@dataclass(frozen=True)
class Passed:
    """What a teacher said to one question."""

    answer: str | None
    """None: nothing that could be read, `why` says why."""
    reason: str
    """The words before its answer."""
    why: str | None
    text: str = ""
    """All that it said."""
    key: str = ""
    """Of its text in the store."""
    created: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float | None = None
    """Dollars; None where no price is known."""


@dataclass(frozen=True)
class Passing:
    """A teacher that answers questions, by the prompt of the step `label`.

    Args:
        teacher: Answers them.
        prompts: Of the step `label`.
        store: The file of its texts; a question that is there is not asked again.
        settings: Its sampling and retries.
        parse: Reads its answers.
        count: Called before the first question: counts against the budget what was spent before.
    """

    teacher: BaseTeacher
    prompts: Prompts
    store: Path
    settings: GenerateSettings
    parse: Parse
    count: Callable[[], None] = lambda: None
    _counted: list[bool] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, examples: Sequence[Example]) -> list[Passed]:
        """The teacher's answer to each question. Where it fails, or the budget ends, those that came are there."""
        # A store belongs to the thread that opened it, and a teacher answers one slice of questions at a time.
        with self._lock:
            if not self._counted:
                self._counted.append(True)
                self.count()
            return self._ask(examples)

    def _ask(self, examples: Sequence[Example]) -> list[Passed]:
        # Ids of strangers may repeat. A recording is looked up by them; no model sees one.
        names = [example.id if self.teacher.reads else question_key(example) for example in examples]
        asked = [replace(example, id=name) for name, example in dict(zip(names, examples, strict=True)).items()]
        step, failure = [StepRequest("label", 1, None, None)], None
        with open_store(self.store) as store:
            arguments = asked, step, self.teacher, self.prompts, store, self.settings, self.parse
            try:
                run_steps(*arguments)
            except TeacherError as error:  # a spent budget too
                failure = str(error)
            known = read_steps(*arguments)[0]
        return [self._passed(known[name].get(("label", "")), failure) for name in names]

    def _passed(self, text: Generation | None, failure: str | None) -> Passed:
        if text is None:
            return Passed(None, "", failure or SILENT)
        source, price = text.source, self.settings.price or self.teacher.price
        answer = None if text.refusal or not text.answer else text.answer
        return Passed(
            answer=answer,
            reason=split_answer(text.text)[0].strip(),
            why=None if answer is not None else failure or text.refusal or SILENT,
            text=text.text,
            key=text.key,
            created=source.created,
            tokens_in=source.tokens_in,
            tokens_out=source.tokens_out,
            cost=0.0 if self.teacher.free else dollars(source.tokens_in, source.tokens_out, price) if price else None,
        )


def question_key(example: Example) -> str:
    """Names a question by what is shown of it."""
    return digest("question", example.text)


class Escalations:
    """The file of the questions that a teacher answered, each once: rows for a later training.

    A row is on the disk when `add` returns; a last line that a kill has torn is left out.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    def add(self, rows: Sequence[tuple[Example, Passed]], cell: str, teacher: str) -> None:
        """Appends the answered questions that are not there. Raises StoreError."""
        with self._lock, writing(self.path):
            known = {row["key"] for row in self}
            lines = []
            for example, passed in rows:
                key = question_key(example)
                if key not in known and passed.answer is not None:
                    known.add(key)
                    lines.append(json.dumps(_row(key, example, passed, cell, teacher), ensure_ascii=False))
            if not lines:
                return
            folder_below(self.path.parent)
            if not self.path.exists():  # what people ask stands in it
                self.path.touch()
                close(self.path)
            content = self.path.read_bytes()
            torn = bool(content) and not content.endswith(b"\n")
            with self.path.open("ab") as file:
                file.write((("\n" if torn else "") + "".join(f"{line}\n" for line in lines)).encode())
                file.flush()
                os.fsync(file.fileno())

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        """The rows, each question once."""
        seen = set()
        for line in self.path.read_bytes().splitlines() if self.path.exists() else ():
            try:
                row = json.loads(line)
                key = row["key"]
            except (ValueError, KeyError, TypeError):
                continue
            if key not in seen:
                seen.add(key)
                yield row


def _row(key: str, example: Example, passed: Passed, cell: str, teacher: str) -> dict[str, Any]:
    return {
        "key": key,
        "id": example.id,
        **({"fields": dict(example.fields)} if example.fields else {}),
        "question": example.question,
        "choices": list(example.choices),
        "answer": passed.answer,
        "reason": passed.reason,
        "teacher": teacher,
        "created": passed.created,
        "generation": passed.key,
        "cell": cell,
    }


def examples_in(rows: Iterator[Mapping[str, Any]]) -> list[Example]:
    """The rows of escalations as training questions with the teacher's answers."""
    return [
        Example(
            f"escalated-{row['key']}",
            str(row["question"]),
            tuple(map(str, row["choices"])),
            str(row["answer"]),
            {str(name): str(value) for name, value in row.get("fields", {}).items()},
            meta={"labelled_by": str(row["teacher"])},
        )
        for row in rows
    ]
