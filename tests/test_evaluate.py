from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from evaluation_fakes import FakeStudent, FakeTask, questions
from shrinklm.core.errors import ShrinkError, StoreError, TaskError, UnknownName
from shrinklm.core.results import read_predictions, read_scores, write_predictions, write_scores
from shrinklm.core.types import Example, Prediction, Score
from shrinklm.evaluation.ask import EvaluateSettings, Evaluation, answers, predict
from shrinklm.evaluation.reading import read_answer
from shrinklm.evaluation.score import score_predictions
from shrinklm.methods.builtin import EXPLAIN, FACTUAL, JUSTIFY, PREDICT
from shrinklm.methods.spec import method
from shrinklm.students.likeliest import choice_pairs, likeliest_options

TASK = FakeTask()
SETTINGS = EvaluateSettings(max_tokens=40, batch=2, explanations=None)


def ask(tmp_path, name="multitask", count=10, student=None, settings=SETTINGS, **more):
    student = student or FakeStudent()
    evaluation = Evaluation(student, TASK, method(name), "cell", settings)
    predictions, timing = predict(evaluation, questions(count), tmp_path / "part.jsonl", **more)
    return predictions, timing, student


def test_answers_explanations_and_likeliest_options(tmp_path):
    predictions, timing, _ = ask(tmp_path)
    assert [p.example_id for p in predictions] == [f"q{i}" for i in range(10)]
    assert predictions[4] == Prediction(
        "cell",
        "q4",
        "gold 4",
        "Because gold 4 is it.",
        "The answer is gold 4.",
        "gold 4",
        likelihoods=(-21.0, -11.0, -22.0),
    )
    assert predictions[3].answer == "zero 3"
    assert timing.questions == 10
    assert timing.tokens_out == 10 * (5 + 5)
    assert timing.latency_n == 3
    assert timing.tokens_per_second == pytest.approx(
        timing.tokens_out / (timing.answer_seconds + timing.explain_seconds)
    )


@pytest.mark.parametrize(("count", "alone"), [(2, 2), (29, 3), (70, 7), (130, 10)])
def test_a_tenth_of_the_questions_is_asked_alone_for_latency(tmp_path, count, alone):
    _, timing, student = ask(tmp_path, "finetune", count)
    assert timing.latency_n == alone
    prompts = [prompt for prompt, _, batch in student.asked if batch == 1]
    assert prompts == [prompt for prompt, _, batch in student.asked if batch > 1][:alone]


@pytest.mark.parametrize("name", ["multitask", "explain-then-answer"])
def test_answers_alone_are_those_of_an_evaluation_and_cost_one_reply_a_question(tmp_path, name):
    predictions, _, _ = ask(tmp_path, name, count=7)
    student = FakeStudent()
    found = answers(Evaluation(student, TASK, method(name), "cell", SETTINGS), questions(7))
    assert [(p.example_id, p.answer, p.raw, p.unread) for p in found] == [
        (p.example_id, p.answer, p.raw, p.unread) for p in predictions
    ]
    assert {(p.explanation, p.likeliest) for p in found} == {(None, None)}
    assert len(student.asked) == 7
    assert student.pairs == [], "no option's likelihood was measured"
    with pytest.raises(TaskError, match="has no questions to ask"):
        answers(Evaluation(student, TASK, method(name), "cell", SETTINGS), [])


def test_a_method_whose_answer_explains_is_asked_once(tmp_path):
    predictions, timing, student = ask(tmp_path, "explain-then-answer")
    assert predictions[1].explanation == "Because gold 1 is it."
    assert sum(batch > 1 for *_, batch in student.asked) == 10
    assert timing.explain_seconds == 0


def test_an_answer_gets_few_tokens_and_an_explanation_its_cap_on_top(tmp_path):
    asked = {prompt.splitlines()[-1]: tokens for prompt, tokens, _ in ask(tmp_path / "a")[2].asked}
    assert asked == {"[predict]": 2 + 12, "[explain]": 40}
    asked = {
        prompt.splitlines()[-1]: tokens for prompt, tokens, _ in ask(tmp_path / "b", "explain-then-answer")[2].asked
    }
    assert asked == {"[factual]": 2 + 12 + 40}


def test_a_student_that_cannot_count_tokens_reports_none_and_cuts_no_option(tmp_path):
    student = FakeStudent()
    student.token_count = lambda text: None
    _, timing, _ = ask(tmp_path, student=student)
    assert timing.tokens_out is None
    assert timing.tokens_per_second is None
    assert student.asked[0][1] == len("other 9") + 12


