"""The figures of a training for trackers of experiments, step by step. What a tracker does never ends a training.

accelerate's trackers are not used: they set up accelerate's own state of processes, which this loop has no use for.
"""

from __future__ import annotations

import importlib.util
import math
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from ...core.types import Tick

Values = Mapping[str, float]
Tell = Callable[[int, Values], None]
"""Called with a step and its figures."""
_LAST = 30.0
"""Seconds that trackers may take for what is left when a training has ended."""


@dataclass(frozen=True)
class About:
    """What is tracked."""

    project: str
    """The recipe's name."""
    run: str
    """The cell's name."""
    folder: Path
    """The cell's, for trackers that write files."""
    settings: Mapping[str, str | int | float | None]


Tracker = tuple[Tell, Callable[[], None]]
"""(takes the figures of a step, ends)."""


def _tensorboard(about: About) -> Tracker:
    from torch.utils.tensorboard import SummaryWriter

    writer: Any = SummaryWriter(str(about.folder / "tensorboard"))

    def tell(step: int, values: Values) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, step)

    return tell, writer.close


def _mlflow(about: About) -> Tracker:
    import mlflow

    client: Any = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(about.project)
    run = client.create_run(
        experiment.experiment_id if experiment else client.create_experiment(about.project), run_name=about.run
    ).info.run_id
    for name, value in about.settings.items():
        client.log_param(run, name, value)

    def tell(step: int, values: Values) -> None:
        for name, value in values.items():
            # Its file store keeps "loss" as a file, so "loss/predict" could be none.
            client.log_metric(run, re.sub(r"[^\w. -]", ".", name), value, step=step)

    return tell, lambda: client.set_terminated(run)


def _wandb(about: About) -> Tracker:
    import wandb

    run: Any = wandb.init(
        project=about.project, name=about.run, dir=str(about.folder), config=dict(about.settings), reinit="create_new"
    )
    return lambda step, values: run.log(dict(values), step=step), run.finish


def _trackio(about: About) -> Tracker:
    import trackio

    run: Any = trackio.init(project=about.project, name=about.run, config=dict(about.settings), embed=False)
    return lambda step, values: run.log(dict(values), step=step), run.finish


TRACKERS: Mapping[str, Callable[[About], Tracker]] = {
    "tensorboard": _tensorboard,
    "mlflow": _mlflow,
    "wandb": _wandb,
    "trackio": _trackio,
}
"""Each by its name, which is that of the package, too."""


def missing(names: Sequence[str]) -> list[str]:
    """Those of the trackers whose package is not installed."""
    return [name for name in names if importlib.util.find_spec(name) is None]


@contextmanager
def tracked(names: Sequence[str], about: About, tick: Tick | None = None) -> Iterator[Tell | None]:
    """Gives what takes the figures of each step; None where no tracker is named.

    Trackers work in a thread of their own, so that training waits for no server. One that fails is told of once, and is
    asked no more.
    """
    if not names:
        yield None
        return
    told: SimpleQueue[tuple[int, Values] | None] = SimpleQueue()
    thread = threading.Thread(target=_work, args=(names, about, told, tick), daemon=True, name="trackers")
    thread.start()

    def tell(step: int, values: Values) -> None:
        told.put((step, {name: value for name, value in values.items() if math.isfinite(value)}))

    try:
        yield tell
    finally:
        told.put(None)
        thread.join(_LAST)


def _work(names: Sequence[str], about: About, told: SimpleQueue[Any], tick: Tick | None) -> None:
    trackers: dict[str, Tracker] = {}

    def attempt(name: str, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except (Exception, SystemExit) as error:  # of any package, or of the network
            trackers.pop(name, None)
            if tick:
                reason = " ".join(str(error).split())[:200] or type(error).__name__
                tick(f"tracker {name}", 0, 0, f"it failed, and the training goes on without it: {reason}")

    for name in names:
        if (tracker := attempt(name, lambda name=name: TRACKERS[name](about))) is not None:  # type: ignore[misc]
            trackers[name] = tracker
    while (line := told.get()) is not None:
        for name, (tell, _) in list(trackers.items()):
            attempt(name, lambda tell=tell: tell(*line))  # type: ignore[misc]
    for name, (_, end) in list(trackers.items()):
        attempt(name, end)
