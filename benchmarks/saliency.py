"""Attribution speed: batches of questions, one backward pass each, against captum one question at a time. Side by side in one run.

Both compute the gradient of the label's log-probability with the same weights, in the same precision, without gradients of the weights.

python benchmarks/saliency.py [MODEL] [QUESTIONS]
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from captum.attr import Saliency

from shrinklm import TaskOptions, make_task
from shrinklm.attribution import AttributionSettings, Question, attribute
from shrinklm.methods import PREDICT
from shrinklm.models import bf16_supported
from shrinklm.students.base import BaseStudent, open_student
from shrinklm.words import words

BATCH = 16


def batched(student: BaseStudent, questions: Sequence[Question]) -> None:
    """Questions of like length together, scores of words."""
    order = sorted(questions, key=lambda question: len(question.prompt))
    for start in range(0, len(order), BATCH):
        attribute(student, order[start : start + BATCH], AttributionSettings())


def alone(model: Any, tokenizer: Any, questions: Sequence[Question]) -> None:
    """captum's Saliency on transformers' model as it is, batch 1; norms of tokens only."""
    for question in questions:
        prompt = tokenizer(question.prompt, return_tensors="pt").input_ids
        lead = tokenizer(f" {question.lead}", add_special_tokens=False, return_tensors="pt").input_ids
        label = tokenizer(f" {question.label}", add_special_tokens=False, return_tensors="pt").input_ids
        embeddings = model.get_input_embeddings()(torch.cat([prompt, lead, label], 1)).detach().requires_grad_()

        def value(embeddings: torch.Tensor, label: torch.Tensor = label) -> torch.Tensor:
            logits = model(inputs_embeds=embeddings, use_cache=False).logits[:, -label.shape[1] - 1 : -1]
            return logits.float().log_softmax(-1).gather(-1, label[..., None]).sum((1, 2))

        Saliency(value).attribute(embeddings, abs=False)[0, : prompt.shape[1]].float().norm(dim=-1).tolist()


def seconds(run: Callable[[], None]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def peak() -> float:
    """Largest memory of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    spec = sys.argv[1] if len(sys.argv) > 1 else "causal:smollm2-135m-instruct"
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 64
    torch.set_num_threads(2)
    examples = list(make_task("everyday", TaskOptions(limit={"train": 4 * count})).examples("train"))
    questions = [Question(PREDICT.prompt(example), example.answer, words(example), PREDICT.lead) for example in examples]
    student = open_student(spec).eval()
    precision = torch.bfloat16 if bf16_supported() else torch.float32
    student.to(precision).requires_grad_(False)
    longest = sorted(questions, key=lambda question: -len(question.prompt))[:BATCH]
    batched(student, longest)
    few = questions[:count]
    before = peak()
    batched(student, few)
    first = peak()
    batched(student, questions)
    print(f"Peak memory {before:.0f} MiB; {count} questions add {first - before:.0f}, {len(questions)} questions {peak() - first:.0f} more")
    alone(student.model, student.tokenizer, few[:4])
    runs = []
    for _ in range(3):
        one, other = seconds(lambda: batched(student, few)), seconds(lambda: alone(student.model, student.tokenizer, few))
        runs.append((other / one, count / one, count / other))
    ratio = statistics.median(ratio for ratio, _, _ in runs)
    fast, slow = (statistics.median(run[place] for run in runs) for place in (1, 2))
    print(f"{count} questions, {precision}, 2 threads, three rounds: batches of {BATCH} {fast:.2f} questions/s, captum alone {slow:.2f}")
    print(f"ratio {ratio:.2f} ({min(runs)[0]:.2f} to {max(runs)[0]:.2f})")


if __name__ == "__main__":
    main()
