"""How long scoring takes: every metric that needs no model, on as many items as the test split of CommonsenseQA. The
limit is 10 s.

The texts are the recorded explanations and revisions of the packaged questions; each item is another one, so nothing is
scored from memory. Processor seconds are printed: one core, whatever else the machine does.

python benchmarks/scoring.py [ITEMS]
"""

from __future__ import annotations

import itertools
import sys
import time
from dataclasses import replace
from importlib.resources import files

import pyarrow.parquet as pq

from shrinklm import Example, Prediction, TaskOptions, make_task
from shrinklm.core.registry import find, names

LIMIT, ITEMS = 10.0, 1221


def rows(count: int) -> list[tuple[Example, Prediction]]:
    """`count` questions with an explanation of one of their options, and the reference beside it."""
    table = pq.read_table(str(files("shrinklm.tasks") / "data" / "everyday" / "demo-generations.parquet")).to_pylist()
    known = {example.id: example for example in make_task("everyday", TaskOptions()).examples("train")}
    texts = [row for row in table if row["example_id"] in known and row["text"] and row["kind"] != "label"]
    made = []
    for place, row in zip(range(count), itertools.cycle(texts), strict=False):
        reference = texts[(place * 7 + 1) % len(texts)]["text"]
        example = replace(known[row["example_id"]], id=str(place), meta={"reference": f"{reference} {place}"})
        answer = example.choices[place % len(example.choices)]
        text = f"{row['text']} {place}"
        made.append((example, Prediction("run", example.id, answer, text, f"The answer is {answer}.", answer)))
    return made


def main() -> None:
    items = rows(int(sys.argv[1]) if len(sys.argv) > 1 else ITEMS)
    words = sum(len((prediction.explanation or "").split()) for _, prediction in items) / len(items)
    plain = [name for name in names("metrics") if callable(find("metrics", name))]
    total = 0.0
    print(f"{len(items):,} items, {words:.0f} words each")
    for name in plain:
        metric, started = find("metrics", name), time.process_time()
        for example, prediction in items:
            metric(example, prediction)
        spent = time.process_time() - started
        total += spent
        print(f"  {name}: {spent:.2f} s")
    print(f"all {len(plain)}: {total:.2f} s")
    if total >= LIMIT and len(items) <= ITEMS:
        sys.exit(f"slower than {LIMIT:g} s")


if __name__ == "__main__":
    main()
