"""A trained student behind an address: its answers, OpenAI's clients, limits, keys, figures, and a stop that loses
nothing."""

from __future__ import annotations

import json
import random
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import pytest

from serving import Running
from shrinklm import Example, Run
from shrinklm.core.errors import StudentError
from shrinklm.deploy.cascade import Cascade
from shrinklm.deploy.server.limits import Keys
from shrinklm.deploy.student import Answer, By, TrainedStudent

ASKED = {"question": "Where do fish swim?", "choices": ["in the sea", "in the sky"]}

WAYS = [("text", True), ("text", False), ("likelihood", True)]


@pytest.fixture(scope="module")
def served(deployed: Run) -> Iterator[Running]:
    running = Running(deployed.student("multitask"))
    yield running
    running.close()


def body_of(example: Example) -> dict[str, Any]:
    return {"id": example.id, "question": example.question, "choices": list(example.choices), **example.fields}


@pytest.mark.parametrize("method", ["multitask", "explain-then-answer"])
def test_answers_are_those_of_predict_one_at_a_time(deployed: Run, method: str) -> None:
    student = deployed.student(method)
    ways = [("text", True)] if student.answering.answer.says[0] == "explanation" else WAYS
    questions = deployed.splits["test"] if ways is WAYS else deployed.splits["test"][:3]
    alone = {(e.id, by, explain): student.predict([e], explain, by)[0] for e in questions for by, explain in ways}
    asked = [(e, *way) for e in questions for way in ways]
    # A long option gives its own question room, and no other one.
    long = Example("long", "Which?", ("a " * 40 + "c", "b"), "")
    alone[long.id, "text", True] = student.predict([long])[0]
    asked.append((long, "text", True))
    random.Random(3).shuffle(asked)
    running = Running(student)
    try:
        with ThreadPoolExecutor(16) as pool:
            replies = list(
                pool.map(lambda one: running.ask(**body_of(one[0]), by=one[1], explain=one[2]).json(), asked)
            )
        assert running.server.metrics.total("shrinklm_questions_total") == len(asked)
        metrics = running.client.get("/metrics").text
    finally:
        running.close()
    for (example, by, explain), reply in zip(asked, replies, strict=True):
        one = alone[example.id, by, explain]
        found = (reply["id"], reply["answer"], reply["explanation"], reply["raw"], reply["why"], reply["supported"])
        assert found == (example.id, one.answer, one.explanation, one.raw, one.why, one.supported)
        assert reply["probabilities"] == pytest.approx(dict(one.probabilities), abs=1e-4)
        assert reply["cell"] == student.name
        assert reply["escalated"] is False
    batches = int(re.search(r"^shrinklm_batch_questions_count (\d+)$", metrics, re.MULTILINE)[1])  # type: ignore[index]
    assert batches < len(asked), "questions of the moment share a pass"


def test_several_questions_in_one_request(served: Running, deployed: Run) -> None:
    questions = deployed.splits["test"][:3]
    reply = served.ask(questions=[body_of(example) for example in questions], explain=False).json()
    alone = deployed.student("multitask").predict(questions, explain=False)
    assert [one["id"] for one in reply["answers"]] == [example.id for example in questions]
    assert [one["raw"] for one in reply["answers"]] == [one.raw for one in alone]
    assert [one["explanation"] for one in reply["answers"]] == [None] * 3
    assert reply["ms"] > 0


def test_the_words_that_mattered(served: Running) -> None:
    words = served.ask(**ASKED, words=True, by="likelihood").json()["words"]
    assert words["text"].startswith("Question: Where do fish swim?")
    assert words["answer"] in ASKED["choices"]
    assert [one["word"] for one in words["marked"]][:4] == ["Where", "do", "fish", "swim"]
    assert all(words["text"][one["start"] : one["end"]] == one["word"] for one in words["marked"])
    assert sum(one["share"] for one in words["marked"]) == pytest.approx(1, abs=1e-3)
    assert served.ask(**ASKED, explain=False).json()["words"] is None


