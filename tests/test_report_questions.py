"""Figures side by side stand on the same questions, and what a method lacks is told and counted."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from report_run import METHODS, _parquet, write_run
from shrinklm.report import build
from shrinklm.report.alignment import align
from shrinklm.report.findings import read
from shrinklm.report.results import Results, Row, compare
from shrinklm.report.sections.decision.choice import decide
from shrinklm.report.sections.decision.table import measures_table
from shrinklm.report.sections.decision.words import sentences
from shrinklm.report.sections.table.overview import main_table

FINETUNE, MULTITASK, REVISED = METHODS
READABLE, ITEMS = 37, 60
NAN = float("nan")


def spoil(folder: Path, method: str, **metrics: Any) -> None:
    """Replace scores of a method's cells: metric → value of each question, None for not scored."""
    for home in (folder / "cells").glob(f"{method.replace(':', '_')}--*"):
        rows = [row for row in pq.read_table(home / "scores.parquet").to_pylist() if row["metric"] not in metrics]
        rows += [
            {**rows[0], "example_id": f"q{index:03d}", "metric": metric, "value": float(value), "rater": None}
            for metric, values in metrics.items()
            for index, value in enumerate(values)
            if value is not None
        ]
        _parquet(home / "scores.parquet", rows)


def unreadable(folder: Path, seeds: tuple[int, ...] = (0,)) -> Results:
    """MULTITASK supports 48 of its 60 answers; REVISED has 37 that can be read, and supports them all."""
    write_run(folder, methods=(MULTITASK, REVISED), seeds=seeds)
    gone = [None] * (ITEMS - READABLE)
    spoil(
        folder,
        MULTITASK,
        accuracy=[1] * 40 + [0] * 20,
        unparsed=[0] * 60,
        # It supports fewer where the other one can be read.
        supports_predicted=[0] * 12 + [1] * 48,
        names_answer=[1] * 30 + [0] * 30,
    )
    spoil(
        folder,
        REVISED,
        accuracy=[1] * READABLE + [0] * len(gone),
        unparsed=[0] * READABLE + [1] * len(gone),
        supports_predicted=[1] * READABLE + gone,
        names_answer=[1] * READABLE + gone,
    )
    return compare(read(folder), resamples=300)


def row_of(results: Results, method: str) -> Row:
    return next(row for row in results.rows if row.method == method)


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_a_method_that_cannot_be_read_is_not_taken(tmp_path: Path, seeds: tuple[int, ...]) -> None:
    results = unreadable(tmp_path / "run", seeds)
    decision = decide(results)
    assert decision is not None
    assert decision.axis.key == "supports_predicted"
    assert [row.method for row in decision.front] == [MULTITASK]
    text = dict(sentences(results, decision))
    assert text["Take"].startswith(f"{MULTITASK}: ")
    assert REVISED in text["Behind the front"]
    revised = row_of(results, REVISED)
    assert revised.estimates["supports_predicted"].value == pytest.approx(READABLE / ITEMS)
    assert revised.estimates["supports_predicted"].n == ITEMS
    assert revised.missing("supports_predicted") == pytest.approx(1 - READABLE / ITEMS)


def test_a_measure_that_counts_nothing_against_anybody_is_over_the_questions_all_have(tmp_path: Path) -> None:
    results = unreadable(tmp_path / "run")
    own, other = row_of(results, MULTITASK), row_of(results, REVISED)
    assert {row.estimates["names_answer"].n for row in (own, other)} == {READABLE}
    assert own.estimates["names_answer"].value == pytest.approx(30 / 37)
    assert other.estimates["names_answer"].value == 1.0
    assert (own.missing("names_answer"), other.missing("names_answer")) == (0.0, pytest.approx(23 / 60))
    line = next(line for line in measures_table(results).lines if line.cells[0].startswith("Names its own answer"))
    assert "without" not in line.below[1]
    assert line.below[2].endswith("38.3 % without")
    assert "count against it" in measures_table(results).caption
    assert f"{REVISED} 38.3 %" in main_table(results).caption
    build(tmp_path / "run")
    rows = list(csv.DictReader((tmp_path / "run" / "report" / "measures.csv").open(encoding="utf-8")))
    found = next(row for row in rows if row["measure"] == "names_answer" and row["method"] == REVISED)
    assert (found["n"], float(found["missing"])) == ("37", pytest.approx(23 / 60, abs=1e-6))


