"""Teacher speed: the loop of `models/decode.py` against transformers' `generate` in static batches.

python benchmarks/decoding.py [MODEL] [--prompts 48] [--batch 16] [--rows 32] [--tokens 120] [--rounds 3] [--dtype D]
    [--check 16]

Prompts of 7 examples, sorted by length for both. Both run in one process, in the precision of this machine, in rounds
that alternate; CPU seconds are compared, so that other work on the machine changes little (wall seconds on a GPU).
Before, texts are held against `generate` of one prompt at a time, in float32.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from shrinklm import Sampling, TaskOptions, TeacherOptions, make_task, make_teacher
from shrinklm.core.types import Prompt
from shrinklm.models.load import default_dtype
from shrinklm.teachers.prompts import Prompts
from shrinklm.teachers.steps import STEPS
from shrinklm.teachers.transformers import TransformersTeacher

QUESTIONS = Path(__file__).parents[2] / "shared" / "data" / "cqa-llama2" / "test.parquet"


def main() -> None:
    """Print tokens, seconds and the ratio of each round, and the median ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", nargs="?", default="smollm2-135m-instruct")
    parser.add_argument("--prompts", type=int, default=48)
    parser.add_argument("--batch", type=int, default=16, help="of generate")
    parser.add_argument("--rows", type=int, help="rows of ours; left out: as many as a teacher takes by itself")
    parser.add_argument("--tokens", type=int, default=STEPS["explanation"].max_tokens)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default=default_dtype())
    parser.add_argument("--check", type=int, default=16, help="texts held against generate in float32; 0: none")
    asked = parser.parse_args()
    source, prompts = questions(asked.prompts)
    if asked.check:
        check(asked.model, prompts[: asked.check], asked.rows, asked.tokens)
    teacher = opened(asked.model, asked.rows, asked.dtype)
    ids = sorted((teacher.tokens(prompt) for prompt in prompts), key=len)
    print(
        f"{asked.model}, {asked.dtype}, {torch.get_num_threads()} threads: {len(ids)} prompts of {len(ids[0])} to "
        f"{len(ids[-1])} tokens ({source}), {asked.rows or 'our own number of'} rows against batches of {asked.batch}, "
        f"at most {asked.tokens} new tokens"
    )
    ratios = []
    ours(teacher, prompts[:2], 2)  # loads what is loaded once
    for number in range(1, asked.rounds + 1):
        timed = [lambda: ours(teacher, prompts, asked.tokens), lambda: theirs(teacher, ids, asked.batch, asked.tokens)]
        results = [measured(run) for run in (timed if number % 2 else timed[::-1])]
        (fast, said), (slow, heard) = results if number % 2 else results[::-1]
        ratios.append(slow / fast)
        print(
            f"round {number}: ours {len(ids) / fast:.2f} examples/s, {said / fast:.1f} tokens/s; "
            f"generate {len(ids) / slow:.2f} examples/s, {heard / slow:.1f} tokens/s; ratio {slow / fast:.2f}",
            flush=True,
        )
    print(f"median ratio of examples a second: {statistics.median(ratios):.2f}")


def questions(count: int) -> tuple[str, list[Prompt]]:
    """(their name, prompts for explanations): CommonsenseQA where it is at hand, else the embedded questions."""
    if QUESTIONS.is_file():
        columns: Any = {name: name for name in ("id", "question", "choices", "answer")}
        options = TaskOptions(train=str(QUESTIONS), columns=columns, limit={"train": count})
        name, task = "CommonsenseQA", make_task("table", options)
    else:
        name, task = "everyday", make_task("everyday", TaskOptions(limit={"train": count}))
    prompts = Prompts(task.type)
    examples = itertools.islice(task.examples("train"), count)
    return name, [prompts.prompt(STEPS["explanation"], example, example.answer, {}) for example in examples]


def opened(model: str, rows: int | None, dtype: str) -> TransformersTeacher:
    teacher = make_teacher(f"transformers:{model}", TeacherOptions(batch=rows))
    assert isinstance(teacher, TransformersTeacher)
    teacher.dtype = dtype
    return teacher


def measured(run: Callable[[], int]) -> tuple[float, int]:
    """(seconds, new tokens) of a run."""
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    started = clock()
    tokens = run()
    return clock() - started, tokens


def ours(teacher: TransformersTeacher, prompts: Sequence[Prompt], tokens: int) -> int:
    teacher.decoder._beginning = ([], [])  # each round computes the shared beginning itself
    return sum(completion.tokens_out for _, completion in teacher.complete(prompts, Sampling(max_tokens=tokens)))


def theirs(teacher: TransformersTeacher, ids: Sequence[list[int]], batch: int, tokens: int) -> int:
    batches = [ids[start : start + batch] for start in range(0, len(ids), batch)]
    return sum(len(row) for some in batches for row in generated(teacher.decoder, some, tokens))


def generated(decoder: Any, prompts: Sequence[list[int]], tokens: int) -> list[list[int]]:
    """The new tokens of each prompt by transformers' `generate`, greedy, in one batch padded on the left."""
    width, device = max(map(len, prompts)), decoder.model.device
    ids = torch.tensor([[decoder.pad] * (width - len(row)) + row for row in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in prompts], device=device)
    with torch.inference_mode():
        out = decoder.model.generate(ids, attention_mask=mask, max_new_tokens=tokens, do_sample=False)[:, width:]
    return [list(itertools.takewhile(lambda token: token not in decoder.ends, row)) for row in out.tolist()]


def check(model: str, prompts: Sequence[Prompt], rows: int | None, tokens: int) -> None:
    """Print how many texts are those of `generate` of one prompt at a time, both in float32."""
    teacher = opened(model, rows, "float32")
    said = dict(teacher.complete(prompts, Sampling(max_tokens=tokens)))
    same = 0
    for place, prompt in enumerate(prompts):
        wanted = teacher.decoder.text(generated(teacher.decoder, [teacher.tokens(prompt)], tokens)[0])
        same += said[place].text == wanted
    print(f"float32: {same} of {len(prompts)} texts are those of generate", flush=True)


if __name__ == "__main__":
    main()
