"""Teacher speed: `decode.py` (shared beginning kept once, rows leave when they stop) against transformers' generate(),
side by side.

python benchmarks/decoding.py [MODEL] [PROMPTS]
"""

from __future__ import annotations

import sys
import time

import torch

from shrinklm import Sampling, TaskOptions, TeacherOptions, make_task, make_teacher
from shrinklm.teachers.prompts import Prompts
from shrinklm.teachers.steps import STEPS

TOKENS = 48


def main() -> None:
    model = sys.argv[1] if len(sys.argv) > 1 else "smollm2-135m-instruct"
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 32
    task = make_task("everyday", TaskOptions(limit={"train": count}))
    prompts = Prompts(task.type)
    asked = [prompts.prompt(STEPS["explanation"], example, example.answer, {}) for example in task.examples("train")]
    teacher = make_teacher(f"transformers:{model}", TeacherOptions(batch=16))
    decoder = teacher._decoder
    loaded, tokenizer = decoder.model, decoder.tokenizer
    tokens = sorted((teacher.tokens(prompt) for prompt in asked), key=len)

    def ours() -> tuple[float, int]:
        started = time.perf_counter()
        out = sum(completion.tokens_out for _, completion in teacher.complete(asked, Sampling(max_tokens=TOKENS)))
        return time.perf_counter() - started, out

    def theirs() -> tuple[float, int]:
        started, out = time.perf_counter(), 0
        for start in range(0, len(tokens), 16):
            some = tokens[start : start + 16]
            width = max(map(len, some))
            ids = torch.tensor([[tokenizer.pad_token_id] * (width - len(row)) + row for row in some])
            mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in some])
            with torch.inference_mode():
                new = loaded.generate(input_ids=ids, attention_mask=mask, max_new_tokens=TOKENS, do_sample=False)[
                    :, width:
                ]
            out += sum(
                next((place for place, token in enumerate(row) if token in decoder.ends), len(row))
                for row in new.tolist()
            )
        return time.perf_counter() - started, out

    ours()  # loads the weights' caches for both
    (fast, said), (slow, heard) = ours(), theirs()
    print(f"{count} prompts of about {len(tokens[0])} tokens, ours: {fast:.1f} s for {said} tokens")
    print(f"generate(): {slow:.1f} s for {heard} tokens; ratio {slow / fast:.2f}")


if __name__ == "__main__":
    main()
