"""Teachers in the engines for GPUs, inside this process: vLLM (arXiv 2309.06180) and SGLang (arXiv 2312.07104)."""

from __future__ import annotations

import importlib
import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..core.errors import MissingExtra, TeacherError
from ..core.types import Completion, Prompt, Sampling
from ..models.load import load_tokenizer, weights_source
from .base import first_stop
from .local import LocalTeacher, row_seed

CHUNK = 256
"""Prompts that are handed over together where the recipe does not say: as many as keep an engine busy, and as few as
one may lose when the process is killed."""


@dataclass(frozen=True)
class Said:
    """What an engine wrote."""

    text: str
    tokens: int
    ended: bool
    """By an end token or a stop, and not at the cap."""
    stopped: bool
    """By a stop string, which its text ends with."""


class EngineTeacher(LocalTeacher):
    """Hands token ids to an engine, chunk by chunk. The engine is started at the first `complete`."""

    def check(self) -> None:
        """Raises MissingExtra without the engine, TeacherError for a model that it does not run."""
        self.package()
        if self.seq2seq:
            raise TeacherError(
                f"{self.name} is an encoder–decoder, which {self.kind} does not run. "
                f"Write transformers:{self.model.ref} instead."
            )

    def package(self) -> Any:
        """The engine's package. Raises MissingExtra."""
        try:
            return importlib.import_module(self.kind)
        except ImportError as error:
            raise MissingExtra(self.kind, self.kind, f"The teacher {self.kind}:{self.model.ref}") from error

    @abstractmethod
    def generate(self, ids: Sequence[list[int]], sampling: Sampling, stops: Sequence[str]) -> list[Said]:
        """Continue prompts, each with a seed of its own; a text that a stop ends keeps the stop."""

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        """Yield completions chunk by chunk, those that begin alike together, so that a prefix cache finds them.

        A prompt that does not fit with its completion is refused with its length and the limit, never cut.
        """
        self.check()
        fitting: dict[int, list[int]] = {}
        yield from self.refused(prompts, sampling, fitting)
        order = sorted(fitting, key=fitting.__getitem__)
        size = self.options.batch or CHUNK
        for start in range(0, len(order), size):
            chunk = order[start : start + size]
            began = time.perf_counter()
            said = self._said([fitting[position] for position in chunk], sampling)
            seconds = (time.perf_counter() - began) / len(chunk)
            for left, (position, one) in enumerate(zip(chunk, said, strict=True), 1):
                self.ready = len(chunk) - left
                yield position, self.completion(fitting[position], one, sampling, seconds)

    def refused(
        self, prompts: Sequence[Prompt], sampling: Sampling, fitting: dict[int, list[int]]
    ) -> Iterator[tuple[int, Completion]]:
        """Yield the prompts that do not fit with their completion; the tokens of the others go to `fitting`."""
        for position, prompt in enumerate(prompts):
            tokens = self.tokens(prompt)
            refusal = self.too_long(len(tokens), sampling.max_tokens)
            if refusal is None:
                fitting[position] = tokens
            else:
                yield position, Completion("", len(tokens), refusal=refusal)

    def completion(self, ids: Sequence[int], said: Said, sampling: Sampling, seconds: float) -> Completion:
        """What was said to a prompt, up to the first stop."""
        stop = first_stop(said.text, sampling.stop)
        ended = said.ended or stop is not None
        return Completion(said.text[:stop], len(ids), said.tokens, ended, seconds=seconds)

    def stops(self, sampling: Sampling) -> list[str]:
        """The stops that an engine is given: one of mere white space would end an answer that begins with a line break
        before it began.
        """
        return [stop for stop in sampling.stop if stop.strip()]

    def _said(self, ids: Sequence[list[int]], sampling: Sampling) -> list[Said]:
        said = self.generate(ids, sampling, self.stops(sampling))
        # The engine knows nothing of thoughts: a stop in them ends no answer.
        early = [place for place, one in enumerate(said) if one.stopped and first_stop(one.text, sampling.stop) is None]
        if early:
            again = self.generate([ids[place] for place in early], sampling, ())
            for place, one in zip(early, again, strict=True):
                said[place] = one
        return said

    @cached_property
    def tokenizer(self) -> Any:
        """See LocalTeacher."""
        return load_tokenizer(self.model, self.options.trust_remote_code)


class VllmTeacher(EngineTeacher):
    """`vllm:PATH_OR_ID`: a checkpoint in vLLM."""

    kind = "vllm"

    @cached_property
    def _engine(self) -> Any:
        source, pinned = weights_source(self.model)
        return self.package().LLM(
            model=source,
            trust_remote_code=self.options.trust_remote_code,
            enable_prefix_caching=True,
            seed=0,
            **pinned,
        )

    @cached_property
    def limit(self) -> int:
        """See LocalTeacher."""
        return int(self._engine.llm_engine.model_config.max_model_len)

    def generate(self, ids: Sequence[list[int]], sampling: Sampling, stops: Sequence[str]) -> list[Said]:
        """See EngineTeacher."""
        package = self.package()
        settings = [
            package.SamplingParams(
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_tokens=sampling.max_tokens,
                seed=row_seed(sampling.seed, tokens) if sampling.temperature > 0 else None,
                stop=list(stops),
                include_stop_str_in_output=True,
            )
            for tokens in ids
        ]
        prompts = [package.TokensPrompt(prompt_token_ids=list(tokens)) for tokens in ids]
        outputs = self._engine.generate(prompts, settings, use_tqdm=False)
        first = [output.outputs[0] for output in outputs]
        return [
            Said(one.text, len(one.token_ids), one.finish_reason == "stop", isinstance(one.stop_reason, str))
            for one in first
        ]


class SglangTeacher(EngineTeacher):
    """`sglang:PATH_OR_ID`: a checkpoint in SGLang."""

    kind = "sglang"

    @cached_property
    def _engine(self) -> Any:
        source, pinned = weights_source(self.model)
        return self.package().Engine(
            model_path=source,
            trust_remote_code=self.options.trust_remote_code,
            random_seed=0,
            # Only then does it keep to the seed of a prompt.
            enable_deterministic_inference=True,
            **pinned,
        )

    @cached_property
    def limit(self) -> int:
        """See LocalTeacher."""
        return int(self._engine.tokenizer_manager.model_config.context_len)

    def generate(self, ids: Sequence[list[int]], sampling: Sampling, stops: Sequence[str]) -> list[Said]:
        """See EngineTeacher."""
        settings = [
            {
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "max_new_tokens": sampling.max_tokens,
                "sampling_seed": row_seed(sampling.seed, tokens) % 2**31,
                "stop": list(stops),
                "no_stop_trim": True,
            }
            for tokens in ids
        ]
        outputs = self._engine.generate(input_ids=[list(tokens) for tokens in ids], sampling_params=settings)
        return [self._read(output) for output in outputs]

    @staticmethod
    def _read(output: dict[str, Any]) -> Said:
        reason = output["meta_info"]["finish_reason"] or {}
        ended = reason.get("type") == "stop"
        return Said(
            output["text"],
            int(output["meta_info"]["completion_tokens"]),
            ended,
            ended and isinstance(reason.get("matched"), str),
        )
