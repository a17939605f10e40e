"""The server: aiohttp's, over the one thread that answers."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ...core.types import Example
from ...teachers.serving.chat import Refusal
from ..cascade import Cascade
from . import chat, native, page
from .limits import KEYS, Keys, Limits
from .metrics import CONTENT_TYPE, Metrics
from .worker import Finish, Full, Wish, Worker

if TYPE_CHECKING:
    from ..student import TrainedStudent

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_OPEN = ("/", "/page.css", "/page.js", "/health", "/ready")
"""Routes that need no key: they tell nothing that the student says."""
_WATCHED = ("/health", "/metrics")
"""Routes that answer while the server stops."""
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class AnswerServer:
    """A trained student behind an address.

    Args:
        student: Answers; nobody else may use it meanwhile. A cascade's teacher answers in a thread of its own.
        limits: What is taken.
        keys: Who may ask.
    """

    def __init__(
        self, student: TrainedStudent | Cascade, limits: Limits | None = None, keys: Keys | None = None
    ) -> None:
        cascade = student if isinstance(student, Cascade) else None
        self.student = cascade.alone if cascade else student
        self.limits, self.keys, self.metrics = limits or Limits(), keys or Keys(), Metrics()
        self._by = cascade.by if cascade else None
        """What answers are read from, where a request may not say: a threshold is of confidences of one kind."""
        self._worker = Worker(self.student, self.limits, self.metrics, cascade)
        self._live = 0
        """Requests that were taken and are not answered."""
        self._stop = asyncio.Event()
        self._idle = asyncio.Event()
        self._began = int(time.time())

    def stop(self) -> None:
        """Answer what was taken, refuse what comes, then end. A second call ends at once."""
        if self._stop.is_set():
            self._idle.set()
        self._stop.set()
        if not self._live:
            self._idle.set()

    async def serve(self, host: str, port: int, ready: Callable[[int], None]) -> bool:
        """Answer until `stop`, or until the process is asked to end (SIGTERM, SIGINT); whether all is answered then.

        `ready` is called with the port once requests are taken; port 0 takes a free one. Raises OSError where the
        address cannot be had.
        """
        # A request whose client has gone is cancelled: what it asks is not computed for nobody.
        runner = web.AppRunner(
            self._app(),
            access_log=None,
            logger=_quiet(),
            handler_cancellation=True,
            shutdown_timeout=1,
            auto_decompress=False,
        )
        self._worker.start()
        answered = True
        try:
            await runner.setup()
            await web.TCPSite(runner, host, port, backlog=1024).start()
            with suppress(NotImplementedError, RuntimeError, ValueError):  # outside of the main thread are no signals
                for name in (signal.SIGTERM, signal.SIGINT):
                    asyncio.get_running_loop().add_signal_handler(name, self.stop)
            ready(runner.addresses[0][1])
            await self._stop.wait()
            # A client that does not take its reply holds nothing up for ever.
            with suppress(TimeoutError):
                async with asyncio.timeout(self.limits.timeout + self.limits.reading):
                    await self._idle.wait()
            answered = not self._live
        finally:
            await runner.cleanup()
            # A pass under way cannot be broken off; nobody waits for it after a second call of `stop`.
            if answered:
                await asyncio.to_thread(self._worker.close)
        return answered

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard], client_max_size=self.limits.body)
        app.on_response_prepare.append(_add_headers)
        app.router.add_get("/", self._page)
        app.router.add_get("/page.css", page.static)
        app.router.add_get("/page.js", page.static)
        app.router.add_get("/health", self._health)
        app.router.add_get("/ready", self._health)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/v1/models/{name}", self._model)
        app.router.add_post("/v1/answer", self._answer)
        app.router.add_post("/v1/chat/completions", self._chat)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every request: keys, stopping, errors as JSON, figures."""
        began = time.perf_counter()
        resource = request.match_info.route.resource
        route = resource.canonical if resource else "other"
        self._live += 1
        status = 499  # of nginx: the client has gone
        try:
            response = await self._guarded(request, handler, route)
            status = response.status
            return response
        finally:
            self._live -= 1
            if self._stop.is_set() and not self._live:
                # Behind this reply, which is sent when the loop comes round.
                asyncio.get_running_loop().call_soon(self._idle.set)
            self.metrics.count("shrinklm_requests_total", route=route, status=str(status))
            self.metrics.observe("shrinklm_request_seconds", time.perf_counter() - began, route=route)

    async def _guarded(self, request: web.Request, handler: Handler, route: str) -> web.StreamResponse:
        try:
            if self._stop.is_set() and route not in _WATCHED:
                raise Refusal(503, "The server is stopping. Ask again soon.", "stopping", wait=5)
            if route not in _OPEN and not self.keys.open(request.headers.get("Authorization", "")):
                raise Refusal(
                    401, f"A key is needed: send the header 'Authorization: Bearer KEY', one of {KEYS}.",
                    "invalid_api_key",
                )  # fmt: skip
            return await handler(request)
        except Refusal as refusal:
            response = _json(refusal.body, refusal.status, refusal.headers)
            if refusal.status == 401:
                response.headers["WWW-Authenticate"] = "Bearer"
            if refusal.status in (408, 413, 503):  # what is left of the body is not read
                response.force_close()
            return response
        except web.HTTPRequestEntityTooLarge:
            response = _json(native.invalid(f"The body has more than {self.limits.body:,} bytes.", None, 413).body, 413)
            response.force_close()
            return response
        except web.HTTPException as error:
            return _json(_lost(request, error).body, error.status, _allowed(error))
        except Exception as error:
            logging.getLogger("shrinklm.server").error("a request failed", exc_info=error)
            return _json(Refusal(500, "The server could not answer; its log says why.", "server_error").body, 500)

    async def _body(self, request: web.Request) -> dict[str, Any]:
        if request.content_type != "application/json":
            raise Refusal(
                415,
                f"The body must be JSON, sent with the header 'Content-Type: application/json', not "
                f"'{request.content_type[:100]}'.",
                "invalid_content_type",
            )
        if request.headers.get("Content-Encoding", "identity") != "identity":
            raise Refusal(415, "The body must be sent as it is, without Content-Encoding.", "invalid_content_encoding")
        try:
            async with asyncio.timeout(self.limits.reading):
                raw = await request.read()
        except TimeoutError:
            raise Refusal(408, f"The body did not come within {self.limits.reading:g} s.", "request_timeout") from None
        return native.parse(raw)

    async def _ask(self, examples: Sequence[Example], wish: Wish, finish: Finish) -> list[Any]:
        """What `finish` makes of each answer. Raises Refusal where there is no room, or no answer in time."""
        try:
            futures = self._worker.ask(examples, wish, finish)
        except Full as full:
            raise Refusal(
                429,
                f"{self._worker.waiting:,} questions wait, and the queue holds {self.limits.queue:,}. "
                f"Ask again in {full.wait} s.",
                "queue_full",
                wait=full.wait,
            ) from None
        try:
            async with asyncio.timeout(self.limits.timeout):
                return await asyncio.gather(*map(asyncio.wrap_future, futures))
        except TimeoutError:
            raise Refusal(504, f"There was no answer within {self.limits.timeout:g} s.", "timeout", wait=1) from None
        finally:
            for future in futures:
                future.cancel()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        began = time.perf_counter()
        asked = native.read(await self._body(request), self.student, self.limits, self._by)
        answers = await self._ask(asked.examples, asked.wish, native.answered)
        ms = round(1000 * (time.perf_counter() - began), 1)
        if asked.several:
            return _json({"answers": answers, "cell": self.student.name, "ms": ms})
        return _json({**answers[0], "ms": ms})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        asked = chat.read(await self._body(request), self.student, self.limits)
        [body] = await self._ask(
            [asked.example], asked.wish(self.student, self._by or "text"), asked.finish(self.student)
        )
        if not asked.stream:
            return _json(body)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        for event in chat.events(body, asked.usage):
            await response.write(event)
        await response.write_eof()
        return response

    async def _models(self, request: web.Request) -> web.Response:
        return _json({"object": "list", "data": [self._about()]})

    async def _model(self, request: web.Request) -> web.Response:
        chat.check_model(request.match_info["name"], self.student.name)
        return _json(self._about())

    def _about(self) -> dict[str, Any]:
        return {"id": self.student.name, "object": "model", "created": self._began, "owned_by": "shrinklm"}

    async def _health(self, request: web.Request) -> web.Response:
        return _json({"status": "stopping" if self._stop.is_set() else "ok", "model": self.student.name})

    async def _metrics(self, request: web.Request) -> web.Response:
        gauges: dict[str, tuple[str, float, Mapping[str, str]]] = {
            "shrinklm_queue_questions": ("Questions that wait.", self._worker.waiting, {}),
            "shrinklm_requests_live": ("Requests taken and not answered.", self._live, {}),
            "shrinklm_stopping": ("Whether the server is stopping.", self._stop.is_set(), {}),
            "shrinklm_student_info": ("The student that answers.", 1, {"cell": self.student.name}),
        }
        return web.Response(body=self.metrics.text(gauges).encode(), headers={"Content-Type": CONTENT_TYPE})

    async def _page(self, request: web.Request) -> web.Response:
        return page.page(self.student, self._by, bool(self.keys))


def _quiet() -> logging.Logger:
    """For aiohttp: what is no HTTP gets 400, and no traceback with its words. Errors of handlers are caught before."""
    logger = logging.getLogger("shrinklm.server.http")
    logger.setLevel(logging.CRITICAL)
    return logger


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["Server"] = "shrinklm"


def _json(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        text=json.dumps(body, allow_nan=False), status=status, headers=headers, content_type="application/json"
    )


def _lost(request: web.Request, error: web.HTTPException) -> Refusal:
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return Refusal(405, f"{request.path} takes {allowed}, not {request.method}.", "method_not_allowed")
    if isinstance(error, web.HTTPNotFound):
        return Refusal(404, f"There is nothing at {request.path[:100]}.", "not_found")
    return Refusal(error.status, f"{error.reason}.", "bad_request")


def _allowed(error: web.HTTPException) -> dict[str, str]:
    return {"Allow": ", ".join(sorted(error.allowed_methods))} if isinstance(error, web.HTTPMethodNotAllowed) else {}
