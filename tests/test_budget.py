"""No run passes its budget, by the server's own count; it stops in order, and goes on under a larger one."""

from __future__ import annotations

import json
import random
import threading
from pathlib import Path
from typing import Any

import pytest

from endpoint_stub import Raw, chat, failure, server
from shrinklm.cli.show import costs
from shrinklm.core.errors import BudgetError, RecipeError, TeacherError
from shrinklm.core.types import Completion, Generation, Sampling
from shrinklm.run.recipe import Recipe
from shrinklm.run.run import Run
from shrinklm.tasks.base import parse_answer
from shrinklm.teachers.base import FAILED, BaseTeacher, TeacherOptions
from shrinklm.teachers.budget import Budget
from shrinklm.teachers.costs import Price, dollars
from shrinklm.teachers.endpoint import EndpointTeacher
from shrinklm.teachers.generate import run_steps
from shrinklm.teachers.judge import ask_judge
from shrinklm.teachers.prompts import Prompts
from shrinklm.teachers.store import Store
from shrinklm.teachers.usage import Report, Usage
from teacher_cases import asking, many, settings, step

PRICE: Price = {"input": 1.0, "output": 10.0}
GOOD = "People keep their money in a bank because it is safe there."


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EndpointTeacher, "backoff", 0.001)


