"""The report as a whole: what it writes, what it says, and what it does when pieces are missing."""

from __future__ import annotations

import csv
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import shrinklm.report
from report_run import METHODS, STUDENT, write_run
from shrinklm.core.errors import StoreError
from shrinklm.report import build, heading
from shrinklm.report.findings import read
from shrinklm.report.look import numbers
from shrinklm.report.results import Results, compare
from shrinklm.report.sections import FOLDER, SECTIONS, assemble
from shrinklm.report.sections.exposure.cells import equal_exposure

GOLDEN = Path(__file__).parent / "golden" / "report.md"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_run(tmp_path_factory.mktemp("report") / "run")
    build(folder)
    return folder


@pytest.fixture(scope="module")
def found(run: Path) -> Results:
    return compare(read(run))


def results_of(folder: Path, **options: Any) -> Results:
    return compare(read(write_run(folder, **options)), resamples=500)


def table(run: Path, name: str = "table") -> list[dict[str, str]]:
    return list(csv.DictReader((run / "report" / f"{name}.csv").open(encoding="utf-8")))


def test_build_writes_page_markdown_tables_and_figures(run: Path) -> None:
    names = {
        str(path.relative_to(run)) for path in [*run.glob("report*"), *(run / "report").rglob("*")] if path.is_file()
    }
    figures = {
        f"report/figures/{name}.{kind}"
        for name in ("accuracy", "differences", "explanations", "losses", "dev")
        for kind in ("pdf", "png")
    }
    tables = {
        f"report/{name}.csv" for name in ("table", "comparisons", "seeds", "generations", "unbuilt", "losses", "dev")
    }
    assert names == {"report.html", "report.md", "report/results.json"} | figures | tables
    assert not list(run.glob(".*")), "scratch folders must go"


def test_the_same_run_gives_the_same_bytes(run: Path) -> None:
    before = {path: path.read_bytes() for path in [*run.glob("report.*"), *(run / "report").rglob("*.*")]}
    assert build(run) == run / "report.html"
    changed = [path.name for path, content in before.items() if path.read_bytes() != content]
    assert changed == []


def test_markdown_is_the_golden_one(run: Path) -> None:
    """Look at the difference, and when it is meant: UPDATE_GOLDEN=1 pytest tests/test_report.py"""
    text = (run / "report.md").read_text(encoding="utf-8")
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_table_holds_the_means_of_the_scores(run: Path) -> None:
    rows = {row["method"]: row for row in table(run)}
    for method in METHODS:
        kept = [
            score["value"]
            for path in (run / "cells").glob(f"{method.replace(':', '_')}--*/scores.parquet")
            for score in pq.read_table(path).to_pylist()
            if score["metric"] == "accuracy"
        ]
        assert len(kept) == 120
        assert float(rows[method]["accuracy"]) == pytest.approx(sum(kept) / len(kept), rel=1e-6)
        assert (
            float(rows[method]["accuracy_low"]) < float(rows[method]["accuracy"]) < float(rows[method]["accuracy_high"])
        )
    assert float(rows["majority"]["accuracy"]) == 0.2333
    assert float(rows["teacher"]["accuracy"]) == 0.7833


def test_every_method_pays_for_the_steps_it_needs_alone(found: Results) -> None:
    tokens = {row.method: row.teacher_tokens for row in found.rows}
    step = {
        name: block["tokens_in"] + block["tokens_out"] for name, block in found.findings.generations["steps"].items()
    }
    assert tokens["finetune"] == tokens["zero-shot"] == 0
    assert tokens["multitask"] == step["explanation"]
    assert tokens["multitask+counterfactual:revised"] == sum(
        step.values()
    )  # a revision quotes an explanation and a critique


def test_pairs_are_every_two_methods_and_gains_are_against_the_untrained(found: Results) -> None:
    assert {(pair.first.method, pair.second.method) for pair in found.pairs} == {
        (METHODS[1], METHODS[0]),
        (METHODS[2], METHODS[0]),
        (METHODS[2], METHODS[1]),
    }
    assert {pair.second.method for pair in found.gains} == {"zero-shot"}
    for pair in found.pairs:
        assert pair.adjusted >= pair.comparison.p
        assert sorted(pair.by_seed) == [0, 1]
        means = [row.estimates["accuracy"].value for row in (pair.first, pair.second)]
        assert pair.comparison.difference == pytest.approx(means[0] - means[1])


def test_a_clear_difference_is_named(found: Results) -> None:
    text = heading.answer(found)
    assert text.startswith("multitask+counterfactual:revised works best: it answers ")
    assert "Holm-adjusted p" in text
    assert "Every trained student is above the untrained student" in text


