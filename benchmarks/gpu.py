"""What a machine with a GPU shows in minutes: whether it computes what a CPU computes, how fast, and the comparison.

Every part is tried by itself, has a budget of time, and writes each result as it comes. FOLDER gets gpu.jsonl and
gpu.txt, profile.txt, jobs.log (what processes of its own said) and, of the comparison, run folders without weights,
honey-*.tar.gz. The important parts come first; what does not fit into --minutes is cut and named. $SHRINKLM_DATA is a
folder with train.parquet and test.parquet (recipes/csqa-smollm2.yaml) and, for honey-llama3, llama3.parquet.

python benchmarks/gpu.py --out FOLDER                                          # all parts, in this order
python benchmarks/gpu.py --out FOLDER --parts correctness,speed --minutes 5    # or in two goes:
python benchmarks/gpu.py --out FOLDER --parts search,comparison --minutes 8
python benchmarks/gpu.py --dry                                                 # each part at a tiny size on a CPU
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # processes are forked after a tokenizer was used
if any(argument.startswith("--fixed") for argument in sys.argv):
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # read when the GPU is first used

import torch

sys.path.insert(0, str(Path(__file__).parent))

import gpu_comparison as comparison
import gpu_correctness as correctness
import gpu_speed as speed
from gpu_kit import Kit

Part = Callable[[Kit], None]
PARTS: dict[str, list[tuple[str, Part, float]]] = {
    "correctness": [
        ("gradients", correctness.gradients, 75),
        ("answers", correctness.answers, 40),
        ("steps", correctness.steps, 25),
        ("repeated", correctness.repeated, 75),
    ],
    "speed": [
        ("training", speed.steps, 70),
        ("transformers", speed.beside, 40),
        ("profile", speed.profiled, 20),
        ("projection", speed.projection, 25),
        ("likelihood", speed.likelihood, 30),
        ("decoding", speed.decoding, 30),
        ("compile", speed.compiled, 90),
        ("at once", speed.at_once, 75),
    ],
    "search": [("search", comparison.search, 150)],
    "comparison": [("comparison", comparison.comparison, 3600)],
}
"""Group → (name, part, seconds that it may take)."""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT") or "gpu-out"))
    parser.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir()) / "shrinklm-gpu", help="Kept between calls."
    )
    parser.add_argument("--parts", default=",".join(PARTS), help="Groups, or single parts: " + ", ".join(
        [*PARTS, *(name for group in PARTS.values() for name, *_ in group)]
    ))  # fmt: skip
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--model", help="Left out: causal:smollm2-135m-instruct; in a dry run tiny.")
    parser.add_argument("--dry", action="store_true", help="Tiny sizes, on whatever this machine has.")
    parser.add_argument("--wide", action="store_true", help="A dry run of all methods.")
    parser.add_argument(
        "--processes", type=int, default=6, help="Cells of the comparison that are trained side by side."
    )
    parser.add_argument("--search-examples", type=int, default=2944, help="Examples of each training of the search.")
    parser.add_argument(
        "--rate", type=float, help="Learning rate; left out: the one that was searched, else the recipe's."
    )
    for name, kind in (
        ("job", str),
        ("folder", Path),
        ("die-after", int),
        ("fixed", int),
        ("number", int),
        ("until", float),
    ):
        parser.add_argument(f"--{name}", type=kind, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    for folder in (options.out, options.work):
        folder.mkdir(parents=True, exist_ok=True)
    model = options.model or ("tiny" if options.dry else "causal:smollm2-135m-instruct")
    until = options.until or time.time() + 60 * options.minutes
    kit = Kit(options.out.resolve(), options.work.resolve(), model, options.dry, until, options.wide, options)
    kit.end = until
    if options.job:
        job(kit)
    else:
        go(kit, options.parts.split(","))


def job(kit: Kit) -> None:
    """What another process of this script does for a part."""
    options = kit.options
    kit.part = options.job
    if options.job == "train":
        correctness.train_job(kit, options.folder, options.die_after or 0, bool(options.fixed))
    elif options.job == "rate":
        speed.rate_job(kit, options.folder, options.number)
    elif options.job == "prepare":
        comparison.prepare(kit)
    elif options.job == "mark":
        comparison.mark(kit, options.folder.name)
    else:
        comparison.cells(kit, options.folder)


def go(kit: Kit, wanted: list[str]) -> None:
    """Every part that was asked for, while there is time."""
    kit.part = "machine"
    about = {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda} if kit.gpu else {"gpu": None}
    if Path("/dev/shm").is_dir():  # through which workers hand over their steps
        about["shared_memory"] = shutil.disk_usage("/dev/shm").total
    import transformers

    kit.write(
        **about, torch=torch.__version__, transformers=transformers.__version__, cores=os.cpu_count(), model=kit.model
    )
    parts = [part for group, parts in PARTS.items() for part in parts if group in wanted or part[0] in wanted]
    # Reading the texts takes a core half a minute, for which the GPU need not wait.
    ahead = kit.start("prepare") if not kit.dry or any(name in wanted for name in ("search", "comparison")) else None
    for name, part, budget in parts:
        kit.part, kit.end = name, time.time() + budget
        if kit.left() < 5:
            kit.write(cut="no time left")
            continue
        if ahead is not None and name in ("search", "comparison"):
            kit.write(prepared=ahead.wait(kit.left()))
            ahead = None
        started, before = time.time(), sum(os.times()[:4])
        try:
            part(kit)
        except Exception as error:
            kit.failed.append(f"{name}: {error!r}")
            kit.write(error=repr(error)[:500], trace=traceback.format_exc().splitlines()[-8:])
        kit.write(took=round(time.time() - started, 1), cpu=round(sum(os.times()[:4]) - before, 1))
        kit.freed()
    kit.part = "end"
    if ahead is not None:
        kit.write(prepared=ahead.wait(kit.until - time.time()))
    kit.write(failed=kit.failed)


if __name__ == "__main__":
    main()