def test_an_area_is_shown_with_its_chance_and_stays_between_0_and_1(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    write_run(folder, methods=(MULTITASK, REVISED), seeds=(0,))
    # Most questions add 1.2 to the area, some 0.1: resampled means reach beyond 1.
    near = [1.2] * 48 + [0.1] * 12
    spoil(folder, MULTITASK, discriminator=near, discriminator_chance=[0.57] * 60, discriminator_p=[0.001] * 60)
    spoil(folder, REVISED, discriminator=[1.0] * 60)
    results = compare(read(folder), resamples=300)
    area, told = (row_of(results, name).estimates["discriminator"] for name in (MULTITASK, REVISED))
    assert area.value == pytest.approx(0.98)
    assert 0.8 < area.low < 0.95
    assert area.high == 1.0
    # Told at every question: as of a share, that is not to say always.
    assert (told.value, told.high) == (1.0, 1.0)
    assert told.low == pytest.approx(0.9399, abs=1e-4)  # Wilson's of 60
    lines = {line.cells[0]: line for line in measures_table(results).lines}
    assert lines["Told from the reference, %"].cells[1:3] == ("98.0", "100.0")
    assert lines["the same by chance, up to, %"].kind == "chance"
    assert lines["p of chance"].cells[1] == "0.001"


def test_the_differences_are_those_of_the_figures(tmp_path: Path) -> None:
    write_run(tmp_path / "run", methods=(MULTITASK, REVISED), seeds=(0,))
    spoil(tmp_path / "run", MULTITASK, cf_consistency=[1] * 30 + [0] * 30, cf_baseline=[0] * 60)
    spoil(tmp_path / "run", MULTITASK, accuracy=[1] * 20 + [0] * 40)
    spoil(tmp_path / "run", REVISED, cf_consistency=[None] * 15 + [0] * 45, cf_baseline=[None] * 15 + [0] * 45)
    spoil(tmp_path / "run", REVISED, accuracy=[1] * 40 + [0] * 20)
    results = compare(read(tmp_path / "run"), resamples=300)
    decision = decide(results)
    assert decision is not None
    assert decision.axis.key == "cf_gain"
    (step,) = decision.steps
    gains = [row.estimates["cf_gain"] for row in (row_of(results, MULTITASK), row_of(results, REVISED))]
    assert [gain.n for gain in gains] == [45, 45]
    assert step.explanations is not None
    assert step.explanations.difference == pytest.approx(gains[0].value - gains[1].value)
    assert "25.0 % have no score, left out of all" in dict(sentences(results, decision))["If right answers count most"]


def test_too_few_questions_are_not_ranked_and_take_none_from_others(tmp_path: Path) -> None:
    write_run(tmp_path / "run", methods=(MULTITASK, REVISED), seeds=(0,))
    few = [1] * 6 + [None] * 54
    spoil(tmp_path / "run", MULTITASK, cf_consistency=[1] * 30 + [0] * 30, cf_baseline=[0] * 60)
    spoil(tmp_path / "run", REVISED, cf_consistency=few, cf_baseline=[0] * 6 + [None] * 54)
    results = compare(read(tmp_path / "run"), resamples=300)
    decision = decide(results)
    assert decision is not None
    assert [row.method for row in decision.rows] == [MULTITASK]
    assert row_of(results, MULTITASK).estimates["cf_gain"].n == 60
    assert dict(sentences(results, decision))["Not ranked"].startswith(f"{REVISED} (")


def test_a_simulator_that_answered_less_of_one_method(tmp_path: Path) -> None:
    write_run(tmp_path / "run", methods=(MULTITASK, REVISED), seeds=(0, 1))
    half = [index % 2 for index in range(60)]
    names = ("sim_question", "sim_explanation", "sim_both")
    spoil(tmp_path / "run", MULTITASK, **dict.fromkeys(names, half))
    spoil(tmp_path / "run", REVISED, **dict.fromkeys(names, half[:40] + [None] * 20))
    results = compare(read(tmp_path / "run"), resamples=100)
    for row in results.trained:
        assert row.estimates["las"].n == row.estimates["sim_both"].n == 40
    assert row_of(results, REVISED).missing("las") == pytest.approx(1 / 3)


def test_an_untrained_student_holds_nobody_to_what_it_can_say() -> None:
    whole, part = np.ones((1, 8)), np.array([[1.0, 0, NAN, NAN, NAN, 1, 1, 1]])
    trained, other, untrained = align(
        [{"length": whole}, {"length": part}, {"length": np.array([[5.0, *[NAN] * 7]])}], [True, True, False]
    )
    assert np.isfinite(trained["length"].values).sum() == np.isfinite(other["length"].values).sum() == 5
    assert np.isfinite(untrained["length"].values).sum() == 1
    assert untrained["length"].missing == pytest.approx(7 / 8)


def test_a_baseline_stands_on_the_questions_of_its_measure() -> None:
    aoc, baseline = np.full((1, 6), 0.5), np.array([[0.1, 0.1, 0.1, 0.1, NAN, NAN]])
    (only,) = align([{"early_aoc": aoc, "early_baseline": baseline, "length": aoc}], [True])
    assert [np.isfinite(only[key].values).sum() for key in ("early_aoc", "early_baseline", "length")] == [4, 4, 6]


def test_methods_without_a_common_question_keep_their_own() -> None:
    first, second = np.array([[1.0, 1, NAN, NAN]]), np.array([[NAN, NAN, 0.0, 0]])
    a, b = align([{"length": first}, {"length": second}], [True, True])
    np.testing.assert_array_equal(a["length"].values, first)
    np.testing.assert_array_equal(b["length"].values, second)
