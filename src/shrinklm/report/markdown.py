"""Results → Markdown, for a repository or a model card: the page without its browser of test items."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from .look import tables, words
from .look.figures import Figure
from .look.tables import NONE, Table
from .page import environment_lines, facts
from .results import Results
from .sections import audit, decision, examples, saliency, saliency_words


def markdown(results: Results, figures: Sequence[Figure]) -> str:
    """The report as GitHub-flavoured Markdown."""
    main, findings = tables.main(results), results.findings
    parts = [f"# {text(words.question(results))}", text(words.answer(results))]
    if cautions := words.cautions(results):
        parts.append("**Read with care**\n\n" + "\n".join(f"- {text(line)}" for line in cautions))
    parts.append("\n".join(f"- {name}: {text(value)}" for name, value in facts(results)))
    by_name = {figure.name: figure for figure in figures}
    parts += _decision(results, by_name)
    parts += ["## The table", text(main.caption)]
    later = ("Explanation", "Student", "Seen in training", "Teacher")
    for groups in ((), later[:1], later[1:]):  # one wide table would not fit where Markdown is read
        picked = [
            at
            for at, column in enumerate(main.columns)
            if at and (column.group in groups if groups else column.group not in later)
        ]
        parts.append(grid(main, [0, *picked]))
    parts += _shown(by_name, "accuracy") + _shown(by_name, "explanations")
    parts.append("## Is the difference real?")
    compared = tables.comparisons(results)
    parts += (
        [text(compared.caption), grid(compared)]
        if compared.lines
        else ["There are no two methods that were scored on the same questions."]
    )
    parts += _shown(by_name, "differences")
    curves = [name for name in by_name if name.startswith(("losses", "dev"))]
    if curves:
        parts += ["## Training", *(part for name in curves for part in _shown(by_name, name))]
    if findings.saliency is not None:
        parts.append(f"## {saliency_words.TITLE}")
        parts += [f"**{name}.** {text(said)}" for name, said in saliency_words.sentences(findings.saliency)]
        for table in (saliency.table(findings.saliency, {}), saliency.refused(findings.saliency)):
            parts += [text(table.caption), grid(table)] if table.lines else []
        parts += _shown(by_name, "saliency") + _shown(by_name, "agreement")
    if audit.found(findings) is not None:
        looked = audit.table(findings)
        parts += [f"## {audit.TITLE}", *(f"**{name}.** {text(said)}" for name, said in audit.sentences(findings))]
        parts += [text(looked.caption), grid(looked), *_shown(by_name, "audit")]
    parts.append("## What was refused, and why")
    steps, unbuilt = tables.steps(results), tables.unbuilt(results)
    parts += [text(steps.caption), grid(steps)] if steps.lines else ["No teacher was asked in this run."]
    parts += [text(unbuilt.caption), grid(unbuilt)] if unbuilt.lines else ["Every pair of every view could be built."]
    held, duplicates = findings.data.get("held_out"), findings.data.get("duplicates")
    if held is not None:
        parts.append(f"{words.count(held)} examples were held out of training because a prompt shows them.")
    if duplicates is not None:
        parts.append(words.duplicates(len(duplicates)))
    parts += ["## Equal exposure", text(words.equal_exposure(results)), grid(tables.cells(results))]
    parts.append("## To do it again")
    if findings.recipe_text:
        parts.append(fenced(findings.recipe_text.rstrip(), "yaml"))
    if findings.env:
        parts.append("\n".join(f"- {name}: {text(value)}" for name, value in environment_lines(findings.env)))
    return "\n\n".join(parts) + "\n"


def _decision(results: Results, figures: dict[str, Figure]) -> list[str]:
    """The section to decide by; nothing when nothing was measured of the explanations."""
    found = decision.decide(results)
    if found is None:
        return []
    parts = [f"## {decision.TITLE}"]
    parts += [f"**{text(name)}.** {text(said)}" for name, said in decision.sentences(results, found)]
    parts += _shown(figures, "tradeoff")
    for shown in examples.examples(results, found):
        choices = ", ".join(
            f"{choice} (right)" if choice == shown.item.answer else choice for choice in shown.item.choices
        )
        lines = [f"> **{text(shown.item.question)}** {text(choices)}", f"> {text(shown.why)}"]
        lines += [
            f"> - {text(results.label(voice.row))}: {text(voice.said.answer or 'no answer')}. {text(voice.said.explanation or '')}"
            for voice in shown.voices
        ]
        parts.append("\n>\n".join([*lines[:2], "\n".join(lines[2:])]))
    table = decision.table(results)
    parts.append(text(table.caption))
    starts = [at for at, line in enumerate(table.lines) if line.kind == "group"]
    for start, end in zip(starts, [*starts[1:], len(table.lines)], strict=True):
        parts += [f"**{text(table.lines[start].cells[0])}**", grid(replace(table, lines=table.lines[start + 1 : end]))]
    return parts


def text(words: str) -> str:
    """Words that Markdown and HTML leave alone."""
    flat = " ".join(words.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", flat)


def grid(table: Table, columns: Sequence[int] | None = None) -> str:
    """A table as Markdown; `columns` picks some of them, and the lines that say anything there."""
    picked = list(range(len(table.columns)) if columns is None else columns)
    heads = [
        f"{group}: {name}" if (group := table.columns[at].group) else name
        for at in picked
        for name in [table.columns[at].name]
    ]
    rows = [
        "| " + " | ".join(text(head) for head in heads) + " |",
        "|" + "|".join("---:" if table.columns[at].numeric else "---" for at in picked) + "|",
    ]
    for line in table.lines:
        if columns is not None and all(line.cells[at] == NONE for at in picked[1:]):
            continue
        below = {at: f" ({note})" for at, note in line.below.items()}
        rows.append("| " + " | ".join(text(line.cells[at] + below.get(at, "")) for at in picked) + " |")
    return "\n".join(rows)


def fenced(code: str, language: str) -> str:
    """A code block whose fence is longer than any run of backticks inside."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", code)), default=0))
    return f"{fence}{language}\n{code}\n{fence}"


def _shown(figures: dict[str, Figure], name: str) -> list[str]:
    if name not in figures:
        return []
    figure = figures[name]
    return [f"![{text(figure.alt)}](report/figures/{name}.png)", f"**{text(figure.title)}.** {text(figure.caption)}"]
