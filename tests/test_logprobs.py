"""Log-probabilities of a label's options: asked for, read where the reply names its answer, kept, and shown."""

from __future__ import annotations

import json
import math
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from batch_stub import batch_server
from endpoint_stub import Answer, Raw, chat, failure, server
from shrinklm import Recipe, Run
from shrinklm.core.logprobs import OptionLogprobs, Token, from_json, to_json
from shrinklm.core.sampling import as_json
from shrinklm.core.types import Generation, Sampling, ask_key
from shrinklm.run.blocks import StepBlock
from shrinklm.tasks.base import parse_answer
from shrinklm.teachers.base import TeacherOptions, make_teacher
from shrinklm.teachers.endpoint import EndpointTeacher
from shrinklm.teachers.generate import run_steps
from shrinklm.teachers.logprobs import NONE, of_options, read_tokens
from shrinklm.teachers.merging import merge
from shrinklm.teachers.prompts import Prompts
from shrinklm.teachers.steps import StepRequest
from shrinklm.teachers.store import Store, read, write
from teacher_cases import BEAVER, asking, many, settings

OPTIONS = ("apple", "river", "stone")
LEAD = ["It", " fits", " best", ".", " The", " answer", " is"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EndpointTeacher, "backoff", 0.001)


def entry(token: str | bytes, p: float, **top: float) -> dict[str, Any]:
    """A token as OpenAI sends it; `top` holds further alternatives, whose "_" stands for a blank."""

    def one(text: str | bytes, p: float) -> dict[str, Any]:
        raw = text.encode() if isinstance(text, str) else text
        shown = text if isinstance(text, str) else text.decode("utf-8", "replace")
        return {"token": shown, "bytes": list(raw), "logprob": math.log(p)}

    others = [one(text.replace("_", " "), value) for text, value in top.items()]
    return {**one(token, p), "top_logprobs": [one(token, p), *others]}


def content(*tokens: dict[str, Any], lead: list[str] = LEAD) -> list[dict[str, Any]]:
    return [*(entry(token, 1.0) for token in lead), *tokens]


def told(tokens: list[dict[str, Any]], choices: tuple[str, ...], answer: str, text: str | None = None) -> Any:
    """Option → probability, rounded, of a reply that its tokens spell."""
    items = read_tokens({"content": tokens})
    spelled = b"".join(item.raw for item in items).decode() if text is None else text
    found = of_options(items, spelled, choices, answer)
    return found and {
        option: value if value is None else round(math.exp(value), 4) for option, value in found.options.items()
    }


RIVER = content(entry(" river", 0.7, _apple=0.2, _stone=0.05, _the=0.05), entry(".", 1.0))


