from __future__ import annotations

from typing import Any


class RequestOutput:
    def __init__(self, prompt_token_ids: list[int], outputs: list[Any]) -> None:
        self.prompt_token_ids, self.outputs = prompt_token_ids, outputs
        self.finished, self.prompt, self.metrics, self.prompt_logprobs = True, None, None, None


class PoolingRequestOutput:
    pass
