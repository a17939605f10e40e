"""What each method shows: golden text of every view for every task type, weights, options, counterfactuals, controls,
schedules.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shrinklm.core.errors import MethodError, UnknownName
from shrinklm.core.registry import names
from shrinklm.core.types import Example, Pair
from shrinklm.methods.builtin import COUNTERFACTUAL, EXPLAIN, FACTUAL, JUSTIFY, PREDICT
from shrinklm.methods.corpus import Corpus, ViewPair
from shrinklm.methods.spec import method
from shrinklm.methods.terms import TERMS
from shrinklm.methods.view import Method, View
from shrinklm.students.training.losses.kd import Distil
from shrinklm.students.training.losses.mixkd import MixKD
from shrinklm.students.training.losses.soft import Soft
from student_cases import OPTIONS, TYPES, corpus, generation, many, taught

GOLDEN = Path(__file__).parent / "golden" / "views.txt"
DATA = Path(__file__).parents[2] / "shared" / "data" / "cqa-llama2"
ALL = "multitask+counterfactual"
SPECS = [
    *names("methods"),
    f"{ALL}:revised",
    "counterfactual:revised",
    "answer-then-explain:revised",
    f"{ALL}:teacher-labels",
]

own = Method("own", {PREDICT: 2.0}, PREDICT, None)


def shown(spec: str | Method, examples: list[Example] | None = None, epoch: int = 0) -> list[ViewPair]:
    found = corpus(examples=examples or many(6))
    asked = method(spec) if isinstance(spec, str) else spec
    return [item for index in range(len(found.examples)) for item in found.pairs(asked, index, epoch)]


def views_text() -> str:
    """Every view that any method shows, asks or explains with, once for each task type."""
    parts = []
    for kind, example in TYPES.items():
        donor = replace(many(1)[0], id="other")
        found: dict[tuple[str, str, str], list[str]] = {}
        for spec in SPECS:
            asked = method(spec)
            for item in corpus(examples=[example, donor]).pairs(asked, 0, 0):
                found.setdefault((item.view.name, item.pair.prompt, item.pair.target), []).append(
                    f"{spec} {item.weight:g}"
                )
            for view in dict.fromkeys(filter(None, (asked.answer, asked.explain))):
                if view not in asked.views:
                    found.setdefault((view.name, view.prompt(example), "(asked only)"), []).append(spec)
        for (name, prompt, target), where in found.items():
            parts.append(f"##### {kind} / {name} / {', '.join(where)}\n{prompt}\n----- target\n{target}\n")
    return "\n".join(parts)


def test_defect_06_and_07_every_view_of_every_task_is_pinned() -> None:
    text = views_text()
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8"), (
        "A view changed. If that is meant: UPDATE_GOLDEN=1 pytest tests/test_methods.py"
    )


def test_defect_07_tags_and_leads_are_the_same_for_every_task() -> None:
    ends: dict[str, set[tuple[str, str]]] = {}
    for example in TYPES.values():
        for item in shown("multitask+counterfactual", [example]):
            state = (
                item.pair.target.partition(f" {item.pair.option}.")[0].rpartition(". ")[2] if item.pair.option else ""
            )
            ends.setdefault(item.view.name, set()).add((item.pair.prompt.rpartition("\n")[2], state))
    assert ends == {
        "predict": {("[predict]", "The answer is")},
        "explain": {("[explain]", "")},
        "factual": {("[factual]", "So the answer is")},
        "counterfactual": {("[counterfactual]", "So the answer is")},
    }


@pytest.mark.parametrize("spec", SPECS)
def test_weights_sum_to_one(spec: str) -> None:
    asked = method(spec)
    assert sum(asked.views.values()) == pytest.approx(1.0 if spec != "zero-shot" else 0.0)
    assert asked.name == spec
    assert spec == "zero-shot" or asked.answer in asked.views


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("spec", SPECS)
def test_the_question_stands_first_and_the_tag_last(spec: str, kind: str) -> None:
    for item in shown(spec, [TYPES[kind], *many(1)]):
        assert item.pair.prompt.startswith(item.example.text + "\n")
        assert item.pair.prompt.endswith(f"\n[{item.view.name}]")
        assert item.pair.target == item.pair.target.strip() != ""


def test_a_view_made_from_another_keeps_its_own_words() -> None:
    mine = replace(FACTUAL, name="mine", tag="Think:", lead="Hence:")
    (item, *_) = shown(Method("m", {mine: 1.0}, mine, mine), [TYPES["choice"]])
    assert item.pair == Pair(
        f"{TYPES['choice'].text}\nThink:", "It fits open field best. Hence: open field.", "open field"
    )


def test_defect_04_revised_means_every_view_or_exactly_the_named() -> None:
    def revised(spec: str) -> dict[str, bool]:
        return {item.view.name: "and nothing else" in item.pair.target for item in shown(spec, [TYPES["choice"]])}

    none = {"predict": False, "explain": False, "factual": False, "counterfactual": False}
    assert revised("multitask+counterfactual") == none
    assert revised("multitask+counterfactual:revised") == {**none, "explain": True, "factual": True}
    assert revised("multitask+counterfactual:revised=explain") == {**none, "explain": True}
    assert revised("multitask+counterfactual:revised=factual&explain") == {**none, "explain": True, "factual": True}
    for control in ("shuffled-explanation:revised", "random-explanation:revised", "answer-then-explain:revised"):
        assert "revision" in method(control).needs
        assert "explanation" not in method(control).needs
    asked = method("multitask+counterfactual:revised=explain")
    assert asked.needs == ("revision", "explanation", "counterfactual")
    assert asked.answer in asked.views
    assert asked.explain in asked.views


def test_teacher_labels_are_the_teachers_answer_and_reason() -> None:
    example = TYPES["choice"]
    said = {
        **taught(example),
        ("label", ""): generation(example, "label", "cellar", "Kites are kept below. The answer is cellar."),
    }
    found = Corpus([example], {example.id: said}).pairs(method("multitask+counterfactual:teacher-labels"), 0, 0)
    assert {item.view.name: item.pair.target for item in found} == {
        "predict": "The answer is cellar.",
        "explain": "Kites are kept below.",
        "factual": "Kites are kept below. So the answer is cellar.",
        "counterfactual": "So the answer is cellar.",
    }


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("multitsk", UnknownName, "Did you mean 'multitask'"),
        ("", UnknownName, "Known: answer-then-explain"),
        (
            "multitask:revisd",
            MethodError,
            r"unknown option 'revisd'. Did you mean 'revised'\? Known: revised\[=VIEW\], teacher-labels, top=N",
        ),
        ("finetune:option=2", MethodError, "unknown option 'option=2'. Did you mean 'options'"),
        (
            "multitask:zz",
            MethodError,
            r"unknown option 'zz'. Known: revised\[=VIEW\], teacher-labels, top=N, order=score, alpha=WEIGHT",
        ),
        ("multitask:alpha=1", MethodError, "'alpha=1' is not a weight between 0 and 1, such as 0.9"),
        ("finetune:alpha=0.9", MethodError, "'finetune' has no views of both kinds"),
        (
            "multitask:revised=predict",
            MethodError,
            r"finds no such view. Views of 'multitask' with an explanation: explain",
        ),
        ("finetune:revised", MethodError, "with an explanation: none"),
        ("multitask:revised,teacher-labels", MethodError, "exclude each other"),
        ("multitask:teacher-labels=2", MethodError, "takes no value"),
        (
            "finetune:options=0.5,options=2",
            MethodError,
            "'options' is asked for twice, by 'options=0.5' and 'options=2'",
        ),
        ("finetune:soft=2,soft=2.0", MethodError, "'soft=2' is asked for twice, by 'soft=2' and 'soft=2.0'"),
        ("finetune:soft&0.5,soft=1", MethodError, "unknown option 'soft&0.5'"),
        ("finetune:soft,soft=1&2", MethodError, "'soft=1' is asked for twice, by 'soft' and 'soft=1&2'"),
        ("finetune:kd=forward,kd=0.5", MethodError, "'kd=forward' is asked for twice, by 'kd=forward' and 'kd=0.5'"),
        ("finetune:mixkd=.4,mixkd", MethodError, "'mixkd=0.4' is asked for twice"),
        ("multitask:mi=released&2,mi=released", MethodError, "'mi=released' is asked for twice"),
        (
            "multitask:weigh=student,weigh=rsr",
            MethodError,
            "'weigh' is asked for twice, by 'weigh=student' and 'weigh=rsr'",
        ),
        ("multitask:weigh=student&h=0.5&h=1", MethodError, "'weigh=student&h=0.5&h=1' sets 'h' twice"),
        ("explain-then-answer:internalised=2,internalised=3", MethodError, "'internalised' is asked for twice"),
        ("multitask:revised,revised=explain", MethodError, "'revised' is asked for twice"),
    ],
)
def test_a_wrong_name_or_option_says_what_is_known(spec: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        method(spec)


def test_forms_of_one_term_stand_beside_each_other() -> None:
    both = method("multitask:options=0.5,options=margin&2,mi=infonce,mi=released")
    assert both.losses == {"options": 0.5, "options=margin": 2.0, "mi=infonce": 0.1, "mi=released": 0.1}


def test_what_goes_without_saying_is_what_the_terms_do() -> None:
    defaults = {"soft": Soft()._temperature, "kd": Distil().kind, "mixkd": MixKD()._a}
    stated = {name: str(value).removesuffix(".0") for name, value in defaults.items()}
    assert {name: term.default for name, term in TERMS.items() if term.default} == stated


def test_a_method_of_the_users_comes_by_module_and_attribute() -> None:
    assert method("test_methods:own") is own


# Counterfactuals


@pytest.mark.parametrize("kind", ["choice", "nli", "yesno"])
def test_defect_02_the_counterfactual_states_the_option_it_was_written_for(kind: str) -> None:
    for epoch in range(4):
        (item,) = [item for item in shown("counterfactual", [TYPES[kind]], epoch) if item.view is COUNTERFACTUAL]
        assert item.pair.option in TYPES[kind].wrong
        assert (
            item.pair.prompt
            == f"{TYPES[kind].text}\nExplanation: It could well be {item.pair.option}.\n[counterfactual]"
        )
        assert item.pair.target == f"So the answer is {item.pair.option}."


def test_defect_03_counterfactual_is_never_gold() -> None:
    repeated = [
        Example(f"r{i}", "Which?", ("lamp", "rope", "lamp", "soap", "rope"), ("lamp", "rope", "soap")[i % 3])
        for i in range(30)
    ]
    for epoch in range(5):
        for item in shown("multitask+counterfactual", [*many(40), *repeated], epoch):
            if item.view is COUNTERFACTUAL:
                assert item.pair.option != item.example.answer
                assert item.pair.option in item.example.choices


def test_defect_05_all_wrong_options_get_their_turn_and_positions_are_balanced() -> None:
    examples = many(200)
    turns: dict[str, set[str]] = {}
    for epoch in range(4):
        items = [item for item in shown("counterfactual", examples, epoch) if item.view is COUNTERFACTUAL]
        places = Counter(item.example.choices.index(item.pair.option) for item in items)
        assert len(items) == 200
        assert all(25 <= places[place] <= 55 for place in range(5)), places
        for item in items:
            turns.setdefault(item.example.id, set()).add(item.pair.option)
    assert all(turns[example.id] == set(example.wrong) for example in examples)


def test_refused_counterfactuals_are_passed_over() -> None:
    example = TYPES["choice"]
    refused = generation(example, "counterfactual", "cellar", "It is not cellar.", "contradicts the answer")
    found = Corpus([example], {example.id: {**taught(example), ("counterfactual", "cellar"): refused}})
    items = [item for epoch in range(4) for item in found.pairs(method("counterfactual"), 0, epoch)]
    assert {item.pair.option for item in items if item.view is COUNTERFACTUAL} == {"river bed"}


@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")
def test_defect_03_and_05_on_the_released_data(tmp_path: Path) -> None:
    from shrinklm import Recipe, Run

    columns = {name: name for name in ("id", "question", "choices", "answer")}
    data: dict[str, Any] = {
        "name": "cqa",
        "task": {
            "use": "table",
            "train": str(DATA / "train.parquet"),
            "test": str(DATA / "test.parquet"),
            "dev": 0.0,
            "limit": {"train": 1500, "test": 10},
            "columns": columns,
        },
        "teacher": {
            "use": f"recorded:{DATA / 'train.parquet'}",
            "columns": {
                "explanation": "few_shot_positive_rationale",
                "counterfactual": "counterfactual_prompt_answer_{option}_rationale",
            },
        },
        "generate": ["explanation", "counterfactual"],
        "methods": ["counterfactual"],
        "student": "tiny",
        "root": tmp_path,
    }
    run = Run(Recipe.parse(data))
    found, asked = run.corpus(), run.methods[0]
    assert len(found.examples) == 1500
    table = recorded(DATA / "train.parquet")
    for epoch in range(3):
        places: Counter[int] = Counter()
        own_words = 0
        for index, example in enumerate(found.examples):
            for item in found.pairs(asked, index, epoch):
                if item.view is COUNTERFACTUAL:
                    option = item.pair.option
                    assert option != example.answer
                    places[example.choices.index(option)] += 1
                    said = item.pair.prompt.partition("\nExplanation: ")[2].removesuffix("\n[counterfactual]")
                    texts = [" ".join(text.split()) for choice, text in table[example.id] if choice.strip() == option]
                    own_words += any(" ".join(said.split()[2:8]).rstrip(".") in text for text in texts)
        total = sum(places.values())
        assert total >= 0.99 * len(found.examples)
        assert own_words >= 0.99 * total  # cleaning may change a mark or two
        assert all(0.15 < places[place] / total < 0.25 for place in range(5)), places


def recorded(path: Path) -> dict[str, list[tuple[str, str]]]:
    """Question → (option, the recorded text that argues for it)."""
    import pyarrow.parquet as pq

    rows = pq.read_table(path).to_pylist()
    texts = {
        row["id"]: [row[f"counterfactual_prompt_answer_{place}_rationale"] or "" for place in range(1, 6)]
        for row in rows
    }
    return {row["id"]: list(zip(row["choices"], texts[row["id"]], strict=True)) for row in rows}


def test_defect_09_factual_and_counterfactual_wrap_the_same_words_the_same_way() -> None:
    example = TYPES["choice"]
    said = {
        slot: replace(found, text="A plain reason") for slot, found in taught(example).items() if slot[0] != "label"
    }
    items = {
        item.view.name: item.pair
        for item in Corpus([example], {example.id: said}).pairs(method("counterfactual"), 0, 0)
    }
    assert items["factual"].target == f"A plain reason. So the answer is {example.answer}."
    assert items["counterfactual"].prompt.split("\n")[-2:] == ["Explanation: A plain reason.", "[counterfactual]"]
    assert items["counterfactual"].target == f"So the answer is {items['counterfactual'].option}."


# Controls


def test_shuffled_explanation_has_the_same_words_in_a_seeded_order() -> None:
    def explained(spec: str, seed: int = 0) -> list[str]:
        found = corpus(8, seed)
        return [
            item.pair.target
            for index in range(8)
            for item in found.pairs(method(spec), index, 0)
            if item.view.name == "explain"
        ]

    right, mixed = explained("multitask:revised"), explained("shuffled-explanation:revised")
    assert [sorted(text.split()) for text in mixed] == [sorted(text.split()) for text in right]
    assert sum(one != other for one, other in zip(mixed, right, strict=True)) == 8
    assert mixed == explained("shuffled-explanation:revised")
    assert mixed != explained("shuffled-explanation:revised", seed=1)


def test_random_explanation_is_each_time_another_questions() -> None:
    examples = [
        replace(example, answer=f"answer {i}", choices=(f"answer {i}", "x")) for i, example in enumerate(many(9))
    ]
    items = [item for item in shown("random-explanation", examples) if item.view.name == "explain"]
    assert all(item.example.answer not in item.pair.target for item in items)
    assert sorted(item.pair.target for item in items) == sorted(f"It fits answer {i} best." for i in range(9))


def test_a_single_question_has_no_other_to_explain() -> None:
    unbuilt: Counter[tuple[str, str]] = Counter()
    assert [item.view.name for item in corpus(1).pairs(method("random-explanation"), 0, 0, unbuilt)] == ["predict"]
    assert unbuilt == {("explain", "no other example"): 1}


# What cannot be built


def test_what_cannot_be_built_is_counted_by_reason() -> None:
    examples = many(4)
    said = {example.id: taught(example) for example in examples}
    slot = ("explanation", examples[0].answer)
    said["q0"] = {**said["q0"], slot: replace(said["q0"][slot], refusal="empty")}
    said["q1"] = {key: found for key, found in said["q1"].items() if key[0] != "counterfactual"}
    said["q2"] = {key: replace(found, refusal="repeats itself") for key, found in said["q2"].items()}
    found, unbuilt = Corpus(examples, said), Counter[tuple[str, str]]()
    views = [
        [item.view.name for item in found.pairs(method("multitask+counterfactual"), index, 0, unbuilt)]
        for index in range(4)
    ]
    whole = ["predict", "explain", "factual", "counterfactual"]
    assert views == [["predict", "counterfactual"], ["predict", "explain", "factual"], ["predict"], whole]
    assert unbuilt == {
        ("explain", "explanation refused: empty"): 1,
        ("factual", "explanation refused: empty"): 1,
        ("counterfactual", "no counterfactual"): 1,
        ("explain", "explanation refused: repeats itself"): 1,
        ("factual", "explanation refused: repeats itself"): 1,
        ("counterfactual", "counterfactual refused: repeats itself"): 1,
    }
    assert found.usable(method("counterfactual")) == [0, 1, 3]


def test_a_view_that_can_be_built_of_nothing_is_an_error_that_says_what_to_type() -> None:
    examples = many(3)
    said = {
        example.id: {key: found for key, found in taught(example).items() if key[0] == "explanation"}
        for example in examples
    }
    with pytest.raises(MethodError) as error:
        Corpus(examples, said).usable(method("multitask+counterfactual"))
    assert "Method 'multitask+counterfactual' needs 'explanation', 'counterfactual' generations." in str(error.value)
    assert "view 'counterfactual': 3 of 3 examples: no counterfactual" in str(error.value)
    assert str(error.value).endswith("Run: shrinklm generate RECIPE --step counterfactual")
    with pytest.raises(MethodError, match=r"no wrong option\. Leave this method out"):
        corpus(examples=[TYPES["free"]]).usable(method("counterfactual"))
    with pytest.raises(MethodError, match="There is no training example"):
        Corpus([], {}).usable(method("finetune"))


# The schedule


def order(spec: str, seen: int, found: Corpus | None = None) -> list[tuple[int, int]]:
    return list(itertools.islice((found or corpus(10)).schedule(method(spec)), seen))


@pytest.mark.parametrize(
    "spec", ["finetune", "multitask", "counterfactual", "multitask+counterfactual:revised", "shuffled-explanation"]
)
def test_defect_21_every_method_meets_the_same_examples_in_the_same_order(spec: str) -> None:
    assert order(spec, 27) == order("answer-then-explain", 27)


def test_the_schedule_is_whole_epochs_in_seeded_orders() -> None:
    items = order("multitask", 25)
    assert [epoch for _, epoch in items] == [0] * 10 + [1] * 10 + [2] * 5
    assert sorted(index for index, _ in items[:10]) == sorted(index for index, _ in items[10:20]) == list(range(10))
    assert [index for index, _ in items[:10]] != [index for index, _ in items[10:20]]
    assert items == order("multitask", 25)
    assert items != order("multitask", 25, corpus(10, seed=1))


def test_examples_that_one_method_cannot_show_leave_the_order_of_the_others() -> None:
    examples = many(10)
    said = {example.id: taught(example) for example in examples if example.id not in ("q3", "q7")}
    found = Corpus(examples, said)
    fewer = order("explain-then-answer", 8, found)
    assert fewer == [item for item in order("finetune", 10, found) if item[0] not in (3, 7)]


# Reading what a student said


@pytest.mark.parametrize(
    ("view", "raw", "explanation"),
    [
        (PREDICT, "The answer is rope. It holds.", ""),
        (EXPLAIN, " It holds. The answer is rope. ", "It holds. The answer is rope."),
        (FACTUAL, "It holds well. So the answer is rope.", "It holds well."),
        (FACTUAL, "The answer is clear to all. So the answer is rope.", "The answer is clear to all."),
        (JUSTIFY, "The answer is rope. It holds.", "It holds."),
        (
            JUSTIFY,
            "The answer is rope. Many think the answer is soap. They err.",
            "Many think the answer is soap. They err.",
        ),
        (JUSTIFY, "The answer is 1.5 metres. It is short.", "It is short."),
        (JUSTIFY, "The answer is St. Louis. It lies in Missouri.", "It lies in Missouri."),
        (JUSTIFY, "The answer is vitamin C. Oranges have it. So eat.", "Oranges have it. So eat."),
        (JUSTIFY, "The answer is rope", ""),
        (JUSTIFY, "rope. It holds.", "It holds."),
        (JUSTIFY, "", ""),
        (FACTUAL, "", ""),
        (EXPLAIN, "", ""),
    ],
)
def test_the_explanation_is_read_from_what_was_said(view: View, raw: str, explanation: str) -> None:
    assert view.read(raw, ("rope", "soap", "vitamin C", "St. Louis")) == explanation


@pytest.mark.parametrize("spec", ["explain-then-answer", "answer-then-explain", "explain-then-answer:revised"])
@pytest.mark.parametrize("kind", TYPES)
def test_a_target_is_read_back_as_it_was_written(spec: str, kind: str) -> None:
    from shrinklm.evaluation.reading import read_answer
    from shrinklm.tasks.base import parse_answer

    class Task:
        name = type = kind
        parse = staticmethod(parse_answer)

    (item,) = shown(spec, [TYPES[kind]])
    text = taught(item.example)["revision" if ":revised" in spec else "explanation", item.example.answer].text
    assert item.view.read(item.pair.target, item.example.choices) == text
    assert read_answer(Task(), item.view, item.pair.target, item.example) == item.example.answer  # type: ignore[arg-type]
    assert item.pair.option in OPTIONS or item.pair.option == item.example.answer


def test_alpha_weighs_the_views_that_answer_against_those_that_only_explain() -> None:
    def weights(spec: str) -> dict[str, float]:
        return {view.name: round(weight, 3) for view, weight in method(spec).views.items()}

    assert weights("salient:alpha=0.9") == {"predict": 0.9, "salient": 0.1}
    assert weights("multitask+counterfactual:alpha=0.7") == {
        "predict": 0.233,
        "explain": 0.3,
        "factual": 0.233,
        "counterfactual": 0.233,
    }
    assert weights("salient+explanation:alpha=0.8,top=2") == {"predict": 0.8, "explain": 0.1, "salient": 0.1}
    assert weights("multitask:alpha=0.5") == weights("multitask")
