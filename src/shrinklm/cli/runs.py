"""The commands on recipes and runs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import MethodError, RecipeError
from ..core.results import RunFile
from ..run.engines.base import Engine
from .app import Json, Target, Wait, command, open_target
from .engine import asking, placed
from .printed import say, say_json
from .progress import Progress


class Kind(StrEnum):
    """The listings of `list`."""

    tasks = "tasks"
    teachers = "teachers"
    methods = "methods"
    losses = "losses"
    metrics = "metrics"
    students = "students"
    steps = "steps"


@command()
def init(name: Annotated[str, typer.Argument(help="Folder to make.", show_default=False)]) -> None:
    """Write a commented recipe and a sample table to start from."""
    from .init import init as make

    folder = make(Path(name))
    say(
        f"{folder / 'recipe.yaml'} and {folder / 'questions.csv'} are written. Try them: "
        f"shrinklm run {folder / 'recipe.yaml'}"
    )


@command(code=True)
def preview(
    recipe: Target,
    as_json: Json = False,
    limit: Annotated[int, typer.Option(min=0, help="Show the first so many examples; 0: all.")] = 3,
    tokens: Annotated[bool, typer.Option("--tokens", help="Show the student's tokens, and which are scored.")] = False,
    epoch: Annotated[int, typer.Option(min=0, help="As shown in this epoch, counted from 0.")] = 0,
) -> None:
    """Show exactly what each method shows the student."""
    from .show import runs as show

    with Progress() as progress:
        run = open_target(recipe, progress.tick)
        rows = run.preview(limit, tokens, epoch)
        if as_json:
            for row in rows:
                say_json(row)
        else:
            show.preview(rows)


@command(code=True)
def audit(
    recipe: Target,
    as_json: Json = False,
    min_support: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help=(
                "Least share of texts that support their answer; below it the command fails. "
                "Left out: the recipe's."
            ),
            show_default=False,
        ),
    ] = None,
) -> None:  # fmt: skip
    """Look through what the teacher wrote, before any student is trained on it."""
    from ..run.stages import audit as auditing
    from .show import runs as show

    with Progress() as progress:
        run = open_target(recipe, progress.tick)
        figures = run.audit()
    # Before the gate, which raises: whoever fails it needs the figures most.
    if as_json:
        say_json(figures)
    else:
        show.audit(figures)
    for why in figures.get("unweighed", {}).values():
        raise MethodError(why)
    least = run.recipe.audit.min_support if min_support is None else min_support
    if least is not None:
        auditing.gate(figures, run.recipe, run.methods, least)
        if not as_json:
            say(f"Texts support their answers in {100 * least:g} % of the cases or more. Next: shrinklm train {recipe}")


@command(together=True, code=True)
@placed
def train(recipe: Target, engine: Engine | None) -> None:
    """Train every method, student and seed that is not trained yet."""
    from .show import runs as show

    with Progress() as progress:
        run = open_target(recipe, progress.tick, engine)
        show.already(run, "train")
        run.train()
    say(f"Trained. Next: shrinklm evaluate {recipe}")


@command("train-teacher", code=True)
def train_teacher(recipe: Target) -> None:
    """Fine-tune the teacher that marks words (salient: {finetune: ...}), and print its accuracy before and after."""
    from .show import runs as show

    with Progress() as progress:
        accuracy = open_target(recipe, progress.tick).train_teacher()
    show.teacher(accuracy)
    say(f"Fine-tuned. Next: shrinklm generate {recipe}")


@command(code=True)
def saliency(recipe: Target, as_json: Json = False) -> None:
    """Measure the words that moved the teacher: in the gold option, in people's highlights, and by erasing them."""
    from .show import runs as show

    with Progress() as progress:
        figures = open_target(recipe, progress.tick).saliency()
    if as_json:
        say_json(figures)
    else:
        show.saliency(figures)
        say(f"Next: shrinklm report {recipe}")


