"""`shrinklm plan --on`: what a run takes on other machines."""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks_of import benchmark
from cli_cases import call, recipe
from shrinklm import Recipe, Run
from shrinklm.core.errors import RecipeError
from shrinklm.run.plan import fleet, plan_run
from shrinklm.run.plan.counted import Size, seconds_to_read, seconds_to_write, size_of
from shrinklm.run.plan.elsewhere import elsewhere, makespan
from shrinklm.run.plan.hardware import ACCELERATORS
from shrinklm.students.open import open_student


def planned(seconds: list[float], **text: Any) -> dict[str, Any]:
    cells = [{"train_seconds": each, "evaluate_seconds": each / 10, "memory_bytes": 3 * 10**10} for each in seconds]
    row = {"found": 0, "prompts": 10, "seconds": 40.0, "tokens_in": 1000, "tokens_out": 100, "here": 0, **text}
    return {"students": cells, "texts": [row], "judges": [], "total": {"dollars": 1.5}}


@pytest.mark.parametrize(
    ("text", "count", "name", "cores"),
    [
        ("8xH100", 8, "H100", None),
        ("h100", 1, "H100", None),
        ("2x8xa100", 16, "A100", None),
        ("4x A100-40GB", 4, "A100-40GB", None),
        ("1xMI300X", 1, "MI300X", None),
        ("2x16cpu", 2, "16 cores like this machine's", 16),
        ("8CPUs", 1, "8 cores like this machine's", 8),
        ("4", 4, "a machine like this one", None),
        ("3xthis", 3, "a machine like this one", None),
    ],
)
def test_machines_are_read(text: str, count: int, name: str, cores: int | None) -> None:
    found = fleet(text)
    assert (found.count, found.name, found.cores) == (count, name, cores)


@pytest.mark.parametrize("text", ["", "8xH1000", "0xH100", "x8", "-2", "2xcpu0", "0cpu", "8x", "8 H100", "1.5xH100"])
def test_other_machines_are_refused_with_what_is_known(text: str) -> None:
    with pytest.raises(RecipeError, match=r"such as 8xH100\. Kinds: A100 \(80 GB\).*16cpu.*this"):
        fleet(text)


def test_an_efficiency_of_what_is_measured_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"measured on this machine\. Leave it out"):
        fleet("2x4cpu", 0.5)


@pytest.mark.parametrize("options", [{"hourly": math.inf}, {"hourly": math.nan}, {"hourly": -1.0},
                                     {"efficiency": 0.0}, {"efficiency": math.nan}, {"efficiency": 1.5}])  # fmt: skip
def test_numbers_that_are_none_say_what_to_type(options: dict[str, float]) -> None:
    name = next(iter(options))
    with pytest.raises(RecipeError, match=rf"^--{name} takes .*, and got .*\. Write: --{name} \d"):
        fleet("8xH100", **options)
    with pytest.raises(RecipeError, match="names no machine that is known"):
        fleet("9" * 5000 + "xH100")


def test_cells_are_dealt_in_turn_to_the_device_that_is_free() -> None:
    assert makespan([3, 1, 1, 1], 2) == 3
    assert makespan([1, 1, 1, 3], 2) == 4  # as an engine begins them: the long one last
    assert makespan([1, 2, 3], 8) == 3
    assert makespan([1, 2, 3], 1) == 6
    assert makespan([1, None], 2) is None
    assert makespan([], 2) == 0
    assert makespan([1, 2], 10**12) == 2


def test_parts_follow_one_another_and_the_longest_is_named() -> None:
    found = elsewhere(planned([100.0, 100.0, 100.0]), fleet("2", hourly=3.6), 0, 2)
    phases = {phase["phase"]: phase["seconds"] for phase in found["phases"]}
    assert phases["training"] == 200
    assert phases["evaluation"] == 20
    assert phases["texts from elsewhere"] == 40  # a server is no faster for more devices here
    assert found["seconds"] == pytest.approx(sum(phases.values()))
    assert found["bottleneck"] == "training"
    assert found["machine_dollars"] == pytest.approx(found["seconds"] * 2 * 0.001)
    assert found["dollars"] == pytest.approx(found["machine_dollars"] + 1.5)
    assert elsewhere(planned([1.0]), fleet("8"), 0, 2)["idle"] == 7
    assert elsewhere(planned([1.0]), fleet("1"), 0, 2)["bottleneck"] == "texts from elsewhere"


