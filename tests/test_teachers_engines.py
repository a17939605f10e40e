"""Teachers in vLLM, SGLang and vLLM on Ray, against fakes of their API: what the real ones take, and return."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from shrinklm.core.errors import MissingExtra, TeacherError
from shrinklm.core.types import Completion, Sampling
from shrinklm.teachers.base import TeacherOptions
from shrinklm.teachers.engines import EngineTeacher, SglangTeacher, VllmTeacher
from shrinklm.teachers.transformers import TransformersTeacher
from shrinklm.teachers.vllm_ray import VllmRayTeacher
from teacher_cases import asking, tiny_model

ROOM = 512
TEXTS = ["Why?", "Who builds a dam?", "Where is the wood?", "What is it?", "When?"]


class Machine:
    """What both fakes do: write by rule, and note what they were given."""

    def __init__(self) -> None:
        self.started: list[dict[str, Any]] = []
        self.asked: list[tuple[list[int], dict[str, Any]]] = []
        self.calls: list[int] = []
        self.line = "A beaver.\nAnd more"
        self.gpus = 2.0

    def write(self, ids: list[int], cap: int, seed: int | None, stops: Sequence[str], told: dict[str, Any]) -> Any:
        """(text, tokens, reason, the stop that matched)."""
        self.asked.append((ids, told))
        text = f"{self.line} {sum(ids)} {seed}"
        found = [(text.find(stop), stop) for stop in stops if stop in text]
        if found:
            place, stop = min(found)
            text = text[: place + len(stop)]  # a stop that is kept
            return text, len(text), "stop", stop
        return text[:cap], min(len(text), cap), "length" if len(text) > cap else "stop", None


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setitem(sys.modules, "vllm", _vllm(made))
    monkeypatch.setitem(sys.modules, "sglang", _sglang(made))
    for name, module in _ray(made).items():
        monkeypatch.setitem(sys.modules, name, module)
    return made


def _vllm(machine: Machine) -> ModuleType:
    class SamplingParams:
        def __init__(
            self,
            n: int = 1,
            *,
            temperature: float = 1.0,
            top_p: float = 1.0,
            seed: int | None = None,
            stop: str | list[str] | None = None,
            max_tokens: int | None = 16,
            include_stop_str_in_output: bool = False,
            skip_special_tokens: bool = True,
        ) -> None:
            assert seed is None or -(2**63) <= seed < 2**63
            self.temperature, self.seed, self.stop, self.max_tokens = temperature, seed, stop, max_tokens
            assert include_stop_str_in_output
            self.told = {"temperature": temperature, "top_p": top_p, "seed": seed, "stop": stop, "cap": max_tokens}

    class LLM:
        def __init__(
            self,
            model: str,
            *,
            tokenizer: str | None = None,
            trust_remote_code: bool = False,
            dtype: str = "auto",
            revision: str | None = None,
            seed: int = 0,
            enable_prefix_caching: bool | None = None,
        ) -> None:
            machine.started.append({"model": model, "revision": revision, "prefix": enable_prefix_caching})
            self.llm_engine = SimpleNamespace(model_config=SimpleNamespace(max_model_len=ROOM))

        def generate(
            self,
            prompts: Sequence[dict[str, Any]],
            sampling_params: Sequence[SamplingParams],
            *,
            use_tqdm: bool = True,
        ) -> list[Any]:
            machine.calls.append(len(prompts))
            assert len(prompts) == len(sampling_params)
            assert not use_tqdm
            outputs = []
            for prompt, told in zip(prompts, sampling_params, strict=True):
                assert told.max_tokens is not None
                text, count, reason, stop = machine.write(
                    prompt["prompt_token_ids"], told.max_tokens, told.seed, list(told.stop or []), told.told
                )
                one = SimpleNamespace(text=text, token_ids=[7] * count, finish_reason=reason, stop_reason=stop)
                outputs.append(SimpleNamespace(outputs=[one], prompt_token_ids=prompt["prompt_token_ids"]))
            return outputs

    module = ModuleType("vllm")
    vars(module).update(LLM=LLM, SamplingParams=SamplingParams, TokensPrompt=dict)
    return module


def _sglang(machine: Machine) -> ModuleType:
    known = {"temperature", "top_p", "max_new_tokens", "stop", "sampling_seed", "no_stop_trim", "skip_special_tokens"}

    class Engine:
        def __init__(
            self,
            *,
            model_path: str,
            trust_remote_code: bool = False,
            revision: str | None = None,
            random_seed: int | None = None,
            enable_deterministic_inference: bool = False,
        ) -> None:
            assert enable_deterministic_inference, "seeds of prompts would not count"
            machine.started.append({"model": model_path, "revision": revision, "prefix": True})
            self.tokenizer_manager = SimpleNamespace(model_config=SimpleNamespace(context_len=ROOM))

        def generate(
            self,
            prompt: Any = None,
            sampling_params: list[dict[str, Any]] | None = None,
            input_ids: list[list[int]] | None = None,
        ) -> list[dict[str, Any]]:
            assert prompt is None
            assert input_ids is not None
            assert sampling_params is not None
            machine.calls.append(len(input_ids))
            outputs = []
            for ids, told in zip(input_ids, sampling_params, strict=True):
                assert set(told) <= known
                assert told["no_stop_trim"]
                assert 0 <= told["sampling_seed"] < 2**31
                seed = told["sampling_seed"] if told["temperature"] else None
                noted = {"temperature": told["temperature"], "top_p": told["top_p"], "seed": seed}
                noted |= {"stop": told["stop"], "cap": told["max_new_tokens"]}
                text, count, reason, stop = machine.write(ids, told["max_new_tokens"], seed, told["stop"], noted)
                finish = (
                    {"type": reason, "matched": stop or 2} if reason == "stop" else {"type": reason, "length": count}
                )
                meta = {"prompt_tokens": len(ids), "completion_tokens": count, "finish_reason": finish}
                outputs.append({"text": text, "meta_info": meta})
            return outputs

    module = ModuleType("sglang")
    vars(module).update(Engine=Engine)
    return module


def _ray(machine: Machine) -> dict[str, ModuleType]:
    """Ray Data with its processor for vLLM, as of Ray 2.60; `test_vllm_ray.py` runs the real one."""

    class Config:
        def __init__(
            self,
            *,
            model_source: str,
            engine_kwargs: dict[str, Any],
            concurrency: int = 1,
            batch_size: int = 32,
            chat_template_stage: bool = True,
            tokenize_stage: bool = True,
            detokenize_stage: bool = True,
            log_engine_metrics: bool = True,
        ) -> None:
            assert concurrency > 0
            assert {chat_template_stage, tokenize_stage, detokenize_stage} == {False}
            self.model, self.engine, self.batch_size = model_source, engine_kwargs, batch_size
            self.concurrency = concurrency

    class Data:
        def __init__(self, rows: list[dict[str, Any]], override_num_blocks: int) -> None:
            size = -(-len(rows) // override_num_blocks)
            self.blocks: Any = [rows[start : start + size] for start in range(0, len(rows), size)]

        def iter_batches(self, *, batch_size: int | None, batch_format: str) -> Iterator[Any]:
            assert (batch_size, batch_format) == (None, "pyarrow")
            for block in self.blocks:
                yield SimpleNamespace(to_pylist=lambda block=block: block)

    def build_processor(config: Config, postprocess: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
        def process(data: Data) -> Data:
            data.blocks = ([postprocess(answer(row)) for row in block] for block in count(data.blocks))
            return data

        def count(blocks: Sequence[Any]) -> Iterator[Any]:
            started = {"model": config.model, "revision": config.engine.get("revision")}
            machine.started.append(started | {"prefix": config.engine["enable_prefix_caching"]})
            for block in blocks:
                machine.calls.append(len(block))
                yield block

        def answer(row: dict[str, Any]) -> dict[str, Any]:
            told = row["sampling_params"]
            assert told["include_stop_str_in_output"]
            assert told.get("stop", ["x"]), "an empty list has no type in Arrow"
            noted = {"temperature": told["temperature"], "top_p": told["top_p"], "seed": told.get("seed")}
            noted |= {"stop": told.get("stop", []), "cap": told["max_tokens"]}
            text, tokens, _, _ = machine.write(
                row["tokenized_prompt"], told["max_tokens"], told.get("seed"), told.get("stop", []), noted
            )
            said = {"generated_text": text, "generated_tokens": [7] * tokens, "num_generated_tokens": tokens}
            return {**row, **said}

        return process

    modules = {name: ModuleType(name) for name in ("ray", "ray.data", "ray.data.llm")}
    context = SimpleNamespace(enable_progress_bars=True)
    vars(modules["ray"]).update(
        is_initialized=lambda: True, cluster_resources=lambda: {"CPU": 4.0, "GPU": machine.gpus}
    )
    vars(modules["ray.data"]).update(from_items=Data, DataContext=SimpleNamespace(get_current=lambda: context))
    vars(modules["ray.data.llm"]).update(vLLMEngineProcessorConfig=Config, build_processor=build_processor)
    return modules


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("causal"), chat=True)


@pytest.fixture(params=[VllmTeacher, SglangTeacher, VllmRayTeacher])
def kind(request: pytest.FixtureRequest) -> type[EngineTeacher]:
    chosen: type[EngineTeacher] = request.param
    return chosen


def say(teacher: EngineTeacher, texts: list[str], sampling: Sampling) -> list[Completion]:
    found = dict(teacher.complete([asking(text) for text in texts], sampling))
    return [found[position] for position in range(len(texts))]


def test_prompts_are_those_of_transformers(machine: Machine, kind: type[EngineTeacher], folder: Path) -> None:
    teacher = kind(str(folder), TeacherOptions())
    same = TransformersTeacher(str(folder), TeacherOptions())
    said = say(teacher, TEXTS, Sampling(max_tokens=100))
    assert sorted(ids for ids, _ in machine.asked) == sorted(same.tokens(asking(text)) for text in TEXTS)
    assert [one.tokens_in for one in said] == [len(same.tokens(asking(text))) for text in TEXTS]
    assert machine.started == [{"model": str(folder), "revision": None, "prefix": True}]
    assert all(one.finished and one.tokens_out == len(one.text) for one in said)
    assert (teacher.name, teacher.revision) == (same.name, same.revision)
    assert teacher.tokenizer_revision == same.tokenizer_revision != ""


def test_each_prompt_has_its_own_seed(machine: Machine, kind: type[EngineTeacher], folder: Path) -> None:
    sampling = Sampling(max_tokens=100, temperature=0.7, top_p=0.9, seed=3)
    said = say(kind(str(folder), TeacherOptions()), TEXTS, sampling)
    seeds = {told["seed"] for _, told in machine.asked}
    assert len(seeds) == len(TEXTS)
    assert all((told["temperature"], told["top_p"], told["cap"]) == (0.7, 0.9, 100) for _, told in machine.asked)
    assert say(kind(str(folder), TeacherOptions(batch=2)), TEXTS[::-1], sampling) != said
    assert [one.text for one in say(kind(str(folder), TeacherOptions(batch=2)), TEXTS[::-1], sampling)][::-1] == [
        one.text for one in said
    ]
    greedy = Sampling(max_tokens=100)
    machine.asked.clear()
    say(kind(str(folder), TeacherOptions()), TEXTS, greedy)
    assert {told["seed"] for _, told in machine.asked} == {None}


def test_texts_come_chunk_by_chunk(machine: Machine, kind: type[EngineTeacher], folder: Path) -> None:
    teacher = kind(str(folder), TeacherOptions(batch=2))
    stream = teacher.complete([asking(text) for text in TEXTS], Sampling(max_tokens=10))
    first = next(stream)
    assert machine.calls == [2]  # a kill now loses one chunk
    assert teacher.ready == 1
    assert not first[1].finished
    assert first[1].tokens_out == 10
    assert len(list(stream)) == 4
    assert machine.calls == [2, 2, 1]
    assert teacher.ready == 0


def test_stops(machine: Machine, kind: type[EngineTeacher], folder: Path) -> None:
    sampling = Sampling(max_tokens=100, stop=("\n", "more"))
    said = say(kind(str(folder), TeacherOptions()), TEXTS, sampling)
    assert {one.text for one in said} == {"A beaver."}
    assert all(one.finished for one in said)
    assert {tuple(told["stop"]) for _, told in machine.asked} == {("more",)}
    machine.line = "\n\nA beaver.\nAnd"
    assert {one.text for one in say(kind(str(folder), TeacherOptions()), TEXTS, sampling)} == {"\n\nA beaver."}


def test_a_stop_inside_thoughts_ends_no_answer(machine: Machine, kind: type[EngineTeacher], folder: Path) -> None:
    machine.line = "<think>One more beaver</think>A dam."
    [said] = say(kind(str(folder), TeacherOptions()), TEXTS[:1], Sampling(max_tokens=100, stop=("more",)))
    assert said.text.startswith("<think>One more beaver</think>A dam.")
    assert machine.calls == [1, 1]


def test_a_prompt_that_does_not_fit(machine: Machine, kind: type[EngineTeacher], folder: Path) -> None:
    teacher = kind(str(folder), TeacherOptions())
    long, short = say(teacher, ["wood " * 600, "Why?"], Sampling(max_tokens=10))
    length = len(teacher.tokens(asking("wood " * 600)))
    assert long == Completion(
        "", length, refusal=f"the prompt does not fit: {length} tokens and 10 for the completion, limit {ROOM}"
    )
    assert short.refusal is None
    assert len(machine.asked) == 1


def test_without_the_package(kind: type[EngineTeacher], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, {"vllm-ray": "ray.data.llm"}.get(kind.kind, kind.kind), None)
    teacher = kind(str(folder), TeacherOptions())  # keys of stored texts need no engine
    for ask in (teacher.check, lambda: list(teacher.complete([asking("x")], Sampling()))):
        with pytest.raises(MissingExtra, match=rf'pip install "shrinklm\[{kind.kind}\]"'):
            ask()
    with pytest.raises(TeacherError, match=f"Write {kind.kind}:PATH_OR_ID"):
        kind("", TeacherOptions())


def test_an_encoder_decoder_is_refused(machine: Machine, kind: type[EngineTeacher], tmp_path: Path) -> None:
    teacher = kind(str(tiny_model(tmp_path / "t5", seq2seq=True)), TeacherOptions())
    with pytest.raises(TeacherError, match=r"encoder–decoder.*transformers:"):
        teacher.check()


@pytest.mark.parametrize("kind", [VllmTeacher, SglangTeacher])
def test_a_commit_of_the_hub_is_pinned(machine: Machine, kind: type[EngineTeacher]) -> None:
    teacher = kind("org/name@abc123", TeacherOptions())
    assert teacher.limit == ROOM
    assert machine.started == [{"model": "org/name", "revision": "abc123", "prefix": True}]
    assert teacher.revision == "abc123"


def test_an_engine_on_each_gpu_of_the_cluster(machine: Machine, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    config = sys.modules["ray.data.llm"].vLLMEngineProcessorConfig
    monkeypatch.setattr(config, "__init__", _noting(config.__init__, made))
    machine.gpus = 8.0
    say(VllmRayTeacher(str(folder), TeacherOptions()), TEXTS, Sampling(max_tokens=10))
    extra = {"tensor_parallel_size": 2, "max_model_len": 300}
    teacher = VllmRayTeacher(str(folder), TeacherOptions(extra=extra, batch=2))
    say(teacher, TEXTS, Sampling(max_tokens=10))
    assert [one["concurrency"] for one in made] == [8, 4]
    assert [one["engine_kwargs"]["max_model_len"] for one in made] == [ROOM, 300]
    assert made[1]["engine_kwargs"]["tensor_parallel_size"] == made[1]["batch_size"] == 2
    assert teacher.limit == 300
    machine.gpus = 1.0
    with pytest.raises(TeacherError, match=r"needs 2 GPUs for an engine, and the Ray cluster has 1"):
        say(teacher, TEXTS, Sampling(max_tokens=10))
    # The same texts as by one engine, and nothing that changes them in secret.
    assert (teacher.name, teacher.revision) == (VllmTeacher(str(folder), TeacherOptions()).name, teacher.model.revision)
    with pytest.raises(TeacherError, match=r"has 'quantization', which is none of the settings"):
        VllmRayTeacher(str(folder), TeacherOptions(extra={"quantization": "fp8"}))


def test_an_engine_that_fails_is_told_and_what_came_is_kept(machine: Machine, folder: Path) -> None:
    write = machine.write

    def fails(*args: Any) -> Any:
        if len(machine.asked) == 3:
            raise RuntimeError("a task failed\nCUDA error: out of memory")
        return write(*args)

    machine.write = fails  # type: ignore[method-assign]
    stream = VllmRayTeacher(str(folder), TeacherOptions(batch=2)).complete(
        [asking(text) for text in TEXTS], Sampling(max_tokens=10)
    )
    assert len([next(stream), next(stream)]) == 2
    with pytest.raises(TeacherError, match=r"vLLM on Ray cannot go on with \S+: CUDA error: out of memory .*stored"):
        next(stream)


def _noting(made_by: Any, into: list[Any]) -> Any:
    def init(self: Any, **told: Any) -> None:
        into.append(told)
        made_by(self, **told)

    return init
