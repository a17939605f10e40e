"""A small study to serve, made of questions written here."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from httpx import Client, Response
from starlette.testclient import TestClient

from shrinklm.core import safe_yaml
from shrinklm.study.design.booklets import Design, Question, Shown
from shrinklm.study.design.folder import Study
from shrinklm.study.design.form import FORMS, Form
from shrinklm.study.records.database import Records
from shrinklm.study.records.key import Key
from shrinklm.study.web.app import make_app
from visitor import filled, sheets

CONDITIONS = ("finetune", "multitask", "counterfactual")
ASKED = [
    (
        "Where would a person put a coat when they come home in winter?",
        ("closet", "oven", "bathtub", "mailbox"),
        "closet",
    ),
    ("What do people use to see in a dark cellar?", ("spoon", "flashlight", "pillow", "ladder"), "flashlight"),
    ("What happens to ice cream on a hot pavement?", ("it freezes", "it melts", "it grows", "it sings"), "it melts"),
    ("Where do you return a borrowed book?", ("library", "bakery", "stadium", "harbour"), "library"),
    ("What does a gardener need when it has not rained?", ("watering can", "umbrella", "skis", "lamp"), "watering can"),
    ("Why would somebody set an alarm clock?", ("to wake up", "to cook", "to read", "to paint"), "to wake up"),
    ("Where does a fish breathe?", ("in water", "in sand", "in a tree", "in a drawer"), "in water"),
]
NASTY = '<script>alert(1)</script> & "quotes" \'; DROP TABLE response; --'


def form(kind: str = "rating", **changes: Any) -> dict[str, Any]:
    """The shipped form as a dictionary, with changes."""
    data = safe_yaml.load((FORMS / f"{kind}.yaml").read_text() + (FORMS / "common.yaml").read_text())
    # All browsers of a test have one address.
    changes["recruiting"] = {"starts_per_minute": 1000, **changes.get("recruiting", {})}
    return {**data, "checks": {"rate": 0.2}, **changes}


def make_study(home: Path, kind: str = "rating", nasty: bool = False, items: int = 6, **changes: Any) -> Study:
    """A study folder: six questions, three conditions (of a preference, their pairs), `items` a person, one check, one
    to practise on."""
    data = form(kind, **changes)
    read = Form.parse(data, "study.yaml")
    questions = {}
    for at, (asked, choices, gold) in enumerate(ASKED):
        said = {}
        for k, name in enumerate(CONDITIONS):
            answer = gold if (at + k) % 4 else choices[-1]
            text = f"People know that {answer} fits here, and {choices[2]} does not ({'abc'[k]})." * (1 + k % 2)
            said[name] = Shown(answer, NASTY if nasty else text, answer == gold)
        stratum = (
            "practice" if at == len(ASKED) - 1 else "right" if all(one.right for one in said.values()) else "differ"
        )
        questions[f"q{at}"] = Question(f"q{at}", NASTY if nasty else asked, choices, gold, {}, stratum, said)
    ids = tuple(questions)
    steps = {"rating": len(read.scale.labels), "simulation": 4, "preference": 2}[kind]
    practice = ids[-1:] if read.practice else ()
    design = Design(kind, CONDITIONS, ids[:-1], practice, items, 2, read.checks.number(items), steps, 7)
    runs = {name: {"run": "none", "cell": f"{name}--tiny--s0", "length": 40.0} for name in CONDITIONS}
    Study(home, read, design, questions, runs, {}).write(yaml.safe_dump(data, allow_unicode=True, sort_keys=False))
    return Study.read(home)


TOKEN = "a token of the tests"


@contextmanager
def served(study: Study, token: str | None = TOKEN) -> Iterator[tuple[Callable[[], TestClient], Records]]:
    """(a maker of browsers, the records) of a study; every browser has cookies of its own."""
    records = Records(study.database, Key.of(study.home))
    app = make_app(study, records, token)
    try:
        yield (
            lambda: TestClient(app, base_url="http://testserver", follow_redirects=True, raise_server_exceptions=False),
            records,
        )
    finally:
        records.close()


def submit(
    client: Client, page: Response, choose: Callable[[str, list[str]], str] | None = None, **changes: str
) -> Response:
    """Fills in the page's form and sends it; `changes` set fields otherwise, and an empty one is left out."""
    sheet = sheets(page.text)[0]
    data = {**filled(sheet, random.Random(1), choose), **changes}
    return client.post(sheet.action or page.url.path, data={name: value for name, value in data.items() if value})


def begin(client: Client, query: str = "") -> Response:
    """From the welcome page to the first item."""
    page = client.get(f"/{query}")
    while "/item/" not in page.url.path:
        page = submit(client, page)
        assert page.status_code == 200, page.text
    return page


def through(client: Client, page: Response) -> Response:
    """From an item to the end."""
    for _ in range(40):
        if page.url.path == "/done":
            return page
        page = submit(client, page)
        assert page.status_code == 200, page.text
    raise AssertionError("there is no end")
