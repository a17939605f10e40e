"""A server of batch files on loopback that keeps its state in a folder: files, batches, and what was paid for."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from endpoint_stub import Raw, chat

GOOD = "People keep their money in a bank because it is safe there."
Line = tuple[int, Any] | bytes | None
"""What becomes of a request: (status, body), a raw line of the output file, or no line at all."""


@dataclass
class BatchStub:
    """One server. With `at_once` a batch is done when it is first looked at, else when `finish` says so."""

    folder: Path
    answer: Callable[[dict[str, Any]], Line] = lambda body: chat(GOOD)
    at_once: bool = False
    fault: Callable[[str, int], Raw | None] = lambda call, number: None
    """(call, such as "POST /batches", its number from 1) → what is answered instead; nothing is done then."""
    lost: Callable[[str, int], bool] = lambda call, number: False
    """(call, number) → whether it is done, and its answer is lost."""
    lists: bool = True
    page: int = 100
    """Batches in one answer of the list, at most."""
    url: str = ""
    kill: tuple[str, str] = ("", "")
    """(call, "before" or "after" it is done): the process `victim` is killed there."""
    victim: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    keys: list[str | None] = field(default_factory=list)
    limit: int | None = None
    """Requests in batches that are not done, at most."""

    @property
    def batches(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in sorted((self.folder / "batches").glob("*.json"))]

    @property
    def paid(self) -> Counter[str]:
        """Custom id → how often it was answered with a text."""
        path = self.folder / "paid.txt"
        return Counter(path.read_text().split()) if path.exists() else Counter()

    def lines(self, batch: Mapping[str, Any]) -> list[dict[str, Any]]:
        text = self.file(batch["input_file_id"]).read_text()
        return [json.loads(line) for line in text.split("\n") if line]

    def file(self, number: str) -> Path:
        return self.folder / "files" / number

    def finish(self, status: str = "completed", only: int | None = None, **errors: Any) -> None:
        """End all batches that are on their way; answer only the first so many requests of each."""
        for batch in self.batches:
            if batch["status"] in ("validating", "in_progress", "finalizing"):
                self.end(batch, status, only, **errors)

    def end(self, batch: dict[str, Any], status: str, only: int | None = None, **more: Any) -> None:
        output: list[bytes] = []
        errors: list[bytes] = []
        lines = self.lines(batch)
        for number, line in enumerate([] if status == "failed" else lines):
            if only is not None and number >= only:
                error = {"code": f"batch_{status}", "message": "This request could not be executed."}
                errors.append(_line(line, None, error))
                continue
            made = self.answer(line["body"])
            if isinstance(made, tuple):
                (output if made[0] == 200 else errors).append(_line(line, made, None))
            elif made is not None:
                output.append(made.replace(b"CUSTOM", line["custom_id"].encode()))
            if made is not None and not (isinstance(made, tuple) and made[0] != 200):
                with (self.folder / "paid.txt").open("a") as paid:
                    paid.write(f"{line['custom_id']}\n")
        for name, found in (("output_file_id", output), ("error_file_id", errors)):
            if found:
                batch[name] = self.keep(b"\n".join(reversed(found)))  # in any order, without a last line break
        done = len(lines) if only is None else min(only, len(lines))
        counts = {"total": len(lines), "completed": len(output), "failed": max(0, done - len(output))}
        self.save({**batch, "status": status, "request_counts": counts, **more})

    def keep(self, content: bytes) -> str:
        number = f"file-{len(list((self.folder / 'files').iterdir())) + 1:03}"
        self.file(number).write_bytes(content)
        return number

    def save(self, batch: Mapping[str, Any]) -> None:
        (self.folder / "batches" / f"{batch['id']}.json").write_text(json.dumps(batch))

    # The calls

    def respond(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Raw:
        call = f"{method} {re.sub(r'(batch_|file-)[0-9]+', 'ID', path.partition('?')[0])}"
        self.calls[call] += 1
        self.keys.append(headers.get("Authorization"))
        if (instead := self.fault(call, self.calls[call])) is not None:
            return instead
        if self._die(call, "before"):
            return Raw(reset=True)
        answer = self._do(call, path, headers, body)
        self._die(call, "after")
        return Raw(reset=True) if self.lost(call, self.calls[call]) else answer

    def _die(self, call: str, when: str) -> bool:
        if self.kill != (call, when):
            return False
        while not self.victim:
            time.sleep(0.001)
        os.kill(self.victim, signal.SIGKILL)
        self.kill = ("", "")
        return True

    def _do(self, call: str, path: str, headers: Mapping[str, str], body: bytes) -> Raw:
        if call == "POST /files":
            head = f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode()
            parts = {
                part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
                for part in BytesParser().parsebytes(head + body).get_payload()
            }
            assert parts["purpose"] == b"batch"
            return Raw({"id": self.keep(parts["file"]), "object": "file", "purpose": "batch"})
        if call == "POST /batches":
            asked = json.loads(body)
            open_lines = [
                line for one in self.batches if one["status"] == "in_progress" for line in self.lines(one)
            ] + self.lines(asked)
            if self.limit is not None and len(open_lines) > self.limit:
                message = f"Enqueued token limit reached. Limit: {self.limit} enqueued tokens."
                return Raw({"error": {"message": message, "code": "token_limit_exceeded"}}, 429)
            batch = {"id": f"batch_{len(self.batches) + 1:03}", "status": "in_progress", **asked}
            self.save(batch)
            return Raw(batch)
        if call == "GET /batches":
            if not self.lists:
                return Raw({"error": {"message": "?"}}, 404)
            newest = list(reversed(self.batches))
            after = re.search(r"after=(\w+)", path)
            start = next((n + 1 for n, one in enumerate(newest) if after and one["id"] == after[1]), 0)
            end = start + self.page
            return Raw({"object": "list", "data": newest[start:end], "has_more": end < len(newest)})
        if call == "GET /files/ID/content":
            return Raw(self.file(path.split("/")[2]).read_bytes())
        found = next((one for one in self.batches if one["id"] == path.split("/")[2]), None)
        if found is None:
            return Raw({"error": {"message": "No such batch"}}, 404)
        if call == "POST /batches/ID/cancel":
            self.save({**found, "status": "cancelled"})
        elif self.at_once and found["status"] == "in_progress":
            self.end(found, "completed")
        return Raw(next(one for one in self.batches if one["id"] == found["id"]))


def _line(asked: Mapping[str, Any], made: tuple[int, Any] | None, error: Any) -> bytes:
    response = None if made is None else {"status_code": made[0], "request_id": "r", "body": made[1]}
    line = {"id": "l", "custom_id": asked["custom_id"], "response": response, "error": error}
    return json.dumps(line, ensure_ascii=False).encode()


@contextmanager
def batch_server(folder: Path, **behaviour: Any) -> Iterator[BatchStub]:
    """A server whose state is in the folder, so that another one there goes on with it."""
    for name in ("files", "batches"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    stub = BatchStub(folder, **behaviour)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # as in endpoint_stub.py

        def handle_call(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with lock:
                raw = stub.respond(self.command, self.path.removeprefix("/v1"), self.headers, body)
            self.close_connection = True
            if raw.reset:
                return
            content = raw.body if isinstance(raw.body, (str, bytes)) else json.dumps(raw.body)
            payload = content.encode() if isinstance(content, str) else content
            self.send_response(raw.status)
            for name, value in {"Content-Type": raw.kind, "Content-Length": str(len(payload)), **raw.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(payload[: len(payload) // 2] if raw.cut else payload)

        do_GET = do_POST = handle_call

        def log_message(self, *_: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            pass

    httpd = Quiet(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    stub.url = f"http://127.0.0.1:{httpd.server_port}/v1"
    try:
        yield stub
    finally:
        httpd.shutdown()
        httpd.server_close()
