"""Texts ordered by the file: what comes back days later, in part, in any order, or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from batch_stub import GOOD, BatchStub, batch_server
from cli_cases import call, recipe
from endpoint_stub import Raw, chat, failure, server
from shrinklm.cli.app import PENDING
from shrinklm.core.errors import Pending, TeacherError
from shrinklm.core.types import Generation, Sampling
from shrinklm.tasks.base import parse_answer
from shrinklm.teachers.base import FAILED, FILTERED, TeacherOptions
from shrinklm.teachers.batch import BatchTeacher
from shrinklm.teachers.batch.orders import Orders
from shrinklm.teachers.endpoint import EndpointTeacher
from shrinklm.teachers.generate import Report, run_steps
from shrinklm.teachers.judge import ask_judge
from shrinklm.teachers.prompts import Prompts
from shrinklm.teachers.store import Store
from teacher_cases import asking, many, settings, step


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EndpointTeacher, "backoff", 0.001)


def teacher(url: str, **options: Any) -> BatchTeacher:
    return BatchTeacher(f"{url}#small-model", TeacherOptions(**{"attempts": 3, **options}))


def command(
    stub: BatchStub, path: Path, questions: int, steps: tuple[str, ...] = ("explanation",), **options: Any
) -> Report:
    """What one command does: a teacher, and a store, of its own."""
    retries = options.pop("retries", 1)
    asked = [step(name) for name in steps]
    with Store(path / "g.db") as store:
        return run_steps(
            many(questions),
            asked,
            teacher(stub.url, **options),
            Prompts("choice"),
            store,
            settings(retries=retries),
            parse_answer,
        )


def stored(path: Path) -> list[Generation]:
    with Store(path / "g.db") as store:
        return list(store)


def test_ordered_today_and_read_days_later(tmp_path: Path) -> None:
    with batch_server(tmp_path / "server") as stub:
        first = command(stub, tmp_path, 5)
        second = command(stub, tmp_path, 5)
        assert len(stub.batches) == 1
        stub.finish()
    with batch_server(tmp_path / "server") as stub:  # the same state under another address
        assert stub.batches[0]["status"] == "completed"
    assert [report.steps["explanation"].awaited for report in (first, second)] == [5, 5]
    assert first.awaited[0].startswith("Ordered 5 texts of 'small-model' from http://127.0.0.1")
    assert second.awaited == [
        "The batch is not done: 0 of 5 texts (in_progress). Type the same command later: it goes on from here."
    ]


def test_what_came_is_kept_with_its_batch_and_costs_half(tmp_path: Path) -> None:
    with batch_server(tmp_path / "server") as stub:
        command(stub, tmp_path, 5)
        stub.finish()
        report = command(stub, tmp_path, 5)
        again = command(stub, tmp_path, 5)
    assert (report.awaited, report.steps["explanation"].kept) == ([], 5)
    assert (again.steps["explanation"].asked, again.steps["explanation"].found) == (0, 5)
    assert {(one.text, one.source.batch, one.source.tokens_out) for one in stored(tmp_path)} == {(GOOD, "batch_001", 7)}
    assert set(stub.paid.values()) == {1}
    known = {name: EndpointTeacher("https://api.openai.com/v1#gpt-4o-mini", TeacherOptions()).price for name in "a"}
    half = BatchTeacher("https://api.openai.com/v1#gpt-4o-mini", TeacherOptions()).price
    assert known["a"] is not None
    assert half == {name: value / 2 for name, value in known["a"].items()}


def test_a_store_filled_one_by_one_serves_the_batch_and_the_other_way_round(tmp_path: Path) -> None:
    with server(lambda body, number: chat(GOOD)) as (url, asked), batch_server(tmp_path / "server") as stub:
        one_by_one = EndpointTeacher(f"{url}#small-model", TeacherOptions())
        arguments = ([step("explanation")], Prompts("choice"), settings(retries=0))

        def run(made: EndpointTeacher, questions: int) -> Report:
            steps, prompts, how = arguments
            with Store(tmp_path / "g.db") as store:
                return run_steps(many(questions), steps, made, prompts, store, how, parse_answer)

        run(one_by_one, 3)
        run(teacher(stub.url), 5)
        stub.finish()
        run(teacher(stub.url), 5)
        report = run(one_by_one, 5)
    assert (len(stub.paid), len(asked), report.steps["explanation"].found) == (2, 3, 5)


def test_steps_follow_as_soon_as_what_they_build_on_has_come(tmp_path: Path) -> None:
    steps = ("explanation", "critique", "revision", "counterfactual")
    with batch_server(tmp_path / "server") as stub:
        report, sizes = command(stub, tmp_path, 4, steps), []
        while report.awaited:
            sizes.append([len(stub.lines(batch)) for batch in stub.batches][len(sizes) :])
            stub.finish()
            report = command(stub, tmp_path, 4, steps)
    assert sizes == [[12], [4], [4]]  # explanations of every option, critiques, revisions
    assert [report.steps[name].asked + report.steps[name].found for name in steps] == [4, 4, 4, 8]
    assert set(stub.paid.values()) == {1}


def test_one_teacher_answers_later_and_another_at_once(tmp_path: Path) -> None:
    with server(lambda body, number: chat(GOOD)) as (url, asked), batch_server(tmp_path / "server") as stub:
        critic = EndpointTeacher(f"{url}#critic", TeacherOptions())

        def run() -> Report:
            steps, others = [step("explanation"), step("revision")], {"critique": (critic, settings())}
            with Store(tmp_path / "g.db") as store:
                how = (Prompts("choice"), store, settings(), parse_answer)
                return run_steps(many(4), steps, teacher(stub.url), *how, others=others)

        run()
        assert not asked
        stub.finish("expired", only=3)
        report = run()
        assert len(asked) == 3
        assert [len(stub.lines(batch)) for batch in stub.batches] == [4, 4]  # an explanation, and three revisions
        while report.awaited:
            stub.finish()
            report = run()
    assert [report.steps[name].kept for name in ("explanation", "critique", "revision")] == [4, 4, 4]
    assert (len(asked), set(stub.paid.values())) == (4, {1})


def test_expired_with_a_part_of_the_answers(tmp_path: Path) -> None:
    with batch_server(tmp_path / "server") as stub:
        command(stub, tmp_path, 6)
        stub.finish("expired", only=4)
        half = command(stub, tmp_path, 6)
        assert (half.steps["explanation"].asked, half.steps["explanation"].awaited) == (4, 2)
        assert [len(stub.lines(batch)) for batch in stub.batches] == [6, 2]
        stub.finish()
        assert command(stub, tmp_path, 6).steps["explanation"].kept == 6
    assert (len(stub.paid), set(stub.paid.values())) == (6, {1})


def number_of(body: dict[str, Any]) -> int:
    return int(str(body["messages"][-1]).split("number ")[1].split("?")[0])


def test_lines_that_fail_each_in_its_own_way(tmp_path: Path) -> None:
    bad = {
        0: failure(400, "flagged by the content filter", code="content_filter"),
        1: failure(400, "maximum context length is 100 tokens"),
        2: failure(500, "server error"),
        3: failure(429, "rate limit"),
        4: (200, "<html><title>Bad gateway</title></html>"),
        5: b'{"id": "l", "custom_id": "CUSTOM", "response": {"status_code": 200, "bo',
        6: None,
        7: failure(400, "Bad request"),
        9: b'{"custom_id": "CUSTOM", "response": null, "error": {"code": "server_error", "message": "sorry"}}',
        8: chat(None, refusal="I cannot."),
    }
    seen: set[int] = set()

    def answer(body: dict[str, Any]) -> Any:
        number = number_of(body)
        if number in (2, 3, 4, 5, 6, 9) and number in seen:
            return chat(GOOD)
        seen.add(number)
        return bad.get(number, chat(GOOD))

    with batch_server(tmp_path / "server", answer=answer) as stub:
        command(stub, tmp_path, 40)
        stub.finish()
        part = command(stub, tmp_path, 40)
        assert part.steps["explanation"].awaited == 6
        assert len(stub.lines(stub.batches[1])) == 6
        stub.finish()
        report = command(stub, tmp_path, 40)
    assert report.awaited == []
    assert report.steps["explanation"].refused == {FILTERED: 2, "the prompt does not fit": 1, FAILED: 1}
    assert report.steps["explanation"].kept == 36


def test_duplicate_and_unknown_lines(tmp_path: Path) -> None:
    with batch_server(tmp_path / "server") as stub:
        command(stub, tmp_path, 3)
        stub.finish()
        output = stub.file(stub.batches[0]["output_file_id"])
        rows = output.read_bytes().split(b"\n")
        key = stub.lines(stub.batches[0])[0]["custom_id"].encode()
        other = next(row for row in rows if key in row).replace(GOOD.encode(), b"Another text for the same question.")
        output.write_bytes(b"\n".join([*rows, other, rows[0].replace(rows[0].split(b'"')[7], b"nobody"), b"[]"]))
        report = command(stub, tmp_path, 3)
    assert (report.steps["explanation"].kept, {one.text for one in stored(tmp_path)}) == (3, {GOOD})


def test_refused_texts_are_tried_again_in_a_further_batch(tmp_path: Path) -> None:
    with batch_server(tmp_path / "server", answer=lambda body: chat(GOOD if body["seed"] else "")) as stub:
        command(stub, tmp_path, 30)
        stub.finish()
        with pytest.raises(TeacherError, match="says nothing: all 30 texts"):
            command(stub, tmp_path, 30)
        assert len(stub.batches) == 1
        command(stub, tmp_path / "few", 3)
        stub.finish()
        command(stub, tmp_path / "few", 3)
        stub.finish()
        assert command(stub, tmp_path / "few", 3).steps["explanation"].kept == 3


def test_settings_that_the_server_refuses_are_found_out_from_the_lines_and_remembered(tmp_path: Path) -> None:
    def answer(body: dict[str, Any]) -> Any:
        if "seed" in body:
            return failure(400, "Extra inputs are not permitted: seed")
        return failure(400, "Bad request") if "stop" in body else chat(GOOD)

    with batch_server(tmp_path / "server", answer=answer) as stub:
        for _ in range(3):  # with a seed, with stops, as the server wants it
            command(stub, tmp_path, 3)
            stub.finish()
        assert command(stub, tmp_path, 3).steps["explanation"].kept == 3
        command(stub, tmp_path, 4)
        assert "seed" not in stub.lines(stub.batches[-1])[0]["body"]
    assert len(stub.batches) == 4
    assert {one.source.adapted[:2] for one in stored(tmp_path)} == {("no seed", "no stop")}


def test_a_batch_that_is_not_accepted_is_told_and_cost_nothing(tmp_path: Path) -> None:
    rows = [{"code": "invalid_json_line", "line": 2, "param": None, "message": "This line is not JSON."}] * 5
    with batch_server(tmp_path / "server") as stub:
        command(stub, tmp_path, 3)
        stub.finish("failed", errors={"object": "list", "data": rows})
        with pytest.raises(TeacherError, match=r"3 requests was not accepted: line 2: This line is not JSON.*2 more"):
            command(stub, tmp_path, 3)
        assert len(stub.batches) == 1
        assert command(stub, tmp_path, 3).steps["explanation"].awaited == 3
        assert len(stub.batches) == 2


def test_a_setting_that_validation_refuses(tmp_path: Path) -> None:
    row = {"code": "invalid_request", "line": 1, "param": "body.top_p", "message": "seed is not supported"}
    with batch_server(tmp_path / "server") as stub:
        command(stub, tmp_path, 3)
        stub.finish("failed", errors={"data": [row]})
        command(stub, tmp_path, 3)
        assert "seed" not in stub.lines(stub.batches[1])[0]["body"]


def test_a_batch_that_was_cancelled_there_is_not_ordered_again_at_once(tmp_path: Path) -> None:
    with batch_server(tmp_path / "server") as stub:
        command(stub, tmp_path, 4)
        stub.finish("cancelled", only=1)
        with pytest.raises(TeacherError, match="batch_001 cancelled with 1 of 4 answers"):
            command(stub, tmp_path, 4)
        assert (len(stub.batches), len(stored(tmp_path))) == (1, 1)
        assert command(stub, tmp_path, 4).steps["explanation"].awaited == 3


def test_a_batch_that_fails_at_most_questions_stops_the_next_order_once(tmp_path: Path) -> None:
    with batch_server(tmp_path / "server", answer=lambda body: failure(500, "out of memory")) as stub:
        command(stub, tmp_path, 3)
        stub.finish()
        with pytest.raises(TeacherError, match="3 of 3 questions failed, such as: out of memory"):
            command(stub, tmp_path, 3)
        command(stub, tmp_path, 3)
        stub.finish()
        with pytest.raises(TeacherError, match="out of memory"):
            command(stub, tmp_path, 3)
        command(stub, tmp_path, 3)
        stub.finish()
        given_up = command(stub, tmp_path, 3)
        assert (given_up.steps["explanation"].refused, given_up.awaited) == ({FAILED: 3}, [])
        assert len(stub.batches) == 3
        assert command(stub, tmp_path, 3).steps["explanation"].awaited == 3


def test_files_as_large_as_the_server_takes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with batch_server(tmp_path / "server") as stub:
        command(stub, tmp_path, 7, batch=3)
        assert [len(stub.lines(batch)) for batch in stub.batches] == [3, 3, 1]
        monkeypatch.setattr("shrinklm.teachers.batch.orders.MOST_BYTES", 8_000)
        command(stub, tmp_path / "small", 7)
        sizes = [stub.file(batch["input_file_id"]).stat().st_size for batch in stub.batches[3:]]
        assert len(sizes) > 1
        assert max(sizes) <= 8_000
        stub.finish()
        for path in (tmp_path, tmp_path / "small"):
            assert command(stub, path, 7).steps["explanation"].kept == 7


def test_a_server_that_takes_no_more_until_others_are_done(tmp_path: Path) -> None:
    with batch_server(tmp_path / "server", limit=4) as stub:
        reports = []
        while not reports or reports[-1].awaited:
            reports.append(command(stub, tmp_path, 10))
            stub.finish()
    assert reports[-1].steps["explanation"].kept == 10
    assert [len(stub.lines(batch)) for batch in stub.batches] == [2] * 5
    assert "6 more are ordered when there is room" in reports[0].awaited[0]
    assert set(stub.paid.values()) == {1}


CALLS = ("POST /files", "POST /batches", "GET /batches/ID", "GET /files/ID/content")


@pytest.mark.parametrize(
    "fault", [Raw("<html>"), Raw({"error": {"message": "busy"}}, 503), Raw(reset=True), Raw("{}" * 9, cut=True)]
)
def test_calls_that_fail_once_are_made_again(tmp_path: Path, fault: Raw) -> None:
    def once(made: str, number: int) -> Raw | None:
        return fault if made in CALLS and number == 1 else None

    with batch_server(tmp_path / "server", fault=once) as stub:
        command(stub, tmp_path, 3)
        stub.finish()
        command(stub, tmp_path, 3)
        assert command(stub, tmp_path, 3).steps["explanation"].found == 3
        assert all(stub.calls[call] > 1 for call in CALLS)
    assert (len(stub.batches), set(stub.paid.values())) == (1, {1})


def test_an_order_whose_answer_is_lost_is_found_at_the_server(tmp_path: Path) -> None:
    with batch_server(tmp_path / "server", page=1, lost=lambda call, n: (call, n) == ("POST /batches", 1)) as stub:
        assert command(stub, tmp_path, 7, batch=3).steps["explanation"].awaited == 7
        assert [len(stub.lines(batch)) for batch in stub.batches] == [3, 3, 1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a copy of this process is killed")
def test_an_order_is_found_behind_many_others(tmp_path: Path) -> None:
    with batch_server(tmp_path / "server", page=2) as stub:
        stub.kill = ("POST /batches", "after")
        child = os.fork()
        if not child:
            try:
                command(stub, tmp_path, 3)
            finally:
                os._exit(3)
        stub.victim = child
        os.waitpid(child, 0)
        for number in range(5):  # of other people, later
            stub.save({"id": f"batch_9{number}", "status": "in_progress", "input_file_id": "other", "metadata": None})
        assert command(stub, tmp_path, 3).steps["explanation"].awaited == 3
        assert (stub.calls["POST /batches"], stub.calls["GET /batches"]) == (1, 3)


POINTS = [
    ("POST /files", "before"),
    ("POST /files", "after"),
    ("POST /batches", "before"),
    ("POST /batches", "after"),
    ("GET /batches/ID", "before"),
    ("GET /files/ID/content", "before"),
    ("GET /files/ID/content", "after"),
]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a copy of this process is killed")
@pytest.mark.parametrize(
    ("point", "lists"), [(point, True) for point in POINTS] + [(POINTS[2], False), (POINTS[3], False)]
)
def test_a_kill_between_any_two_steps_pays_nothing_twice(tmp_path: Path, point: tuple[str, str], lists: bool) -> None:
    with batch_server(tmp_path / "server", page=1) as stub:
        if point[0].startswith("GET"):
            command(stub, tmp_path, 6, batch=4)
            stub.finish()
        stub.kill = point
        child = os.fork()
        if not child:
            try:
                command(stub, tmp_path, 6, batch=4)
            finally:
                os._exit(3)
        stub.victim = child
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
        stub.lists = lists
        if not lists:
            with pytest.raises(TeacherError, match="which lists no batches") as told:
                command(stub, tmp_path, 6, batch=4)
            if point[1] == "after":
                assert f"a batch of the file {stub.batches[0]['input_file_id']}." in str(told.value)
                return
            Path(str(told.value).split("delete ")[1].split(" and")[0]).unlink()
        report = command(stub, tmp_path, 6, batch=4)
        stub.finish()
        report = command(stub, tmp_path, 6, batch=4)
    assert report.steps["explanation"].kept == 6
    assert (len(stub.paid), set(stub.paid.values())) == (6, {1})
    assert len(stub.batches) == 2


def test_the_key_is_sent_and_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-very-secret")
    with batch_server(tmp_path / "server") as stub:
        command(stub, tmp_path, 2, api_key_env="MY_KEY")
        stub.finish()
        command(stub, tmp_path, 2, api_key_env="MY_KEY")
    assert set(stub.keys) == {"Bearer sk-very-secret"}
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"very-secret" in path.read_bytes()]


def test_two_commands_at_once_order_no_question_twice(tmp_path: Path) -> None:
    with batch_server(tmp_path / "server") as stub:
        both = [teacher(stub.url), teacher(stub.url)]
        asked = [[asking("a"), asking("b")], [asking("b"), asking("c")]]
        for made, prompts in zip(both, asked, strict=True):
            made.begin(tmp_path / "g.db")
            assert not list(made.complete(prompts, Sampling(seed=len(prompts[0].text))))
        assert [bool(made.send()) for made in both] == [True, True]
        assert [len(stub.lines(batch)) for batch in stub.batches] == [2, 1]
        stub.finish()
        for made, prompts in zip(both, asked, strict=True):
            made.begin(tmp_path / "g.db")
            assert len(list(made.complete(prompts, Sampling()))) == 2
    assert set(stub.paid.values()) == {1}


def test_a_server_that_takes_no_names_of_batches(tmp_path: Path) -> None:
    def fault(call: str, number: int) -> Raw | None:
        if call == "POST /batches" and number in (1, 3):
            return Raw({"error": {"message": "Extra inputs are not permitted: metadata"}}, 400)
        return None

    with batch_server(tmp_path / "server", fault=fault, lost=lambda call, n: (call, n) == ("POST /batches", 2)) as stub:
        assert command(stub, tmp_path, 2).steps["explanation"].awaited == 2
    assert len(stub.batches) == 1


def test_a_server_without_batches_and_one_that_wants_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    told = "may take no batch files; to ask it one by one, write endpoint:http"
    for status, words in ((404, told), (401, "wants a key: the environment variable OPENAI_API_KEY")):
        refused = Raw({"error": {"message": "no"}}, status)
        with batch_server(tmp_path / "server", fault=lambda call, n, refused=refused: refused) as stub:  # noqa: SIM117
            with pytest.raises(TeacherError, match=words):
                command(stub, tmp_path, 2)
    with pytest.raises(TeacherError, match="No server answers at"):
        command(stub, tmp_path, 2)
    with pytest.raises(TeacherError, match="Write endpoint-batch:http"):
        BatchTeacher("localhost#m", TeacherOptions())


def test_a_batch_that_the_server_has_lost(tmp_path: Path) -> None:
    with batch_server(tmp_path / "server") as stub:
        command(stub, tmp_path, 2)
        (tmp_path / "server" / "batches" / "batch_001.json").unlink()
        with pytest.raises(TeacherError, match="has no batch batch_001") as told:
            command(stub, tmp_path, 2)
        Path(str(told.value).split("delete ")[1].split(" and")[0]).unlink()
        assert command(stub, tmp_path, 2).steps["explanation"].awaited == 2
        stub.finish()
        assert command(stub, tmp_path, 2).steps["explanation"].kept == 2


def ordered(rest: str, options: TeacherOptions) -> BatchTeacher:
    """What a recipe names: "test_teachers_batch:ordered"; the server's address is in the environment."""
    return teacher(os.environ["BATCH_STUB"], batch=options.batch)


