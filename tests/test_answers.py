"""The one parser of answers: exact, by letter, by "the answer is"; strict about what is ambiguous or denied."""

from __future__ import annotations

from pathlib import Path

import pytest

from shrinklm.core.types import Example, letter
from shrinklm.tasks.answers import stated_text
from shrinklm.tasks.base import TaskOptions, make_task, parse_answer, split_answer

CQA = Path(__file__).parents[2] / "shared" / "data" / "cqa-llama2"


def question(*choices: str, answer: str = "") -> Example:
    return Example("q", "Where?", choices, answer or choices[0])


PLACES = question("bank", "zoo", "living room", "room", "u.s")
YESNO = question("yes", "no")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("zoo", "zoo"),
        (" Zoo. ", "zoo"),
        ("**zoo**", "zoo"),
        ("“zoo”", "zoo"),
        ("(b)", "zoo"),
        ("b", "zoo"),
        ("B.", "zoo"),
        ("b) zoo", "zoo"),
        ("(b) zoo", "zoo"),
        ("b: zoo", "zoo"),
        ("option b", "zoo"),
        ("The answer is zoo.", "zoo"),
        ("The answer is: (b)", "zoo"),
        ("The answer is b.", "zoo"),
        ("The answer is the zoo, not the bank.", "zoo"),
        ("The answer is zoo because a bank has no lions.", "zoo"),
        ("The answer is most likely the zoo.", "zoo"),
        ("The answer is to be found at the zoo.", "zoo"),
        ("Lions live there. So the answer is zoo.", "zoo"),
        ("The correct answer is **(b) zoo**.", "zoo"),
        ("Answer: zoo", "zoo"),
        ("The best option is (b).", "zoo"),
        ("The answer is bank. No, wait: the answer is zoo.", "zoo"),
        ("The answer is not bank. The answer is zoo.", "zoo"),
        ("The answer is zoo. The answer is not bank.", "zoo"),
        ("The answer is not bank but zoo.", "zoo"),
        ("zoo, because lions live there", "zoo"),
        ("The zoo. A bank has no lions.", "zoo"),
        ("The answer is living room.", "living room"),
        ("The answer is the room.", "room"),
        ("The answer is U.S.", "u.s"),
        ("The answer is:\n\n(c)", "living room"),
    ],
)
def test_states_an_option(text: str, answer: str) -> None:
    assert parse_answer(text, PLACES) == answer


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "I do not know.",
        "The answer is",
        "The answer is park.",
        "The answer is obvious.",
        "The answer is not zoo.",
        "The answer is definitely not the zoo.",
        "The answer isn't the zoo.",
        "The answer is neither bank nor zoo.",
        "The answer is zoo or bank.",
        "The answer is zoo, bank.",
        "The answer is either bank or zoo.",
        "The answer is (a) or (b).",
        "The answer is (a) zoo.",
        "a) zoo",
        "bank and zoo",
        "bank, zoo",
        "(f)",
        "z",
        "zoos",
        "zoo-keeper",
        "Not the zoo.",
        "The answer is zookeeper.",
        "A bank holiday is a day without work.",
        "People keep their money in a bank, and lions live in a zoo.",
        "(b) is wrong",
    ],
)
def test_states_none(text: str) -> None:
    assert parse_answer(text, PLACES) is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("no", "no"),
        ("No.", "no"),
        ("No, it cannot.", "no"),
        ("Yes it is.", "yes"),
        ("The answer is no.", "no"),
        ("The answer is no, not yes.", "no"),
        ("(b) no", "no"),
        ("The answer is not no.", None),
        ("The answer is not yes.", None),
        ("The answer is not certain.", None),
        ("The answer is unknown.", None),
        ("not", None),
        ("Nothing is known.", None),
        ("No one knows.", None),
        ("Noon", None),
        ("yes and no", None),
        ("The answer is yes or no.", None),
        ("There is no way to tell.", None),
    ],
)
def test_defect_29_no_never_matches_not(text: str, answer: str | None) -> None:
    assert parse_answer(text, YESNO) == answer


@pytest.mark.parametrize("prefix", ["", "[answer] ", "So ", "Some words first. "])
def test_defect_29_words_around_a_right_answer_do_not_make_it_wrong(prefix: str) -> None:
    assert parse_answer(f"{prefix}The answer is zoo. ", PLACES) == "zoo"