@command(code=True)
@placed
def evaluate(recipe: Target, engine: Engine | None) -> None:
    """Predictions and scores on the test split."""
    from .show import runs as show

    with Progress() as progress:
        run = open_target(recipe, progress.tick, engine)
        show.already(run, "evaluate")
        run.evaluate()
    show.evaluated(run)
    say(f"Evaluated. Next: shrinklm report {recipe}")


@command(code=True)
@placed
def score(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The folder of a run, or its recipe.", show_default=False)],
    metrics: Annotated[str, typer.Option(help="Names joined by commas (`shrinklm list metrics`).", show_default=False)],
    engine: Engine | None,
    as_json: Json = False,
) -> None:
    """Add metrics to a finished run. No student is trained, and no known answer is generated again."""
    from .show import runs as show

    names = [name.strip() for name in metrics.split(",") if name.strip()]
    if not names:
        raise RecipeError(
            "No metric is named. Write: --metrics faithfulness,length (all of them: shrinklm list metrics)"
        )
    with Progress() as progress:
        target = open_target(run, progress.tick, engine)
        if not as_json:
            show.kept(target.folder)
        scores = target.score(names)
    if as_json:
        say_json(show.means(scores))
    else:
        show.scores(scores, target, names)
        say(f"Scored. Next: shrinklm report {run}")


@command(code=True)
@asking
def judge(recipe: Target, engine: Engine | None, as_json: Json = False) -> None:
    """Have the recipe's judges rate the explanations (judge: {use: [...]}), blind to the method."""
    from .show import judge as show_judge

    with Progress() as progress:
        run = open_target(recipe, progress.tick, engine)
        figures = run.judge()
    if as_json:
        say_json(figures)
    else:
        show_judge.judged(figures)
        say(f"Ratings as a table: {run.folder / RunFile.JUDGED}. Next: shrinklm report {recipe}")


@command(code=True)
def report(recipe: Target, as_json: Json = False) -> None:
    """Write the report: one HTML page, Markdown, CSV, JSON and figures."""
    from .show import runs as show

    show.reported(open_target(recipe).report(), as_json)


@command(together=True, code=True)
@placed
def run(recipe: Target, engine: Engine | None, wait: Wait = False) -> None:
    """Do all stages; whatever is done already is skipped."""
    from .show import runs as show

    with Progress() as progress:
        target = open_target(recipe, progress.tick, engine)
        show.already(target, "train", "evaluate")
        path = target.all(wait)
    show.results(path.parent)
    show.left_out(target)
    show.waiting(target)
    say(f"Report: {path}")


@command("list")
def list_(what: Annotated[Kind, typer.Argument(show_default=False)]) -> None:
    """List what a recipe can name."""
    from .show.listing import listing

    listing(what.value)


@command()
def doctor(
    network: Annotated[bool, typer.Option("--network", help="Also try to reach the model hub.")] = False,
) -> None:
    """What is installed, devices, cache, what is missing and the line that adds it."""
    from .doctor import draw, examine

    draw(examine(network))


@command()
def demo(
    live: Annotated[bool, typer.Option("--live", help="Ask the teacher everything anew, on a small slice.")] = False,
    teacher: Annotated[
        str | None, typer.Option(help="Who teaches live. Left out: the packaged SmolLM2.", show_default=False)
    ] = None,
    folder: Annotated[Path, typer.Option("--dir", help="Where the demo works.")] = Path("shrinklm-demo"),
) -> None:
    """The whole way on the packaged questions: teacher, three methods, one small student, report."""
    from .demo import demo as play

    with Progress() as progress:
        play(folder, live, teacher, progress.tick)


@command("explain-saliency")
def explain_saliency(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The folder of a run, or its recipe.", show_default=False)],
    item: Annotated[str, typer.Option(help="The item's id.", show_default=False)],
    png: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also draw it into this PNG file.", show_default=False)
    ] = None,
) -> None:
    """Show which words of an item moved the model, and which are kept."""
    from ..report import heatmap
    from ..report.marks import read_item
    from .terminal import Terminal

    marked = read_item(open_target(run).folder, item)
    Terminal().print(heatmap.terminal(marked))
    if png is not None:
        heatmap.png(marked, png)
