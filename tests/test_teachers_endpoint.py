from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from typing import Any

import pytest

from endpoint_stub import chat, failure, server
from shrinklm.core.errors import TeacherError
from shrinklm.core.types import Completion, Sampling
from shrinklm.teachers.base import TeacherOptions
from shrinklm.teachers.endpoint import EndpointTeacher
from shrinklm.teachers.endpoint.request import Request
from teacher_cases import asking

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EndpointTeacher, "backoff", 0.01)


def teacher(url: str, **options: Any) -> EndpointTeacher:
    return EndpointTeacher(f"{url}#small-model", TeacherOptions(**{"attempts": 4, **options}))


def ask(url: str, texts: list[str], sampling: Sampling | None = None, **options: Any) -> list[Completion]:
    found = dict(
        teacher(url, **options).complete([asking(text) for text in texts], sampling or Sampling(stop=("\n\n",)))
    )
    return [found[position] for position in range(len(texts))]


def test_request_and_answer() -> None:
    sampling = Sampling(max_tokens=9, temperature=0.7, top_p=0.9, stop=("\n\n", "\nQuestion:"), seed=5)
    with server(lambda body, number: chat("\n\nGood.\n\nMore")) as (url, asked):
        (completion,) = ask(url, ["why?"], sampling)
    assert completion == Completion("\n\nGood.", 11, 7, finished=True)
    assert asked[0]["messages"][1] == {"role": "user", "content": "why?"}
    assert asked[0]["model"] == "small-model"
    assert [asked[0][name] for name in ("max_tokens", "temperature", "top_p", "seed")] == [9, 0.7, 0.9, 5]
    assert asked[0]["stop"] == ["\nQuestion:"]  # a blank line would stop a text that begins with one


def test_token_cap_is_reported() -> None:
    with server(lambda body, number: chat("It is because the", "length")) as (url, _):
        assert ask(url, ["why?"])[0].finished is False


def test_batch_requests_run_side_by_side_and_none_is_lost() -> None:
    running, most, lock = [0], [0], threading.Lock()

    def answer(body: dict[str, Any], number: int) -> tuple[int, dict[str, Any]]:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.05)
        with lock:
            running[0] -= 1
        return chat(f"about {body['messages'][1]['content']}")

    texts = [str(i) for i in range(20)]
    with server(answer) as (url, _):
        found = ask(url, texts, batch=4)
    assert [completion.text for completion in found] == [f"about {text}" for text in texts]
    assert 2 <= most[0] <= 4


def test_busy_and_broken_servers_are_asked_again() -> None:
    with server(lambda body, number: [failure(429), failure(503), chat("Good.")][min(number, 3) - 1]) as (url, asked):
        assert ask(url, ["why?"])[0].text == "Good."
    assert len(asked) == 3


def test_errors_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    for status, words in (
        (401, "MY_KEY is not set"),
        (404, "Models there: small-model"),
        (500, "after 4 attempts"),
        (400, "cannot answer"),
    ):
        with (
            server(lambda body, number, status=status: failure(status)) as (url, asked),
            pytest.raises(TeacherError, match=words),
        ):
            ask(url, ["why?"], api_key_env="MY_KEY")
        # Of a 400 it is found out first whether the server merely does not take a setting.
        assert len(asked) == {500: 4, 400: 3}.get(status, 1)


def test_no_server() -> None:
    with server(lambda body, number: chat("x")) as (url, _):
        pass
    with pytest.raises(TeacherError, match=r"No server answers at http://127\.0\.0\.1"):
        ask(url, ["why?"])


def test_prompt_beyond_the_context_is_refused() -> None:
    message = "the request exceeds the available context size (600 tokens, limit 512)"
    with server(lambda body, number: failure(400, message)) as (url, _):
        assert ask(url, ["why?"])[0].refusal == f"the prompt does not fit: {message}"


def test_renamed_and_unknown_parameters() -> None:
    def answer(body: dict[str, Any], number: int) -> tuple[int, dict[str, Any]]:
        for name in ("max_tokens", "stop"):
            if name in body:
                return failure(400, f"Unsupported parameter: {name}", code="unsupported_parameter", param=name)
        return chat("Good.\nQuestion: next")

    with server(answer) as (url, asked):
        assert ask(url, ["why?"], Sampling(max_tokens=33, stop=("\nQuestion:",)))[0].text == "Good."
    assert asked[-1]["max_completion_tokens"] == 33


def test_key_comes_from_the_environment_and_stays_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "secret-key")
    with server(lambda body, number: chat("Good.")) as (url, asked):
        made = teacher(url, api_key_env="MY_KEY")
        list(made.complete([asking("why?")], Sampling()))
    assert asked[0]["authorization"] == "Bearer secret-key"
    assert "secret-key" not in repr(vars(made))
    assert "secret-key" not in made.name + made.revision


@pytest.mark.parametrize(
    "spec", ["", "localhost:8000/v1#m", "ftp://host/v1#m", "http://#m", "http://host/v1", "http://me:pass@host/v1#m"]
)
def test_bad_addresses_are_refused_before_anything_is_sent(spec: str) -> None:
    with pytest.raises(TeacherError) as error:
        EndpointTeacher(spec, TeacherOptions())
    assert "pass@" not in str(error.value)


def test_price_is_looked_up_for_public_servers_only() -> None:
    public = EndpointTeacher("https://api.openai.com/v1#gpt-4o-mini", TeacherOptions())
    assert public.price is not None
    assert 0 < public.price["input"] < public.price["output"]
    assert EndpointTeacher("http://127.0.0.1:8000/v1#gpt-4o-mini", TeacherOptions()).price is None
    assert EndpointTeacher("https://api.openai.com/v1#no-such-model-x", TeacherOptions()).price is None
    assert EndpointTeacher("http://gpu-box:8000/v1#m", TeacherOptions(price={"input": 1.0, "output": 2.0})).price == {
        "input": 1.0,
        "output": 2.0,
    }


def test_what_is_sent_is_the_body_of_the_moment() -> None:
    made = Request("m", "low", {"top_k": 5})
    sampling = Sampling(max_tokens=9, temperature=0.7, top_p=0.9, stop=("\n", "Question:"), seed=3)
    prompt = asking('A "beaver"\n\ud83e, ünïcödé?')
    first = json.loads(made.encode(prompt, sampling))
    assert first == {**made.body(prompt, sampling, {}), "messages": first["messages"]}
    assert [turn["content"] for turn in first["messages"]][1] == 'A "beaver"\n?, ünïcödé?'
    assert (first["stop"], first["seed"], first["top_k"], first["model"]) == (["Question:"], 3, 5, "m")
    assert made.adapt(first, "unknown parameter: seed")
    assert made.adapt(first, "system role not supported")
    again = json.loads(made.encode(prompt, sampling))
    assert "seed" not in again
    assert [turn["role"] for turn in again["messages"]] == ["user"]
    # Another sampling, and messages of the user's own.
    assert json.loads(made.encode(prompt, replace(sampling, max_tokens=5)))["max_tokens"] == 5
    own = Request("m", None, {"messages": [{"role": "user", "content": "Say: ok"}]})
    assert json.loads(own.encode(prompt, sampling))["messages"][0]["content"] == "Say: ok"
