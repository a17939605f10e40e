"""What a run of a million texts may not hold or do at once, tried on few."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from report_run import write_run
from shrinklm import Recipe, Run
from shrinklm.core.results import read_predictions, write_predictions
from shrinklm.core.types import Prediction
from shrinklm.report import build
from shrinklm.report.findings import read
from shrinklm.report.sections.browse import data
from shrinklm.run.stages import origin
from shrinklm.stats import calibration, estimates, estimates_of
from shrinklm.stats.resampling import counts


def most(work: Callable[[], object]) -> int:
    """The most bytes that are held at once, with what is returned."""
    tracemalloc.start()
    try:
        kept = work()
        return tracemalloc.get_traced_memory()[1] + 0 * (kept is None)
    finally:
        tracemalloc.stop()


def test_resamples_take_the_memory_of_their_counts() -> None:
    size = 256 * 9_000 * 8
    assert most(lambda: counts(9_000, 256, np.random.default_rng(1))) < 1.3 * size


@pytest.mark.parametrize(("items", "resamples"), [(1, 9), (2, 300), (70_001, 2), (997, 100)])
def test_resamples_are_those_of_one_draw(items: int, resamples: int) -> None:
    ours, plain = np.random.default_rng(5), np.random.default_rng(5)
    drawn = plain.integers(0, items, size=(resamples, items))
    assert (counts(items, resamples, ours) == [np.bincount(row, minlength=items) for row in drawn]).all()
    # What is drawn next, such as seeds, is the same too.
    assert ours.integers(0, 1 << 60) == plain.integers(0, 1 << 60)


def test_methods_together_are_estimated_as_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    tables = [
        {"right": (rng.random((2, 50)) < skill).astype(float), "words": rng.random((2, 50)), "few": rng.random((2, 9))}
        for skill in (0.3, 0.6, 1.1)
    ]
    tables[1]["words"][:, :5] = np.nan
    tables.append({"right": (rng.random((1, 50)) < 0.5).astype(float)})
    alone = [estimates(table, resamples=600, shares=["right"]) for table in tables]
    drawn: list[int] = []
    real = counts
    monkeypatch.setattr(
        "shrinklm.stats.resampling.counts", lambda items, *rest: (drawn.append(items), real(items, *rest))[1]
    )
    assert estimates_of(tables, resamples=600, shares=[["right"]] * 4) == alone
    # Once for each number of questions and seeds: 50 twice, of two seeds and of one; 45 where five have no score.
    assert sorted(drawn) == sorted([9, 45, 50, 50] * 3)


def test_calibrated_students_are_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    shares = rng.random((2, 4_000))
    whole = calibration._calibrated(shares, 0, 200)
    monkeypatch.setattr(calibration, "_LUCK", 10 * 4_000)
    assert calibration._calibrated(shares, 0, 200) == pytest.approx(whole, rel=1e-12)
    assert most(lambda: calibration._calibrated(shares, 0, 200)) < 200 * 4_000 * 8 / 2


def test_texts_in_memory_leave_their_prompts_in_the_store(tmp_path: Path) -> None:
    run = Run(recipe(tmp_path))
    run.generate()
    known = run.teaching.known()[0]
    texts = [text for slots in known.values() for text in slots.values()]
    assert len(texts) == 12
    assert {text.prompt for text in texts} == {""}
    stored = run.store.get(text.key for text in texts)
    assert all(json.loads(stored[text.key].prompt)[0]["role"] == "system" for text in texts)
    # What thousands of texts say alike is in memory once.
    assert len({id(text.source.sampling) for text in texts}) == 1
    assert len({id(text.source.teacher) for text in texts}) == 1


def test_pairs_are_looked_through_only_where_questions_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Run(recipe(tmp_path)).train()
    looked: list[str] = []
    real = origin._other_questions
    monkeypatch.setattr(
        origin, "_other_questions", lambda cell, *rest: (looked.append(cell.name), real(cell, *rest))[1]
    )
    Run(recipe(tmp_path)).check()
    assert looked == []
    with pytest.raises(Exception, match=r"task\.limit"):
        Run(recipe(tmp_path, limit=11)).check()
    assert looked


def recipe(folder: Path, limit: int = 12) -> Recipe:
    return Recipe.parse(
        {
            "name": "large",
            "task": {"use": "everyday", "limit": {"train": limit, "dev": 2, "test": 2}},
            "teacher": {"use": "fake"},
            "generate": ["explanation"],
            "methods": ["finetune"],
            "student": "tiny",
            "train": {"examples": 4, "batch": 4, "seeds": [0]},
            "store": str(folder / "store.db"),
            "runs": str(folder / "runs"),
        }
    )


def test_predictions_are_written_and_read_in_little_more_than_they_take(tmp_path: Path) -> None:
    rows = [
        Prediction("cell", f"q{number}", "a", None, "The answer is a.", likelihoods=(0.5, float(number)))
        for number in range(3_000)
    ]
    path = tmp_path / "predictions.parquet"
    write_predictions(rows[:1], path)  # which imports what it needs
    assert most(lambda: write_predictions(rows, path)) < 400 * len(rows)
    assert read_predictions(path) == rows


def test_a_page_of_too_many_questions_shows_every_second_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_run(tmp_path / "run", items=20)
    whole = build(folder).read_text(encoding="utf-8")
    assert "so that the page opens" not in whole
    size = len(whole.partition('id="data-items">')[2].partition("<script>")[0])
    monkeypatch.setattr(data, "_MOST", 2 * size // 3)
    page = build(folder).read_text(encoding="utf-8")
    assert "10 of the 20 test questions, one in 2, so that the page opens" in page
    items = json.loads(page.partition('id="data-items">')[2].partition("</script>")[0])["items"]
    assert [item["id"] for item in items] == [item.id for item in read(folder).items[::2]]
    lines = json.loads(page.partition('id="data-seed-0">')[2].partition("</script>")[0])
    assert {len(line) for line in lines if line} == {10}


def test_a_column_of_scores_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_run(tmp_path / "run", items=20)
    made: list[int] = []
    real = np.full
    monkeypatch.setattr(np, "full", lambda shape, *rest: (made.append(shape), real(shape, *rest))[1])
    found = read(folder)
    # Not one for each score, which is quadratic in the questions.
    assert made.count(20) == sum(len(cell.scores) for cell in found.cells)
