"""A study in a real browser: by mouse, by keyboard, without scripts, on a phone; breaks, doubled clicks, tabs; and axe
on every page."""

from __future__ import annotations

import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page

import chromium
from chromium import unbroken
from forked import Forked
from shrinklm.study.records.database import Records
from shrinklm.study.records.key import Key
from study_people import answered, stored
from study_site import TOKEN, make_study

pytestmark = chromium.needed


class Server(Forked):
    uses = ("shrinklm.study.web.server", "shrinklm.cli.study")
    alone = True  # the browser's driver ends when its pipe does


class Site:
    """A server in a process of its own, and its records."""

    def __init__(self, home: Path, kind: str) -> None:
        study = make_study(
            home,
            kind,
            items=3,
            comment="Anything to add? (optional)",
            recruiting={"people": 500, "starts_per_minute": 1000, "code": "C0DE"},
        )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.study, self.url = study, f"http://127.0.0.1:{self.port}"
        command = ["study", "serve", str(home), "--port", str(self.port)]
        self.process = Server(command, home, SHRINKLM_STUDY_TOKEN=TOKEN)
        for _ in range(300):
            try:
                httpx.get(f"{self.url}/health", trust_env=False)
                break
            except httpx.TransportError:
                time.sleep(0.1)
        self.records = Records(study.database, Key.of(study.home))

    def close(self) -> None:
        self.process.send(signal.SIGTERM)
        self.process.wait(20)
        self.records.close()

    def answers(self) -> list[dict[str, int]]:
        """What the person who came last has answered, page by page."""
        last = self.records.participants()[-1].id
        return [dict(one.values) for one in self.records.responses() if one.participant == last]


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Site]]:
    made: dict[str, Site] = {}

    def site(kind: str) -> Site:
        if kind not in made:
            made[kind] = Site(tmp_path_factory.mktemp(kind) / "study", kind)
        return made[kind]

    yield site
    for one in made.values():
        one.close()


@pytest.fixture
def site(sites: Callable[[str], Site]) -> Site:
    return sites("rating")


def refused(said: str) -> bool:
    """Whether the browser says that a page came with a status that the test provokes."""
    return "status of 4" in said or "status of 503" in said


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages in browsers of their own; every error of a script fails the test."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def new(**options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        context.set_default_timeout(30_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "console",
            lambda said: errors.append(said.text) if said.type == "error" and not refused(said.text) else None,
        )
        return page

    yield new
    for context in contexts:
        context.close()
    assert errors == []


def begin(page: Page, site: Site) -> None:
    """By mouse to the first item."""
    page.goto(site.url)
    page.get_by_label("I agree to take part").check()
    page.get_by_role("button", name="Start").click()
    page.get_by_role("button", name="Go on").click()
    page.get_by_label("How old are you?").select_option("25 to 34")
    page.get_by_role("button", name="Next").click()
    page.wait_for_url("**/item/1")


def answer(page: Page, step: int = 4) -> None:
    """By mouse: one cell of every statement, then on."""
    groups = page.get_by_role("group")
    for at in range(groups.count()):
        groups.nth(at).locator("label").nth(step - 1).click()
    with page.expect_navigation():
        page.locator("#rate button[type=submit]").click()


@pytest.mark.parametrize("kind", ["rating", "simulation", "preference"])
def test_every_page_by_mouse_can_be_read_by_everybody(
    sites: Callable[[str], Site], opened: Callable[..., Page], kind: str
) -> None:
    site = sites(kind)
    page = opened()
    page.goto(site.url)
    unbroken(page, dark=True)
    assert page.locator("footer").inner_text() == ""
    line = "getComputedStyle(document.querySelector('footer'), '::before').content"
    assert page.evaluate(line) == "none", "no line above nothing"
    begin(page, site)
    for name in ("/instructions", "/pause", "/nowhere", "/item/1"):
        page.goto(site.url + name)
        unbroken(page, dark=True)
    assert page.evaluate(line) != "none"
    widths = "['#remark', '#rate fieldset'].map(one => Math.round(document.querySelector(one).offsetWidth))"
    assert len(set(page.evaluate(widths))) == 1, "the remark is as wide as what stands above it"
    while "/item/" in page.url:
        if page.url.endswith(("/2", "/5")):
            unbroken(page, dark=True)
        answer(page, 2)
    assert page.url.endswith("/done")
    assert page.locator("#completion").inner_text() == "C0DE"
    unbroken(page, dark=True)
    assert len(site.answers()) == 5
    assert site.records.participants()[-1].about == {"age": "25 to 34"}


