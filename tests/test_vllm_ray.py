"""`vllm-ray:` on a real Ray, whose own processor calls a fake of vLLM in its workers: vLLM itself needs a GPU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from shrinklm.core.types import Sampling
from shrinklm.teachers.base import TeacherOptions, make_teacher
from shrinklm.teachers.local import row_seed
from shrinklm.teachers.vllm_ray import VllmRayTeacher
from teacher_cases import asking, tiny_model

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster() -> Iterator[None]:
    ray = pytest.importorskip("ray")
    path = os.pathsep.join([str(Path(__file__).parent / "fake_vllm"), os.environ.get("PYTHONPATH", "")])
    ray.init(
        "local",
        num_cpus=3,
        num_gpus=1,  # stated, not looked for
        object_store_memory=80 << 20,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
        runtime_env={"env_vars": {"PYTHONPATH": path}},
    )
    yield
    ray.shutdown()


@pytest.mark.usefixtures("cluster")
def test_the_processor_of_ray_takes_what_it_is_given_and_gives_what_is_read(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "causal", chat=True)
    teacher = make_teacher(f"vllm-ray:{folder}", TeacherOptions(batch=2))
    assert isinstance(teacher, VllmRayTeacher)
    prompts = [asking(text) for text in ("Why?", "Who builds a dam?", "wood " * 600, "When?", "Where?")]
    told = Sampling(max_tokens=100, temperature=0.7, top_p=0.9, seed=3, stop=("\n", "zebra"))
    said = dict(teacher.complete(prompts, told))
    assert sorted(said) == [0, 1, 2, 3, 4]
    assert (said[2].refusal or "").startswith("the prompt does not fit: ")
    for position in (0, 1, 3, 4):
        tokens = teacher.tokens(prompts[position])
        one = said[position]
        assert one.text == f"A beaver. And more {sum(tokens)} {row_seed(3, tokens)}"
        assert (one.tokens_in, one.tokens_out, one.finished) == (len(tokens), len(one.text), True)
