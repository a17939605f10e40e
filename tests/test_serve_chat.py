"""Chat completions of a trained student: what clients of OpenAI send and read, and the question in a message."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from serving import Running
from shrinklm import Example, Run
from shrinklm.deploy.answering import Answering
from shrinklm.deploy.questions import example_of
from shrinklm.deploy.server.message import read_message

LETTERED = "Where do fish swim?\nA. in the sea\nB. in the sky"


@pytest.fixture(scope="module")
def served(deployed: Run) -> Iterator[Running]:
    running = Running(deployed.student("multitask"))
    yield running
    running.close()


@pytest.fixture(scope="module")
def answering(deployed: Run) -> Answering:
    return deployed.student("multitask").answering


def content(reply: httpx.Response) -> str:
    assert reply.status_code == 200, reply.text
    return str(reply.json()["choices"][0]["message"]["content"])


def test_a_training_prompt_gets_the_words_of_the_student(served: Running, deployed: Run) -> None:
    student = deployed.student("multitask")
    view, explain = student.answering.answer, student.answering.explain
    assert explain is not None
    for example in deployed.splits["test"][:3]:
        alone = student.predict([example])[0]
        assert content(served.chat(view.prompt(example))) == alone.raw
        assert content(served.chat(example.text)) == alone.raw
        assert content(served.chat(explain.prompt(example))) == alone.explanation
        assert content(served.chat(example.text, chat_template_kwargs={"explain": True})) == alone.explanation


def test_earlier_turns_are_no_part_of_the_prompt(served: Running) -> None:
    messages = [
        {"role": "developer", "content": "Answer as a pirate."},
        {"role": "user", "content": "Who?\nA. he\nB. she"},
        {"role": "assistant", "content": "The answer is he."},
        {"role": "user", "content": LETTERED},
    ]
    reply = served.client.post("/v1/chat/completions", json={"model": served.name, "messages": messages})
    assert content(reply) == content(served.chat(LETTERED))


def test_the_reply_is_a_chat_completion(served: Running) -> None:
    parts = [{"type": "text", "text": LETTERED}]
    reply = served.chat(parts, n=2, temperature=0.5, seed=1, user="me", tools=[], response_format={"type": "text"})
    body = reply.json()
    assert body["object"] == "chat.completion"
    assert body["model"] == served.name
    assert [choice["index"] for choice in body["choices"]] == [0, 1]
    assert len({choice["message"]["content"] for choice in body["choices"]}) == 1
    assert body["choices"][0]["finish_reason"] in ("stop", "length")
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > usage["prompt_tokens"] > 0
    assert list(body["shrinklm"]["probabilities"]) == ["in the sea", "in the sky"]


def test_caps_and_stops(served: Running, deployed: Run) -> None:
    whole = content(served.chat(LETTERED))
    short = served.chat(LETTERED, max_tokens=3).json()
    assert whole.startswith(short["choices"][0]["message"]["content"])
    assert 0 < short["usage"]["completion_tokens"] <= 3
    assert short["choices"][0]["finish_reason"] == "length"
    assert served.chat(LETTERED, max_completion_tokens=3, max_tokens=400).json()["usage"] == short["usage"]
    stopped = served.chat(LETTERED, stop=["never", whole[2]]).json()["choices"][0]
    assert stopped["message"]["content"] == whole[: whole.index(whole[2])]
    assert stopped["finish_reason"] == "stop"


def test_a_stream_says_the_same(served: Running) -> None:
    reply = served.chat(LETTERED, stream=True, n=2, stream_options={"include_usage": True})
    assert reply.headers["content-type"].startswith("text/event-stream")
    *lines, last = [line.removeprefix("data: ") for line in reply.text.split("\n\n") if line]
    assert last == "[DONE]"
    chunks = [json.loads(line) for line in lines]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    said = ["", ""]
    for chunk in chunks:
        for choice in chunk["choices"]:
            said[choice["index"]] += choice["delta"].get("content", "")
    assert said == [content(served.chat(LETTERED))] * 2
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] > 0


BAD: list[tuple[dict[str, Any], int, str]] = [
    ({"model": "gpt-4"}, 404, "No model is called 'gpt-4' here"),
    ({"model": None}, 400, "'model' must be the name of a model, not null"),
    ({"foo": 1}, 400, "Unrecognized request argument: 'foo'"),
    ({"tools": [{"type": "function"}]}, 400, "'tools' is not supported"),
    ({"response_format": {"type": "json_object"}}, 400, "'response_format' is not supported"),
    ({"logprobs": True}, 400, "'logprobs' is not supported"),
    ({"temperature": 3}, 400, "'temperature' must be a number between 0 and 2"),
    ({"temperature": "hot"}, 400, "'temperature' must be a number"),
    ({"n": 0}, 400, "'n' must be a number between 1 and 16"),
    ({"n": 1000}, 400, "'n' must be a number between 1 and 16"),
    ({"max_tokens": 0.5}, 400, "'max_tokens' must be"),
    ({"max_tokens": 1.5}, 400, "'max_tokens' must be a whole number"),
    ({"max_tokens": 10**400}, 400, "'max_tokens' must be"),
    ({"stop": [1]}, 400, "'stop' must be"),
    ({"stream": "yes"}, 400, "'stream' must be true or false"),
    ({"stream_options": []}, 400, "'stream_options' must be an object, not a list"),
    ({"messages": None}, 400, "'messages' must be a list"),
    ({"messages": []}, 400, "'messages' must be a list with at least one"),
    ({"messages": ["Who?"]}, 400, "A message needs a role"),
    ({"messages": [{"role": ["user"], "content": "Who?"}]}, 400, "A message needs a role"),
    ({"messages": [{"role": "user", "content": None}]}, 400, "A message needs a role"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "A message needs a role"),
    ({"messages": [{"role": "system", "content": "Hi"}]}, 400, "The last message must be the user's question"),
    ({"messages": [{"role": "user", "content": LETTERED}, {"role": "assistant", "content": ""}]}, 400, "not of role"),
    ({"chat_template_kwargs": [1]}, 400, "'chat_template_kwargs' must be an object, not a list"),
    ({"chat_template_kwargs": {"explain": 1}}, 400, "'explain' must be true or false"),
    ({"messages": [{"role": "user", "content": "Where do fish swim?"}]}, 400, "has no `choices`"),
    ({"messages": [{"role": "user", "content": ""}]}, 400, "'question' has an empty text"),
    ({"messages": [{"role": "user", "content": "\udfff" + LETTERED}]}, 400, "lone surrogate"),
    ({"messages": [{"role": "user", "content": LETTERED + "\n" * 30_000}]}, 413, "this server takes 20,000"),
    ({"messages": [{"role": "user", "content": "why " * 4000 + LETTERED}]}, 400, "longer than the student reads"),
]


@pytest.mark.parametrize(("changes", "status", "says"), BAD)
def test_what_a_student_does_not_do(served: Running, changes: dict[str, Any], status: int, says: str) -> None:
    body = {"model": served.name, "messages": [{"role": "user", "content": LETTERED}], **changes}
    reply = served.client.post(
        "/v1/chat/completions", content=json.dumps(body), headers={"content-type": "application/json"}
    )
    assert reply.status_code == status, reply.text
    assert says in reply.json()["error"]["message"]


def test_a_number_without_end(served: Running) -> None:
    raw = json.dumps({"model": served.name, "messages": [{"role": "user", "content": LETTERED}]})
    reply = served.client.post(
        "/v1/chat/completions",
        content=raw[:-1] + ', "max_tokens": 1e999}',
        headers={"content-type": "application/json"},
    )
    assert reply.status_code == 400


def test_the_models(served: Running) -> None:
    listed = served.client.get("/v1/models").json()
    assert [model["id"] for model in listed["data"]] == [served.name]
    assert served.client.get(f"/v1/models/{served.name}").json() == listed["data"][0]
    assert served.client.get("/v1/models/other").json()["error"]["code"] == "model_not_found"


def test_the_client_of_openai(served: Running) -> None:
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0)
    asked = {"model": served.name, "messages": [{"role": "user", "content": LETTERED}]}
    reply = client.chat.completions.create(**asked)
    assert reply.choices[0].message.content == content(served.chat(LETTERED))
    chunks = client.chat.completions.create(**asked, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == reply.choices[0].message.content
    assert [model.id for model in client.models.list()] == [served.name]
    with pytest.raises(openai.NotFoundError, match="No model is called"):
        client.chat.completions.create(**asked | {"model": "gpt-4"})


@pytest.mark.parametrize(
    ("message", "question", "choices"),
    [
        (LETTERED, "Where do fish swim?", ["in the sea", "in the sky"]),
        ("Question: Where?\n\nOptions:\n1) sea\n2) sky \n\nAnswer:", "Where?", ["sea", "sky"]),
        ("Where? (a) the sea (b) the sky", "Where?", ["the sea", "the sky"]),
        ("Question: Where?\nChoices: (a) sea (b) sky\nThe answer is", "Where?", ["sea", "sky"]),
        ("Say which.\n(A) x\n(B) y (b) z\nOne letter.", "Say which.\nOne letter.", ["x", "y (b) z"]),
        ("I know a. that\nb. this\nWhich?\nA) x\nB) y", "I know a. that\nb. this\nWhich?", ["x", "y"]),
        ("I list:\na. foo\nb. bar\nWhich?\nA) x\nB) y", "I list:\na. foo\nb. bar\nWhich?", ["x", "y"]),
        ("Question: Is (a) a letter?\nChoices: (a) a (a) (b) b", "Is (a) a letter?", ["a (a)", "b"]),
        ("Where?\nA. sea", "Where?\nA. sea", None),
    ],
)
def test_the_question_in_a_message(answering: Answering, message: str, question: str, choices: Any) -> None:
    row, view = read_message(message, answering)
    assert (row["question"], row.get("choices")) == (question, choices)
    assert view == answering.answer


def test_context_fixed_labels_and_free_answers(answering: Answering) -> None:
    nli = replace(answering, type="nli", labels=("yes", "no"), fields={"premise": True, "hypothesis": True})
    example = Example(
        "1", "Does it follow?", ("yes", "no"), "", {"premise": "A dog:\nit barks.", "hypothesis": "Loud."}
    )
    for view in (nli.answer, nli.explain):
        assert view is not None
        row, found = read_message(view.prompt(example), nli)
        assert (example_of(row, nli).text, found) == (example.text, view)
    assert example_of(read_message("Premise: A.\nHypothesis: B.\nDoes it?", nli)[0], nli).choices == ("yes", "no")
    free = replace(answering, type="free", fields={})
    assert read_message("Question: What is (a) or (b)?\nAnswer:", free)[0] == {"question": "What is (a) or (b)?"}


@pytest.mark.parametrize(
    "text",
    [
        "(a) x" + " " * 19_000 + "y\n(b) k",
        "\n" * 20_000 + "x",
        "(a) " * 5000,
        "a. x\nb. y\n" * 2000,
        "(a) x (b) y " * 1600,
        "x" + "\n" * 19_000 + "answer",
    ],
)
def test_no_message_takes_long_to_read(answering: Answering, text: str) -> None:
    began = time.process_time()
    read_message(text, answering)
    assert time.process_time() - began < 0.5
