"""The lines of a batch's results: what each says of its question."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from ...core.types import Completion
from ..endpoint.reply import Trouble, read
from ..endpoint.request import Request
from .ledger import Ledger

_UNTOUCHED = re.compile(r"batch_|(?:batch_)?(?:expired|cancell?ed)$")
"""Codes of a line whose question the server never came to."""


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(where it begins, line) of a file, one after the other."""
    at = 0
    with path.open("rb") as file:
        for line in file:
            yield at, line
            at += len(line)


def line_at(path: Path, at: int) -> bytes:
    """The line that begins there."""
    with path.open("rb") as file:
        file.seek(at)
        return file.readline()


def key_of(line: Mapping[str, Any]) -> str:
    """The question that a line answers."""
    return str(line.get("custom_id"))


def parse(line: bytes) -> dict[str, Any] | None:
    """The object in a line; None for anything else, such as a line that was cut."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) and isinstance(data.get("custom_id"), str) else None


def completion_of(line: Mapping[str, Any]) -> Completion:
    """The completion in a line. Raises Trouble."""
    response, error = line.get("response"), line.get("error")
    if isinstance(response, dict) and (response.get("body") is not None or not error):
        status = str(response.get("status_code", response.get("status", 200)))
        body = response.get("body")
        content = body if isinstance(body, str) else json.dumps(body or {})
        return read(int(status) if status.isdigit() else 500, {}, content.encode("utf-8", "replace"))
    error = error if isinstance(error, dict) else {"message": str(error or "a line without an answer")}
    code = str(error.get("code") or "")
    if _UNTOUCHED.match(code):
        raise Untouched(code)
    try:
        return read(int(code) if code.isdigit() else 400, {}, json.dumps({"error": error}).encode("utf-8", "replace"))
    except Trouble as trouble:
        # Without a status, an error that names neither the text nor the key may pass.
        if trouble.todo == "change" and not code.isdigit():
            raise Trouble("again", trouble.reason, 500, words=trouble.words) from trouble
        raise


class Untouched(Exception):
    """The server did not come to a question, which cost nothing."""


@dataclass
class Reading:
    """What a batch's results say of its questions, and what follows from it for the next batch.

    Args:
        ledger: Holds the requests and the results.
        name: The batch.
        request: Learns which settings the server does not take.
        adapted: What the batch's requests left out.
    """

    ledger: Ledger
    name: str
    request: Request
    adapted: list[str]
    answers: dict[str, tuple[str, int, str]] = field(default_factory=dict)
    """Key → (state, place, reason), see `ledger.Entry`; a question without an entry had no line."""
    counted: int = 0
    """Lines of questions of the batch, each once."""
    stray: int = 0
    """Lines that answer no question of the batch, or one that is answered already."""
    ends: str = ""
    """Why nothing can be had from the server, such as a refused key."""
    sample: dict[str, Any] = field(default_factory=dict)
    """The body of one request."""

    def run(self, keys: set[str]) -> None:
        """Read the results, line by line. `keys`: the questions of the batch."""
        requests = (line for _, line in lines(self.ledger.requests(self.name)))
        first = next(requests)
        # One that asks for log-probabilities shows whether the server takes them; a text has no bare quotes.
        asking = (line for line in chain([first], requests) if b'"logprobs": true' in line)
        self.sample = json.loads(next(asking, first))["body"]
        unfit: dict[str, tuple[int, str]] = {}
        for at, raw in lines(self.ledger.results(self.name)):
            line = parse(raw)
            if line is None or key_of(line) not in keys or self.answers.get(key_of(line), ("",))[0] == "here":
                self.stray += bool(raw.strip())
                continue
            key = key_of(line)
            self.counted += key not in self.answers
            unfit.pop(key, None)
            try:
                if completion_of(line).thoughts:
                    self.request.stop_no_thoughts()
                self.answers[key] = ("here", at, "")
            except Untouched as reason:
                self.answers[key] = ("free", at, str(reason))
            except Trouble as trouble:
                self._troubled(key, at, trouble)
                if trouble.todo == "change":
                    unfit[key] = (at, trouble.reason)
        self._settle(unfit)

    def _troubled(self, key: str, at: int, trouble: Trouble) -> None:
        if trouble.todo == "refuse":
            self.answers[key] = ("here", at, trouble.reason)
            return
        # A server's template may fail on a system turn, which is no fault of the request by its status.
        if trouble.todo == "change" or trouble.status >= 500:
            self.request.adapt(self.sample, trouble.words)
        if trouble.todo == "end":
            self.ends = trouble.reason
        self.answers[key] = ("failed", at, trouble.reason)

    def _settle(self, unfit: Mapping[str, tuple[int, str]]) -> None:
        """Decide what becomes of the requests that the server found wrong."""
        answered = any(state == "here" for state, _, _ in self.answers.values())
        if unfit and not answered and list(self.request.adapted) == self.adapted:
            # Errors that name nothing: a batch takes hours, so all that can be left out is left out at once.
            while self.request.strip(self.sample):
                pass
        if list(self.request.adapted) != self.adapted:
            self.answers |= {key: ("free", at, reason) for key, (at, reason) in unfit.items()}
        else:
            # The same request would fail again.
            self.answers |= {key: ("hopeless", at, reason) for key, (at, reason) in unfit.items()}
