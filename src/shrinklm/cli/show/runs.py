"""What the commands on recipes and runs print."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from ...core.errors import StoreError
from ...core.results import CellFile, RunFile, read_scores
from ...run.folder import weightless
from ..printed import say
from ..terminal import Terminal
from . import percent

if TYPE_CHECKING:
    from ...core.types import Score
    from ...run.run import Run

_BLANKS = str.maketrans({"Ġ": " ", "Ċ": "\n", "▁": " ", "ĉ": "\t"})
"""Blanks and line feeds as tokenizers write them → as they are."""


def already(run: Run, *stages: str) -> None:
    """How much of each stage (train, evaluate) is done before it starts."""
    for stage in stages:
        cells = [cell for cell in run.cells if stage != "train" or cell.method.views]
        done = sum(cell.trained if stage == "train" else cell.scored for cell in cells)
        if done:
            say(f"Already {stage.removesuffix('e')}ed: {done} of {len(cells)}.")
    if "evaluate" in stages:
        kept(run.folder)


def kept(folder: Path) -> None:
    """The students whose weights are gone, of which predictions and scores are used as they are."""
    names = weightless(folder)
    if names:
        say(
            f"Weights are missing or damaged: {', '.join(names)}. Their predictions are kept, and nothing is trained. "
            "To train them again: shrinklm train RECIPE"
        )


def waiting(run: Run) -> None:
    """How many questions a cascade has passed on that the recipe does not train on."""
    from ...run.stages.cascade import waiting as wait

    if number := wait(run.recipe):
        say(
            f"{number:,} questions that were passed on wait as training rows. To train on them: another `name`, and "
            f"cascade: {{learn: {run.recipe.name}}}"
        )


def left_out(run: Run, named: Sequence[str] = ()) -> None:
    """Which of the metrics that were named, here or in the recipe, mean nothing for the options of this task."""
    from ...evaluation.score import REFERENCED
    from ...evaluation.score import left_out as without

    block = run.recipe.evaluate
    names = named or (block.metrics if "metrics" in block.model_fields_set else ())
    metrics, labels = without(run.splits["test"], names)
    if metrics:
        say(
            f"Left out: {', '.join(metrics)}. All questions have the same options ({', '.join(labels)}): "
            "labels of the task, which an explanation need not name."
        )
    compared = [name for name in names if name in REFERENCED]
    if compared and not any(example.meta.get("reference") for example in run.tests()):
        say(
            f"Without a score: {', '.join(compared)}. They compare with explanations of the test questions, and there "
            "are none: a live teacher is asked about training questions. Name the task's own, task: {columns: "
            "{explanation: COLUMN}}, or a recording that holds the test questions too."
        )


_AUDIT = (
    ("occurs_as_said", "Answer occurs in it, as said, %"),
    ("occurs", "  as kept, %"),
    ("named", "  as whole words, %"),
    ("support", "Supports its answer, %"),
    ("argues_other", "Argues for another option, %"),
    ("leaks", "States the answer outright, %"),
    ("names_other", "Names other options, %"),
    ("others", "  how often in a text"),
    ("words", "Words"),
    ("hedges", "Hedges in a text"),
)
"""What is shown of an audit, a line each."""


def weighed(summaries: Mapping[str, Mapping[str, Any]]) -> None:
    """The figures by which samples are weighed, and whose texts are chosen."""
    for name, found in summaries.items():
        table = Table(
            "Figure", "Texts", "Mean", "Quartiles", "Mean by weight", title=f"Weights {name}", title_justify="left"
        )
        for column in table.columns[1:]:
            column.justify = "right"
        for figure, values in found["figures"].items():
            low, middle, high = values["quartiles"]
            chosen = "-" if values["chosen"] is None else f"{values['chosen']:.3f}"
            table.add_row(
                figure, f"{values['n']:,}", f"{values['mean']:.3f}", f"{low:.3f} {middle:.3f} {high:.3f}", chosen
            )
        Terminal().print(table)
        shares = (
            f"{teacher} {percent(each['share'])} % of the weight, alone the most in {each['won']:,}"
            for teacher, each in found["teachers"].items()
        )
        say(
            f"Of {found['questions']:,} questions: {'; '.join(shares)}; several in {found['tied']:,}. "
            f"{found['dropped']:,} texts weigh nothing."
            + (f" In the mean as many count as {found['effective']:.1f} equal ones." if "effective" in found else "")
        )


def audit(figures: Mapping[str, Any]) -> None:
    """What the teacher's texts are like, a column for each step."""
    steps = figures["steps"]
    table = Table(
        f"{figures['examples']:,} questions", *steps, title=f"Audit of {figures['teacher']}", title_justify="left"
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for key, title in (("n", "Texts"), ("missing", "Not asked for yet"), ("empty", "Empty"), ("cut", "Cut off")):
        if key != "missing" or any(values[key] for values in steps.values()):
            table.add_row(title, *(f"{values[key]:,}" for values in steps.values()))
    table.add_row("Refused", *(f"{sum(values['refused'].values()):,}" for values in steps.values()))
    for key, title in _AUDIT:
        if any(values[key] is not None for values in steps.values()):
            show = percent if title.endswith("%") else _one
            table.add_row(title, *(show(values[key]) for values in steps.values()))
    Terminal().print(table)
    for step, values in steps.items():
        for reason, number in values.get("left_out", {}).items():
            say(f"{number:,} texts of {step} are {reason}.")
        if values.get("left_out"):
            say(f"Of the texts of {step} that stay, {percent(values['support_left'])} % support their answer.")
    for step, values in figures["again"].items():
        say(
            f"{step.capitalize()} after {values['from']}, {values['n']:,} pairs: "
            f"{percent(values['changed'])} % changed; "
            f"{percent(values['gained'])} % gained the answer's name, {percent(values['lost'])} % lost it; "
            f"{values['words_before']:.1f} to {values['words_after']:.1f} words."
        )
    weighed(figures.get("weighed", {}))
    for step, values in steps.items():
        if values["missing"]:
            say(
                f"{values['missing']:,} texts of {step} were not asked for yet. Run: "
                f"shrinklm generate RECIPE --step {step}"
            )


def _one(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def results(folder: Path) -> None:
    """The main figures of a report, from its table."""
    path = folder / RunFile.REPORT / "table.csv"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error}. Make it again with: shrinklm report {folder}") from error
    students = {row["student"] for row in rows if row.get("student")}
    metric = "f1" if any(row.get("f1") for row in rows) else "accuracy"
    names = ["Method", "Student"] if len(students) > 1 else ["Method"]
    columns = ("F1, %" if metric == "f1" else "Accuracy, %", "95 % interval", "Unparsed, %", "Words in explanation")
    table = Table(*names, *columns)
    for column in table.columns:
        column.overflow = "fold"
    for column in table.columns[-len(columns) :]:
        column.justify = "right"
    for row in rows:
        between = (
            f"{_share(row, f'{metric}_low')} to {_share(row, f'{metric}_high')}" if row.get(f"{metric}_low") else ""
        )
        length = f"{float(row['length']):.1f}" if row.get("length") else ""
        named = [row[name.lower()] for name in names]
        unparsed = _share(row, "unparsed")
        table.add_row(*(Text(value) for value in (*named, _share(row, metric), between, unparsed, length)))
    Terminal().print(table)


def reported(path: Path, as_json: bool = False) -> None:
    """The main figures of a report and where it is; as JSON the answer and all of its tables."""
    if as_json:
        print((path.parent / RunFile.REPORT / "results.json").read_text(encoding="utf-8"), end="")
        return
    kept(path.parent)
    results(path.parent)
    say(f"Report: {path}")


def evaluated(run: Run) -> None:
    """What each cell answers, and how much of it could not be read."""
    files = {cell.name: cell.folder / CellFile.SCORES for cell in run.cells}
    titles = {"accuracy": "Accuracy, %", "f1": "F1, %", "accuracy_likelihood": "By likelihood, %",
              "unparsed": "Unparsed, %"}  # fmt: skip
    figures = means({cell: read_scores(path) for cell, path in files.items() if path.is_file()})
    names = [name for name in titles if any(name in metrics for metrics in figures.values())]
    table = Table("Cell", *(titles[name] for name in names), "Questions")
    for column in table.columns[1:]:
        column.justify = "right"
    for cell, metrics in figures.items():
        shares = ("" if name not in metrics else f"{100 * metrics[name]['mean']:.1f}" for name in names)
        asked = max((metrics[name]["n"] for name in names if name in metrics), default=0)
        table.add_row(Text(cell), *shares, f"{asked:,}")
    Terminal().print(table)
    left_out(run)


def _share(row: Mapping[str, str], name: str) -> str:
    return f"{100 * float(row[name]):.1f}" if row.get(name) else ""


def preview(rows: Iterable[Mapping[str, Any]]) -> None:
    """Each pair as the student meets it; with tokens, the scored ones stand out."""
    console = Terminal()
    method = None
    for row in rows:
        if "summary" in row:
            _summary(console, row["summary"])
            return
        if row["method"] != method:
            method = row["method"]
            console.rule(Text(method, style="bold"), align="left")
        about = f"{row['view']} · weight {row['weight']:g} · example {row['example_id']}"
        about += f" · states: {row['option']}" if row["option"] else ""
        about += (
            f" · read, not scored: to character {row['scored_characters'][0]}" if "scored_characters" in row else ""
        )
        for weight in dict.fromkeys(weight for _, _, weight in row.get("emphasis", ())):
            spans = (row["target"][start:end].strip() for start, end, each in row["emphasis"] if each == weight)
            about += f" · × {weight:g}: {' | '.join(spans)}"
        console.print(Text(about, style="cyan"))
        console.print(_tokens(row["tokens"], row["scored"]) if "tokens" in row else _pair(row), soft_wrap=True)
        console.print()


def _pair(row: Mapping[str, Any]) -> Text:
    target, (start, end) = row["target"], row.get("scored_characters", (0, len(row["target"])))
    return Text.assemble(row["prompt"], "\n", target[:start], (target[start:end], "bold green"), target[end:])


def _tokens(tokens: Sequence[str], scored: Sequence[bool]) -> Text:
    """Scored tokens stand out by colour, and where there is none by brackets; a bar stands between two of them."""
    text, inside = Text(), False
    for token, counts in zip(tokens, scored, strict=True):
        border = {(False, True): "⟨", (True, True): "|", (True, False): "⟩"}.get((inside, counts), "")
        text.append(border, style="dim").append(token.translate(_BLANKS), style="bold green" if counts else "")
        inside = counts
    return text.append("⟩" if inside else "", style="dim")


def _summary(console: Terminal, summary: Mapping[str, Any]) -> None:
    console.rule(Text("summary", style="bold"), align="left")
    say(f"{summary['examples']:,} training examples")
    for method, views in summary["pairs"].items():
        say(
            f"{method}: "
            + (", ".join(f"{view} {count:,}" for view, count in views.items()) or "asked as it is, not trained")
        )
    for split, rows in summary.get("left_out", {}).items():
        for value, count in rows.items():
            say(f"left out of {split} by task.where: {count:,} with {value}")
    for step, reasons in summary["refused"].items():
        for reason, count in reasons.items():
            say(f"refused {step}: {count:,}: {reason}")
    if any(not count for views in summary["pairs"].values() for count in views.values()):
        say("A view with 0 pairs lacks its generations. Make them with: shrinklm generate RECIPE")


def teacher(accuracy: Mapping[str, Any]) -> None:
    """A teacher's accuracy on test questions before and after fine-tuning."""
    for when in ("before", "after"):
        estimate = accuracy[when]
        if estimate is not None:
            say(f"Accuracy {when} fine-tuning: {percent(estimate)}, {estimate['n']:,} test questions")


def saliency(figures: Mapping[str, Any]) -> None:
    """What the words that each step marked are worth, beside chance."""
    table = Table("Words", "Items", "In gold option", "F1 with people", "AUPRC", "Comprehensive", "Sufficient")
    for column in table.columns[1:]:
        column.justify = "right"
    for step, figure in figures["steps"].items():
        people, erased = figure["highlight"] or {}, [figure.get(name) for name in ("comprehensiveness", "sufficiency")]
        nats = [
            "-" if value is None else f"{value['value']:.2f} ({value['low']:.2f}–{value['high']:.2f})"
            for value in erased
        ]
        shares = [percent(value) for value in (figure["gold_hit"], people.get("f1"), people.get("auprc"))]
        table.add_row(step, f"{figure['n']:,}", *shares, *nats)
    chance = figures["chance"]
    people = chance["highlight"] or {}
    table.add_row(
        "chance",
        "",
        *(percent(value) for value in (chance["gold_hit"], people.get("f1"), people.get("auprc"))),
        "",
        "",
    )
    Terminal().print(table)


def means(scores_of_cells: Mapping[str, Sequence[Score]]) -> dict[str, dict[str, dict[str, float]]]:
    """Cell → metric → its mean over so many questions."""
    values: dict[str, dict[str, list[float]]] = {cell: {} for cell in scores_of_cells}
    for cell, scores in scores_of_cells.items():
        for score in scores:
            values[cell].setdefault(score.metric, []).append(score.value)
    return {
        cell: {name: {"mean": sum(numbers) / len(numbers), "n": len(numbers)} for name, numbers in metrics.items()}
        for cell, metrics in values.items()
    }


def scores(scores_of_cells: Mapping[str, Sequence[Score]], run: Run, named: Sequence[str]) -> None:
    """The mean of every new score, a row a cell and metric; and which of the named metrics have none."""
    table = Table("Cell", "Metric", "Mean", "Questions")
    for column in table.columns[2:]:
        column.justify = "right"
    for cell, metrics in means(scores_of_cells).items():
        for name, figure in metrics.items():
            table.add_row(Text(cell), name, f"{figure['mean']:.3f}", f"{figure['n']:,}")
        table.add_section()
    Terminal().print(table)
    left_out(run, named)