BAD: list[tuple[Any, int, str]] = [
    (b"[", 400, "The body is no JSON"),
    (b"\xff{}", 400, "The body is no JSON"),
    (b"", 400, "The body is no JSON"),
    (b'{"question": NaN}', 400, "NaN is no number of JSON"),
    (b'{"question": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400, "nested too deeply"),
    (b'{"question": "a", "id": ' + b"9" * 5000 + b"}", 400, "The body is no JSON"),
    ([1], 400, "must be a JSON object, not a list"),
    ("text", 400, "must be a JSON object, not a text"),
    (None, 400, "must be a JSON object, not null"),
    ({}, 400, "'question' is missing"),
    ({"question": 5, "choices": ["a", "b"]}, 400, "'question' must be a text; found 5"),
    ({"question": ["a"], "choices": ["a", "b"]}, 400, "'question' must be a text; found a list"),
    ({"question": " \n", "choices": ["a", "b"]}, 400, "'question' has an empty text"),
    ({"question": "\ud800", "choices": ["a", "b"]}, 400, "lone surrogate"),
    ({"question": "Who?"}, 400, "has no `choices`"),
    ({"question": "Who?", "choices": []}, 400, "has no `choices`"),
    ({"question": "Who?", "choices": ["a"]}, 400, "two or more different options, found: a"),
    ({"question": "Who?", "choices": ["a", "a"]}, 400, "two or more different options"),
    ({"question": "Who?", "choices": ["a", None]}, 400, "a list of texts; found null"),
    ({"question": "Who?", "choices": ["a", ["b"]]}, 400, "a list of texts; found a list"),
    ({"question": "Who?", "choices": ["a", True]}, 400, "a list of texts; found true"),
    ({"question": "Who?", "choices": ["a", " "]}, 400, "empty text"),
    ({"question": "Who?", "choices": "a, b"}, 400, "must be a list of texts"),
    ({"question": "Who?", "choices": {"A": "a", "B": "b"}}, 400, "must be a list of texts, not an object"),
    ({"question": "Who?", "choices": [str(n) for n in range(70)]}, 400, "has 70 options; this server takes 64"),
    ({"question": "Who? " * 5000, "choices": ["a", "b"]}, 413, "this server takes 20,000"),
    ({**ASKED, "premise": "x"}, 400, 'there is no field "premise". Known: question, choices, id'),
    ({**ASKED, "by": "teacher"}, 400, '\'by\' must be "text" or "likelihood", not "teacher"'),
    ({**ASKED, "by": ["text"]}, 400, "not a list"),
    ({**ASKED, "explain": "no"}, 400, "'explain' must be true or false"),
    ({**ASKED, "id": 1.5}, 400, "'id' must be a text or a whole number, not 1.5"),
    ({**ASKED, "id": True}, 400, "'id' must be"),
    ({"questions": []}, 400, "with at least one question, not an empty one"),
    ({"questions": "Who?"}, 400, "must be a list"),
    ({"questions": [ASKED] * 300}, 413, "300 questions; this server takes 256"),
    ({"questions": [ASKED, 3]}, 400, "Question 2: expected a text or an object, found a number"),
    ({"questions": [ASKED, {"choices": ["a", "b"]}]}, 400, "Question 2: 'question' is missing"),
    ({"questions": [ASKED], "question": "Who?"}, 400, "Beside 'questions' there is no field"),
]


@pytest.mark.parametrize(("body", "status", "says"), BAD)
def test_a_bad_request_is_told_what_is_wrong(served: Running, body: Any, status: int, says: str) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = served.client.post("/v1/answer", content=raw, headers={"content-type": "application/json"})
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/json; charset=utf-8")
    error = reply.json()["error"]
    assert says in error["message"]
    assert error["type"] == "invalid_request_error"
    assert "Traceback" not in reply.text
    assert served.ask(**ASKED, explain=False).status_code == 200


def test_what_is_not_there(served: Running) -> None:
    client = served.client
    assert client.post("/v1/answer", data={"question": "Who?"}).status_code == 415
    assert client.post("/v1/answer", content=b"{}").status_code == 415
    reply = client.get("/v1/answer")
    assert (reply.status_code, reply.headers["allow"]) == (405, "POST")
    assert reply.json()["error"]["message"] == "/v1/answer takes POST, not GET."
    assert client.get("/v1/answers").json()["error"]["code"] == "not_found"
    assert client.get("/static/../app.py").status_code == 404
    packed = {"content-type": "application/json", "content-encoding": "gzip"}
    assert client.post("/v1/answer", content=b"hello", headers=packed).status_code == 415
    large = client.post("/v1/answer", content=b" " * (1 << 21), headers={"content-type": "application/json"})
    assert large.status_code == 413
    assert "more than 1,048,576 bytes" in large.json()["error"]["message"]


@pytest.mark.parametrize(
    "raw",
    [
        "garbage\r\n\r\n",
        "SECRET /v1/answer HTTP/1.1\r\nHost: x\r\n\r\n",
        f"POST /v1/answer HTTP/1.1\r\nHost: x\r\nAuthorization: SECRET {'a' * 20_000}\r\n\r\n",
        "POST /v1/answer HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nSECRET",
        "POST /v1/answer HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nSECRET",
    ],
)
def test_what_is_no_http_is_refused_and_not_logged(
    served: Running, raw: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_connection(("127.0.0.1", int(served.url.rpartition(":")[2]))) as stranger:
        stranger.sendall(raw.encode())
        assert re.match(rb"HTTP/1.[01] 4\d\d ", stranger.recv(4096))
    assert caplog.text == "".join(capfd.readouterr()) == ""
    assert served.client.get("/health").status_code == 200


def test_keys_open_the_server(deployed: Run) -> None:
    running = Running(deployed.student("multitask"), keys=" first-secret , sécond,")
    try:
        for header in ("", "Bearer", "Bearer wrong", "Basic first-secret", "first-secret", "Bearer first-secret,"):
            reply = running.client.post("/v1/answer", json=ASKED, headers={"authorization": header})
            assert reply.status_code == 401, header
            assert reply.headers["www-authenticate"] == "Bearer"
            assert "secret" not in reply.text
        assert running.client.get("/v1/models").status_code == 401
        assert running.client.get("/metrics").status_code == 401
        assert [running.client.get(path).status_code for path in ("/", "/health", "/ready")] == [200] * 3
        for key in ("first-secret", "sécond"):
            head = {"authorization": f"bearer {key}".encode()}
            assert running.client.post("/v1/answer", json=ASKED, headers=head).status_code == 200
    finally:
        running.close()


def test_a_variable_without_a_key_is_no_open_door() -> None:
    assert Keys("").open("")
    with pytest.raises(StudentError, match="SHRINKLM_API_KEYS is set and holds no key"):
        Keys(" , ")


class Gate(TrainedStudent):
    """Answers as a student does, once it is opened."""

    def __init__(self, trained: TrainedStudent) -> None:
        super().__init__(trained.student, trained.answering, trained.folder)
        self.open = threading.Event()
        self.asked: list[list[str]] = []

    def predict(self, questions: Any, explain: bool = True, by: By = "text", batch: int = 32) -> list[Answer]:
        self.asked.append([example.question for example in questions])
        assert self.open.wait(30)
        if any("poison" in example.question for example in questions):
            raise RuntimeError("memory does not suffice")
        return super().predict(questions, explain, by, batch)

    def wait(self, batches: int) -> None:
        for _ in range(1000):
            if len(self.asked) >= batches:
                return
            time.sleep(0.01)
        raise AssertionError(self.asked)


@pytest.fixture
def gate(deployed: Run) -> Gate:
    return Gate(deployed.student("finetune"))


def test_a_full_queue_says_when_to_come_again(gate: Gate) -> None:
    running = Running(gate, queue=2, batch=1)
    try:
        with ThreadPoolExecutor(3) as pool:
            first = pool.submit(running.ask, **ASKED)
            gate.wait(1)
            waiting = [pool.submit(running.ask, **ASKED) for _ in range(2)]
            while running.server._worker.waiting < 2:
                time.sleep(0.01)
            reply = running.ask(**ASKED)
            assert reply.status_code == 429
            assert int(reply.headers["retry-after"]) >= 1
            assert reply.json()["error"]["type"] == "rate_limit_error"
            assert running.ask(questions=[ASKED] * 3).status_code == 413, "what can never have room is not put off"
            gate.open.set()
            assert [one.result().status_code for one in (first, *waiting)] == [200] * 3
    finally:
        running.close()


def test_what_takes_too_long_ends_with_a_sentence(gate: Gate) -> None:
    running = Running(gate, timeout=0.2, batch=1)
    try:
        with ThreadPoolExecutor(2) as pool:
            replies = [pool.submit(running.ask, **ASKED | {"question": f"Who is {name}?"}) for name in "ab"]
            assert [one.result().status_code for one in replies] == [504] * 2
        assert "no answer within 0.2 s" in replies[0].result().json()["error"]["message"]
        gate.open.set()
    finally:
        running.close()
    assert len(gate.asked) == 1, "nobody waits for the second any more"


def test_nothing_is_computed_for_a_client_that_has_gone(gate: Gate) -> None:
    running = Running(gate, batch=1)
    try:
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(running.ask, **ASKED)
            gate.wait(1)
            with pytest.raises(httpx.ReadTimeout):
                running.client.post("/v1/answer", json=ASKED | {"question": "Gone?"}, timeout=0.1)
            while running.server._live > 1:
                time.sleep(0.01)
            gate.open.set()
            assert first.result().status_code == 200
    finally:
        running.close()
    assert gate.asked == [[ASKED["question"]]]


def test_one_question_does_not_take_its_company_with_it(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    running = Running(gate, window=0.2)
    gate.open.set()
    try:
        questions = ["Who?", "poison?", "Where?"]
        with ThreadPoolExecutor(3) as pool:
            replies = list(pool.map(lambda text: running.ask(**ASKED | {"question": text}), questions))
    finally:
        running.close()
    assert [reply.status_code for reply in replies] == [200, 500, 200]
    assert "memory" not in replies[1].text
    assert "its log says why" in replies[1].json()["error"]["message"]
    assert "memory does not suffice" in caplog.text


class Unsure(Cascade):
    """What is not surer than a coin goes to a teacher that takes its time."""

    def __init__(self, trained: TrainedStudent) -> None:
        super().__init__(trained, 0.5, "likelihood")
        self.open, self.asked = threading.Event(), 0

    def answer(self, questions: Any, answers: Any, explain: bool = True) -> list[Answer]:
        assert self.open.wait(30)
        self.asked += len(questions)
        return [replace(answer, answer="in a tree", by="teacher", confidence=None) for answer in answers]


def test_nobody_waits_for_the_teacher_of_somebody_else(deployed: Run) -> None:
    unsure = Unsure(deployed.student("finetune"))
    running = Running(unsure, batch=1)
    many = ASKED | {"choices": [f"in house {number}" for number in range(9)]}
    how = {"explain": False, "words": True}
    try:
        with ThreadPoolExecutor(2) as pool:
            passed = [pool.submit(running.ask, **many, **how) for _ in range(2)]
            sure = running.ask(**ASKED, **how).json()
            assert (sure["escalated"], sure["confidence"] > 0.5) == (False, True)
            assert not any(one.done() for one in passed)
            running.stop()
            unsure.open.set()
            told = [one.result().json() for one in passed]
        assert [(one["answer"], one["escalated"], one["words"]) for one in told] == [("in a tree", True, None)] * 2
        assert sure["words"]
        assert unsure.asked == running.server.metrics.total("shrinklm_escalations_total") == 2
    finally:
        unsure.open.set()
        running.close()


def test_what_is_withheld_says_so(deployed: Run) -> None:
    running = Running(Cascade(deployed.student("finetune"), None, "likelihood"))
    try:
        reply = running.ask(**ASKED).json()
        assert (reply["answer"], reply["escalated"]) == (None, False)
        assert reply["why"].startswith("abstained")
        assert "threshold of this cascade" in running.ask(**ASKED, by="text").json()["error"]["message"]
        assert 'name="by"' not in running.client.get("/").text
        assert list(reply["probabilities"]) == ASKED["choices"]
        message = running.chat("Where do fish swim?\nA. in the sea\nB. in the sky").json()["choices"][0]["message"]
        assert (message["content"], message["refusal"]) == ("", reply["why"])
    finally:
        running.close()


def test_a_stop_answers_what_was_taken_and_refuses_what_comes(gate: Gate) -> None:
    running = Running(gate, batch=1)
    with ThreadPoolExecutor(4) as pool:
        taken = [pool.submit(running.ask, **ASKED) for _ in range(3)]
        while running.server._live < 3:
            time.sleep(0.01)
        running.stop()
        late = running.ask(**ASKED)
        assert late.status_code == 503
        assert late.headers["retry-after"] == "5"
        assert "stopping" in late.json()["error"]["message"]
        assert running.client.get("/health").json()["status"] == "stopping"
        assert running.client.get("/ready").status_code == 503
        gate.open.set()
        assert [one.result().status_code for one in taken] == [200] * 3
    running.thread.join(20)
    with pytest.raises(httpx.TransportError):
        running.client.get("/health")
    running.close()


def test_a_second_stop_ends_at_once(gate: Gate) -> None:
    running = Running(gate)
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(running.ask, **ASKED)
        gate.wait(1)
        running.stop()
        running.stop()
        running.thread.join(20)
        assert not running.thread.is_alive()
        with pytest.raises(httpx.TransportError):
            taken.result()
    gate.open.set()
    running.close()


def test_a_body_that_does_not_come(deployed: Run) -> None:
    running = Running(deployed.student("finetune"), reading=0.1)
    try:
        with socket.create_connection(("127.0.0.1", int(running.url.rpartition(":")[2]))) as slow:
            head = (
                "POST /v1/answer HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{"
            )
            slow.sendall(head.encode())
            assert slow.recv(4096).startswith(b"HTTP/1.1 408")
    finally:
        running.close()


LINE = re.compile(r"^(# (HELP|TYPE) \w+ .+|\w+(\{\w+=\"[^\"]*\"(,\w+=\"[^\"]*\")*\})? [0-9.e+-]+)$")


def test_figures_for_prometheus(served: Running) -> None:
    before = served.server.metrics.total("shrinklm_requests_total")
    served.ask(**ASKED)
    served.client.get("/nowhere")
    reply = served.client.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = reply.text.splitlines()
    assert [line for line in lines if not LINE.match(line)] == []
    values = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}
    assert sum(value for name, value in values.items() if name.startswith("shrinklm_requests_total")) == before + 2
    route = 'route="/v1/answer"'
    name = f"shrinklm_request_seconds_bucket{{{route}"
    buckets = [value for line, value in values.items() if line.startswith(name)]
    assert buckets == sorted(buckets)
    assert buckets[-1] == values[f"shrinklm_request_seconds_count{{{route}}}"]
    assert values['shrinklm_requests_total{route="other",status="404"}'] >= 1
    assert values["shrinklm_queue_questions"] == 0


def test_headers_keep_the_page_to_itself(served: Running) -> None:
    reply = served.client.get("/")
    assert reply.headers["content-security-policy"].startswith("default-src 'none'")
    assert "unsafe" not in reply.headers["content-security-policy"]
    assert "Python" not in reply.headers["server"]
    assert not re.search(r"\son\w+=|style=|https?://", reply.text)
    assert served.client.get("/page.js").headers["content-type"].startswith("text/javascript")
    assert served.client.get("/page.css").headers["content-type"].startswith("text/css")
