"""What is known of a student → its model card: front matter that huggingface_hub reads, then Markdown.

Names, questions and recipes come from anybody: every text of theirs is escaped, in its cell, its fence or its YAML.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ...core.files import read_json
from ...models.locate import Family, sha256
from ...report.fields import block, finite
from ...report.heading import cautions
from ...report.look.md import fenced, grid, text
from ...report.look.numbers import count, listing, percent, short, size
from ...report.look.tables import NONE, Column, Line, Table
from ...report.measures import Measure, measure_of, ordered
from ...report.results import Row
from ...report.sections import calibration
from ...stats import Estimate
from ...students.saved import NOTE as SAVED
from .about import About
from .recipe import shared
from .snippets import snippets
from .terms import NO_ADVICE, Terms

if TYPE_CHECKING:
    from huggingface_hub import ModelCardData

README = "README.md"
_FIRST = ("accuracy", "f1", "accuracy_likelihood", "unparsed", "length", "rougeL")
"""Measures that every method is shown with."""
_TASKS = {
    "choice": ("multiple-choice", "multiple-choice questions"),
    "nli": ("text-classification", "natural language inference"),
    "yesno": ("text-classification", "yes/no questions"),
    "free": ("question-answering", "questions with free answers"),
}
"""Type of a task → (its name on the Hub, in words)."""
_PIPELINES: dict[Family, str] = {
    "causal": "text-generation",
    "seq2seq": "text2text-generation",
    "encoder": "multiple-choice",
}
"""What a student of a family is asked for, in the Hub's words."""


def card(about: About, title: str, folder: Path) -> str:
    """The text of README.md.

    Args:
        about: What is known of the student.
        title: The model's name: that of its repository, or of its folder.
        folder: Holds the weights.
    """
    front = f"---\n{metadata(about, title, folder).to_yaml()}\n---"
    parts = (
        [f"# {text(title)}", text(_summary(about))],
        _results(about),
        _probabilities(about),
        _use(about),
        _limits(about),
        snippets(about.answering, title, _family(folder)),
        _training(about),
        _licences(about),
        ["## Recipe", fenced(_yaml(shared(about.results.findings.recipe)), "yaml")],
        _provenance(about, folder),
    )
    return "\n\n".join([front, *(part for section in parts for part in section)]) + "\n"


def metadata(about: About, title: str, folder: Path) -> ModelCardData:
    """The front matter."""
    from huggingface_hub import EvalResult, ModelCardData

    task, _ = _TASKS.get(about.answering.type, _TASKS["free"])
    terms = about.base.terms
    metrics = [name for name in ("accuracy", "f1") if name in about.own]
    results = [
        EvalResult(
            task_type=task,
            dataset_type=about.data_hub or _plain(about.task),
            dataset_name=_plain(about.task),
            dataset_split="test",
            metric_type=name,
            metric_name=measure_of(name).name,
            metric_value=round(100 * about.own[name].value, 2),
            metric_args={
                "unit": "percent",
                "questions": about.own[name].n,
                "interval_95": [round(100 * bound, 2) for bound in (about.own[name].low, about.own[name].high)],
            },
        )
        for name in metrics
    ]
    other = bool(terms.id and not terms.hub)
    return ModelCardData(
        license=terms.hub or ("other" if other else "unknown"),
        license_name=terms.id if other else None,
        license_link=terms.link if other else None,
        base_model=about.base.hub or None,
        datasets=[about.data_hub] if about.data_hub else None,
        language=about.data.language or None,
        library_name="transformers",
        pipeline_tag=_PIPELINES[_family(folder)],
        tags=["shrinklm", "distillation", *(["explanations"] if about.answering.explain else []), task],
        metrics=metrics or None,
        model_name=_plain(title) if results else None,
        eval_results=results or None,
    )


def _summary(about: About) -> str:
    _, questions = _TASKS.get(about.answering.type, _TASKS["free"])
    explains = " and explains its answers" if about.answering.explain else ""
    taught = f", with output of {listing([*about.teachers])}" if about.teachers else ", without a teacher"
    return (
        f"A small language model that answers {questions}{explains}: {about.base.name}, trained by the method "
        f"“{about.answering.method}” of shrinklm on {about.task}{taught}."
    )