class Till:
    """A server's own account: what it wrote it is paid for, whether or not that arrived."""

    def __init__(self, fault: float = 0.0, empty: float = 0.0) -> None:
        self.fault, self.empty, self.paid, self.calls = fault, empty, 0.0, 0
        self._random, self._lock = random.Random(0), threading.Lock()

    def __call__(self, body: dict[str, Any], number: int) -> tuple[int, Any] | Raw:
        with self._lock:
            self.calls += 1
            chance, kind, words = self._random.random(), self._random.randrange(5), self._random.randint(1, 90)
        if number > 1 and chance < self.fault and kind < 2:
            return failure((429, 500)[kind])
        text = "" if chance > 1 - self.empty else f"{GOOD} " * (words // 13 + 1)
        usage = {"prompt_tokens": len(str(body["messages"])) // 4, "completion_tokens": min(words, body["max_tokens"])}
        with self._lock:
            self.paid += dollars(usage["prompt_tokens"], usage["completion_tokens"], PRICE)
        status, reply = chat(text, usage=usage)
        if number > 1 and chance < self.fault:
            return (Raw(reset=True), Raw(reply, cut=True), chat(text, usage={"prompt_tokens": None}))[kind - 2]
        return status, reply


def generate(url: str, path: Path, budget: float, questions: int = 120, **more: Any) -> Usage:
    teacher = EndpointTeacher(f"{url}#m", TeacherOptions(batch=64, attempts=9, failures=1, price=PRICE))
    teacher.budget = Budget(budget)
    prompts = Prompts("choice")
    with Store(path) as store:
        steps = [step("explanation")]
        report = run_steps(many(questions), steps, teacher, prompts, store, settings(), parse_answer, **more)
    return report.steps["explanation"]


def rows(path: Path) -> list[Generation]:
    with Store(path) as store:
        return list(store)


def cost(path: Path) -> float:
    return sum(
        dollars(one.source.tokens_in, one.source.tokens_out, PRICE) + dollars(*one.source.uncounted, PRICE)
        for one in rows(path)
    )


@pytest.mark.parametrize(("fault", "empty"), [(0.0, 0.0), (0.3, 0.1)])
def test_the_budget_is_never_passed_and_a_larger_one_goes_on(tmp_path: Path, fault: float, empty: float) -> None:
    path, till, limit = tmp_path / "g.db", Till(fault, empty), 0.03
    with server(till) as (url, asked):
        with pytest.raises(BudgetError) as caught:
            generate(url, path, limit)
        assert till.paid <= limit
        # What one call may cost at most is not left over.
        assert limit - 0.0035 < cost(path) <= limit + 1e-9
        stopped, calls = rows(path), till.calls
        assert calls < 120
        assert 0 < len(stopped) <= calls

        # The same budget: not one request. A little more: some, and never too many.
        with pytest.raises(BudgetError, match=r"\$0\.0\d+ are spent"):
            generate(url, path, limit)
        assert till.calls == calls
        with pytest.raises(BudgetError):
            generate(url, path, 1.2 * limit)
        assert till.calls > calls
        assert till.paid <= 1.2 * limit

        usage = generate(url, path, 100)
        assert usage.kept + usage.refused.total() == 120
        assert usage.cost == pytest.approx(cost(path))
        assert till.paid <= cost(path) + 1e-9
        assert len(asked) == till.calls
    words = str(caught.value)
    for part in (
        "budget of $0.03:",
        "are spent",
        "0 calls are in flight",
        "may cost up to $0.00",
        "texts are left to ask",
    ):
        assert part in words
    again = float(words.partition("`budget: ")[2].partition(" USD`")[0])
    assert limit < again < 2


def test_a_call_that_may_be_paid_for_without_an_answer_counts_at_most_and_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "g.db"
    with server(lambda body, number: chat(GOOD) if number == 1 else Raw(reset=True)) as (url, asked):
        with pytest.raises(BudgetError):
            generate(url, path, 0.02, questions=2)
        spent = cost(path)
        assert 0.016 < spent <= 0.02
        assert {bool(one.refusal) for one in rows(path)} == {True, False}
        before = len(asked)
        with pytest.raises(BudgetError):
            generate(url, path, 0.02, questions=2)
        assert len(asked) == before
    with server(lambda body, number: chat(GOOD)) as (url, asked):
        usage = generate(url, path, 0.04, questions=2)
        assert len(asked) == 1
    # The text that came in the end carries what was lost for it.
    assert cost(path) == pytest.approx(spent + dollars(11, 7, PRICE))
    assert usage.uncounted == pytest.approx(spent - dollars(11, 7, PRICE))
    assert not any(FAILED in (one.refusal or "") for one in rows(path))


def test_a_server_that_counts_more_than_the_bound_is_believed(tmp_path: Path) -> None:
    # Each call costs 0.01, thrice what its text and its cap allow; the first one shows it.
    with server(lambda body, number: chat(GOOD, usage={"prompt_tokens": 6000, "completion_tokens": 400})) as (
        url,
        asked,
    ):
        with pytest.raises(BudgetError):
            generate(url, tmp_path / "g.db", 0.055)
        assert len(asked) == 5


def test_a_cap_of_the_users_own_and_several_choices_count(tmp_path: Path) -> None:
    with server(lambda body, number: chat(GOOD)) as (url, asked):
        for extra, most in (({"max_tokens": 5000}, 5000), ({"n": 3}, 3 * 120)):
            teacher = EndpointTeacher(f"{url}#m", TeacherOptions(price={"input": 0.0, "output": 1.0}, extra=extra))
            teacher.budget = Budget(most / 1e6)
            with pytest.raises(BudgetError):  # a cap is a token more than the budget
                list(teacher.complete([asking("a")], Sampling(max_tokens=120)))
            teacher.budget.limit += 2e-6
            assert len(list(teacher.complete([asking("a")], Sampling(max_tokens=120)))) == 1
    assert len(asked) == 2


def test_a_server_without_any_cap_keeps_no_budget() -> None:
    def answer(body: dict[str, Any], number: int) -> tuple[int, dict[str, Any]]:
        caps = [name for name in ("max_tokens", "max_completion_tokens") if name in body]
        return failure(400, f"unknown parameter: {caps[0]}") if caps else chat(GOOD)

    with server(answer) as (url, asked):
        teacher = EndpointTeacher(f"{url}#m", TeacherOptions(price=PRICE))
        teacher.budget = Budget(1)
        with pytest.raises(TeacherError, match="takes no `max_tokens`"):
            list(teacher.complete([asking("a")], Sampling()))
    assert len(asked) == 2


class Plain(BaseTeacher):
    """A teacher of one's own, which knows nothing of budgets."""

    name, revision, price = "plain", "1", PRICE

    def __init__(self, counts: bool) -> None:
        self.counts, self.asked = counts, 0

    def complete(self, prompts: Any, sampling: Sampling) -> Any:
        for position, _ in enumerate(prompts):
            self.asked += 1
            yield position, Completion(GOOD, *((400, 20) if self.counts else ()))


@pytest.mark.parametrize("counts", [True, False])
def test_any_teacher_keeps_to_the_budget(tmp_path: Path, counts: bool) -> None:
    teacher = Plain(counts)
    teacher.budget = Budget(0.02)
    with Store(tmp_path / "g.db") as store, pytest.raises(BudgetError, match="texts are left to ask"):
        run_steps(many(90), [step("explanation")], teacher, Prompts("choice"), store, settings(), parse_answer)
    assert 0 < teacher.asked < 90
    assert teacher.asked * 0.0006 <= cost(tmp_path / "g.db") <= 0.02 + 1e-9
    # A judge of the same run has what is left, and says so.
    with Store(tmp_path / "g.db") as store, pytest.raises(BudgetError, match="1 texts are left to ask"):
        ask_judge(teacher, [asking("a")], store, 10_000, 0)


def recipe(tmp_path: Path, url: str, **more: Any) -> Recipe:
    data = {
        "name": "r",
        "root": tmp_path,
        "task": {"use": "everyday", "limit": {"train": 12, "dev": 2, "test": 2}},
        "teacher": {"use": f"endpoint:{url}#m", "price": dict(PRICE)},
        "generate": ["explanation"],
        "methods": ["multitask"],
        "student": "tiny",
    }
    return Recipe.parse({**data, **more})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (5, 5),
        ("5", 5),
        ("5 USD", 5),
        ("$5", 5),
        ("5$", 5),
        ("usd 0.50", 0.5),
        ("1,000 USD", 1000),
        (".25", 0.25),
        (0, 0),
    ],
)
def test_a_budget_as_it_is_written(tmp_path: Path, text: Any, value: float) -> None:
    made = recipe(tmp_path, "http://127.0.0.1:9/v1", budget=text)
    assert made.budget == value
    assert Recipe.parse({**made.model_dump(), "root": tmp_path}).budget == value


