"""Training speed: all views of an example in one packed pass, against each pair on its own padded row. Side by side in
one run.

python benchmarks/views.py [MODEL] [EXAMPLES]
"""

from __future__ import annotations

import sys
import time

import torch

from shrinklm import TaskOptions, make_task
from shrinklm.core.types import Example, Generation, Pair, Sampling, Source
from shrinklm.methods.corpus import Corpus
from shrinklm.methods.spec import method
from shrinklm.models.load import bf16_supported
from shrinklm.run.blocks import StudentBlock
from shrinklm.students.base import BaseStudent, Batch
from shrinklm.students.open import open_student


def said(example: Example) -> dict[tuple[str, str], Generation]:
    """The task's own explanations in the place of a teacher's: the speed is the same."""
    source = Source("benchmark", "", Sampling(), 0, "", 0, 0, "")
    text = str(example.meta["explanation"])
    kinds = [("explanation", example.answer), *(("counterfactual", option) for option in example.wrong)]
    return {(kind, answer): Generation(example.id, kind, answer, text, "", (), source, "") for kind, answer in kinds}


def seconds(student: BaseStudent, batches: list[Batch]) -> float:
    """Forward and backward over all batches."""
    started = time.perf_counter()
    for batch in batches:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16_supported()):
            total, count = student(batch)
            loss = (total / count).mean()
        loss.backward()
        student.zero_grad(set_to_none=True)
    return time.perf_counter() - started


def main() -> None:
    model = sys.argv[1] if len(sys.argv) > 1 else "causal:smollm2-135m-instruct"
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 32
    examples = list(make_task("everyday", TaskOptions(limit={"train": count})).examples("train"))
    student = open_student(StudentBlock(use=model).spec(1024)).train()
    corpus = Corpus(examples, {example.id: said(example) for example in examples})
    for name in ("multitask", "multitask+counterfactual"):
        groups = [[shown.pair for shown in corpus.pairs(method(name), index, 0)] for index in range(len(examples))]
        packed, alone = [], []
        for start in range(0, len(groups), 8):
            some = groups[start : start + 8]
            packed.append(student.encode(some))
            alone.append(padded(student, [pair for group in some for pair in group]))
        seconds(student, packed[:1])
        ratios = []
        for _ in range(3):
            one, other = seconds(student, packed), seconds(student, alone)
            ratios.append((other / one, len(examples) / one, len(examples) / other))
        ratio, fast, slow = sorted(ratios)[1]
        print(f"{name}: packed {fast:.2f} examples/s, one row a pair {slow:.2f} examples/s, ratio {ratio:.2f}")


def padded(student: BaseStudent, pairs: list[Pair]) -> Batch:
    """The usual way: one row a pair, padded to the longest."""
    rows = [student.encode([[pair]]) for pair in pairs]
    width = max(row["input_ids"].shape[1] for row in rows)
    batch: Batch = {}
    for name in rows[0]:
        if name not in ("pairs", "tokens"):  # numbers
            fill = -100 if name == "labels" else 0
            batch[name] = torch.cat(
                [torch.nn.functional.pad(row[name], (0, width - row[name].shape[1]), value=fill) for row in rows]
            )
    batch["pair"] = torch.arange(len(rows))[:, None].expand_as(batch["labels"]).contiguous()
    batch["pairs"] = torch.tensor(len(rows))
    batch["tokens"] = sum((row["tokens"] for row in rows), start=torch.tensor(0))
    return batch


if __name__ == "__main__":
    main()
