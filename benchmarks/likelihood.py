"""Evaluation by likelihood: the options of a question in one pass that reads it once, against one padded forward an
option with the vocabulary's logits of every token, in batches of the same number of questions. Side by side in turns.

python benchmarks/likelihood.py [--model causal:smollm2-135m-instruct] [--questions 64] [--rounds 3] [--batch 32]
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch

from shrinklm import TaskOptions, make_task
from shrinklm.core.types import Example, Pair
from shrinklm.methods.builtin import PREDICT
from shrinklm.run.blocks import StudentBlock
from shrinklm.students.likeliest import option_pairs
from shrinklm.students.open import open_student, ready_to_answer


def questions(count: int) -> list[Example]:
    """Test questions of CommonsenseQA where they lie at hand ($SHRINKLM_DATA), else the packaged ones."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data" / "cqa-llama2"
    file = Path(os.environ.get("SHRINKLM_DATA") or beside) / "test.parquet"
    if not file.is_file():
        return list(make_task("everyday", TaskOptions(limit={"test": count})).examples("test"))
    import pyarrow.parquet as pq

    rows = pq.read_table(file).slice(0, count).to_pylist()
    return [Example(row["id"], row["question"], tuple(row["choices"]), row["answer"]) for row in rows]


def padded(student: Any, pairs: Sequence[Pair], batch: int) -> list[float]:
    """As a user would write it: each option with its question on a row of its own."""
    values = []
    for start in range(0, len(pairs), batch):
        tokens = student.tokenized(pairs[start : start + batch], end=False)
        rows = [each.whole for each in tokens]
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=student.device)
        seen = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=student.device)
        with torch.inference_mode():
            log_p = student.model(input_ids=ids, attention_mask=seen, use_cache=False).logits.float().log_softmax(-1)
        for row, each in enumerate(tokens):
            first = len(each.whole) - len(each.scored)
            places = range(first - 1, len(each.whole) - 1)
            values.append(float(log_p[row, list(places), each.scored].sum()))
    return values


def timed(work: Callable[[], list[float]]) -> tuple[float, float, list[float]]:
    """(seconds by the clock, of processor time, the values)."""
    wall, cpu = time.perf_counter(), time.process_time()
    values = work()
    return time.perf_counter() - wall, time.process_time() - cpu, values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="causal:smollm2-135m-instruct")
    parser.add_argument("--questions", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=32)
    options = parser.parse_args()
    student = ready_to_answer(open_student(StudentBlock(use=options.model).spec(1024)))
    asked = [option_pairs(PREDICT.prompt(each), PREDICT.lead, each.choices) for each in questions(options.questions)]
    pairs = [pair for group in asked for pair in group]
    ratios = []
    for _ in range(options.rounds):
        mine = timed(lambda: student.likelihood(pairs, batch=options.batch))
        other = timed(lambda: padded(student, pairs, options.batch * 5))
        ratios.append((other[0] / mine[0], other[1] / mine[1], len(asked) / mine[0]))
    worst = max(abs(a - b) for a, b in zip(mine[2], other[2], strict=True))
    by_wall, by_cpu, rates = (sorted(column) for column in zip(*ratios, strict=True))
    print(f"{len(asked)} questions, {len(pairs)} options: {median(rates):.1f} questions/s")
    spread = f"{by_wall[0]:.2f} to {by_wall[-1]:.2f}; in processor time {median(by_cpu):.2f}"
    print(f"{median(by_wall):.2f} times one padded forward an option ({spread})")
    print(f"log-likelihoods differ by {worst:.1e} at most")


if __name__ == "__main__":
    main()
