"""The body of a request, without what the server turned out not to take.

Servers differ in the settings they know, and say so in many wordings. What one refuses is found out with the first
requests and left out of all that follow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ...core.types import Completion, Prompt, Sampling, Turn
from ..base import Thinking, without_system
from ..logprobs import LOGPROBS, NONE

COLD = 0.01
"""Sampled at this temperature where a server takes none of 0: all but greedy."""

# A setting → how an error names it. In the order in which they are looked for: an error about the cap may name others.
_NAMED = {
    # First: to go without them costs least.
    "logprobs": LOGPROBS,
    "system": re.compile(
        r"\bsystem\b.*(?:role|message|instruction|prompt|support)|role.*\bsystem\b|roles? must alternate"
    ),
    "cap": re.compile(r"max_(?:completion_)?tokens"),
    "top_p": re.compile(r"\btop_p\b"),
    "temperature": re.compile(r"\btemperature\b"),
    "seed": re.compile(r"\bseed\b"),
    "stop": re.compile(r"\bstop(?:_sequences?| sequences?| words?)?\b"),
    "effort": re.compile(r"reasoning_effort|reasoning effort"),
    "template": re.compile(r"chat_template_kwargs|enable_thinking"),
}
ALTERNATIVES, FEWER = 20, 5
"""Alternatives of a token that are asked for; and where a server refuses so many, and does not say what it gives."""
SILENT = 3
"""Answers without log-probabilities after which they are not asked for any more."""
_AT_MOST = re.compile(
    r"(?:at most|max\w*(?: allowed)?(?: value)?|less than or equal to|<=|≤|\d (?:and|to)|exceed\w*|greater than|above"
    r"|over|up to)[^\d.;]{0,20}(\d{1,2})\b"
)
_ABOVE_ZERO = re.compile(r"positive|greater than|above|non-?zero|larger than|> ?0|minimum")


class Request:
    """How this server wants to be asked.

    Args:
        model: The model's name on the server.
        thinking: Whether, or how much, the model may think; None: as the server does by itself.
        extra: Further fields of the body, from the recipe, sent as they are.
    """

    def __init__(self, model: str, thinking: Thinking | None, extra: Mapping[str, Any]) -> None:
        self.model, self.thinking, self.extra = model, thinking, dict(extra)
        self.without: Mapping[str, str] = {}
        """Setting → what is done instead, in words. Replaced, never changed: a request that is out keeps its own."""
        self.silent = 0
        """Answers that should have had log-probabilities and had none; below 0: some have had them."""
        self._encoded: tuple[Any, Any, str] = (None, None, "")
        """A sampling, a `without`, and the settings of both as JSON."""

    @property
    def adapted(self) -> tuple[str, ...]:
        """What differs from the sampling that was asked for, in words, such as "no seed"."""
        return tuple(self.without.values())

    def body(self, prompt: Prompt, sampling: Sampling, without: Mapping[str, str]) -> dict[str, Any]:
        """The body that asks for a prompt's completion, `without` the settings that were known not to be taken then."""
        messages = [{"role": turn.role, "content": turn.text} for turn in _turns(prompt, without)]
        return {"messages": messages} | self._settings(sampling, without)

    def encode(self, prompt: Prompt, sampling: Sampling) -> bytes:
        """The body as JSON, as of now. Turns and settings that are those of the question before are encoded once."""
        without = self.without
        if "messages" in self.extra:
            text = json.dumps(self.body(prompt, sampling, without), ensure_ascii=False)
        else:
            if self._encoded[0] is not sampling or self._encoded[1] is not without:
                self._encoded = sampling, without, json.dumps(self._settings(sampling, without), ensure_ascii=False)
            text = f'{{"messages": [{", ".join(map(_message, _turns(prompt, without)))}], {self._encoded[2][1:]}'
        return text.encode("utf-8", "replace")

    def cap(self, sampling: Sampling) -> int | None:
        """The tokens that a call may write; None when the server takes no cap."""
        sent = self._settings(sampling, self.without)
        caps = [sent[name] for name in ("max_tokens", "max_completion_tokens") if isinstance(sent.get(name), int)]
        several = [sent[name] for name in ("n", "best_of") if isinstance(sent.get(name), int)]
        return max(caps) * max(1, *several, 1) if caps else None

    def _settings(self, sampling: Sampling, without: Mapping[str, str]) -> dict[str, Any]:
        """The body but for the turns."""
        body: dict[str, Any] = {"model": self.model}
        cap = without.get("cap")
        if cap != "no max_tokens":
            body["max_completion_tokens" if cap else "max_tokens"] = sampling.max_tokens
        if "temperature" not in without:
            body["temperature"] = sampling.temperature
        elif without["temperature"].startswith("temperature"):
            body["temperature"] = sampling.temperature or COLD
        if sampling.top_p < 1 and "top_p" not in without:
            body["top_p"] = sampling.top_p
        if "seed" not in without:
            body["seed"] = sampling.seed
        # A stop of mere white space would end an answer that begins with a line break before it began.
        stops = [stop for stop in sampling.stop if stop.strip()]
        if stops and "stop" not in without:
            body["stop"] = stops
        if sampling.logprobs and without.get("logprobs") != NONE:
            fewer = without.get("logprobs", "").rpartition(" ")[2]
            body |= {"logprobs": True, "top_logprobs": int(fewer or ALTERNATIVES)}
        if self.thinking:
            if "effort" not in without:
                body["reasoning_effort"] = "none" if self.thinking == "off" else self.thinking
            if "template" not in without:
                body["chat_template_kwargs"] = {"enable_thinking": self.thinking != "off"}
        return body | self.extra

    def stop_no_thoughts(self) -> None:
        """Send no stops from now on: the server would end the thoughts at them."""
        if "stop" not in self.without:
            self.without = {**self.without, "stop": "stops applied here"}

    def came(self, completion: Completion, sampling: Sampling) -> None:
        """Learn from an answer: what the server need not be asked for, or sent, any more."""
        if completion.thoughts:
            self.stop_no_thoughts()
        if not sampling.logprobs or not completion.text or self.silent < 0 or self.without.get("logprobs") == NONE:
            return
        self.silent = -1 if completion.tokens else self.silent + 1
        if self.silent == SILENT:
            self.without = {**self.without, "logprobs": NONE}

    def adapt(self, sent: Mapping[str, Any], error: str) -> bool:
        """Learn from the words of an error; whether another body would now be sent.

        Args:
            sent: The body that was refused.
            error: Its words, with the names of parameters if it states them.
        """
        words = error.lower()
        return any(pattern.search(words) and self._learn(name, words, sent) for name, pattern in _NAMED.items())

    def strip(self, sent: Mapping[str, Any], answered: bool = False) -> bool:
        """Leave out one more setting after an error that names none; whether there was one.

        Of a server that has `answered` other requests, only log-probabilities are doubted that it never gave.
        """
        if self.silent >= 0 and self._learn("logprobs", "", sent):
            return True
        rest = () if answered else ("template", "effort", "seed", "stop", "top_p", "system")
        return any(self._learn(name, "", sent) for name in rest)

    def _learn(self, name: str, words: str, sent: Mapping[str, Any]) -> bool:
        known = self.without.get(name)
        if name == "cap":
            new = "max_completion_tokens" if "max_tokens" in sent else "no max_tokens"
            usable = "max_tokens" in sent or "max_completion_tokens" in sent
        elif name == "temperature":
            cold = sent.get("temperature") == 0 and bool(_ABOVE_ZERO.search(words))
            new = f"temperature {COLD} for 0" if cold else "no temperature"
            usable = "temperature" in sent
        elif name == "logprobs":
            new = _fewer(words, sent.get("top_logprobs"))
            usable = name in sent and not {name, "top_logprobs"} & self.extra.keys()
        elif name == "system":
            new = "the system turn folded into the user's"
            usable = any(message["role"] == "system" for message in sent["messages"])
        else:
            field = {"effort": "reasoning_effort", "template": "chat_template_kwargs"}.get(name, name)
            new = f"no {field}"
            usable = field in sent and field not in self.extra
        if not usable or new == known:
            return False
        self.without = {**self.without, name: new}
        return True


def _fewer(words: str, asked: Any) -> str:
    """What is asked for instead, after a server has refused so many alternatives of each token in these words."""
    asked = asked if isinstance(asked, int) else 0
    stated = [number for match in _AT_MOST.finditer(words) if 0 < (number := int(match[1])) < asked]
    # Without a number, and another name than theirs, it is not the number of alternatives that is wrong.
    lower = max(stated, default=FEWER if "top_logprobs" in words else 0)
    return f"top_logprobs {lower}" if 0 < lower < asked else NONE


def _turns(prompt: Prompt, without: Mapping[str, str]) -> tuple[Turn, ...]:
    return without_system(prompt.turns) if "system" in without else prompt.turns


@lru_cache(maxsize=256)  # all but the last turn are those of every question of a step
def _message(turn: Turn) -> str:
    return json.dumps({"role": turn.role, "content": turn.text}, ensure_ascii=False)
