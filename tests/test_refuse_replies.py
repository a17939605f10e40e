"""Replies that are no explanation, texts that argue for another option, and texts that only look cut or repeated."""

from __future__ import annotations

import pytest

from shrinklm.core.types import Completion, Example, Prompt
from shrinklm.teachers import refusals as refuse
from shrinklm.teachers import replies
from shrinklm.teachers.cleaning import clean
from shrinklm.teachers.endings import cut_off
from shrinklm.teachers.refusals import assess

BANK = Example("m", "Where do people keep money?", ("bank", "zoo", "river"), "bank")
GOOD = "People put money into a bank because it is guarded there."


def verdict(
    text: str, kind: str = "explanation", answer: str = "bank", example: Example = BANK, recorded: bool = False
) -> str | None:
    return assess(Prompt((), example, kind, answer), Completion(text), recorded=recorded)[1]


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (replies.DECLINES, "Sorry, I can't help with that."),
        (replies.DECLINES, "I'm sorry, but I cannot provide an explanation for this."),
        (replies.DECLINES, "I apologize, but this is not something I can do."),
        (replies.DECLINES, "I won't be able to assist with this request."),
        (replies.DECLINES, "Unfortunately, I'm unable to justify that answer."),
        (replies.DECLINES, "It would be against my guidelines to argue for this option."),
        (replies.DECLINES, "I must respectfully decline to answer this question."),
        (replies.DECLINES, "I do not have enough information to explain this answer."),
        (replies.DECLINES, "I am not able to fulfill this request."),
        (replies.DECLINES, "This request violates our content policy."),
        (replies.DECLINES, "I don’t feel comfortable answering that."),
        (replies.ITSELF, "As an AI language model, I have no bank account, but people keep money there."),
        (replies.ITSELF, "I'm just an AI, and money means nothing to me."),
        (replies.ITSELF, "I don't have personal opinions about where money is kept."),
        (replies.ITSELF, "I was trained by a company to explain where money is kept."),
        (replies.ASKS, "Could you please clarify which bank is meant?"),
        (replies.ASKS, "What would you like me to explain about the bank?"),
        (replies.ASKS, "Please provide more details about the question."),
    ],
)
@pytest.mark.parametrize("kind", ["explanation", "revision", "counterfactual"])
def test_a_reply_that_explains_nothing_is_refused_as_what_it_is(reason: str, text: str, kind: str) -> None:
    answer = "zoo" if kind == "counterfactual" else "bank"
    assert verdict(text, kind, answer) == reason
    assert verdict(text, kind, answer, recorded=True) == reason
    assert reason in refuse.RETRIED


@pytest.mark.parametrize(
    "text",
    [
        "People who cannot help themselves with cash keep it in a bank.",
        'A thief says "I can\'t help you" at a bank, where the money is locked away.',
        "A clerk at a bank will not assist a robber, so the money is safe.",
        "I would keep my money in a bank, since I cannot guard it myself.",
        "A machine such as a cash machine gives out the money of a bank.",
        "A bank answers the question of where money is safe.",
    ],
)
def test_explanations_with_such_words_are_kept(text: str) -> None:
    assert verdict(text) is None


def test_the_question_may_be_about_a_model() -> None:
    example = Example("r", "What can a language model do?", ("write", "swim"), "write")
    assert verdict("A language model writes one word after another.", answer="write", example=example) is None
    assert verdict("The AI should know that money is kept there.") == replies.ITSELF


@pytest.mark.parametrize(
    "said",
    [
        f"Sure! {GOOD}",
        f"Sure, here is an explanation: {GOOD}",
        f"Certainly! Here's a better explanation for the answer:\n\n{GOOD}",
        f"Of course.\n\n{GOOD}",
        f"Great question! {GOOD} I hope this helps!",
        f"{GOOD} Let me know if you have any questions.",
        f"{GOOD} Would you like me to explain more?",
    ],
)
def test_pleasantries_are_taken_off(said: str) -> None:
    assert clean(said, "explanation")[0] == GOOD
    assert verdict(said) is None


@pytest.mark.parametrize("text", ["Sure! Here is an explanation:", "I hope this helps!"])
def test_nothing_but_pleasantries_is_empty(text: str) -> None:
    assert verdict(text) in (refuse.EMPTY, refuse.CUT)


@pytest.mark.parametrize(
    "text",
    [
        "I think zoo is the correct answer.",
        "Animals live in it. The zoo is the best choice here.",
        r"Money is kept in many places, so \boxed{B}. It is safe.",
        "Money is kept there. The final answer is <answer>zoo</answer>",
        "Keepers guard it well.\n#### B",
        "(b) is the right place for money.",
        "B, because keepers guard it.",
        "Answer: zoo, since keepers guard it.",
        "I would choose the zoo for all that money.",
        "A zoo makes the most sense for so much money.",
    ],
)
def test_another_option_stated_in_any_form_contradicts(text: str) -> None:
    assert verdict(text) == refuse.CONTRADICTS
    assert verdict(text, "counterfactual", "river") == refuse.ELSEWHERE
    assert verdict(text, "counterfactual", "zoo") is None


