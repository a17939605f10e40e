"""A server of a trained student in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import httpx

from shrinklm.deploy.server.app import AnswerServer
from shrinklm.deploy.server.limits import Keys, Limits
from shrinklm.deploy.student import TrainedStudent


class Running:
    """An `AnswerServer` that listens, until `close`."""

    def __init__(self, student: TrainedStudent, keys: str = "", **limits: Any) -> None:
        self.server = AnswerServer(student, Limits(**limits), Keys(keys))
        self.name = student.name
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run)
        self._ready = threading.Event()
        self.thread.start()
        assert self._ready.wait(60)
        # Never through a proxy: it is on this machine.
        self.client = httpx.Client(base_url=self.url, trust_env=False, timeout=60)

    def _run(self) -> None:
        def ready(port: int) -> None:
            self.url = f"http://127.0.0.1:{port}"
            self._ready.set()

        self.loop.run_until_complete(self.server.serve("127.0.0.1", 0, ready))

    def ask(self, **body: Any) -> httpx.Response:
        """One request to /v1/answer."""
        return self.client.post("/v1/answer", json=body)

    def chat(self, content: Any, **body: Any) -> httpx.Response:
        """One user message to /v1/chat/completions."""
        messages = [{"role": "user", "content": content}]
        return self.client.post("/v1/chat/completions", json={"model": self.name, "messages": messages, **body})

    def stop(self) -> None:
        """What SIGTERM does."""
        self.loop.call_soon_threadsafe(self.server.stop)

    def close(self) -> None:
        """Stops it, and waits for its end."""
        if self.thread.is_alive():
            self.stop()
        self.thread.join(60)
        self.client.close()
        assert not self.thread.is_alive()
        self.loop.close()
