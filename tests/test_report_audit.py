"""The report's section about what the teacher wrote: from audit.json alone, and silent without it."""

from __future__ import annotations

import csv
import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from report_run import EVIL, write_run
from shrinklm.core.types import Example, Generation, Sampling, Source
from shrinklm.evaluation.audit import audit_texts
from shrinklm.report import build
from shrinklm.report.findings import read
from shrinklm.report.results import compare
from shrinklm.report.sections.audit.figures import audit_of, audit_table, estimate, sentences, steps_of
from shrinklm.report.sections.audit.plot import audit_plot

SOURCE = Source("t", "1", Sampling(), 0, "", 0, 0, "0")
ASKED = Example("q", "Where is money kept?", ("zoo", "bank", "river"), "bank")


def audited() -> dict[str, Any]:
    """The audit of four questions: half of the explanations and all but one of the revisions name their answer."""
    texts = {
        "explanation": ("A bank.", "A bank is safe.", "Safe.", "A zoo."),
        "revision": ("A bank, not a zoo.",) * 3 + ("It is safe.",),
    }
    said = {
        f"q{place}": {
            (kind, "bank"): Generation(f"q{place}", kind, "bank", some[place], "", (), SOURCE, "")
            for kind, some in texts.items()
        }
        for place in range(4)
    }
    others = ("river", "sea", "hill", "barn")
    asked = [replace(ASKED, id=f"q{place}", choices=("zoo", "bank", others[place])) for place in range(4)]
    figures = audit_texts(asked, said, ["explanation", "revision", "critique"])
    return {"teacher": "a teacher", "split": "train", **figures}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run = write_run(tmp_path / "run", items=12)
    (run / "audit.json").write_text(json.dumps(audited()))
    recipe = run / "recipe.yaml"
    recipe.write_text(recipe.read_text() + "audit: {min_support: 0.8}\n")
    return run


def test_the_section_says_the_figures_and_the_limit(folder: Path) -> None:
    page = build(folder).read_text()
    markdown = (folder / "report.md").read_text()
    for text in (page, markdown):
        assert "What the teacher wrote" in text
        assert "explanation 50.0 %, revision 75.0 %" in text
        assert "The weakest step is explanation. The recipe asks for 80 % at least." in text
        assert "Revision against explanation" in text
    assert '<a href="#audit">Teacher</a>' in page
    rows = list(csv.DictReader((folder / "report" / "audit.csv").open()))
    assert [(row["step"], row["support"]) for row in rows] == [
        ("explanation", "0.5"),
        ("revision", "0.75"),
        ("critique", ""),
    ]
    assert (folder / "report" / "figures" / "audit.pdf").is_file()


def test_the_table_has_a_row_a_step_and_dashes_where_nothing_applies(folder: Path) -> None:
    shown = audit_table(read(folder))
    assert [line.cells[0] for line in shown.lines] == ["explanation", "revision", "critique"]
    names = [column.name for column in shown.columns]
    assert "As said" not in names, "no recording was read"
    at = names.index("Supports, %")
    assert [line.cells[at] for line in shown.lines] == ["50.0", "75.0", "–"]
    assert set(shown.lines[0].below) == {at}
    assert all(len(line.cells) == len(shown.columns) for line in shown.lines)


def test_the_figure_says_its_numbers_in_words(folder: Path) -> None:
    drawn = audit_plot(compare(read(folder), resamples=50))
    assert drawn is not None
    assert "Supports its answer: explanation 50.0, revision 75.0" in drawn.alt
    assert "Dashed: the recipe asks for 80.0 % at least." in drawn.caption


def test_counts_of_nothing_have_an_axis_with_a_width(folder: Path) -> None:
    from shrinklm.report.look.style import STYLE

    figures = audited()
    for step in figures["steps"].values():
        for key in ("hedges", "others", "words"):
            step[key], step["interval"][key] = 0.0, [0.0, 0.0]
    (folder / "audit.json").write_text(json.dumps(figures))
    import matplotlib

    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib widens an axis without a width, and warns
        drawn = audit_plot(compare(read(folder), resamples=50))
    assert drawn is not None
    limits = [axes.get_xlim() for axes in drawn.figure.axes]
    assert all(high - low >= 1 for low, high in limits), limits


def test_without_an_audit_there_is_no_section(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", items=8)
    page = build(run).read_text()
    assert 'id="audit"' not in page
    assert "#audit" not in page
    assert audit_of(read(run)) is None
    assert audit_plot(compare(read(run), resamples=50)) is None
    assert not (run / "report" / "audit.csv").exists()


def test_texts_not_asked_for_yet_are_counted(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", items=8)
    some = audited()
    some["steps"]["revision"] |= {"missing": 3}
    (run / "audit.json").write_text(json.dumps(some))
    assert ("Not all of it", "7 texts were not asked for yet when the audit was made.") in sentences(read(run))


def test_broken_or_hostile_figures_do_not_break_the_page(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", items=8)
    some = audited()
    some["teacher"] = EVIL
    some["steps"][EVIL] = {"n": 4, "support": "much", "interval": {"support": [1]}, "refused": None}
    some["again"] = {"revision": {"changed": None}, "label": 3}
    (run / "audit.json").write_text(json.dumps(some))
    page = build(run).read_text()
    assert EVIL not in page
    assert estimate(steps_of(some)[EVIL], "support") is None
    (run / "audit.json").write_text(json.dumps({"steps": 3}))
    assert 'id="audit"' not in build(run).read_text()
