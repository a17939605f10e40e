from __future__ import annotations

from pathlib import Path

import pytest

from shrinklm.core.registry import find, names
from shrinklm.core.types import Example, Prediction
from shrinklm.evaluation.ask import EvaluateSettings, Evaluation, predict
from shrinklm.evaluation.metrics.answers import accepted, accuracy, accuracy_likelihood, f1, unparsed
from shrinklm.evaluation.metrics.base import BatchMetric, Probe, Simulated
from shrinklm.evaluation.metrics.explanations import length, named, names_answer, names_distractors, overlap
from shrinklm.evaluation.score import score_predictions
from shrinklm.methods.spec import method

BANK = Example("b", "Where is money kept?", ("bank", "bank account", "river", "bank"), "bank")
YESNO = Example("y", "Is water dry?", ("yes", "no"), "no")


def free(answer: str, *more: str) -> Example:
    return Example("f", "How much?", (), answer, meta={"answers": list(more)} if more else {})


def said(answer: str | None, explanation: str | None = "", likeliest: str | None = None) -> Prediction:
    return Prediction("run", "x", answer, explanation, answer or "", likeliest)


@pytest.mark.parametrize(("answer", "value"), [("bank", 1.0), ("bank account", 0.0), ("Bank", 0.0), (None, 0.0)])
def test_accuracy_compares_options_by_their_text(answer, value):
    assert accuracy(BANK, said(answer)) == value


@pytest.mark.parametrize(
    ("gold", "answer", "right"),
    [
        ("7", "7", True), ("7", "7.0", True), ("7", "seven", False), ("7", "7 apples", True), ("7", "7 or 8", False),
        ("7", "70", False), ("7", "$7.", True), ("1000", "1,000", True), ("1,000.50", "1000.5", True),
        ("-3", "−3", True), ("3", "-3", False), ("12", "1/2", False), ("1/2", "12", False), ("1/2", "1/2", True),
        ("2.5", "25", False), ("2", "2,5", False), ("5", "5-10", False), (".5", "0.5", True),
        ("3 cats", "3 cats", True), ("3 cats", "cats", False), ("1990", "In 1990, of course", True),
        ("1", "1,0000", False), ("the Eiffel Tower", "Eiffel tower.", True), ("U.S.", "us", True),
        ("a", "the", False), ("?", "?", True), ("Ωhm", "ωHM", True),
        ("not", "no", False), ("", "", True),
    ],
)  # fmt: skip
def test_free_answers_match_by_words_and_numbers(gold, answer, right):
    assert accuracy(free(gold), said(answer)) == float(right)


def test_further_accepted_answers_count():
    assert accuracy(free("Paris", "City of Light", "Paris"), said("the city of light")) == 1.0
    assert accepted(free("Paris", "City of Light", "Paris")) == ("Paris", "City of Light")
    assert accepted(Example("f", "?", (), "Paris", meta={"answers": "Lutetia"})) == ("Paris", "Lutetia")


def test_likelihood_accuracy_is_wrong_without_a_number_and_none_for_free_answers():
    assert accuracy_likelihood(BANK, said(None, likeliest="bank")) == 1.0
    assert accuracy_likelihood(BANK, said("bank", likeliest="river")) == 0.0
    assert accuracy_likelihood(BANK, said("bank")) == 0.0
    assert accuracy_likelihood(free("7"), said("7")) is None


def test_unparsed_is_a_share():
    assert [unparsed(BANK, said(answer)) for answer in (None, "river")] == [1.0, 0.0]


@pytest.mark.parametrize(
    ("answer", "value"),
    [("a red fox", 1.0), ("the fox", 2 / 3), ("red red fox", 4 / 5), ("dog", 0.0), (None, 0.0), ("", 0.0)],
)
def test_f1_counts_common_words(answer, value):
    assert f1(free("red fox"), said(answer)) == pytest.approx(value)


def test_f1_takes_the_nearest_accepted_answer_and_skips_options():
    assert f1(free("red fox", "vulpes"), said("Vulpes")) == 1.0
    assert f1(BANK, said("bank")) is None


def test_length_counts_words_and_none_is_not_zero():
    assert [length(BANK, said("bank", text)) for text in ("Because it  is.\nSafe", "", None)] == [4.0, 0.0, None]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A Bank keeps it.", {"bank"}), ("Banks keep it.", set()), ("the bank's vault", {"bank"}),
        ("my bank  account grows", {"bank account"}),
        ("a bank and a bank account", {"bank", "bank account"}), ("riverbank", set()), ("a bank-note", set()),
        ("RIVER.", {"river"}),
        ("", set()),
    ],
)  # fmt: skip
def test_options_are_named_by_whole_words(text, found):
    assert named(text, BANK.choices) == found


