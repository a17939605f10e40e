from __future__ import annotations

import pytest

from shrinklm.core.types import Completion, Example, Prompt
from shrinklm.teachers import refusals as refuse
from shrinklm.teachers.cleaning import clean
from shrinklm.teachers.endings import whole_sentences
from shrinklm.teachers.refusals import assess, too_long
from teacher_cases import BEAVER, asking

GOOD = "A wooded area has the branches that a beaver needs for its dam."


def verdict(
    text: str, kind: str = "explanation", answer: str = "wooded area", finished: bool | None = None, **more: object
) -> str | None:
    return assess(Prompt((), BEAVER, kind, answer), Completion(text, finished=finished), **more)[1]  # type: ignore[arg-type]


def test_defect_01_leading_line_break_does_not_empty_the_text() -> None:
    assert clean(f"\n\n{GOOD}\n\nQuestion: next?", "explanation") == (GOOD, False)
    assert verdict(f"\n{GOOD}\n") is None


def test_defect_27_run_on_question_is_cut_off() -> None:
    for run_on in (
        "\nQuestion: What is next?",
        "\n\nQuestion: next\nChoices: (a) b",
        " Question: In which country is it?",
        " Choices: (a) x (b) y",
    ):
        assert clean(GOOD + run_on, "explanation")[0] == GOOD
    assert clean(f"{GOOD}\nAnswer: zoo", "revision")[0] == GOOD


@pytest.mark.parametrize(
    ("said", "used"),
    [
        (f"Explanation: {GOOD}", GOOD),
        (f"**Revised explanation:** {GOOD}", GOOD),
        (f'"{GOOD}"', GOOD),
        (f"“{GOOD}”", GOOD),
        (f"Here is a better explanation:\n\n{GOOD}", GOOD),
        (f"<think>\nwell, hm.\n</think>\n\n{GOOD}", GOOD),
        ("A **wooded  area**\nhas branches.", "A wooded area has branches."),
        ("It has trees.\n- one\n- two", "It has trees."),
        ('"Wood" is what a "dam" is made of.', '"Wood" is what a "dam" is made of.'),
        ("The reason: a beaver needs wood.", "a beaver needs wood."),
        ("My point: a beaver needs wood.", "My point: a beaver needs wood."),
    ],
)
def test_clean(said: str, used: str) -> None:
    assert clean(said, "explanation")[0] == used


def test_clean_label_keeps_the_paragraph_with_the_answer() -> None:
    text, _ = clean("Beavers need wood.\n\nThe answer is wooded area. Question: What else?", "label")
    assert text == "Beavers need wood. The answer is wooded area."


@pytest.mark.parametrize("text", ["", "  \n ", "...", "<think>only thought", "Yes."])
def test_empty(text: str) -> None:
    assert verdict(text) == refuse.EMPTY


def test_defect_12_text_cut_at_the_cap_is_refused() -> None:
    cut = "A wooded area has the branches that a beaver needs because they"
    assert verdict(cut, finished=False) == refuse.CUT
    assert verdict(GOOD, finished=False) is None  # the cap fell on the end of a sentence
    assert verdict(f"{GOOD}\n\nAnd then there is also the", finished=False) is None  # the cut is in what is not used
    assert verdict("There are several reasons why a beaver needs wood:") == refuse.CUT
    assert verdict("because a wooded area has branches for it", finished=True) is None


def test_defect_12_recorded_text_is_trimmed_to_whole_sentences() -> None:
    text, reason = assess(
        Prompt((), BEAVER, "explanation", "wooded area"), Completion(f"{GOOD} It also gives the"), recorded=True
    )
    assert (text, reason) == (GOOD, None)
    assert verdict("A wooded area has the branches that a beaver needs because they", recorded=True) == refuse.CUT
    assert whole_sentences("Dr. Smith met Mr. Jones at the zoo. He was") == "Dr. Smith met Mr. Jones at the zoo."
    assert whole_sentences("Yes. It is because the") == ""


@pytest.mark.parametrize(
    "text",
    [
        "Wood is good. " * 6,
        "It is a dam, it is a dam, it is a dam, it is a dam.",
        "Beavers look for wood in a forest. Beavers look for wood in a forest.",
        "wood wood wood wood wood wood for a dam.",
        "So it can build a dam out of wood that lies around it can build a dam out of wood that lies around.",
    ],
)
def test_loops(text: str) -> None:
    assert verdict(text) == refuse.LOOPS


@pytest.mark.parametrize(
    "text",
    [
        "Beavers are very, very, very fond of wood from a forest.",
        "The first dam is in Athens. The first dam is old but it still holds the water back.",
        "A wooded area has wood, a wooded area has branches, and a zoo has neither of them.",
    ],
)
def test_repetition_of_good_style_is_kept(text: str) -> None:
    assert verdict(text) is None


