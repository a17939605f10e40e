"""A GGUF file in llama.cpp (the package xllamacpp), asked as any other student."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ...core.errors import MissingExtra, ModelError
from ...core.launched import threads
from ...core.types import Example, Reply
from ...methods.view import View
from ...students.tokens import PairTokens
from . import llama_server
from .asked import RuntimeStudent
from .gguf_file import read_head
from .gguf_tokenizer import BLANK_BEFORE

_ALL = 1 << 24
"""More tokens than a vocabulary has."""
CONTEXT = 4096
"""Tokens that it reads and writes at most: what it keeps of them takes memory from the start."""
_FORCED = 1e4
"""Added to the logit of a token that must come next. What llama.cpp tells of its probability is without it."""


class LlamaCppStudent(RuntimeStudent):
    """A GGUF file in llama.cpp's own server, a process below this one. Raises ModelError when it cannot be read."""

    runtime = "llama.cpp"

    def __init__(self, file: Path) -> None:
        if importlib.util.find_spec("xllamacpp") is None:
            raise MissingExtra("xllamacpp", "llamacpp", "Asking a student in llama.cpp")
        head = read_head(file)
        try:
            self.positions = min(CONTEXT, int(head[f"{head['general.architecture']}.context_length"]))
            self._last = int(head["tokenizer.ggml.eos_token_id"])
            self._before = " " if head[BLANK_BEFORE] else ""
        except KeyError as error:
            raise ModelError(f"{file} was not written by shrinklm: it names no {error}.") from error
        line = [sys.executable, llama_server.__file__, str(file), str(self.positions), str(threads())]
        self._process = subprocess.Popen(
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        said = self._process.stdout.readline().strip()
        if not said.startswith("http"):
            self.close()
            raise ModelError(f"llama.cpp cannot read {file}: {said.removeprefix('error: ') or 'its process ended'}.")
        self._address = urlsplit(said)

    def prompt_ids(self, text: str) -> list[int]:
        """See RuntimeStudent."""
        return self._ids(text, own=True)

    def target_ids(self, text: str, end: bool = True) -> list[int]:
        """See RuntimeStudent."""
        ids = self._ids(f"{self._before}{text}", own=False) if text else []
        return [*ids, self._last] if end else ids

    def write(self, prompt: list[int], begun: list[int], max_tokens: int) -> Reply:
        """See RuntimeStudent."""
        said = self._complete([*prompt, *begun], max_tokens)
        return Reply(str(said["content"]).strip(), said["stop_type"] != "limit")

    def log_p(self, tokens: PairTokens) -> float:
        """See RuntimeStudent."""
        read, total = [*tokens.prompt, *tokens.given], 0.0
        for token in tokens.scored:
            total += self._next_log_p(read, token)
            read = [*read, token]
        return total

    def _next_log_p(self, read: list[int], token: int) -> float:
        said = self._complete(read, 1, logit_bias=[[token, _FORCED]], n_probs=1)
        if told := said.get("completion_probabilities"):
            assert told[0]["id"] == token
            return float(told[0]["logprob"])
        # Of a token that ends inside a character, as of an emoji, nothing is told. A whole one is written in its place,
        # with the probabilities of all that could have been.
        whole = self.target_ids("a", end=False)[-1]
        said = self._complete(read, 1, logit_bias=[[whole, _FORCED]], n_probs=_ALL)
        [told] = said["completion_probabilities"]
        return next(float(one["logprob"]) for one in told["top_logprobs"] if one["id"] == token)

    def chat(self, messages: list[dict[str, str]], max_tokens: int, **further: Any) -> str:
        """The reply of llama.cpp's chat endpoint."""
        asked = {"messages": messages, "max_tokens": max_tokens, "temperature": 0.0, **further}
        reply = self._post("/v1/chat/completions", asked)
        return str(reply["choices"][0]["message"]["content"]).strip()

    def chats(self, view: View, examples: Sequence[Example], max_tokens: int) -> dict[str, int] | None:
        """See RuntimeStudent."""
        wanted = self.answer([view.prompt(example) for example in examples], max_tokens)
        said = [self.chat([{"role": "user", "content": example.text}], max_tokens) for example in examples]
        same = sum(one == other for one, other in zip(wanted, said, strict=True))
        return {"asked": len(said), "same": same}

    def close(self) -> None:
        """See RuntimeStudent."""
        self._process.kill()
        self._process.communicate()

    def _complete(self, ids: list[int], max_tokens: int, **further: Any) -> dict[str, Any]:
        return self._post("/completion", {"prompt": ids, "n_predict": max_tokens, "temperature": 0.0, **further})

    def _ids(self, text: str, own: bool) -> list[int]:
        return list(self._post("/tokenize", {"content": text, "add_special": own, "parse_special": True})["tokens"])

    def _post(self, path: str, content: dict[str, Any]) -> dict[str, Any]:
        # A connection for each call: one that was kept would be closed by the server after some seconds of rest.
        try:
            with closing(HTTPConnection(self._address.hostname or "", self._address.port, timeout=600)) as line:
                line.request("POST", path, json.dumps(content), {"Content-Type": "application/json"})
                reply: dict[str, Any] = json.loads(line.getresponse().read())
        except (OSError, HTTPException) as error:
            raise ModelError(f"llama.cpp does not answer any more: {error or type(error).__name__}.") from error
        if "error" in reply:
            raise ModelError(f"llama.cpp does not answer: {reply['error'].get('message', reply['error'])}")
        return reply
