"""The server: aiohttp's, over the one thread that decodes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...core.errors import TeacherError
from ..transformers import TransformersTeacher
from .chat import Refusal, answer, read
from .worker import Worker

if TYPE_CHECKING:
    from aiohttp import web

BATCH = 16
"""Rows at a time where nobody says how many: how long the requests are that will come is not known."""


class Server:
    """`chat/completions` of one local model.

    Args:
        teacher: Its weights are loaded here. Raises ModelError.
        name: Of the model, as requests call it.
    """

    def __init__(self, teacher: TransformersTeacher, name: str) -> None:
        self.teacher, self.name = teacher, name
        self._worker = Worker(teacher.decoder, teacher.options.batch or BATCH)

    async def serve(self, host: str, port: int, ready: Callable[[int], None]) -> None:
        """Answer until cancelled.

        `ready` is called with the port once requests are taken; port 0 takes a free one. Raises OSError where the
        address cannot be had.
        """
        from aiohttp import web

        self._worker.start()
        app = web.Application(client_max_size=32 << 20)
        app.router.add_get("/health", self._health)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        # A request whose client has gone is cancelled, and its place in the batch is free.
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        try:
            await runner.setup()
            site = web.TCPSite(runner, host, port, shutdown_timeout=1)
            await site.start()
            ready(runner.addresses[0][1])
            await asyncio.Event().wait()
        finally:
            await asyncio.to_thread(self._worker.close)
            await runner.cleanup()

    async def _health(self, request: web.Request) -> web.Response:
        return _json({"status": "ok"})

    async def _models(self, request: web.Request) -> web.Response:
        # Beside what OpenAI states, the hash of the weights: who asks several servers sees that they are the same.
        entry = {"id": self.name, "object": "model", "owned_by": "shrinklm", "revision": self.teacher.revision}
        return _json({"object": "list", "data": [entry]})

    async def _chat(self, request: web.Request) -> web.Response:
        try:
            try:
                body = await request.json()
            except ValueError as error:
                raise Refusal(400, f"The body is no JSON: {error}", "invalid_body") from None
            row = read(body, self.teacher, self.name)
        except Refusal as refusal:
            return _json(refusal.body, refusal.status)
        except TeacherError as error:  # a chat template that cannot take these turns
            return _json(Refusal(400, str(error), "invalid_value", "messages").body, 400)
        try:
            await asyncio.wrap_future(self._worker.ask(row))
        except Exception as error:  # of the model, such as memory that does not suffice
            return _json({"error": {"message": f"{type(error).__name__}: {error}", "type": "server_error"}}, 500)
        return _json(answer(row, self.teacher.decoder.text(row.said.tokens), body.get("stop"), self.name))


def _json(body: Any, status: int = 200) -> web.Response:
    from aiohttp import web

    return web.Response(text=json.dumps(body), status=status, content_type="application/json")