@pytest.mark.parametrize(
    ("tokens", "choices", "answer", "expected"),
    [
        (RIVER, OPTIONS, "river", {"apple": 0.2, "river": 0.7, "stone": 0.05}),
        # Not among the alternatives: not told.
        (content(entry(" river", 0.9, _apple=0.1)), OPTIONS, "river", {"apple": 0.1, "river": 0.9, "stone": None}),
        # Letters, in brackets and with case.
        (
            content(entry(" (", 1.0), entry("b", 0.6, a=0.3, C=0.1), entry(")", 1.0), entry(" river", 1.0)),
            OPTIONS,
            "river",
            {"apple": 0.3, "river": 0.6, "stone": 0.1},
        ),
        # With and without a leading blank, and in another case: the same option, whose probabilities add up.
        (
            content(entry(" river", 0.5, river=0.1, _River=0.1, _apple=0.2)),
            OPTIONS,
            "river",
            {"apple": 0.2, "river": 0.7, "stone": None},
        ),
        # A tie.
        (content(entry(" no", 0.5, _yes=0.5)), ("yes", "no"), "no", {"yes": 0.5, "no": 0.5}),
        # Two share their first token: the reply's own is followed, and the third left it before.
        (
            content(entry(" a", 0.8, _the=0.2), entry(" hammer", 0.75, _saw=0.25)),
            ("a saw", "a hammer", "the ruler"),
            "a hammer",
            {"a saw": 0.2, "a hammer": 0.6, "the ruler": 0.2},
        ),
        # Shared by two that the reply did not take: not told which.
        (
            content(entry(" the", 0.8, _a=0.2), entry(" ruler", 1.0)),
            ("a saw", "a hammer", "the ruler"),
            "the ruler",
            {"a saw": None, "a hammer": None, "the ruler": 0.8},
        ),
        # An article that the option does not have; "a" is no letter here.
        (
            content(entry(" a", 1.0), entry(" saw", 0.6, _hammer=0.4)),
            ("saw", "hammer"),
            "saw",
            {"saw": 0.6, "hammer": 0.4},
        ),
        # One option begins another; what follows tells.
        (
            content(entry(" tree", 1.0), entry(".", 0.9, _house=0.1)),
            ("tree", "tree house"),
            "tree",
            {"tree": 0.9, "tree house": 0.1},
        ),
        # Options longer than a token, and parts of words.
        (
            content(entry(" ham", 0.9, _ru=0.1), entry("mer", 1.0), entry(" drill", 1.0)),
            ("hammer drill", "ruler"),
            "hammer drill",
            {"hammer drill": 0.9, "ruler": 0.1},
        ),
        # Tokens that end inside a character.
        (
            [
                *content(),
                {
                    **entry(" \N{CJK UNIFIED IDEOGRAPH-6C34}".encode()[:3], 1.0),
                    "top_logprobs": [
                        {"token": "\\xe6\\xb0", "bytes": [0x20, 0xE6, 0xB0], "logprob": math.log(0.9)},
                        {"token": "\\xe7\\x81", "bytes": [0x20, 0xE7, 0x81], "logprob": math.log(0.1)},
                    ],
                    "logprob": math.log(0.9),
                },
                entry("\N{CJK UNIFIED IDEOGRAPH-6C34}".encode()[2:], 1.0),
            ],
            ("\N{CJK UNIFIED IDEOGRAPH-6C34}", "\N{CJK UNIFIED IDEOGRAPH-706B}"),
            "\N{CJK UNIFIED IDEOGRAPH-6C34}",
            {"\N{CJK UNIFIED IDEOGRAPH-6C34}": 0.9, "\N{CJK UNIFIED IDEOGRAPH-706B}": 0.1},
        ),
        # The answer alone, in markup, and after an earlier statement of another one.
        (content(entry("river", 0.8, apple=0.2), lead=[]), ("apple", "river"), "river", {"apple": 0.2, "river": 0.8}),
        (
            content(entry(" **", 1.0), entry("river", 0.8, apple=0.2), entry("**", 1.0)),
            ("apple", "river"),
            "river",
            {"apple": 0.2, "river": 0.8},
        ),
        (
            [
                *content(entry(" apple", 0.9, _river=0.1)),
                *content(entry(" river", 0.8, _apple=0.2), lead=["?", " No", ":", " the", " answer", " is"]),
            ],
            ("apple", "river"),
            "river",
            {"apple": 0.2, "river": 0.8},
        ),
    ],
)
def test_read_where_the_reply_names_its_answer(tokens: Any, choices: Any, answer: str, expected: Any) -> None:
    assert told(tokens, choices, answer) == expected


def test_tokens_without_bytes_and_with_marks_for_blanks() -> None:
    bare = [{"token": text, "logprob": -0.1} for text in ("▁The", "▁answer", "▁is")]
    last = {
        "token": "▁river",
        "logprob": math.log(0.9),
        "top_logprobs": [{"token": "▁apple", "logprob": math.log(0.1)}],
    }
    assert told([*bare, last], ("apple", "river"), "river", "The answer is river") == {"apple": 0.1, "river": 0.9}


def test_thoughts_and_a_hallucinated_question_are_not_the_answer() -> None:
    thought = content(entry(" apple", 0.9, _river=0.1), entry("</think>", 1.0), lead=["<think>", *LEAD])
    later = content(
        entry(" apple", 0.9, _river=0.1), lead=["\n", "Question", ":", " Why", "?", " The", " answer", " is"]
    )
    text = "It fits best. The answer is river."
    assert told([*thought, *RIVER, *later], OPTIONS, "river", text) == {"apple": 0.2, "river": 0.7, "stone": 0.05}
    # Tokens that spell another text tell nothing of this one.
    assert told(RIVER, OPTIONS, "apple", "The answer is apple.") is None


HOSTILE: list[Any] = [
    None, [], {}, "x", 7, {"content": None}, {"content": "x"}, {"content": [None]}, {"content": [[]]},
    {"content": [{"token": 5}]}, {"content": [{"token": "x" * 10_000, "logprob": 0}]},
    {"tokens": ["a"], "token_logprobs": [0]},
    {"content": [{"token": "\ud800", "logprob": "x", "bytes": [10**40], "top_logprobs": 9}]},
    {"content": [{"token": "a", "bytes": [True, -1], "logprob": 10**400, "top_logprobs": [None, {}, {"token": "a"}]}]},
]  # fmt: skip


