"""A server on loopback that takes what huggingface_hub uploads, and fails as the Hub does."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


class Hub:
    """What it holds, and what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.public: set[str] = set()
        self.commits: list[list[str]] = []
        self.fails: dict[str, int] = {}
        """The last part of a path → the status with which it fails."""
        self.tokens: set[str | None] = set()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """(status, JSON)."""
        parts = path.partition("?")[0].strip("/").split("/")
        name = "/".join(parts[2:4])
        for part, status in self.fails.items():
            if part in parts:
                return status, {"error": f"no {part} for Bearer {sorted(map(str, self.tokens))}"}
        if parts[:3] == ["api", "repos", "create"]:
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            self.repositories[name] = {}
            self.public |= set() if asked.get("private") else {name}
            return 200, {"url": f"{self.url}/{name}"}
        if "validate-yaml" in parts:
            return 200, {"errors": [], "warnings": []}
        if name not in self.repositories:
            return 404, {"error": "Repository not found"}
        if "preupload" in parts:
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            return 200, {"files": files}
        if "commit" in parts:
            lines = [json.loads(line) for line in body.splitlines()]
            files = {line["value"]["path"]: line["value"]["content"] for line in lines if line["key"] == "file"}
            self.commits.append(sorted(files))
            self.repositories[name] |= {path: base64.b64decode(content) for path, content in files.items()}
            return 200, {"commitUrl": f"{self.url}/{name}/commit/{'0' * 40}", "commitOid": "0" * 40}
        return 200, {"id": name, "private": name not in self.public, "sha": "0" * 40, "siblings": []}


@contextmanager
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub that huggingface_hub talks to."""
    held = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # as in endpoint_stub.py

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            held.tokens.add(self.headers.get("Authorization"))
            status, content = held.answer(self.command, self.path, body)
            payload = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            if "error" in content:
                self.send_header("X-Error-Message", content["error"])
                self.send_header("X-Error-Code", "RepoNotFound" if status == 404 else "Other")
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    held.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", held.url)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    try:
        yield held
    finally:
        server.shutdown()
        server.server_close()
