from __future__ import annotations

import random
from dataclasses import replace

import pytest

from shrinklm.core.types import Example
from shrinklm.tasks.base import shuffled
from shrinklm.tasks.letters import moved, tied_to_order

SOURCE = ("zoo", "bank", "oven", "sky", "river")
SHOWN = Example("x", "Where is money kept?", ("oven", "bank", "zoo", "river", "sky"), "bank", order=(2, 1, 0, 4, 3))
"""a → c, b → b, c → a, d → e, e → d."""


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Option A is wrong, since (B) and (C) do not fit.", "Option C is wrong, since (B) and (A) do not fit."),
        ("Choice d) has no money.", "Choice e) has no money."),
        ("It is not D, and the answer is E.", "It is not E, and the answer is D."),
        ("A, C and E do not fit.", "C, A and D do not fit."),
        ("Neither A nor C holds money.", "Neither C nor A holds money."),
        ("The other options (a, c, and d) are wrong.", "The other options (c, a, and e) are wrong."),
        ("Options C-E are wrong.", "Options A, E, D are wrong."),
        ("Choices C through E are wrong.", "Choices A, E, D are wrong."),
        (r"So \boxed{D}.", r"So \boxed{E}."),
        ("[E] is wrong.", "[D] is wrong."),
        ("A: zoo is wrong, C: oven is wrong.", "C: zoo is wrong, A: oven is wrong."),
        ("**D** fits. D, because it is blue.", "**E** fits. E, because it is blue."),
        ("D", "E"),
        ("So the answer is (b) “zoo”.", "So the answer is (c) “zoo”."),  # the words win over the letter
        ("E. a river is wet.", "D. a river is wet."),
        ("A is wrong. A zoo is loud.", "C is wrong. A zoo is loud."),
        ("a) and c) are wrong; a zoo is loud.", "c) and a) are wrong; a zoo is loud."),
    ],
)
def test_letters_move_with_their_options(said: str, shown: str) -> None:
    assert moved(said, SHOWN) == shown


@pytest.mark.parametrize(
    "text",
    [
        "A bank keeps money, and a zoo does not.",
        "It is A bank.",
        "Vitamin C and vitamins A and D are in fruit; hepatitis B and C are not.",
        "Plan B was a bank. I am a person, and it is a means to an end.",
        "Franklin D. Roosevelt got an A, and E. coli lives in water.",
        "He went from A to B. It can be seen as a state of mind.",
        "It is safe: (a) money is guarded there, and (b) nobody steals it.",
        "Reasons: (x) one. E = mc² at 30 °C in C++.",
    ],
)
def test_other_letters_stay(text: str) -> None:
    assert moved(text, SHOWN) == text


@pytest.mark.parametrize(
    "text",
    [
        "I would tick A or D here.",
        "The second choice is a bank.",
        "Option 2 holds money.",
        "The one labelled D holds it.",
    ],
)
def test_what_cannot_be_told_is_not_shown_in_another_order(text: str) -> None:
    assert moved(text, SHOWN) is None
    assert moved(text, replace(SHOWN, choices=SOURCE, order=(0, 1, 2, 3, 4))) == text


def test_an_option_that_is_not_shown_has_no_letter() -> None:
    gap = replace(SHOWN, choices=("sky", "zoo", "bank"), order=(3, 0, 1))  # the cells c and e were empty
    assert moved("Option D is up there, option A is not.", gap) == "Option A is up there, option B is not."
    assert moved("Option C is hot.", gap) is None


FORMS = "Option {}|option {}|({})|choice {})|The answer is {}.|[{}] is it|It must be {}.|{} is correct.|Answer: {}"


def test_any_form_names_the_same_option_in_any_order() -> None:
    rng = random.Random(0)
    for _ in range(200):
        order = tuple(rng.sample(range(5), 5))
        example = Example("x", "?", tuple(SOURCE[source] for source in order), "bank", order=order)
        source = rng.randrange(5)
        shown = order.index(source)
        for form in FORMS.split("|"):
            lower = "(" in form or "choice" in form
            before, after = ("abcde"[at] if lower else "ABCDE"[at] for at in (source, shown))
            assert moved(form.format(before), example) == form.format(after)


@pytest.mark.parametrize(
    "choices",
    [
        ("zoo", "bank", "Both A and B"),
        ("zoo", "bank", "All of the above"),
        ("zoo", "bank", "None of these"),
        ("zoo", "bank", "A and C only", "oven"),
        ("zoo", "bank", "Neither (a) nor (b)"),
        ("zoo", "bank", "All of the above except C"),
        ("zoo", "bank", "more than one of the above"),
        ("zoo", "bank", "the first two options"),
        ("zoo", "bank", "Answers A and B are both correct"),
        ("A. zoo", "B. bank", "C. oven"),
        ("(a) zoo", "(b) bank"),
        ("A", "B", "C"),
    ],
)
def test_options_that_point_at_others_or_carry_letters_keep_their_order(choices: tuple[str, ...]) -> None:
    for number in range(8):
        example = Example(f"q{number}", "What?", choices, choices[0])
        assert tied_to_order(example)
        assert shuffled(example, seed=3) == example


def test_a_question_that_calls_an_option_by_its_letter_keeps_the_order() -> None:
    assert tied_to_order(Example("q", "Why is option B the better one?", ("zoo", "bank"), "zoo"))
    assert not tied_to_order(Example("q", "Why have an option at all?", ("zoo", "bank"), "zoo"))


@pytest.mark.parametrize(
    "choices",
    [
        ("vitamin C", "plan B", "I"),
        ("a lot", "an answer", "all of us"),
        ("none of your business", "above board", "both positive and negative"),
        ("a bank", "b movie", "e coli"),
        ("type A", "I and II", "not enough information"),
    ],
)
def test_ordinary_options_are_shuffled(choices: tuple[str, ...]) -> None:
    examples = [Example(f"q{number}", "What?", choices, choices[0]) for number in range(8)]
    assert not any(map(tied_to_order, examples))
    assert any(shuffled(example, seed=3).choices != choices for example in examples)


def test_the_letters_of_a_task_s_own_explanations_move_too() -> None:
    example = Example("x", "?", SOURCE, "bank", meta={"explanation": "Option B keeps money, A does not."})
    for seed in range(5):
        shown = shuffled(example, seed)
        bank, zoo = ("ABCDE"[shown.choices.index(option)] for option in ("bank", "zoo"))
        assert shown.meta["explanation"] == f"Option {bank} keeps money, {zoo} does not."
    unclear = replace(example, meta={"explanation": "I would tick B here."})
    assert all("explanation" not in shuffled(unclear, seed).meta for seed in (1, 2))