def _results(about: About) -> Iterator[str]:
    rows = about.results.rows
    shown = [measure_of(name) for name in _FIRST if any(name in row.estimates for row in rows)]
    if not shown:
        yield from ("## Results", "No test question was scored.")
        return
    metric = about.results.primary or shown[0].key
    yield "## Results"
    if metric in about.own:
        yield text(_own(about, measure_of(metric), about.own[metric]))
    yield text(
        f"All methods of the same run, means over {count(len(about.results.findings.items))} test questions and the "
        f"seeds of each; in brackets 95 % bootstrap intervals. {NONE}: does not apply, or was not measured."
    )
    lines = [_line(about, row, shown) for row in rows] + list(_baselines(about, shown))
    columns = (Column("Method", numeric=False), *(Column(_heading(measure)) for measure in shown), Column("Seeds"))
    yield grid(Table("results", "", columns, tuple(lines)))
    others = [measure for measure in ordered(about.row.estimates) if measure.key not in _FIRST]
    if others:
        yield text(f"What else was measured of {about.row.method}:")
        lines = [Line((measure.name, _value(about.row, measure), measure.title)) for measure in others]
        columns = (Column("Measure", numeric=False), Column("Mean"), Column("Meaning", numeric=False))
        yield grid(Table("measures", "", columns, tuple(lines)))


def _probabilities(about: About) -> Iterator[str]:
    """How far the probabilities can be believed, as the report says it; nothing where that was not measured."""
    found = calibration.section(about.results)
    if found is not None and found.context["table"] is not None:
        yield from found.markdown({})


def _own(about: About, measure: Measure, estimate: Estimate) -> str:
    seeds = len(about.row.cells)
    which = f"seed {about.cell.seed}, one of {seeds}" if seeds > 1 else f"seed {about.cell.seed}"
    return (
        f"This model is {about.cell.name} ({which}): {measure.word} {measure.show(estimate.value)} % on "
        f"{count(estimate.n)} test questions (95 % interval {measure.between(estimate.low, estimate.high)}, over "
        "questions)."
    )


def _heading(measure: Measure) -> str:
    return f"{measure.name}, %" if measure.share else measure.name


def _line(about: About, row: Row, shown: list[Measure]) -> Line:
    name = about.results.label(row) + (" (this model's method)" if row is about.row else "")
    diverged = f" ({sum(cell.diverged for cell in row.cells)} diverged)" if row.diverged else ""
    return Line((name + diverged, *(_value(row, measure) for measure in shown), str(len(row.cells))))


def _value(row: Row, measure: Measure) -> str:
    estimate = row.estimates.get(measure.key)
    if estimate is None:
        return NONE
    return f"{measure.show(estimate.value)} ({measure.between(estimate.low, estimate.high)})"


def _baselines(about: About, shown: list[Measure]) -> Iterator[Line]:
    for name, key in (("most frequent answer", "majority"), ("random guess", "random")):
        share = about.results.baseline(key)
        if share is not None and shown[0].key == "accuracy":
            yield Line((name, percent(share), *(NONE for _ in shown[1:]), NONE))


def _use(about: About) -> Iterator[str]:
    answering = about.answering
    _, questions = _TASKS.get(answering.type, _TASKS["free"])
    yield "## What it is for"
    yield text(
        f"Answering {questions} like those of {about.task}, in the form of prompt below, and research "
        "on small models and their explanations."
        + (f" Every question has the options {listing(answering.labels)}." if answering.labels else "")
        + (f" Beside the question it reads: {listing([*answering.fields])}." if answering.fields else "")
    )


def _limits(about: About) -> Iterator[str]:
    answering, data = about.answering, about.results.findings.data
    yield "## Limits"
    limits = [
        "It was trained for one kind of question and one form of prompt, and does not follow other instructions.",
        f"It saw {count(finite(data.get('train')) or 0)} training questions"
        + (f" (language: {about.data.language})" if about.data.language else "")
        + ". What it says of other topics, or in other languages, was not measured.",
    ]
    if answering.explain:
        limits.append(
            "Its explanations are texts that it learned to write. They may be wrong, and need not tell how it came to "
            "its answer: see the measures above, where there are any."
        )
    limits.append("It takes over faults and biases of the model it started from" + (
        ", of its teacher and of its questions." if about.teachers else " and of its questions."
    ))  # fmt: skip
    if answering.temperature is None:
        limits.append("The probabilities of its options are not calibrated.")
    limits.append("Nothing about it was tested for decisions about people.")
    yield "\n".join(f"- {text(limit)}" for limit in [*limits, *cautions(about.results)])