def test_the_longest_option_counts() -> None:
    example = question("know", "not know", "not know why")
    assert [parse_answer(f"The answer is {option}.", example) for option in example.choices] == list(example.choices)
    assert [parse_answer(option, example) for option in example.choices] == list(example.choices)


def test_a_repeated_option_is_one_option() -> None:
    example = question("bank", "zoo", "bank")
    assert (
        parse_answer("bank", example)
        == parse_answer("(c)", example)
        == parse_answer("The answer is (c) bank.", example)
        == "bank"
    )


def test_options_that_differ_in_case_alone_need_their_case() -> None:
    example = question("Polish", "polish")
    assert parse_answer("The answer is Polish.", example) == "Polish"
    assert parse_answer("The answer is POLISH.", example) is None


def test_numbers_and_odd_letters_as_options() -> None:
    numbers = question("5", "1.5", "-5", "15")
    assert [parse_answer(f"The answer is {option}.", numbers) for option in numbers.choices] == list(numbers.choices)
    odd = question("straße", "C++", "C", "it’s", "(nothing)")
    assert [parse_answer(f"The answer is {option}", odd) for option in odd.choices] == list(odd.choices)
    assert parse_answer("The answer is it's.", odd) == "it’s"


def test_an_answer_that_looks_like_a_letter_is_the_option_first() -> None:
    assert parse_answer("b", question("b", "a")) == "b"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("7", "7"),
        ("7.0", "7"),
        ("The answer is 7.", "7"),
        ("The answer is 7 marbles.", "7"),
        ("The answer is 12 - 5 = 7.", "7"),
        ("12 - 5 = 7, so 7 marbles are left.", "7"),
        ("She gives 5 away, so the answer is seven, that is 7.", "7"),
        ("The answer is $8.50", "8.5"),
        ("The answer is 1,250.", "1250"),
        ("The answer is -7.", "-7"),
        ("The answer is 7 or 8.", None),
        ("The answer is not 7.", None),
        ("The answer is many.", None),
        ("Lena gives away 5 of 12 marbles.", None),
        ("", None),
    ],
)
def test_numbers_are_compared_as_numbers(text: str, answer: str | None) -> None:
    assert parse_answer(text, Example("q", "How many?", (), "7")) == answer


def test_free_answers_come_back_as_the_gold_one_is_written() -> None:
    example = Example("q", "Who?", (), "Ada Lovelace", meta={"answers": ["Ada Lovelace", "Lady Lovelace"]})
    assert parse_answer("The answer is ada lovelace.", example) == "Ada Lovelace"
    assert parse_answer('"lady Lovelace"', example) == "Lady Lovelace"
    assert parse_answer("The answer is Grace Hopper. She wrote a compiler.", example) == "Grace Hopper"
    assert parse_answer("Grace Hopper\nwrote it", example) == "Grace Hopper"
    assert parse_answer("The answer is not Ada Lovelace.", example) is None
    assert parse_answer("  ", example) is None


def test_stated_text_keeps_its_words() -> None:
    example = Example("q", "When?", (), "1843")
    assert stated_text("The answer is in the year 1843, in London.", example) == "in the year 1843, in London"
    assert stated_text("The answer is St. Louis. It lies on a river.", example) == "St. Louis"
    assert stated_text("The answer is not 1843.", example) is None


def test_split_answer() -> None:
    assert split_answer("It is warm. So the answer is zoo.") == ("It is warm. ", "zoo.")
    assert split_answer("no statement") == ("", "no statement")


@pytest.mark.skipif(not CQA.is_dir(), reason="the shared data is not here")
def test_every_option_of_a_real_data_set_reads_back() -> None:
    columns = {"id": "id", "question": "question", "choices": "choices", "answer": "answer"}
    task = make_task("table", TaskOptions(train="test.parquet", test=0.0, dev=0.0, columns=columns, root=CQA))
    for example in task.examples("train"):
        for index, option in enumerate(example.choices):
            name = f"({letter(index)})"
            for text in (option, f"The answer is {option}.", f"So the answer is {option}.", name, f"{name} {option}"):
                assert task.parse(text, example) == option, text
