"""The one parser of answers: exact, by letter, by "the answer is"; strict about what is ambiguous or denied."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shrinklm.core.types import Example, Task, letter
from shrinklm.evaluation.reading import read_answer
from shrinklm.methods.spec import method
from shrinklm.methods.view import View
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


@pytest.mark.parametrize(
    "answer",
    ["not mentioned", "not enough information", "Never", "never again", "Not in this passage. At all", "no", "No one"],
)
def test_a_free_answer_may_begin_with_a_denial(answer: str) -> None:
    gold, other = Example("q", "Who?", (), answer), Example("q", "Who?", (), "Ada")
    assert parse_answer(f"The answer is {answer}.", gold) == parse_answer(answer, gold) == answer
    first = answer.split(".")[0]
    assert parse_answer(f"The answer is {first}.", other) == stated_text(f"The answer is {first}.", other) == first


def test_a_free_answer_that_denies_the_gold_one_is_none() -> None:
    example = Example("q", "Who?", (), "Ada", meta={"answers": ["Ada", "not enough"]})
    assert parse_answer("The answer is not Ada.", example) is None
    assert parse_answer("never in the life of Ada", example) is None
    assert parse_answer("The answer is not enough information.", example) == "not enough information"


@pytest.mark.parametrize("answer", ["No. 5", "no. 10 Downing Street", "Yahoo! Inc", "What? Me", "Vol. 2", "Jeopardy!"])
@pytest.mark.parametrize("gold", ["", "Ada"])
def test_a_free_answer_is_not_cut_at_its_mark(answer: str, gold: str) -> None:
    example = Example("q", "Which?", (), gold or answer)
    core = answer if not gold else answer.rstrip("!")
    assert parse_answer(f"The answer is {answer}.", example) == core
    assert stated_text(answer, example) == core


def test_a_mark_before_a_sentence_still_ends_a_free_answer() -> None:
    example = Example("q", "Which?", (), "Ada")
    assert parse_answer("Paris! It is the capital of France.", example) == "Paris"
    assert parse_answer("The answer is no. It cannot.", example) == "no"


@pytest.mark.parametrize("text", ["zoo‑keeper", "zoo‐keeper", "zoo‒keeper", "The answer is zoo‑keeper."])
def test_every_hyphen_is_one(text: str) -> None:
    assert parse_answer(text, question("zoo-keeper", "zoo")) == "zoo-keeper"
    assert parse_answer(text.replace("zoo", "ape"), question("zoo-keeper", "ape")) is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{B}", "zoo"),
        (r"\boxed{zoo}", "zoo"),
        (r"Lions live there. $\boxed{\text{zoo}}$", "zoo"),
        (r"The answer is \boxed{(b)}.", "zoo"),
        (r"So the final answer is: $\boxed{B}$. I hope it is correct.", "zoo"),
        ("<answer>B</answer>", "zoo"),
        ("<think>A bank?</think>\n<answer> zoo </answer>", "zoo"),
        ("Not the bank. <answer>(b) zoo</answer>", "zoo"),
        ("[B]", "zoo"),
        ("[zoo]", "zoo"),
        ("The answer is [[B]].", "zoo"),
        ("#### B", "zoo"),
        ("Lions live there.\n#### zoo", "zoo"),
        ("B because lions live there", "zoo"),
        ("B, because lions live there", "zoo"),
        ("The answer is B because a bank has no lions.", "zoo"),
        ("**B** because lions live there", "zoo"),
        ("B - zoo", "zoo"),
        ("B is correct.", "zoo"),
        ("**B**", "zoo"),
        ("**B.** zoo", "zoo"),
        ("(b)", "zoo"),
        ("Answer: B", "zoo"),
        ("**Answer:** B", "zoo"),
        ("The correct option is B)", "zoo"),
        ("The correct option is B).", "zoo"),
        ("The answer is zoo since a bank has no lions.", "zoo"),
        ("zoo since lions live there", "zoo"),
        ("zoo. It has lions.", "zoo"),
        ("zoo (b)", "zoo"),
        ("The answer is zoo (b).", "zoo"),
        ("The answer is zoo, which has lions.", "zoo"),
        ("The answer is zoo, not bank.", "zoo"),
        ("The answer is zoo rather than bank.", "zoo"),
        ("The answer is zoo in this case.", "zoo"),
        (r"\boxed{park}", None),
        (r"The answer is not \boxed{zoo}.", None),
        ("<answer>A or B</answer>", None),
        (r"\boxed{A, B}", None),
        ("A is wrong because a bank has no lions", None),
    ],
)
def test_common_ways_to_state_an_option(text: str, answer: str | None) -> None:
    assert parse_answer(text, PLACES) == answer


@pytest.mark.parametrize("text", ["#### 42", r"\boxed{42}", "<answer>42</answer>", "6 x 7 = 43\n#### 42"])
def test_common_ways_to_state_a_number(text: str) -> None:
    assert parse_answer(text, Example("q", "How many?", (), "42")) == "42"


@pytest.mark.parametrize(
    "text",
    [
        "The answer is zoo keeper.",
        "zoo keeper",
        "The answer is go home.",
        "The answer is the room of horrors.",
        "The answer is zoo animals, because they live there.",
        "The answer is zoo **keeper**.",
        "The answer is zoo and park.",
        "The answer is (go home).",
        "The answer is go to school.",
        "The answer is zoo–keeper.",
    ],
)
def test_an_option_followed_by_more_of_a_phrase_is_not_that_option(text: str) -> None:
    assert parse_answer(text, question("zoo", "go", "room", "bank")) is None


def test_the_longer_option_is_read_where_it_is_one() -> None:
    example = question("zoo", "zoo keeper", "go", "go home")
    assert parse_answer("The answer is zoo keeper.", example) == "zoo keeper"
    assert parse_answer("go home because it is late", example) == "go home"


def test_an_option_is_read_without_its_article() -> None:
    example = question("the moon", "a star", "sun")
    assert parse_answer("The answer is moon.", example) == "the moon"
    assert parse_answer("Moon, because it is near", example) == "the moon"
    assert parse_answer("star", example) == "a star"
    assert parse_answer("The answer is moon rock.", example) is None
    assert parse_answer("The answer is not moon.", example) is None
    assert parse_answer("The answer is moon.", question("the moon", "moon")) == "moon"
    assert parse_answer("The answer is moon.", question("the moon", "a moon")) is None


PIECES = (
    *(
        "zoo",
        "zoo keeper",
        "keeper",
        "bank",
        "the bank",
        "a",
        "b",
        "no",
        "not",
        "never",
        "No. 5",
        "5",
        "-5",
        "1.5",
        "J",
    ),
    *("not enough", "Yahoo! Inc", "What? Me", "St. Paul", "U.S.", "e.g. it", "or", "because", "because it is", "yes"),
    *("zoo-keeper", "zoo‐keeper", "zoo‑keeper", "zoo–keeper", "zoo—keeper", "−5", "it's", "it’s", "(a)", "(b)", "[b]"),
    *(".", "..", "?", "!", "...", "-", "–", "—", ":", ":)", ",", "'", '"', "*", "**", "#", "####", "+", "++", "/", "&"),
    *("straße", "STRASSE", "Zoo", "ZOO", "動物園", "不", "½", "２", "{", "}", "<b>", "$", "C", "C++", "5 = 5", "1,250"),
)
"""Words that are hard for a parser; answers are made of one to three of them, with and without blanks between."""
_MARKS = st.sampled_from(
    ["{}", "{}.", "*{}*", "**{}**", '"{}"', "({})", "{}!", "{}?", "[{}]", "the {}", "not {}", "`{}`"]
)
_WORDS = st.builds(
    lambda pieces, joint: joint.join(pieces),
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=3),
    st.sampled_from([" ", " ", ""]),
)
ANSWERS = (
    st.one_of(_WORDS, st.builds(str.format, _MARKS, _WORDS), st.text(min_size=1, max_size=8))
    .map(lambda text: " ".join(text.split()))
    .filter(bool)
)
BUILTIN = (
    *(
        "finetune",
        "explain-then-answer",
        "answer-then-explain",
        "multitask",
        "counterfactual",
        "multitask+counterfactual",
    ),
    *("shuffled-explanation", "random-explanation", "salient", "salient+explanation", "own-saliency", "zero-shot"),
)
VIEWS = {view for name in BUILTIN for view in (*method(name).views, method(name).answer) if "answer" in view.says}


class Read:
    """A task that only reads."""

    def __init__(self, parse: object) -> None:
        self.parse = parse


def target(view: View, answer: str, explanation: str = "Lions live there, not in a bank.") -> str:
    """What a student writes that learnt `view` by heart."""
    words = {"answer": view.states(answer), "explanation": explanation}
    return " ".join(words[part] for part in view.says)


def reads_back(example: Example, answer: str, parse: object) -> None:
    task: Task = Read(parse)  # type: ignore[assignment]
    for view in VIEWS:
        text = target(view, answer)
        assert read_answer(task, view, text, example) == answer, (view.name, text, example)
        if view.says == ("answer", "explanation"):
            accepted = example.choices or (example.answer,)
            assert view.read(text, accepted) == "Lions live there, not in a bank.", (text, example)


MANY = settings(max_examples=1500, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@MANY
@given(st.lists(ANSWERS, min_size=2, max_size=5, unique=True))
def test_every_stated_option_reads_back(choices: list[str]) -> None:
    for answer in choices:
        reads_back(Example("q", "Which?", tuple(choices), answer), answer, parse_answer)


@MANY
@given(ANSWERS)
def test_every_stated_free_answer_reads_back(answer: str) -> None:
    example = Example("q", "Which?", (), answer, meta={"answers": [answer, "something else"]})
    reads_back(example, answer, parse_answer)
    reads_back(example, answer, stated_text)


@pytest.mark.parametrize(
    "choices", [("yes", "no"), ("entailment", "neutral", "contradiction"), ("True", "False", "not given")]
)
def test_every_fixed_label_reads_back(choices: tuple[str, ...]) -> None:
    for answer in choices:
        reads_back(Example("q", "Which?", choices, answer), answer, parse_answer)
