"""Numbers in words: percentages, intervals, p values, sizes, durations, lists."""

from __future__ import annotations

from collections.abc import Sequence

MINUS, DASH = "\u2212", "\u2013"
ALPHA = 0.05
"""Significance level: at or above it a difference is not called one."""
NO_DIFFERENCE = "no difference that this data can show"
THESE_QUESTIONS = "With one training each, intervals and p-values speak of these questions, not of training again."
"""Said wherever methods with one seed are compared: another seed may turn the difference round."""


def percent(share: float) -> str:
    """0.4917 → "49.2"."""
    return f"{100 * share:.1f}"


def points(difference: float) -> str:
    """A difference of shares in percentage points, with its sign."""
    text = f"{100 * difference:+.1f}"
    return text.replace("-", MINUS) if float(text) else "0.0"


def p_value(p: float) -> str:
    """A p value with three decimals and no leading zero, "< .001" below that: `p_clause` without its letter."""
    return p_clause(p).removeprefix("p = ").removeprefix("p ")


def p_clause(p: float) -> str:
    """A p value as papers write it: "p = .034", "p < .001"; a fourth digit where three would hide the side of ALPHA."""
    if p < 0.001 or p > 0.999:
        return "p < .001" if p < 0.5 else "p > .999"
    return f"p = {fraction(p)}" if round(p, 3) != ALPHA else f"p = {p:.4f}".replace("0", "", 1)


def fraction(value: float) -> str:
    """A number between 0 and 1 with three decimals and no leading zero; "not known" for NaN."""
    return f"{value:.3f}".removeprefix("0") if value == value else "not known"


def fixed(value: float, digits: int) -> str:
    """A number with `digits` decimals and a true minus, which a rounded zero does not get."""
    text = f"{value:,.{digits}f}"
    return text.replace("-", MINUS) if text.strip("-0.") else text.removeprefix("-")


def interval(low: float, high: float, digits: int) -> str:
    """(10.13, 15.19) → "10.13 to 15.19"."""
    return f"{fixed(low, digits)} to {fixed(high, digits)}"


def count(number: float) -> str:
    """A whole number with commas."""
    return f"{number:,.0f}"


def plural(number: int, noun: str) -> str:
    """A number of things: "1 trained cell", "6 trained cells"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def short(number: float) -> str:
    """1,234,567 → "1.23 M"."""
    for scale, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= scale:
            return f"{number / scale:.3g} {unit}"
    return f"{number:.3g}"


def size(number: float) -> str:
    """Bytes in decimal units."""
    for scale, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= scale:
            return f"{number / scale:.3g} {unit}"
    return f"{number:.0f} B"


def duration(seconds: float) -> str:
    """Seconds as "45 s", "12 min" or "3.4 h"."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def dollars(cost: float) -> str:
    """ "$0.42", with more digits below a cent."""
    return f"${cost:,.2f}" if cost >= 0.01 or not cost else f"${cost:.4f}"


def listing(names: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""