@pytest.mark.parametrize("logprobs", HOSTILE)
def test_what_is_malformed_is_nothing(logprobs: Any) -> None:
    tokens = read_tokens(logprobs)
    assert all(token.logprob is None and not token.top for token in tokens)
    found = of_options(tokens, "a", ("a", "b"), "a")
    assert found is None or set(found.options.values()) == {None}


@pytest.mark.parametrize("value", ["-0.5", math.nan, math.inf, -math.inf, -9999.0, -3.4e38, 2.0, None, True, [1]])
def test_a_value_that_is_none_is_not_told(value: Any) -> None:
    tokens = json.loads(json.dumps(RIVER))
    tokens[-2]["top_logprobs"][1]["logprob"] = value
    assert told(tokens, OPTIONS, "river") == {"apple": None, "river": 0.7, "stone": 0.05}


def test_the_distribution_is_a_softmax_of_known_values_alone() -> None:
    options = {"a": math.log(0.2), "b": math.log(0.6)}
    assert OptionLogprobs(options, ()).distribution == {"a": pytest.approx(0.25), "b": pytest.approx(0.75)}
    assert OptionLogprobs({**options, "c": None}, ()).distribution is None
    assert OptionLogprobs({}, ()).distribution is None
    low = OptionLogprobs({"a": -5000.0, "b": -5000.0}, ()).distribution
    assert low == {"a": 0.5, "b": 0.5}


@pytest.mark.parametrize(
    "text", ['{"options": []}', '{"options": {"a": NaN}, "tokens": []}', "[1]", '{"options": {"a": 1}}']
)
def test_a_column_that_holds_none_is_refused(text: str) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        from_json(text)


def reply(tokens: list[dict[str, Any]]) -> tuple[int, dict[str, Any]]:
    status, body = chat("".join(token["token"] for token in tokens))
    body["choices"][0]["logprobs"] = {"content": tokens, "refusal": None}
    return status, body


def giving(body: dict[str, Any], number: int) -> tuple[int, dict[str, Any]]:
    return reply(RIVER) if body.get("logprobs") else chat("".join(token["token"] for token in RIVER))


def labels(
    answer: Answer, path: Path, questions: int = 1, **request: Any
) -> tuple[list[Generation], list[dict[str, Any]]]:
    """The stored labels, and what the server was asked."""
    steps = [StepRequest("label", 1, None, None, **{"logprobs": True, **request})]
    with server(answer) as (url, asked), Store(path) as store:
        teacher = EndpointTeacher(f"{url}#m", TeacherOptions(attempts=3))
        run_steps(many(questions), steps, teacher, Prompts("choice"), store, settings(retries=0), parse_answer)
        return list(store), asked


def test_asked_for_with_the_first_sample_and_kept(tmp_path: Path) -> None:
    stored, asked = labels(giving, tmp_path / "g.db", samples=2)
    assert [body.get("top_logprobs") for body in asked] == [20, None]
    assert asked[0]["logprobs"] is True
    assert "logprobs" not in asked[1]
    first, second = sorted(stored, key=lambda one: one.logprobs is None)
    assert second.logprobs is None
    assert first.logprobs is not None
    assert first.source.adapted == second.source.adapted == ()
    expected = {
        "apple": pytest.approx(0.2 / 0.95),
        "river": pytest.approx(0.7 / 0.95),
        "stone": pytest.approx(0.05 / 0.95),
    }
    assert first.logprobs.distribution == expected
    assert [token.raw for token in first.logprobs.tokens] == [b" river"]
    again, more = labels(giving, tmp_path / "g.db", samples=2)
    assert (again, more) == (stored, [])


def test_left_out_nothing_changes(tmp_path: Path) -> None:
    stored, asked = labels(giving, tmp_path / "g.db", logprobs=False)
    assert not {"logprobs", "top_logprobs"} & asked[0].keys()
    assert stored[0].logprobs is None
    with sqlite3.connect(tmp_path / "g.db") as db:
        source, logprobs = db.execute("SELECT source, logprobs FROM generations").fetchone()
    assert logprobs == ""
    assert "logprobs" not in source
    # The key of version 0.1.0 for this prompt and sampling.
    assert ask_key("t", "1", asking("?", BEAVER), Sampling()) == "5e8b73a4263a9fb4c12a07a768c117fb"


