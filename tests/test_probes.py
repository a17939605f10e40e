"""Scripted students whose faithfulness is known, and what the probes say of them."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from evaluation_fakes import FakeTask
from shrinklm.core.registry import find
from shrinklm.core.results import read_probes
from shrinklm.core.types import Example, Pair, Prediction
from shrinklm.evaluation.metrics import faithfulness
from shrinklm.evaluation.metrics.base import Condition, Context
from shrinklm.evaluation.metrics.explanations import named
from shrinklm.evaluation.probes import AnswerCache, conditional_answers, framed, probe
from shrinklm.methods.spec import method
from shrinklm.tasks.base import parse_answer

COLOURS = ("red", "green", "blue", "black", "white")
FRUITS = ("apple", "lemon", "grape", "melon", "peach")
QUESTIONS = [
    Example(f"q{i}", f"Which of {i}?", options, options[i % 5]) for i, options in enumerate([COLOURS, FRUITS] * 20)
]
SOLE = {
    example.id: f"{example.id} is known because many people often say {example.answer} here, and that is common."
    for example in QUESTIONS
}
BEGINNINGS = [(f"{one.text}\n", one) for one in QUESTIONS]
PREDICTIONS = [Prediction("cell", one.id, one.answer, SOLE[one.id], "", one.answer) for one in QUESTIONS]
TOLD = {
    one.id: {wrong: f"People would surely find {wrong} in such a place." for wrong in one.wrong} for one in QUESTIONS
}

Rule = Callable[[Example, str, str], str | None]
"""(question, explanation that was given, tag) → the answer; None: it cannot decide."""


@dataclass
class Scripted:
    """A student that prefers the option which a rule picks from the question, explanation and tag of its prompt."""

    rule: Rule
    premise_in_target: bool = False
    asked: list[str] = field(default_factory=list)

    def likelihood(self, pairs: Sequence[Pair], batch: int = 32) -> list[float]:
        return [self._value(pair) for pair in pairs]

    def _value(self, pair: Pair) -> float:
        text = f"{pair.prompt} {pair.target}"
        asked = pair.prompt + pair.target[: pair.scored[0]]
        self.asked += [] if asked in self.asked[-1:] else [asked]
        example = next(one for start, one in BEGINNINGS if text.startswith(start))
        match = re.search(
            r"\n(?:Explanation: (?P<premise>.*)\n)?(?P<tag>\[[\w-]+\])(?P<before>.*?)(?:So t|T)he answer is", text
        )
        assert match, text
        picked = self.rule(example, (match["premise"] or match["before"]).strip(), match["tag"])
        return 0.0 if pair.option == picked else -10.0 * len(pair.target)

    def answer(self, prompts, max_tokens, batch=32, tick=None):
        raise AssertionError("options are chosen by likelihood")


def ignores(example: Example, explanation: str, tag: str) -> str:
    return example.answer


def follows(example: Example, explanation: str, tag: str) -> str | None:
    """Blindly: the option that is named, else always the same one."""
    found = named(explanation, example.choices)
    return found.pop() if len(found) == 1 else example.wrong[0]


def tagged(example: Example, explanation: str, tag: str) -> str:
    return example.wrong[-1] if tag == "[counterfactual]" else example.answer


def gated(example: Example, explanation: str, tag: str) -> str | None:
    """Reads its explanation only when the tag says so: the shortcut that counterfactual training invites."""
    return follows(example, explanation, tag) if tag == "[counterfactual]" else example.answer


RULES = {"ignores": ignores, "follows": follows, "tagged": tagged, "gated": gated}


def means(scores) -> dict[str, float]:
    names = {score.metric for score in scores}
    return {name: statistics.mean(score.value for score in scores if score.metric == name) for name in sorted(names)}


def run(
    tmp_path: Path, rule: Rule, spec: str = "counterfactual", metrics=("faithfulness",), student=None, told=TOLD, **more
):
    predictions = more.pop("predictions", PREDICTIONS)
    student = student or Scripted(rule)
    explained = [prediction for prediction in predictions if prediction.explanation is not None]
    context = Context(method(spec), explained, counterfactuals=told)
    probes = [find("metrics", name) for name in metrics]
    settings = {"file": tmp_path / "probes.parquet", "key": "k", "batch": 16, **more}
    cache = AnswerCache(lambda: student, FakeTask(), **settings)
    return probe(cache, QUESTIONS, probes, context), student


@pytest.mark.parametrize("spec", ["counterfactual", "multitask+counterfactual", "explain-then-answer", "multitask"])
@pytest.mark.parametrize("told", [TOLD, {}], ids=["teacher's counterfactual", "own with names exchanged"])
def test_the_probes_tell_who_ignores_its_explanation_and_who_follows_it(tmp_path, spec, told):
    deaf, blind = (means(run(tmp_path / name, RULES[name], spec, told=told)[0]) for name in ("ignores", "follows"))
    assert (deaf["cf_consistency"], deaf["cf_baseline"]) == (0, 0)
    assert blind["cf_consistency"] == 1
    assert blind["cf_baseline"] < 0.5  # another question's explanation names an option of this one, or none
    assert (deaf["perturbation_drop"], deaf["perturbation_baseline"]) == (0, 0)
    assert blind["perturbation_drop"] > 0.3
    assert abs(blind["perturbation_baseline"]) < 0.2
    assert [deaf[f"early_{share}"] for share in (0, 25, 50, 75, 100)] == [1] * 5
    assert [blind[f"early_{share}"] for share in (0, 25, 50, 75, 100)] == [
        0,
        0,
        0,
        1,
        1,
    ]  # the answer is the ninth of 14 words
    assert (deaf["early_aoc"], deaf["early_baseline"]) == (0, 0)
    assert blind["early_aoc"] == 0.625
    assert (deaf["filler_same"], deaf["paraphrase_same"], deaf["other_same"]) == (1, 1, 1)
    assert (blind["filler_same"], blind["paraphrase_same"]) == (0, 1)
    assert blind["other_same"] < 0.3


@pytest.mark.parametrize("spec", ["counterfactual", "multitask+counterfactual"])
@pytest.mark.parametrize("told", [TOLD, {}], ids=["teacher's counterfactual", "own with names exchanged"])
def test_the_tag_shortcut_is_told_from_reasons_and_from_deafness(tmp_path, spec, told):
    found = {
        name: means(run(tmp_path / name, rule, spec, ["tag_shortcut"], told=told)[0]) for name, rule in RULES.items()
    }
    figures = {
        name: (one["tag_follows"], one["tag_blank"], one["tag_baseline"], one["reasons_follow"])
        for name, one in found.items()
    }
    assert figures == {
        "ignores": (0, 0, 0, 0),
        "follows": (0, 0, 0, 1),
        "tagged": (1, 1, 0, 0),
        "gated": (0, 1, 0, 1),  # what gives it away: without reasons the tag alone moves it
    }
    assert found["follows"]["reasons_baseline"] < 0.5
    assert (
        means(run(tmp_path / "own", gated, spec, ["counterfactual_consistency"], told=told)[0])["cf_consistency"] == 0
    )


def test_a_method_that_learned_no_other_tag_has_no_tag_scores(tmp_path):
    for spec in ("multitask", "explain-then-answer"):
        assert not run(tmp_path / spec, ignores, spec, ["tag_shortcut"])[0]


def test_all_probes_together_ask_each_question_once_and_later_ones_only_what_is_new(tmp_path):
    scores, student = run(tmp_path, follows)
    assert len(student.asked) == len(set(student.asked))
    rows = read_probes(tmp_path / "probes.parquet")
    assert len(rows) == len({(row.example_id, row.explanation, row.tag) for row in rows}) == len(student.asked)
    again, idle = run(tmp_path, follows, student=Scripted(ignores))
    assert (again, idle.asked) == (scores, [])
    other = tmp_path / "other"
    first = run(other, follows, metrics=["filler"])[1]
    more, second = run(other, follows, metrics=["filler", "perturbation"])
    assert not set(first.asked) & set(second.asked)
    assert second.asked
    assert {score.metric for score in more} == {
        "filler_same",
        "other_same",
        "perturbation_drop",
        "perturbation_baseline",
    }
    assert sorted(more, key=str) == sorted(
        (one for one in scores if one.metric in {score.metric for score in more}), key=str
    )


def test_answers_of_another_student_are_not_used(tmp_path):
    run(tmp_path, follows)
    scores, student = run(tmp_path, ignores, key="other weights")
    assert student.asked
    assert means(scores)["cf_consistency"] == 0
    assert {row.key for row in read_probes(tmp_path / "probes.parquet")} == {"other weights"}


def test_a_killed_pass_goes_on_where_it_was(tmp_path):
    class Killed(Scripted):
        def likelihood(self, pairs, batch=32):
            if len(self.asked) > 100:
                raise KeyboardInterrupt
            return super().likelihood(pairs, batch)

    whole, counted = run(tmp_path / "whole", follows)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, follows, student=(killed := Killed(follows)))
    assert (tmp_path / "probes.part").is_file()
    scores, student = run(tmp_path, follows)
    assert scores == whole
    assert len(killed.asked) + len(student.asked) == len(counted.asked)
    assert not (tmp_path / "probes.part").exists()


def test_only_explained_questions_are_probed_and_silence_has_nothing_to_perturb(tmp_path):
    said = [*PREDICTIONS[:3], *(Prediction("cell", one.id, one.answer, " ", "", one.answer) for one in QUESTIONS[3:5])]
    said += [Prediction("cell", one.id, one.answer, None, "", one.answer) for one in QUESTIONS[5:]]
    scores, _ = run(tmp_path, follows, predictions=said)
    of = {
        name: {score.example_id for score in scores if score.metric == name}
        for name in {score.metric for score in scores}
    }
    assert of["filler_same"] == of["perturbation_drop"] == of["early_aoc"] == of["tag_follows"] == {"q0", "q1", "q2"}
    assert of["cf_consistency"] <= {"q0", "q1", "q2", "q3", "q4"}
    assert {"q3", "q4"} & of["cf_consistency"]


def test_a_single_question_has_no_baseline_and_is_not_scored_without_one(tmp_path):
    scores, _ = run(tmp_path, ignores, predictions=PREDICTIONS[:1])
    assert {score.metric for score in scores} == {f"early_{cut}" for cut in faithfulness.CUTS} | {
        "early_aoc",
        "filler_same",
        "paraphrase_same",
    }


def test_each_explanation_is_handed_to_one_other_question():
    others = Context(method("multitask"), PREDICTIONS).others
    assert sorted(others.values()) == sorted(SOLE.values())
    assert all(others[one.id] != SOLE[one.id] for one in QUESTIONS)
    assert Context(method("multitask"), PREDICTIONS, seed=1).others != others


def test_the_explanation_stands_where_the_method_reads_it():
    one, given = QUESTIONS[0], Condition("Blood is red")
    assert framed(method("counterfactual"), one, given) == (f"{one.text}\n[factual]", "Blood is red. So the answer is")
    assert framed(method("counterfactual"), one, Condition()) == (f"{one.text}\n[factual]", "So the answer is")
    premised = f"{one.text}\nExplanation: Blood is red.\n[predict]"
    assert framed(method("multitask"), one, given) == (premised, "The answer is")
    swapped = framed(method("multitask"), one, Condition("Blood is red", "[counterfactual]"))
    assert swapped == (premised.replace("[predict]", "[counterfactual]"), "The answer is")
    assert framed(method("finetune"), one, Condition()) == (f"{one.text}\n[predict]", "The answer is")


def test_free_answers_are_generated_and_read():
    class Says:
        premise_in_target = False

        def likelihood(self, pairs, batch=32):
            return []

        def answer(self, prompts, max_tokens, batch=32, tick=None, begun=()):
            self.prompts, self.begun = list(prompts), list(begun)
            return ["12. So" if begun else "The answer is 7."] * len(prompts)

    class Free(FakeTask):
        def parse(self, text, example):
            return parse_answer(text, example)

    one, student = Example("f", "How many?", (), "12"), Says()
    assert conditional_answers(
        student, Free(), method("explain-then-answer"), [(one, Condition("Ten and two"))], 4
    ) == ["12"]
    assert (student.prompts, student.begun) == ([f"{one.text}\n[factual]"], ["Ten and two. So the answer is"])
    assert conditional_answers(student, Free(), method("multitask"), [(one, Condition("Ten"))], 4) == ["7"]
    student.premise_in_target = True
    assert conditional_answers(
        student, Free(), method("explain-then-answer"), [(one, Condition("Ten and two"))], 4
    ) == [None]


@pytest.mark.parametrize(
    ("text", "share", "left"),
    [("a b c d", 0, ""), ("a b c d", 50, "a b"), ("a b c", 25, "a"), ("a b c", 75, "a b c"), ("a", 50, "a")],
)
def test_an_explanation_is_cut_at_whole_words(text, share, left):
    assert faithfulness.cut(text, share) == left


def test_half_of_the_words_are_replaced_by_other_questions_words():
    context = Context(
        method("multitask"),
        [Prediction("c", "a", "x", "one two three four five", ""), Prediction("c", "b", "x", "six", "")],
    )
    new = faithfulness.perturbed("one two three four five", "a", context, "own").split()
    assert new.count("six") == 3
    assert [word for word, old in zip(new, ["one", "two", "three", "four", "five"], strict=True) if word != old] == [
        "six"
    ] * 3
    assert faithfulness.perturbed("one two three four five", "a", context, "own").split() == new


def test_names_are_exchanged_both_ways_and_as_whole_words():
    assert faithfulness.exchanged("A bank, not a Zoo; banks.", "bank", "zoo") == "A zoo, not a bank; banks."
    assert faithfulness.exchanged("a bank account", "bank", "bank account") == "a bank"
