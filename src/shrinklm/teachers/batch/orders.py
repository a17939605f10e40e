"""What becomes of the questions of a command: looked up at the server, fetched, or ordered."""

from __future__ import annotations

import json
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, BinaryIO, cast

from ...core.errors import TeacherError
from ...core.files import whole
from ..endpoint.reply import Trouble
from ..endpoint.request import Request
from ..endpoint.servers import WINDOW
from .ledger import Batch, Ledger, batch_of, counted
from .results import Reading
from .server import ENDPOINT, FULL, LONG, BatchServer

MOST_REQUESTS = 50_000
MOST_BYTES = 190_000_000
"""Limits of one file at OpenAI (50,000 requests, 200 MB) and, as far as they state any, elsewhere."""
TRIES = 3
"""Orders of one question that may fail before it is refused."""
FETCHES = 3
"""Downloads of results that hold fewer lines than the server counts."""
_STATUS = {
    **dict.fromkeys(("succeeded", "success", "done", "ended"), "completed"),
    **dict.fromkeys(("timeout_exceeded", "timed_out"), "expired"),
    "canceled": "cancelled",
    "error": "failed",
}
"""What some providers call it → OpenAI's word."""
_CALL = f'"method": "POST", "url": "{ENDPOINT}"'.encode()
ENDED = ("completed", "expired", "cancelled")