def test_echo() -> None:
    assert verdict("A beaver builds dams, where does it find what it needs?") == refuse.ECHOES
    assert verdict("Question: A person went to the shop, what did they get?") == refuse.ECHOES
    assert verdict(f"A beaver builds dams. {GOOD}") is None
    prompt = asking("x")
    leaked = "Sure, you explain answers in one short sentence and add nothing else to it at all, for wood."
    assert assess(prompt, Completion(leaked), hidden=[turn.text for turn in prompt.turns])[1] == refuse.ECHOES
    assert assess(prompt, Completion(GOOD), hidden=[turn.text for turn in prompt.turns])[1] is None


@pytest.mark.parametrize("kind", ["explanation", "revision"])
@pytest.mark.parametrize(
    "text",
    [
        "Dams stand in rivers, so the answer is body of water.",
        "The correct answer is (c) zoo, since beavers live there.",
        "A wooded area is not the right choice, because dams stand in rivers.",
        "This choice is incorrect because dams stand in rivers.",
        "Beavers need mud, so “wooded area” does not fit here.",
        "Therefore, the best answer would be a zoo.",
    ],
)
def test_defect_10_text_that_argues_against_its_answer_is_refused(kind: str, text: str) -> None:
    assert verdict(text, kind) == refuse.CONTRADICTS


@pytest.mark.parametrize(
    "text",
    [
        "Therefore, the answer is (e) wooded area.",  # a recording's letters are those of an order we do not know
        "A zoo is not a good choice, since it has keepers. A wooded area has branches.",
        "The other choices do not fit: (a) body of water: this choice does not align with it. (c) zoo: no wood. "
        "So it is the wooded area.",
        "A wooded area is not only full of branches, it is also close to rivers.",
        "Unlike a zoo, which is not suitable, a wooded area has branches.",
    ],
)
def test_contrast_is_no_contradiction(text: str) -> None:
    assert verdict(text, "revision", recorded=True) is None


def test_longer_option_is_not_mistaken_for_a_shorter_one() -> None:
    example = Example("t", "Where do children hide?", ("house", "tree house", "tree"), "tree house")
    said = Completion("It is high up and secret, so the answer is tree house.")
    assert assess(Prompt((), example, "explanation", "tree house"), said)[1] is None
    denied = Completion("A tree house is not the best choice, since it is too small for them.")
    assert assess(Prompt((), example, "explanation", "house"), denied)[1] is None
    assert assess(Prompt((), example, "explanation", "tree house"), denied)[1] == refuse.CONTRADICTS


@pytest.mark.parametrize(
    "text",
    [
        'The correct answer is "wooded area" because beavers need branches.',
        "A zoo does not fit, since nobody builds dams there.",
        "This answer is incorrect, as there is no wood in it.",
        "None of the given choices is a good fit, but people see beavers there.",
        "A wooded area is a better choice, as it is full of branches.",
    ],
)
def test_counterfactual_that_explains_another_answer(text: str) -> None:
    assert verdict(text, "counterfactual", "zoo") == refuse.ELSEWHERE


def test_counterfactual_that_argues_for_its_answer_is_kept() -> None:
    assert (
        verdict("A zoo keeps beavers and gives them all they need, so the answer is zoo.", "counterfactual", "zoo")
        is None
    )
    assert verdict("Unlike a wooded area, a zoo brings all the wood to the beaver.", "counterfactual", "zoo") is None


def test_option_that_begins_with_an_article() -> None:
    example = Example("m", "What lights up the night?", ("the moon", "a lamp"), "a lamp")
    assert (
        assess(Prompt((), example, "explanation", "a lamp"), Completion("It is up there, so the answer is the moon."))[
            1
        ]
        == refuse.CONTRADICTS
    )
    assert (
        assess(Prompt((), example, "explanation", "a lamp"), Completion("It is in the room, so the answer is a lamp."))[
            1
        ]
        is None
    )


def test_label_and_teacher_refusals() -> None:
    label = Prompt((), BEAVER, "label", "")
    assert assess(label, Completion("I cannot say which of them it could be."), answer=None)[1] == refuse.NO_ANSWER
    assert assess(label, Completion("The answer is zoo", finished=False), answer="zoo")[1] is None
    assert (
        assess(label, Completion("", refusal="the prompt does not fit: 9 tokens"))[1]
        == "the prompt does not fit: 9 tokens"
    )


def test_too_long() -> None:
    assert too_long("one two three", 2)
    assert not too_long("one two three", 3)
    assert not too_long("one two three", None)


def test_a_revision_may_repeat_what_the_critique_quotes_of_the_explanation() -> None:
    kept = "A wooded area has the branches that a beaver needs for its dam and for its lodge."
    said = f"{kept[0].lower()}{kept[1:-1]}"
    critique = (
        f"It is right that {said}, but it leaves open why a beaver would rather not live in a zoo or a park at all."
    )
    copied = "It leaves open why a beaver would rather not live in a zoo or a park at all."
    assert verdict(kept, "revision", hidden=[critique]) == refuse.ECHOES
    assert verdict(kept, "revision", hidden=[critique], quoted=kept) is None
    assert verdict(copied, "revision", hidden=[critique], quoted=kept) == refuse.ECHOES