ONLY_FIVE = [
    "Invalid value for 'top_logprobs': must be less than or equal to 5.",
    "Requested sample logprobs of 20, which is greater than max allowed: 5",
    "Input should be less than or equal to 5: body.top_logprobs",
    "Invalid request: top_logprobs too large",
    "top_logprobs must be between 0 and 5",
]


@pytest.mark.parametrize("words", ONLY_FIVE)
def test_fewer_alternatives_where_so_many_are_refused(words: str, tmp_path: Path) -> None:
    def answer(body: dict[str, Any], number: int) -> tuple[int, dict[str, Any]]:
        return failure(400, words) if body.get("top_logprobs", 0) > 5 else giving(body, number)

    stored, asked = labels(answer, tmp_path / "g.db", questions=30)
    assert [body["top_logprobs"] for body in asked] == [20] + [5] * 30
    assert all(one.logprobs and one.source.adapted == ("top_logprobs 5",) for one in stored)


REFUSED = [
    failure(400, "Unsupported parameter: 'logprobs' is not supported with this model."),
    failure(400, "top_logprobs is not supported"),
    failure(400, "This model gives no log probabilities"),
    failure(403, "You are not allowed to request logprobs from this model"),
    failure(404, "No endpoints found that support the requested parameters: logprobs"),
    failure(422, "unprocessable"),
    failure(500, "internal error"),
    failure(501, "logprobs: not implemented"),
    (200, {"error": {"message": "logprobs: unknown field"}}),
    Raw('{"choices": [{"message": {"content": "The answer'),
    (422, {"detail": [{"loc": ["body", "logprobs"], "msg": "Extra inputs are not permitted"}]}),
]


LATE = REFUSED[0], REFUSED[5], REFUSED[6]


@pytest.mark.parametrize(
    ("error", "late"), [*((one, False) for one in REFUSED), *((one, True) for one in LATE)], ids=str
)
def test_refused_once_and_left_out_from_then_on(error: Any, late: bool, tmp_path: Path) -> None:
    """`late`: other steps were answered before, so that many requests are out when the first is refused."""

    def answer(body: dict[str, Any], number: int) -> tuple[int, dict[str, Any]]:
        return error if "logprobs" in body else giving(body, number)

    steps = [StepRequest("explanation", 1, None, None)] if late else []
    steps.append(StepRequest("label", 1, None, None, logprobs=True))
    with server(answer) as (url, asked), Store(tmp_path / "g.db") as store:
        teacher = EndpointTeacher(f"{url}#m", TeacherOptions(attempts=3))
        run_steps(many(30), steps, teacher, Prompts("choice"), store, settings(retries=0), parse_answer)
        stored = [one for one in store if one.kind == "label"]
        rest = [one for one in store if one.kind != "label"]
    assert len(stored) == 30
    assert {one.answer for one in stored} == {"river"}
    assert {one.source.adapted for one in stored} == {(NONE,)}
    assert {one.source.adapted for one in rest} <= {()}  # what they did not ask for is not missing
    assert not any(one.logprobs for one in stored)
    assert sum("logprobs" in body for body in asked) <= (60 if late else 3)


@pytest.mark.parametrize("logprobs", [..., None, {"content": None}, {"content": [{"token": 1}]}])
def test_ignored_is_written_down_and_not_asked_for_any_more(logprobs: Any, tmp_path: Path) -> None:
    def answer(body: dict[str, Any], number: int) -> tuple[int, dict[str, Any]]:
        status, reply = chat("It fits. The answer is river.")
        if logprobs is not ...:
            reply["choices"][0]["logprobs"] = logprobs
        return status, reply

    stored, asked = labels(answer, tmp_path / "g.db", questions=40)
    assert {one.answer for one in stored} == {"river"}
    assert {one.source.adapted for one in stored} == {(NONE,)}
    assert asked[0]["logprobs"] is True
    assert "logprobs" not in asked[-1]


def test_a_huge_answer_is_bounded_in_the_store(tmp_path: Path) -> None:
    top = {f"_w{number}": 1e-6 for number in range(2000)}
    stored, _ = labels(lambda body, number: reply(content(entry(" river", 0.7, **top))), tmp_path / "g.db")
    assert stored[0].logprobs is not None
    assert len(stored[0].logprobs.tokens[0].top) == 20
    assert len(to_json(stored[0].logprobs)) < 2000