@pytest.mark.usefixtures("page_alone")
def test_of_one_seed_nothing_is_said_of_training_again(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", seeds=(0,), items=150)
    build(folder)
    found = compare(read(folder))
    assert any(pair.separated for pair in found.pairs)
    text = heading.answer(found)
    assert "works best" not in text
    assert "speak of these questions, not of training again" in text
    written = json.loads((folder / "report" / "results.json").read_text(encoding="utf-8"))
    assert written["answer"] == text
    for rows in (written["tables"]["comparisons"], table(folder, "comparisons")):
        assert {row["speaks_of"] for row in rows} == {"these questions"}
        assert {int(row["seeds"]) for row in rows} == {1}
    assert "| these questions |" in (folder / "report.md").read_text(encoding="utf-8")
    assert "significant" not in (folder / "report.html").read_text(encoding="utf-8")


def test_of_two_seeds_p_speaks_of_training_too(found: Results) -> None:
    assert {pair.comparison.unit for pair in (*found.pairs, *found.gains)} == {"questions and seeds"}
    assert "these questions" not in heading.answer(found)


def test_equal_methods_show_no_difference(tmp_path: Path) -> None:
    found = results_of(tmp_path / "run", methods=("finetune", "multitask"), items=40)
    assert not found.pairs[0].separated
    text = heading.answer(found)
    assert "there is no difference that this data can show" in text
    assert "works best" not in text


def test_one_method_is_compared_with_nothing(tmp_path: Path) -> None:
    found = results_of(tmp_path / "run", methods=("multitask",), seeds=(0,))
    assert "with one method there is nothing to compare it with" in heading.answer(found)
    assert any("one seed only" in line for line in heading.cautions(found))


@pytest.mark.usefixtures("page_alone")
def test_defect_24_a_diverged_run_is_shown_marked_and_in_the_mean(tmp_path: Path) -> None:
    lost = f"multitask--{STUDENT}--s1"
    folder = write_run(tmp_path / "run", diverged=lost)
    page = build(folder).read_text(encoding="utf-8")
    row = next(row for row in table(folder) if row["method"] == "multitask")
    cells = {cell["cell"]: cell for cell in table(folder, "seeds")}
    assert row["diverged"] == "1"
    assert row["seeds"] == "2"
    assert float(row["accuracy"]) == pytest.approx(
        (float(cells[lost]["accuracy"]) + float(cells[f"multitask--{STUDENT}--s0"]["accuracy"])) / 2, rel=1e-6
    )
    assert "(1 of 2 seeds diverged)" in page
    assert f"1 trained cell diverged ({lost})" in page


def test_defects_21_and_22_unequal_exposure_is_said(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    assert equal_exposure(compare(read(folder), resamples=50)).startswith(
        "Every one of the 6 trained cells saw 1,920 examples in 120 "
    )
    path = folder / "cells" / f"multitask--{STUDENT}--s0" / "cell.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "examples_seen": 960, "steps": 60}))
    found = compare(read(folder), resamples=50)
    assert equal_exposure(found).startswith("Exposure was not equal")
    assert any("confounded with exposure" in line for line in heading.cautions(found))


@pytest.mark.parametrize(
    "missing",
    [
        ["data.json", "env.json", "generations.json", "recipe.yaml"],
        ["examples.parquet"],
        ["cells/*/train.jsonl", "cells/*/timing.json"],
        ["cells/*/scores.parquet"],
        ["cells/*/predictions.parquet", "cells/*/scores.parquet"],
    ],
)
@pytest.mark.usefixtures("page_alone")
def test_missing_files_leave_a_report_that_says_so(tmp_path: Path, missing: list[str]) -> None:
    folder = write_run(tmp_path / "run", items=20)
    for pattern in missing:
        for path in folder.glob(pattern):
            path.unlink()
    page = build(folder).read_text(encoding="utf-8")
    assert "multitask" in page
    said = {
        "data.json": "data.json is missing",
        "examples.parquet": "examples.parquet is missing",
        "cells/*/train.jsonl": "No training log",
        "cells/*/scores.parquet": "No trained student has been scored yet",
        "cells/*/predictions.parquet": "has no predictions",
    }
    assert said[missing[0]] in page


@pytest.mark.usefixtures("page_alone")
def test_no_zero_shot_no_explanations_one_seed(tmp_path: Path) -> None:
    folder = write_run(
        tmp_path / "run", methods=("finetune", "multitask"), seeds=(3,), zero_shot=False, logs=False, explanations=False
    )
    page = build(folder).read_text(encoding="utf-8")
    assert "No explanation was scored." in page
    assert not (folder / "report" / "figures" / "losses.pdf").exists()
    assert not compare(read(folder), resamples=50).gains


def test_several_students_are_compared_each_with_itself(tmp_path: Path) -> None:
    found = results_of(tmp_path / "run", students=("a-small", "b-small"), seeds=(0,), items=30)
    assert len(found.pairs) == 6
    assert all(pair.first.student == pair.second.student for pair in found.pairs)
    assert (
        heading.question(found)
        == "Which way of shrinking qwen2.5-1.5b into a-small and b-small works best on everyday?"
    )
    assert "on a-small" in heading.answer(found)


def test_a_log_with_nan_and_a_cut_last_line_is_read(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", items=5, seeds=(0,))
    path = folder / "cells" / f"finetune--{STUDENT}--s0" / "train.jsonl"
    path.write_text('{"step": 1, "examples": 16, "loss": NaN, "loss/predict": Infinity}\n{"step": 2, "exam')
    cell = next(cell for cell in read(folder).cells if cell.method == "finetune")
    assert len(cell.log) == 1
    assert math.isnan(cell.log[0].values["loss/predict"])


def test_a_person_s_rating_is_not_a_metric(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", items=5, seeds=(0,))
    path = folder / "cells" / f"finetune--{STUDENT}--s0" / "scores.parquet"
    rows = pq.read_table(path).to_pylist()
    rows.append(
        {"run": rows[0]["run"], "example_id": rows[0]["example_id"], "metric": "accuracy", "value": 5.0, "rater": "p1"}
    )
    import pyarrow as pa

    pq.write_table(pa.Table.from_pylist(rows), path)
    cell = next(cell for cell in read(folder).cells if cell.method == "finetune")
    assert cell.scores["accuracy"].max() <= 1


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: [path.unlink() for path in folder.glob("cells/*/cell.json")], "shrinklm train"),
        (lambda folder: (folder / "data.json").write_text("{broken"), "data.json is not JSON"),
        (lambda folder: (folder / "recipe.yaml").write_text("a: [b"), "recipe.yaml is not YAML"),
        (lambda folder: (folder / "examples.parquet").write_bytes(b"PAR1 no"), "cannot be read as Parquet"),
    ],
)
def test_a_broken_run_folder_says_what_to_do(tmp_path: Path, spoil: Any, message: str) -> None:
    folder = write_run(tmp_path / "run", items=5, seeds=(0,))
    spoil(folder)
    with pytest.raises(StoreError, match=message):
        build(folder)


def test_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"There is no run folder .* shrinklm run"):
        build(tmp_path / "nowhere")


