"""The plan of a run: its teachers' texts, judges, trainings and evaluations, and their totals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..run import Run
from ..stages.beforehand import check_tests
from ..stages.generate import check_asks
from ..stages.models import check_weights
from .cascade import plan_cascade
from .elsewhere import elsewhere
from .hardware import Fleet
from .judges import plan_judges
from .students import plan_students
from .texts import Supposed, plan_labels, plan_texts

SUMS = ("found", "prompts", "retries", "tokens_in", "tokens_out", "dollars", "seconds")


def plan_run(
    run: Run, step: str | None = None, students: bool = True, trials: bool = True, on: Fleet | None = None
) -> dict[str, Any]:
    """What a run will take, as JSON. Nothing is paid, and nothing of the run or the store is written.

    Args:
        run: The run; the store is read.
        step: Only this step of the teacher.
        students: Plan the trainings and evaluations too.
        trials: Time models on this machine where no earlier run tells their speed.
        on: The machines that the run would be done on. For an accelerator the students' figures are counted, for one
            device, and nothing is timed here.

    Returns:
        `{"texts", "judges": rows with SUMS, "students": rows, "cascade": a row with SUMS or None, "store_bytes",
        "total"}`, with `on` also "elsewhere" (see `elsewhere`); a figure is None where it is unknown. What
        `shrinklm cascade` asks is not in the total.

    Raises what `Run.generate` and `Run.start` raise before a teacher is asked.
    """
    look = run.scratch()  # nothing is asked, so there is no progress to tell
    look.writers = Supposed(run.writers, look.store)
    try:
        planned = _planned(look, step, students, trials, on)
        if on is not None:
            import torch

            planned["elsewhere"] = elsewhere(planned, on, len(look.splits["test"]), torch.get_num_threads())
        return planned
    finally:
        look.store.close()


def _planned(run: Run, step: str | None, students: bool, trials: bool, on: Fleet | None) -> dict[str, Any]:
    trials = trials and not (on and on.accelerator)
    store, empty, asked = run.store, run.store.size, bool(run.steps)
    labelling = run.data.labelling
    if step is not None or not students:
        check_asks(run.steps, step, labelling is not None)
    texts = plan_labels(run, trials) if labelling is not None else []
    run.check()
    run.check_judges()
    if students and step is None:
        check_tests(run.task, run.data.questions["test"])
    teaching = run.teaching
    if teaching.lacking(step):
        check_weights(run.recipe)
    texts += plan_texts(teaching, step, trials) if asked else []
    judges = plan_judges(run, teaching, trials) if students and step is None and run.recipe.judge else []
    added = store.size - empty
    passed_on = plan_cascade(run, trials) if students and step is None else None
    cells = plan_students(run, teaching, trials, on) if students and step is None else []
    return {
        "name": run.recipe.name,
        "texts": texts,
        "judges": judges,
        "students": cells,
        "cascade": passed_on,
        "store_bytes": added,
        "total": total([*texts, *judges], cells, added, run.recipe.train.at_once),
    }


def total(
    asked: Sequence[Mapping[str, Any]], cells: Sequence[Mapping[str, Any]], store: int, at_once: int = 1
) -> dict[str, Any]:
    """The sums over all rows; None where a part of a sum is unknown. Memory and checkpoints are those of the `at_once`
    cells that take most."""
    sums = {name: _sum([row[name] for row in asked]) for name in SUMS}
    training, evaluation = (_sum([cell[name] for cell in cells]) for name in ("train_seconds", "evaluate_seconds"))
    memory = sorted(cell["memory_bytes"] for cell in cells if cell["memory_bytes"] is not None)[-at_once:]
    disk = _sum([cell["disk_bytes"] for cell in cells])
    checkpoints = sum(sorted(cell["checkpoint_bytes"] for cell in cells)[-at_once:])
    return {
        **sums,
        # Where a price is unknown, this much is known all the same.
        "dollars_known": sum(row["dollars"] or 0.0 for row in asked),
        "train_seconds": training,
        "evaluate_seconds": evaluation,
        "all_seconds": _sum([sums["seconds"], training, evaluation]),
        "memory_bytes": sum(memory) if memory else None,
        "disk_bytes": _sum([disk, store]),
        # They are removed when a training has ended.
        "checkpoint_bytes": checkpoints,
    }


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
