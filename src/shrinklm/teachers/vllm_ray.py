"""A teacher in vLLM on the GPUs of a Ray cluster, by Ray Data's own processor for it (`ray.data.llm`)."""

from __future__ import annotations

import importlib
import importlib.util
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from ..core.errors import MissingExtra, TeacherError, last_line
from ..core.types import Completion, Prompt, Sampling
from ..models.load import positions_of, weights_source
from .base import TeacherOptions, first_stop
from .engines import EngineTeacher, Said
from .local import row_seed

ROWS = 64
"""Prompts in one batch where the recipe does not say. An engine has eight batches in flight, which are lost with its
node."""
_ENGINE = (
    "tensor_parallel_size",
    "pipeline_parallel_size",
    "max_model_len",
    "gpu_memory_utilization",
    "max_num_seqs",
    "max_num_batched_tokens",
    "enforce_eager",
    "cpu_offload_gb",
    "load_format",
)
"""Settings of an engine that say where and how it computes, and not what it writes: keys of texts do not hold them."""


class VllmRayTeacher(EngineTeacher):
    """`vllm-ray:PATH_OR_ID`: the texts of `vllm:`, by an engine on each GPU of the cluster that Ray is connected to.

    Prompts are read, and seeds, stops and refusals are kept, as by `vllm:`, under the same keys. Each `complete` starts
    the engines, hands all prompts to them and yields what has come, block by block. A folder of weights must lie at the
    same place on every node. Under `extra` stand settings of the engines, such as `tensor_parallel_size: 2`.

    Written against what Ray 2.60 publishes (`vLLMEngineProcessorConfig`, `build_processor`) and tested with Ray's own
    code around a fake of vLLM, which needs a GPU: with vLLM itself it has not been run.
    """

    kind = "vllm-ray"
    spreads, on_ray = False, True
    slice = 16_384

    def __init__(self, rest: str, options: TeacherOptions) -> None:
        super().__init__(rest, options)
        if unknown := sorted(options.extra.keys() - set(_ENGINE)):
            raise TeacherError(
                f"'extra' of {self.kind}:{rest} has '{unknown[0]}', which is none of the settings that leave texts as "
                f"they are: {', '.join(_ENGINE)}."
            )

    def package(self) -> Any:
        """`ray.data.llm`. Raises MissingExtra without it."""
        try:
            return importlib.import_module("ray.data.llm")
        except ImportError as error:
            raise MissingExtra("ray", self.kind, f"The teacher {self.kind}:{self.model.ref}") from error

    @cached_property
    def limit(self) -> int:
        """See LocalTeacher."""
        stated = min(
            positions_of(self.model, self.options.trust_remote_code), self.options.extra.get("max_model_len", math.inf)
        )
        return int(self.tokenizer.model_max_length if stated == math.inf else stated)  # huge when none is stated

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        """Yield completions as they come. Raises TeacherError where the cluster has no GPU, or an engine fails.

        A prompt that does not fit with its completion is refused with its length and the limit, never cut.
        """
        self.check()
        fitting: dict[int, list[int]] = {}
        yield from self.refused(prompts, sampling, fitting)
        early: dict[int, list[int]] = {}
        for position, said, seconds in self._said_of(fitting, sampling, self.stops(sampling)):
            # The engine knows nothing of thoughts: a stop in them ends no answer.
            if said.stopped and first_stop(said.text, sampling.stop) is None:
                early[position] = fitting[position]
            else:
                yield position, self.completion(fitting[position], said, sampling, seconds)
        for position, said, seconds in self._said_of(early, sampling, []):
            yield position, self.completion(early[position], said, sampling, seconds)

    def generate(self, ids: Sequence[list[int]], sampling: Sampling, stops: Sequence[str]) -> list[Said]:
        """See EngineTeacher."""
        found = {place: said for place, said, _ in self._said_of(dict(enumerate(ids)), sampling, stops)}
        return [found[place] for place in range(len(ids))]

    def _said_of(
        self, ids: Mapping[int, list[int]], sampling: Sampling, stops: Sequence[str]
    ) -> Iterator[tuple[int, Said, float]]:
        """(position, what was said, seconds) as they come."""
        if not ids:
            return
        ray = importlib.import_module("ray")
        data = importlib.import_module("ray.data")
        try:
            if not ray.is_initialized():
                ray.init()
            size = self.options.batch or ROWS
            processor = self.package().build_processor(self._config(ray, size), postprocess=_kept)
            # Those that begin alike side by side, so that a prefix cache finds them; a block is a batch, so that its
            # texts are here as soon as it is done.
            order = sorted(ids, key=ids.__getitem__)
            rows = [self._row(position, ids[position], sampling, stops) for position in order]
            context = data.DataContext.get_current()
            bars, context.enable_progress_bars = context.enable_progress_bars, False  # there is one of the run
            try:
                answers = processor(data.from_items(rows, override_num_blocks=math.ceil(len(rows) / size)))
            finally:
                context.enable_progress_bars = bars
            began = time.perf_counter()
            for block in answers.iter_batches(batch_size=None, batch_format="pyarrow"):
                found = block.to_pylist()
                seconds = (time.perf_counter() - began) / max(1, len(found))
                for left, row in enumerate(found, 1):
                    self.ready = len(found) - left
                    yield row["place"], self._read(row, sampling, stops), seconds
                began = time.perf_counter()
        except (TeacherError, MissingExtra):
            raise
        except Exception as error:  # of Ray, of vLLM in another process, of CUDA
            raise TeacherError(
                f"vLLM on Ray cannot go on with {self.name}: {last_line(error)[:300]} "
                "Completions so far are stored; the same command goes on from there."
            ) from error

    def _config(self, ray: Any, size: int) -> Any:
        source, pinned = weights_source(self.model)
        extra = dict(self.options.extra)
        each = int(extra.get("tensor_parallel_size", 1)) * int(extra.get("pipeline_parallel_size", 1))
        gpus = int(ray.cluster_resources().get("GPU", 0))
        if gpus < each:
            raise TeacherError(
                f"{self.kind}:{self.model.ref} needs {each} GPU{'s' if each > 1 else ''} for an engine, and the Ray "
                f"cluster has {gpus}. Add nodes with `ray start --address HEAD:6379`, or write "
                f"transformers:{self.model.ref}."
            )
        # Of a model that states no limit, vLLM finds its own.
        length = {"max_model_len": self.limit} if self.limit < 10**9 else {}
        return self.package().vLLMEngineProcessorConfig(
            model_source=source,
            engine_kwargs={
                "trust_remote_code": self.options.trust_remote_code,
                "enable_prefix_caching": True,
                "seed": 0,
                **length,
                **pinned,
                **extra,
            },
            # An engine on each GPU, or on each group of GPUs; Ray starts with one and adds the others.
            concurrency=gpus // each,
            batch_size=size,
            # Prompts are tokens already, as the chat template makes them here.
            chat_template_stage=False,
            tokenize_stage=False,
            detokenize_stage=False,
            log_engine_metrics=False,
        )

    def _row(self, place: int, tokens: list[int], sampling: Sampling, stops: Sequence[str]) -> dict[str, Any]:
        told: dict[str, Any] = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "include_stop_str_in_output": True,
        }
        # No key rather than an empty value: Ray keeps rows as Arrow, which must know the type of each.
        if sampling.temperature > 0:
            told["seed"] = row_seed(sampling.seed, tokens)
        if stops:
            told["stop"] = list(stops)
        return {"place": place, "tokenized_prompt": tokens, "sampling_params": told}

    def _read(self, row: Mapping[str, Any], sampling: Sampling, stops: Sequence[str]) -> Said:
        # Ray passes on no reason of the end: what ends below the cap, by an end token or with a stop has ended.
        text, tokens = str(row["text"]), int(row["tokens"])
        stopped = any(text.endswith(stop) for stop in stops)
        return Said(text, tokens, stopped or tokens < sampling.max_tokens or row["last"] in self._ends, stopped)

    @cached_property
    def _ends(self) -> set[int]:
        """The tokens that end a text."""
        from transformers import GenerationConfig

        source, pinned = weights_source(self.model)
        try:
            stated = GenerationConfig.from_pretrained(source, **pinned).eos_token_id
        except (OSError, ValueError):  # a checkpoint without one
            stated = None
        return {*(stated if isinstance(stated, list) else [stated]), self.tokenizer.eos_token_id} - {None}


def _kept(row: Mapping[str, Any]) -> dict[str, Any]:
    """What comes back of a row, on the node that computed it."""
    written = row["generated_tokens"]
    return {
        "place": row["place"],
        "text": row["generated_text"],
        "tokens": row["num_generated_tokens"],
        "last": int(written[-1]) if len(written) else -1,
    }
