"""Training: the loss, exposure, seeds, resuming, early stopping, divergence, and what the log says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from shrinklm.core.errors import MethodError, StudentError
from shrinklm.core.types import Example, Pair
from shrinklm.methods.corpus import Corpus
from shrinklm.methods.spec import method
from shrinklm.methods.view import Draw, Generations, Method, View
from shrinklm.students.training.checkpoints import last_checkpoint
from shrinklm.students.training.lessons import Lessons
from shrinklm.students.training.limit import Limit
from shrinklm.students.training.passes import Pass, Steps
from shrinklm.students.training.train import Fit, discard_checkpoints, train_student
from student_cases import corpus, fitted, fresh, generation, many, opened, pairs, taught, train_settings

FAMILIES = ["tiny", "tiny:seq2seq"]
ALL = "multitask+counterfactual"


class Killed(Exception):
    """Stands in for a kill."""


def log(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]


def steps(folder: Path) -> list[dict[str, Any]]:
    """The lines of the log without what depends on the clock."""
    return [{name: value for name, value in line.items() if name != "seconds"} for line in log(folder)]


def one_pass(lessons: Lessons) -> Pass:
    """All lessons as one pass of one step."""
    (only,) = Steps(lessons, len(lessons), Limit(len(lessons), 0))[0].passes
    return only


def same(one: Any, other: Any) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def dies_after(step: int) -> Callable[[str, int, int, str], None]:
    def tick(what: str, done: int, total: int, note: str) -> None:
        if done == step:
            raise Killed

    return tick


# Seeds


@pytest.mark.parametrize("spec", FAMILIES)
def test_defect_20_the_same_seed_gives_the_same_weights_and_another_others(spec: str, tmp_path: Path) -> None:
    one, _ = fitted(tmp_path / "a", spec=spec, examples=12)
    two, _ = fitted(tmp_path / "b", spec=spec, examples=12)
    other, _ = fitted(tmp_path / "c", spec=spec, examples=12, seed=1)
    assert same(one, two)
    assert not same(one, other)
    assert steps(tmp_path / "a") == steps(tmp_path / "b")


def test_defect_20_the_seed_reaches_the_first_weights_and_not_the_data_alone(tmp_path: Path) -> None:
    drawn = []

    def drawing() -> Any:
        student = opened()
        drawn.append(next(student.parameters()).detach().clone())
        return student

    for seed in (0, 1, 1):
        settings = train_settings(examples=4, batch=4, checkpoints=0, curve=0, seed=seed)
        train_student(drawing, corpus(4), method("finetune"), settings, tmp_path / str(len(drawn)))
    assert torch.equal(drawn[1], drawn[2])
    assert not torch.equal(drawn[0], drawn[1])


def test_defect_17_views_are_summed_in_the_order_of_the_method(tmp_path: Path) -> None:
    views = method(ALL).views
    for _ in range(3):
        lessons = Lessons(fresh(), corpus(6), method(ALL), 6)
        assert one_pass(lessons).view.tolist() == list(range(len(views))) * 6
        assert [lesson.views for lesson in lessons.items] == [("predict", "explain", "factual", "counterfactual")] * 6
    fitted(tmp_path)
    assert [name for name in log(tmp_path)[0] if name.startswith("loss/")] == [f"loss/{view.name}" for view in views]


# The loss


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0), (0.25, 0.75), (2.0, 3.0)])
@pytest.mark.parametrize("spec", FAMILIES)
def test_defect_19_weights_mean_the_same_for_both_families(
    spec: str, weights: tuple[float, float], tmp_path: Path
) -> None:
    base = method("counterfactual")
    asked = Method("w", dict(zip(base.views, weights, strict=True)), base.answer, base.explain)
    settings = train_settings(
        examples=4, batch=4, micro_batch=2, learning_rate=1e-3, precision="fp32", checkpoints=0, curve=0, clip=1e9
    )
    found = corpus(4)
    before = fresh(spec)
    train_student(lambda: sober(spec), found, asked, settings, tmp_path)
    (line,) = log(tmp_path)
    shown = [item for index in range(4) for item in found.pairs(asked, index, 0)]
    losses = before.loss([item.pair for item in shown])
    means = [losses[[place for place, item in enumerate(shown) if item.view is view]].mean() for view in asked.views]
    loss = sum(weight * mean for weight, mean in zip(weights, means, strict=True))
    loss.backward()  # type: ignore[union-attr]
    assert line["loss"] == pytest.approx(loss.item(), abs=1e-5)  # type: ignore[union-attr]
    assert [line[f"loss/{view.name}"] for view in asked.views] == pytest.approx(
        [mean.item() for mean in means], abs=1e-5
    )
    norm = torch.stack([weight.grad.norm() for weight in before.parameters() if weight.grad is not None]).norm()
    assert line["grad_norm"] == pytest.approx(float(norm), rel=1e-4)


def sober(spec: str) -> Any:
    """A student without dropout, which would blur a comparison."""
    student = fresh(spec)
    for module in student.modules():
        for name in ("dropout", "p"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return student


def test_defect_18_the_logged_loss_of_a_view_is_the_mean_of_its_pairs(tmp_path: Path) -> None:
    fitted(tmp_path, "multitask", examples=8)
    found, asked = corpus(10), method("multitask")
    lessons = Lessons(fresh(), found, asked, 8)
    shown = [item for lesson in lessons.items for item in found.pairs(asked, lesson.index, lesson.epoch)]
    each = [fresh().loss([item.pair]).item() for item in shown if item.view.name == "explain"]
    assert log(tmp_path)[0]["loss/explain"] == pytest.approx(sum(each) / len(each), abs=1e-5)


def test_defect_21_the_micro_batch_changes_nothing(tmp_path: Path) -> None:
    two, fit_two = fitted(tmp_path / "2", micro_batch=2, examples=21)  # the last step is not full
    eight, fit_eight = fitted(tmp_path / "8", micro_batch=8, examples=21)
    for one, other in zip(log(tmp_path / "2"), log(tmp_path / "8"), strict=True):
        assert {name for name in one if name.startswith("loss/")} == {f"loss/{view.name}" for view in method(ALL).views}
        for name in one.keys() - {"seconds", "tokens", "grad_norm"}:
            assert one[name] == pytest.approx(other[name], abs=1e-5), name
        assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-3)
        assert one["tokens"] == other["tokens"]
    assert (fit_two.micro_batch, fit_eight.micro_batch) == (2, 8)
    assert exposure(fit_two) == exposure(fit_eight)
    for a, b in zip(two.parameters(), eight.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=0)


def exposure(fit: Fit) -> tuple[Any, ...]:
    return fit.examples_seen, fit.batch, fit.steps, fit.tokens_seen, dict(fit.pairs)


def test_defect_21_memory_halves_the_micro_batch_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shrinklm.students.causal import CausalStudent

    plain, fit = fitted(tmp_path / "plain", micro_batch=2)
    whole = CausalStudent.forward

    def small(self: Any, batch: dict[str, Any]) -> Any:
        if int(batch["view" if "view" in batch else "pairs"]) > 8:  # more than two examples of four pairs
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(self, batch)

    monkeypatch.setattr(CausalStudent, "forward", small)
    said: list[tuple[str, int, int, str]] = []
    student, halved = fitted(tmp_path / "small", micro_batch=8, tick=lambda *tick: said.append(tick))
    remarks = [note for what, _, _, note in said if what == "out of memory"]
    assert remarks == [
        f"micro-batch halved to {size}, accumulation {8 // size}: same effective batch" for size in (4, 2)
    ]
    assert same(student, plain)
    assert (halved.micro_batch, exposure(halved)) == (2, exposure(fit))
    assert steps(tmp_path / "small") == steps(tmp_path / "plain")
    discard_checkpoints(tmp_path / "small")
    assert [path.name for path in (tmp_path / "small").iterdir()] == ["train.jsonl"]


@pytest.mark.parametrize("spec", FAMILIES)
def test_where_one_example_is_too_much_its_layers_are_computed_again(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shrinklm.students.base import BaseStudent

    common = {"spec": spec, "examples": 8, "micro_batch": 1}
    plain, _ = fitted(tmp_path / "plain", **common)
    whole, calls = BaseStudent.forward, []

    def small(self: Any, batch: dict[str, Any]) -> Any:
        calls.append(self.model.is_activation_checkpointing)
        if self.training and not calls[-1]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(self, batch)

    monkeypatch.setattr(BaseStudent, "forward", small)
    said: list[str] = []
    student, _ = fitted(tmp_path / "small", tick=lambda *tick: said.append(tick[3]), **common)
    assert said[0].startswith("layers are computed once more in the backward pass")
    assert calls[-1]
    assert (tmp_path / "small" / "micro_batch").read_text() == "1 again"
    for one, other in zip(plain.parameters(), student.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


def test_out_of_memory_with_one_example_says_what_to_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shrinklm.students.causal import CausalStudent

    def never(self: Any, batch: Any) -> Any:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(CausalStudent, "forward", never)
    with pytest.raises(
        StudentError, match=r"Out of memory with a single example .* Use a smaller student, `lora`, or a shorter"
    ):
        fitted(tmp_path)


def test_other_errors_are_not_taken_for_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shrinklm.students.causal import CausalStudent

    def broken(self: Any, batch: Any) -> Any:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(CausalStudent, "forward", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        fitted(tmp_path)


# Exposure


@pytest.mark.parametrize(
    "name", ["finetune", "multitask", "counterfactual", ALL, "explain-then-answer:revised", "shuffled-explanation"]
)
def test_defect_21_every_method_sees_as_many_examples(name: str, tmp_path: Path) -> None:
    _, fit = fitted(tmp_path, name, examples=19)
    assert (fit.examples_seen, fit.batch, fit.steps) == (19, 8, 3)
    assert fit.pairs == {view.name: 19 for view in method(name).views}
    assert fit.unbuilt == {}
    assert [line["examples"] for line in log(tmp_path)] == [8, 16, 19]


def test_defect_22_every_seed_takes_the_same_steps(tmp_path: Path) -> None:
    fits = [fitted(tmp_path / str(seed), "finetune", seed=seed)[1] for seed in range(3)]
    assert {(fit.steps, fit.examples_seen, fit.batch) for fit in fits} == {(3, 20, 8)}


def test_examples_that_cannot_be_shown_make_room_for_others(tmp_path: Path) -> None:
    examples = many(8)
    said = {example.id: taught(example) for example in examples}
    slot = ("explanation", examples[0].answer)
    said["q0"] = {**said["q0"], slot: generation(examples[0], *slot, "very long " * 300)}
    del said["q1"]
    lessons = Lessons(fresh(max_length=120), Corpus(examples, said), method("explain-then-answer"), 13)
    assert len(lessons) == 13
    assert {lesson.index for lesson in lessons.items} == {2, 3, 4, 5, 6, 7}
    assert [lesson.epoch for lesson in lessons.items] == [0] * 6 + [1] * 6 + [2]
    assert set(lessons.unbuilt) == {("factual", "longer than 120 tokens")}
    both = Lessons(fresh(max_length=120), Corpus(examples, said), method("multitask"), 8)
    assert both.pairs(8) == {"predict": 8, "explain": 6}
    assert both.unbuilt == {("explain", "longer than 120 tokens"): 1, ("explain", "no explanation"): 1}


def test_defect_16_when_nothing_fits_it_is_said() -> None:
    with pytest.raises(
        MethodError, match=r"Method 'multitask': no pair fits into 8 tokens\. Raise `train: {max_length: \.\.\.}`"
    ):
        Lessons(fresh(max_length=8), corpus(3), method("multitask"), 10)


@pytest.mark.parametrize(("limit", "also"), [(120, ""), (60, " For those that are too long raise")])
def test_a_view_that_says_nothing_in_an_epoch_is_not_called_too_long(limit: int, also: str) -> None:
    def build(view: View, example: Example, generations: Generations, draw: Draw) -> Pair | str:
        if draw.epoch == 0:
            return Pair("q", "a")
        return Pair("q", "very long " * 40) if also and example.id == "q0" else "has said it all"

    view = View("fleeting", build)
    once = Method("once", {view: 1.0}, view, None)
    told = rf"Method 'once': no pair could be built in epoch 2: 'fleeting': has said it all \({2 if also else 3}\)"
    with pytest.raises(MethodError, match=rf"{told}.*{also}"):
        Lessons(fresh(max_length=limit), corpus(3), once, 10)


def test_missing_generations_are_named(tmp_path: Path) -> None:
    found = Corpus(many(4), {})
    with pytest.raises(
        MethodError, match=r"needs 'explanation', 'counterfactual' generations\. view 'counterfactual': 4 of 4 examples"
    ):
        train_student(fresh, found, method(ALL), train_settings(), tmp_path)


@pytest.mark.parametrize("spec", FAMILIES)
def test_tokens_seen_are_real_tokens(spec: str, tmp_path: Path) -> None:
    student, fit = fitted(tmp_path, spec=spec, examples=8, batch=8, micro_batch=8)
    lessons = Lessons(student, corpus(10), method(ALL), 8)
    batch = one_pass(lessons).batch
    real = (
        (batch["segment"] > 0).sum()
        if "segment" in batch
        else batch["attention_mask"].sum() + (batch["labels"] != -100).sum()
    )
    assert fit.tokens_seen == int(real)
    assert fit.tokens_seen < batch["input_ids"].numel() + batch["labels"].numel()
    assert log(tmp_path)[-1]["tokens"] == fit.tokens_seen


# The log


def test_defect_25_every_step_is_logged_whatever_is_switched_off(tmp_path: Path) -> None:
    fitted(tmp_path, checkpoints=0, curve=0)
    lines = log(tmp_path)
    assert [line["step"] for line in lines] == [1, 2, 3]
    for line in lines:
        parts = {f"loss/{view.name}" for view in method(ALL).views}
        assert line.keys() == {"step", "examples", "loss", "learning_rate", "grad_norm", "seconds", "tokens"} | parts
        assert line["loss"] == pytest.approx(sum(0.25 * line[f"loss/{view.name}"] for view in method(ALL).views))
    assert lines[0]["learning_rate"] > lines[1]["learning_rate"] > lines[2]["learning_rate"] > 0
    assert last_checkpoint(tmp_path / "checkpoints") == (0, None)


def test_training_learns_and_tells_how_it_goes(tmp_path: Path) -> None:
    said: list[tuple[str, int, int, str]] = []
    fitted(tmp_path, "finetune", count=4, examples=160, learning_rate=1e-2, tick=lambda *tick: said.append(tick))
    lines = log(tmp_path)
    assert lines[-1]["loss"] < 0.2 * lines[0]["loss"]
    assert [(what, done, total) for what, done, total, _ in said] == [("train", step, 20) for step in range(1, 21)]
    assert said[-1][3] == f"loss {lines[-1]['loss']:.3f} predict {lines[-1]['loss/predict']:.3f}"


def test_bfloat16_trains(tmp_path: Path) -> None:
    student, fit = fitted(tmp_path / "16", precision="bf16", count=4, examples=48, learning_rate=8e-3)
    fitted(tmp_path / "32", count=4, examples=8, learning_rate=8e-3)
    assert {weight.dtype for weight in student.parameters()} == {torch.float32}
    assert log(tmp_path / "16")[-1]["loss"] < 0.7 * log(tmp_path / "16")[0]["loss"]
    assert log(tmp_path / "16")[0]["loss"] == pytest.approx(log(tmp_path / "32")[0]["loss"], rel=0.01)
    assert log(tmp_path / "16")[0]["loss"] != log(tmp_path / "32")[0]["loss"]
    assert not fit.diverged


def test_only_adapters_change(tmp_path: Path) -> None:
    settings = train_settings(examples=8, batch=8, checkpoints=1)
    student, _ = train_student(lambda: opened(lora=4), corpus(6), method("finetune"), settings, tmp_path)
    (place,) = (tmp_path / "checkpoints").iterdir()
    from safetensors.torch import load_file

    saved = load_file(place / "trained.safetensors")
    assert saved
    assert all("lora_" in name for name in saved)
    plain = dict(fresh().model.named_parameters())
    frozen = {name: weight for name, weight in student.named_parameters() if not weight.requires_grad}
    for name, weight in frozen.items():
        assert torch.equal(weight, plain[name.removeprefix("model.base_model.model.").replace(".base_layer", "")])


def test_defect_24_a_diverged_run_is_kept_and_marked(tmp_path: Path) -> None:
    student, fit = fitted(tmp_path, "finetune", examples=400, learning_rate=1e30, clip=1e30, checkpoints=2)
    assert fit.diverged
    assert fit.steps < 50
    assert fit.examples_seen == fit.steps * 8
    lines = log(tmp_path)
    assert None in lines[-1].values()
    assert [line["step"] for line in lines] == list(range(1, fit.steps + 1))
    student.save(tmp_path / "student")
    assert "NaN" not in (tmp_path / "train.jsonl").read_text()
    _, again = fitted(tmp_path, "finetune", examples=400, learning_rate=1e30, clip=1e30, checkpoints=2)
    assert (again.diverged, again.steps) == (True, fit.steps)


def test_defect_24_a_loss_far_above_guessing_is_marked_too(tmp_path: Path) -> None:
    _, fit = fitted(tmp_path, "finetune", examples=160, learning_rate=3.0, warmup=0.0, clip=1e9)
    assert log(tmp_path)[-1]["loss"] > 2 * 7.6
    assert fit.diverged
    assert fit.examples_seen == 160


# Resuming


@pytest.mark.parametrize("spec", FAMILIES)  # the seq2seq student has dropout: its generator's state must come back too
def test_an_interrupted_training_ends_with_the_same_weights(spec: str, tmp_path: Path) -> None:
    common = {"spec": spec, "examples": 40, "checkpoints": 2}
    whole, fit = fitted(tmp_path / "whole", **common)
    with pytest.raises(Killed):
        fitted(tmp_path / "cut", tick=dies_after(4), **common)
    assert [path.name for path in (tmp_path / "cut" / "checkpoints").iterdir()] == ["checkpoint-3"]
    said: list[int] = []
    cut, again = fitted(tmp_path / "cut", tick=lambda what, done, total, note: said.append(done), **common)
    assert said == [4, 5]
    assert same(whole, cut)
    assert steps(tmp_path / "cut") == steps(tmp_path / "whole")
    assert [line["step"] for line in log(tmp_path / "cut")] == [1, 2, 3, 4, 5]
    assert exposure(again) == exposure(fit)
    seconds = [line["seconds"] for line in log(tmp_path / "cut")]
    assert seconds == sorted(seconds)


def test_a_training_that_was_killed_at_its_end_only_comes_back(tmp_path: Path) -> None:
    common = {"examples": 16, "checkpoints": 1}
    whole, fit = fitted(tmp_path, **common)
    before = (tmp_path / "train.jsonl").read_bytes()
    said: list[int] = []
    again, fit_again = fitted(tmp_path, tick=lambda what, done, total, note: said.append(done), **common)
    assert said == []
    assert same(whole, again)
    assert exposure(fit_again) == exposure(fit)
    assert (tmp_path / "train.jsonl").read_bytes() == before


def test_a_torn_checkpoint_is_passed_over(tmp_path: Path) -> None:
    common = {"examples": 40, "checkpoints": 5}
    whole, _ = fitted(tmp_path / "whole", **common)
    with pytest.raises(Killed):
        fitted(tmp_path / "cut", tick=dies_after(4), **common)
    places = tmp_path / "cut" / "checkpoints"
    torn = places / "checkpoint-4"
    torn.mkdir()
    (torn / "trained.safetensors").write_bytes(b"torn")
    (torn / "state.json").write_text('{"st')
    with (tmp_path / "cut" / "train.jsonl").open("a") as file:
        file.write('{"step": 5, "exam')
    assert last_checkpoint(places) == (3, places / "checkpoint-3")
    assert not torn.exists()
    cut, _ = fitted(tmp_path / "cut", **common)
    assert same(whole, cut)
    assert steps(tmp_path / "cut") == steps(tmp_path / "whole")


def test_memory_may_change_between_a_kill_and_its_resumption(tmp_path: Path) -> None:
    common = {"examples": 40, "checkpoints": 2}
    whole, fit = fitted(tmp_path / "whole", micro_batch=8, **common)
    with pytest.raises(Killed):
        fitted(tmp_path / "cut", micro_batch=8, tick=dies_after(4), **common)
    (tmp_path / "cut" / "micro_batch").write_text("2")
    cut, again = fitted(tmp_path / "cut", micro_batch=8, **common)
    assert again.micro_batch == 2
    assert exposure(again) == exposure(fit)
    for a, b in zip(whole.parameters(), cut.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=0)


def test_no_checkpoints_start_again_from_the_beginning(tmp_path: Path) -> None:
    whole, _ = fitted(tmp_path / "whole")
    with pytest.raises(Killed):
        fitted(tmp_path / "cut", tick=dies_after(2))
    cut, _ = fitted(tmp_path / "cut")
    assert same(whole, cut)
    assert [line["step"] for line in log(tmp_path / "cut")] == [1, 2, 3]


# Dev


class Dev:
    """Dev accuracies by rote; remembers at what weights it was asked."""

    def __init__(self, *values: float) -> None:
        self.values = list(values)
        self.seen: list[list[torch.Tensor]] = []

    def __call__(self, student: Any) -> Mapping[str, float]:
        assert not student.training
        self.seen.append([weight.detach().clone() for weight in student.parameters()])
        return {"dev_accuracy": self.values[len(self.seen) - 1], "dev_n": 10}


@pytest.mark.parametrize(("curve", "at"), [(1, [5]), (2, [3, 5]), (4, [2, 4, 5]), (9, [1, 2, 3, 4, 5]), (0, [])])
def test_the_curve_is_measured_on_the_way_and_at_the_end(curve: int, at: list[int], tmp_path: Path) -> None:
    fitted(tmp_path, examples=40, curve=curve, measure=Dev(*[0.5] * 9))
    lines = [line for line in log(tmp_path) if "dev_accuracy" in line]
    assert [line["step"] for line in lines] == at
    assert all((line["examples"], line["dev_n"]) == (8 * line["step"], 10) for line in lines)
    assert [line["step"] for line in log(tmp_path) if "loss" in line] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("spec", FAMILIES)
def test_measuring_changes_no_weight(spec: str, tmp_path: Path) -> None:
    def asks(student: Any) -> dict[str, float]:
        student.answer([pair.prompt for pair in pairs()], 3)
        return {"dev_accuracy": 0.0, "dev_n": 1}

    one, _ = fitted(tmp_path / "a", spec=spec, curve=3, checkpoints=3, measure=asks)
    two, _ = fitted(tmp_path / "b", spec=spec)
    assert same(one, two)


def test_early_stopping_keeps_the_best(tmp_path: Path) -> None:
    dev = Dev(0.3, 0.5, 0.5, 0.4, 0.9)
    student, fit = fitted(tmp_path, examples=80, checkpoints=10, early_stopping=2, measure=dev)
    assert fit.steps == 4
    assert fit.examples_seen == 32
    assert fit.pairs == {view.name: 32 for view in method(ALL).views}
    assert len(dev.seen) == 4
    assert all(torch.equal(a, b) for a, b in zip(student.parameters(), dev.seen[1], strict=True))
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["checkpoint-2", "checkpoint-4"]


def test_early_stopping_goes_on_after_a_kill_as_if_nothing_had_been(tmp_path: Path) -> None:
    values = (0.3, 0.5, 0.4, 0.45, 0.2, 0.9)
    common = {"examples": 80, "checkpoints": 10, "early_stopping": 3}
    whole, fit = fitted(tmp_path / "whole", measure=Dev(*values), **common)
    with pytest.raises(Killed):
        fitted(tmp_path / "cut", measure=Dev(*values), tick=dies_after(5), **common)
    cut, again = fitted(tmp_path / "cut", measure=Dev(*values[4:]), **common)
    assert same(whole, cut)
    assert steps(tmp_path / "cut") == steps(tmp_path / "whole")
    assert exposure(again) == exposure(fit)
    ended, once_more = fitted(tmp_path / "cut", measure=Dev(), **common)  # killed after its last checkpoint
    assert same(ended, whole)
    assert exposure(once_more) == exposure(fit)


def test_early_stopping_that_never_stops_keeps_the_best_too(tmp_path: Path) -> None:
    dev = Dev(0.1, 0.9, 0.2, 0.3)
    student, fit = fitted(tmp_path, examples=32, checkpoints=4, early_stopping=9, measure=dev)
    assert fit.steps == 4
    assert all(torch.equal(a, b) for a, b in zip(student.parameters(), dev.seen[1], strict=True))


@pytest.mark.parametrize("lacking", [{"measure": None}, {"checkpoints": 0}])
def test_early_stopping_needs_something_to_go_by(lacking: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(
        StudentError, match=r"`early_stopping` goes by dev accuracy at checkpoints\. Give the task a `dev` split"
    ):
        fitted(tmp_path, **{"early_stopping": 1, "checkpoints": 2, "measure": Dev(0.1), **lacking})