@pytest.mark.parametrize("name", ["multitask", "explain-then-answer"])
def test_only_the_first_questions_are_explained_and_the_rest_are_not_scored(tmp_path, name):
    predictions, _, student = ask(tmp_path, name, settings=replace(SETTINGS, explanations=5))
    assert [p.explanation is None for p in predictions] == [False] * 5 + [True] * 5
    assert sum(prompt.endswith("[explain]") for prompt, *_ in student.asked) == (5 if name == "multitask" else 0)
    scores = score_predictions(TASK, questions(10), predictions, ["length", "names_answer"])
    assert {s.example_id for s in scores} == {f"q{i}" for i in range(5)}


@pytest.mark.parametrize("name", ["multitask", "explain-then-answer", "finetune"])
def test_explanations_asked_for_later_are_those_of_one_go(tmp_path, name):
    whole, once, _ = ask(tmp_path / "whole", name)
    some, before, _ = ask(tmp_path / "some", name, settings=replace(SETTINGS, explanations=5))
    later, timing, student = ask(tmp_path / "later", name, known=(some, before))
    assert later == whole
    assert timing.tokens_out >= once.tokens_out
    assert timing.answer_seconds == before.answer_seconds
    assert {prompt.rpartition("\n")[2] for prompt, *_ in student.asked} == (
        {"[explain]"} if name == "multitask" else set()
    )
    assert len(student.asked) == (6 if name == "multitask" else 0), (
        "the chunk that was half explained is explained whole"
    )


def test_a_method_without_explanation_has_no_explanation_scores(tmp_path):
    predictions, _, _ = ask(tmp_path, "finetune")
    assert {p.explanation for p in predictions} == {None}
    assert {s.metric for s in score_predictions(TASK, questions(10), predictions, ["accuracy", "length"])} == {
        "accuracy"
    }


def test_an_empty_explanation_that_was_asked_for_counts(tmp_path):
    predictions, _, _ = ask(tmp_path, student=FakeStudent(texts={"[explain]": " "}))
    assert [s.value for s in score_predictions(TASK, questions(10), predictions, ["length"])] == [0.0] * 10


