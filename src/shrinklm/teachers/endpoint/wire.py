"""The HTTP side: one POST and its answer, and an error of the server in words that say what to do."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.request import getproxies

from ...core.errors import TeacherError
from .reply import Trouble

LARGEST = 16_000_000
"""Bytes of one answer that are read; no text that a teacher is asked for is as long."""

MEETING = 10.0
"""Seconds that a server may take to list its models."""

_KEY = 8
"""Characters of a key at least: shorter ones ("none", "x"), for servers that want none, are ordinary words."""


class Wire:
    """The connection to one server.

    Args:
        url: Its address, ending in /v1 as a rule.
        model: The model's name there, for errors.
        key_variable: The environment variable that holds the key; it is read for each session and kept nowhere.
        timeout: Seconds that one request may take.
        most: Connections at once.
        local: Whether the server is on this machine or network, where no proxy stands between.
    """

    def __init__(self, url: str, model: str, key_variable: str, timeout: float, most: int, local: bool) -> None:
        self.url, self.model, self.key_variable = url.rstrip("/"), model, key_variable
        self.timeout, self.most, self.local = timeout, most, local
        self.reached = False
        """Whether any answer has come, be it an error."""
        self._session: Any = None

    async def __aenter__(self) -> Wire:
        import aiohttp

        key = self.key
        self._session = aiohttp.ClientSession(
            headers={"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {}),
            connector=aiohttp.TCPConnector(limit=self.most + 1, ssl=certificates()),
            timeout=aiohttp.ClientTimeout(total=self.timeout),
            trust_env=not self.local,
            cookie_jar=aiohttp.DummyCookieJar(),  # looked through for each request
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    @property
    def key(self) -> str:
        """The key, without the blanks and line breaks that come with a copied one. Raises TeacherError."""
        key = os.environ.get(self.key_variable, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise TeacherError(
                f"The environment variable {self.key_variable} holds characters that no key has, such as a line break "
                f"or a typographic quote. Run: export {self.key_variable}=..."
            )
        return key

    def masked(self, text: bytes) -> bytes:
        """What a server sent, without the key: some repeat it in an error, which is shown and stored."""
        key = self.key.encode()
        return text.replace(key, b"[key]") if len(key) >= _KEY and key in text else text

    async def post(self, data: bytes) -> tuple[int, Mapping[str, str], bytes]:
        """Send a request for a chat completion; return (status, headers, body). Raises Trouble."""
        import aiohttp

        try:
            # A redirect could carry the key to another host.
            async with self._session.post(f"{self.url}/chat/completions", data=data, allow_redirects=False) as response:
                content = self.masked(await _read(response))
        except TimeoutError:
            raise Trouble("again", f"no answer within {self.timeout:g} s (`timeout` of the teacher)") from None
        except aiohttp.ClientProxyConnectionError as error:
            raise Trouble(
                "end", f"the proxy {proxy(self.url)} does not answer: {error.os_error}", sent=False
            ) from error
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
            # A server that never answered is not running, and waiting would not help.
            raise Trouble("again" if self.reached else "end", f"no connection: {error}", sent=False) from error
        except (aiohttp.ClientError, OSError) as error:
            raise Trouble("again", f"the connection broke: {error or type(error).__name__}") from error
        self.reached = True
        if 300 <= response.status < 400:
            raise Trouble(
                "end",
                f"it points to {self.masked(response.headers.get('Location', 'elsewhere').encode()).decode()}: "
                "write that address",
                response.status,
            )
        return response.status, response.headers, content

    async def error(self, trouble: Trouble, attempts: int = 1) -> TeacherError:
        """The error that ends the run."""
        models = await self._models() if self.reached and trouble.status == 404 else ""
        return self.worded(trouble, models, attempts)

    def worded(self, trouble: Trouble, models: str, attempts: int = 1) -> TeacherError:
        """The error that ends the run, in words; `models`: those that the server names."""
        where, why, status = f"{self.url} (model '{self.model}')", trouble.reason, trouble.status
        if not self.reached:
            return TeacherError(f"No server answers at {self.url}: {why}. Start it, or mend the address.")
        if status in (401, 403):
            if not self.key_variable:
                return TeacherError(
                    f"{where} wants a key ({status}: {why}), and `api_key_env` names no environment variable. "
                    "Write: api_key_env: NAME, and run: export NAME=..."
                )
            state = "was refused" if self.key else "is not set"
            return TeacherError(
                f"{where} wants a key: the environment variable {self.key_variable} {state} ({status}: {why}). "
                f"Run: export {self.key_variable}=..."
            )
        if status == 404:
            return TeacherError(f"{where} answers 404: {why}. Models there: {models}. The address usually ends in /v1.")
        tried = f" after {attempts} attempts" if attempts > 1 else ""
        later = f" It wants to be asked again in {trouble.wait / 60:,.0f} minutes." if trouble.wait else ""
        return TeacherError(
            f"{where} cannot answer{tried}: {why}.{later} "
            "Completions so far are stored; the same command goes on from there."
        )

    async def models(self) -> list[Mapping[str, Any]]:
        """The server's list of models; empty where none can be read. Raises Trouble without a connection."""
        import aiohttp

        try:
            async with (
                asyncio.timeout(min(MEETING, self.timeout)),
                self._session.get(f"{self.url}/models", allow_redirects=False) as response,
            ):
                listed = json.loads(self.masked(await _read(response)))["data"]
            return [model for model in listed if isinstance(model, dict)]
        except aiohttp.ClientConnectorError as error:
            raise Trouble("again" if self.reached else "end", f"no connection: {error}", sent=False) from error
        except TimeoutError:
            raise Trouble("again", f"no list of models within {MEETING:g} s", sent=False) from None
        except (Trouble, aiohttp.ClientError, OSError, ValueError, KeyError, TypeError):
            return []

    async def _models(self) -> str:
        with suppress(Trouble):
            if listed := await self.models():
                return ", ".join(str(model.get("id"))[:80] for model in listed[:8])
        return "unknown"


async def _read(response: Any) -> bytes:
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > LARGEST:
            raise Trouble("again", f"an answer of more than {LARGEST // 1_000_000} MB", response.status)
    return bytes(content)


def certificates() -> ssl.SSLContext:
    """Python's certificates; where it has none of its own, as on macOS, those of certifi."""
    if "SSL_CERT_FILE" in os.environ or "SSL_CERT_DIR" in os.environ:
        return ssl.create_default_context()
    import certifi

    return ssl.create_default_context(cafile=certifi.where())


def proxy(url: str) -> str:
    """The proxy of the environment for an address, in words."""
    address = getproxies().get(url.partition(":")[0], "of the environment")
    return address.rpartition("@")[2]  # without a password
