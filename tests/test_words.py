"""Words, pieces and sentence ends in any script."""

import re
from dataclasses import replace

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from shrinklm.core.marking import words as marked_words
from shrinklm.core.types import Example, Generation, Pair, Prediction, Sampling, Source
from shrinklm.core.words import SENTENCE_END, joined, latin, pieces, word_spans, words
from shrinklm.evaluation.metrics.answers import f1
from shrinklm.evaluation.metrics.explanations import length, named, overlap, spell
from shrinklm.evaluation.metrics.mentions import mentions
from shrinklm.evaluation.metrics.rewording import cut, exchanged
from shrinklm.evaluation.metrics.support import contrast
from shrinklm.evaluation.metrics.wording import copies, hedges, readability, repetition
from shrinklm.evaluation.simulate import masked
from shrinklm.methods.builtin import shuffled_explanation
from shrinklm.methods.view import Draw
from shrinklm.tasks.base import question_key


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don’t put well-known 3,000 x_y!", ["don't", "put", "well-known", "3", "000", "x", "y"]),
        ("他在银行存2元。", ["他", "在", "银", "行", "存", "2", "元"]),
        ("コーヒーを飲む", ["コーヒー", "を", "飲", "む"]),
        ("ﾊﾞﾅﾅ１２", ["バナナ", "12"]),
        ("은행에서 돈을", ["은행에서", "돈을"]),
        ("हिन्दी में नहीं।", ["हिन्दी", "में", "नहीं"]),
        ("ที่ บ้าน", ["ที่", "บ้", "า", "น"]),
        ("البنك، والمال؟", ["البنك", "والمال"]),
        ("Банк и Дерево", ["банк", "и", "дерево"]),
        ("ΤΡΆΠΕΖΑΣ", ["τράπεζασ"]),
        ("cafe\u0301 café", ["café", "café"]),
        ("我有apple和\nbanana", ["我", "有", "apple", "和", "banana"]),
        ("... — !", []),
    ],
)
def test_words_of_any_script(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@given(st.text(alphabet=st.characters(codec="latin-1"), max_size=60))
@settings(max_examples=300)
def test_latin_pieces_are_those_between_blanks(text: str) -> None:
    assert pieces(text) == text.split()
    assert joined(pieces(text)) == " ".join(text.split())


@given(st.text(alphabet=st.characters(codec="ascii"), max_size=60))
def test_ascii_words_are_runs_of_letters_and_digits(text: str) -> None:
    assert words(text) == re.findall(r"[a-z0-9]+(?:['-][a-z0-9]+)*", text.lower())


@given(st.text(max_size=40))
@settings(max_examples=300)
def test_pieces_hold_all_of_a_text_but_its_blanks(text: str) -> None:
    assert "".join(pieces(text)) == "".join(text.split())
    assert "".join(joined(pieces(text)).split()) == "".join(text.split())


def test_pieces_keep_their_punctuation_and_join_without_new_blanks() -> None:
    text = "他说：“我在银行（很大）。”"
    assert pieces(text) == ["他", "说：", "“我", "在", "银", "行", "（很", "大）。”"]
    assert joined(pieces(text)) == text


def test_spans_are_places_in_the_text() -> None:
    text = "Q: 银行 or bank-note"
    assert [text[start:end] for start, end in word_spans(text, 3)] == ["银", "行", "or", "bank-note"]


@pytest.mark.parametrize("text", ["你好。再见！", "नमस्ते। ठीक है।", "مرحبا؟ نعم.", "Yes. “No!”", "「はい。」いいえ。"])
def test_each_script_ends_its_sentences(text: str) -> None:
    assert len(regex.findall(SENTENCE_END, text, flags=regex.V1)) == 2


def test_a_text_is_latin_by_most_of_its_letters() -> None:
    assert all(map(latin, ("", "12!", "Bank", "Größe", "the word 银行")))
    assert not any(map(latin, ("银行", "Банк", "τράπεζα (bank)", "银行 in 银行里存钱")))


SAID = {
    "Chinese": (("银行", "动物园", "学校"), "人们在银行存钱，因为那里安全。动物园里没有钱。"),
    "Japanese": (("銀行", "コーヒー", "学校"), "お金は銀行に預けます。コーヒー店ではありません。"),
    "Korean": (("은행", "동물원", "학교"), "돈은 은행에서 찾을 수 있습니다. 그곳은 동물원이 아닙니다."),
    "Thai": (("ธนาคาร", "สวนสัตว์", "โรงเรียน"), "คนฝากเงินที่ธนาคาร ไม่ใช่สวนสัตว์"),
    "Hindi": (("बैंक", "चिड़ियाघर", "कम"), "लोग बैंक में पैसा रखते हैं। चिड़ियाघर में कमी है।"),
    "Arabic": (("بنك", "حديقة", "مدرسة"), "يضع الناس المال في البنك، وليس في حديقة؟"),
    "Hebrew": (("בנק", "גן", "ספר"), "אנשים שומרים כסף בבנק, לא בגן."),
    "Russian": (("банк", "зоопарк", "бан"), "Деньги хранит банк. Это не зоопарк."),
    "Greek": (("ΤΡΆΠΕΖΑ", "σχολείο", "πάρκο"), "Η τράπεζα έχει χρήματα, το σχολείο όχι."),
    "marks apart": (("cafe\u0301", "bar", "caf"), "A café is no bar."),
    "full width": (("12", "3", "1"), "答えは１２です。３ではない。"),
    "mixed": (("apple", "pear", "app"), "我吃apple，不吃pear。"),
}


@pytest.mark.parametrize("script", SAID)
def test_metrics_of_words_read_any_script(script: str) -> None:
    options, text = SAID[script]
    example = Example("1", "Q", options, options[0], meta={"reference": text})
    said = Prediction("run", "1", options[0], text, "")
    assert named(text, options) == set(options[:2])
    assert [mention.option for mention in mentions(text, options)] == [spell(option) for option in options[:2]]
    assert overlap(example, said) == {"bleu": pytest.approx(100), "rougeL": pytest.approx(100)}
    parts = pieces(text)
    half = replace(said, explanation=joined(parts[: len(parts) // 2]))
    assert 30 < dict(overlap(example, half) or {})["rougeL"] < 90
    assert repetition(example, replace(said, explanation=f"{text} {text}")) > 0.3  # type: ignore[operator]
    assert copies(replace(example, question=text), said) == 1.0
    assert length(example, said) == len(parts)
    assert text.startswith(cut(text, 50))
    assert len(cut(text, 50)) < len(text)
    swapped = exchanged(text, options[0], options[1])
    assert named(swapped, options) == set(options[:2])
    assert swapped != text
    assert not named(masked(text, options), options)


@pytest.mark.parametrize("text", ["人们在银行存钱。", "Деньги хранит банк."])
def test_rules_for_english_words_say_nothing_of_other_scripts(text: str) -> None:
    example, said = Example("1", "Q", ("银行", "банк"), "банк"), Prediction("run", "1", "банк", text, "")
    assert [metric(example, said) for metric in (readability, hedges, contrast)] == [None, None, None]


def test_parts_of_words_are_no_names() -> None:
    assert named("물고기는 물에 산다. 은행나무가 있다.", ("물", "은행")) == {"물"}
    assert named("कमी है", ("कम",)) == set()
    assert named("мамбанкам", ("банк",)) == set()
    assert named("银行卡在银行里", ("银行", "银行卡")) == {"银行", "银行卡"}
    assert named("银行卡在这里", ("银行", "银行卡")) == {"银行卡"}


def test_shuffled_words_of_any_script_are_the_same_words() -> None:
    text = "人们在银行存钱，因为那里安全。"
    example = Example("1", "Q", ("银行", "学校"), "银行")
    nobody = Source("t", "", Sampling(), 0, "", 0, 0, "")
    told = {("explanation", "银行"): Generation("1", "explanation", "银行", text, "", (), nobody, "k")}
    view = next(view for view in shuffled_explanation.views if view.source)
    pair = view.pair(example, told, Draw(0, 0, 0, None))
    assert isinstance(pair, Pair)
    assert pair.target != text
    assert sorted(pair.target.replace(" ", "")) == sorted(text)


def test_questions_that_differ_in_a_vowel_sign_are_two() -> None:
    first, second = (Example("1", text, (), "x") for text in ("कम है?", "कमी है?"))
    assert question_key(first) != question_key(second)


def test_marked_words_of_a_script_without_blanks_are_its_characters() -> None:
    example = Example("1", "他在银行 with 2 cats", (), "x")
    assert [word.text for word in marked_words(example)] == ["他", "在", "银", "行", "with", "2", "cats"]


def test_free_answers_of_any_script_are_compared_by_their_words() -> None:
    example = Example("1", "Q", (), "北京市")
    assert [f1(example, Prediction("r", "1", said, None, "")) for said in ("北京", "北京市。", "上海")] == [
        0.8,
        1.0,
        0.0,
    ]
