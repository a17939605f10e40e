"""Targets that state an option with its letter: what is trained, read, scored, probed and exported agrees."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from cli_cases import asked, recipe
from loss_cases import FAMILIES, assert_cuts_change_nothing
from shrinklm import Recipe, Run
from shrinklm.core.errors import MethodError
from shrinklm.core.results import read_predictions, write_predictions
from shrinklm.core.types import Example, Pair, Prediction
from shrinklm.deploy.answering import Answering
from shrinklm.deploy.export import Wanted, export
from shrinklm.deploy.harness.task import Questions, write_task
from shrinklm.deploy.student import TrainedStudent
from shrinklm.evaluation.ask import EvaluateSettings, Evaluation
from shrinklm.evaluation.confidence import confidence, probabilities
from shrinklm.evaluation.metrics.base import Condition
from shrinklm.evaluation.probes import conditional_answers
from shrinklm.evaluation.reading import read_answer
from shrinklm.methods.builtin import PREDICT
from shrinklm.methods.corpus import Corpus
from shrinklm.methods.options import Draft, apply
from shrinklm.methods.spec import method
from shrinklm.methods.view import View
from shrinklm.students.causal import CausalStudent
from shrinklm.students.likeliest import choice_pairs, likeliest_options, reason, stated_options
from shrinklm.tasks.base import SplitTask, TaskOptions, parse_answer
from student_cases import TYPES, corpus, fresh, taught
from test_export_task import rows, utils
from tokenizer_cases import trained_tokenizer

TASK = SplitTask("t", "choice", TaskOptions(), lambda source, split: [])
LETTER = "target=letter"
KITE = TYPES["choice"]
ODD = ("(a)", "b", "St. Paul. It is there", "c) The answer is (a)", "5", "zoo", "not zoo", "zoo", "!")


def known(name: str, example: Example) -> dict[str, Pair]:
    """View → the pair of an example, with texts of every kind."""
    items = corpus(examples=[example]).pairs(method(name), 0, 0)
    return {item.view.name: item.pair for item in items}


def test_every_view_that_answers_states_letter_and_words() -> None:
    pairs = known(f"multitask+counterfactual:{LETTER}", KITE)
    assert pairs["predict"].target == "The answer is (b) open field."
    assert pairs["explain"].target == "It fits open field best."
    assert pairs["factual"].target == "It fits open field best. So the answer is (b) open field."
    wrong = pairs["counterfactual"]
    assert wrong.target == f"So the answer is ({'a' if wrong.option == 'cellar' else 'c'}) {wrong.option}."
    assert pairs["predict"].option == "open field"
    justified = known(f"answer-then-explain:{LETTER},teacher-labels", KITE)["justify"]
    assert justified.target == "The answer is (b) open field. It looks like open field."
    prefixed = known(f"counterfactual:{LETTER},counterfactual=prefix", KITE)["counterfactual"]
    assert prefixed.target.endswith(
        f"So the answer is ({'a' if prefixed.option == 'cellar' else 'c'}) {prefixed.option}."
    )
    weighed = known(f"explain-then-answer:{LETTER},thought=0.5", KITE)["factual"]
    assert weighed.emphasis
    assert known(f"finetune:{LETTER}", TYPES["free"])["predict"].target == "The answer is 5."
    assert known("finetune", KITE)["predict"].target == "The answer is open field."


@pytest.mark.parametrize("place", [place for place, option in enumerate(ODD) if ODD.index(option) == place])
@pytest.mark.parametrize("name", ["finetune", "explain-then-answer", "answer-then-explain"])
def test_every_answer_reads_back_as_itself(name: str, place: int) -> None:
    example = Example("odd", "Which one?", ODD, ODD[place])
    view = method(f"{name}:{LETTER}").answer
    target = known(f"{name}:{LETTER}", example)[view.name].target
    assert read_answer(TASK, view, target, example) == example.answer
    assert parse_answer(view.states(example.answer, example), example) == example.answer
    if name == "answer-then-explain" or (name == "explain-then-answer" and "answer is" not in example.answer):
        assert reason(view, target, example).rstrip(".") == f"It fits {example.answer} best"


@pytest.mark.parametrize("spec", FAMILIES)
@pytest.mark.parametrize("name", ["finetune", "explain-then-answer", "answer-then-explain"])
def test_the_tokens_that_are_scored_are_those_that_are_trained(spec: str, name: str) -> None:
    student, view = fresh(spec), method(f"{name}:{LETTER}").answer
    example = Example("q", "Which one?", ("bank", "bank account", "zoo", "bank"), "bank account")
    trained = known(f"{name}:{LETTER}", example)[view.name]
    raw = trained.target
    pairs = choice_pairs(view, example, raw)
    assert [pair.option for pair in pairs] == ["bank", "bank account", "zoo"]
    [whole] = student.tokenized([trained], True)
    tokens = dict(zip([pair.option for pair in pairs], student.tokenized(pairs, False), strict=True))
    own = tokens[example.answer]
    assert own.target == whole.target[: len(own.target)]
    spelled = student.tokenizer.decode(own.scored).strip()
    assert spelled in ("(b) bank account", "(b) bank account.")
    assert stated_options(view, example, trained) == (
        pairs if name != "explain-then-answer" else choice_pairs(view, example, raw)
    )


def test_what_stands_before_an_answer_is_what_was_trained() -> None:
    view = method(f"explain-then-answer:{LETTER}").answer
    assert view.closes(KITE, "It flies") == "It flies. So the answer is"
    assert view.closes(KITE, "It flies") == method("explain-then-answer").answer.closes(KITE, "It flies")


def memorised(name: str, examples: list[Example], steps: int = 60) -> Any:
    """A student that knows its questions by heart, with a token for most words."""
    view = method(name).answer
    spelled = [
        f"{example.text}\n{view.last_line} It fits {option} best. {view.states(option, example)}"
        for example in examples
        for option in example.choices
    ]
    tokenizer = trained_tokenizer("legacy", spelled * 3)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        tie_word_embeddings=True, pad_token_id=0, eos_token_id=1, bos_token_id=3,
    )  # fmt: skip
    student = CausalStudent(LlamaForCausalLM(config), tokenizer)
    texts = Corpus(examples, {each.id: taught(each) for each in examples})
    made = method(name)
    batch = student.encode([[item.pair for item in texts.pairs(made, place, 0)] for place in range(len(examples))])
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-2)
    for _ in range(steps):
        total, count = student(batch)
        optimizer.zero_grad()
        (total / count).mean().backward()
        optimizer.step()
    return student.eval()


LENGTHS = ("a very large old town hall by the river", "car", "zoo", "river")
QUESTIONS = [
    Example(word, f"Where is the {word}?", LENGTHS[number % 4 :] + LENGTHS[: number % 4], LENGTHS[number % 3])
    for number, word in enumerate(("kite", "whale", "piano", "lamp", "bread", "doctor"))
]


@pytest.mark.parametrize("name", ["explain-then-answer", "answer-then-explain"])
def test_a_student_that_knows_its_answers_writes_scores_and_explains_alike(name: str, tmp_path: Path) -> None:
    trained = method(f"{name}:{LETTER}")
    view, student = trained.answer, memorised(trained.name, QUESTIONS)
    gold = [example.answer for example in QUESTIONS]
    evaluation = Evaluation(student, TASK, trained, "cell", EvaluateSettings(24, 8, None))
    told = evaluation.ask(QUESTIONS, len(QUESTIONS), evaluation.answer_tokens(QUESTIONS))
    predictions = [Prediction(**row) for row in told["predictions"]]
    assert [each.answer for each in predictions] == gold
    assert [each.likeliest for each in predictions] == gold
    assert {each.summed for each in predictions} == {True}
    assert likeliest_options(student, view, QUESTIONS, [each.raw for each in predictions], 8) == gold
    conditions = [Condition(f"It fits {example.answer} best.") for example in QUESTIONS]
    asks = list(zip(QUESTIONS, conditions, strict=True))
    probed = conditional_answers(student, TASK, trained, asks, 8)
    if view.says[0] == "explanation":  # the others never saw a premise
        assert probed == gold
    if name == "explain-then-answer":
        assert [each.explanation for each in predictions] == [f"It fits {answer} best." for answer in gold]
        return
    # As an exported student answers, in text and by likelihood.
    answering = Answering("cell", trained.name, view, trained.explain, 24, 30, "t", "choice")
    student.save(tmp_path / "student")
    source = TrainedStudent(student, answering, tmp_path / "student")
    export(lambda: source, TASK, QUESTIONS[:3], Wanted("safetensors", tmp_path / "out", None, 2.0))
    opened = TrainedStudent.open(tmp_path / "out")
    for by in ("text", "likelihood"):
        answers = opened.predict(QUESTIONS, by=by)
        assert [each.answer for each in answers] == gold
        assert all(each.confidence is not None and each.confidence > 0.5 for each in answers)
    assert [each.explanation for each in answers] == [f"It fits {answer} best." for answer in gold]


def test_options_with_letters_are_compared_by_their_sums(tmp_path: Path) -> None:
    # The letter decides, and a long option must not gain by the words behind it, which are certain.
    told = {"no": -0.1, "a very long option indeed": -3.0}
    prediction = Prediction("cell", "q", "no", None, "", "no", likelihoods=tuple(told.values()), summed=True)
    longer = "a very long option indeed"
    assert (
        probabilities({"no": -1.0, longer: -3.0})[longer]
        > 0.5
        > probabilities({"no": -1.0, longer: -3.0}, None, True)[longer]
    )
    assert probabilities(told, 2.0, summed=True)["no"] == pytest.approx(1 / (1 + math.exp(-1.45)))
    assert confidence(prediction, list(told)) == pytest.approx(1 / (1 + math.exp(-2.9)))
    plain = replace(prediction, summed=False)
    for rows_, columns in (([plain], False), ([plain, prediction], True)):
        write_predictions(rows_, tmp_path / "p.parquet")
        assert ("summed" in pq.read_schema(tmp_path / "p.parquet").names) is columns
        assert read_predictions(tmp_path / "p.parquet") == rows_


def test_the_record_of_an_exported_student_says_so_and_stays_as_it_was_without() -> None:
    view = method(f"finetune:{LETTER}").answer
    record = Answering("cell", "finetune", view, None, 8, 8, "t", "choice").to_json()
    assert (record["version"], record["answer"]["letters"]) == (2, True)
    assert Answering.from_json(json.loads(json.dumps(record))).answer.letters
    plain = Answering("cell", "finetune", PREDICT, None, 8, 8, "t", "choice").to_json()
    assert plain["version"] == 1
    assert "letters" not in plain["answer"]
    assert not Answering.from_json(plain).answer.letters


def test_an_exported_task_asks_for_letters(tmp_path: Path) -> None:
    view = method(f"answer-then-explain:{LETTER}").answer
    write_task(Questions("t", view, [KITE], 8), "lm-eval", tmp_path / "t")
    [row] = rows(tmp_path / "t")
    assert row["options"] == ["(a) cellar", "(b) open field", "(c) river bed"]
    assert (row["target"], row["context"]) == (1, f"{view.prompt(KITE)} The answer is")
    right = utils(tmp_path / "t").right
    assert right(row, [f"{view.states('open field', KITE)} It flies."])["acc"] == 1
    assert right(row, [f"{view.states('cellar', KITE)} It flies."])["acc"] == 0


def test_the_loss_over_options_goes_with_letters(tmp_path: Path) -> None:
    assert_cuts_change_nothing("tiny", f"multitask+counterfactual:{LETTER},options", corpus(4), tmp_path)


def _own(view: View, example: Example, generations: Any, draw: Any) -> Pair:
    return Pair(view.prompt(example), f"It must be {example.answer}!", example.answer)


def test_where_letters_cannot_be_stated_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(MethodError, match="'target=words' is not target=letter"):
        method("finetune:target=words")
    with pytest.raises(MethodError, match="'zero-shot' trains nothing"):
        method(f"zero-shot:{LETTER}")
    view = replace(PREDICT, name="own", build=_own)
    base = replace(method("finetune"), views={view: 1.0}, answer=view)
    with pytest.raises(MethodError, match="the view 'own' states its answer in words of its own"):
        apply(Draft("own", base, {view: view}, {view: 1.0}, {}), LETTER)
    free = [{"id": f"{n}", "question": f"What, {n}?", "answer": "that"} for n in range(8)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in free))
    columns = {"id": "id", "question": "question", "answer": "answer"}
    path = recipe(
        tmp_path, task={"use": "table", "train": "t.jsonl", "columns": columns}, methods=[f"multitask:{LETTER}"]
    )
    with pytest.raises(MethodError, match="'target=letter' names an option by its letter, and none of"):
        Run(Recipe.read(path)).generate()
    assert asked(tmp_path) == 0
