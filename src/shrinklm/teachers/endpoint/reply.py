"""What a server sent back: a completion, or the trouble and what can be done about it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from ...core.types import Completion, Sampling
from ..base import DOES_NOT_FIT, FILTERED, first_stop
from ..logprobs import LOGPROBS, NONE, read_tokens
from ..thoughts import split

_LENGTH = re.compile(
    r"context.{0,30}(?:length|window|size|limit|exceed)|(?:exceed|over|beyond|larger|longer).{0,40}(?:context|length)"
    r"|(?:prompt|input|request|message|messages|sequence|payload|entity).{0,40}(?:too (?:long|large|big)|exceeds?)"
    r"|(?:maximum|max|limit).{0,30}(?:input|prompt|sequence) (?:tokens|length)|too many (?:input )?tokens"
    r"|reduce (?:the|your) (?:length|prompt|input)|tokens?.{0,30}exceed|exceed.{0,40}tokens?\b|too long",
    re.IGNORECASE,
)
_FILTER = re.compile(
    r"content.?(?:filter|policy|management|moderation)|moderat|safety|flagged|responsible.?ai|prohibited|harmful"
    r"|inappropriate|data_inspection|sensitive|usage polic",
    re.IGNORECASE,
)
_NO_MONEY = re.compile(
    r"insufficient_quota|insufficient (?:quota|balance|credit|funds)|billing|payment|out of credits?"
    r"|spend(?:ing)? limit|credit balance",
    re.IGNORECASE,
)
_AGAIN_IN = re.compile(
    r"(?:again in|retry (?:in|after)|retrydelay\W+|wait)\s*:?\s*((?:\d+(?:\.\d+)?\s*(?:ms|h|m|s)[a-z]*\s*)+)",
    re.IGNORECASE,
)
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|h|m|s)", re.IGNORECASE)
_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
# The fields of the `RateLimit` header in both of its drafts: remaining=0, reset=30, and "default";r=0;t=30.
_REMAINING = re.compile(r"(?:remaining=|;\s*r=)(\d+)")
_RESET = re.compile(r"(?:reset=|;\s*t=)(\d+)")


class Trouble(Exception):
    """Why a request brought no completion.

    Args:
        todo: What can be done: send it again, change the body, refuse this one question, or end the run.
        reason: What the server said, in short; for `refuse` the whole refusal.
        status: The HTTP status; 0 without one.
        wait: Seconds that the server wants to be left alone; None when it did not say.
        words: All that the error says, to find the names of parameters in.
        sent: Whether the request may have reached the server.
    """

    def __init__(
        self,
        todo: Literal["again", "change", "refuse", "end"],
        reason: str,
        status: int = 0,
        wait: float | None = None,
        words: str = "",
        sent: bool = True,
    ) -> None:
        super().__init__(reason)
        # A server asks no money for an error; where an answer was lost on the way, or cannot be read, it may.
        self.paid = sent and status in (0, 200, 408, 502, 504, *range(520, 528))
        self.todo, self.reason, self.status, self.wait, self.words = todo, reason, status, wait, words
        self.sent = sent


def read(status: int, headers: Mapping[str, str], body: bytes) -> Completion:
    """The completion in a server's answer.

    Args:
        status: The HTTP status.
        headers: Their names in any case.
        body: The whole of it.

    Raises Trouble.
    """
    data = _json(body)
    if status != 200 or data is None or not data.get("choices"):
        raise _trouble(status, headers, body, data)
    choice = data["choices"][0] if isinstance(data["choices"], list) else None
    if not isinstance(choice, dict):
        raise Trouble("again", "an answer whose `choices` hold no text", status)
    return _completion(choice, data)


def read_json(status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """The object in a server's answer to something else than a prompt. Raises Trouble."""
    data = _json(body)
    if not 200 <= status < 300 or data is None:
        raise _trouble(status, headers, body, data)
    return data


