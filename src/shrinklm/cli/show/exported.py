"""What `export-model` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from ..printed import say
from ..terminal import Terminal

_MEGA = 1e6


def table(report: Mapping[str, Any]) -> None:
    """The student before and after, a row each, and how far the answers agree."""
    agreement = report["agreement"]
    columns = ("runtime", "bits", "size, MB", "memory, MB", "latency, ms", "accuracy, %")
    shown = Table(box=None, padding=(0, 2, 0, 0))
    for name in columns:
        shown.add_column(name, justify="left" if name == "runtime" else "right")
    for row, bits in ((report["original"], 32), (report["exported"], report["bits"])):
        shown.add_row(
            row["runtime"],
            str(bits),
            f"{row['bytes'] / _MEGA:,.1f}",
            f"{row['memory_bytes'] / _MEGA:,.0f}",
            f"{row['latency_ms']:,.1f}",
            f"{100 * row['accuracy']:.1f}",
        )
    Terminal().print(shown)
    low, high = agreement["accuracy_points_interval"]
    count = report["questions"]
    said = f"{count:,} test questions: {_percent(agreement['same_answers'])} the same answer"
    said += f", {_percent(agreement['same_texts'])} the same text"
    if agreement["same_explanations"] is not None:
        said += f"; of {report['explained']} explanations {_percent(agreement['same_explanations'])} the same"
    say(f"{said}.")
    say(
        f"Accuracy {agreement['accuracy_points']:+.1f} points (95 % interval {low:+.1f} to {high:+.1f}; "
        f"one question is {100 / count:.1f}); {report['bound_points']:g} may be lost."
    )
    if chat := report.get("chat"):
        say(f"In a chat it is the same for {chat['same']} of {chat['asked']} questions.")


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share in (0, 1) else f"{100 * share:.1f} %"