class Orders:
    """The questions of one command that are not in the store.

    Args:
        ledger: Keeps what is ordered.
        server: Takes the orders.
        request: What its requests look like.
        most: Requests in one file, at most; None: as many as providers take.
        failures: Share of the questions of a batch whose failing stops the next order.
        tell: Called with the state in words.
    """

    def __init__(
        self,
        ledger: Ledger,
        server: BatchServer,
        request: Request,
        most: int | None,
        failures: float,
        tell: Callable[[str], None],
    ) -> None:
        self.ledger, self.server, self.request = ledger, server, request
        self.most, self.failures, self.tell = most, failures, tell
        self.request.without = ledger.facts.get("adapted", {})
        self._taken: BinaryIO | None = None
        self.lines = 0
        """Requests taken and not sent."""
        self.awaited = 0
        """Questions of this command that are ordered already."""
        self.alarms: list[str] = []
        """Why nothing more is ordered by this command."""

    # What is there

    def refresh(self) -> bool:
        """Look at every batch that is on its way, and fetch those that have ended; whether there was one."""
        with self.ledger.lock:
            self.ledger.tidy()
            for batch in self.ledger.batches("ordering"):
                self._recover(batch)
            ended = [self._look(batch) for batch in self.ledger.batches("ordered")]
            return any(ended)

    def take(self, key: str, body: bytes) -> None:
        """Keep a question for the next order; `body`: of its request, as JSON."""
        if self._taken is None:
            # Without a name: what a killed command had not ordered is gone with it.
            self._taken = cast(BinaryIO, tempfile.TemporaryFile(dir=self.ledger.folder))  # noqa: SIM115
        self._taken.write(b'%b\t{"custom_id": "%b", %b, "body": %b}\n' % (key.encode(), key.encode(), _CALL, body))
        self.lines += 1

    def forget(self) -> None:
        """Forget what was taken."""
        if self._taken is not None:
            self._taken.close()
        self._taken, self.lines, self.awaited = None, 0, 0

    def _recover(self, batch: Batch) -> None:
        """Find out whether a batch was ordered by a command that ended before it knew."""
        try:
            found = self.server.find(batch.file, batch.name)
            if not found:
                time.sleep(self.server.backoff)  # a server may list it a moment later
                found = self.server.find(batch.file, batch.name)
            for double in found[1:]:
                if str(double.get("status")).lower() in ("validating", "in_progress"):
                    self.server.cancel(str(double["id"]))
        except Trouble as trouble:
            if trouble.status in (404, 405, 501):
                raise TeacherError(
                    f"A command ended while it ordered {batch.requests:,} texts from {self.server.wire.url}, which "
                    "lists no batches. Look at its page for a batch of the file "
                    f"{batch.file}. If there is none, delete {self.ledger.requests(batch.name)} and type the same "
                    "command again: the texts are ordered anew."
                ) from trouble
            raise self.server.error(trouble) from trouble
        if not found:
            self.ledger.drop(batch)
            return
        self.ledger.save(batch_of(found[0], batch))

    def _look(self, batch: Batch) -> bool:
        """Ask how far a batch is; whether it has ended."""
        try:
            answer = self.server.batch(batch.number)
            now = batch_of(answer, batch)
            now.status = _STATUS.get(now.status, now.status)
            has_files = answer.get("output_file_id") or answer.get("error_file_id")
            if now.status in ENDED or (now.status == "failed" and has_files):
                self._fetch(now, answer)
            elif now.status == "failed":
                self._rejected(now, answer)
            else:
                self.ledger.save(now)
                return False
        except Trouble as trouble:
            if trouble.status == 404 and self.server.wire.reached:
                raise TeacherError(
                    f"{self.server.wire.url} has no batch {batch.number} (any more), or not its results: "
                    f"{trouble.reason}. To order its {batch.requests:,} texts anew, delete "
                    f"{self.ledger.requests(batch.name)} and type the same command again."
                ) from trouble
            raise self.server.error(trouble) from trouble
        return True

    def _fetch(self, batch: Batch, answer: dict[str, Any]) -> None:
        files = [str(answer[name]) for name in ("output_file_id", "error_file_id") if answer.get(name)]
        keys = self.ledger.keys(batch)
        stated = min(counted(answer, "completed"), batch.requests)
        for _ in range(FETCHES):
            with whole(self.ledger.results(batch.name)) as path, path.open("wb") as out:
                for file in files:
                    self.server.download(file, out)
                    out.write(b"\n")  # a file may lack its last line break
            reading = Reading(self.ledger, batch.name, self.request, json.loads(batch.adapted))
            reading.run(set(keys))
            # Fewer lines than the server counts: it sent half a file, or a page instead.
            if reading.counted >= stated:
                break
        else:
            if not reading.counted:
                raise TeacherError(
                    f"The results of batch {batch.number} at {self.server.wire.url} hold no line that can be read. "
                    "The same command fetches them again."
                )
        self.ledger.learn(adapted=dict(self.request.without))
        lost = "failed" if batch.status == "completed" else "free"
        answers = {key: reading.answers.get(key, (lost, 0, "no line in the batch's results")) for key in keys}
        states = [state for state, _, _ in answers.values()]
        self.ledger.read(replace(batch, state="read"), ((key, *answer) for key, answer in answers.items()))
        self._judge(batch, reading, answers, states)

    def _judge(
        self, batch: Batch, reading: Reading, answers: dict[str, tuple[str, int, str]], states: list[str]
    ) -> None:
        """Tell what came of a batch, and whether that forbids another order."""
        here, failed = states.count("here"), states.count("failed") + states.count("hopeless")
        left = len(states) - here
        told = f"batch {batch.number} ({batch.status}): {here:,} of {len(states):,} answers"
        told += f", {left:,} are ordered again" if left else ""
        told += f", {reading.stray:,} lines belong to no open question" if reading.stray else ""
        self.tell(told)
        example = next((reason for state, _, reason in answers.values() if state in ("failed", "hopeless")), "")
        if reading.ends:
            self.alarms.append(f"{failed:,} of {len(states):,} questions failed: {reading.ends}.")
        elif failed > self.failures * max(len(states), WINDOW) or (failed and failed == len(states)):
            self.alarms.append(f"{failed:,} of {len(states):,} questions failed, such as: {example}.")
        elif batch.status in ("cancelled", "failed") and left:
            self.alarms.append(f"batch {batch.number} {batch.status} with {here:,} of {len(states):,} answers.")

    def _rejected(self, batch: Batch, answer: dict[str, Any]) -> None:
        """A batch that was not accepted cost nothing: its questions are free again."""
        errors = answer.get("errors")
        listed = errors.get("data") if isinstance(errors, dict) else errors
        rows = [one for one in listed or [] if isinstance(one, dict)]
        words = " ".join(f"{one.get('code')} {one.get('param')} {one.get('message')}" for one in rows)
        with self.ledger.requests(batch.name).open("rb") as file:
            sample = json.loads(next(islice(file, 1)))["body"]
        self.ledger.drop(batch)
        if self._fewer(words, batch.requests):
            return
        if self.request.adapt(sample, words):
            self.ledger.learn(adapted=dict(self.request.without))
            return
        shown = [
            (f"line {one['line']}: " if one.get("line") is not None else "")
            + " ".join(str(one.get("message") or one.get("code") or one).split())[:300]
            for one in rows[:3]
        ]
        more = f" and {len(rows) - 3:,} more" if len(rows) > 3 else ""
        why = ("; ".join(shown) or "it does not say why") + more
        self.alarms.append(f"the batch of {batch.requests:,} requests was not accepted: {why}.")

    def _fewer(self, words: str, requests: int) -> bool:
        """Learn from an error that it was too much at a time; whether it was."""
        full = FULL.search(words)
        if not (full or LONG.search(words)) or requests < 2:
            return False
        if full and self.ledger.batches("ordered"):
            self.ledger.learn(full=True)  # until the others are done
        else:
            self.ledger.learn(most=max(1, requests // 2))
        return True

    # What is ordered

    def send(self) -> int:
        """Order what was taken; the number of requests that were ordered now. Raises TeacherError."""
        with self.ledger.lock:
            if self.alarms:
                told, self.alarms = " ".join(self.alarms), []
                raise TeacherError(
                    f"{self.server.wire.url} (model '{self.server.wire.model}'): {told} What came is kept, and nothing "
                    "new is ordered. The same command orders the rest again."
                )
            others = self.ledger.batches("ordered")
            if self.ledger.facts.get("full") and not others:
                self.ledger.learn(full=False)
            sent = 0
            while self._taken is not None and not self.ledger.facts.get("full"):
                before = self.ledger.facts.get("most")
                for batch, keys in self._files():
                    if not self._order(batch, keys):
                        break
                    sent += batch.requests
                # Once more with smaller files, if these were too large.
                if self.ledger.facts.get("most") == before:
                    break
            return sent

    def _files(self) -> Iterator[tuple[Batch, list[str]]]:
        """Write what was taken, and nobody has ordered meanwhile, into files as large as the server takes them."""
        assert self._taken is not None
        self._taken.seek(0)
        most = min(filter(None, [self.most, self.ledger.facts.get("most"), MOST_REQUESTS]))
        held: bytes | None = None
        while True:
            name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:8]}"
            keys: list[str] = []
            size = 0
            with whole(self.ledger.requests(name)) as path, path.open("wb") as out:
                while (row := held or self._next()) is not None:
                    key, line = row.split(b"\t", 1)
                    if keys and (len(keys) >= most or size + len(line) > MOST_BYTES):
                        break
                    held = None
                    out.write(line)
                    keys.append(key.decode())
                    size += len(line)
                held = row
            if not keys:
                self.ledger.requests(name).unlink()
                return
            yield Batch(name, "ordering", "", requests=len(keys), adapted=json.dumps(self.request.adapted)), keys

    def _next(self) -> bytes | None:
        """The next row that was taken and that no other command has ordered."""
        assert self._taken is not None
        for row in self._taken:
            key = row.partition(b"\t")[0].decode()
            entry = self.ledger.entries([key]).get(key)
            if entry is None or entry.state in ("failed", "free"):
                return row
        return None

    def _order(self, batch: Batch, keys: list[str]) -> bool:
        """Upload a file and order its batch; False when the server takes no more."""
        try:
            batch.file = self.server.upload(self.ledger.requests(batch.name), f"{batch.name}.jsonl")
            self.ledger.enter(batch, keys)
            self.ledger.save(batch_of(self._create(batch), batch))
        except Trouble as trouble:
            # A call that ended in doubt leaves the batch as it is: the next command finds out.
            if trouble.todo != "again" or trouble.status == 429:
                self.ledger.drop(batch)
            if self._fewer(f"too large: {trouble.reason}" if trouble.status == 413 else trouble.reason, batch.requests):
                self.ledger.drop(batch)
                return False
            raise self.server.error(trouble) from trouble
        return True

    def _create(self, batch: Batch) -> dict[str, Any]:
        server = self.server
        for attempt in range(1, server.attempts + 1):
            try:
                return server.create(batch.file, batch.name)
            except Trouble as trouble:
                if trouble.todo != "again" or FULL.search(trouble.reason) or attempt == server.attempts:
                    raise
                time.sleep(max(trouble.wait or 0, min(server.backoff * 2**attempt, 30)))
                # Its answer may have been lost after the batch was made.
                if trouble.status != 429 and (found := server.find(batch.file, batch.name)):
                    return found[0]
        raise AssertionError("unreachable")
