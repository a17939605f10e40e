"""The figures: fit for a paper, the same on every day, and honest about runs that diverged."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from matplotlib.image import imread

from report_run import STUDENT, write_run
from shrinklm.report.findings import read
from shrinklm.report.look.axes import canvas
from shrinklm.report.look.figures import Drawn, Figure, styled
from shrinklm.report.look.style import COLUMN, PAGE, STYLE
from shrinklm.report.results import Results, compare
from shrinklm.report.sections import assemble, draw


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = write_run(tmp_path_factory.mktemp("figures") / "run", diverged=f"multitask--{STUDENT}--s1", items=30)
    return compare(read(folder), resamples=300)


@pytest.fixture(scope="module")
def drawn(found: Results) -> dict[str, Figure]:
    return draw(assemble(found))


def test_figures_are_vector_with_embedded_type_42_fonts_and_no_date(drawn: dict[str, Figure]) -> None:
    assert list(drawn) == ["accuracy", "explanations", "differences", "losses", "dev"]
    for figure in drawn.values():
        assert b"/FontFile2" in figure.pdf
        assert b"/Type3" not in figure.pdf
        assert b"CreationDate" not in figure.pdf


def test_fonts_hold_what_draws_and_nothing_that_places_letters(drawn: dict[str, Figure]) -> None:
    """Subsetting the tables of text layout takes longer than all else of a PDF, and no PDF reader looks at them."""
    from fontTools.subset import Options
    from fontTools.ttLib import TTFont

    for figure in drawn.values():
        streams = re.findall(rb"/Length1.*?stream\r?\n(.*?)\r?\nendstream", figure.pdf, re.DOTALL)
        assert streams
        for stream in streams:
            tables = set(TTFont(io.BytesIO(zlib.decompress(stream))).keys())
            assert tables >= {"glyf", "loca", "head", "hhea", "hmtx", "maxp", "cvt ", "fpgm", "prep"}
            assert not tables & {"GSUB", "GPOS", "GDEF", "kern", "MATH", "name"}
    assert "GSUB" not in Options().drop_tables, "the user's own figures are saved as ever"


def test_a_figure_is_laid_out_once_and_drawn_once_for_each_file(
    found: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.figure import Figure as Canvas
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    calls = {"laid out": 0, "drawn": 0}
    execute, draw_figure = ConstrainedLayoutEngine.execute, Canvas.draw

    def laid_out(engine: ConstrainedLayoutEngine, figure: Canvas) -> None:
        calls["laid out"] += 1
        execute(engine, figure)

    def counted(figure: Canvas, renderer: Any) -> None:
        calls["drawn"] += 1
        draw_figure(figure, renderer)

    monkeypatch.setattr(ConstrainedLayoutEngine, "execute", laid_out)
    monkeypatch.setattr(Canvas, "draw", counted)
    figures = draw(assemble(found))
    assert calls == {"laid out": len(figures), "drawn": 3 * len(figures)}


def test_long_names_are_not_cut_off_at_the_edge() -> None:
    def draw() -> Iterator[Drawn]:
        figure, [axes] = canvas(COLUMN, 1.5)
        axes.set_yticks([0, 1], ["multitask+counterfactual\nminus finetune", "short"], fontsize=6.0)
        yield Drawn("names", "", "", "", False, figure)

    [figure] = styled(draw)
    ink = imread(io.BytesIO(figure.png))[:, :, :3].min(axis=2) < 0.9
    assert ink.any()
    assert not ink[:, :3].any()


def test_figures_have_the_width_of_a_column_or_a_page(drawn: dict[str, Figure]) -> None:
    for figure in drawn.values():
        box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+)", figure.pdf)
        assert box
        assert float(box[1]) == pytest.approx(72 * (PAGE if figure.wide else COLUMN), abs=0.5)


def test_equal_results_give_equal_bytes_whatever_the_user_s_style(found: Results, drawn: dict[str, Figure]) -> None:
    import matplotlib

    with matplotlib.rc_context({"font.size": 20, "svg.hashsalt": "mine", "axes.facecolor": "red"}):
        again = draw(assemble(found))
        assert matplotlib.rcParams["font.size"] == 20, "the user's own style must come back"
    assert again == drawn


def test_svg_follows_the_page(drawn: dict[str, Figure]) -> None:
    for figure in drawn.values():
        assert "var(--ink)" in figure.svg
        assert str(STYLE["text.color"]) not in figure.svg
        assert "<metadata" not in figure.svg
        assert not re.search(r'\bid="(?!' + figure.name + "-)", figure.svg)
        assert "<text" in figure.svg


def test_alternative_text_says_the_numbers(found: Results, drawn: dict[str, Figure]) -> None:
    for row in found.rows:
        value = 100 * row.estimates["accuracy"].value
        assert f"{row.method} {value:.1f} %" in drawn["accuracy"].alt
    assert "teacher 78.3 %" in drawn["accuracy"].alt
    assert "loss" in drawn["losses"].alt.lower()


def test_a_diverged_run_is_marked_in_the_figures(drawn: dict[str, Figure]) -> None:
    assert "a cross: it diverged" in drawn["accuracy"].caption
    assert f"A cross ends a run that diverged: multitask--{STUDENT}--s1" in drawn["losses"].caption


def test_names_with_markup_are_drawn_as_they_are(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", students=("a_$x^2$<b>",), seeds=(0,), items=10)
    drawn = draw(assemble(compare(read(folder), resamples=50)))
    assert drawn
    assert all("<b>" not in figure.svg for figure in drawn.values())
