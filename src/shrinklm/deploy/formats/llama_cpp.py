"""A GGUF file in llama.cpp (the package xllamacpp), asked as any other student."""

from __future__ import annotations

import json
from collections.abc import Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ...core.errors import MissingExtra, ModelError
from ...core.types import Example, Reply
from ...methods.view import View
from ...students.tokens import PairTokens
from .asked import RuntimeStudent, threads
from .gguf_file import read_head
from .gguf_tokenizer import BLANK_BEFORE

CONTEXT = 4096
"""Tokens that it reads and writes at most: what it keeps of them takes memory from the start."""
_FORCED = 1e4
"""Added to the logit of a token that must come next. What llama.cpp tells of its probability is without it."""


class LlamaCppStudent(RuntimeStudent):
    """A GGUF file, in llama.cpp's own server within this process. Raises ModelError when it cannot be read."""

    runtime = "llama.cpp"

    def __init__(self, file: Path) -> None:
        try:
            import xllamacpp
        except ImportError as error:
            raise MissingExtra("xllamacpp", "llamacpp", "Asking a student in llama.cpp") from error
        head = read_head(file)
        self.positions = int(head[f"{head['general.architecture']}.context_length"])
        self._last = int(head["tokenizer.ggml.eos_token_id"])
        self._before = " " if head.get(BLANK_BEFORE, True) else ""
        options = xllamacpp.CommonParams()
        options.model.path = str(file)
        options.hostnames, options.port = ["127.0.0.1"], 0
        # One place: a text's neighbours in a batch would change its rounding.
        options.n_parallel, options.n_ctx = 1, min(self.positions, CONTEXT)
        options.cpuparams.n_threads = options.cpuparams_batch.n_threads = threads()
        options.verbosity = 0
        options.warmup = False
        try:
            self.server: Any = xllamacpp.Server(options)
        except RuntimeError as error:
            raise ModelError(f"llama.cpp cannot read {file}: {error}.") from error
        self.positions = options.n_ctx
        host = urlsplit(self.server.listening_address)
        self._host = HTTPConnection(host.hostname or "127.0.0.1", host.port, timeout=600)

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
            said = self._complete(read, 1, logit_bias=[[token, _FORCED]], n_probs=1)
            [told] = said["completion_probabilities"]
            assert told["id"] == token
            total += float(told["logprob"])
            read = [*read, token]
        return total

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
        self._host.close()
        self.server = None

    def _complete(self, ids: list[int], max_tokens: int, **further: Any) -> dict[str, Any]:
        return self._post("/completion", {"prompt": ids, "n_predict": max_tokens, "temperature": 0.0, **further})

    def _ids(self, text: str, own: bool) -> list[int]:
        return list(self._post("/tokenize", {"content": text, "add_special": own, "parse_special": True})["tokens"])

    def _post(self, path: str, content: dict[str, Any]) -> dict[str, Any]:
        self._host.request("POST", path, json.dumps(content), {"Content-Type": "application/json"})
        reply: dict[str, Any] = json.loads(self._host.getresponse().read())
        if "error" in reply:
            raise ModelError(f"llama.cpp does not answer: {reply['error'].get('message', reply['error'])}")
        return reply