def _training(about: About) -> Iterator[str]:
    data = about.results.findings.data
    splits = ", ".join(
        f"{count(data[name])} {name}" for name in ("train", "dev", "test") if isinstance(data.get(name), int)
    )
    yield "## Training data and teacher"
    source = f"{about.task}{f' ({about.data_hub})' if about.data_hub else ''}"
    lines = [f"Questions: {source}, {splits or 'sizes not known'}. Licence: {_named(about.data.terms)}."]
    for model, kinds in about.teachers.values():
        lines.append(f"Teacher: {model.name}, for {listing(kinds)}. Terms: {_named(model.terms)}.")
    if not about.teachers:
        lines.append("Teacher: none. The method is trained on the answers that came with the questions.")
    lines.append(f"Started from: {about.base.name}. Licence: {_named(about.base.terms)}.")
    yield "\n".join(f"- {_linked(line, about)}" for line in lines)


def _linked(words: str, about: About) -> str:
    """Escaped words, in which the addresses of the table of terms are links."""
    escaped = text(words)
    known = (about.data.terms, about.base.terms, *(model.terms for model, _ in about.teachers.values()))
    for link in {terms.link for terms in known if terms.link}:
        escaped = escaped.replace(text(link), f"<{link}>")
    return escaped


def _named(terms: Terms) -> str:
    return f"{terms.title} ({terms.link})" if terms.id else "not known"


def _licences(about: About) -> Iterator[str]:
    yield "## Licences"
    if about.warnings:
        yield "\n".join(f"- ⚠️ {_linked(warning, about)}" for warning in about.warnings)
    else:
        yield "No restriction on training with the teacher's output, or on the base model, is known here."
    yield NO_ADVICE


def _provenance(about: About, folder: Path) -> Iterator[str]:
    findings, info = about.results.findings, about.cell.info
    base, versions = block(info, "base"), block(findings.env, "versions")
    weights = sorted(folder.glob("*.safetensors"))
    pairs = (
        ("Cell", about.cell.name),
        ("Weights", "; ".join(f"{one.name} {size(one.stat().st_size)}, SHA-256 {sha256((one,))}" for one in weights)),
        ("Parameters", short(info["parameters"]) if finite(info.get("parameters")) else ""),
        ("Base weights", f"{about.base.name} {base.get('revision') or ''}".strip()),
        ("Base tokenizer", str(base.get("tokenizer") or "")),
        ("Teacher's revision", str(findings.generations.get("revision") or "") if about.teachers else ""),
        ("Seed", str(about.cell.seed)),
        ("Trained on", _exposure(about)),
        ("Versions", ", ".join(f"{name} {number}" for name, number in versions.items() if number)),
        ("Python", str(findings.env.get("python") or "")),
        ("Device", str(findings.env.get("device") or "")),
        ("Started", str(findings.env.get("started") or "")),
    )  # fmt: skip
    yield "## Provenance"
    columns = (Column("What", numeric=False), Column("Value", numeric=False))
    yield grid(Table("provenance", "", columns, tuple(Line(pair) for pair in pairs if pair[1])))


def _exposure(about: About) -> str:
    seen = ("examples_seen", "steps", "batch", "tokens_seen")
    numbers = {key: number for key in seen if (number := about.cell.number(key)) is not None}
    words = {"examples_seen": "examples", "steps": "steps", "batch": "examples a step", "tokens_seen": "tokens"}
    return ", ".join(f"{count(number)} {words[key]}" for key, number in numbers.items())


def _family(folder: Path) -> Family:
    """Of the student in a folder."""
    if (folder / SAVED).is_file():
        family: Family = read_json(folder / SAVED)["family"]
        return family
    return "seq2seq" if read_json(folder / "config.json").get("is_encoder_decoder") else "causal"


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120).rstrip()


def _plain(words: str) -> str:
    """On one line, for the front matter."""
    return " ".join(words.split())
