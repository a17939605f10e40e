"""Servers as they are out there: what they refuse, how they fail, and how long they want to be left alone."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from endpoint_stub import Raw, chat, failure, server
from shrinklm.core.errors import TeacherError
from shrinklm.core.types import Completion, Sampling
from shrinklm.tasks.base import parse_answer
from shrinklm.teachers.base import EATEN, FAILED, FILTERED, TeacherOptions
from shrinklm.teachers.endpoint import EndpointTeacher
from shrinklm.teachers.endpoint.reply import wait_of
from shrinklm.teachers.generate import run_steps
from shrinklm.teachers.prompts import Prompts
from shrinklm.teachers.store import Store
from shrinklm.teachers.thoughts import begin_of_answer, split
from shrinklm.teachers.usage import Report
from teacher_cases import asking, many, settings, step

GOOD = "People keep their money in a bank because it is safe there."


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EndpointTeacher, "backoff", 0.01)


def teacher(url: str, **options: Any) -> EndpointTeacher:
    return EndpointTeacher(f"{url}#small-model", TeacherOptions(**{"attempts": 3, **options}))


def ask(made: EndpointTeacher, texts: list[str], sampling: Sampling | None = None) -> list[Completion]:
    found = dict(made.complete([asking(text) for text in texts], sampling or Sampling(stop=("\n\n", "\nQuestion:"))))
    return [found[position] for position in range(len(texts))]


def generate(made: EndpointTeacher, path: Path, questions: int, retries: int = 1, **options: Any) -> Report:
    with Store(path) as store:
        return run_steps(
            many(questions),
            [step("explanation", **options)],
            made,
            Prompts("choice"),
            store,
            settings(retries=retries),
            parse_answer,
        )


THOUGHT = [
    ("<think>\nLet me see.\n\nIt is safe.\n</think>\n\n" + GOOD, "Let me see.\n\nIt is safe."),
    ("Let me see.\n\nIt is safe.\n</think>\n" + GOOD, "Let me see.\n\nIt is safe."),
    ("<thinking>Hm.</thinking>" + GOOD, "Hm."),
    ("<THINK>Hm.</THINK>\n" + GOOD, "Hm."),
    ("<reasoning>Hm.</reasoning>\n\n" + GOOD, "Hm."),
    ("[THINK]Hm.[/THINK]" + GOOD, "Hm."),
    ("◁think▷Hm.◁/think▷" + GOOD, "Hm."),
    ("<|begin_of_thought|>Hm.<|end_of_thought|><|begin_of_solution|>" + GOOD + "<|end_of_solution|>", "Hm."),
    (
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>" + GOOD + "<|return|>",
        "Hm.",
    ),
    ("analysisHm.assistantfinal" + GOOD, "Hm."),
    ("<think>Hm.</think><answer>" + GOOD + "</answer><|im_end|>", "Hm."),
    ("<think></think>\n\n" + GOOD, ""),
    (GOOD + "</s>", ""),
    (GOOD + "<|eot_id|>\n", ""),
    (GOOD, ""),
]


@pytest.mark.parametrize(("text", "thoughts"), THOUGHT)
def test_thoughts_in_the_text_are_kept_beside_it(tmp_path: Path, text: str, thoughts: str) -> None:
    assert (split(text)[0], split(text)[1].strip()) == (thoughts, GOOD)
    with server(lambda body, number: chat(text)) as (url, asked):
        report = generate(teacher(url), tmp_path / "g.db", 1)
    with Store(tmp_path / "g.db") as store:
        (kept,) = store
    assert (kept.text, kept.thoughts, kept.refusal) == (GOOD, thoughts, None)
    assert (report.steps["explanation"].kept, len(asked)) == (1, 1)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_thoughts_in_a_field_of_their_own(tmp_path: Path, field: str) -> None:
    with server(lambda body, number: chat(GOOD, **{field: "Hm.\n\nSafe."})) as (url, _):
        generate(teacher(url), tmp_path / "g.db", 1)
    with Store(tmp_path / "g.db") as store:
        assert [(one.text, one.thoughts) for one in store] == [(GOOD, "Hm.\n\nSafe.")]


@pytest.mark.parametrize(
    "reply",
    [
        chat(None, "length", reasoning_content="Hm, hm"),
        chat("", "length", reasoning="Hm, hm"),
        chat("<think>Hm, hm", "length"),
    ],
)
def test_thoughts_that_eat_the_cap_are_told_and_paid_once(tmp_path: Path, reply: tuple[int, dict[str, Any]]) -> None:
    with server(lambda body, number: reply if "number 0" in str(body["messages"]) else chat(GOOD)) as (url, asked):
        report = generate(teacher(url), tmp_path / "g.db", 3, retries=2)
    assert report.steps["explanation"].refused == {EATEN: 1}
    assert len(asked) == 3
    with Store(tmp_path / "g.db") as store:
        (eaten,) = [one for one in store if one.refusal]
    assert eaten.refusal == f"{EATEN}: 120. Set `max_tokens` of the teacher higher, or `thinking: off`"
    assert eaten.thoughts == "Hm, hm"


def test_no_stops_are_sent_to_a_model_that_thinks() -> None:
    with server(lambda body, number: chat("<think>Question: why?\n\nSo.</think>\n\nGood.\n\nMore")) as (url, asked):
        made = teacher(url)
        assert [one.text for one in ask(made, ["a"])] == ["\n\nGood."]
        assert ask(made, ["b"])[0].adapted == ("stops applied here",)
    assert ["stop" in one for one in asked] == [True, False]


def test_a_growing_text_has_no_answer_while_thoughts_go_on() -> None:
    assert begin_of_answer("<think>\n\nso") is None
    assert begin_of_answer("<think>\n\nso</think>x") == len("<think>\n\nso</think>")
    assert begin_of_answer("<|channel|>analysis<|message|>so") is None
    assert begin_of_answer("plain") == 0


@pytest.mark.parametrize("thinking", ["off", "low", "high"])
def test_thinking_and_extra_fields_are_sent_and_are_another_teacher(thinking: Any) -> None:
    with server(lambda body, number: chat("Good.")) as (url, asked):
        made = teacher(url, thinking=thinking, extra={"top_k": 5, "temperature": 0.3})
        ask(made, ["a"])
    assert asked[0]["reasoning_effort"] == {"off": "none"}.get(thinking, thinking)
    assert asked[0]["chat_template_kwargs"] == {"enable_thinking": thinking != "off"}
    assert (asked[0]["top_k"], asked[0]["temperature"]) == (5, 0.3)
    assert made.revision != teacher(url).revision == ""


REFUSED = [
    (
        "temperature",
        "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1).",
        "no temperature",
    ),
    ("temperature", "`temperature` must be strictly positive", "temperature 0.01 for 0"),
    ("top_p", "`temperature` and `top_p` cannot both be specified for this model.", "no top_p"),
    ("seed", "Extra inputs are not permitted: seed", "no seed"),
    ("stop", "Unsupported parameter: 'stop' is not supported with this model.", "no stop"),
    ("max_tokens", "Unsupported parameter: use 'max_completion_tokens' instead of max_tokens", "max_completion_tokens"),
    ("system", "System role not supported", "the system turn folded into the user's"),
    (
        "system",
        "Conversation roles must alternate user/assistant/user/assistant/...",
        "the system turn folded into the user's",
    ),
]


@pytest.mark.parametrize("coded", [True, False])
@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize(("setting", "message", "adapted"), REFUSED)
def test_a_setting_that_a_server_refuses_is_found_out_once(
    setting: str, message: str, adapted: str, status: int, coded: bool
) -> None:
    def sent(body: Mapping[str, Any]) -> bool:
        if setting == "system":
            return any(turn["role"] == "system" for turn in body["messages"])
        return body.get(setting) == 0 if "positive" in message else setting in body

    code = {"code": "unsupported_parameter", "param": setting} if coded else {}
    with server(lambda body, n: failure(status, message, **code) if sent(body) else chat(GOOD)) as (url, asked):
        made = teacher(url)
        sampling = Sampling(50, 0.0, 0.9, ("\nQuestion:",), 3)
        found = ask(made, [f"why {number}?" for number in range(9)], sampling)
        found += ask(made, ["and why?"], sampling)
    assert [one.text for one in found] == [GOOD] * 10
    assert found[-1].adapted == (adapted,)
    assert len(asked) == 11
    assert "why 0?" in asked[-10]["messages"][-1]["content"]
    if setting == "system":
        assert "You explain answers" in asked[-1]["messages"][0]["content"]


def test_a_server_that_refuses_and_names_nothing() -> None:
    with server(lambda body, n: failure(400, "Bad request") if "seed" in body else chat(GOOD)) as (url, asked):
        assert ask(teacher(url), ["a", "b"])[1].text == GOOD
    assert len(asked) == 3


def test_a_field_of_the_users_that_is_refused_ends_the_run() -> None:
    with (
        server(lambda body, n: failure(400, "Unknown field: top_k")) as (url, _),
        pytest.raises(TeacherError, match="Unknown field: top_k"),
    ):
        ask(teacher(url, extra={"top_k": 5}), ["a", "b"])


NONE = [
    Raw("<html><head><title>Bad gateway</title></head></html>", kind="text/html"),
    Raw("<html><title>502</title></html>", 502, kind="text/html"),
    Raw("upstream connect error", kind="text/plain"),
    Raw('data: {"choices": [{"delta": {"content": "People"}}]}\n\ndata: [DONE]\n\n', kind="text/event-stream"),
    Raw(chat(GOOD)[1], cut=True),
    Raw(b'{"choices": [{"message": {"content": "Peop'),
    Raw({"error": {"message": "engine is overloaded", "code": 503}}),
    Raw({"error": "model crashed"}),
    Raw({"object": "chat.completion", "choices": []}),
    Raw({"object": "chat.completion", "choices": None}),
    Raw({"choices": ["text"]}),
    Raw("[]"),
    Raw(""),
    Raw(reset=True),
    Raw(chat("", "error")[1]),
    Raw({"error": {"message": "overloaded"}}, 529),
]


@pytest.mark.parametrize("answer", NONE)
def test_an_answer_that_is_none_is_asked_for_again(answer: Raw) -> None:
    with server(lambda body, number: answer if number in (1, 3) else chat(GOOD)) as (url, asked):
        found = ask(teacher(url), ["a", "b", "c"])
    assert [one.text for one in found] == [GOOD] * 3
    assert len(asked) == 5


@pytest.mark.parametrize("answer", [NONE[0], NONE[3], NONE[4], NONE[8], NONE[13]])
def test_one_question_at_which_the_server_always_fails_is_refused_and_asked_again_next_time(
    tmp_path: Path, answer: Raw
) -> None:
    broken = [True]

    def reply(body: dict[str, Any], number: int) -> tuple[int, Mapping[str, Any]] | Raw:
        return answer if broken[0] and "number 4?" in str(body["messages"][-1]) else chat(GOOD)

    with server(reply) as (url, asked):
        first = generate(teacher(url), tmp_path / "g.db", 30)
        paid = len(asked)
        broken[0] = False
        second = generate(teacher(url), tmp_path / "g.db", 30)
    assert first.steps["explanation"].refused == {FAILED: 1}
    assert first.steps["explanation"].kept == 29
    assert paid == 29 + 3
    assert (second.steps["explanation"].asked, second.steps["explanation"].kept) == (1, 30)


def test_a_server_that_fails_too_often_ends_the_run_with_an_example(tmp_path: Path) -> None:
    def reply(body: dict[str, Any], number: int) -> tuple[int, Mapping[str, Any]]:
        return failure(500, "CUDA error: out of memory") if number > 20 else chat(GOOD)

    with (
        server(reply) as (url, asked),
        pytest.raises(TeacherError, match="after 3 attempts: CUDA error: out of memory"),
    ):
        generate(teacher(url, batch=8), tmp_path / "g.db", 200)
    # How many are sent while eleven of them fail three times depends on the machine; all would be 560.
    assert len(asked) < 250
    with Store(tmp_path / "g.db") as store:
        assert sum(one.refusal is None for one in store) == 20


def test_a_page_at_a_wrong_address_ends_the_run_soon() -> None:
    with (
        server(lambda body, n: Raw("<html><title>Welcome</title></html>", kind="text/html")) as (url, asked),
        pytest.raises(TeacherError, match=r"a web page instead of an answer \(Welcome\)"),
    ):
        ask(teacher(url), [str(number) for number in range(40)])
    assert len(asked) <= 9


@pytest.mark.parametrize(
    "reply",
    [
        chat("", "content_filter"),
        failure(400, "The response was filtered due to Azure's content management policy.", code="content_filter"),
        failure(403, "Your input was flagged by moderation"),
        chat(None, refusal="I cannot talk about that."),
    ],
)
def test_what_a_filter_stops_blocks_nothing_and_is_not_paid_again(tmp_path: Path, reply: tuple[int, Any]) -> None:
    with server(lambda body, n: reply if "number 0?" in str(body["messages"][-1]) else chat(GOOD)) as (url, asked):
        report = generate(teacher(url), tmp_path / "g.db", 5)
        again = generate(teacher(url), tmp_path / "g.db", 5)
    assert report.steps["explanation"].refused == {FILTERED: 1}
    assert (report.steps["explanation"].kept, len(asked), again.steps["explanation"].asked) == (4, 5, 0)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens."),
        (400, "the request exceeds the available context size. try increasing the context size"),
        (400, "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048. Given: 3000: tokens exceed"),
        (400, "prompt is too long: 210000 tokens > 200000 maximum"),
        (422, "The input sequence is too long for this model"),
        (400, "Please reduce the length of the messages or completion."),
        (413, "Request Entity Too Large"),
        (500, "the prompt exceeds the context window"),
        (400, "'max_tokens' is too large: 900. This model's maximum context length is 512 tokens"),
    ],
)
def test_a_question_that_does_not_fit_is_refused_alone(status: int, message: str) -> None:
    with server(lambda body, n: failure(status, message) if n == 2 else chat(GOOD)) as (url, asked):
        found = ask(teacher(url, batch=1), ["a", "b", "c"])
    assert [one.refusal for one in found] == [None, f"the prompt does not fit: {message}", None]
    assert len(asked) == 3


def test_content_in_parts_and_odd_counts_of_tokens() -> None:
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": GOOD}]
    usages: list[Any] = [{}, {"prompt_tokens": None, "completion_tokens": "7"}, {"prompt_tokens": -1}]
    for usage in usages:
        with server(lambda body, n, usage=usage: chat(parts, usage=usage)) as (url, _):
            (found,) = ask(teacher(url), ["a"])
        assert (found.text, found.thoughts, found.tokens_in, found.tokens_out) == (GOOD, "Hm.", 0, 0)


def test_the_server_says_how_long_to_wait() -> None:
    replies = {1: Raw({"error": {"message": "slow down"}}, 429, {"Retry-After": "1"})}
    with server(lambda body, n: replies.get(n) or chat(GOOD)) as (url, asked):
        began = time.monotonic()
        found = ask(teacher(url, attempts=1), ["a", "b", "c"])
    assert [one.text for one in found] == [GOOD] * 3  # a stated limit is no failed attempt
    assert 0.9 < time.monotonic() - began < 4
    assert len(asked) == 4


NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "text", "seconds"),
    [
        ({"Retry-After": "17"}, "", 17),
        ({"retry-after-ms": "1500"}, "", 1.5),
        ({"Retry-After": "Fri, 02 Jan 2026 03:04:35 GMT"}, "", 30),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m30s"}, "", 90),
        ({"x-ratelimit-remaining-requests": "5", "x-ratelimit-reset-requests": "1m30s"}, "", None),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(NOW.timestamp()) + 20)}, "", 20),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(1000 * int(NOW.timestamp()) + 20000)}, "", 20),
        (
            {
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-requests-reset": "2026-01-02T03:05:05Z",
            },
            "",
            60,
        ),
        *(
            (
                {remaining: "0", remaining.replace("remaining", "reset"): "45s", "x-ratelimit-limit-requests": "9"},
                "",
                45,
            )
            for remaining in (
                "x-ratelimit-remaining-tokens",
                "x-ratelimit-remaining-tokens-minute",
                "anthropic-ratelimit-input-tokens-remaining",
                "anthropic-ratelimit-output-tokens-remaining",
                "ratelimitbysize-remaining",
                "x-tokenlimit-remaining",
            )
        ),
        ({"RateLimit": "limit=100, remaining=0, reset=30"}, "", 30),
        ({"RateLimit": '"burst";r=0;t=7'}, "", 7),
        ({"RateLimit": '"burst";r=3;t=7'}, "", None),
        ({"x-ratelimit-remaining-requests": "0"}, "", None),
        ({}, "Rate limit reached. Please try again in 6m0s.", 360),
        ({}, "Please try again in 250ms.", 0.25),
        ({}, '"retryDelay": "17s"', 17),
        ({"Retry-After": "soon"}, "", None),
        ({}, "no", None),
    ],
)
def test_how_servers_say_when_to_come_back(headers: dict[str, str], text: str, seconds: float | None) -> None:
    assert wait_of(headers, text, NOW) == seconds


def test_a_limit_that_an_answer_states_as_used_up_is_not_run_into() -> None:
    used = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "0.4s"}
    with server(lambda body, n: Raw(chat(GOOD)[1], 200, used if n == 1 else {})) as (url, asked):
        began = time.monotonic()
        ask(teacher(url), ["a", "b"])
    assert time.monotonic() - began > 0.35
    assert len(asked) == 2


class Prefixes:
    """A server that keeps the last 40 blocks of 64 characters that it read, each with all that stands before it."""

    def __init__(self) -> None:
        self.kept: dict[str, None] = {}
        self.hits = self.blocks = 0

    def __call__(self, body: dict[str, Any], number: int) -> tuple[int, dict[str, Any]]:
        text = "".join(message["content"] for message in body["messages"])
        known = True
        for end in range(64, len(text) + 1, 64):
            known = known and text[:end] in self.kept
            self.hits += known
            self.blocks += 1
            self.kept.pop(text[:end], None)
            self.kept[text[:end]] = None
        self.kept = dict.fromkeys(list(self.kept)[-40:])
        return chat(GOOD)


def test_prompts_that_begin_alike_go_out_together(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"Passage: {f'passage {p} ' * 40}\nQuestion: what of {q}?" for p in range(12) for q in range(5)]
    random.Random(0).shuffle(texts)
    shares = []
    for sort in (sorted, lambda positions, key: list(positions)):
        monkeypatch.setattr("shrinklm.teachers.endpoint.session.sorted", sort, raising=False)
        cache = Prefixes()
        with server(cache) as (url, _):
            ask(teacher(url, batch=1), texts)
        shares.append(cache.hits / cache.blocks)
    # Four of five questions about a passage find it read.
    assert shares[0] > 0.75
    assert shares[1] < 0.5


@pytest.mark.parametrize(
    "reply",
    [
        failure(429, "You exceeded your current quota", code="insufficient_quota"),
        failure(402, "Insufficient balance"),
        failure(403, "Your credit balance is too low"),
    ],
)
def test_no_money_ends_the_run_at_once(reply: tuple[int, dict[str, Any]]) -> None:
    with server(lambda body, n: reply) as (url, asked), pytest.raises(TeacherError, match="no money is left there"):
        ask(teacher(url), ["a", "b"])
    assert len(asked) == 1


def test_a_limit_of_hours_ends_the_run_and_says_when() -> None:
    reply = Raw({"error": {"message": "daily limit"}}, 429, {"Retry-After": "7200"})
    with server(lambda body, n: reply) as (url, _), pytest.raises(TeacherError, match="asked again in 120 minutes"):
        ask(teacher(url), ["a", "b"])


def test_a_hanging_server_is_told_about_and_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shrinklm.teachers.endpoint.session.QUIET", 1)
    said: list[str] = []
    with server(lambda body, n: Raw(chat(GOOD)[1], seconds=0 if n == 1 else 4)) as (url, _):
        made = teacher(url, timeout=2.5, attempts=1)
        made.tell = said.append
        found = ask(made, ["a", "b"])
    assert found[0].text == GOOD
    assert found[1].refusal == f"{FAILED}: no answer within 2.5 s (`timeout` of the teacher)"
    assert said[0].startswith("no answer from http://127.0.0.1")


def test_limits_of_the_recipe_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shrinklm.teachers.endpoint.pace.MINUTE", 1.0)
    with server(lambda body, n: chat(GOOD)) as (url, _):
        began = time.monotonic()
        ask(teacher(url, requests_a_minute=4), [str(n) for n in range(9)])
        assert time.monotonic() - began > 1.9
        began = time.monotonic()
        ask(teacher(url, tokens_a_minute=400), [str(n) for n in range(5)])  # about 150 each
        assert time.monotonic() - began > 1.9


def test_no_proxy_stands_before_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://me:pass@127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with server(lambda body, n: chat(GOOD)) as (url, _):
        assert ask(teacher(url), ["a"])[0].text == GOOD
    with pytest.raises(TeacherError, match=r"the proxy 127\.0\.0\.1:9 does not answer"):
        ask(teacher("http://example.com/v1"), ["a"])


def test_texts_that_are_all_refused_stop_early_with_examples(tmp_path: Path) -> None:
    with (
        server(lambda body, n: chat("It is safe there. " * 8)) as (url, asked),
        pytest.raises(TeacherError, match=r"the first \d+ texts of the step 'explanation' are all refused"),
    ):
        generate(teacher(url, batch=4), tmp_path / "g.db", 300, retries=0)
    assert len(asked) < 60


def test_a_redirect_is_not_followed_with_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "secret")
    with (
        server(lambda body, n: Raw(status=307, headers={"Location": "http://elsewhere/v1"})) as (url, _),
        pytest.raises(TeacherError, match="points to http://elsewhere/v1"),
    ):
        ask(teacher(url, api_key_env="MY_KEY"), ["a"])