def test_the_keyboard_alone_is_enough(site: Site, opened: Callable[..., Page]) -> None:
    page = opened()
    page.goto(site.url)
    press = page.keyboard.press

    def tab_to(selector: str) -> None:
        for _ in range(40):
            press("Tab")
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
        raise AssertionError(f"Tab does not reach {selector}")

    press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    tab_to("#consent")
    press("Space")
    press("Enter")
    page.wait_for_url("**/instructions")
    tab_to("main button")
    press("Enter")
    page.wait_for_url("**/about")
    tab_to("main button")
    press("Enter")
    page.wait_for_url("**/item/1")
    for key in "13524":
        press(key)
    press("Enter")
    page.wait_for_url("**/item/2")
    press("Enter")
    assert page.url.endswith("/item/2"), "Enter goes on only when all is answered"
    for _ in range(4):
        where = page.url
        for _ in range(5):
            press("3")
        press("Enter")
        page.wait_for_url(lambda url, where=where: url != where)
    assert page.url.endswith("/done")
    first, *rest = site.answers()
    assert list(first.values()) == [1, 3, 5, 2, 4]
    assert all(set(one.values()) == {3} for one in rest)


def test_arrows_and_tab_work_without_scripts(site: Site, opened: Callable[..., Page]) -> None:
    page = opened(java_script_enabled=False)
    begin(page, site)
    page.locator("#s0-1").focus()
    page.keyboard.press("ArrowRight")
    for _ in range(4):
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
    page.keyboard.press("Enter")
    page.wait_for_url("**/item/2")
    assert list(site.answers()[0].values()) == [2, 1, 1, 1, 1]


def test_the_whole_way_without_scripts(site: Site, opened: Callable[..., Page]) -> None:
    page = opened(java_script_enabled=False)
    begin(page, site)
    while "/item/" in page.url:
        answer(page, 5)
    assert page.url.endswith("/done")
    assert len(site.answers()) == 5


def test_what_is_missing_is_shown_by_the_server_too(site: Site, opened: Callable[..., Page]) -> None:
    page = opened()
    begin(page, site)
    page.locator("#s1-4").check(force=True)
    page.evaluate("document.querySelectorAll('input').forEach(one => one.required = false)")
    page.evaluate("document.getElementById('rate').submit()")
    page.wait_for_selector("[role=alert]")
    assert page.locator("[role=alert] li").count() == 4
    assert page.locator("#s1-4").is_checked()
    unbroken(page)
    page.locator("[role=alert] a").first.click()
    assert page.evaluate("document.activeElement.id || location.hash").endswith("s0-1")


def test_closing_the_browser_loses_nothing(site: Site, opened: Callable[..., Page]) -> None:
    page = opened()
    begin(page, site)
    answer(page)
    answer(page)
    link = page.locator("footer a.link").get_attribute("href")
    page.context.close()
    again = opened()
    again.goto(str(link))
    again.get_by_role("button", name="Go on").click()
    assert again.url.endswith("/item/3")
    while "/item/" in again.url:
        answer(again)
    assert len(site.answers()) == 5


def test_a_doubled_click_is_one_answer(site: Site, opened: Callable[..., Page]) -> None:
    page = opened()
    begin(page, site)
    groups = page.get_by_role("group")
    for at in range(5):
        groups.nth(at).locator("label").nth(1).click()
    page.locator("#rate button[type=submit]").dblclick()
    page.wait_for_url("**/item/2")
    assert len(site.answers()) == 1
    assert [
        one.revisions for one in site.records.responses() if one.participant == site.records.participants()[-1].id
    ] == [0]


