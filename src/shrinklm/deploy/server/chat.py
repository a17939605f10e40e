"""Requests for chat completions, in the form that OpenAI published, of a trained student.

The student's reply is greedy and short, and its caps are those of its training: what changes sampling is taken and
changes nothing.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.types import Example
from ...students.room import TOO_LONG
from ...teachers.serving.chat import Refusal, number, stops, turns
from ..cascade import ABSTAINED
from .limits import Limits
from .message import read_message
from .native import answered, example, flag, invalid, kind_of
from .worker import Reply, Wish

if TYPE_CHECKING:
    from ...methods.view import View
    from ..student import By, TrainedStudent

_RANGES = {"temperature": (0, 2), "top_p": (0, 1), "presence_penalty": (-2, 2), "frequency_penalty": (-2, 2)}
_TAKEN = (
    "seed", "user", "metadata", "store", "service_tier", "parallel_tool_calls", "reasoning_effort", "verbosity",
    "prediction", "moderation", "safety_identifier", "prompt_cache_key", "prompt_cache_options",
    "prompt_cache_retention",
)  # fmt: skip
"""Fields that change nothing in a greedy reply."""
_REFUSED = {
    "tools": [],
    "functions": [],
    "tool_choice": "none",
    "function_call": "none",
    "response_format": {"type": "text"},
    "modalities": ["text"],
    "logprobs": False,
    "top_logprobs": 0,
    "logit_bias": {},
    "audio": None,
    "web_search_options": None,
}
"""Fields that ask for what a student does not do → the value that asks for nothing."""
_READ = (
    "model", "messages", "n", "stream", "stream_options", "stop", "max_tokens", "max_completion_tokens",
    "chat_template_kwargs",
)  # fmt: skip


@dataclass(frozen=True)
class Chat:
    """A request for a chat completion."""

    example: Example
    view: View
    """Whose text is the reply."""
    name: str
    copies: int
    cap: int | None
    """Tokens of the reply; None: the student's own cap."""
    ends: list[str]
    """Texts before which the reply ends."""
    stream: bool
    usage: bool
    """Whether a stream tells its tokens."""

    def wish(self, student: TrainedStudent, by: By) -> Wish:
        """How the student is asked."""
        return Wish(self.view != student.answering.answer, by)

    def finish(self, student: TrainedStudent) -> Callable[[Reply], dict[str, Any]]:
        """Makes the body of the reply, unstreamed; raises Refusal for a question that is too long."""

        def body(reply: Reply) -> dict[str, Any]:
            answer = reply.answer
            if answer.why == TOO_LONG:
                raise Refusal(400, f"The question is {TOO_LONG}.", "context_length_exceeded", "messages")
            answering, count = student.answering, student.student.token_count
            explains = self.view != answering.answer
            withheld = answer.why if answer.answer is None and (answer.why or "").startswith(ABSTAINED) else None
            # The likeliest option is written nowhere: it is stated as the student was trained to.
            stated = answer.raw or (self.view.states(answer.answer, self.example) if answer.answer else "")
            text = "" if withheld else (answer.explanation or "") if explains else stated
            cut = answer.explanation_cut
            if not explains:
                cut = (count(text) or 0) >= student.answer_tokens([self.example])
            for place in [text.find(end) for end in self.ends]:
                text, cut = (text[:place], False) if place >= 0 else (text, cut)
            if self.cap is not None and (count(text) or 0) > self.cap:
                text, cut = _first_tokens(text, self.cap, count), True
            prompt, said = count(self.view.prompt(self.example)) or 0, self.copies * (count(text) or 0)
            reason = "length" if cut else "stop"
            message = {"role": "assistant", "content": text, "refusal": withheld}
            choice = {"message": message, "finish_reason": reason, "logprobs": None}
            return {
                "id": f"chatcmpl-{uuid.uuid4().hex}",
                "object": "chat.completion",
                "created": int(time.time()),
                "model": self.name,
                "choices": [{"index": index, **choice} for index in range(self.copies)],
                "usage": {"prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said},
                "shrinklm": answered(reply),
            }

        return body


def read(body: Mapping[str, Any], student: TrainedStudent, limits: Limits) -> Chat:
    """The request in a body. Raises Refusal."""
    for field in body:
        if field not in (*_READ, *_RANGES, *_TAKEN, *_REFUSED):
            raise Refusal(400, f"Unrecognized request argument: {field[:100]!r}.", "unknown_field", field[:100])
    name = body.get("model")
    if not isinstance(name, str):
        raise invalid(f"'model' must be the name of a model, not {kind_of(name)}. This is '{student.name}'.", "model")
    check_model(name, student.name)
    for field, nothing in _REFUSED.items():
        if body.get(field) not in (None, nothing):
            raise Refusal(400, f"'{field}' is not supported by this student.", "unsupported_parameter", field)
    for field, (low, high) in _RANGES.items():
        number(body, field, low, high, None)
    options, template = (_object(body, field) for field in ("stream_options", "chat_template_kwargs"))
    caps = [whole(body, field, 1, None) for field in ("max_completion_tokens", "max_tokens")]
    # As the chat template of an exported student has it: earlier turns are no part of its prompt.
    asked = turns(body.get("messages"))[-1]
    if asked.role != "user":
        raise invalid(f"The last message must be the user's question, not of role '{asked.role}'.", "messages")
    if len(asked.text) > limits.characters:
        raise invalid(
            f"The message has {len(asked.text):,} characters; this server takes {limits.characters:,}.", "messages", 413
        )
    row, view = read_message(asked.text, student.answering)
    if flag(template, "explain", False) and student.answering.explain is not None:
        view = student.answering.explain
    return Chat(
        example(row, student.answering, limits),
        view,
        student.name,
        whole(body, "n", 1, limits.copies) or 1,
        next((cap for cap in caps if cap), None),
        stops(body.get("stop")),
        flag(body, "stream", False),
        flag(options, "include_usage", False),
    )


def _object(body: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    value = body.get(field)
    if not isinstance(value, dict | None):
        raise invalid(f"'{field}' must be an object, not {kind_of(value)}.", field)
    return value or {}


def check_model(name: str, known: str) -> None:
    """Raises Refusal for another model than the one that is served."""
    if name != known:
        raise Refusal(404, f"No model is called '{name[:100]}' here; this is '{known}'.", "model_not_found", "model")


def whole(body: Mapping[str, Any], field: str, low: int, high: int | None) -> int | None:
    """A whole number; None where there is none. Raises Refusal."""
    value = number(body, field, low, high, None)
    if value is not None and value != int(value):
        raise invalid(f"'{field}' must be a whole number, not {value:g}.", field)
    return None if value is None else int(value)


def events(body: Mapping[str, Any], usage: bool) -> Iterator[bytes]:
    """A completion as server-sent events: the role, the words one by one, the end of each choice, [DONE]."""
    head = {name: body[name] for name in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    head |= {"usage": None} if usage else {}
    for choice in body["choices"]:
        words = re.findall(r"\s*\S+\s*", choice["message"]["content"])
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, *({"content": word} for word in words)]
        for delta in deltas:
            yield _event({**head, "choices": [{"index": choice["index"], "delta": delta, "finish_reason": None}]})
        end = {"index": choice["index"], "delta": {}, "finish_reason": choice["finish_reason"]}
        yield _event({**head, "choices": [end]})
    if usage:
        yield _event({**head, "choices": [], "usage": body["usage"]})
    yield b"data: [DONE]\n\n"


def _event(content: Mapping[str, Any]) -> bytes:
    return f"data: {json.dumps(content)}\n\n".encode()


def _first_tokens(text: str, cap: int, count: Callable[[str], int | None]) -> str:
    """The longest beginning of a text with so many tokens."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if (count(text[:middle]) or 0) <= cap else (low, middle - 1)
    return text[:low]
