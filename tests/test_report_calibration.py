"""The section about probabilities: what it says, when it says why not, its table, its figure."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from report_run import METHODS, STUDENT, add_likelihoods, write_run
from shrinklm.evaluation.confidence import confidence
from shrinklm.report import build
from shrinklm.report.findings import read
from shrinklm.report.results import compare
from shrinklm.report.sections import calibration
from shrinklm.stats import calibration_error


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_run(tmp_path_factory.mktemp("calibration") / "run", items=40)
    add_likelihoods(folder)
    return folder


def said(folder: Path) -> str:
    """The section's sentences."""
    part = calibration.section(compare(read(folder), resamples=50))
    assert part is not None
    return " ".join(text for _, text in part.context["sentences"])


def test_the_table_holds_the_figures_of_the_predictions(run: Path) -> None:
    page = build(run)
    with (run / "report" / "calibration.csv").open(encoding="utf-8") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert list(rows) == [*METHODS, "zero-shot"]
    findings = read(run)
    cells = [cell for cell in findings.cells if cell.method == "finetune"]
    for name, temperature in (("ece_before", None), ("ece_after", 3.0)):
        shares = [
            [confidence(cell.predictions[item.id], item.choices, temperature) for item in findings.items]
            for cell in cells
        ]
        expected = calibration_error(shares, np.stack([cell.scores["accuracy"] for cell in cells]), resamples=10)
        assert float(rows["finetune"][name]) == pytest.approx(expected.value, rel=1e-5)
    assert rows["finetune"]["temperatures"] == "3 3"
    assert float(rows["finetune"]["ece_gain_low"]) <= float(rows["finetune"]["ece_gain"])
    assert (rows["zero-shot"]["ece_after"], rows["zero-shot"]["dev_questions"]) == ("", "0")
    html = page.read_text(encoding="utf-8")
    assert '<section id="calibration">' in html
    assert "Confidence and accuracy" in html
    text = (run / "report.md").read_text(encoding="utf-8")
    assert "## Probabilities" in text
    assert "calibration error 4" in text or "calibration error 3" in text, "the figure's numbers stand in its alt text"


def test_a_change_is_called_one_only_where_the_test_shows_it(run: Path) -> None:
    text = said(run)
    found = next(part for part in text.split(". ") if "finetune from" in part)
    assert "smaller, p" in found.partition("multitask from")[0]
    assert "multitask+counterfactual:revised from" in found
    assert "(no difference shown, p > .999)" in found, "at a temperature of 1 nothing changes"


def test_answers_without_a_confidence_are_counted(run: Path) -> None:
    measured = calibration.measure(compare(read(run), resamples=50))
    unread = sum(
        row["answer"] is None
        for seed in (0, 1)
        for row in pq.read_table(run / "cells" / f"finetune--{STUDENT}--s{seed}" / "predictions.parquet").to_pylist()
    )
    assert measured[0].without == unread
    assert measured[0].before.error.n <= 40


def test_it_says_why_there_is_nothing(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", items=8, methods=("finetune",), seeds=(0,), zero_shot=False)
    assert "shrinklm evaluate RECIPE" in said(folder)
    recipe = (folder / "recipe.yaml").read_text()
    (folder / "recipe.yaml").write_text(recipe + "evaluate: {calibrate: 0}\n")
    assert "The recipe turns it off" in said(folder)
    rows = pq.read_table(folder / "examples.parquet").to_pylist()
    from report_run import _parquet

    _parquet(folder / "examples.parquet", [{**row, "choices": []} for row in rows])
    assert "no options" in said(folder)


def test_unread_answers_are_no_answers_of_an_earlier_version(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", items=8, methods=("finetune",), seeds=(0,), zero_shot=False)
    add_likelihoods(folder)
    path = folder / "cells" / f"finetune--{STUDENT}--s0" / "predictions.parquet"
    from report_run import _parquet

    _parquet(path, [{**row, "answer": None} for row in pq.read_table(path).to_pylist()])
    assert said(folder).startswith("No answer could be read")


def test_probabilities_that_are_not_calibrated_are_called_so(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", items=12, methods=("finetune", "multitask"), seeds=(0,))
    add_likelihoods(folder, calibrated=False)
    assert "stand as they are: no dev questions were asked" in said(folder)
    home = folder / "cells" / f"finetune--{STUDENT}--s0" / "calibration.json"
    home.write_text(json.dumps({"temperature": {"value": None, "n": 7}, "questions": 7}))
    assert "7 dev questions are too few for a temperature" in said(folder)
    for name in ("finetune", "multitask"):
        fit = {"value": 100.0, "low": 9.0, "high": 100.0, "n": 60, "bound": "high"}
        path = folder / "cells" / f"{name}--{STUDENT}--s0" / "calibration.json"
        path.write_text(json.dumps({"temperature": fit, "questions": 60}))
    assert "say next to nothing of which option is right" in said(folder)


def test_a_diverged_student_has_no_probabilities_and_the_others_do(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", items=10, methods=("finetune", "multitask"), seeds=(0,), zero_shot=False)
    add_likelihoods(folder)
    path = folder / "cells" / f"finetune--{STUDENT}--s0" / "predictions.parquet"
    from report_run import _parquet

    rows = pq.read_table(path).to_pylist()
    _parquet(path, [{**row, "likelihoods": [math.nan] * 5} for row in rows])
    measured = calibration.measure(compare(read(folder), resamples=50))
    assert [entry.row.method for entry in measured] == ["multitask"]


def test_likelihoods_that_were_added_later_are_read(run: Path, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", items=40)
    for home in (folder / "cells").iterdir():
        (home / "likelihoods.parquet").write_bytes((run / "cells" / home.name / "predictions.parquet").read_bytes())
    later, first = (calibration.measure(compare(read(each), resamples=50)) for each in (folder, run))
    assert [entry.before for entry in later] == [entry.before for entry in first]
