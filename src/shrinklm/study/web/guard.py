"""What stands between the pages and the net: sizes, headers, forged requests, secrets, and who comes too often.

Nothing here writes an address down: `Doors` keeps a keyed hash of it in memory, for a minute.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from threading import Lock
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..records.sessions import new_secret, secret_hash

BODY = 64 * 1024
"""Bytes of a request, at most."""
FIELDS = 200
SESSION, VISIT, ADMIN = "study", "visit", "researcher"
"""Cookies: of a person who takes part, of one who has not agreed yet, of the researcher."""
_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-robots-tag": "noindex",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """ASGI middleware: reads the whole body of a form up to `BODY` bytes, refuses what is forged, and sets the headers of every answer."""

    def __init__(self, app: ASGIApp, refuse: Callable[[Request, str, int], Response]) -> None:
        self.app, self.refuse = app, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)

        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
                if scope["scheme"] == "https":
                    headers["strict-transport-security"] = "max-age=31536000"
            await send(message)

        refused = await self._read(request, receive)
        if refused is not None:
            await self.refuse(request, *refused)(scope, receive, headed)
        else:
            await self.app(scope, receive, headed)

    async def _read(self, request: Request, receive: Receive) -> tuple[str, int] | None:
        """Puts a form's fields into the scope; or says why the request is refused: (name of a note, status)."""
        request.scope["fields"] = {}
        if request.method in ("GET", "HEAD"):
            return None
        if request.method != "POST":
            return "lost", 405
        if _foreign(request):
            return "expired", 403
        length = request.headers.get("content-length", "0")
        if not length.isdigit() or int(length) > BODY:
            return "large", 413
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return "broken", 400
            body += message.get("body", b"")
            if len(body) > BODY:
                return "large", 413
            if not message.get("more_body"):
                break
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
            return "broken", 415
        try:
            # NUL is no text, and PostgreSQL refuses it.
            pairs = parse_qsl(
                body.decode("ascii").replace("\0", ""), keep_blank_values=True, max_num_fields=FIELDS, errors="replace"
            )
        except ValueError:
            return "broken", 400
        request.scope["fields"] = {name: value.replace("\0", "") for name, value in pairs}
        return None


def fields(request: Request) -> Mapping[str, str]:
    """The fields of the form that was sent."""
    found: Mapping[str, str] = request.scope["fields"]
    return found


def _foreign(request: Request) -> bool:
    """Whether a browser says that another site sends this."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host", "")


def secret_of(request: Request) -> str:
    """The cookie that forms are bound to: the researcher's below /researcher, else the person's, else the visitor's."""
    names = (ADMIN, VISIT) if request.url.path.startswith("/researcher") else (SESSION, VISIT)
    return next((request.cookies[name] for name in names if request.cookies.get(name)), "")


def csrf(request: Request) -> str:
    """What a form must send back: made from a cookie that other sites cannot read."""
    secret = request.scope.get("fresh") or secret_of(request)
    return hashlib.sha256(f"form {secret}".encode("utf-8", "surrogatepass")).hexdigest()[:40] if secret else ""


def forged(request: Request) -> bool:
    """Whether a form was not made for the one who sends it."""
    wanted = csrf(request)
    return not wanted or not hmac.compare_digest(
        wanted, fields(request).get("csrf", "").encode("ascii", "replace").decode()
    )


def visit(request: Request) -> str:
    """A new visitor's secret; pages of this request use it at once."""
    request.scope["fresh"] = secrets.token_urlsafe(24)
    return str(request.scope["fresh"])


def give(response: Response, request: Request, name: str, value: str, days: float = 60) -> None:
    """Sets a cookie that scripts cannot read and other sites cannot send along with a form."""
    strict = name == ADMIN
    response.set_cookie(
        name, value, max_age=int(days * 86400), path="/researcher" if strict else "/", secure=request.url.scheme == "https", httponly=True,
        samesite="strict" if strict else "lax",
    )  # fmt: skip


class Doors:
    """How often each address came in the last minute, in memory alone and by a hash that nobody can turn back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._key, self._lock = clock, secrets.token_bytes(32), Lock()
        self._times: dict[bytes, list[float]] = {}

    def wait(self, request: Request, door: str, most: int) -> int:
        """Counts a coming; 0, or the seconds to wait when there were `most` in the last minute already."""
        host = request.client.host if request.client else ""
        who = hmac.digest(self._key, f"{door} {host}".encode(), "sha256")
        now = self._clock()
        with self._lock:
            self._times = {
                key: times for key, old in self._times.items() if (times := [at for at in old if now - at < 60])
            }
            times = self._times.setdefault(who, [])
            if len(times) >= most:
                return max(1, round(60 - (now - times[0])))
            times.append(now)
        return 0


class Admins:
    """The researchers who are logged in: hashes of their cookies, in memory, for half a day."""

    hours = 12.0

    def __init__(self, token: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._token, self._clock = token.encode(), clock
        self._until: dict[str, float] = {}

    def enter(self, token: str) -> str | None:
        """The secret of a new session, or None for a wrong token; compared in constant time."""
        if not hmac.compare_digest(self._token, token.strip().encode("utf-8", "surrogatepass")):
            return None
        secret = new_secret()
        self._until[secret_hash(secret)] = self._clock() + self.hours * 3600
        return secret

    def known(self, request: Request) -> bool:
        """Whether the researcher sends this."""
        return self._until.get(secret_hash(request.cookies.get(ADMIN, "")), 0.0) > self._clock()

    def leave(self, request: Request) -> None:
        """Ends the session."""
        self._until.pop(secret_hash(request.cookies.get(ADMIN, "")), None)
