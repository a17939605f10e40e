"""Does the loss over options make better students? Methods with and without it, trained alike on CommonsenseQA.

Each cell's accuracy by generation and by likelihood (summed, and per character as acc_norm of lm-evaluation-harness),
and its expected calibration error: the softmax over the options' summed log-likelihoods, in ten bins.

python benchmarks/options_loss.py [--questions 1000] [--test 600] [--seeds 0 1] [--methods finetune finetune:options]
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from likelihood import questions
from training import corpus

from shrinklm.core.types import Example
from shrinklm.methods.builtin import PREDICT
from shrinklm.methods.corpus import Corpus
from shrinklm.methods.spec import method
from shrinklm.run.blocks import StudentBlock, TrainBlock
from shrinklm.students.base import BaseStudent
from shrinklm.students.likeliest import option_pairs
from shrinklm.students.open import open_student, ready_to_answer
from shrinklm.students.training.train import TrainSettings, train_student


def trained(model: str, name: str, known: Corpus, seed: int, rate: float) -> tuple[BaseStudent, float]:
    """A student that saw every question once, and the seconds that it took."""
    block = TrainBlock(examples=len(known.examples), batch=8, learning_rate=rate, checkpoints=0, curve=0)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        seeded = Corpus(known.examples, known.generations, seed)
        student, _ = train_student(
            lambda: open_student(StudentBlock(use=model).spec(1024)),
            seeded,
            method(name),
            TrainSettings(**block.settings(seed)),
            Path(folder),
        )
        return ready_to_answer(student), time.perf_counter() - started


def scored(student: BaseStudent, tests: Sequence[Example]) -> dict[str, float]:
    """The figures of one cell, as shares."""
    groups = [option_pairs(PREDICT.prompt(each), PREDICT.lead, each.choices) for each in tests]
    values = iter(student.likelihood([pair for group in groups for pair in group]))
    replies = student.answer([PREDICT.prompt(each) for each in tests], max_tokens=16)
    right: dict[str, list[bool]] = {"generated": [], "summed": [], "per character": []}
    sure = []
    for example, group, reply in zip(tests, groups, replies, strict=True):
        options = [pair.option for pair in group]
        found = torch.tensor([next(values) for _ in group])
        lengths = torch.tensor([len(option) for option in options])
        right["generated"].append(reply.startswith(PREDICT.states(example.answer)))
        right["summed"].append(options[int(found.argmax())] == example.answer)
        right["per character"].append(options[int((found / lengths).argmax())] == example.answer)
        sure.append(float(found.softmax(0).max()))
    figures = {name: sum(hits) / len(hits) for name, hits in right.items()}
    return {**figures, "calibration error": calibration(sure, right["summed"])}


def calibration(sure: Sequence[float], right: Sequence[bool], bins: int = 10) -> float:
    """Expected calibration error (Guo et al., arXiv 1706.04599): |confidence − accuracy| over bins of equal width."""
    error = 0.0
    for number in range(bins):
        inside = [place for place, value in enumerate(sure) if min(int(value * bins), bins - 1) == number]
        error += abs(sum(sure[place] - right[place] for place in inside)) / len(sure)
    return error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="causal:smollm2-135m-instruct")
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--test", type=int, default=600)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument(
        "--methods", nargs="+", default=["finetune", "finetune:options", "multitask", "multitask:options"]
    )
    parser.add_argument("--rate", type=float, default=2e-4)
    options = parser.parse_args()
    known = corpus(options.questions)
    tests = [dataclasses.replace(each, choices=tuple(dict.fromkeys(each.choices))) for each in questions(options.test)]
    print(f"{len(known.examples)} questions seen once, {len(tests)} asked")
    for seed in options.seeds:
        for name in options.methods:
            student, seconds = trained(options.model, name, known, seed, options.rate)
            figures = scored(student, tests)
            shown = ", ".join(f"{key} {100 * value:.1f}" for key, value in figures.items())
            print(f"{name}, seed {seed}: {shown} %; {seconds:.0f} s of training", flush=True)


if __name__ == "__main__":
    main()
