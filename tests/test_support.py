"""Support, contrast and leaks on texts built to have a known answer."""

from __future__ import annotations

import pytest

from shrinklm.core.types import Example, Prediction
from shrinklm.evaluation.metrics.mentions import mentions, sentences, supported
from shrinklm.evaluation.metrics.support import contrast, gives_away, leaks, support

MONEY = Example("m", "Where do people keep their money?", ("zoo", "bank", "tree house", "river"), "bank")


def said(text: str | None, answer: str | None = "bank") -> Prediction:
    return Prediction("run", "m", answer, text, "")


OWN = "A bank keeps money safe, since a bank has a vault."
OTHER = "A zoo has a strong fence, so a zoo keeps money safe."


@pytest.mark.parametrize(
    ("text", "option"),
    [
        (OWN, "bank"),
        (OTHER, "zoo"),
        ("Banks have vaults.", "bank"),  # a plural is no other option
        ("People climb into a treehouse and hide it there.", "tree house"),
        ("It is kept in a bank, not in a zoo or a river.", "bank"),
        ("Zoos, rivers and tree houses are not where money is kept. Banks are.", "bank"),
        ("Rather than a zoo, people trust a bank.", "bank"),
        ("People trust a bank rather than a zoo.", "bank"),
        ("While a zoo has animals, a bank has a vault.", "bank"),
        ("Unlike a zoo, a bank has a vault.", "bank"),
        (
            "A zoo lacks vaults; a zoo is open to all; a bank is locked.",
            "zoo",
        ),  # affirmed once, and so is the bank: the earlier one
        ("The other options, such as a zoo and a river, do not fit. A bank does.", "bank"),
        ("(a) zoo: it does not keep money. (b) bank: it keeps money.", "bank"),
        ("A zoo is near a zoo and a zoo. So the answer is bank.", "bank"),
        ("A zoo is close to a zoo, but a bank is the best choice.", "bank"),
        ("It is not a zoo.", None),
        ("Because vaults are safe.", None),
        ("", None),
    ],
)
def test_the_option_that_a_text_argues_for(text: str, option: str | None) -> None:
    assert supported(text, MONEY) == option


def test_an_option_that_the_question_names_counts_last() -> None:
    example = Example("r", "What do you do in the river?", ("river", "swim", "fly"), "swim")
    assert supported("In the river, the river carries you, and you swim.", example) == "swim"
    assert supported("The river is wet.", example) == "river"


def test_an_option_may_hold_a_denial_or_be_a_bare_word() -> None:
    example = Example("n", "Why?", ("not knowing", "knowing"), "knowing")
    assert supported("Fear comes from not knowing.", example) == "not knowing"
    yes = Example("y", "Is it?", ("yes", "no"), "no")
    assert supported("There is no doubt that yes men exist.", yes) is None
    assert supported("There is no doubt. The answer is yes.", yes) == "yes"
    assert supported("Whatever.", Example("f", "?", (), "x")) is None


def test_support_tells_the_answer_given_from_another() -> None:
    assert support(MONEY, said(OWN)) == {
        "names_gold": 1,
        "supports_gold": 1,
        "supports_predicted": 1,
        "supports_other": 0,
    }
    assert support(MONEY, said(OTHER)) == {
        "names_gold": 0,
        "supports_gold": 0,
        "supports_predicted": 0,
        "supports_other": 1,
    }
    assert support(MONEY, said(OTHER, "zoo")) == {
        "names_gold": 0,
        "supports_gold": 0,
        "supports_predicted": 1,
        "supports_other": 0,
    }
    assert support(MONEY, said(OWN, "zoo")) == {
        "names_gold": 1,
        "supports_gold": 1,
        "supports_predicted": 0,
        "supports_other": 1,
    }
    silent = support(MONEY, said("It is safe there."))
    assert silent == {"names_gold": 0, "supports_gold": 0, "supports_predicted": 0, "supports_other": 0}
    assert support(MONEY, said(OWN, None)) == {"names_gold": 1, "supports_gold": 1}
    assert support(MONEY, said(None)) is None
    assert support(Example("f", "?", (), "42"), said("It is 42.", "42")) == {"names_gold": 1}


def test_a_repeated_option_is_one_option() -> None:
    example = Example("d", "?", ("Bank", "zoo", "bank"), "bank")
    assert support(example, said("A bank has a vault.", "bank"))["supports_predicted"] == 1


def test_contrast_counts_markers_and_the_options_set_aside() -> None:
    full = contrast(MONEY, said("A bank has a vault, while zoos and rivers do not; it is no tree house."))
    assert contrast(MONEY, said(OWN)) == {"contrast_markers": 0, "argues_against": 0}
    assert full["argues_against"] == 3
    assert full["contrast_markers"] >= 2
    # What it answers is not what it argues against.
    assert contrast(MONEY, said("A zoo is not safe. A river isn't, either.", "zoo"))["argues_against"] == 1
    assert contrast(MONEY, said("It is safe, but far.", None)) == {"contrast_markers": 1}
    assert contrast(MONEY, said(None)) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("The answer is bank, because it is safe.", 1),
        ("It is safe. So the correct answer is: bank.", 1),
        ("Option (b) is safe.", 1),
        ("This is choice b.", 1),
        (OWN, 0),  # a reason may name its answer
        ("The answer is zoo.", 0),  # another one: no leak of what the student says
        ("Option (a) is safe.", 0),
        ("The answer is not bank.", 0),
        ("", 0),
    ],
)
def test_leaks(text: str, value: float) -> None:
    assert leaks(MONEY, said(text)) == value


def test_leaks_of_free_answers_and_where_nothing_can_leak() -> None:
    free = Example("f", "What is 6 times 7?", (), "42")
    assert leaks(free, said("Six sevens. The answer is 42.", "42")) == 1
    assert leaks(free, said("Six sevens make 42.", "42")) == 0
    assert leaks(MONEY, said(OWN, None)) is None
    assert leaks(MONEY, said(None)) is None
    assert not gives_away("The answer is ", free, "")


def test_sentences_and_mentions() -> None:
    assert sentences('He said "no." Then e.g. a dog, i.e. J. Smith\'s, ran!  Why?') == [
        'He said "no."', "Then e.g. a dog, i.e. J. Smith's, ran!", "Why?"
    ]  # fmt: skip
    assert sentences("no full stop") == ["no full stop"]
    assert sentences(" ") == []
    found = mentions(
        "The ZOO isn’t a Bank account, and tree houses burn.", ("zoo", "bank", "bank account", "tree house")
    )
    assert [(mention.option, mention.aside) for mention in found] == [
        ("zoo", True),
        ("bank account", False),
        ("tree house", False),
    ]
