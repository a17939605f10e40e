"""A file of questions answered by likelihood, one in ten explained, against plain `generate` row by row: one call for
each answer and one for each explanation. The student is loaded before; both get the same caps. Side by side, in turns.

python benchmarks/predict.py [RUN] [--cell CELL] [--questions 100] [--rounds 1]

Without RUN, an untrained student of `--model` answers as `multitask` does; it ends no text by itself, so both sides
write all of their caps.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from likelihood import questions

from shrinklm import open_run
from shrinklm.core.types import Example
from shrinklm.deploy.answering import Answering
from shrinklm.deploy.files import predict_file
from shrinklm.deploy.student import TrainedStudent
from shrinklm.methods.builtin import EXPLAIN, PREDICT
from shrinklm.run.blocks import StudentBlock
from shrinklm.students.open import open_student, ready_to_answer
from shrinklm.tasks.table import read_asked

MINUTE = 60
WANTED = 10_000
"""The file that the figures are told for, a tenth of it explained."""


def untrained(model: str) -> TrainedStudent:
    """A student as it comes, which answers and explains as `multitask` does."""
    student = ready_to_answer(open_student(StudentBlock(use=model).spec(1024)))
    answering = Answering(
        "untrained", "multitask", PREDICT, EXPLAIN, max_tokens=32, answer_tokens=16, task="table", type="choice"
    )
    return TrainedStudent(student, answering, Path())


def plain(student: TrainedStudent, examples: list[Example], explained: int) -> None:
    """As a user would write it: `generate` for each row, and once more for its explanation."""
    model, tokenizer, how = student.student.model, student.student.tokenizer, student.answering  # type: ignore[attr-defined]
    asked = [(how.answer.prompt(each), how.answer_tokens) for each in examples]
    if how.explain is not None:
        asked += [(how.explain.prompt(each), how.max_tokens) for each in examples[:explained]]
    end = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.eos_token_id}
    for prompt, tokens in asked:
        read = tokenizer(prompt, return_tensors="pt").to(model.device)
        with torch.inference_mode():
            model.generate(**read, max_new_tokens=tokens, do_sample=False, **end)


def seconds(work: Any) -> float:
    """How long it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Prints the two times, their ratio, and what a file of 10,000 would take."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?")
    parser.add_argument("--cell")
    parser.add_argument("--model", default="causal:smollm2-135m-instruct")
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    student = open_run(options.run).student(options.cell) if options.run else untrained(options.model)
    examples = questions(options.questions)
    explained = max(1, len(examples) // 10)
    student.predict(examples[:1])  # what is made once for a student is made
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "questions.jsonl")
        lines = [{"id": each.id, "question": each.question, "choices": list(each.choices)} for each in examples]
        source.write_text("".join(json.dumps(row) + "\n" for row in lines), encoding="utf-8")
        for number in range(options.rounds):
            times = {}
            for by in ("likelihood", "text"):
                work = partial(predict_file, student, explanations=explained, by=by)
                rows = read_asked(str(source), {}, "choice")
                times[by] = seconds(partial(work, rows, Path(folder, f"{by}-{number}.parquet")))
            other = seconds(lambda: plain(student, examples, explained))
            print(f"{len(examples)} questions, {explained} explained; generate row by row: {other:.1f} s")
            for name, mine in times.items():
                minutes = mine * WANTED / len(examples) / MINUTE
                print(f"by {name}: {mine:.1f} s, {other / mine:.1f} times as fast; {WANTED:,} in {minutes:.1f} min")


if __name__ == "__main__":
    main()
