"""Draws published texts by the verdict of the present rules, for people to read; not a test.

`python tests/read_refusals.py SOURCE VERDICT [N] [SEED] [PART]`: SOURCE is explanation, bad, revision, counterfactual,
human, or a column of csqa-teachers; VERDICT "kept", "unended" (kept without a full stop) or the beginning of a reason;
N texts (100) of every PART-th question (6). The texts are printed and nowhere kept: their licences differ.
"""

from __future__ import annotations

import random
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from shrinklm.core.types import Completion, Example, Prompt
from shrinklm.tasks.letters import moved
from shrinklm.teachers.endings import ended
from shrinklm.teachers.refusals import assess

DATA = Path(__file__).parents[2] / "shared" / "data"
COLUMNS = {
    "explanation": "few_shot_positive_rationale",
    "bad": "few_shot_negative_rationale",
    "revision": "few_shot_revision",
    "human": "human_explanation",
}


def texts(source: str, part: int) -> Iterator[tuple[Prompt, str]]:
    """(prompt, text as recorded) of every `part`-th question."""
    llama = source in COLUMNS or source == "counterfactual"
    file = DATA / ("cqa-llama2" if llama else "csqa-teachers") / "train.parquet"
    for row in pq.read_table(file).to_pylist():
        if zlib.crc32(row["id"].encode()) % part:
            continue
        example = Example(row["id"], row["question"], tuple(row["choices"]), row["answer"])
        if source == "counterfactual":
            for number, option in enumerate(example.choices, 1):
                if option != example.answer:
                    text = row[f"counterfactual_prompt_answer_{number}_rationale"]
                    yield Prompt((), example, source, option), text or ""
        else:
            kind = "revision" if source == "revision" else "explanation"
            yield Prompt((), example, kind, example.answer), row[COLUMNS.get(source, source)] or ""


def main(source: str, verdict: str, n: str = "100", seed: str = "0", part: str = "6") -> None:
    """Prints the counts of all verdicts, and the drawn texts."""
    counts: Counter[str] = Counter()
    drawn = []
    for prompt, raw in texts(source, int(part)):
        text, reason = assess(prompt, Completion(moved(raw, prompt.example) or ""), recorded=True)
        name = reason or "kept"
        counts[name] += 1
        if name.startswith(verdict) or (verdict == "unended" and reason is None and not ended(text)):
            drawn.append((prompt, text if reason is None else raw, name))
    print(dict(counts.most_common()), len(drawn), "of them to draw from")
    for prompt, text, name in random.Random(int(seed)).sample(drawn, min(int(n), len(drawn))):
        print(f"[{name}] {prompt.example.question} | {prompt.answer} (gold: {prompt.example.answer})\n    {text[:300]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
