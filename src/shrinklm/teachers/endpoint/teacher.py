"""`endpoint:URL#MODEL` as a teacher."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from urllib.parse import parse_qsl, urlsplit

from ...core.errors import TeacherError
from ...core.secrets import secrets
from ...core.types import Completion, Prompt, Sampling
from ..base import BaseTeacher, TeacherOptions
from ..budget import check_price
from ..costs import Price
from .meter import Meter
from .pace import Pace
from .request import Request
from .session import Server, Session
from .wire import Wire

AT_ONCE = 128
"""Requests out at once, at most, where the recipe does not say: what a batching server still gains from."""


class EndpointTeacher(BaseTeacher):
    """`endpoint:http://host:port/v1#model`: a model behind any OpenAI-compatible server.

    Requests run side by side, as many as the server bears. They are sent again with growing pauses when a rate limit
    (429), an error of the server (5xx), a dropped connection or an answer that is none stops them.
    """

    spec = "endpoint"
    """How a recipe names it."""
    keeps_budget = True
    tells_logprobs = True
    backoff = 0.5
    """Seconds before the second attempt; doubles each time."""

    def __init__(self, rest: str, options: TeacherOptions) -> None:
        self.url, _, self.name = rest.partition("#")
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise TeacherError(
                f"'{self.url}' is not the address of a server. Write {self.spec}:http://HOST:PORT/v1#MODEL"
            )
        if parts.username or parts.password or any(secrets(dict(parse_qsl(parts.query)))):
            raise TeacherError(
                "The server's address must not hold a password or a key. "
                "Put the key into the variable that `api_key_env` names."
            )
        if not self.name:
            raise TeacherError(
                f"'{self.spec}:{rest}' names no model. Write {self.spec}:{self.url or 'http://HOST:PORT/v1'}#MODEL"
            )
        self.options, self.max_tokens = options, options.max_tokens
        # Settings that change what the server writes; without them the revision is unknown.
        settings = {"thinking": options.thinking, **({"extra": dict(options.extra)} if options.extra else {})}
        self.revision = json.dumps(settings, sort_keys=True) if options.thinking or options.extra else ""
        self._local = _is_local(parts.hostname)
        self._session: Session | None = None

    @cached_property
    def price(self) -> Price | None:
        """Dollars per million tokens, from the recipe or, for a known model of a public server, from genai-prices."""
        if self.options.price is not None or self._local:
            return self.options.price
        from genai_prices import Usage, calc_price

        million = 1_000_000  # prices are per million tokens
        try:
            cost = [
                float(calc_price(usage, self.name, provider_api_url=self.url).total_price)
                for usage in (Usage(input_tokens=million), Usage(output_tokens=million))
            ]
        except (LookupError, ValueError):  # not a model it knows
            return None
        return {"input": cost[0], "output": cost[1]}

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        """Yield completions as they come. A question that the server fails at is refused, and the rest go on.

        Raises TeacherError when the server does not answer, wants a key or money, does not know the model, or fails
        too often.
        """
        if prompts:
            self._session = Session(self._server, self._wire, prompts, sampling)
            yield from self._session.results(self.tell)

    def check_access(self, kinds: Collection[str]) -> None:
        """Raises TeacherError for a public server whose key is not set, and for a key that cannot be one."""
        variable = self.options.api_key_env
        if not self._wire.key and variable and not self._local and self.url.startswith("https://"):
            raise TeacherError(
                f"{self.url} (model '{self.name}') is a public server, and the environment variable {variable} that "
                f"holds its key is not set. Run: export {variable}=... . For a server that wants no key, write: "
                'api_key_env: ""'
            )

    @property
    def ready(self) -> int:  # type: ignore[override]
        """See `BaseTeacher`."""
        return self._session.ready if self._session else 0

    @cached_property
    def _server(self) -> Server:
        options = self.options
        if self.budget:
            check_price(self.price, self.name, "teacher")
        return Server(
            Request(self.name, options.thinking, options.extra),
            Pace(options.batch or AT_ONCE, options.requests_a_minute, options.tokens_a_minute),
            options.attempts,
            self.backoff,
            options.failures,
            Meter(self.budget, self.price) if self.budget and self.price else None,
        )

    @cached_property
    def _wire(self) -> Wire:
        options = self.options
        return Wire(self.url, self.name, options.api_key_env, options.timeout, options.batch or AT_ONCE, self._local)


def _is_local(host: str) -> bool:
    """Whether the server is on this machine or in a private network, where no public price applies."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or "." not in host or host.endswith((".local", ".internal", ".lan"))
