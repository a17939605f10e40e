"""Parts of `gpu.py`: whether a GPU computes what a CPU computes, the same each time, without waiting or growing."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import warnings
from collections import Counter
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from gpu_kit import METHODS, Kit, on, opened, settings, taught, trainer
from safetensors.torch import save_file

from shrinklm.core.marking import words
from shrinklm.methods.builtin import EXPLAIN, PREDICT
from shrinklm.methods.corpus import Corpus
from shrinklm.methods.spec import method
from shrinklm.saliency.attribution import AttributionSettings, Question, attribute
from shrinklm.students import masks
from shrinklm.students.base import BaseStudent
from shrinklm.students.likeliest import choice_pairs
from shrinklm.students.open import ready_to_answer
from shrinklm.students.training.ahead import ahead
from shrinklm.students.training.train import train_student

CPU = torch.device("cpu")
SINGLE, HALF, TRAINED = 2e-3, 0.08, 0.2
"""Of the norm of the gradient: how far float32 and bfloat16 may be off, and bfloat16 where weights were trained. On a
CPU bfloat16 is off by 0.006 (tiny) and 0.06 (SmolLM2-135M); a wrong mask by 0.11 and 0.64, which is shown too."""

Grads = dict[str, torch.Tensor]


def gradients(kit: Kit) -> None:
    """Loss and gradients of one step of every method, in float32 and bfloat16, against float32 on the CPU."""
    few = 2 if kit.dry else 4
    known = taught(few)
    models = list(dict.fromkeys(["tiny", *(["tiny:seq2seq"] if kit.wide or not kit.dry else []), kit.model]))
    # Those with most parts first: the rest is cut where time ends.
    order = sorted(METHODS, key=lambda name: -len(method(name).views) - len(method(name).losses))
    if kit.dry and not kit.wide:
        order = order[:1]
    for use in models:
        reference, student = opened(use), opened(use)
        noticed(kit, use, reference, student, known)
        for name in order:
            if kit.left() < 0:
                kit.write(cut=f"{use} {name} and what follows")
                return
            sums, right = one_step(kit, reference, known, name, CPU, False)
            for half, limit in ((False, SINGLE), (True, most(use))):
                values, found = one_step(kit, student, known, name, kit.device, half)
                loss = max(abs(a - b) / max(1e-6, abs(b)) for a, b in zip(values, sums, strict=True))
                precision = "bfloat16" if half else "float32"
                about = {"model": use, "method": name, "precision": precision, "loss_off": loss}
                kit.check("gradient", max(distance(found, right), loss), limit, **about)


def noticed(kit: Kit, use: str, reference: BaseStudent, student: BaseStudent, known: Corpus) -> None:
    """How far the gradient is off where a packed row does not keep its pairs apart."""
    if not student.packs:
        return
    name = "multitask+counterfactual"
    _, right = one_step(kit, reference, known, name, CPU, False)

    def everything(batch: Any) -> torch.Tensor:
        rows, length = batch["segment"].shape
        return torch.ones(rows, 1, length, length, dtype=torch.bool, device=batch["segment"].device).tril()

    with mock.patch.object(masks, "_seen", everything):
        _, wrong = one_step(kit, student, known, name, kit.device, False)
    kit.check("a wrong mask is noticed (negative)", -distance(wrong, right), -most(use), model=use)


def most(use: str) -> float:
    """How far the gradient of a model may be off in bfloat16."""
    return HALF if use.startswith("tiny") else TRAINED


def one_step(
    kit: Kit, student: BaseStudent, known: Corpus, name: str, device: torch.device, half: bool
) -> tuple[list[float], Grads]:
    """(sums of the losses of each view and term, gradient of each weight), on the CPU."""
    count = len(known.examples)
    with on(device):
        made = trainer(student, known, name, kit.work / "step", count, 512, count, half)
    student.eval()
    model = student
    if made._half is not None:
        made._half.student.eval()
        made._half.refresh()
        model = made._half.student
    sums = torch.zeros(len(made._names), device=device)
    step = made.steps[0]
    for part in step.passes:
        loss, parts = made._loss(model, part, step)
        loss.backward()  # type: ignore[no-untyped-call]
        sums += parts
        if made._half is not None:
            made._half.collect()
    grads = {name: weight.grad.float().cpu() for name, weight in student.named_parameters() if weight.grad is not None}
    student.zero_grad()
    return sums.tolist(), grads


def distance(found: Grads, right: Grads) -> float:
    """‖found − right‖ / ‖right‖ over all weights."""
    if found.keys() != right.keys():
        return float("inf")
    off = sum(float((found[name] - right[name]).square().sum()) for name in right)
    return float((off / sum(float(grad.square().sum()) for grad in right.values())) ** 0.5)


def answers(kit: Kit) -> None:
    """Attribution, likelihood and decoding against the CPU, in float32; likelihood in bfloat16 too."""
    known = taught(4 if kit.dry else 24)
    examples = known.examples
    reference, student = opened(kit.model), ready_to_answer(opened(kit.model), None)
    asked = [
        Question(PREDICT.prompt(example), example.answer, words(example), PREDICT.lead) for example in examples[:8]
    ]
    for kind in ("gradient",) if kit.dry else ("gradient", "integrated_gradients"):
        how = AttributionSettings(kind, "l2", "max", 16, 16)  # type: ignore[arg-type]
        a, b = (attribute(model, asked, how) for model in (student, reference))
        pairs = [pair for x, y in zip(a, b, strict=True) for pair in zip(x.scores, y.scores, strict=True)]
        most = max(abs(y) for _, y in pairs)
        kit.check(f"attribution {kind}", max(abs(x - y) for x, y in pairs) / most, 5e-3)
    options = [pair for example in examples for pair in choice_pairs(PREDICT, example, "")]
    right = torch.tensor(reference.likelihood(options))
    kit.check("likelihood float32", float((torch.tensor(student.likelihood(options)) - right).abs().max()), 2e-3)
    prompts = [EXPLAIN.prompt(example) for example in examples]
    cap = 8 if kit.dry else 48
    texts, expected = (model.answer(prompts, cap, batch=8) for model in (student, reference))
    same = sum(a == b for a, b in zip(texts, expected, strict=True))
    # Two tokens may be as likely as rounding is large.
    kit.check("decoding float32, share of other texts", 1 - same / len(prompts), 0.1)
    if kit.gpu:
        halved = ready_to_answer(opened(kit.model))
        off = (torch.tensor(halved.likelihood(options)) - right).abs()
        kit.check("likelihood bfloat16, mean", float(off.mean()), 0.3, most=float(off.max()))


def steps(kit: Kit) -> None:
    """Where a step waits for the GPU, and whether memory grows."""
    batch, count = (4, 6) if kit.dry else (32, 30)
    known = taught(batch * count)
    made = trainer(
        opened(kit.model), known, "multitask+counterfactual:options", kit.work / "steps", batch, 4096, batch * count
    )
    memory, found = [], Counter[str]()
    for number, step in enumerate(ahead(made.steps, 0, kit.device)):
        watched = kit.gpu and number >= 3  # the first steps try the model out and make the moments
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            if watched:
                torch.cuda.set_sync_debug_mode("warn")
            try:
                made._one(step, 1e-4)
            finally:
                if watched:
                    torch.cuda.set_sync_debug_mode("default")
            made.step += 1
        found.update(f"{each.filename}:{each.lineno}" for each in said if "synchroniz" in str(each.message))
        memory.append(torch.cuda.memory_allocated() if kit.gpu else 0)
    if not kit.gpu:
        kit.write(note="no GPU: nothing waits and no memory is counted", steps=len(memory))
        return
    kit.check("waits inside a step", float(sum(found.values())), 0.0, where=dict(found.most_common(12)))
    early, late = max(memory[3 : len(memory) // 2]), max(memory[len(memory) // 2 :])
    kit.check("memory grows", late / early - 1, 0.02, bytes=memory[3::3])


def repeated(kit: Kit) -> None:
    """Two trainings, and one that was killed and resumed, end with the same bytes."""
    folders = [kit.work / name for name in ("once", "twice", "killed")]
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    jobs = [kit.start("train", 4, folder=folder) for folder in folders[:2]]
    jobs.append(kit.start("train", 4, folder=folders[2], die_after=_die(kit)))
    status = [job.wait(kit.left()) for job in jobs]
    kit.write(ended=status, killed_with="SIGKILL")
    status = [kit.start("train", 4, folder=folders[2]).wait(kit.left())]
    kit.write(resumed=status)
    same = [compared(kit, folders[0], other) for other in folders[1:]]
    if not all(same) and kit.gpu:
        # torch's own switch: memory-efficient attention splits its keys by chance only without it.
        kit.write(note="again with torch.use_deterministic_algorithms(True), CUBLAS_WORKSPACE_CONFIG=:4096:8")
        folders = [kit.work / name for name in ("fixed once", "fixed twice")]
        jobs = [kit.start("train", 4, folder=folder, fixed=1) for folder in folders]
        kit.write(ended=[job.wait(kit.left()) for job in jobs], log="jobs.log says what has no such form")
        compared(kit, *folders)


def _die(kit: Kit) -> int:
    return 4 if kit.dry else 14


def compared(kit: Kit, once: Path, other: Path) -> bool:
    """Whether two trainings made the same; if not, from which step on they differ."""
    digests, logs = [], []
    for folder in (once, other):
        path = folder / "weights.safetensors"
        digests.append(hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None)
        lines = (folder / "train.jsonl").read_text().splitlines() if (folder / "train.jsonl").is_file() else []
        logs.append([{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines])
    same = digests[0] is not None and digests[0] == digests[1]
    first = next((a["step"] for a, b in zip(*logs, strict=False) if a != b), None)
    first_norm = next((a["step"] for a, b in zip(*logs, strict=False) if a["grad_norm"] != b["grad_norm"]), None)
    about = {"steps": [len(log) for log in logs], "log_differs_from": first, "gradient_differs_from": first_norm}
    kit.check(f"{once.name} and {other.name} differ", float(not same), 0.0, **about)
    return same


def train_job(kit: Kit, folder: Path, die_after: int, fixed: bool) -> None:
    """One short training; kills itself after a step, as `kill -9` would."""
    if fixed:
        torch.use_deterministic_algorithms(True)
    batch, count, kind = (2, 6, "finetune:options") if kit.dry else (16, 24, "multitask+counterfactual:options")

    def tick(what: str, done: int, total: int, note: str) -> None:
        if die_after and what == "train" and done >= die_after:
            os.kill(os.getpid(), signal.SIGKILL)

    folder.mkdir(parents=True, exist_ok=True)
    known, how = taught(batch * count), settings(batch * count, batch, checkpoints=4)
    student, _ = train_student(lambda: opened(kit.model), known, method(kind), how, folder, None, tick)
    weights = {name: weight.detach().cpu().contiguous() for name, weight in student.named_parameters()}
    save_file(weights, folder / "weights.safetensors")
