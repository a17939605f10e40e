"""One endpoint teacher on several servers: who is asked what, and what becomes of servers that fail."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from endpoint_stub import Raw, chat, failure, server
from shrinklm.core.errors import BudgetError, TeacherError
from shrinklm.core.types import Completion, Sampling
from shrinklm.tasks.base import parse_answer
from shrinklm.teachers.base import TeacherOptions, make_teacher
from shrinklm.teachers.batch import BatchTeacher
from shrinklm.teachers.budget import Budget
from shrinklm.teachers.endpoint import EndpointTeacher
from shrinklm.teachers.endpoint.addresses import Addresses
from shrinklm.teachers.endpoint.pace import Limit, Pace
from shrinklm.teachers.endpoint.request import Request
from shrinklm.teachers.endpoint.same import difference, facts
from shrinklm.teachers.endpoint.servers import Server, Servers
from shrinklm.teachers.endpoint.wire import Wire
from shrinklm.teachers.generate import run_steps
from shrinklm.teachers.prompts import Prompts
from shrinklm.teachers.store import Store
from teacher_cases import asking, many, settings, step


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EndpointTeacher, "backoff", 0.01)
    monkeypatch.setattr("shrinklm.teachers.endpoint.servers.REST", 0.1)


def teacher(*urls: str, **options: Any) -> EndpointTeacher:
    return EndpointTeacher(f"{','.join(urls)}#small-model", TeacherOptions(**{"attempts": 3, **options}))


def ask(made: EndpointTeacher, count: int) -> list[Completion]:
    found = dict(made.complete([asking(f"why {i}?") for i in range(count)], Sampling()))
    assert sorted(found) == list(range(count))
    return [found[position] for position in range(count)]


def said(body: dict[str, Any]) -> str:
    return str(body["messages"][-1]["content"])


def echo(body: dict[str, Any], number: int) -> tuple[int, dict[str, Any]]:
    return chat(f"about {said(body)}")


def late(seconds: float) -> Any:
    return lambda body, number: Raw(echo(body, number)[1], seconds=seconds)


def questions(*asked: list[dict[str, Any]]) -> Counter[str]:
    return Counter(said(body) for each in asked for body in each)


@contextmanager
def mortal() -> Iterator[tuple[str, list[dict[str, Any]], Any]]:
    """A server with a function that kills it: its connections break, and nobody listens any more."""
    dead = threading.Event()
    with ExitStack() as stack:

        def answer(body: dict[str, Any], number: int) -> Any:
            time.sleep(0.005)
            return Raw(reset=True) if dead.is_set() else echo(body, number)

        url, asked = stack.enter_context(server(answer))

        def kill() -> None:
            dead.set()
            stack.close()

        yield url, asked, kill


def test_all_take_part_and_each_question_is_asked_once() -> None:
    with server(late(0.01)) as (a, at_a), server(late(0.01)) as (b, at_b), server(late(0.01)) as (c, at_c):
        found = ask(teacher(a, b, c), 60)
    assert [one.text for one in found] == [f"about why {i}?" for i in range(60)]
    assert set(questions(at_a, at_b, at_c).values()) == {1}
    assert min(len(at_a), len(at_b), len(at_c)) >= 8


def test_a_slow_one_is_dealt_less() -> None:
    with server(late(0.005)) as (a, at_a), server(late(0.3)) as (b, at_b):
        ask(teacher(a, b, batch=4), 80)
    assert len(at_a) + len(at_b) == 80
    assert 1 <= len(at_b) <= 20


def test_one_that_dies_in_the_middle_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    with mortal() as (a, at_a, kill), server(late(0.005)) as (b, at_b):
        found: dict[int, Completion] = {}
        for position, completion in teacher(a, b, batch=8).complete(
            [asking(f"why {i}?") for i in range(100)], Sampling()
        ):
            found[position] = completion
            if len(found) == 40:
                kill()
    assert [found[i].text for i in range(100)] == [f"about why {i}?" for i in range(100)]
    again = {text: count for text, count in questions(at_a, at_b).items() if count > 1}
    assert len(again) <= 8  # what was in flight
    assert set(again.values()) <= {2}
    (line,) = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert line.startswith(f"{a} is left out: ")


def test_one_that_is_down_at_first_joins_when_it_is_up(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with server(echo) as (gone, _):
        port = int(gone.split(":")[2].partition("/")[0])
    with server(late(0.01)) as (a, at_a), ExitStack() as stack:
        at_b: list[dict[str, Any]] = []
        count = 0
        for _ in teacher(a, gone, batch=2).complete([asking(f"why {i}?") for i in range(100)], Sampling()):
            count += 1
            if count == 20:
                _, at_b = stack.enter_context(server(late(0.01), port))
    assert count == 100
    assert len(at_b) >= 5
    assert set(questions(at_a, at_b).values()) == {1}  # a connection that was refused cost nobody a question
    assert [record.getMessage() for record in caplog.records if "again." in record.getMessage()] == [
        f"{gone} answers again."
    ]


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (429, {"Retry-After": "0.5"}),
        (200, {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "500ms"}),
    ],
)
def test_a_busy_one_is_paused_by_itself(status: int, headers: dict[str, str]) -> None:
    asked: list[tuple[str, float]] = []

    def answer(body: dict[str, Any], number: int) -> Any:
        asked.append(("a", time.monotonic()))
        said = failure(status) if number == 5 and status != 200 else echo(body, number)
        return Raw(said[1], said[0], headers if number == 5 else {}, seconds=0.01)

    def beside(body: dict[str, Any], number: int) -> Any:
        asked.append(("b", time.monotonic()))
        return Raw(echo(body, number)[1], seconds=0.01)

    with server(answer) as (a, at_a), server(beside) as (b, at_b):
        assert all(one.text for one in ask(teacher(a, b, batch=4), 50))
    assert len(at_a) + len(at_b) == (51 if status == 429 else 50)  # the one that was refused went elsewhere
    limited = [at for where, at in asked if where == "a"][4]
    meanwhile = Counter(where for where, at in asked if limited + 0.02 < at < limited + 0.45)
    assert meanwhile["a"] <= 4  # in flight already
    assert meanwhile["b"] >= 5


@pytest.mark.parametrize("answer", [failure(503), failure(500), Raw("<html>", 200, kind="text/html")])
def test_one_that_never_works_costs_no_question(answer: Any) -> None:
    with server(lambda body, number: answer) as (a, at_a), server(late(0.002)) as (b, _):
        found = ask(teacher(a, b), 60)
    assert not [one for one in found if one.refusal]
    assert len(at_a) < 20


def test_a_server_that_wants_to_be_left_alone_for_an_hour_does_not_end_the_run() -> None:
    with (
        server(lambda body, number: Raw(failure(429)[1], 429, {"Retry-After": "3600"})) as (a, at_a),
        server(echo) as (b, _),
    ):
        assert all(one.text for one in ask(teacher(a, b), 30))
    assert len(at_a) == 1


def test_all_dead_is_an_error_that_names_them() -> None:
    with server(echo) as (a, _), server(echo) as (b, _):
        pass
    with pytest.raises(TeacherError, match="No server answers at http") as error:
        ask(teacher(a, b), 5)
    assert a in str(error.value)
    assert b in str(error.value)


def test_all_that_die_in_the_middle_end_the_run_and_what_came_is_kept() -> None:
    with mortal() as (a, _, kill_a), mortal() as (b, _, kill_b):
        came: list[int] = []

        def run() -> None:
            for position, completion in teacher(a, b, attempts=2).complete(
                [asking(f"why {i}?") for i in range(150)], Sampling()
            ):
                if not completion.refusal:
                    came.append(position)
                if len(came) == 20:
                    kill_a()
                if len(came) == 40:
                    kill_b()

        with pytest.raises(TeacherError, match=r"cannot answer after 2 attempts.*The others: http") as error:
            run()
    assert 40 <= len(came) < 150
    assert "the same command goes on from there" in str(error.value)


def test_a_question_that_all_fail_at_is_given_up_and_nobody_is_left_out_for_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def answer(body: dict[str, Any], number: int) -> Any:
        return failure(500) if said(body) == "why 7?" else Raw(echo(body, number)[1], seconds=0.005)

    with server(answer) as (a, at_a), server(answer) as (b, at_b):
        found = ask(teacher(a, b, attempts=3), 80)
    assert [i for i, one in enumerate(found) if one.refusal] == [7]
    assert questions(at_a, at_b)["why 7?"] == 3
    assert not caplog.records


@pytest.mark.parametrize(
    ("here", "there", "what"),
    [
        ({"revision": "abc"}, {"revision": "abd"}, ("revision", "abc", "abd")),
        ({"root": "/data/snapshots/abc"}, {"root": "/mnt/snapshots/abd/"}, ("root", "abc", "abd")),
        ({"max_model_len": 4096}, {"max_model_len": 8192}, ("max_model_len", "4096", "8192")),
        ({"meta": {"size": 1, "n_params": 5}}, {"meta": {"size": 2, "n_params": 5}}, ("meta.size", "1", "2")),
        ({"id": "small-model"}, {"id": "other.gguf"}, ("id", "small-model", "other.gguf")),
    ],
)
def test_servers_of_different_models_are_refused_before_anything_is_asked(
    here: dict[str, Any], there: dict[str, Any], what: tuple[str, str, str]
) -> None:
    with server(echo, **here) as (a, at_a), server(echo, **there) as (b, at_b):
        with pytest.raises(TeacherError, match=r"does not serve what .* as 'small-model'") as error:
            ask(teacher(a, b), 5)
        ask(teacher(a), 1)  # alone it may be what it wants
    name, *values = what
    assert f"`{name}` is '" in str(error.value)
    assert all(f"'{value}'" in str(error.value) for value in values)
    assert (len(at_a), len(at_b)) == (1, 0)


def test_what_is_no_difference() -> None:
    entry = {"id": "m", "created": 5, "owned_by": "vllm", "root": "/a/Llama", "parent": None, "max_model_len": 9}
    same = {
        "id": "m",
        "created": 6,
        "owned_by": "sglang",
        "root": "/b/c/Llama/",
        "max_model_len": 9,
        "meta": {"size": 1},
    }
    assert difference(facts([entry], "m"), facts([same], "m")) == ""
    assert difference(facts([entry], "m"), facts([{"id": "m", "root": "m"}], "m")) == ""
    # Of several other names nobody knows which one answers.
    assert facts([{"id": "a"}, {"id": "b"}], "m") == {}
    assert facts([], "m") == facts([{"object": "model"}], "m") == {}
    assert facts([{"id": "m", "meta": ["x"], "root": 3, "revision": {}}], "m") == {"id": "m"}


def test_one_that_only_ever_is_busy_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    with server(lambda body, number: failure(503, "loading")) as (a, at_a), server(late(0.02)) as (b, _):
        made = teacher(a, b, batch=2)
        while not caplog.records and len(at_a) < 12:
            assert all(one.text for one in ask(made, 10))
    assert 6 <= len(at_a) <= 12
    assert "is left out: loading" in caplog.records[0].getMessage()


def test_what_hangs_at_one_that_is_left_out_holds_up_nobody() -> None:
    def opened(url: str) -> Server:
        return Server(Wire(url, "m", "", 1.0, 4, True), Request("m", None, {}), Pace(8))

    known = Servers(opened, "m", 3, 0.01, 0.2, Limit(None, None), None)
    a, b = known.follow(["http://a/v1", "http://b/v1"])
    a.answered = b.answered = True
    a.out, b.out = 7, 3
    assert (known.window, known.out) == (16, 10)
    assert known.leave_out(a, "it hangs")
    assert (known.window, known.out) == (8, 3)
    assert known.next((), 9) == (b, 0.0)
    assert not known.leave_out(b, "it hangs too")
    # An answer to what was under way when it was left out does not show that it is back.
    known.came(a, a.until - 1)
    assert a.until
    known.came(a, a.until)
    assert not a.until


def test_one_started_anew_with_another_model_is_not_asked(caplog: pytest.LogCaptureFixture) -> None:
    with ExitStack() as first, server(late(0.01), revision="abc") as (a, _), ExitStack() as second:
        b, _ = first.enter_context(server(late(0.01), revision="abc"))
        port = int(b.split(":")[2].partition("/")[0])
        made = teacher(a, b, batch=2)
        ask(made, 10)
        first.close()
        ask(made, 10)
        _, at_b = second.enter_context(server(echo, port, revision="abd"))
        time.sleep(0.2)
        assert all(one.text for one in ask(made, 30))
    assert at_b == []


def test_a_wrong_key_or_model_at_one_of_them_ends_the_run() -> None:
    for said, words in ((failure(401), "wants a key"), (failure(404), "answers 404")):
        with server(late(0.01)) as (a, _), server(partial(lambda reply, *_: reply, said)) as (b, _):
            with pytest.raises(TeacherError, match=words) as error:
                ask(teacher(a, b), 40)
            assert b in str(error.value)


def test_what_one_does_not_take_the_other_is_still_asked_for() -> None:
    def picky(body: dict[str, Any], number: int) -> Any:
        return failure(400, "Unknown parameter: seed", param="seed") if "seed" in body else late(0.01)(body, number)

    with server(picky) as (a, at_a), server(late(0.01)) as (b, at_b):
        found = ask(teacher(a, b), 40)
    assert {one.adapted for one in found} == {(), ("no seed",)}
    assert all("seed" in body for body in at_b)
    assert sum("seed" in body for body in at_a) == 1


def test_the_budget_is_one() -> None:
    price = {"input": 0.0, "output": 1_000_000 / 512}  # at most a dollar a question
    with server(late(0.005)) as (a, at_a), server(late(0.005)) as (b, at_b):
        made = teacher(a, b, price=price)
        made.budget = Budget(2.0)
        with pytest.raises(BudgetError, match=r"could pass the budget of \$2"):
            ask(made, 5000)
    asked = len(at_a) + len(at_b)
    assert made.budget.spent == pytest.approx(asked * 7 / 512)
    assert 1.0 < made.budget.spent <= 2.0
    assert min(len(at_a), len(at_b)) > 10


def test_what_a_dying_server_may_have_been_paid_for_counts() -> None:
    with mortal() as (a, at_a, kill), server(late(0.005)) as (b, at_b):
        made = teacher(a, b, batch=4, price={"input": 0.0, "output": 1.0})
        made.budget = Budget(1000.0)
        found: dict[int, Completion] = {}
        for position, one in made.complete([asking(f"why {i}?") for i in range(60)], Sampling(max_tokens=100)):
            found[position] = one
            if len(found) == 20:
                kill()
    lost = sum(one.uncounted[1] for one in found.values())
    again = sum(questions(at_a, at_b).values()) - 60
    # What was asked twice has its cap beside what came, with the answer that came from the other server.
    assert lost == pytest.approx(100 * again, abs=again)
    assert made.budget.spent == pytest.approx((60 * 7 + lost) / 1e6)
    assert not made.budget.out


def test_the_limit_of_the_recipe_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shrinklm.teachers.endpoint.pace.MINUTE", 0.4)
    with server(echo) as (a, at_a), server(echo) as (b, at_b):
        began = time.monotonic()
        ask(teacher(a, b, requests_a_minute=10), 25)
        took = time.monotonic() - began
    assert took >= 0.8
    assert at_a
    assert at_b


def test_the_last_questions_wait_for_the_quick_one() -> None:
    def opened(url: str) -> Server:
        return Server(Wire(url, "m", "", 1.0, 4, True), Request("m", None, {}), Pace(8))

    known = Servers(opened, "m", 3, 0.01, 0.2, Limit(None, None), None)
    quick, slow = known.follow(["http://a/v1", "http://b/v1"])
    quick.answered = slow.answered = True
    quick.pace.answered(1.0)
    slow.pace.answered(10.0)
    quick.out = 8  # all that it bears: 8 answers a second
    assert known.next((), 200) == (slow, 0.0)
    server, wait = known.next((), 50)
    assert server is None
    assert wait == float("inf")  # until an answer comes
    assert known.next({quick}, 1) == (slow, 0.0)  # the quick one has failed at it
    quick.pace.pause(60)
    assert known.next((), 50) == (slow, 0.0)
    assert known.leave_out(quick, "it died")
    assert known.next((), 1) == (slow, 0.0)


def test_texts_do_not_depend_on_the_servers(tmp_path: Path) -> None:
    def generate(made: EndpointTeacher) -> Any:
        with Store(tmp_path / "g.db") as store:
            return run_steps(many(12), [step("explanation")], made, Prompts("choice"), store, settings(), parse_answer)

    text = "People keep their money in a bank because it is safe there."
    with server(lambda body, number: chat(text)) as (a, at_a), server(lambda body, number: chat(text)) as (b, at_b):
        assert generate(teacher(a, b)).steps["explanation"].kept == 12
        generate(teacher(b))
        (tmp_path / "list").write_text(f"{a}\n")
        generate(EndpointTeacher(f"@{tmp_path / 'list'}#small-model", TeacherOptions()))
    assert len(at_a) + len(at_b) == 12


def test_servers_that_come_and_go_stand_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shrinklm.teachers.endpoint.session.LOOK", 0.05)
    listed = tmp_path / "servers.txt"
    made = EndpointTeacher("@servers.txt#small-model", TeacherOptions(root=tmp_path, batch=2))
    with pytest.raises(TeacherError, match=r"servers.txt cannot be read.*one server into each line"):
        ask(made, 1)
    listed.write_text("# none yet\n\n")
    with pytest.raises(TeacherError, match="names none"):
        ask(made, 1)
    with server(late(0.01)) as (a, at_a), server(late(0.01)) as (b, at_b):
        listed.write_text(f"# of this job\n{a}  # node 1\n")
        count, then = 0, 0
        for _ in made.complete([asking(f"why {i}?") for i in range(110)], Sampling()):
            count += 1
            if count == 20:
                listed.write_text(f"{a}\n{b}\n")
            if count == 60:
                listed.write_text("")  # as a file is for a moment that is written anew
            if count == 70:
                listed.write_text(f"{b}\n")
            if count == 95:
                then = len(at_a)
        assert count == 110
        assert len(at_b) >= 20
        assert len(at_a) == then


def test_a_file_that_is_wrong_for_a_while_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    listed = tmp_path / "servers.txt"
    addresses = Addresses("@servers.txt", "endpoint", "m", tmp_path)
    assert addresses.known == ()
    for text in ("node7\n", "http://a/v1\nhttp://a/v1/\n", "http://me:pass@a/v1\n"):
        listed.write_text(text)
        with pytest.raises(TeacherError):
            addresses.read()
    listed.write_text("http://b/v1,http://a/v1,\n")
    assert addresses.read() == ("http://b/v1", "http://a/v1")
    for text in ("http://a/v1\nhttp://b/v1", "node7\n", "", "\n# none\n", "http://a/v1\nhttp://a/v1\n"):
        listed.write_text(text)
        assert addresses.read() == ("http://a/v1", "http://b/v1")
        assert addresses.read() == ("http://a/v1", "http://b/v1")
    assert ["node7" in record.getMessage() for record in caplog.records] == [True, False]  # each told once
    listed.unlink()
    assert addresses.read() == ("http://a/v1", "http://b/v1")


def test_addresses() -> None:
    made = make_teacher("endpoint:http://a:8000/v1, https://b/v1,x/,http://c/v1#org/model")
    assert isinstance(made, EndpointTeacher)
    assert made.addresses.read() == ("http://a:8000/v1", "https://b/v1,x", "http://c/v1")
    assert (made.name, made.revision) == ("org/model", "")
    folded = EndpointTeacher("http://a:8000/v1,\n  http://b:8000/v1,#m", TeacherOptions())  # as YAML may fold it
    assert folded.addresses.read() == ("http://a:8000/v1", "http://b:8000/v1")
    for rest, words in (
        ("http://a/v1,http://a/v1/#m", "http://a/v1 is named twice"),
        ("http://a/v1#m,http://b/v1#m", "names a model more than once"),
        ("http://a/v1,ftp://b/v1#m", None),
        ("http://a/v1,http://me:pass@b/v1#m", "must not hold a password"),
        ("@servers.txt", "names no model"),
        ("http://a/v1 http://b/v1#m", "is not the address of a server"),
        ("http://[::1#m", "is not the address of a server"),
        ("http://HOST:PORT/v1#m", "is not the address of a server"),
        ("http://a:99999/v1#m", "is not the address of a server"),
        ("ftp://me:pass@b/v1#m", "must not hold a password"),
        ("me:pass@b/v1#m", "must not hold a password"),
        ("http://me:pass@b/v 1#m", "must not hold a password"),
        ("b/v1?api_key=sk-0123456789abcdef0123#m", "must not hold a password or a key"),
    ):
        if words is None:  # a comma may stand in an address
            assert EndpointTeacher(rest, TeacherOptions()).addresses.read() == ("http://a/v1,ftp://b/v1",)
            continue
        with pytest.raises(TeacherError, match=words):
            EndpointTeacher(rest, TeacherOptions())
    for rest in ("http://a/v1,http://b/v1#m", "@servers.txt#m"):
        with pytest.raises(TeacherError, match="a batch is ordered from one"):
            BatchTeacher(rest, TeacherOptions())


def test_the_price_of_several_is_the_dearest_ones() -> None:
    openai = "https://api.openai.com/v1"
    alone = EndpointTeacher(f"{openai}#gpt-4o-mini", TeacherOptions()).price
    assert alone is not None
    assert EndpointTeacher(f"http://127.0.0.1:8000/v1,{openai}#gpt-4o-mini", TeacherOptions()).price == alone
    assert EndpointTeacher(f"{openai},https://example.com/v1#gpt-4o-mini", TeacherOptions()).price is None
    assert EndpointTeacher("http://a:8000/v1,http://b:8000/v1#gpt-4o-mini", TeacherOptions()).price is None


def test_each_public_server_needs_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    made = teacher("http://127.0.0.1:1/v1", "https://example.com/v1", api_key_env="MY_KEY")
    with pytest.raises(TeacherError, match=r"https://example.com/v1 .*MY_KEY"):
        made.check_access(["explanation"])