@pytest.mark.parametrize(
    "text",
    [
        "You might think the answer is zoo, but money is guarded in a bank.",
        "If it were about animals, the answer would be zoo. A bank guards money.",
        "The answer is not zoo. A bank guards money.",
        "A zoo is a good choice for animals, but a bank guards money.",
    ],
)
def test_another_option_that_is_only_supposed_or_granted_is_none(text: str) -> None:
    assert verdict(text) is None


def test_a_counterfactual_that_answers_the_question_with_the_gold_option() -> None:
    example = Example("c", "Cows outnumber people in what state north of Kansas?", ("nebraska", "zoo"), "nebraska")
    text = "Cows outnumber people in Nebraska, a state north of Kansas."
    assert verdict(text, "counterfactual", "zoo", example) == refuse.ELSEWHERE
    assert verdict(text, "explanation", "nebraska", example) is None
    both = "Cows outnumber people in a zoo in Nebraska, a state north of Kansas."
    assert verdict(both, "counterfactual", "zoo", example) is None


@pytest.mark.parametrize(
    ("question", "answer", "text"),
    [
        ("Where is one not likely to find a ring road?", "town", "A town is not a likely place for a ring road."),
        ("What is not a safe way to carry jewelry?", "suitcase", "A suitcase is not suitable, as it gets lost."),
        ("Which of these would you least expect?", "comet", "A comet is not likely, since few come by."),
        ("A cat eats meat, which means it doesn't do what?", "graze", "To graze does not make sense for a cat."),
    ],
)
def test_where_the_question_asks_for_what_does_not_fit_a_denial_supports(question: str, answer: str, text: str) -> None:
    options = (answer, "bank")
    assert verdict(text, answer=answer, example=Example("n", question, options, answer)) is None
    plain = Example("n", "Where would you look for it?", options, answer)
    assert verdict(text, answer=answer, example=plain) == refuse.CONTRADICTS
    outright = f"This answer is incorrect, and {answer} is no way to go."
    assert verdict(outright, answer=answer, example=Example("n", question, options, answer)) == refuse.CONTRADICTS


@pytest.mark.parametrize(
    "text",
    [
        "people keep money in a bank",
        "Composers create music. The answer is A",
        "banks guard money",
        "A place to keep what you own safe and in order",
    ],
)
def test_a_short_recorded_text_without_a_full_stop_is_whole(text: str) -> None:
    assert verdict(text, recorded=True) is None


def test_a_statement_after_the_reason_is_taken_off_and_still_read() -> None:
    prompt = Prompt((), BANK, "explanation", "bank")
    said = Completion("Banks guard money. The answer is A")
    assert assess(prompt, said, recorded=True) == ("Banks guard money.", None)
    wrong = Completion("Banks guard money. The answer is B")
    assert assess(prompt, wrong, recorded=True)[1] == refuse.CONTRADICTS
    assert verdict("The answer is A", recorded=True) == refuse.EMPTY


@pytest.mark.parametrize(
    "text",
    [
        "people keep money in a bank because",
        "a bank is the",
        "a bank (or a safe",
        'people call it "the bank',
        " ".join(["a bank keeps what many people own and guards it well"] * 4)[:-5],
    ],
)
def test_words_that_show_a_cut(text: str) -> None:
    assert cut_off(text)


def test_a_recording_that_says_whether_a_text_was_cut_is_believed() -> None:
    prompt = Prompt((), BANK, "explanation", "bank")
    for text in ("people keep money in a bank", "People keep it safe. It is a bank that"):
        assert assess(prompt, Completion(text, finished=True), recorded=True) == (text, None)
    assert assess(prompt, Completion("people keep money in", finished=False), recorded=True)[1] == refuse.CUT


def test_a_question_said_over_with_its_answer_is_no_echo() -> None:
    example = Example("h", "You find a heel on a what?", ("boot", "hat"), "boot")
    assert verdict("You find a heel on a boot.", answer="boot", example=example) is None
    assert verdict("You find a heel on a what?", answer="boot", example=example) == refuse.ECHOES
    assert verdict("boot you find a heel on a what?", answer="boot", example=example) == refuse.ECHOES


@pytest.mark.parametrize(
    ("answer", "question", "text"),
    [
        ("银行", "人们把钱存在哪里?", "人们把钱存在银行,因为那里很安全。"),
        ("銀行", "お金はどこに預けますか?", "銀行はお金を安全に守ります。"),
        ("ธนาคาร", "คนเก็บเงินไว้ที่ไหน", "ธนาคารเก็บรักษาเงินของผู้คนอย่างปลอดภัย"),
        ("बैंक", "लोग पैसा कहाँ रखते हैं?", "बैंक में पैसा सुरक्षित रहता है।"),
        ("بنك", "أين يحفظ الناس المال؟", "يحفظ البنك أموال الناس بأمان."),
    ],
)
def test_other_scripts_have_words_and_sentence_ends(answer: str, question: str, text: str) -> None:
    example = Example("u", question, (answer, "x"), answer)
    for recorded in (False, True):
        assert verdict(text, answer=answer, example=example, recorded=recorded) is None
    assert refuse.too_long(text, 2)