def test_an_earlier_store_is_extended_and_exports_carry_the_column(tmp_path: Path) -> None:
    stored, _ = labels(giving, tmp_path / "g.db")
    for name in ("out.jsonl", "out.parquet"):
        write(stored, tmp_path / name)
        assert read(tmp_path / name) == stored
    with sqlite3.connect(tmp_path / "g.db") as db:
        db.execute("ALTER TABLE generations DROP COLUMN logprobs")
    with Store(tmp_path / "g.db") as store:
        assert [one.logprobs for one in store] == [None]
    with Store(tmp_path / "new.db") as store:
        merge(store, tmp_path / "out.jsonl")
        assert list(store) == stored
    row = json.loads((tmp_path / "out.jsonl").read_text())
    del row["logprobs"], row["thoughts"]  # as earlier versions wrote it
    (tmp_path / "old.jsonl").write_text(json.dumps(row))
    assert [one.logprobs for one in read(tmp_path / "old.jsonl")] == [None]


def test_tokens_survive_the_store() -> None:
    odd = OptionLogprobs({"a": -0.5, "b": None}, (Token(b"\xe6\xb0", None, ((b" a", -0.5), (b"\xff", -1.0))),))
    assert from_json(to_json(odd)) == odd


def test_ordered_by_the_file_too(tmp_path: Path) -> None:
    steps = [StepRequest("label", 1, None, None, 2, logprobs=True)]

    def command(url: str) -> list[Generation]:
        with Store(tmp_path / "g.db") as store:
            teacher = make_teacher(f"endpoint-batch:{url}#small-model", TeacherOptions(attempts=3))
            run_steps(many(3), steps, teacher, Prompts("choice"), store, settings(retries=0), parse_answer)
            return list(store)

    with batch_server(tmp_path / "server", answer=lambda body: giving(body, 0)) as stub:
        command(stub.url)
        stub.finish()
        stored = command(stub.url)
    assert sum(one.logprobs is not None for one in stored) == 3


def test_a_recipe_that_asks_shows_them_with_the_labels(tmp_path: Path) -> None:
    table = [{"text": f"Which goes with {number}?", "options": list(OPTIONS)} for number in range(12)]
    (tmp_path / "pool.jsonl").write_text("\n".join(map(json.dumps, table)))
    with server(giving) as (url, _):
        parsed = Recipe.parse(
            {
                "name": "r",
                "task": {"use": "table", "train": "pool.jsonl", "columns": {"question": "text", "choices": "options"}},
                "teacher": {"use": f"endpoint:{url}#m", "retries": 0},
                "generate": [{"label": {"samples": 2, "logprobs": True}}],
                "methods": ["finetune"],
                "student": "tiny",
                "root": tmp_path,
            }
        )
        data = Run(parsed).data
        assert data.labelling is not None
        data.labelling.ask()
        data.write(tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()]
    assert all(row["probabilities"]["river"] == pytest.approx(0.7 / 0.95) for row in rows)
    assert all(row["logprobs"]["apple"] == pytest.approx(math.log(0.2)) for row in rows)


def test_other_teachers_are_not_asked_and_other_steps_are_refused(tmp_path: Path) -> None:
    steps = [StepRequest("label", 1, None, None, logprobs=True)]
    with Store(tmp_path / "g.db") as store:
        run_steps([BEAVER], steps, make_teacher("fake"), Prompts("choice"), store, settings(), parse_answer)
        assert [(one.source.sampling.logprobs, one.logprobs) for one in store] == [(False, None)]
    with pytest.raises(ValidationError, match="only `label` chooses among options"):
        StepBlock(name="explanation", logprobs=True)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Sampling(temperature=0), Sampling(temperature=0.0)),
        (Sampling(temperature=-0.0), Sampling(temperature=0.0)),
        (Sampling(top_p=1, temperature=1), Sampling(top_p=1.0, temperature=1.0)),
        (Sampling(max_tokens=64.0, seed=True), Sampling(max_tokens=64, seed=1)),  # type: ignore[arg-type]
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_equal_samplings_have_one_key_whichever_comes_first(one: Sampling, other: Sampling, turned: bool) -> None:
    texts = []
    for first in (one, other)[:: -1 if turned else 1]:
        as_json.cache_clear()
        texts.append(json.dumps(as_json(first)))
    assert one == other
    assert texts[0] == texts[1]
