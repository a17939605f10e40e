"""Unread answers by their reason, in files, scores, report and commands; and labels, which no explanation need name."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evaluation_fakes import FakeTask, questions
from shrinklm.cli.show.predict import answer_of
from shrinklm.core.results import read_predictions, write_predictions
from shrinklm.core.types import Example, Generation, Prediction, Sampling, Source
from shrinklm.deploy.student import Answer
from shrinklm.evaluation.audit import audit_texts
from shrinklm.evaluation.score import left_out, score_predictions
from shrinklm.tasks.base import labels_of
from shrinklm.tasks.unread import CUT, NOTHING, OTHER

REASONS = (None, CUT, OTHER, NOTHING, None)


def _predictions() -> tuple[list[Example], list[Prediction]]:
    examples = questions(len(REASONS))
    rows = [
        Prediction("cell", e.id, None if why else e.answer, "why", "raw", unread=why, explanation_cut=why == CUT)
        for e, why in zip(examples, REASONS, strict=True)
    ]
    return examples, rows


def _means(examples: list[Example], rows: list[Prediction], *metrics: str) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for score in score_predictions(FakeTask(examples), examples, rows, metrics):
        values.setdefault(score.metric, []).append(score.value)
    return {name: sum(numbers) / len(numbers) for name, numbers in values.items()}


def test_predictions_keep_the_reason_and_files_without_it_are_read(tmp_path: Path) -> None:
    _, rows = _predictions()
    write_predictions(rows, tmp_path / "predictions.parquet")
    assert read_predictions(tmp_path / "predictions.parquet") == rows
    old = pq.read_table(tmp_path / "predictions.parquet").drop_columns(["unread", "explanation_cut"])
    pq.write_table(old, tmp_path / "old.parquet")
    assert read_predictions(tmp_path / "old.parquet") == [
        replace(row, unread=None, explanation_cut=False) for row in rows
    ]
    pq.write_table(pa.table({"run": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(Exception, match="cannot be read"):
        read_predictions(tmp_path / "other.parquet")


def test_whoever_counts_unread_answers_gets_their_reasons() -> None:
    examples, rows = _predictions()
    shares = {"unparsed": 0.6, "unparsed_cut": 0.2, "unparsed_other": 0.2, "unparsed_nothing": 0.2}
    assert _means(examples, rows, "unparsed") == pytest.approx(shares)
    free = [replace(example, choices=()) for example in examples]
    assert "unparsed_other" not in _means(free, rows, "unparsed")


def test_a_command_says_why_and_what_was_cut(capsys: pytest.CaptureFixture[str]) -> None:
    answer_of(Answer("cell", "q", None, "why", {}, None, None, CUT, "raw", explanation_cut=True))
    said = " ".join(capsys.readouterr().out.split())
    assert "Answer: none that can be read (cut at the cap); it said: raw" in said
    assert "Explanation (cut at the cap): why" in said


@pytest.mark.parametrize(
    ("options", "labels"),
    [
        ([("yes", "no")], ("yes", "no")),
        ([("yes", "no"), ("no", "yes")], ("yes", "no")),
        ([("good", "bad"), ("good", "bad")], ("good", "bad")),
        ([("good", "bad")], ()),
        ([("a", "b"), ("a", "c")], ()),
        ([(), ()], ()),
        ([], ()),
    ],
)
def test_labels_are_options_that_all_questions_share(options: list[tuple[str, ...]], labels: tuple[str, ...]) -> None:
    assert labels_of(options) == labels


def test_no_explanation_need_name_a_label() -> None:
    examples = [Example(f"q{i}", f"Is {i} even?", ("yes", "no"), "no" if i % 2 else "yes") for i in range(4)]
    rows = [Prediction("cell", e.id, e.answer, "There is no rest, yes.", "raw") for e in examples]
    named = ["names_answer", "names_distractors", "length", "support"]
    found = _means(examples, rows, *named)
    assert set(found) == {"length", "supports_gold", "supports_predicted", "supports_other"}
    assert left_out(examples, named) == (["names_answer", "names_distractors"], ("yes", "no"))
    others, own = _predictions()
    assert "names_answer" in _means(others, own, *named)
    assert left_out(others, named) == ([], ())


def test_an_audit_counts_no_names_of_labels() -> None:
    examples = [Example(f"q{i}", f"Is {i} even?", ("yes", "no"), "yes") for i in range(3)]
    nobody = Source("t", "", Sampling(), 0, "", 0, 0, "")
    text = "It can be halved, yes, without a rest."
    told = {
        e.id: {("explanation", "yes"): Generation(e.id, "explanation", "yes", text, "", (), nobody, e.id)}
        for e in examples
    }
    figures = audit_texts(examples, told, ["explanation"])["steps"]["explanation"]
    names = ("occurs", "occurs_as_said", "named", "names_gold", "names_other", "others")
    assert [figures[name] for name in names] == [None] * len(names)
    assert (figures["support"], figures["words"]) == (1.0, 8.0)
