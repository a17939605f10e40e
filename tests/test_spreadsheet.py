"""A table that we write runs nothing in a spreadsheet."""

from __future__ import annotations

import csv
import io

import pytest

from shrinklm.core.spreadsheet import csv_text, harmless


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd", "'+cmd"),
        ("-cmd|' /C calc'!A0", "'-cmd|' /C calc'!A0"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        ("\r=1", "'\r'=1"),
        ("＝1+1", "'＝1+1"),
        ("a;=1+1", "a;'=1+1"),
        ("a,@x", "a,'@x"),
        ("one\n=HYPERLINK(1)", "one\n'=HYPERLINK(1)"),
        ("a\t+1\tb", "a\t'+1\tb"),
        ("-5", "-5"),
        ("+3.25e-7", "+3.25e-7"),
        ("-12 %", "-12 %"),
        ("plain - and = inside, as people write", "plain - and = inside, as people write"),
        ("", ""),
    ],
)
def test_what_a_spreadsheet_would_take_for_a_formula(text: str, written: str) -> None:
    assert harmless(text) == written


def test_texts_stand_in_quotes_and_numbers_do_not() -> None:
    text = csv_text([{"a": "x;=1", "b": 1.5, "=c": None}, {"a": 'say "hi"', "d": 2}])
    assert text.splitlines()[0] == '"a","b","\'=c","d"'
    assert text.splitlines()[1] == '"x;\'=1",1.5,"",""'
    assert list(csv.reader(io.StringIO(text)))[2] == ['say "hi"', "", "", "2"]