MARKED: dict[str, Any] = {"generate": ["explanation", "critique"], "methods": ["multitask"]}


def test_a_command_that_awaits_texts_ends_with_a_code_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recipe(tmp_path, teacher={"use": "test_teachers_batch:ordered"}, **MARKED)
    with batch_server(tmp_path / "server") as stub:
        monkeypatch.setenv("BATCH_STUB", stub.url)
        first = call("generate", path)
        assert first.exit_code == PENDING == 75
        assert "Ordered 12 texts of 'small-model'" in first.output
        assert "Type the same command later: it goes on from here." in first.output
        assert "error" not in first.output
        assert call("run", path).exit_code == PENDING
        assert len(stub.batches) == 1
        stub.finish("failed", errors={"data": [{"message": "no such model"}]})
        assert call("generate", path).exit_code == 1


def test_waiting_for_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shrinklm.teachers.batch.teacher.time.sleep", lambda seconds: stub.finish())
    path = recipe(tmp_path, teacher={"use": "test_teachers_batch:ordered"}, **MARKED)
    with batch_server(tmp_path / "server") as stub:
        monkeypatch.setenv("BATCH_STUB", stub.url)
        assert call("generate", path, "--wait").exit_code == 0
        assert [len(stub.lines(batch)) for batch in stub.batches] == [12, 12]
        assert set(stub.paid.values()) == {1}


