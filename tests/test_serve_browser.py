"""The page of `shrinklm serve` in a real browser: by mouse, by keyboard, on a phone, in dark colours; and axe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

import chromium
from chromium import unbroken
from serving import Running
from shrinklm import Run

pytestmark = chromium.needed


@pytest.fixture(scope="module")
def served(deployed: Run) -> Iterator[Running]:
    running = Running(deployed.student("answer-then-explain"), keys="open sesame")
    yield running
    running.close()


@pytest.fixture
def opened(browser: Browser, served: Running) -> Iterator[Callable[..., Page]]:
    """Opens the page; every error of its script, and everything its policy forbids, fails the test."""
    contexts, errors = [], []

    def new(**options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        context.set_default_timeout(30_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        refused = "status of 4"
        page.on(
            "console",
            lambda said: errors.append(said.text) if said.type == "error" and refused not in said.text else None,
        )
        page.goto(served.url)
        return page

    yield new
    for context in contexts:
        context.close()
    assert errors == []


@pytest.mark.parametrize("width", [1280, 390, 320])
def test_a_question_is_answered_by_mouse(served: Running, opened: Callable[..., Page], width: int) -> None:
    page = opened(viewport={"width": width, "height": 800})
    unbroken(page, dark=True)
    page.get_by_label("Key").fill("open sesame")
    page.get_by_label("Question", exact=True).fill("Where do <b>fish</b> 🐟 swim?")
    page.get_by_label("Options").fill("in the sea\n\n in the sky \nin a cupboard")
    page.get_by_label("the option that it finds likeliest").check()
    page.get_by_role("button", name="Ask").click()
    reply = page.locator("#reply")
    reply.wait_for()
    options = {"in the sea", "in the sky", "in a cupboard"}
    assert page.locator("#answer").inner_text() in options
    assert set(page.locator("#options th").all_inner_texts()) == options
    shares = [float(text.removesuffix(" %")) for text in page.locator("#options td").all_inner_texts()]
    assert sum(shares) == pytest.approx(100, abs=2)
    assert shares == sorted(shares, reverse=True)
    assert page.locator("#text").inner_text().startswith("Question: Where do <b>fish</b> 🐟 swim?")
    assert page.locator("#text mark").nth(3).inner_text() == "fish"
    assert page.locator("#text mark").nth(6).inner_text() == "in", "offsets hold behind a letter of two units"
    assert page.locator("#explanation").inner_text()
    unbroken(page, dark=True)


def test_the_keyboard_alone_is_enough(served: Running, opened: Callable[..., Page]) -> None:
    page = opened()
    press = page.keyboard.press
    press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for text in ("open sesame", "Where do fish swim?", "in the sea\nin the sky"):
        press("Tab")
        page.keyboard.insert_text(text)
    press("Control+Enter")
    page.locator("#reply").wait_for()
    assert page.evaluate("document.activeElement.id") == "reply", "a screen reader goes on at the answer"


def test_what_is_wrong_is_said(served: Running, opened: Callable[..., Page]) -> None:
    page = opened()
    page.get_by_role("button", name="Ask").click()
    assert page.locator("#reply").is_hidden(), "the browser asks for what is missing"
    page.get_by_label("Key").fill("wrong")
    page.get_by_label("Question", exact=True).fill("Where do fish swim?")
    page.get_by_label("Options").fill("in the sea")
    page.get_by_role("button", name="Ask").click()
    page.get_by_role("alert").get_by_text("A key is needed").wait_for()
    page.get_by_label("Key").fill("open sesame")
    page.get_by_role("button", name="Ask").click()
    page.get_by_text("needs two or more different options, found: in the sea").wait_for()
    unbroken(page, dark=True)
