"""The browser of the tests that look at pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
HOSTILE = (
    "\"><img src=x onerror='hacked(1)'><script>hacked(2)</script>' onfocus=hacked(3) autofocus x=' </title></textarea>"
)
"""Leaves an attribute in either kind of quotes, a title and a text box, and runs a script."""
WCAG = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
COLOURS = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
"""Those of the rules of WCAG that look at colours: all that can differ between light and dark."""

needed = pytest.mark.skipif(
    CHROMIUM is None and not os.environ.get("CI"),
    reason="no Chromium: apt-get install chromium, or what your system calls it",
)
"""CI installs it."""


def unbroken(page: Page, dark: bool = False) -> None:
    """Nothing sticks out to the side, and axe finds nothing against WCAG 2.2 AA; `dark`: nor in dark colours."""
    page.wait_for_load_state()
    assert not page.evaluate("document.documentElement.scrollWidth > window.innerWidth"), page.url
    page.evaluate(AXE_SCRIPT)
    found = _violations(page, WCAG)
    if dark:
        page.emulate_media(color_scheme="dark")
        assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
        found += _violations(page, COLOURS)
        page.emulate_media(color_scheme="light")
    assert found == [], page.url


def inert(page: Page, html: str) -> tuple[list[str], list[str]]:
    """Opens a page on which HOSTILE stands as text, with no policy that would stop a script: nothing of it has become
    an element. Returns its scripts and the addresses of its links, forms and files."""
    page.set_content(html)
    found = page.evaluate(
        """() => ({
            ran: window.ran ?? null,
            scripts: [...document.scripts].map(one => one.outerHTML),
            elements: document.querySelectorAll(
                'img[src=x], iframe, object, embed, base, link[rel=import], [autofocus][onfocus]').length,
            handlers: [...document.querySelectorAll('*')].filter(
                one => [...one.attributes].some(each => each.name.startsWith('on'))).map(one => one.outerHTML),
            links: [...document.querySelectorAll('[href], [src], [action], [formaction]')].map(
                one => one.getAttribute('href') ?? one.getAttribute('src') ?? one.getAttribute('action')),
        })"""
    )
    assert (found["ran"], found["elements"], found["handlers"]) == (None, 0, [])
    return found["scripts"], found["links"]


@contextmanager
def unguarded(browser: Browser) -> Iterator[Page]:
    """A page for `inert`."""
    context = browser.new_context(bypass_csp=True)
    page = context.new_page()
    page.add_init_script("window.hacked = number => { window.ran = number }")
    page.goto("about:blank")
    yield page
    context.close()


def _violations(page: Page, rules: dict[str, Any]) -> list[Any]:
    # axe describes what it found of the types named, and of the others one node each.
    options = {"runOnly": rules, "resultTypes": ["violations"]}
    found: list[Any] = page.evaluate(
        "async options => (await axe.run(options)).violations.map(one => [one.id, one.nodes.map(node => node.html)])",
        options,
    )
    return found
