"""Attribution speed: batches of questions, one backward pass each, against captum one question at a time, in one run.

All take the gradient of the label's log-probability with the same weights, in the same precision, without gradients of
the weights. "Saliency" is captum's class on a function of one's own, one backward pass a question;
"LLMGradientAttribution" is what captum offers for language models, one pass a token of the label.

python benchmarks/saliency.py [MODEL] [QUESTIONS]
"""

from __future__ import annotations

import itertools
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from captum.attr import LayerGradientXActivation, LLMGradientAttribution, Saliency, TextTokenInput

from shrinklm import TaskOptions, make_task
from shrinklm.core.marking import words
from shrinklm.methods.builtin import PREDICT
from shrinklm.models.load import bf16_supported
from shrinklm.run.blocks import SalientBlock, StudentBlock
from shrinklm.saliency.attribution import AttributionSettings, Question, attribute
from shrinklm.students.base import BaseStudent
from shrinklm.students.open import open_student

RECIPE = SalientBlock()
"""The defaults of a recipe."""
BATCH = RECIPE.batch
SETTINGS = AttributionSettings(RECIPE.method, RECIPE.norm, RECIPE.pieces, RECIPE.steps)


def batched(student: BaseStudent, questions: Sequence[Question]) -> None:
    """Questions of like length together, scores of words."""
    order = sorted(questions, key=lambda question: len(question.prompt))
    for start in range(0, len(order), BATCH):
        attribute(student, order[start : start + BATCH], SETTINGS)


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


def by_token(model: Any, tokenizer: Any, questions: Sequence[Question]) -> None:
    """captum's LLMGradientAttribution as it is, batch 1."""
    attribution = LLMGradientAttribution(LayerGradientXActivation(model, model.get_input_embeddings()), tokenizer)
    for question in questions:
        label = tokenizer(f" {question.label}", add_special_tokens=False, return_tensors="pt").input_ids[0]
        attribution.attribute(
            TextTokenInput(f"{question.prompt} {question.lead}", tokenizer), target=label
        ).seq_attr.tolist()


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
    questions = [
        Question(PREDICT.prompt(example), example.answer, words(example), PREDICT.lead) for example in examples
    ]
    student = open_student(StudentBlock(use=spec).spec(1024)).eval()
    precision = torch.bfloat16 if bf16_supported() else torch.float32
    student.to(precision).requires_grad_(False)
    longest = sorted(questions, key=lambda question: -len(question.prompt))[:BATCH]
    batched(student, longest)
    few = questions[:count]
    peaks = [peak()]
    for some in (few, questions, questions):
        batched(student, some)
        peaks.append(peak())
    grown = [f"{after - before:.0f}" for before, after in itertools.pairwise(peaks)]
    # In bfloat16 oneDNN keeps a kernel for each new length; the same lengths again show what items alone would add.
    print(
        f"Peak memory {peaks[0]:.0f} MiB; {count} questions add {grown[0]}, {len(questions)} add {grown[1]}, "
        f"the same again {grown[2]}"
    )
    ways: dict[str, Callable[[Sequence[Question]], None]] = {
        f"batches of {BATCH}": lambda some: batched(student, some),
        "captum Saliency": lambda some: alone(student.model, student.tokenizer, some),
        "captum LLMGradientAttribution": lambda some: by_token(student.model, student.tokenizer, some),
    }
    for run in ways.values():
        run(few[:4])
    rounds = [{name: seconds(lambda run=run: run(few)) for name, run in ways.items()} for _ in range(3)]
    ours = next(iter(ways))
    print(f"{spec}, {count} questions, {precision}, {torch.get_num_threads()} threads, median of {len(rounds)} rounds:")
    for name in ways:
        ratios = sorted(spent[name] / spent[ours] for spent in rounds)
        speed = count / statistics.median(spent[name] for spent in rounds)
        print(f"  {name}: {speed:.2f} questions/s, ratio {ratios[1]:.2f} ({ratios[0]:.2f} to {ratios[2]:.2f})")


if __name__ == "__main__":
    main()
