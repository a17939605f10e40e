"""Words, pieces and sentence ends in any script."""

import re

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from shrinklm.core.words import SENTENCE_END, joined, latin, pieces, word_spans, words


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
