"""A teacher behind an OpenAI-compatible server: vLLM, SGLang, llama.cpp, Ollama, `transformers serve`, OpenAI."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from ..core.errors import TeacherError
from ..core.types import Completion, Prompt, Sampling
from .base import DOES_NOT_FIT, BaseTeacher, Price, TeacherOptions, first_stop


class EndpointTeacher(BaseTeacher):
    """`endpoint:http://host:port/v1#model`: a model behind any OpenAI-compatible server.

    Requests run side by side in threads. They are retried with growing pauses when a rate limit (429), an error of the
    server (5xx) or a dropped connection stops them.
    """

    attempts = 6
    wait = 0.5
    """Seconds before the second attempt; doubles each time. Six attempts take 15 to 20 seconds with their jitter."""

    def __init__(self, rest: str, options: TeacherOptions) -> None:
        self.url, _, self.name = rest.partition("#")
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise TeacherError(f"'{self.url}' is not the address of a server. Write endpoint:http://HOST:PORT/v1#MODEL")
        if parts.username or parts.password:
            raise TeacherError(
                "The server's address must not hold a password. Put the key into the variable that `api_key_env` names."
            )
        if not self.name:
            raise TeacherError(
                f"'endpoint:{rest}' names no model. Write endpoint:{self.url or 'http://HOST:PORT/v1'}#MODEL"
            )
        self.revision = ""
        self.options = options
        self._host = parts.hostname
        self._answered = False
        self._dropped: set[str] = set()

    @cached_property
    def price(self) -> Price | None:
        """Dollars per million tokens, from the recipe or, for a known model of a public server, from genai-prices."""
        if self.options.price is not None or _local(self._host):
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
        """Yield completions as they come.

        Raises TeacherError when the server does not answer, wants a key, or does not know the model.
        """
        queue = iter(enumerate(prompts))
        running: dict[Future[Completion], int] = {}
        with ThreadPoolExecutor(self.options.batch) as pool:
            try:
                while True:
                    # Only `batch` are submitted at a time: an error must not leave thousands of requests waiting.
                    for position, prompt in queue:
                        running[pool.submit(self._completion, prompt, sampling)] = position
                        if len(running) >= self.options.batch:
                            break
                    if not running:
                        return
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        yield running.pop(future), future.result()
            finally:
                for future in running:
                    future.cancel()

    @cached_property
    def _client(self) -> Any:
        from openai import OpenAI

        key = os.environ.get(self.options.api_key_env, "")
        # A server of one's own needs no key, but the client wants one. No retries of its own: they would multiply ours.
        return OpenAI(base_url=self.url, api_key=key or "none", max_retries=0, timeout=600)

    def _completion(self, prompt: Prompt, sampling: Sampling) -> Completion:
        import openai
        import stamina

        def transient(error: Exception) -> bool:
            if isinstance(error, openai.APIConnectionError):
                return self._answered  # a server that never answered is not running, and waiting would not help
            # The errors that OpenAI's client retries too: time-out, conflict, rate limit, and any of the server's.
            return isinstance(error, openai.APIStatusError) and (
                error.status_code in (408, 409, 429) or error.status_code >= 500
            )

        try:
            for attempt in stamina.retry_context(
                on=transient, attempts=self.attempts, wait_initial=self.wait, wait_max=30, timeout=None
            ):
                with attempt:
                    reply = self._request(prompt, sampling)
        except openai.OpenAIError as error:
            completion = self._refused(error)
            # Any other error ends the run: most, such as a wrong key or model, would meet every prompt.
            if completion is None:
                raise self._error(error) from error
            return completion
        self._answered = True
        if not reply.choices:
            raise TeacherError(
                f"{self.url} answered without any text. Is it an OpenAI-compatible server with /chat/completions?"
            )
        choice, usage = reply.choices[0], reply.usage
        text = choice.message.content or ""
        stop = first_stop(text, sampling.stop)  # the server may not know all of them
        # A cap that fell behind the stop cut nothing that is used.
        finished = choice.finish_reason != "length" or stop is not None
        return Completion(
            text[:stop], usage.prompt_tokens if usage else 0, usage.completion_tokens if usage else 0, finished
        )

    def _request(self, prompt: Prompt, sampling: Sampling) -> Any:
        import openai

        arguments: dict[str, Any] = {
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": sampling.seed,
            # A stop of mere white space would end an answer that begins with a line break before it began.
            "stop": [stop for stop in sampling.stop if stop.strip()],
        }
        if not arguments["stop"]:
            del arguments["stop"]
        for name in self._dropped & arguments.keys():
            value = arguments.pop(name)
            if name == "max_tokens":
                arguments["max_completion_tokens"] = value
        messages = [{"role": turn.role, "content": turn.text} for turn in prompt.turns]
        try:
            return self._client.chat.completions.create(model=self.name, messages=messages, **arguments)
        except openai.BadRequestError as error:
            if (
                error.code != "unsupported_parameter"
                or error.param not in ("max_tokens", "stop", "seed")
                or error.param in self._dropped
            ):
                raise
            # Newer OpenAI models renamed the cap and take no stops. Remembered, so that only one request is lost.
            self._dropped.add(error.param)
            return self._request(prompt, sampling)

    def _refused(self, error: Exception) -> Completion | None:
        """The refusal of a prompt longer than the server's context; None for any other error, which stops the run."""
        # By its words, since there is no common code: "maximum context length" (vLLM, OpenAI), "exceeds the available
        # context size" (llama.cpp).
        text = str(error).lower()
        if (
            getattr(error, "status_code", 0) == 400
            and "context" in text
            and re.search("exceed|maximum|length|size", text)
        ):
            return Completion("", refusal=f"{DOES_NOT_FIT}: {_short(error)}")
        return None

    def _error(self, error: Exception) -> TeacherError:
        import openai

        variable, status = self.options.api_key_env, getattr(error, "status_code", None)
        where, why = f"{self.url} (model '{self.name}')", _short(error)
        if isinstance(error, openai.APIConnectionError):
            return TeacherError(
                f"No server answers at {self.url}: {error.__cause__ or error}. Start it, or mend the address."
            )
        if status in (401, 403):
            state = "was refused" if os.environ.get(variable) else "is not set"
            return TeacherError(
                f"{where} wants a key: the environment variable {variable} {state} ({status}). "
                f"Run: export {variable}=..."
            )
        if status == 404:
            return TeacherError(
                f"{where} answers 404: {why}. Models there: {self._model_names()}. The address usually ends in /v1."
            )
        tried = f" after {self.attempts} attempts" if status == 429 or (status or 0) >= 500 else ""
        return TeacherError(
            f"{where} cannot answer{tried}: {why}. Completions so far are stored; the same command goes on from there."
        )

    def _model_names(self) -> str:
        import openai

        try:
            return ", ".join(model.id for model in list(self._client.models.list())[:8]) or "no model"
        except openai.OpenAIError:
            return "unknown"


def _short(error: Exception) -> str:
    body = getattr(error, "body", None)
    message = body.get("message") if isinstance(body, dict) else None
    return " ".join(str(message or error).split())[:300]


def _local(host: str) -> bool:
    """Whether the server is on this machine or in a private network, where no public price applies."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or "." not in host or host.endswith((".local", ".internal", ".lan"))
