"""Seconds and peak memory of `shrinklm preview` on a made table of multiple-choice questions: CSV, JSONL and Parquet.

Each file is previewed in a process of its own, with the student `tiny`, so that no model is loaded; all three must show
the same. The package's modules are compiled before, as they are where pip has installed it.

python benchmarks/tables.py [ROWS]
"""

from __future__ import annotations

import csv
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

WORDS = [
    "river",
    "stone",
    "lamp",
    "hammer",
    "garden",
    "cold",
    "bright",
    "winter",
    "market",
    "teacher",
    "quiet",
    "paper",
]
PREVIEW = """
import sys, time
from pathlib import Path
start, used = time.perf_counter(), time.process_time()
from shrinklm.cli import main
sys.argv = ["shrinklm", "preview", sys.argv[1], "--json"]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
# Not `getrusage`: on Linux its figure begins with that of the process that started this one.
peak = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024
print(time.perf_counter() - start, time.process_time() - used, peak, file=sys.stderr)
"""


def write(folder: Path, rows: int) -> None:
    """The table in three files, and a recipe for each."""
    draw = random.Random(0)
    table = []
    for number in range(rows):
        options = [f"{draw.choice(WORDS)} {draw.choice(WORDS)} {mark}" for mark in "vwxyz"]
        question = " ".join(draw.choices(WORDS, k=12)) + f" number {number}?"
        table.append({"id": f"q{number}", "question": question, "choices": options, "answer": draw.choice(options)})
    with (folder / "t.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "question", *(f"option_{n}" for n in range(1, 6)), "answer"])
        writer.writerows([row["id"], row["question"], *row["choices"], row["answer"]] for row in table)
    with (folder / "t.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in table)
    pq.write_table(pa.Table.from_pylist(table), folder / "t.parquet")
    for kind in ("csv", "jsonl", "parquet"):
        choices = '"option_{option}"' if kind == "csv" else "choices"
        columns = f"{{id: id, question: question, choices: {choices}, answer: answer}}"
        (folder / f"{kind}.yaml").write_text(
            f"name: p\ntask: {{use: table, train: t.{kind}, columns: {columns}}}\nmethods: [finetune]\nstudent: tiny\n"
        )


def _preview(recipe: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PREVIEW, str(recipe)]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment)


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        write(folder, 20)
        _preview(folder / "parquet.yaml", environment)
        write(folder, rows)
        shown = set()
        for kind in ("csv", "jsonl", "parquet"):
            done = _preview(folder / f"{kind}.yaml", environment)
            shown.add(done.stdout)
            seconds, used, peak = map(float, done.stderr.split()[-3:])
            print(f"{kind}: {rows:,} rows in {seconds:.1f} s ({used:.1f} s of CPU), {peak:.0f} MB at most", flush=True)
        print(f"all three show the same: {len(shown) == 1}")


if __name__ == "__main__":
    main()