@pytest.mark.parametrize("text", ["5 EUR", "1,5 USD", "five", -1, True, "", "USD", "nan", float("inf"), [5]])
def test_no_budget_at_all(tmp_path: Path, text: Any) -> None:
    with pytest.raises(RecipeError, match="budget: must be dollars, such as 5 USD"):
        recipe(tmp_path, "http://127.0.0.1:9/v1", budget=text)


def test_a_run_keeps_its_budget_and_needs_a_price(tmp_path: Path) -> None:
    with server(lambda body, number: chat(GOOD, usage={"prompt_tokens": 500, "completion_tokens": 20})) as (url, asked):
        for price in (None, {"input": 1.0}):
            teacher = {"use": f"endpoint:{url}#m", "price": price}
            with pytest.raises(RecipeError, match="such as `price: "):
                Run(recipe(tmp_path, url, budget=1, teacher=teacher)).generate()
        judge = {"use": [f"endpoint:{url}#other"]}
        with pytest.raises(RecipeError, match="of the judge 'other'"):
            Run(recipe(tmp_path, url, budget=1, judge=judge)).generate()
        assert not asked
        with pytest.raises(BudgetError):
            Run(recipe(tmp_path, url, budget="0.008 USD")).generate()
        calls = len(asked)
        assert 0 < calls <= 0.008 / 0.0007
        # One step, or all of them: what the recipe's texts cost is spent.
        with pytest.raises(BudgetError):
            Run(recipe(tmp_path, url, budget="0.005 USD", generate=["label", "explanation"])).generate("label")
        assert len(asked) == calls
        ticks: list[str] = []
        run = Run(recipe(tmp_path, url, budget=2), tick=lambda what, done, total, note: ticks.append(note))
        report = run.generate()
        assert len(asked) == 12 == report.total.kept
        assert report.total.cost == pytest.approx(12 * 0.0007)
        assert any(" of about $0.008" in note and note.endswith(", budget $2.00") for note in ticks)
        assert run.writers.budget is not None
        assert run.writers.budget.spent == pytest.approx(12 * 0.0007)
        run.generate()
        assert run.writers.budget.spent == pytest.approx(12 * 0.0007)


def test_what_is_printed_has_a_total(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # In 80 columns.
    first, second = Usage(asked=3, kept=3, tokens_in=30, tokens_out=6, cost=0.0123), Usage(found=1, kept=1, cost=1.5)
    first.refused["empty"] = 2
    report = Report({"explanation": first, "critique": second})
    teaching = Run(recipe(tmp_path, "http://127.0.0.1:9/v1")).teaching
    costs.generated(report, teaching, as_json=False)
    printed = capsys.readouterr().out
    assert [line.split()[-2] for line in printed.splitlines() if "$" in line] == ["$0.0123", "$1.50", "$1.51"]
    costs.generated(report, teaching, as_json=True)
    total = json.loads(capsys.readouterr().out)["total"]
    assert (total["asked"], total["kept"], total["refused"], total["cost"]) == (3, 4, {"empty": 2}, 1.5123)
    second.cost = None
    assert report.total.cost is None
    assert first.cost == 0.0123