def test_chunks_have_a_fixed_size_and_progress_is_told(tmp_path):
    told = []
    ask(tmp_path, tick=lambda what, done, total, note: told.append((what, done, total)))
    assert told == [("evaluate cell", 4, 10), ("evaluate cell", 8, 10), ("evaluate cell", 10, 10)]
    assert len((tmp_path / "part.jsonl").read_text().splitlines()) == 1 + 3


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_whole_chunks_are_kept_and_a_torn_line_is_asked_again(tmp_path, cut):
    part = tmp_path / "part.jsonl"
    whole, first_timing, _ = ask(tmp_path)
    lines = part.read_bytes().splitlines(keepends=True)
    part.write_bytes(b"".join(lines[:cut]) + lines[cut][: len(lines[cut]) // 2])
    again, timing, student = ask(tmp_path)
    assert again == whole
    assert timing.tokens_out == first_timing.tokens_out
    answered = [prompt for prompt, _, batch in student.asked if batch > 1 and prompt.endswith("[predict]")]
    assert answered == [PREDICT.prompt(example) for example in questions(10)[4 * (cut - 1) :]]
    assert len(part.read_bytes().splitlines()) == 4


def test_a_line_torn_before_its_newline_is_asked_again(tmp_path):
    part = tmp_path / "part.jsonl"
    whole, _, _ = ask(tmp_path)
    part.write_bytes(part.read_bytes()[:-1])
    again, _, student = ask(tmp_path)
    assert again == whole
    assert sum(batch > 1 for *_, batch in student.asked) == 4


@pytest.mark.parametrize(
    "change",
    [{"key": "other weights"}, {"settings": replace(SETTINGS, max_tokens=41)}, {"count": 9}, {"name": "finetune"}],
)
def test_parts_of_another_evaluation_are_not_used(tmp_path, change):
    ask(tmp_path)
    count = change.get("count", 10)
    predictions, _, student = ask(tmp_path, **change)
    assert len(predictions) == count
    assert sum(batch > 1 and prompt.endswith("[predict]") for prompt, _, batch in student.asked) == count


def test_no_question_and_an_unwritable_part_say_what_to_do(tmp_path):
    with pytest.raises(TaskError, match="no questions"):
        ask(tmp_path, count=0)
    (tmp_path / "part.jsonl").mkdir()
    with pytest.raises(StoreError, match="can be written"):
        ask(tmp_path)


def test_a_broken_part_file_says_what_to_do(tmp_path):
    ask(tmp_path)
    lines = (tmp_path / "part.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "part.jsonl").write_bytes(lines[0] + b"not json\n" + lines[2])
    with pytest.raises(StoreError, match="may be deleted"):
        ask(tmp_path)


def test_an_explanation_cut_before_its_answer_is_kept_and_its_answer_is_unparsed(tmp_path):
    predictions, _, _ = ask(
        tmp_path, "explain-then-answer", student=FakeStudent(texts={"[factual]": "Because it is the one that"})
    )
    assert {(p.answer, p.explanation) for p in predictions} == {(None, "Because it is the one that")}


def test_an_answer_that_comes_first_is_not_changed_by_its_explanation(tmp_path):
    predictions, _, _ = ask(tmp_path, "answer-then-explain")
    assert predictions[1].answer == "gold 1"


@pytest.mark.parametrize(
    ("view", "raw", "answer"),
    [
        (PREDICT, "The answer is gold 1.\nThe answer is zero 1.", "gold 1"),
        (PREDICT, "Well.\nThe answer is gold 1.", "gold 1"),
        (PREDICT, "gold 1\nQuestion: another", "gold 1"),
        (JUSTIFY, "The answer is gold 1. Because.", "gold 1"),
        (JUSTIFY, "gold 1. So the answer is other 1.", "gold 1"),
        (FACTUAL, "The answer is zero 1, you think. So the answer is gold 1.", "gold 1"),
        (FACTUAL, "Because it is.", None),
        (PREDICT, "", None),
    ],
)
def test_where_an_answer_is_read(view, raw, answer):
    assert read_answer(TASK, view, raw, questions(2)[1]) == answer


def test_a_free_answer_first_is_its_first_sentence():
    example = Example("f", "How many?", (), "7.5")
    assert read_answer(TASK, JUSTIFY, "The answer is 7.5. There are 3 more, so the answer is right.", example) == "7.5"
    assert read_answer(TASK, PREDICT, "I think the answer is 7.5.", example) == "7.5"


def test_options_are_asked_adjacent_after_the_words_before_them():
    example = Example("d", "Which?", ("a", "b", "a"), "a")
    assert [(p.prompt, p.target) for p in choice_pairs(PREDICT, example, "The answer is a.")] == [
        (PREDICT.prompt(example), "The answer is a."),
        (PREDICT.prompt(example), "The answer is b."),
    ]
    pairs = choice_pairs(FACTUAL, example, "It fits. So the answer is b.")
    assert [p.target for p in pairs] == ["It fits. So the answer is a.", "It fits. So the answer is b."]
    assert [p.target[slice(*p.scored)] for p in pairs] == ["a", "b"]
    assert choice_pairs(PREDICT, Example("f", "Which?", (), "a"), "") == []
    pairs = choice_pairs(method("zero-shot").answer, example, "a")
    assert {p.prompt for p in pairs} == {f"{example.text}\nAnswer:"}
    assert [(p.target, p.target[slice(*p.scored)]) for p in pairs] == [("a.", "a"), ("b.", "b")]


def test_the_likeliest_option_is_the_one_the_student_prefers(tmp_path):
    predictions, _, _ = ask(tmp_path, student=FakeStudent())
    assert [p.likeliest for p in predictions] == [f"gold {i}" for i in range(10)]


def test_likelihood_is_per_character():
    class Lengths(FakeStudent):
        def likelihood(self, pairs, batch=32):
            return [{"ab": -4.0, "abcdefgh": -8.0}[pair.option] for pair in pairs]

    example = Example("l", "Which?", ("ab", "abcdefgh"), "ab")
    assert likeliest_options(Lengths(), PREDICT, [example], [""], 2) == ["abcdefgh"]


def test_free_answers_have_no_likeliest_option(tmp_path):
    free = [replace(example, choices=()) for example in questions(3)]
    evaluation = Evaluation(FakeStudent(), TASK, method("finetune"), "cell", SETTINGS)
    predictions, _ = predict(evaluation, free, tmp_path / "p")
    assert [p.likeliest for p in predictions] == [None] * 3
    scores = score_predictions(TASK, free, predictions, ["accuracy", "accuracy_likelihood"])
    assert [(s.metric, s.value) for s in scores] == [("accuracy", 0.0), ("accuracy", 1.0), ("accuracy", 1.0)]


def test_defect_24_a_diverged_run_is_scored_not_dropped(tmp_path):
    class Diverged(FakeStudent):
        def likelihood(self, pairs, batch=32):
            return [math.nan] * len(pairs)

    predictions, _, _ = ask(tmp_path, student=Diverged(texts={"[predict]": "the the the", "[explain]": ""}))
    scores = score_predictions(TASK, questions(10), predictions, ["accuracy", "accuracy_likelihood", "unparsed"])
    for metric, value in {"accuracy": 0.0, "accuracy_likelihood": 0.0, "unparsed": 1.0}.items():
        assert [s.value for s in scores if s.metric == metric] == [value] * 10


def test_scores_of_predictions(tmp_path):
    predictions, _, _ = ask(tmp_path)
    examples = [replace(example, meta={"reference": f"Because {example.answer} is it."}) for example in questions(10)]
    scores = score_predictions(TASK, examples, predictions, ["accuracy", "overlap"])
    values = {(s.example_id, s.metric): s.value for s in scores}
    assert len(values) == 30
    assert values["q1", "accuracy"] == 1.0
    assert values["q3", "accuracy"] == 0.0
    assert values["q1", "bleu"] == pytest.approx(100)
    assert values["q1", "rougeL"] == pytest.approx(100)
    assert 0 < values["q3", "rougeL"] < 100


def test_missing_strange_and_double_predictions_are_errors(tmp_path):
    predictions, _, _ = ask(tmp_path)
    for wrong in (
        predictions[1:],
        [*predictions, replace(predictions[0], example_id="x")],
        [*predictions, predictions[0]],
        [],
    ):
        with pytest.raises(ShrinkError, match="shrinklm evaluate"):
            score_predictions(TASK, questions(10), wrong, ["accuracy"])
    with pytest.raises(UnknownName, match="Did you mean 'accuracy'"):
        score_predictions(TASK, questions(10), predictions, ["acuracy"])


def test_a_metric_of_the_users_and_nan(tmp_path):
    predictions, _, _ = ask(tmp_path)
    scores = score_predictions(TASK, questions(10), predictions, ["test_evaluate:odd"])
    assert [(s.metric, s.value) for s in scores] == [("test_evaluate:odd", 1.0)] * 5


def odd(example, prediction):
    return 1.0 if int(example.id[1:]) % 2 else math.nan


def test_predictions_and_scores_come_back_from_their_files(tmp_path):
    predictions = [Prediction("r", "1", None, None, "ü\n", None), Prediction("r", "2", "a", "", "a", "a")]
    scores = [Score("r", "1", "accuracy", 0.0), Score("r", "1", "clear", 4.0, "person 1")]
    write_predictions(predictions, tmp_path / "cell" / "predictions.parquet")
    write_scores(scores, tmp_path / "cell" / "scores.parquet")
    assert read_predictions(tmp_path / "cell" / "predictions.parquet") == predictions
    assert read_scores(tmp_path / "cell" / "scores.parquet") == scores
    assert sorted(path.name for path in (tmp_path / "cell").iterdir()) == ["predictions.parquet", "scores.parquet"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "scores.parquet"
    write_scores([Score("r", "1", "accuracy", 0.0)], path)
    with pytest.raises(ZeroDivisionError):
        write_scores((Score("r", "1", "accuracy", 1 / zero) for zero in (1, 0)), path)
    assert len(read_scores(path)) == 1


def test_unreadable_files_say_what_to_do(tmp_path):
    with pytest.raises(StoreError, match="shrinklm evaluate"):
        read_predictions(tmp_path / "predictions.parquet")
    (tmp_path / "scores.parquet").write_text("no")
    with pytest.raises(StoreError, match="cannot be read"):
        read_scores(tmp_path / "scores.parquet")
    write_scores([], tmp_path / "scores.parquet")
    with pytest.raises(StoreError, match="cannot be read"):
        read_predictions(tmp_path / "scores.parquet")


def test_a_part_file_is_json_lines(tmp_path):
    ask(tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "part.jsonl").read_text().splitlines()]
    assert [len(row["predictions"]) for row in rows[1:]] == [4, 4, 2]
    assert EXPLAIN.prompt(questions(1)[0]).startswith("Question: Which is number 0?")
