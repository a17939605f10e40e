"""`endpoint:URL#MODEL` as a teacher."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property

from ...core.errors import TeacherError
from ...core.types import Completion, Prompt, Sampling
from ..base import BaseTeacher, TeacherOptions
from ..budget import check_price
from ..costs import Price
from .addresses import Addresses, is_local
from .meter import Meter
from .pace import Limit, Pace
from .request import Request
from .servers import Server, Servers
from .session import Session
from .wire import Wire

AT_ONCE = 128
"""Requests out at once, at most, where the recipe does not say: what a batching server still gains from."""


class EndpointTeacher(BaseTeacher):
    """`endpoint:http://host:port/v1#model`: a model behind any OpenAI-compatible server, or behind several.

    `endpoint:URL,URL#model` and `endpoint:@FILE#model` name servers of the same model, which share the questions. The
    teacher is known by the model alone, so that texts do not depend on where, or on how many machines, it runs.
    Requests run side by side, as many as each server bears. They are sent again with growing pauses when a rate limit
    (429), an error of the server (5xx), a dropped connection or an answer that is none stops them.
    """

    spec = "endpoint"
    """How a recipe names it."""
    keeps_budget = True
    tells_logprobs = True
    backoff = 0.5
    """Seconds before the second attempt; doubles each time."""

    def __init__(self, rest: str, options: TeacherOptions) -> None:
        text, _, self.name = rest.partition("#")
        self.addresses = Addresses(text, self.spec, self.name, options.root)
        """Where the servers are."""
        if not self.name:
            raise TeacherError(
                f"'{self.spec}:{rest}' names no model. Write {self.spec}:{text or 'http://HOST:PORT/v1'}#MODEL"
            )
        if "," in self.name and "://" in self.name:
            raise TeacherError(
                f"'{self.spec}:{rest}' names a model more than once. All servers of a teacher serve the same model: "
                f"write {self.spec}:http://HOST:PORT/v1,http://OTHER:PORT/v1#MODEL"
            )
        self.options, self.max_tokens = options, options.max_tokens
        # Settings that change what the server writes; without them the revision is unknown.
        settings = {"thinking": options.thinking, **({"extra": dict(options.extra)} if options.extra else {})}
        self.revision = json.dumps(settings, sort_keys=True) if options.thinking or options.extra else ""
        self._session: Session | None = None

    @cached_property
    def price(self) -> Price | None:
        """Dollars per million tokens, from the recipe or, for a known model of a public server, from genai-prices.

        Of several servers the dearest one's counts, since any of them may take a question.
        """
        public = [url for url in self.addresses.known if not is_local(url)]
        if self.options.price is not None or not public:
            return self.options.price
        prices = [_known_price(self.name, url) for url in public]
        found = [price for price in prices if price is not None]
        if len(found) < len(prices):
            return None
        return {"input": max(one["input"] for one in found), "output": max(one["output"] for one in found)}

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        """Yield completions as they come. A question that the server fails at is refused, and the rest go on.

        Raises TeacherError when the server does not answer, wants a key or money, does not know the model, or fails
        too often.
        """
        if prompts:
            self._session = Session(self._servers, self.addresses.read, prompts, sampling)
            yield from self._session.results(self.tell)

    def check_access(self, kinds: Collection[str]) -> None:
        """Raises TeacherError for a public server whose key is not set, and for a key that cannot be one."""
        variable = self.options.api_key_env
        for url in self.addresses.known:
            if not self._wire(url).key and variable and not is_local(url) and url.startswith("https://"):
                raise TeacherError(
                    f"{url} (model '{self.name}') is a public server, and the environment variable {variable} that "
                    f"holds its key is not set. Run: export {variable}=... . For a server that wants no key, write: "
                    'api_key_env: ""'
                )

    @property
    def ready(self) -> int:  # type: ignore[override]
        """See `BaseTeacher`."""
        return self._session.ready if self._session else 0

    @cached_property
    def _servers(self) -> Servers:
        options = self.options
        if self.budget:
            check_price(self.price, self.name, "teacher")
        return Servers(
            lambda url: Server(self._wire(url), self._request(), Pace(options.batch or AT_ONCE)),
            self.name,
            options.attempts,
            self.backoff,
            options.failures,
            Limit(options.requests_a_minute, options.tokens_a_minute),
            Meter(self.budget, self.price) if self.budget and self.price else None,
        )

    def _request(self) -> Request:
        return Request(self.name, self.options.thinking, self.options.extra)

    def _wire(self, url: str) -> Wire:
        options = self.options
        return Wire(url, self.name, options.api_key_env, options.timeout, options.batch or AT_ONCE, is_local(url))


def _known_price(model: str, url: str) -> Price | None:
    """What a public server asks for a model; None for one that is not known."""
    from genai_prices import Usage, calc_price

    million = 1_000_000  # prices are per million tokens
    try:
        cost = [
            float(calc_price(usage, model, provider_api_url=url).total_price)
            for usage in (Usage(input_tokens=million), Usage(output_tokens=million))
        ]
    except (LookupError, ValueError):  # not a model it knows
        return None
    return {"input": cost[0], "output": cost[1]}