def test_no_is_not_named_by_not_or_nothing():
    assert named("It is not so, nothing is, no-one is, and I know.", YESNO.choices) == set()
    assert named("No, it is wet.", YESNO.choices) == {"no"}
    assert named("100 % (sure).", ("100 %", "(sure)", " ")) == {"100 %", "(sure)"}


def test_names_the_predicted_answer_right_or_wrong():
    text = "Water flows in a river."
    assert names_answer(BANK, said("river", text)) == 1.0
    assert names_answer(BANK, said("bank", text)) == 0.0
    assert names_answer(BANK, said("bank", "")) == 0.0
    assert names_answer(free("7"), said("Red Fox", "It is a red fox.")) == 1.0
    assert names_answer(BANK, said(None, text)) is None
    assert names_answer(BANK, said("bank", None)) is None


def test_names_distractors_means_any_option_but_the_predicted():
    assert names_distractors(BANK, said("bank", "A bank, not a river, and no bank account.")) == 1.0
    assert names_distractors(BANK, said("bank", "A bank.")) == 0.0
    assert names_distractors(BANK, said("river", "A bank.")) == 1.0
    assert names_distractors(BANK, said("bank account", "My bank account.")) == 0.0
    for example, prediction in ((free("7"), said("7")), (BANK, said(None)), (BANK, said("bank", None))):
        assert names_distractors(example, prediction) is None


def test_overlap_with_the_reference():
    example = Example("o", "?", (), "x", meta={"reference": "the cat sat on the mat"})
    same, other, part, empty = (
        overlap(example, said("x", text)) for text in ("The cat sat on the mat", "dogs bark", "the cat sat", "")
    )
    assert same["rougeL"] == pytest.approx(100)
    assert overlap(example, said("x", "the cat sat on the mat"))["bleu"] == pytest.approx(100)
    assert other["rougeL"] == 0
    assert other["bleu"] < 10
    assert part["rougeL"] == pytest.approx(200 * 0.5 / 1.5)
    assert 0 < part["bleu"] < 50  # the brevity penalty
    assert empty == {"bleu": 0.0, "rougeL": 0.0}
    assert overlap(example, said("x", None)) is None
    assert overlap(BANK, said("bank", "text")) is None


def test_defect_29_accuracy_is_read_by_the_parser_and_no_never_matches_not(tmp_path: Path):
    """The whole way: a student's words, the task's parser, the score."""
    from shrinklm.students.protocol import Student
    from shrinklm.tasks.base import parse_answer

    class Yesno:
        name, type = "yesno", "yesno"

        def parse(self, text: str, example: Example) -> str | None:
            return parse_answer(text, example)

    class Says(Student):
        def __init__(self, text: str) -> None:
            self.text = text

        def answer(self, prompts, max_tokens, batch=32, tick=None):
            return [self.text] * len(prompts)

        def likelihood(self, pairs, batch=32):
            return [0.0] * len(pairs)

    right = ["The answer is no.", "So the answer is NO"]
    wrong = ["The answer is not clear.", "The answer is not", "nothing", "The answer is yes."]
    for number, (text, value) in enumerate([*((text, 1.0) for text in right), *((text, 0.0) for text in wrong)]):
        settings = EvaluateSettings(max_tokens=96, batch=32, explanations=None)
        evaluation = Evaluation(Says(text), Yesno(), method("finetune"), "run", settings)
        predictions, _ = predict(evaluation, [YESNO], tmp_path / str(number))
        assert [s.value for s in score_predictions(Yesno(), [YESNO], predictions, ["accuracy"])] == [value], text


def test_each_named_metric_is_of_one_kind():
    kinds = {
        name: [kind for kind in (BatchMetric, Probe, Simulated) if isinstance(find("metrics", name), kind)]
        for name in names("metrics")
    }
    assert [name for name, kind in kinds.items() if len(kind) > 1] == []
    assert [name for name, kind in kinds.items() if kind == [BatchMetric]] == [
        "bertscore",
        "entailment",
        "roscoe",
        "similarity",
    ]
    assert [name for name, kind in kinds.items() if kind == [Simulated]] == ["simulatability"]
    assert {"faithfulness", "filler", "tag_shortcut"} <= {name for name, kind in kinds.items() if kind == [Probe]}
    assert kinds["accuracy"] == []
    assert callable(find("metrics", "accuracy"))
