"""Several teachers for one step: all are asked, none twice, none spoils another's texts, and their agreement weighs."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cli_cases import MINI, call, recipe
from shrinklm import Recipe, Run
from shrinklm.core.errors import BudgetError, MethodError, RecipeError
from shrinklm.core.logprobs import OptionLogprobs
from shrinklm.core.types import Completion, Example, Generation, Prompt, Sampling, that_counts
from shrinklm.methods.chances import chances
from shrinklm.methods.corpus import Corpus
from shrinklm.methods.weighing import Weighing
from shrinklm.run.plan.plan import plan_run
from shrinklm.run.stages.agreement import agreement
from shrinklm.run.stages.weigh import check_several
from shrinklm.teachers.steps import StepRequest
from student_cases import generation

TEACHERS = {
    "a": {"use": "fake:log=a.log"},
    "b": {"use": "fake:first,log=b.log", "temperature": 0.3},
    "c": {"use": "fake:deny,log=c.log"},
}
STEPS = [{"explanation": {"teacher": ["a", "b", "c"]}}, "critique"]
DATA = Path(__file__).parents[2] / "shared" / "data"


def made(root: Path, **changes: Any) -> Run:
    block = {"teacher": TEACHERS, "generate": STEPS, "methods": ["multitask"], **changes}
    return Run(Recipe.read(recipe(root, **block)))


def asked(root: Path, name: str) -> list[str]:
    path = root / f"{name}.log"
    return path.read_text().splitlines() if path.exists() else []


def test_all_of_them_write_and_each_text_says_who_wrote_it(tmp_path: Path) -> None:
    run = made(tmp_path)
    report = run.generate()
    usage = report.steps["explanation"]
    assert {name: (part.kept, part.refused.total()) for name, part in usage.by.items()} == {
        "a": (12, 0), "b": (12, 0), "c": (0, 12)
    }  # fmt: skip
    assert (usage.kept, usage.refused.total()) == (24, 12)
    assert usage.asked == sum(len(asked(tmp_path, name)) for name in "abc") - 12, "critiques are the first one's"
    known = run.teaching.known()[0]
    for slots in known.values():
        (text,) = (text for (kind, _), text in slots.items() if kind == "explanation")
        assert [each.by for each in text.texts] == ["a", "b", "c"]
        assert [each.source.teacher for each in text.texts] == ["fake", "fake-first", "fake-deny"]
        # What one of them cannot write is another's: the text that counts is one that is not refused.
        assert (text.by, text.refusal) == ("a", None)
    assert report.steps["critique"].asked == 12, "a critique quotes the text that counts"
    summary = json.loads((run.folder / "generations.json").read_text())["steps"]["explanation"]
    assert summary["teacher"] == "fake and fake-first and fake-deny"
    assert {name: part["teacher"] for name, part in summary["by"].items()} == {
        "a": "fake",
        "b": "fake-first",
        "c": "fake-deny",
    }
    # Nothing is asked twice: by the same recipe, by one with a teacher alone, by one with another of them.
    before = {name: asked(tmp_path, name) for name in "abc"}
    assert made(tmp_path).generate().steps["explanation"].asked == 0
    alone = made(tmp_path, name="alone", teacher=TEACHERS["a"], generate=["explanation"])
    assert alone.generate().steps["explanation"].found == 12
    other = made(tmp_path, name="other", generate=[{"explanation": {"teacher": ["c", "a"]}}])
    assert other.generate().steps["explanation"].asked == 0
    assert {name: asked(tmp_path, name) for name in "abc"} == before
    audit = run.audit()["steps"]["explanation"]
    assert (audit["n"], audit["missing"]) == (36, 0)


def test_one_name_in_a_list_is_that_teacher_and_lists_are_kept(tmp_path: Path) -> None:
    run = made(tmp_path, generate=[{"explanation": {"teacher": ["b"]}}])
    assert [(taker.by, taker.teacher.name) for taker in run.writers.takers("explanation")] == [("", "fake-first")]
    parsed = made(tmp_path).recipe
    assert parsed.generate[0].teachers == ("a", "b", "c")
    (tmp_path / "again.yaml").write_text(parsed.dump())
    assert Recipe.read(tmp_path / "again.yaml").generate == parsed.generate


@pytest.mark.parametrize(
    ("teacher", "said"),
    [
        (["a", "d"], "names the teacher 'd'. There are: a, b, c."),
        (["a", "a"], "names one twice: a, a. Several texts of one teacher: `samples`"),
        ([], "names none"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, teacher: Any, said: str) -> None:
    with pytest.raises(RecipeError, match=said.replace(".", r"\.")):
        made(tmp_path, generate=[{"explanation": {"teacher": teacher}}])


def test_questions_without_answers_are_labelled_by_one(tmp_path: Path) -> None:
    rows = [{"id": f"q{i}", "question": f"What is it, {i}?", "choices": ["a rope", "a lamp"]} for i in range(8)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {"use": "table", "train": "t.jsonl", "columns": {name: name for name in ("id", "question", "choices")}}
    run = made(tmp_path, task=task, generate=[{"label": {"teacher": ["a", "b"]}}, "explanation"])
    with pytest.raises(RecipeError, match=r"Write: label: \{teacher: a\}"):
        run.generate()


def test_samples_are_of_each_and_equal_texts_count_once(tmp_path: Path) -> None:
    # A greedy text is the same whatever its seed; the second one is drawn, and another.
    teachers = {"a": {"use": "fake"}, "b": {"use": "fake", "seed": 10_000_000}}
    run = made(tmp_path, teacher=teachers, generate=[{"explanation": {"teacher": ["a", "b"], "samples": 2}}])
    usage = run.generate().steps["explanation"]
    assert (usage.asked, usage.found, usage.kept) == (36, 12, 48)
    texts = [text.texts for slots in run.teaching.known()[0].values() for text in slots.values()]
    assert {tuple(each.by for each in found) for found in texts} == {("a", "a", "b")}


@pytest.mark.parametrize(
    ("settings", "samples", "said"),
    [
        ({}, None, "'a' and 'b' are the same teacher: write samples: 2, or another temperature"),
        ({}, 2, "write samples: 4, or another temperature"),
        ({"seed": 7}, None, "are the same teacher"),
        ({"use": "fake:log=b.log", "retries": 0}, None, "are the same teacher"),
        ({"temperature": 0.5}, None, ""),
        ({"seed": 7}, 2, ""),
    ],
)
def test_one_teacher_under_two_names_is_refused_before_it_is_asked(
    tmp_path: Path, settings: dict[str, Any], samples: int | None, said: str
) -> None:
    teachers = {"a": TEACHERS["a"], "b": {**TEACHERS["a"], **settings}}
    run = made(tmp_path, teacher=teachers, generate=[{"explanation": {"teacher": ["a", "b"], "samples": samples}}])
    with pytest.raises(RecipeError, match=said) if said else nullcontext():
        run.generate()
    assert bool(asked(tmp_path, "a")) is not bool(said)


def test_a_recording_under_two_names_is_one_by_its_columns(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"id": "1", "why": "So.", "more": "So it is."}\n')
    one = {"use": "recorded:t.jsonl", "columns": {"explanation": "why"}}
    other = {**one, "columns": {"explanation": "more"}}
    steps = [{"explanation": {"teacher": ["a", "b"]}}]
    with pytest.raises(RecipeError, match="'a' and 'b' are the same teacher: take one out"):
        made(tmp_path, teacher={"a": one, "b": one}, generate=steps).writers.check_same(
            [StepRequest("explanation", 1, None, None)]
        )
    made(tmp_path, teacher={"a": one, "b": other}, generate=steps).writers.check_same(
        [StepRequest("explanation", 1, None, None)]
    )


def test_the_plan_counts_all_and_a_preview_shows_what_is_free(tmp_path: Path) -> None:
    rows = [
        {
            "id": f"q{i}",
            "question": f"What is it, {i}?",
            "choices": ["a rope", "a lamp"],
            "answer": "a rope",
            "why": "A rope ties it.",
        }
        for i in range(20)
    ]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = {name: name for name in ("id", "question", "choices", "answer")}
    teachers = {
        "paid": {"use": "endpoint:http://127.0.0.1:9/v1#m", "price": {"input": 1, "output": 2}},
        "dear": {"use": "endpoint:http://127.0.0.1:9/v1#n", "price": {"input": 10, "output": 20}},
        "file": {"use": "recorded:t.jsonl", "columns": {"explanation": "why"}},
    }
    run = made(
        tmp_path, task={"use": "table", "train": "t.jsonl", "columns": columns, "dev": 0.2, "test": 0.2},
        teacher=teachers, generate=[{"explanation": {"teacher": list(teachers)}}], budget=1,
    )  # fmt: skip
    count = len(run.splits["train"])
    planned = [row for row in plan_run(run, students=False)["texts"] if row["step"] == "explanation"]
    assert [(row["teacher"], row["prompts"]) for row in planned] == [
        ("m", count),
        ("n", count),
        ("recorded:t.jsonl", 0),
    ]
    assert planned[1]["dollars"] == pytest.approx(10 * planned[0]["dollars"])
    shown = [row for row in run.preview(0) if row.get("view") == "explain"]
    assert {row["target"] for row in shown} == {"A rope ties it."}
    assert not run.folder.exists()


class Paid:
    """A teacher that is paid for each text, and counts what it is asked."""

    def __init__(self, name: str, words: str) -> None:
        self.name, self.revision, self.words, self.asked = name, "1", words, Counter[str]()
        self.price = {"input": 0.0, "output": 1000.0}

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        for position, prompt in enumerate(prompts):
            self.asked[prompt.example.id] += 1
            yield position, Completion(f"{self.words} {prompt.answer}.", 10, 10)


def test_a_budget_holds_over_all_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paid = {name: Paid(name, words) for name, words in (("x", "It has to be"), ("y", "One would pick"))}
    monkeypatch.setattr("shrinklm.run.stages.writers.make_teacher", lambda use, options: _wrapped(paid[use]))
    explanation = {"teacher": ["x", "y"], "max_tokens": 10}
    block = {"teacher": {"x": {"use": "x"}, "y": {"use": "y"}}, "generate": [{"explanation": explanation}]}
    # Each text costs 10 tokens of 0.001 dollars: 12 of the first and 6 of the second fit.
    with pytest.raises(BudgetError, match=r"6 texts|left"):
        made(tmp_path, **block, budget=0.18).generate()
    assert (paid["x"].asked.total(), paid["y"].asked.total()) == (12, 6)
    done = made(tmp_path, **block, budget=0.24).generate()
    assert (paid["x"].asked.total(), paid["y"].asked.total()) == (12, 12)
    assert done.steps["explanation"].cost == pytest.approx(0.24)
    assert {name: part.cost for name, part in done.steps["explanation"].by.items()} == pytest.approx(
        {"x": 0.12, "y": 0.12}
    )


def _wrapped(teacher: Any) -> Any:
    from shrinklm.teachers.base import as_teacher

    return as_teacher(teacher)


# Agreement

CHOICES = ("a", "b", "c")
ASKED = Example("e", "Which one is it?", CHOICES, "a")


def by(name: str, kind: str, answer: str, text: str, number: int = 0, **told: float) -> Generation:
    made = replace(generation(ASKED, kind, answer, text), by=name, key=f"{name} {kind} {number}")
    return replace(made, logprobs=OptionLogprobs({o: told[o] for o in CHOICES}, ())) if told else made


def figures(texts: list[Generation], *labels: Generation) -> list[dict[str, Any]]:
    known = {("label", ""): that_counts(labels)} if labels else {}
    return [dict(each) for each in agreement(ASKED, "explanation", "a", texts, known)]


def test_agreement_by_hand() -> None:
    texts = [by(name, "explanation", "a", "It is so.") for name in "xyz"]
    found = figures(texts, by("x", "label", "a", "a"), by("y", "label", "a", "a"), by("z", "label", "b", "b"))
    assert [each["gold"] for each in found] == [1.0, 1.0, 0.0]
    assert [each["others"] for each in found] == [0.5, 0.5, 0.0]
    # w ∝ λ p(gold) + (1 - λ) agreement: 0.75, 0.75, 0.
    assert Weighing.read("agreement").shares(found) == pytest.approx([0.5, 0.5, 0.0])
    assert Weighing.read("agreement&gold=1").shares(found) == pytest.approx([0.5, 0.5, 0.0])
    split = figures(texts, by("x", "label", "a", "a"), by("y", "label", "b", "b"), by("z", "label", "b", "b"))
    # 0.5 + 0, 0 + 0.25, 0 + 0.25; by the others alone 0, 0.5, 0.5.
    assert Weighing.read("agreement").shares(split) == pytest.approx([0.5, 0.25, 0.25])
    assert Weighing.read("agreement&gold=0").shares(split) == pytest.approx([0.0, 0.5, 0.5])
    # Where nobody agrees with anything, all weigh alike.
    wrong = figures(texts[:2], by("x", "label", "b", "b"), by("y", "label", "c", "c"))
    assert Weighing.read("agreement").shares(wrong) == [0.5, 0.5]


def test_agreement_of_distributions_and_of_several_texts_by_hand() -> None:
    texts = [
        by("x", "explanation", "a", "So.", 0),
        by("x", "explanation", "a", "So then.", 1),
        by("y", "explanation", "a", "Well."),
    ]
    sure = {option: math.log(value) for option, value in zip(CHOICES, (0.8, 0.1, 0.1), strict=True)}
    votes = [by("y", "label", answer, answer, number) for number, answer in enumerate("aab")]
    found = figures(texts, by("x", "label", "a", "a", **sure), *votes)
    assert [each["gold"] for each in found] == pytest.approx([0.8, 0.8, 2 / 3])
    overlap = 0.8 * 2 / 3 + 0.1 / 3
    assert [each["others"] for each in found] == pytest.approx([overlap] * 3)
    assert [each["texts"] for each in found] == [2, 2, 1]
    x, y = (0.8 + overlap) / 2, (2 / 3 + overlap) / 2
    assert Weighing.read("agreement").shares(found) == pytest.approx([x / 2 / (x + y), x / 2 / (x + y), y / (x + y)])


def test_agreement_without_labels_reads_the_texts() -> None:
    texts = [
        by(name, "explanation", "a", text)
        for name, text in (("x", "The answer is a."), ("y", "The answer is b."), ("z", "Who knows."))
    ]
    found = figures(texts)
    assert [each["gold"] for each in found] == pytest.approx([1.0, 0.0, 1 / 3])
    assert [each["others"] for each in found] == pytest.approx([1 / 6, 1 / 6, 1 / 3])
    # A text about a wrong option is measured by that option, whatever its teacher answers itself.
    wrong = [by("x", "counterfactual", "b", "The answer is b."), by("y", "counterfactual", "b", "The answer is a.")]
    known = {("label", ""): by("x", "label", "a", "a")}
    assert [each["gold"] for each in agreement(ASKED, "counterfactual", "b", wrong, known)] == [1.0, 0.0]


def test_labels_of_one_teacher_count_where_several_explain() -> None:
    def of(text: Generation, teacher: str) -> Generation:
        return replace(text, source=replace(text.source, teacher=teacher))

    texts = [of(by(name, "explanation", "a", "It is so."), f"model-{name}") for name in "xy"]
    # A step that one teacher takes alone does not say its name in the recipe.
    alone = of(by("", "label", "b", "b"), "model-y")
    assert [each["gold"] for each in figures(texts, alone)] == pytest.approx([1 / 3, 0.0])
    assert [each["gold"] for each in figures(texts, of(alone, "model-z"))] == pytest.approx([1 / 3, 1 / 3])
    # Two names of one model, warm and cold, each have their own where both take the step.
    both = [of(by(name, "label", answer, answer), "m") for name, answer in (("x", "a"), ("y", "b"))]
    assert [each["gold"] for each in figures([of(text, "m") for text in texts], *both)] == [1.0, 0.0]


def test_texts_of_one_teacher_claim_by_their_own_words() -> None:
    texts = [by("", "explanation", "a", f"The answer is {option}.", number) for number, option in enumerate("aab")]
    found = figures(texts, by("", "label", "a", "a"))
    assert [each["gold"] for each in found] == [1.0, 1.0, 0.0]
    assert [each["others"] for each in found] == [0.5, 0.5, 0.0]
    labels = [by("", "label", answer, f"So {answer}.", number) for number, answer in enumerate("aab")]
    known = {("label", ""): that_counts(labels)}
    assert [each["gold"] for each in agreement(ASKED, "label", "", labels, known)] == [1.0, 1.0, 0.0]
    # Each its own where several label, too; and its distribution where it has one.
    sure = by("y", "label", "b", "b", a=math.log(0.4), b=math.log(0.5), c=math.log(0.1))
    mixed = [by("x", "label", answer, answer, number) for number, answer in enumerate("ab")] + [sure]
    found = list(agreement(ASKED, "label", "", mixed, {("label", ""): that_counts(mixed)}))
    assert [each["gold"] for each in found] == pytest.approx([1.0, 0.0, 0.4])
    assert [each["others"] for each in found] == pytest.approx([0.4, 0.5, 0.45])


@pytest.mark.parametrize(
    ("answer", "also", "text", "claimed"),
    [
        ("ten", [], "They often meet.", 0.0),
        ("ten", [], "There are Ten, they say.", 1.0),
        ("ten", ["10"], "So 10 are left.", 1.0),
        ("ten", ["10"], "So 100 are left, or 3.10.", 0.0),
        ("New York", [], "It is new in York.", 0.0),
        ("St. Paul", [], "In St Paul's streets.", 1.0),
        ("3.5", [], "It weighs 3.5 kilos.", 1.0),
        ("5", [], "It weighs 3.5 kilos.", 0.0),
        ("北京", [], "答案是北京。", 1.0),
        ("?", [], "Who knows?", 0.0),
    ],
)
def test_free_answers_are_claimed_by_whole_words(answer: str, also: list[str], text: str, claimed: float) -> None:
    example = Example("f", "How many?", (), answer, meta={"answers": also})
    texts = [
        replace(generation(example, "explanation", answer, each), by=name)
        for name, each in zip("xy", (text, "So."), strict=True)
    ]
    assert next(agreement(example, "explanation", answer, texts, {}))["gold"] == claimed


def test_free_labels_that_mean_the_same_agree() -> None:
    example = Example("f", "How many?", (), "ten", meta={"answers": ["10"]})
    labels = [
        replace(generation(example, "label", each, each), by=name)
        for name, each in zip("wxyz", ("10", "Ten.", "Two", "two."), strict=True)
    ]
    found = list(agreement(example, "label", "", labels, {}))
    assert [each["gold"] for each in found] == [1.0, 1.0, 0.0, 0.0]
    assert [each["others"] for each in found] == pytest.approx([1 / 3] * 4)


def test_a_run_asks_for_the_labels_that_weigh_its_texts(tmp_path: Path) -> None:
    steps: list[Any] = [{"explanation": {"teacher": ["a", "b"]}}, "label"]
    run = made(tmp_path, generate=steps, methods=["multitask:weigh=agreement"])
    assert run.generate().steps["label"].asked == 12
    known = run.teaching.known()[0]
    for example in run.splits["train"]:
        slots = known[example.id]
        first = next(
            agreement(example, "explanation", example.answer, slots["explanation", example.answer].texts, slots)
        )
        assert first["gold"] == (slots["label", ""].answer == example.answer), "the labels of a say what a claims"
    # Nothing is asked of training questions where nobody reads it.
    plain = made(tmp_path, name="plain", generate=steps, methods=["multitask"])
    assert "label" not in plain.generate().steps


def test_agreement_that_nothing_can_tell_is_refused(tmp_path: Path) -> None:
    rows = [{"id": f"q{i}", "question": f"Is it so, {i}?", "choices": ["yes", "no"], "answer": "yes"} for i in range(8)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = {name: name for name in ("id", "question", "choices", "answer")}
    task = {"use": "table", "train": "t.jsonl", "test": 0.25, "dev": 0.0, "columns": columns}
    several, alone = {"teacher": ["a", "b"]}, {"samples": 2}
    for name, steps, refused in (
        ("multitask", [{"explanation": alone}], True),
        ("multitask", [{"explanation": alone}, "label"], True),
        ("multitask", [{"explanation": several}], True),
        ("multitask", [{"explanation": several}, "label"], False),
        ("multitask", [{"explanation": several}, {"label": {"teacher": "c"}}], True),
        ("trace-then-answer", [{"trace": alone}], True),
        (
            "multitask+counterfactual:teacher-labels",
            [{"label": alone}, {"counterfactual": alone}, "explanation"],
            False,
        ),
    ):
        methods = [f"{name}{',' if ':' in name else ':'}weigh=agreement"]
        run = made(tmp_path, task=task, generate=steps, methods=methods)
        check = partial(check_several, run.methods, run.teaching.steps, run.splits["train"], run.writers)
        with (
            pytest.raises(MethodError, match=r"do not tell: .*Labels of several teachers do")
            if refused
            else nullcontext()
        ):
            check()
    # Options with words of their own are told by these.
    run = made(tmp_path, generate=[{"explanation": alone}], methods=["multitask:weigh=agreement"])
    check_several(run.methods, run.teaching.steps, run.splits["train"], run.writers)


def test_soft_targets_are_weighted_by_the_shares_of_the_labels() -> None:
    labels = [by("x", "label", "a", "a", 0), by("y", "label", "b", "b", 1)]
    found = that_counts(labels)
    corpus = Corpus([ASKED], {"e": {("label", ""): found}}, 0, {labels[0].key: 0.75, labels[1].key: 0.25})
    assert chances(found, CHOICES, corpus.shares) == pytest.approx({"a": 0.75, "b": 0.25, "c": 0.0})
    assert chances(found, CHOICES) == {"a": 0.5, "b": 0.5, "c": 0.0}


def test_a_run_weighs_its_teachers_and_says_who_won(tmp_path: Path) -> None:
    steps = [{"explanation": {"teacher": ["a", "b", "c"]}}, {"label": {"teacher": ["a", "b"]}}]
    run = made(
        tmp_path,
        generate=steps,
        methods=["multitask:weigh=agreement"],
        evaluate={"zero_shot": False},
        train={**MINI["train"], "curve": 0},
    )
    run.generate()
    run.train()
    rows = [
        json.loads(line) for line in (run.folder / "weights" / "agreement--explanation.jsonl").read_text().splitlines()
    ]
    assert Counter(row["teacher"] for row in rows) == {"a": 12, "b": 12}, "what is refused is not weighed"
    assert {"gold", "others", "texts", "weight"} <= rows[0].keys()
    # The same weights once more: nothing changes, and a key of the training that others have is not this one's.
    made(
        tmp_path,
        generate=steps,
        methods=["multitask:weigh=agreement"],
        evaluate={"zero_shot": False},
        train={**MINI["train"], "curve": 0},
    ).train()


def test_one_teacher_with_one_text_is_refused(tmp_path: Path) -> None:
    run = made(tmp_path, generate=["explanation"], methods=["multitask:weigh=agreement"])
    with pytest.raises(MethodError, match=r"\[\{explanation: \{teacher: \[A, B\]\}\}"):
        run.generate()
    assert not asked(tmp_path, "a")


def test_the_command_line_shows_what_each_of_them_cost(tmp_path: Path) -> None:
    path = recipe(tmp_path, teacher=TEACHERS, generate=STEPS, methods=["multitask"])
    output = call("generate", path).output
    assert "fake-first: 24 asked" in output
    assert json.loads(call("generate", path, "--json").stdout)["steps"]["explanation"]["by"]["a"]["found"] == 12
