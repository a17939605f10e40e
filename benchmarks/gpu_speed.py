"""Parts of `gpu.py`: how fast training, evaluation and decoding are."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import training
from gpu_kit import Kit, opened, seconds, taught, trainer, waited

from shrinklm.core.types import Example
from shrinklm.methods.builtin import EXPLAIN, PREDICT
from shrinklm.models.decode import below_lora
from shrinklm.students import projection as parts
from shrinklm.students.likeliest import choice_pairs, likeliest_options
from shrinklm.students.open import ready_to_answer
from shrinklm.students.training.ahead import ahead
from shrinklm.students.training.trainer import Trainer

PEAK = 989e12
"""Dense bfloat16 operations a second of an H100 (SXM), by its data sheet."""
NAMES = ("multitask", "multitask+counterfactual")
_WARM = 4
"""Steps that are not timed."""


@cache
def operations(model: str) -> tuple[float, float]:
    """(operations a token of the layers, a scored token of the projection), forward and backward; no attention."""
    layers, head, _ = training.flops(model)
    return layers, head


def made(kit: Kit, name: str, batch: int, tokens: int) -> Trainer:
    """A training long enough to be timed."""
    count = batch * (_WARM + (2 if kit.dry else 40))
    return trainer(opened(kit.model), taught(min(count, 9000)), name, kit.work / "speed", batch, tokens, count)


def rate(kit: Kit, run: Trainer, most: float) -> dict[str, float]:
    """Examples and tokens a second of a training's steps, for `most` seconds at most."""
    if kit.gpu:
        torch.cuda.reset_peak_memory_stats()
    seen = read = scored = passes = 0
    started = 0.0
    for number, step in enumerate(ahead(run.steps, 0, kit.device)):
        if number == _WARM:
            started = waited(kit.device)
        if number >= _WARM:
            read, passes, seen = read + step.tokens, passes + len(step.passes), seen + run.plan.batch
            scored += sum(len(each.batch["scored"]) for each in step.passes)
        run._one(step, 1e-5)
        run.step += 1
        if number > _WARM and time.perf_counter() - started > most:
            break
    spent = waited(kit.device) - started
    layers, head = operations(kit.model)
    return {
        "examples_per_second": seen / spent,
        "tokens_per_second": read / spent,
        "flops_share": (read * layers + scored * head) / spent / PEAK,
        "tokens_per_example": read / seen,
        "scored_per_example": scored / seen,
        "passes_per_step": passes * run.plan.batch / seen,
        "steps": seen / run.plan.batch,
        "peak_memory": torch.cuda.max_memory_allocated() / 2**30 if kit.gpu else 0.0,
    }


def steps(kit: Kit) -> None:
    """Training: methods, batches and passes."""
    for batch, tokens in ((4, 512),) if kit.dry else ((32, 16_384), (128, 65_536), (128, 16_384), (32, 65_536)):
        for name in NAMES[:1] if kit.dry else NAMES:
            if kit.left() < 5:
                kit.write(cut=f"{name}, batch {batch}, {tokens} tokens")
                return
            kit.tried(
                lambda name=name, batch=batch, tokens=tokens: rate(kit, made(kit, name, batch, tokens), 4.0),
                method=name,
                batch=batch,
                pass_tokens=tokens,
            )


def beside(kit: Kit) -> None:
    """transformers' Trainer: one padded forward a view, autocast."""
    for batch in (4,) if kit.dry else (32, 128):
        for name in NAMES[:1] if kit.dry else NAMES:
            if kit.left() < 8:
                kit.write(cut=f"{name}, batch {batch}")
                return
            kit.tried(lambda name=name, batch=batch: their(kit, name, batch), method=name, batch=batch)


def their(kit: Kit, name: str, batch: int) -> dict[str, float]:
    training.BATCH = batch
    if kit.gpu:
        torch.cuda.reset_peak_memory_stats()
    found = training.trainer(kit.model, name, batch * (3 if kit.dry else 16))
    peak = torch.cuda.max_memory_allocated() / 2**30 if kit.gpu else 0.0
    return {"examples_per_second": found.wall, "peak_memory": peak}


def profiled(kit: Kit) -> None:
    """Where the time of some steps goes: profile.txt."""
    run = made(kit, NAMES[-1], 4 if kit.dry else 32, 16_384)
    kinds = [torch.profiler.ProfilerActivity.CPU, *([torch.profiler.ProfilerActivity.CUDA] if kit.gpu else [])]
    steps = iter(ahead(run.steps, 0, kit.device))
    for _ in range(_WARM):
        run._one(next(steps), 1e-5)
    waited(kit.device)
    with torch.profiler.profile(activities=kinds) as profile:
        for _ in range(1 if kit.dry else 5):
            run._one(next(steps), 1e-5)
        waited(kit.device)
    found = profile.key_averages()
    order = ("self_cuda_time_total", "self_cpu_time_total") if kit.gpu else ("self_cpu_time_total",)
    tables = [found.table(sort_by=key, row_limit=40, max_name_column_width=90) for key in order]
    (kit.out / "profile.txt").write_text("\n\n".join(tables))
    kit.write(kept="profile.txt", rows=len(found))


def projection(kit: Kit) -> None:
    """How many logits are held at once: more are made in parts, and again in the backward pass."""
    batch, tokens = (4, 512) if kit.dry else (32, 16_384)
    for most in (1 << 16,) if kit.dry else (1 << 28, 1 << 30):
        with mock.patch.object(parts, "MOST", most):
            kit.tried(lambda: rate(kit, made(kit, NAMES[-1], batch, tokens), 4.0), most=most, batch=batch)


