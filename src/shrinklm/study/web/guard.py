"""Protects the pages: size of requests, security headers, forged requests, cookies, the researcher's sessions, rate
limits.

Nothing here stores an address: `RateLimits` keeps a keyed hash of it in memory, for a minute.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from threading import Lock
from urllib.parse import parse_qsl, urlsplit

from itsdangerous import Signer
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..records.sessions import new_secret, secret_hash

BODY = 64 * 1024
"""Most bytes of a request."""
TIME = 30.0
"""Seconds in which the body of a request must have come."""
FIELDS = 200
"""Most fields of a form."""
SESSION, VISIT, ADMIN = "study", "visit", "researcher"
"""Names of cookies: of a person who takes part, of a visitor who has not agreed yet, of the researcher."""
_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-robots-tag": "noindex",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """ASGI middleware: reads forms up to `BODY` bytes, refuses forged requests, sets the headers of responses."""

    def __init__(self, app: ASGIApp, refuse: Callable[[Request, str, int], Response]) -> None:
        self.app, self.refuse = app, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        begun = False

        async def headed(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
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
            return
        try:
            await self.app(scope, receive, headed)
        except Exception:
            # The page that failed has said so, and was logged; the server would log it once more.
            if not begun:
                raise

    async def _read(self, request: Request, receive: Receive) -> tuple[str, int] | None:
        """Put a form's fields into the scope.

        Return (name of a note, status) when the request is refused, else None.
        """
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
        try:
            async with asyncio.timeout(TIME):
                body = await _body(receive)
        except TimeoutError:
            return "broken", 408
        if body is None:
            return "broken", 400
        if len(body) > BODY:
            return "large", 413
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
            return "broken", 415
        try:
            # PostgreSQL stores no NUL.
            pairs = parse_qsl(
                body.decode("ascii").replace("\0", ""), keep_blank_values=True, max_num_fields=FIELDS, errors="replace"
            )
        except ValueError:
            return "broken", 400
        request.scope["fields"] = {name: value.replace("\0", "") for name, value in pairs}
        return None


async def _body(receive: Receive) -> bytes | None:
    """Return the body up to a little more than `BODY` bytes; None where the client has gone."""
    # Counted while it comes: the header may be missing, or lie.
    body = b""
    while len(body) <= BODY:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return body


def fields(request: Request) -> Mapping[str, str]:
    """Return the fields of the form that was sent."""
    form: Mapping[str, str] = request.scope["fields"]
    return form


def _foreign(request: Request) -> bool:
    """Whether the browser says that another site sends the request."""
    # Old browsers send neither header; the token of the form decides then.
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = request.headers.get("origin")
    try:
        return origin is not None and urlsplit(origin).netloc != request.headers.get("host", "")
    except ValueError:  # no address
        return True


def secret_of(request: Request) -> str:
    """Return the cookie that forms are bound to: the researcher's below /researcher, else the person's, else the
    visitor's."""
    names = (ADMIN, VISIT) if request.url.path.startswith("/researcher") else (SESSION, VISIT)
    return next((request.cookies[name] for name in names if request.cookies.get(name)), "")


def csrf(request: Request) -> str:
    """Return the token that a form must send back: signed with a cookie that other sites cannot read.

    "" without a cookie.
    """
    signer = _signer(request)
    return signer.get_signature(_FORM).decode() if signer else ""


def forged(request: Request) -> bool:
    """Whether a form was not made for the browser that sends it; compared in constant time."""
    signer = _signer(request)
    return signer is None or not signer.verify_signature(_FORM, fields(request).get("csrf", ""))


_FORM = b"form"


def _signer(request: Request) -> Signer | None:
    # A visitor's first page is bound to the cookie that it sets, which the request does not have yet.
    secret: str = request.scope.get("fresh") or secret_of(request)
    if not secret:
        return None
    key = secret.encode("utf-8", "surrogatepass")  # a cookie may hold anything
    return Signer(key, salt=b"shrinklm study form", key_derivation="hmac", digest_method=hashlib.sha256)


def visit(request: Request) -> str:
    """Draw the secret of a new visitor; the pages of this request use it at once."""
    request.scope["fresh"] = secrets.token_urlsafe(24)
    return str(request.scope["fresh"])


def give(response: Response, request: Request, name: str, value: str, days: float = 60) -> None:
    """Set a cookie that scripts cannot read, and that browsers do not send along with another site's form."""
    strict = name == ADMIN
    response.set_cookie(
        name,
        value,
        max_age=int(days * 86400),
        path="/researcher" if strict else "/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict" if strict else "lax",
    )


class RateLimits:
    """Limits how often an address may do something in a minute.

    Kept in memory, under a hash that nobody can turn back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._key, self._lock = clock, secrets.token_bytes(32), Lock()
        self._times: dict[bytes, list[float]] = {}

    def wait(self, request: Request, action: str, most: int, count: bool = True) -> int:
        """Count a request. Return 0, or the seconds to wait when there were `most` in the last minute already.

        `count`: False looks only.
        """
        host = request.client.host if request.client else ""
        who = hmac.digest(self._key, f"{action} {host}".encode(), "sha256")
        now = self._clock()
        with self._lock:
            # Old times of everybody go, so that the memory does not grow with the number of addresses.
            self._times = {
                key: recent for key, times in self._times.items() if (recent := [at for at in times if now - at < 60])
            }
            times = self._times.setdefault(who, [])
            if len(times) >= most:
                return max(1, round(60 - (now - times[0])))
            if count:
                times.append(now)
        return 0


class Admins:
    """The sessions of researchers: hashes of their cookies, in memory, for half a day."""

    hours = 12.0

    def __init__(self, token: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._token, self._clock = token.encode(), clock
        self._until: dict[str, float] = {}

    def enter(self, token: str) -> str | None:
        """Return the secret of a new session, or None for a wrong token; compared in constant time."""
        if not hmac.compare_digest(self._token, token.strip().encode("utf-8", "surrogatepass")):
            return None
        secret = new_secret()
        self._until[secret_hash(secret)] = self._clock() + self.hours * 3600
        return secret

    def known(self, request: Request) -> bool:
        """Whether the request belongs to a session that has not expired."""
        return self._until.get(secret_hash(request.cookies.get(ADMIN, "")), 0.0) > self._clock()

    def leave(self, request: Request) -> None:
        """End the session, here and not in the browser alone: a copied cookie opens nothing either."""
        self._until.pop(secret_hash(request.cookies.get(ADMIN, "")), None)
