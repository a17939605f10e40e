"""The batch interface of a server: files and batches. Calls that fail in passing are made again.

Reference: the OpenAI API, "Batch" and "Files", which vLLM, Groq, Together, Mistral, Azure and others speak as well.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from ...core.errors import TeacherError
from ..endpoint.reply import Trouble, read_json
from ..endpoint.session import PATIENCE
from ..endpoint.wire import LARGEST, Wire, certificates, proxy

_T = TypeVar("_T")

ENDPOINT = "/v1/chat/completions"
"""What a batch asks for, as every provider calls it, whatever its own address."""
WINDOW = "24h"
TAG = "shrinklm"
"""The key of our own name for a batch in the server's metadata of it."""
FULL = re.compile(r"enqueued|token_limit_exceeded|queue.{0,20}(?:full|limit)|too many (?:\w+ )?batches", re.IGNORECASE)
"""How a server says that it takes no more until other batches are done."""
LONG = re.compile(
    r"too (?:many|large|big)|maximum (?:number|file|size)|exceed.{0,40}(?:requests|lines|size|MB)", re.IGNORECASE
)
"""How a server says that one file holds too much."""


class BatchServer:
    """Files and batches of one server.

    Args:
        wire: Where it is, how its key is called, and its errors in words.
        attempts: Tries of one call.
        backoff: Seconds before the second try; doubles each time.
    """

    def __init__(self, wire: Wire, attempts: int, backoff: float) -> None:
        self.wire, self.attempts, self.backoff = wire, attempts, backoff

    def upload(self, path: Path, name: str) -> str:
        """Upload a file of requests; its id at the server. Raises Trouble."""

        def call(client: Any) -> Any:
            with path.open("rb") as file:
                return client.post(
                    "/files", data={"purpose": "batch"}, files={"file": (name, file, "application/jsonl")}
                )

        return str(self._object(call)["id"])

    def create(self, file: str, name: str) -> dict[str, Any]:
        """Order a batch of an uploaded file, once. Raises Trouble; after "again" it may have been ordered or not."""
        plain = {"input_file_id": file, "endpoint": ENDPOINT, "completion_window": WINDOW}
        try:
            named = {**plain, "metadata": {TAG: name}}
            return self._once(lambda client: client.post("/batches", json=named))
        except Trouble as trouble:
            if trouble.todo != "change" or "metadata" not in trouble.words:
                raise
            return self._once(lambda client: client.post("/batches", json=plain))  # found again by its file

    def find(self, file: str, name: str) -> list[dict[str, Any]]:
        """The batches that were ordered under our name, or of this file, and were not rejected. Raises Trouble."""
        return [
            batch
            for batch in self._all()
            if ((batch.get("metadata") or {}).get(TAG) == name or batch.get("input_file_id") == file)
            and batch.get("status") != "failed"
        ]

    def batch(self, number: str) -> dict[str, Any]:
        """What the server says of a batch. Raises Trouble."""
        return self._object(lambda client: client.get(f"/batches/{number}"))

    def cancel(self, number: str) -> None:
        """Stop a batch. Raises Trouble."""
        self._object(lambda client: client.post(f"/batches/{number}/cancel", json={}))

    def download(self, file: str, into: BinaryIO) -> None:
        """Append the content of a file. Raises Trouble."""
        start = into.tell()

        def once() -> None:
            into.seek(start)
            into.truncate()
            path = f"/files/{file}/content"
            # Some servers keep contents elsewhere; httpx takes no key along to another host.
            with self._client() as client, client.stream("GET", path, follow_redirects=True) as answer:
                self.wire.reached = True
                if answer.status_code != 200:
                    read_json(answer.status_code, answer.headers, self.wire.masked(answer.read()[:LARGEST]))
                    raise Trouble("again", f"answered {answer.status_code}", answer.status_code)
                for chunk in answer.iter_bytes():
                    into.write(chunk)

        self._again(once)

    def error(self, trouble: Trouble) -> TeacherError:
        """The error that ends the command."""
        if self.wire.reached and trouble.status in (404, 405, 501):
            return TeacherError(
                f"{self.wire.url} answers {trouble.status} to a batch: {trouble.reason}. It may take no batch files; "
                f"to ask it one by one, write endpoint:{self.wire.url}#{self.wire.model}"
            )
        return self.wire.worded(trouble, "", self.attempts if trouble.todo == "again" else 1)

    def _all(self) -> Iterator[dict[str, Any]]:
        after = ""
        while True:
            page = self._object(partial(_page, after=after))
            listed = [one for one in page.get("data") or [] if isinstance(one, dict)]
            yield from listed
            last = str(listed[-1].get("id")) if listed else ""
            if not page.get("has_more") or not last or last == after:
                return
            after = last

    def _object(self, call: Callable[[Any], Any]) -> dict[str, Any]:
        return self._again(lambda: self._once(call))

    def _once(self, call: Callable[[Any], Any]) -> dict[str, Any]:
        with self._client() as client:
            answer = call(client)
            self.wire.reached = True
            if 300 <= answer.status_code < 400:
                where = self.wire.masked(answer.headers.get("Location", "elsewhere").encode()).decode()
                raise Trouble("end", f"it points to {where}: write that address", answer.status_code)
            return read_json(answer.status_code, answer.headers, self.wire.masked(answer.content))

    def _again(self, call: Callable[[], _T]) -> _T:
        for attempt in range(1, self.attempts + 1):
            try:
                return call()
            except Trouble as trouble:
                if trouble.todo != "again" or attempt == self.attempts or FULL.search(trouble.reason):
                    raise
                if trouble.wait is not None and trouble.wait > PATIENCE:
                    raise
                time.sleep(max(trouble.wait or 0, min(self.backoff * 2**attempt, 30)))
        raise AssertionError("unreachable")

    @contextmanager
    def _client(self) -> Iterator[Any]:
        import httpx

        wire = self.wire
        key = wire.key
        try:
            with httpx.Client(
                base_url=wire.url,
                headers={"Authorization": f"Bearer {key}"} if key else {},
                timeout=wire.timeout,
                trust_env=not wire.local,
                verify=certificates() if wire.url.startswith("https") else False,
                follow_redirects=False,  # it could carry the key to another host
            ) as client:
                yield client
        except httpx.ProxyError as error:
            raise Trouble("end", f"the proxy {proxy(wire.url)} does not answer: {error}") from error
        except httpx.TimeoutException as error:
            raise Trouble("again", f"no answer within {wire.timeout:g} s (`timeout` of the teacher)") from error
        except httpx.ConnectError as error:
            raise Trouble("again" if wire.reached else "end", f"no connection: {error}") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Trouble("again", f"the connection broke: {error or type(error).__name__}") from error


def _page(client: Any, after: str) -> Any:
    return client.get("/batches", params={"limit": "100", **({"after": after} if after else {})})