def test_a_judge_that_answers_later(tmp_path: Path) -> None:
    prompts = [asking("How good is it?", example) for example in many(3)]
    with batch_server(tmp_path / "server") as stub, Store(tmp_path / "g.db") as store:
        with pytest.raises(Pending, match="Ordered 3 texts"):
            ask_judge(teacher(stub.url), prompts, store, 10, 0)
        stub.finish()
        found, usage = ask_judge(teacher(stub.url), prompts, store, 10, 0)
        assert [one.text for one in found] == [GOOD] * 3
        stub.at_once = True
        assert len(ask_judge(teacher(stub.url), [asking("And now?")], store, 10, 0)[0]) == 1
    assert (usage.asked, set(stub.paid.values())) == (3, {1})


class Echo:
    """A server's side without a server: what it is given stays on the disk."""

    attempts, backoff = 1, 0.0

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def upload(self, path: Path, name: str) -> str:
        shutil.copy(path, self.folder / "uploaded")
        return "file"

    def create(self, file: str, name: str) -> dict[str, Any]:
        return {"id": "batch", "status": "completed"}

    def batch(self, number: str) -> dict[str, Any]:
        return {"id": "batch", "status": "completed", "output_file_id": "output"}

    def download(self, file: str, into: BinaryIO) -> None:
        with (self.folder / "uploaded").open() as asked:
            for line in asked:
                body = chat("y" * 10_000)[1]
                answer = {"custom_id": json.loads(line)["custom_id"], "response": {"status_code": 200, "body": body}}
                into.write(json.dumps(answer).encode() + b"\n")


def test_memory_stays_flat_over_many_requests_and_results(tmp_path: Path) -> None:
    prompt, count = asking("x" * 10_000), 100  # 1 MB there and 1 MB back
    made = teacher("http://127.0.0.1:9")
    orders = begun(made, tmp_path)
    orders.server = Echo(tmp_path)  # type: ignore[assignment]
    asked = [replace(prompt, kind=str(number)) for number in range(count)]
    tracemalloc.start()
    assert [list(made.complete([one], Sampling())) for one in asked] == [[]] * count
    made.send()
    made.begin(tmp_path / "g.db")
    assert sum(len(next(made.complete([one], Sampling()))[1].text) for one in asked) == count * 10_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 500_000


def begun(made: BatchTeacher, path: Path) -> Orders:
    made.begin(path / "g.db")
    assert made._orders is not None
    return made._orders