def compiled(kit: Kit) -> None:
    """torch.compile of the model that computes, in several cuts."""
    batch, tokens = (4, 512) if kit.dry else (32, 16_384)
    options: dict[str, Any] = {"backend": "eager"} if kit.dry else {}

    def decoder(model: Any) -> None:
        below_lora(model).get_decoder().compile(**options)

    def moving(model: Any) -> None:
        below_lora(model).get_decoder().compile(dynamic=True, **options)

    def layers(model: Any) -> None:
        for layer in below_lora(model).get_decoder().layers:
            layer.compile(dynamic=True, **options)

    ways: dict[str, Callable[[Any], None]] = {"layers, dynamic": layers, "decoder, dynamic": moving, "decoder": decoder}
    for way, change in list(ways.items())[: 1 if kit.dry else None]:
        if kit.left() < 15:
            kit.write(cut=way)
            return

        def work(change: Callable[[Any], None] = change) -> dict[str, float]:
            run = made(kit, NAMES[-1], batch, tokens)
            change((run._half.student if run._half is not None else run.student).model)
            whole, found = seconds(kit.device, partial(rate, kit, run, 4.0))
            return {"with_compilation": whole, **found}

        kit.tried(work, way=way, batch=batch, pass_tokens=tokens)
        torch.compiler.reset()


def likelihood(kit: Kit) -> None:
    """The likeliest option of each question, against one padded forward an option."""
    examples = training.corpus(12 if kit.dry else 1221).examples
    student = ready_to_answer(opened(kit.model))
    student.likelihood([pair for example in examples[:32] for pair in choice_pairs(PREDICT, example, "")])
    said = [""] * len(examples)
    for batch in (4,) if kit.dry else (32, 256):
        ours = partial(likeliest_options, student, PREDICT, examples, said, batch)
        spent, chosen = seconds(kit.device, ours)
        padded, others = seconds(kit.device, partial(padded_options, student, examples, batch))
        same = sum(a == b for a, b in zip(chosen, others, strict=True)) / len(examples)
        kit.write(batch=batch, seconds=spent, padded_seconds=padded, times=padded / spent, same_answers=same)


@torch.inference_mode()
def padded_options(student: Any, examples: list[Example], batch: int) -> list[str]:
    """The option with the highest log-likelihood a character, as it is often written: a row an option."""
    rows = [(index, pair) for index, example in enumerate(examples) for pair in choice_pairs(PREDICT, example, "")]
    values: list[list[tuple[float, str]]] = [[] for _ in examples]
    for start in range(0, len(rows), batch):
        some = rows[start : start + batch]
        tokens = student.tokenized([pair for _, pair in some], False)
        ids = training.filled([each.whole for each in tokens], student.tokenizer.pad_token_id or 0, 0).to(
            student.device
        )
        mask = training.filled([[1] * len(each.whole) for each in tokens], 0, 0).to(student.device)
        log_p = student.model(input_ids=ids, attention_mask=mask, use_cache=False).logits.float().log_softmax(-1)
        log_p = log_p[:, :-1].gather(-1, ids[:, 1:, None])[..., 0].cpu()
        for (index, pair), each, row in zip(some, tokens, log_p, strict=True):
            value = float(row[len(each.prompt) + len(each.given) - 1 : len(each.whole) - 1].sum())
            values[index].append((value / len(pair.option), pair.option))
    return [max(each, key=lambda item: item[0])[1] for each in values]


def decoding(kit: Kit) -> None:
    """Tokens a second of explanations."""
    student = ready_to_answer(opened(kit.model))
    prompts = [EXPLAIN.prompt(example) for example in training.corpus(8 if kit.dry else 512).examples]
    student.answer(prompts[:8], 4, batch=8)
    for batch in (4,) if kit.dry else (32, 128, 512):
        if kit.left() < 3:
            kit.write(cut=f"batch {batch}")
            return
        spent, texts = seconds(kit.device, partial(student.answer, prompts, 6 if kit.dry else 64, batch=batch))
        tokens = sum(student.token_count(text) or 0 for text in texts)
        kit.write(batch=batch, tokens_per_second=tokens / spent, prompts_per_second=len(prompts) / spent)


def at_once(kit: Kit) -> None:
    """Several trainings on one GPU: examples a second of all together."""
    for count in (2,) if kit.dry else (1, 4, 8):
        if kit.left() < 30 and not kit.dry:
            kit.write(cut=f"{count} at once")
            return
        place = kit.work / f"at once {count}"
        place.mkdir(parents=True, exist_ok=True)
        for old in place.iterdir():
            old.unlink()
        jobs = [kit.start("rate", max(1, 16 // count), folder=place, number=number) for number in range(count)]
        while len(list(place.glob("*.ready"))) < count and kit.left() > 0:
            time.sleep(0.02)
        (place / "go").touch()
        for job in jobs:
            job.wait(kit.left())
        rates = [float(path.read_text()) for path in place.glob("*.rate")]
        kit.write(processes=count, method=NAMES[-1], examples_per_second=sum(rates), each=[round(r, 1) for r in rates])


def rate_job(kit: Kit, folder: Path, number: int) -> None:
    """One of the trainings of `at_once`: begins when all are ready."""
    run = made(kit, NAMES[-1], 4 if kit.dry else 32, 16_384)
    (folder / f"{number}.ready").touch()
    while not (folder / "go").exists():
        time.sleep(0.02)
    found = rate(kit, run, 6.0)
    (folder / f"{number}.rate").write_text(str(found["examples_per_second"]))
