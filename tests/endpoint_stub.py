"""A server on loopback that answers as OpenAI-compatible servers do, and fails as they do."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Raw:
    """An answer that is no JSON, or comes with headers, late, in part or not at all."""

    body: str | bytes | Mapping[str, Any] = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    kind: str = "application/json"
    seconds: float = 0
    """Sent after so long."""
    reset: bool = False
    """The connection is reset instead."""
    cut: bool = False
    """Half of the body comes, then the connection ends."""


Answer = Callable[[dict[str, Any], int], tuple[int, Mapping[str, Any]] | Raw]


@contextmanager
def server(answer: Answer, port: int = 0, **serves: Any) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """(address, requests so far) of a server; `answer` maps (request, its number from 1) to (status, JSON) or Raw.

    `serves`: what its list of models says of its model beside the name.
    """
    asked: list[dict[str, Any]] = []
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # what is sent in two parts would wait 40 ms for the first to be acknowledged

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                asked.append({**body, "authorization": self.headers.get("Authorization")})
                number = len(asked)
            reply = answer(body, number)
            self.reply(reply if isinstance(reply, Raw) else Raw(reply[1], reply[0]))

        def do_GET(self) -> None:
            self.reply(Raw({"object": "list", "data": [{"id": "small-model", "object": "model"} | serves]}))

        def reply(self, raw: Raw) -> None:
            time.sleep(raw.seconds)
            if raw.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.connection.close()
                return
            content = raw.body if isinstance(raw.body, (str, bytes)) else json.dumps(raw.body)
            payload = content.encode() if isinstance(content, str) else content
            self.send_response(raw.status)
            self.send_header("Content-Type", raw.kind)
            self.send_header("Content-Length", str(len(payload)))
            for name, value in raw.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(payload[: len(payload) // 2] if raw.cut else payload)
            self.close_connection = self.close_connection or raw.cut

        def log_message(self, *_: Any) -> None:
            pass

        def log_error(self, *_: Any) -> None:
            pass

        def finish(self) -> None:
            with suppress(OSError, ValueError):  # the connection is gone, as it should be
                super().finish()

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256

        def handle_error(self, *_: Any) -> None:
            pass

    httpd = Quiet(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}/v1", asked
    finally:
        httpd.shutdown()
        httpd.server_close()


def chat(text: Any, finish: str | None = "stop", usage: Any = None, **message: Any) -> tuple[int, dict[str, Any]]:
    """A chat completion as a server sends it; `message` adds fields to its message."""
    counted = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18} if usage is None else usage
    choice = {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}
    return 200, {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": counted,
    }


def failure(status: int, message: str = "no", **more: Any) -> tuple[int, dict[str, Any]]:
    """An error as OpenAI words it."""
    return status, {"error": {"message": message, "type": "t", **more}}