def test_more_cores_are_as_much_quicker() -> None:
    one, two = (elsewhere(planned([60.0], here=10**9), fleet(f"{cores}cpu"), 0, 2) for cores in (2, 4))
    for phase, other in zip(one["phases"][:3], two["phases"][:3], strict=True):
        assert other["seconds"] == pytest.approx(phase["seconds"] / 2)
    # Texts of a model that runs here are dealt to all machines.
    both = elsewhere(planned([60.0], here=10**9), fleet("2x2cpu"), 0, 2)
    assert both["phases"][0]["seconds"] == 20


def test_what_is_unknown_stays_unknown() -> None:
    cells = planned([5.0, 5.0])
    cells["students"][1]["train_seconds"] = None
    found = elsewhere(cells, fleet("8xH100", hourly=2), 10, 2)
    assert (found["seconds"], found["machine_dollars"], found["bottleneck"]) == (None, None, None)
    marked = planned([5.0], tokens_in=0, tokens_out=0, here=1)
    marked["texts"][0]["seconds"] = None
    assert elsewhere(marked, fleet("8xH100"), 10, 2)["seconds"] is None
    marked["texts"][0]["prompts"] = 0
    assert elsewhere(marked, fleet("8xH100"), 10, 2)["seconds"] is not None


def test_a_cell_that_does_not_fit_is_told() -> None:
    assert elsewhere(planned([5.0]), fleet("L4"), 10, 2)["cells_on_a_device"] == 0
    assert elsewhere(planned([5.0]), fleet("H100"), 10, 2)["cells_on_a_device"] == 2


def test_arithmetic_bandwidth_or_kernels_decide() -> None:
    device = ACCELERATORS["H100"]
    large = Size(8 * 10**9, 0, layers=32)
    assert seconds_to_read(large, 1000, device, 0.5) == pytest.approx(2 * 8e9 * 1000 / (989e12 * 0.5))
    # One row waits for the weights, a thousand rows for the arithmetic; a small model's kernels for each other.
    assert seconds_to_write(large, 10, 1, device, 0.5) == pytest.approx(10 * 16e9 / (3.35e12 * 0.5))
    assert seconds_to_write(large, 10, 1000, device, 0.5) == pytest.approx(10 * 16e9 / (989e12 * 0.5))
    small = Size(10**7, 0, layers=30)
    assert seconds_to_write(small, 10, 1, device, 0.5) == pytest.approx(10 * 30 * 25 * 5e-6)


def file(root: Path, **changes: Any) -> Path:
    return recipe(
        root,
        task={"use": "everyday", "limit": {"train": 12, "dev": 2, "test": 4}},
        **{"generate": [], "methods": ["finetune"], "evaluate": {"zero_shot": False}, **changes},
    )


def test_an_accelerator_is_counted_and_nothing_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shrinklm.run.plan.students.tried", None)
    run = Run(Recipe.read(file(tmp_path)))
    slow, fast = (plan_run(run, on=fleet("2xH100", efficiency=share)) for share in (0.01, 0.02))
    [row], [other] = slow["students"], fast["students"]
    assert 0 < other["train_seconds"] <= row["train_seconds"]
    assert 0 < other["evaluate_seconds"] < row["evaluate_seconds"]
    assert "for one H100 (a table) at 1% of its peak" in row["sources"][0]
    student = open_student(run.recipe.student[0].spec(1024), tmp_path)
    size = size_of(student)
    assert size.head == student.model.get_input_embeddings().weight.numel()
    assert size.body + size.head == student.parameters_total  # tied: the embeddings are the projection
    assert size.layers == 2


def test_the_command_says_where_figures_come_from(tmp_path: Path) -> None:
    path = file(tmp_path)
    said = call("plan", path, "--on", "4xH100", "--hourly", "2.5").stdout
    assert "On 4xH100: 4 devices, H100" in said
    assert "from its data sheet; 35% of that is reached (assumed" in re.sub(r"\s+", " ", said)
    assert "3 of the devices have no cell to train" in said
    found = json.loads(call("plan", path, "--on", "4xH100", "--hourly", "2.5", "--json").stdout)["elsewhere"]
    assert found["machine_dollars"] == pytest.approx(found["device_hours"] * 2.5)
    assert "Add, for example: --on 8xH100" in call("plan", path, "--hourly", "2").output


def test_the_benchmark_plans_and_measures(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import time

    import torch

    monkeypatch.setattr(time, "perf_counter", time.perf_counter)  # which the benchmark replaces
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)  # of the whole process, other tests included
    monkeypatch.setattr(sys, "argv", ["plan", "--examples", "16", "--test", "3"])
    benchmark("plan").main()
    out = capsys.readouterr().out
    assert re.search(r"^training: planned [\d.]+ s, measured [\d.]+ s of CPU: [+-]\d+ %$", out, re.MULTILINE), out
