"""As much of vLLM as Ray Data calls: it writes by rule. Found by the workers of a test alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from . import inputs, outputs

__all__ = ["AsyncEngineArgs", "AsyncLLMEngine", "SamplingParams", "inputs", "outputs"]


class SamplingParams:
    def __init__(
        self,
        *,
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: int | None = None,
        stop: list[str] | None = None,
        max_tokens: int = 16,
        include_stop_str_in_output: bool = False,
        structured_outputs: Any = None,
    ) -> None:
        assert include_stop_str_in_output
        assert structured_outputs is None
        assert isinstance(seed, int | None)
        assert isinstance(stop, list | None)
        self.seed, self.stop, self.max_tokens = seed, stop or [], max_tokens


@dataclass
class AsyncEngineArgs:
    model: str
    runner: str = "auto"
    trust_remote_code: bool = False
    enable_prefix_caching: bool | None = None
    seed: int = 0
    max_model_len: int | None = None
    revision: str | None = None
    distributed_executor_backend: str | None = None
    enable_log_requests: bool = False

    def create_engine_config(self) -> Any:
        return SimpleNamespace(
            scheduler_config=SimpleNamespace(max_num_seqs=4),
            parallel_config=SimpleNamespace(pipeline_parallel_size=1),
        )


class AsyncLLMEngine:
    def __init__(self, args: AsyncEngineArgs) -> None:
        assert args.runner == "generate"
        self.args = args

    @classmethod
    def from_engine_args(cls, args: AsyncEngineArgs, stat_loggers: Any = None) -> AsyncLLMEngine:
        return cls(args)

    async def generate(
        self, *, request_id: str, prompt: dict[str, Any], sampling_params: SamplingParams, lora_request: Any = None
    ) -> AsyncIterator[Any]:
        ids = prompt["prompt_token_ids"]
        assert isinstance(ids, list)
        text = f"A beaver. And more {sum(ids)} {sampling_params.seed}"
        for stop in sampling_params.stop:
            if stop in text:
                text = text[: text.find(stop) + len(stop)]  # a stop that is kept
        text = text[: sampling_params.max_tokens]  # a token a character
        await asyncio.sleep(0)
        yield SimpleNamespace(finished=False)
        one = SimpleNamespace(text=text, token_ids=[ord(each) for each in text], logprobs=None)
        yield outputs.RequestOutput(ids, [one])

    async def do_log_stats(self) -> None:
        pass

    def shutdown(self) -> None:
        pass
