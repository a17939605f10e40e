"""`shrinklm compare`: the paper's table out of its cells, what outliers decide, bad tables, figures and words."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from cli_cases import call
from r_reference import read as read_reference
from shrinklm.core.errors import TableError
from shrinklm.report.factorial import Factorial, Measured, analyze, as_json, paragraph, read
from shrinklm.report.look.figures import Figure
from shrinklm.report.look.numbers import p_clause
from shrinklm.stats import levene

PUBLISHED = {
    ("CF:U", "base"): (51.70, 2.27, 5, (60.52,)),
    ("MT:U", "base"): (64.36, 0.77, 5, (50.78,)),
    ("MT+CF:U", "base"): (59.62, 0.41, 4, (64.46, 55.77)),
    ("MT+CF:R", "base"): (61.94, 1.24, 6, ()),
    ("CF:U", "large"): (69.32, 1.30, 5, (51.11,)),
    ("MT:U", "large"): (75.56, 0.77, 5, ()),
    ("MT+CF:U", "large"): (75.86, 0.71, 4, (72.48,)),
    ("MT+CF:R", "large"): (73.66, 0.44, 5, (76.49,)),
}
"""Accuracy on CommonsenseQA (arXiv 2504.16056): mean, deviation and number of the runs that its authors kept, and the
runs that they left out.

