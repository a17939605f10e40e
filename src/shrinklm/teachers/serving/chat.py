"""Requests for chat completions, in the form that OpenAI published: read here, answered here, in JSON."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...core.types import Turn
from ..local import LocalTeacher

if TYPE_CHECKING:
    from ...models.rows import Row

_UNKNOWN = ("tools", "functions", "response_format", "logprobs", "top_logprobs", "logit_bias")
"""Fields that ask for something that is not done here: leaving them out in silence would give another text."""
_MOST = 1e15
"""Beyond any count of tokens."""


class Refusal(Exception):
    """A request that is not answered: a status of HTTP, and the error of its body."""

    def __init__(self, status: int, message: str, code: str, param: str | None = None, wait: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        kind = "invalid_request_error" if status < 429 else "rate_limit_error" if status == 429 else "server_error"
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
        self.headers = {} if wait is None else {"Retry-After": str(wait)}
        """`wait`: the seconds after which it may be sent again."""


def read(body: Any, teacher: LocalTeacher, name: str) -> Row:
    """The row that a request's body asks for. Raises Refusal.

    Args:
        body: As JSON.
        teacher: Whose chat template and room count.
        name: Of the model, as requests must call it.
    """
    from ...models.rows import Row

    if not isinstance(body, dict):
        raise Refusal(400, "The body is no JSON object.", "invalid_body")
    if body.get("model", name) != name:
        raise Refusal(404, f"No model is called '{body['model']}' here; this is '{name}'.", "model_not_found", "model")
    for field in _UNKNOWN:
        if body.get(field):
            raise Refusal(400, f"'{field}' is not supported here.", "unsupported_parameter", field)
    if body.get("stream"):
        raise Refusal(400, "'stream' is not supported here.", "unsupported_parameter", "stream")
    if body.get("n") not in (None, 1):
        raise Refusal(400, "'n' is not supported here but for 1.", "unsupported_parameter", "n")
    tokens = teacher.read(turns(body.get("messages")), _thinking(body, teacher))
    room = teacher.limit - (0 if teacher.seq2seq else len(tokens))
    asked = body.get("max_completion_tokens") or body.get("max_tokens")
    cap = number(body, "max_completion_tokens", 1, None, None) or number(body, "max_tokens", 1, None, None) or room
    if refusal := teacher.too_long(len(tokens), int(cap) if asked else 1):
        raise Refusal(
            400,
            f"This model's maximum context length is {teacher.limit} tokens: {refusal}.",
            "context_length_exceeded",
            "messages",
        )
    ends = stops(body.get("stop"))
    seed = body.get("seed")
    if seed is not None and not isinstance(seed, int):
        raise Refusal(400, f"'seed' must be a whole number, not {seed!r}.", "invalid_value", "seed")
    return Row(
        tokens,
        int(cap),
        (lambda text: any(end in text for end in ends)) if ends else None,
        number(body, "temperature", 0, 2, 1.0) or 0.0,
        number(body, "top_p", 0, 1, 1.0) or 0.0,
        random.getrandbits(62) if seed is None else seed % 2**62,
    )


def answer(row: Row, text: str, stop: Any, name: str) -> dict[str, Any]:
    """The body of a reply.

    Args:
        row: That has ended.
        text: Its text.
        stop: As the request has it; the text ends before the first.
        name: Of the model.
    """
    cut = min((place for one in stops(stop) if (place := text.find(one)) >= 0), default=len(text))
    counts = {"prompt_tokens": len(row.prompt), "completion_tokens": len(row.said.tokens)}
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": name,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text[:cut]},
                "finish_reason": "stop" if row.said.finished else "length",
            }
        ],
        "usage": {**counts, "total_tokens": sum(counts.values())},
    }


def turns(messages: Any) -> tuple[Turn, ...]:
    """The messages of a request. Raises Refusal."""
    if not isinstance(messages, list) or not messages:
        raise Refusal(400, "'messages' must be a list with at least one message.", "invalid_value", "messages")
    found = []
    for message in messages:
        role = message.get("role") if isinstance(message, dict) else None
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in content):
            content = "".join(str(part.get("text", "")) for part in content)
        if role not in ("system", "developer", "user", "assistant") or not isinstance(content, str):
            raise Refusal(
                400, f"A message needs a role (system, user, assistant) and a text, not {message!r:.100}.",
                "invalid_value", "messages",
            )  # fmt: skip
        # "developer" is the name of "system" since 2024.
        found.append(Turn("system" if role == "developer" else role, content))
    return tuple(found)


def _thinking(body: Mapping[str, Any], teacher: LocalTeacher) -> Any:
    """How much the request wants the model to think; as the teacher does where it says nothing."""
    switches = body.get("chat_template_kwargs") or {}
    if not isinstance(switches, dict):
        raise Refusal(400, "'chat_template_kwargs' must be an object.", "invalid_value", "chat_template_kwargs")
    switch = switches.get("enable_thinking")
    effort = body.get("reasoning_effort")
    if effort == "none" or switch is False:
        return "off"
    if effort or switch:
        return "low" if effort in ("minimal", "low") else "high"
    return teacher.options.thinking


def stops(stop: Any) -> list[str]:
    """The texts before which a reply ends. Raises Refusal."""
    texts = [stop] if isinstance(stop, str) else stop or []
    if not isinstance(texts, list) or not all(isinstance(one, str) for one in texts):
        raise Refusal(400, f"'stop' must be a text or a list of texts, not {stop!r:.100}.", "invalid_value", "stop")
    return [one for one in texts if one]


def number(body: Mapping[str, Any], field: str, low: float, high: float | None, default: Any) -> float | None:
    """A number of a request; `default` where it has none. Raises Refusal for another value."""
    value = body.get(field)
    if value is None:
        return default if default is None else float(default)
    known = isinstance(value, int | float) and not isinstance(value, bool)
    # JSON knows no largest number: 1e999 is read as infinity, and a whole number may be longer than a float holds.
    if not known or value < low or value > (_MOST if high is None else high):
        bounds = f"between {low:g} and {high:g}" if high is not None else f"of at least {low:g}"
        raise Refusal(400, f"'{field}' must be a number {bounds}, not {value!r:.100}.", "invalid_value", field)
    return float(value)
