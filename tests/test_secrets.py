"""A server that repeats the key in what it answers: the key reaches no file, no message and no log."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli_cases import call, recipe
from endpoint_stub import Raw, chat, failure, server
from shrinklm.teachers.endpoint import EndpointTeacher

KEY = "sk-proj-0123456789abcdef"


@pytest.mark.parametrize(
    "answers",
    [
        [failure(401, f"Incorrect API key provided: {KEY}")],
        [failure(500, f"bad header Bearer {KEY}")],
        [Raw(f"<html>your request had Authorization: Bearer {KEY}</html>")],
        [Raw("", 302, {"Location": f"http://127.0.0.1:1/?key={KEY}"})],
        [failure(404, f"no model for {KEY}")],
        [chat(f"The key {KEY} opens the door of the bank, where money is kept.")],
        [chat("", finish="content_filter"), failure(429, f"quota of {KEY}", code="insufficient_quota")],
    ],
)
def test_a_key_that_comes_back_is_kept_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: list[Raw | tuple[int, dict[str, object]]]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(EndpointTeacher, "backoff", 0.01)
    with server(lambda body, number: answers[min(number, len(answers)) - 1]) as (url, asked):
        teacher = {"use": f"endpoint:{url}#m", "attempts": 2, "failures": 1, "retries": 0}
        path = recipe(tmp_path, teacher=teacher, generate=["explanation"], methods=["multitask"])
        done = call("generate", path)
    assert asked
    assert all(request["authorization"] == f"Bearer {KEY}" for request in asked)
    said = done.output + repr(done.exception)
    assert KEY not in said
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes(), file


def test_a_copied_line_break_is_no_part_of_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"  {KEY}\r\n")
    with server(lambda body, number: chat("Money is kept in a bank, since it is safe there.")) as (url, asked):
        path = recipe(tmp_path, teacher={"use": f"endpoint:{url}#m"}, generate=["explanation"], methods=["multitask"])
        assert call("generate", path).exit_code == 0
        assert {request["authorization"] for request in asked} == {f"Bearer {KEY}"}
        monkeypatch.setenv("OPENAI_API_KEY", f"“{KEY}”")
        other = recipe(
            tmp_path,
            name="other",
            store="b.db",
            teacher={"use": f"endpoint:{url}#m"},
            generate=["explanation"],
            methods=["multitask"],
        )
        refused = call("generate", other)
    assert refused.exit_code != 0
    assert "OPENAI_API_KEY holds characters that no key has" in " ".join(refused.output.split())
    assert KEY not in refused.output + repr(refused.exception)


@pytest.mark.parametrize(
    "teacher",
    [
        {"extra": {"api_key": KEY}},
        {"extra": {"provider": [{"headers": {"X-Api-Key": "abc"}}]}},
        {"extra": {"user": f"Bearer {KEY}"}},
        {"extra": {"password": 12345678}},
        {"api_key_env": KEY},
        {"api_key_env": "hf_0123456789abcdefghij"},
        {"use": f"endpoint:http://127.0.0.1:1/v1?api_key={KEY}#m"},
        {"extra": {"max_tokens": "many"}, "batch": {"api_key": KEY}},
    ],
)
def test_a_recipe_with_a_secret_is_refused_and_written_nowhere(tmp_path: Path, teacher: dict[str, object]) -> None:
    path = recipe(
        tmp_path,
        teacher={"use": "endpoint:http://127.0.0.1:1/v1#m", **teacher},
        generate=["explanation"],
        methods=["multitask"],
    )
    for command in ("plan", "generate"):
        done = call(command, path)
        assert done.exit_code == 1, done.output
        said = done.output + repr(done.exception) + repr(getattr(done.exception, "__cause__", ""))
        assert not any(secret in said for secret in (KEY, "0123456789abcdefghij", "'abc'", "12345678"))
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == ["recipe.yaml"]


def test_fields_that_only_look_like_secrets_are_sent(tmp_path: Path) -> None:
    extra = {"max_tokens": 5, "prompt_cache_key": "a", "eos_token": "</s>", "stop_token_ids": [1], "api_key": None}
    path = recipe(
        tmp_path, teacher={"use": "endpoint:http://127.0.0.1:1/v1#m", "api_key_env": "MY_KEY", "extra": extra}
    )
    done = call("plan", path)
    assert "looks like a secret" not in done.output
    assert done.exit_code == 0, done.output