The analysis needs no more than that, so runs of these means and deviations have the published F, p and effect sizes.
"""


def write(path: Path, rows: list[tuple[object, ...]], header: str = "model,model_size,seed,test accuracy") -> Path:
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n", encoding="utf-8")
    return path


def paper(path: Path) -> Path:
    rows: list[tuple[object, ...]] = []
    for (model, size), (mean, sd, n, outside) in PUBLISHED.items():
        steps = np.linspace(-1, 1, n)
        values = [*(mean + sd * steps / steps.std(ddof=1)), *outside]
        rows += [(model, size, seed, f"{value:.9f}") for seed, value in enumerate(values)]
    return write(path, rows)


def found_in(
    path: Path, drop: bool = False, factors: tuple[str, ...] = ("model", "model_size"), value: str = "test accuracy"
) -> Factorial:
    return analyze(read(path, value, factors), value, drop)


@pytest.fixture(scope="module")
def dropped(tmp_path_factory: pytest.TempPathFactory) -> Factorial:
    return found_in(paper(tmp_path_factory.mktemp("paper") / "runs.csv"), drop=True)


@pytest.fixture(scope="module")
def drawn(dropped: Factorial) -> dict[str, Figure]:
    from shrinklm.report.factorial.figures import draw_all

    return {figure.name: figure for figure in draw_all(dropped)}


def test_without_the_outliers_the_paper_s_analysis_comes_out(dropped: Factorial) -> None:
    assert (dropped.n, len(dropped.removed)) == (39, 7)
    assert sorted(row.value or 0 for row in dropped.removed) == [50.78, 51.11, 55.77, 60.52, 64.46, 72.48, 76.49]
    assert [(term.df1, term.df2) for term in dropped.anova.terms] == [(3, 31), (1, 31), (3, 31)]
    # The published means and deviations have two decimals; that is what these tolerances allow for.
    assert [term.F for term in dropped.anova.terms] == pytest.approx([124.2, 1392, 18.6], rel=5e-3)
    assert [term.partial_eta2 for term in dropped.anova.terms] == pytest.approx([0.923, 0.978, 0.642], abs=1e-3)
    assert all(term.p < 0.001 for term in dropped.anova.terms)


def test_without_the_outliers_the_paper_s_pairs_come_out(dropped: Factorial) -> None:
    pairs = {(within["model_size"], pair.a, pair.b): pair for within, pair in dropped.tukey}
    assert len(pairs) == 12
    published = {
        ("base", "MT:U", "MT+CF:U"): (4.73, 0.0006),
        ("base", "MT:U", "MT+CF:R"): (2.41, 0.051),
        ("base", "MT+CF:U", "MT+CF:R"): (-2.32, 0.086),
        ("large", "MT+CF:U", "MT+CF:R"): (2.20, 0.009),
        ("large", "MT:U", "MT+CF:R"): (1.90, 0.017),
        ("large", "MT:U", "MT+CF:U"): (-0.30, 0.96),
    }
    for key, (difference, p) in published.items():
        assert pairs[key].difference == pytest.approx(difference, abs=0.015)
        assert pairs[key].p == pytest.approx(p, rel=0.06)
    for size in ("base", "large"):
        assert all(pairs[size, "CF:U", other].p < 0.001 for other in ("MT:U", "MT+CF:U", "MT+CF:R"))
    assert sorted(
        -pairs["base", "CF:U", other].difference for other in ("MT:U", "MT+CF:U", "MT+CF:R")
    ) == pytest.approx([7.9, 10.2, 12.7], abs=0.05)


def test_with_every_run_in_the_paper_s_check_comes_out(dropped: Factorial) -> None:
    whole = dropped.everything
    assert whole is not None
    assert (whole.n, whole.removed, whole.everything) == (46, (), None)
    assert whole.outliers == dropped.removed
    assert [term.F for term in whole.anova.terms] == pytest.approx([13.5, 134.1, 0.33], rel=5e-3, abs=5e-3)
    assert whole.anova.terms[2].p == pytest.approx(0.80, abs=0.005)
    assert whole.anova.df == 38
    for _, pair in whole.tukey:
        assert pair.p < 0.032 if "CF:U" in (pair.a, pair.b) else pair.p > 0.7
    means = {tuple(cell.levels.values()): (round(cell.mean or 0, 2), cell.n) for cell in whole.cells}
    assert [*whole.levels] == ["model", "model_size"]
    assert means == {
        ("CF:U", "base"): (53.17, 6),
        ("MT:U", "base"): (62.10, 6),
        ("MT+CF:U", "base"): (59.78, 6),
        ("MT+CF:R", "base"): (61.94, 6),
        ("CF:U", "large"): (66.28, 6),
        ("MT:U", "large"): (75.56, 5),
        ("MT+CF:U", "large"): (75.18, 5),
        ("MT+CF:R", "large"): (74.13, 6),
    }


def test_the_paragraph_says_what_the_outliers_decide(dropped: Factorial) -> None:
    said = paragraph(dropped)
    assert "39 rows in 8 cells of 4 to 6" in said
    assert "model F(3, 31) = 124.3, p < .001, partial η² = .923" in said
    assert "MT:U above MT+CF:U by 4.74" in said
    assert "7 of 46 rows were left out as outliers" in said
    assert "line 7 (60.52)" in said
    assert (
        "This rests on the rows left out. With all 46 rows in: model × model_size p = .803 instead of p < .001" in said
    )
    assert "MT:U and MT+CF:U at model_size base p = .720 instead of p < .001" in said
    assert dropped.everything is not None
    assert "7 rows outside 1.5 interquartile ranges of a cell count too" in paragraph(dropped.everything)


def test_outliers_that_decide_nothing_are_said_to(tmp_path: Path) -> None:
    rows = [(model, "s", seed, base + 0.1 * seed) for model, base in (("a", 1.0), ("b", 9.0)) for seed in range(6)]
    path = write(tmp_path / "runs.csv", [*rows, ("b", "s", 9, 11.0)])
    said = paragraph(found_in(path, drop=True, factors=("model",)))
    assert "With all 13 rows in, every one of these findings stays on the same side of p = .050." in said
    assert "Between levels of model Tukey's test (95 % intervals) shows b above a by 8.00" in said


def test_a_table_of_r_through_the_command(tmp_path: Path) -> None:
    """Two factors of three and two levels against R's car::Anova (tests/data/r/anova.json)."""
    data, theirs = (read_reference("anova")[key]["sim01_bal"] for key in ("data", "R"))
    columns = [data["f"]["F0"], data["f"]["F1"], range(len(data["y"])), data["y"]]
    path, out = write(tmp_path / "runs.csv", list(zip(*columns, strict=True)), "F0,F1,run,y"), tmp_path / "d" / "o.json"
    done = call("compare", path, "--value", "y", "--factors", "F0,F1", "--json", out, "--figures", tmp_path / "figures")
    assert done.exit_code == 0, done.output
    found = json.loads(out.read_text(encoding="utf-8"))
    assert (found["value"], found["factors"], found["n"], found["removed"]) == ("y", ["F0", "F1"], 30, [])
    for term, row in zip(found["anova"], theirs["terms"], strict=True):
        assert (term["term"], term["df1"], term["df2"]) == (row["term"], row["df"], theirs["df"])
        figures = [term[key] for key in ("sum_of_squares", "F", "p", "partial_eta2")]
        assert figures == pytest.approx([row["SS"], row["F"], row["p"], row["eta"]], rel=1e-9)
    assert found["residual"]["sum_of_squares"] == pytest.approx(theirs["rss"])
    groups: dict[str, list[float]] = {}
    for first, second, _, value in zip(*columns, strict=True):
        groups.setdefault(f"{first} {second}", []).append(value)
    assert found["levene"]["p"] == pytest.approx(levene(groups).p)
    assert [cell["mean"] for cell in found["cells"]] == pytest.approx(
        [np.mean(groups[f"{cell['F0']} {cell['F1']}"]) for cell in found["cells"]]
    )
    assert {tuple(row["within"]) for row in found["tukey"]} == {("F1",)}
    assert found["paragraph"] in done.output.replace("\n", " ")
    assert f"Tukey at F1 {data['f']['F1'][0]}" in done.output
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        f"{name}.{kind}" for name in ("cells", "differences", "normality") for kind in ("pdf", "png")
    }
    assert "Written:" in done.output