@pytest.mark.usefixtures("page_alone")
def test_a_failed_write_leaves_the_old_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_run(tmp_path / "run", items=10, seeds=(0,))
    before = build(folder).read_bytes()

    def full(path: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StoreError, match="No space left"):
        build(folder)
    assert (folder / "report.html").read_bytes() == before
    assert (folder / "report" / "table.csv").is_file()
    assert not list(folder.glob(".*"))


def test_importing_the_report_loads_neither_torch_nor_matplotlib() -> None:
    heavy = {"torch", "transformers", "matplotlib", "jinja2"}
    code = f"import sys, shrinklm.report.page, shrinklm.report.markdown; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_section_is_listed_and_has_its_name(found: Results) -> None:
    folders = {path.parent.name for path in FOLDER.glob("*/__init__.py")}
    assert {make.__module__.rpartition(".")[2] for make in SECTIONS} == folders
    made = assemble(found)
    assert [section.name for section in made] == [
        make.__module__.rpartition(".")[2] for make in SECTIONS if make(found) is not None
    ]
    assert all((FOLDER / section.template).is_file() for section in made)


def test_template_style_and_script_lie_in_the_package() -> None:
    assert shrinklm.report.__file__
    assert {"page.html.j2", "page.css", "browse.js"} <= {
        path.name for path in Path(shrinklm.report.__file__).parent.rglob("*.*")
    }


@pytest.mark.parametrize(
    ("show", "value", "text"),
    [
        (numbers.points, -0.034, "\u22123.4"),
        (numbers.points, 0.0001, "0.0"),
        (numbers.p_value, 0.0002, "< .001"),
        (numbers.short, 134_515_008, "135 M"),
        (numbers.size, 269_060_552, "269 MB"),
        (numbers.duration, 5400, "90 min"),
        (numbers.dollars, 0.0042, "$0.0042"),
        (numbers.dollars, 0, "$0.00"),
    ],
)
def test_numbers_in_words(show: Any, value: float, text: str) -> None:
    assert show(value) == text
