"""What `compare` prints."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from ...report.factorial.analysis import Levels, levels_text
from ...report.factorial.words import decimals, f_value, paragraph
from ...report.look.numbers import fixed, fraction, interval, p_clause
from ..printed import say
from ..terminal import Terminal

if TYPE_CHECKING:
    from ...report.factorial import Factorial, Measured
    from ...stats import Tukey


def comparison(factorial: Factorial) -> None:
    """Print cells, terms, pairs, the rows that were left out, and the paragraph; after removal, p of all rows too."""
    console = Terminal()
    console.print(_cells(factorial))
    console.print(_terms(factorial))
    for within, pairs in groupby(factorial.tukey, key=lambda entry: entry[0]):
        console.print(_pairs(factorial, within, [pair for _, pair in pairs]))
    _listed(
        "Left out as outliers" if factorial.removed else "Outside 1.5 interquartile ranges of their cell, and counted",
        factorial.outliers,
    )
    _listed("Without a value", factorial.unmeasured)
    say("")
    say(paragraph(factorial))


def written(paths: Sequence[Path]) -> None:
    """Print where things were written."""
    if paths:
        say(f"Written: {', '.join(map(str, paths))}")


def _cells(factorial: Factorial) -> Table:
    table = _table([*factorial.levels], ["n", "Mean", "SD"], f"{factorial.value} by cell")
    digits = decimals(factorial)
    for cell in factorial.cells:
        numbers = (str(cell.n), *("-" if value is None else fixed(value, digits) for value in (cell.mean, cell.sd)))
        table.add_row(*(Text(level) for level in cell.levels.values()), *numbers)
    return table


def _terms(factorial: Factorial) -> Table:
    whole = factorial.everything
    extra = ["p, all rows"] if whole else []
    table = _table(["Term"], ["df", "F", "p", "Partial η²", *extra], "Type-II analysis of variance")
    for index, term in enumerate(factorial.anova.terms):
        beside = [_p(whole.anova.terms[index].p)] if whole else []
        table.add_row(
            Text(term.term),
            f"{term.df1}, {term.df2}",
            f_value(term.F),
            _p(term.p),
            fraction(term.partial_eta2),
            *beside,
        )
    levene = factorial.levene
    beside = [_p(whole.levene.p) if whole.levene else "not tested"] if whole else []
    figures = ("-", "-", "not tested")
    if levene is not None:
        figures = (f"{levene.df1}, {levene.df2}", f_value(levene.statistic), _p(levene.p))
    table.add_section()
    table.add_row("Levene over the cells", *figures, "", *beside)
    return table


def _pairs(factorial: Factorial, within: Levels, pairs: Sequence[Tukey]) -> Table:
    whole, digits = factorial.everything, decimals(factorial)
    table = _table(
        [factorial.first],
        ["Difference", "95 % interval", "p", *(["p, all rows"] if whole else [])],
        "Tukey" + _at(within),
    )
    known = {(pair.a, pair.b): pair.p for where, pair in whole.tukey if where == within} if whole else {}
    for pair in pairs:
        beside = [_p(known.get((pair.a, pair.b), float("nan")))] if whole else []
        names = Text(f"{pair.a} \N{MINUS SIGN} {pair.b}")
        table.add_row(names, fixed(pair.difference, digits), interval(pair.low, pair.high, digits), _p(pair.p), *beside)
    return table


def _at(within: Levels) -> str:
    return f" at {levels_text(within)}" if within else ""


def _table(left: Sequence[str], right: Sequence[str], title: str) -> Table:
    table = Table(title=Text(title), title_justify="left")
    for name in left:
        table.add_column(Text(name), overflow="fold")
    for name in right:
        table.add_column(name, justify="right", no_wrap=name == "95 % interval")
    return table


def _listed(title: str, rows: Sequence[Measured]) -> None:
    if rows:
        say(f"{title}:")
        for row in rows:
            say(f"  {row.named()}")


def _p(p: float) -> str:
    return "-" if p != p else p_clause(p).removeprefix("p = ").removeprefix("p ")
