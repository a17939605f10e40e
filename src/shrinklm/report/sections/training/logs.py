"""The numbers behind the curves, as CSV alone."""

from __future__ import annotations

from typing import Any

from ...findings import Cell
from ...look.tables import Table
from ...results import Results


def loss_log(results: Results) -> Table:
    """Every loss of every cell, as it was logged."""
    records: list[dict[str, Any]] = []
    for cell in results.findings.cells:
        for point in cell.log:
            losses = {name: value for name, value in point.values.items() if name == "loss" or name.startswith("loss/")}
            if losses:
                records.append({**_cell(cell), "examples": point.examples, **losses})
    return Table("losses", "", (), (), tuple(records))


def dev_log(results: Results) -> Table:
    """Every dev accuracy of every cell, as it was logged."""
    records = [
        {
            **_cell(cell),
            "examples": point.examples,
            "dev_accuracy": point.values["dev_accuracy"],
            "dev_n": point.values.get("dev_n"),
        }
        for cell in results.findings.cells
        for point in cell.log
        if "dev_accuracy" in point.values
    ]
    return Table("dev", "", (), (), tuple(records))


def _cell(cell: Cell) -> dict[str, Any]:
    return {"method": cell.method, "student": cell.student, "seed": cell.seed}