def test_removed_rows_are_named_by_all_they_hold(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    path = paper(tmp_path / "runs.csv")
    done = call(
        "compare",
        path,
        "--value",
        "test accuracy",
        "--factors",
        "model,model_size",
        "--drop-outliers",
        "iqr",
        "--json",
        out,
    )
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["removed"][0] == {
        "row": 6,
        "place": "runs.csv, line 7",
        "value": 60.52,
        "model": "CF:U",
        "model_size": "base",
        "columns": {"seed": "5"},
    }
    assert "runs.csv, line 7 (60.52; model CF:U, model_size base, seed 5)" in done.output
    assert found["with_outliers"]["n"] == 46
    assert ".803" in done.output, "p of all rows stands beside"


def test_three_factors_are_tested_with_all_interactions(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [(a, b, c, rng.normal()) for a in "xy" for b in "uvw" for c in "st" for _ in range(3)]
    found = found_in(write(tmp_path / "runs.csv", rows, "a,b,c,v"), factors=("a", "b", "c"), value="v")
    assert [term.term for term in found.anova.terms] == ["a", "b", "c", "a:b", "a:c", "b:c", "a:b:c"]
    assert [dict(within) for within, _ in found.tukey] == [{"b": b, "c": c} for b in "uvw" for c in "st"]


def test_rows_without_a_value_are_named_and_not_counted(tmp_path: Path) -> None:
    rows = [
        ("a", "s", 0, 1.0),
        ("a", "s", 1, "NaN"),
        ("a", "s", 2, 2.0),
        ("b", "s", 0, 3.5),
        ("b", "s", 1, ""),
        ("b", "s", 2, 4.0),
    ]
    path = write(tmp_path / "runs.csv", rows)
    found = found_in(path, factors=("model",))
    assert (found.n, [row.row for row in found.unmeasured]) == (4, [2, 5])
    assert "4 rows in 2 cells of 2. 2 rows without a value could not count." in paragraph(found)
    assert (
        "runs.csv, line 3 (no value; model a, model_size s, seed 1)"
        in call("compare", path, "--value", "test accuracy", "--factors", "model").output
    )


def test_empty_cells_and_cells_of_one_row_are_said(tmp_path: Path) -> None:
    rows = [
        ("a", "s", 0, 1.0),
        ("a", "s", 1, 1.5),
        ("b", "s", 0, 3.0),
        ("b", "s", 1, 3.2),
        ("a", "l", 0, 2.0),
        ("c", "l", 0, 2.5),
    ]
    found = found_in(write(tmp_path / "runs.csv", rows))
    assert [cell.n for cell in found.cells] == [2, 1, 2, 0, 0, 1]
    notes = " ".join(found.notes)
    assert "Empty cells: model b, model_size l; model c, model_size s." in notes
    assert "Cells of one row, which say nothing of spread: model a, model_size l; model c, model_size l." in notes
    assert "model:model_size cannot be tested" in notes
    assert "No pairs of model are compared at model_size l: every cell has one row." in notes
    assert all(note in paragraph(found) for note in found.notes)
    exported = json.loads(json.dumps(as_json(found), allow_nan=False))
    assert exported["cells"][3] == {"model": "b", "model_size": "l", "n": 0, "mean": None, "sd": None}
    assert exported["anova"][2]["F"] is None
    assert (
        call("compare", tmp_path / "runs.csv", "--value", "test accuracy", "--factors", "model,model_size").exit_code
        == 0
    )


def test_spread_is_not_tested_between_cells_of_two_rows(tmp_path: Path) -> None:
    rows = [
        (model, "s", seed, base + step * seed) for model, base, step in (("a", 1, 1), ("b", 5, 3)) for seed in (0, 1)
    ]
    found = found_in(write(tmp_path / "runs.csv", rows), factors=("model",))
    assert found.levene is None
    reason = "no cell has more than two rows (seeds), and two always lie equally far from their median"
    assert f"Whether the cells differ in spread cannot be tested (Levene): {reason}." in paragraph(found)
    assert "differ in spread, which" not in paragraph(found)
    exported = json.loads(json.dumps(as_json(found), allow_nan=False))["levene"]
    assert exported == {"statistic": None, "df1": None, "df2": None, "p": None, "why": f"Not tested: {reason}."}
    result = call("compare", tmp_path / "runs.csv", "--value", "test accuracy", "--factors", "model")
    assert result.exit_code == 0
    row = next(line for line in result.output.splitlines() if "Levene over the cells" in line)
    assert "not tested" in row
    assert "inf" not in row


def test_spread_is_compared_between_cells_of_three_rows_alone(tmp_path: Path) -> None:
    """Beside one cell of three, cells of two make differences of spread: 21 % false alarms with 2, 2, 2 and 3 rows."""
    rng = np.random.default_rng(0)

    def study(sizes: tuple[int, ...]) -> Factorial:
        rows = [(f"m{m}", "s", seed, rng.normal()) for m, n in enumerate(sizes) for seed in range(n)]
        return found_in(write(tmp_path / "runs.csv", rows), factors=("model",))

    alone = study((2, 2, 2, 3))
    assert alone.levene is None
    assert "cannot be tested (Levene): only one cell has more than two rows (seeds)" in paragraph(alone)
    mixed = study((2, 3, 4, 1))
    assert mixed.levene is not None
    assert (mixed.levene.df1, mixed.levene.df2) == (1, 5)
    assert "cells of fewer than three rows left out: 2)" in paragraph(mixed)
    assert "left out" not in paragraph(study((3, 4)))


def test_equal_rows_are_no_crash(tmp_path: Path) -> None:
    apart = [(model, "s", seed, value) for model, value in (("a", 1), ("b", 2)) for seed in range(3)]
    for rows, said in ((apart, "counts as certain"), ([(*row[:3], 5) for row in apart], "counts as certain")):
        found = found_in(write(tmp_path / "runs.csv", rows), factors=("model",))
        assert said in paragraph(found)
        json.dumps(as_json(found), allow_nan=False)
        assert (
            call(
                "compare",
                tmp_path / "runs.csv",
                "--value",
                "test accuracy",
                "--factors",
                "model",
                "--figures",
                tmp_path / "f",
            ).exit_code
            == 0
        )


MODEL = ("test accuracy", "model")
"""The value and the factor that the bad tables are compared by."""


@pytest.mark.parametrize(
    ("rows", "arguments", "said"),
    [
        ([("a", "s", 0, 1)], ("accuracy", "model"),
         "Did you mean 'test accuracy'? Columns found: model, model_size, seed"),
        ([("a", "s", 0, 1)], ("test accuracy", "Modle"), "no column 'Modle'. Did you mean 'model'?"),
        ([("a", "s", 0, 1), ("b", "s", 0, "n. a.")], MODEL, "line 3: test accuracy is 'n. a.', which is no number"),
        ([("a", "s", 0, '"60,5"')], MODEL, "Write decimals with a point"),
        ([("a", "s", 0, "inf")], MODEL, "line 2: test accuracy is infinite"),
        ([("a", "s", 0, 1), (" ", "s", 0, 1)], MODEL, "line 3: no model. Every row needs a level"),
        ([("a", "s", 0, 1), ("a", "s", 1, 2)], MODEL, "has one level ('a') in every row with a value (2)"),
        ([("a", "s", 0, 1), ("b", "s", 1, "")], MODEL, "has one level ('a') in every row with a value (1)"),
        ([("a", "s", 0, 1), ("b", "s", 1, 2)], MODEL, "Every cell of model has one row"),
        ([("a", "s", 0, ""), ("b", "s", 1, "NA")], MODEL, "No row has a value in 'test accuracy'"),
        ([("a", "s", 0, 1)], ("test accuracy", "model,model"), "'model' is asked for twice"),
        ([("a", "s", 0, 1)], ("seed", "model,seed"), "'seed' is asked for twice"),
        ([("a", "s", 0, 1)], ("test accuracy", ","), "No factor is named"),
        ([("a", "s", 0)], MODEL, "line 2 has 3 values, the header has 4"),
        ([], MODEL, "empty"),
    ],
)  # fmt: skip
def test_bad_tables_are_met_with_a_sentence(
    tmp_path: Path, rows: list[tuple[object, ...]], arguments: tuple[str, str], said: str
) -> None:
    path = write(tmp_path / "runs.csv", rows)
    done = call("compare", path, "--value", arguments[0], "--factors", arguments[1])
    assert done.exit_code == 1
    assert said in done.stderr
    assert "Traceback" not in done.output


def test_other_bad_input(tmp_path: Path) -> None:
    done = call("compare", tmp_path / "none.csv", "--value", "v", "--factors", "f")
    assert (done.exit_code, "No file at" in done.stderr) == (1, True)
    path = write(tmp_path / "semicolons.csv", [("a;1",)], "model;acc")
    assert [row.value for row in read(path, "acc", ["model"])] == [1.0]
    with pytest.raises(TableError, match="A factor cannot be called 'mean'"):
        read(path, "acc", ["mean"])
    many = [
        Measured(number, "", 1.0 * number, {"a": str(number // 2 % 40), "b": str(number % 39)}, {})
        for number in range(1600)
    ]
    with pytest.raises(
        TableError, match=r"a × b makes 1,560 cells; at most 500 are compared\. Is 'a', of 40 levels, a factor"
    ):
        analyze([*many, many[0]], "v")
    done = call(
        "compare",
        paper(tmp_path / "runs.csv"),
        "--value",
        "test accuracy",
        "--factors",
        "model",
        "--json",
        path / "out.json",
    )
    assert (done.exit_code, "cannot be written" in done.stderr) == (1, True)


def test_rows_of_two_files_with_equal_numbers_are_told_apart(tmp_path: Path) -> None:
    one = write(tmp_path / "one.csv", [("a", "s", seed, value) for seed, value in enumerate((1.0, 1.1, 1.2, 1.3, 9.0))])
    two = write(tmp_path / "two.csv", [("b", "s", seed, 3 + seed / 10) for seed in range(5)])
    rows = [row for path in (one, two) for row in read(path, "test accuracy", ["model"])]
    found = analyze(rows, "test accuracy", drop_outliers=True)
    assert (found.n, [row.location for row in found.removed]) == (9, ["one.csv, line 6"])


def test_twenty_thousand_rows_take_seconds() -> None:
    rng = np.random.default_rng(0)
    rows = [
        Measured(i, "", float(rng.normal()), {"a": str(i % 2), "b": str(i // 10 % 5), "c": str(i % 3)}, {})
        for i in range(20_000)
    ]
    start = time.process_time()
    found = analyze(rows, "x", drop_outliers=True)
    assert time.process_time() - start < 20
    assert found.anova.residuals.shape == (found.n,)
    assert found.shapiro is None, "Shapiro-Wilk knows up to 5,000 values"


def test_p_is_on_the_side_that_is_shown() -> None:
    assert [p_clause(p) for p in (0.0498, 0.05, 0.0502, 0.034, 1e-9, 0.9997, 1.0)] == [
        "p = .0498", "p = .0500", "p = .0502", "p = .034", "p < .001", "p > .999", "p > .999",
    ]  # fmt: skip


def test_figures_show_every_run_and_say_it_in_words(drawn: dict[str, Figure]) -> None:
    assert list(drawn) == ["cells", "differences", "normality"]
    assert "model MT:U, model_size base: 64.36 (n 5)" in drawn["cells"].alt
    assert "crosses: rows left out" in drawn["cells"].caption
    assert drawn["differences"].alt.count(" minus ") == 12
    assert "Shapiro–Wilk W = " in drawn["normality"].caption
    for figure in drawn.values():
        assert figure.png.startswith(b"\x89PNG")
        assert b"/FontFile2" in figure.pdf


def test_equal_tables_give_equal_figures(dropped: Factorial, drawn: dict[str, Figure]) -> None:
    from shrinklm.report.factorial.figures import draw_all

    assert {figure.name: figure.png for figure in draw_all(dropped)} == {
        name: figure.png for name, figure in drawn.items()
    }
