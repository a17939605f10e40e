"""Teachers in vLLM and SGLang, against fakes of their API: what the real ones take, and what they return."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from shrinklm.core.errors import MissingExtra, TeacherError
from shrinklm.core.types import Completion, Sampling
from shrinklm.teachers.base import TeacherOptions
from shrinklm.teachers.engines import EngineTeacher, SglangTeacher, VllmTeacher
from shrinklm.teachers.transformers import TransformersTeacher
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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("causal"), chat=True)


@pytest.fixture(params=[VllmTeacher, SglangTeacher])
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
    monkeypatch.setitem(sys.modules, kind.kind, None)
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


def test_a_commit_of_the_hub_is_pinned(
    machine: Machine, kind: type[EngineTeacher], monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = kind("org/name@abc123", TeacherOptions())
    assert teacher.limit == ROOM
    assert machine.started == [{"model": "org/name", "revision": "abc123", "prefix": True}]
    assert teacher.revision == "abc123"
