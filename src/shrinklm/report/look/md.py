"""Text, tables and figures as GitHub-flavoured Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from .figures import Figure
from .tables import NONE, Table


def text(words: str) -> str:
    """Words on one line, with everything escaped that Markdown or HTML would read as markup."""
    # A line break would end a table's row or a list's entry.
    flat = " ".join(words.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", flat)


def grid(table: Table, columns: Sequence[int] | None = None) -> str:
    """A table's rows; `columns` picks some columns, and with them the lines that hold anything there."""
    picked = list(range(len(table.columns)) if columns is None else columns)
    rows = [
        "| " + " | ".join(text(table.columns[index].heading) for index in picked) + " |",
        "|" + "|".join("---:" if table.columns[index].numeric else "---" for index in picked) + "|",
    ]
    for line in table.lines:
        if columns is not None and all(line.cells[index] == NONE for index in picked[1:]):
            continue
        rows.append("| " + " | ".join(text(line.texts[index]) for index in picked) + " |")
    return "\n".join(rows)


def captioned(table: Table) -> list[str]:
    """A table below its caption, as blocks; none for a table without lines."""
    return [text(table.caption), grid(table)] if table.lines else []


def picture(figures: Mapping[str, Figure], name: str) -> list[str]:
    """The figure of that name and its caption, as blocks; none where it was not drawn."""
    if name not in figures:
        return []
    figure = figures[name]
    return [f"![{text(figure.alt)}](report/figures/{name}.png)", f"**{text(figure.title)}.** {text(figure.caption)}"]


def paragraphs(sentences: Sequence[tuple[str, str]]) -> list[str]:
    """(heading, sentence) as blocks that begin with the heading in bold."""
    return [f"**{text(heading)}.** {text(sentence)}" for heading, sentence in sentences]


def fenced(code: str, language: str) -> str:
    """A code block whose fence is longer than any run of backticks inside."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", code)), default=0))
    return f"{fence}{language}\n{code}\n{fence}"
