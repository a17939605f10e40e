"""The page: one file, nothing from outside, everything escaped, usable by everyone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from report_run import EVIL, METHODS, write_run
from shrinklm.report import build
from shrinklm.report.look.figures import Figure
from shrinklm.report.look.html import environment, island
from shrinklm.report.look.md import fenced, text
from shrinklm.report.look.style import METHODS as COLOURS
from shrinklm.report.look.style import variables

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page(HTMLParser):
    """The elements of a page with their attributes, and the text of its scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts[-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page whose questions, explanations, duplicates, recipe and environment all try to get out."""
    return build(write_run(tmp_path_factory.mktemp("page") / "run", evil=True, items=30))


@pytest.fixture(scope="module")
def page(evil: Path) -> Page:
    return Page(evil.read_text(encoding="utf-8"))


def test_markup_in_data_stays_text(evil: Path, page: Page) -> None:
    html = evil.read_text(encoding="utf-8")
    assert EVIL not in html
    assert "document.title='pwned'</script>" not in html
    assert "&lt;/script&gt;" in html, "the recipe's comment must be shown, escaped"
    assert not page.all("img")
    assert len(page.scripts) == 4  # items, two seeds, and the page's own


def test_islands_hold_every_question_and_what_was_said(page: Page) -> None:
    data = [json.loads(text) for text in page.scripts[:3]]
    assert len(data[0]["items"]) == 30
    assert data[0]["items"][0]["q"].endswith(EVIL)
    assert [row["name"] for row in data[0]["rows"]] == [*METHODS, "zero-shot"]
    for seed in data[1:]:
        assert [len(column) for column in seed] == [30] * 4
    assert data[1][3] == data[2][3], "the untrained student stands beside every seed"
    assert data[1][1][0][2].endswith(EVIL)


def test_island_cannot_end_its_element() -> None:
    value = {"a": "</script><!--\u2028", "b": [float("nan"), 1.5]}
    encoded = island(value)
    assert not set("<>&\u2028") & set(encoded)
    assert json.loads(encoded) == {"a": "</script><!--\u2028", "b": [None, 1.5]}


def test_nothing_is_loaded_from_outside(evil: Path, page: Page) -> None:
    html = evil.read_text(encoding="utf-8")
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    links = [
        value or ""
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in ("href", "src", "xlink:href")
    ]
    assert all(re.match(r"(#|data:,|report/|report\.md)", link) for link in links)
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)


def test_headings_labels_tables_and_pictures_are_accessible(page: Page) -> None:
    assert len(page.all("h1")) == 1
    assert page.all("html")[0]["lang"] == "en"
    assert all(header.get("scope") in ("col", "row", "colgroup") for header in page.all("th"))
    assert all(table.get("aria-labelledby") for table in page.all("table"))
    pictures = [div for div in page.all("div") if div.get("role") == "img"]
    assert len(pictures) == 5
    assert all(len(picture.get("aria-label") or "") > 60 for picture in pictures)
    assert all(svg.get("aria-hidden") == "true" for svg in page.all("svg"))
    scrolling = [div for div in page.all("div") if div.get("class") == "scroll"]
    assert all(div.get("tabindex") == "0" and div.get("role") == "region" for div in scrolling), (
        "the keyboard must reach what scrolls"
    )
    ids = Counter(attributes["id"] for _, attributes in page.elements if attributes.get("id"))
    assert [name for name, times in ids.items() if times > 1] == []
    named = {div.get("aria-labelledby") for div in scrolling} | {
        (a.get("href") or "")[1:] for a in page.all("a") if (a.get("href") or "").startswith("#")
    }
    assert named <= set(ids)


@pytest.mark.parametrize("theme", [0, 1])
def test_colours_have_contrast(theme: int) -> None:
    colours = variables()[theme]
    assert contrast(colours["ink"], colours["paper"]) > 12
    assert contrast(colours["muted"], colours["paper"]) > 4.5
    assert contrast(colours["m0"], colours["paper"]) > 4.5, "links"
    for place in range(len(COLOURS)):
        assert contrast(colours[f"m{place}"], colours["paper"]) > 3


def test_markdown_escapes_and_fences() -> None:
    assert text("a|b <script> `c` *d*") == r"a\|b &lt;script&gt; \`c\` \*d\*"
    assert fenced("x = ```y```", "yaml").startswith("````yaml\n")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium browser")
def test_browser_of_test_items_filters_searches_and_turns_pages(tmp_path: Path) -> None:
    html = build(write_run(tmp_path / "run", evil=True, items=60)).read_text(encoding="utf-8")
    script = """<script>
    const $ = (id) => document.getElementById(id), log = [];
    const set = (id, value, kind) => { $(id).value = value; $(id).dispatchEvent(new Event(kind)); };
    const items = () => [...document.querySelectorAll(".item")];
    const state = () => log.push([items().length, $("found").textContent, $("where").textContent]);
    state(); $("next").click(); state(); $("next").click(); state();
    set("pick-row", "1", "change"); set("pick-right", "wrong", "change"); state();
    log.push(items().every((item) => item.querySelectorAll(".said > div")[1].querySelector(".wrong")));
    set("pick-row", "", "change"); set("pick-right", "", "change"); set("pick-seed", "1", "change");
    set("search", "Case 33:", "input");
    setTimeout(() => { state(); document.body.dataset.log = JSON.stringify(log); }, 400);
    </script>"""
    (tmp_path / "test.html").write_text(html.replace("</body>", script + "</body>"), encoding="utf-8")
    done = subprocess.run(
        [
            *(str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
            *("--disable-background-networking", "--disable-component-update"),
            f"--user-data-dir={tmp_path / 'profile'}",
            *("--virtual-time-budget=3000", "--dump-dom", f"file://{tmp_path / 'test.html'}"),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    seen = Page(done.stdout)
    log = json.loads(seen.all("body")[0]["data-log"] or "[]")
    assert log[0] == [20, "60 questions", "1 to 20"]
    assert log[1][2] == "21 to 40"
    assert log[2] == [20, "60 questions", "41 to 60"]
    assert 0 < int(log[3][1].split()[0]) < 60
    assert log[4] is True
    assert log[5] == [1, "1 of 60 questions", "1 to 1"]
    assert "<title>Which way" in done.stdout
    assert not seen.all("img")


def contrast(first: str, second: str) -> float:
    """WCAG 2 contrast ratio of two #rrggbb colours."""
    light, dark = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4 for channel in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(("title", "shown"), [("Accuracy", "Accuracy."), ("Is it normal?", "Is it normal?")])
def test_a_title_that_asks_has_no_full_stop(title: str, shown: str) -> None:
    figure = Figure("f", title, "What it shows.", "A plot.", False, b"", b"", "<svg></svg>")
    html = str(environment().get_template("macros.html.j2").module.figure(figure))
    assert f"<b>{shown}</b> What it shows." in html
    assert f'aria-label="{shown} A plot."' in html