@pytest.mark.parametrize("scripts", [True, False])
def test_a_page_that_cannot_be_kept_is_sent_again(site: Site, opened: Callable[..., Page], scripts: bool) -> None:
    page = opened(java_script_enabled=scripts)
    begin(page, site)
    page.locator("#remark").fill("a remark that took long")
    with closing(sqlite3.connect(site.study.home / "records.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer(page, 5)
        page.get_by_role("heading", name="One moment").wait_for()
        if scripts:
            unbroken(page, dark=True)
        other.execute("ROLLBACK")
    if not scripts:
        page.get_by_role("button", name="Send again").click()
    page.wait_for_url("**/item/2")
    assert [set(one.values()) for one in site.answers()] == [{5}]
    assert site.records.responses()[-1].remark == "a remark that took long"


def test_the_browsers_back_button(site: Site, opened: Callable[..., Page]) -> None:
    page = opened()
    begin(page, site)
    answer(page, 2)
    page.wait_for_url("**/item/2")
    page.go_back()
    page.wait_for_url("**/item/1")
    assert page.locator("#s0-2").is_checked()
    answer(page, 5)
    page.wait_for_url("**/item/2")
    assert [set(one.values()) for one in site.answers()] == [{5}]
    while "/item/" in page.url:
        answer(page)
    page.go_back()
    page.reload()
    page.wait_for_url("**/done")


def test_two_tabs(site: Site, opened: Callable[..., Page]) -> None:
    first = opened()
    begin(first, site)
    second = first.context.new_page()
    second.goto(f"{site.url}/item/1")
    answer(first, 2)
    first.wait_for_url("**/item/2")
    answer(first, 2)
    first.wait_for_url("**/item/3")
    answer(second, 4)
    second.wait_for_url("**/item/2")
    assert [set(one.values()) for one in site.answers()] == [{4}, {2}]


@pytest.mark.parametrize("width", [320, 390, 820])
def test_small_screens(site: Site, opened: Callable[..., Page], width: int) -> None:
    page = opened(viewport={"width": width, "height": 700}, has_touch=True, is_mobile=width < 500)
    page.goto(site.url)
    unbroken(page)
    begin(page, site)
    unbroken(page)
    small = page.evaluate(
        "[...document.querySelectorAll('button, .button, .step, select, input[type=checkbox]')]"
        ".map(one => one.getBoundingClientRect())"
        ".filter(box => box.width < 24 || box.height < 24).length"
    )
    assert small == 0
    page.get_by_role("group").first.locator("label").nth(3).tap()
    assert page.locator("#s0-4").is_checked()
    answer(page)
    page.wait_for_url("**/item/2")


def test_the_break_page_copies_the_link(site: Site, opened: Callable[..., Page]) -> None:
    page = opened(permissions=["clipboard-read", "clipboard-write"])
    begin(page, site)
    page.get_by_role("link", name="Take a break").click()
    page.get_by_role("button", name="Copy the link").click()
    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#link").get_attribute("href")


@pytest.mark.parametrize("options", [{}, {"viewport": {"width": 360, "height": 700}, "color_scheme": "dark"}])
def test_the_researchers_page(tmp_path: Path, opened: Callable[..., Page], options: dict[str, Any]) -> None:
    site = Site(tmp_path / "study", "rating")
    try:
        stored(site.records, *answered(site.study, 12, careless=1, leaving=2))
        page = opened(**options)
        page.goto(f"{site.url}/researcher")
        unbroken(page)
        page.get_by_label("Token").fill("wrong")
        page.get_by_role("button", name="Log in").click()
        unbroken(page)
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Log in").click()
        unbroken(page)
        assert TOKEN not in page.url
        page.get_by_role("button", name="Show, and log it").click()
        unbroken(page)
        page.goto(f"{site.url}/researcher")
        page.get_by_label("Delete the answers of").fill("P003-TEST")
        page.get_by_role("button", name="Delete …").click()
        unbroken(page)
        page.get_by_role("button", name="Delete").click()
        page.get_by_text("P003-TEST: 5 answers deleted").wait_for()
        page.get_by_role("button", name="Pause").click()
        page.get_by_role("heading", name="Recruiting is paused").wait_for()
        with page.expect_download() as download:
            page.get_by_role("link", name="ratings.csv").click()
        assert Path(download.value.path()).read_bytes().startswith(b'"CASE","rationale",')
    finally:
        site.close()