def trimmed(completion: Completion, sampling: Sampling, adapted: tuple[str, ...]) -> Completion:
    """A completion that ends before the first stop, since the server may not know all of them, with what differs."""
    stop = first_stop(completion.text, sampling.stop)
    if stop is not None:
        # A cap that fell behind the stop cut nothing that is used.
        completion = replace(completion, text=completion.text[:stop], finished=True)
    if not sampling.logprobs:
        adapted = tuple(each for each in adapted if "logprobs" not in each)
    elif completion.text and not completion.tokens and NONE not in adapted:
        adapted = (*adapted, NONE)
    return replace(completion, adapted=adapted) if adapted else completion


def wait_of(headers: Mapping[str, str], text: str = "", now: datetime | None = None) -> float | None:
    """Seconds until the server wants to be asked again, by its headers or the words of its error; None: not said."""
    now = now or datetime.now(UTC)
    lower = {name.lower(): value for name, value in headers.items()}
    if (milliseconds := _number(lower.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    if (after := lower.get("retry-after")) is not None and (seconds := _until(after, now)) is not None:
        return seconds
    if (seconds := used_up(headers, now)) is not None:
        return seconds
    stated = _AGAIN_IN.search(text)
    return _span(stated[1]) if stated else None


def used_up(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds until a limit begins anew of which nothing is left, the longest of several; None while there is room.

    Of whichever names: x-ratelimit-remaining-tokens with x-ratelimit-reset-tokens, ratelimitbysize-remaining with
    ratelimitbysize-reset, and so on, also by minute, hour or day.
    """
    waits: list[float | None] = []
    for name, value in headers.items():
        name = name.lower()
        if "limit" not in name:
            continue
        if name == "ratelimit":
            left, reset = _REMAINING.search(value), _RESET.search(value)
            if left and reset and int(left[1]) == 0:
                waits.append(float(reset[1]))
        elif "remaining" in name and _number(value) == 0:
            lower = {other.lower(): said for other, said in headers.items()}
            waits.append(_until(lower.get(name.replace("remaining", "reset"), ""), now or datetime.now(UTC)))
    return max((wait for wait in waits if wait is not None), default=None)


def _completion(choice: Mapping[str, Any], data: Mapping[str, Any]) -> Completion:
    message = choice.get("message") if isinstance(choice.get("message"), dict) else {}
    assert isinstance(message, dict)
    parts, thought_parts = _parts(message.get("content", choice.get("text")))
    beside = [message.get(field) for field in ("reasoning_content", "reasoning", "thinking")]
    inside, text = split(parts)
    thoughts = "\n".join(
        [*(part for part in beside if isinstance(part, str) and part), *thought_parts, *filter(None, [inside])]
    )
    usage = data.get("usage") if isinstance(data.get("usage"), dict) else {}
    assert isinstance(usage, dict)
    reason = str(choice.get("finish_reason") or "").lower()
    cut = reason in ("length", "max_tokens", "model_length")
    refusal: str | None = None
    if reason in ("content_filter", "safety", "recitation", "prohibited_content", "blocklist"):
        refusal = f"{FILTERED}: finish_reason '{reason}'"
    elif isinstance(message.get("refusal"), str) and message["refusal"] and not text.strip():
        refusal = f"{FILTERED}: {_short(message['refusal'])}"
    elif reason == "error":
        raise Trouble("again", "finish_reason 'error'", 200)
    return Completion(
        text,
        _tokens(usage.get("prompt_tokens")),
        _tokens(usage.get("completion_tokens")),
        finished=not cut,
        refusal=refusal,
        thoughts=thoughts,
        tokens=read_tokens(choice.get("logprobs")),
    )


def _parts(content: Any) -> tuple[str, list[str]]:
    """(text, thoughts) of a message's content: a text, or a list of parts."""
    if isinstance(content, str):
        return content, []
    texts: list[str] = []
    thoughts: list[str] = []
    for part in content if isinstance(content, list) else []:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict):
            inner = part.get("text", part.get("content", part.get("thinking")))
            value = inner if isinstance(inner, str) else "".join(_parts(inner)[0]) if inner else ""
            (thoughts if "think" in str(part.get("type")) or "reason" in str(part.get("type")) else texts).append(value)
    return "".join(texts), [thought for thought in thoughts if thought]


def _trouble(status: int, headers: Mapping[str, str], body: bytes, data: Mapping[str, Any] | None) -> Trouble:
    text = body[:20_000].decode("utf-8", "replace")
    reason, wait = _words(data, text, headers), wait_of(headers, text)
    error = data.get("error") if data else None
    if status == 200 and isinstance(error, dict) and str(error.get("code", "")).isdigit():
        status = int(error["code"])  # gateways wrap the error of the server behind them
    if (
        status == 402
        or (status in (403, 429) and wait is None and _NO_MONEY.search(text))
        or "insufficient_quota" in text
    ):
        return Trouble("end", f"no money is left there: {reason}", status)
    if LOGPROBS.search(text) and (status in (400, 403, 404, 405, 422) or (status == 200 and error is not None)):
        # Asked for what it does not give, whatever else the words sound like: "request exceeds the maximum", say.
        return Trouble("change", reason, status, wait, text)
    if status in (200, 400, 403, 422, 451) and error is not None and _FILTER.search(text):
        return Trouble("refuse", f"{FILTERED}: {reason}", status)
    if status == 413 or (status in (400, 422, 500) and _LENGTH.search(text)):
        return Trouble("refuse", f"{DOES_NOT_FIT}: {reason}", status)
    if status in (408, 409, 425, 429) or status >= 500 or status == 200:
        return Trouble("again", reason, status, wait, text)
    if status in (400, 422):
        return Trouble("change", reason, status, wait, text)
    return Trouble("end", reason, status, wait, text)


def _words(data: Mapping[str, Any] | None, text: str, headers: Mapping[str, str]) -> str:
    """What an error says, in one line."""
    if data is None:
        kind = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
        if text.lstrip().startswith("data:"):
            return "an event stream instead of one answer"
        if "html" in kind or text.lstrip()[:1] == "<":
            title = re.search(r"<title[^>]*>(.*?)</title>", text, re.DOTALL | re.IGNORECASE)
            return f"a web page instead of an answer{f' ({_short(title[1])})' if title else ''}"
        shown = _short(text)[:120]
        return f"no JSON: '{shown}'" if shown else "an empty body"
    error = data.get("error", data.get("detail", data.get("message")))
    if isinstance(error, dict):
        error = error.get("message") or error
    if error is None:
        return (
            "an answer without any text"
            if "choices" in data
            else f"an answer of another kind: {_short(json.dumps(data))[:120]}"
        )
    return _short(error if isinstance(error, str) else json.dumps(error))


def _json(body: bytes) -> dict[str, Any] | None:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _short(text: str) -> str:
    return " ".join(text.split())[:300]


def _tokens(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _number(value: str | None) -> float | None:
    try:
        return None if value is None else float(value)
    except ValueError:
        return None


def _until(value: str, now: datetime) -> float | None:
    """Seconds until a moment, stated as seconds, as a span such as 1m30s, as a time in seconds, or as a date."""
    value = value.strip()
    if (seconds := _number(value)) is not None:
        if seconds > 1e12:  # milliseconds since 1970
            seconds /= 1000
        return max(0.0, seconds - now.timestamp() if seconds > 1e9 else seconds)
    if _SPAN.match(value):
        return _span(value)
    try:
        moment = datetime.fromisoformat(value) if value[:1].isdigit() else parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return None
    return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now.timestamp())


def _span(text: str) -> float:
    return sum(float(number) * _UNIT[unit.lower()] for number, unit in _SPAN.findall(text))
