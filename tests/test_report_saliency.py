"""The report's section about marked words, its browser of items, and the heat map in a terminal and as a picture."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import struct
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli_cases import call
from report_run import EVIL, write_run
from saliency_run import STEPS, around, figures, write_saliency
from shrinklm.core.errors import ShrinkError, StoreError
from shrinklm.report import build, heatmap, markdown
from shrinklm.report.findings import read
from shrinklm.report.look.style import INK, variables
from shrinklm.report.marks import Marked, Marks, Saliency, read_item, read_saliency
from shrinklm.report.page import render
from shrinklm.report.results import compare
from shrinklm.report.sections import assemble, draw, saliency
from shrinklm.report.sections.saliency.picker import legend
from shrinklm.report.sections.saliency.table import correlations, saliency_table
from shrinklm.report.sections.saliency.words import sentences

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SPANS = ((10, 12), (17, 21), (22, 31), (46, 50))
DOOR = Marked(
    "q1", "Question: Is the door\nrevolving?\nChoices: (a) bank", "bank",
    (
        Marks("salient", "Qwen2.5-0.5B, gradient (l2, max)", SPANS, (0.1, 0.25, 0.5, 0.15), (2, 3)),
        Marks("random-tokens", "", SPANS, (0.0, 0.0, 0.0, 0.0), ()),
    ),
)  # fmt: skip


def found(**changes: Any) -> Saliency:
    return Saliency(figures(**changes), (), 0)


def said(**changes: Any) -> dict[str, str]:
    return dict(sentences(found(**changes)))


def steps_with(**replaced: dict[str, Any]) -> dict[str, Any]:
    """The steps of the fake figures, with figures of some of them replaced."""
    known = figures()["steps"]
    return {name: about | replaced.get(name.replace("-", "_"), {}) for name, about in known.items()}


def small(folder: Path) -> Path:
    """A run folder that is quickly reported."""
    return write_run(
        folder, methods=("finetune",), items=5, seeds=(0,), zero_shot=False, logs=False, explanations=False
    )


def page_of(folder: Path) -> str:
    """The page without its figures, which take the time."""
    results = compare(read(folder), resamples=50)
    return render(results, assemble(results), {})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_saliency(small(tmp_path_factory.mktemp("saliency") / "run"))
    build(folder)
    return folder


@pytest.mark.usefixtures("page_alone")
def test_a_run_without_saliency_has_no_section(tmp_path: Path) -> None:
    folder = small(tmp_path / "run")
    assert read_saliency(folder) is None
    text = build(folder).read_text(encoding="utf-8") + (folder / "report.md").read_text(encoding="utf-8")
    assert "saliency" not in text
    assert not list((folder / "report").rglob("saliency*"))


def test_section_stands_in_page_markdown_csv_and_figures(run: Path) -> None:
    html, text = (run / "report.html").read_text(encoding="utf-8"), (run / "report.md").read_text(encoding="utf-8")
    assert '<section id="saliency">' in html
    assert '<a href="#saliency">' in html
    assert "## Which words moved the answer" in text
    for name in ("saliency", "agreement"):
        assert (run / "report" / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert (run / "report" / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert f"report/figures/{name}.png" in html
        assert f"report/figures/{name}.png" in text
    rows = {row["step"]: row for row in csv.DictReader(io.StringIO((run / "report" / "saliency.csv").read_text()))}
    assert list(rows) == [*STEPS, "chance"]
    assert [float(rows["salient"][f"gold_hit{end}"]) for end in ("", "_low", "_high", "_chance")] == pytest.approx(
        [0.712, 0.684, 0.74, 0.481]
    )
    assert float(rows["chance"]["auprc"]) == 0.302
    assert rows["chance"]["sufficiency"] == ""
    assert "longer than the context of 512 tokens: 2" in (run / "report" / "saliency-steps.csv").read_text()
    assert "longer than the context of 512 tokens: 2" in html
    matrix = list(csv.DictReader(io.StringIO((run / "report" / "saliency-agreement.csv").read_text())))
    assert [float(row[row["method"]]) for row in matrix] == [1.0] * 8


def test_the_same_run_gives_the_same_bytes(run: Path) -> None:
    before = {path: path.read_bytes() for path in [*run.glob("report.*"), *(run / "report").rglob("*.*")]}
    build(run)
    assert [path.name for path, content in before.items() if path.read_bytes() != content] == []


def test_sentences_say_chance_beside_each_figure() -> None:
    text = said()
    assert text["The model"] == (
        "Qwen2.5-0.5B answers 24.3 % (95 % interval 21.9 to 26.7) of 1,221 test questions right before it was "
        "fine-tuned on the task, and 57.1 % (95 % interval 54.3 to 59.9) after: more than before, and the intervals do "
        "not overlap."
    )
    assert text["Gold option"] == (
        "Items where at least one kept word (5 words) is a word of the gold option: salient 71.2 % of 995 items "
        "(95 % interval 68.4 to 74.0), above chance (48.1 %). "
        "Controls: own-saliency 60.4 % and tfidf-tokens 64.1 %, above chance; random-tokens 47.9 %, not "
        "shown to differ from chance. salient does better than every control."
    )
    assert (
        "salient 41.2 on 586 items (95 % interval 39.2 to 43.2), above chance (30.2)."
        in text["Human highlights, ranked"]
    )
    assert (
        "the interval of tfidf-tokens overlaps that of salient, so no difference is shown" in text["Human highlights"]
    )
    assert "where chance, that is random-tokens, has 0.52 nats" in text["Comprehensiveness"]
    assert "gradient l2 agrees most with attention (0.90), least with random (\u22120.07)" in text["Agreement"]
    assert "(chance is 0)" in text["Agreement"]
    assert "none is above 5 %" in text["Completeness"]
    assert "which can favour them" in text["Erasure"]
    assert "highlight marks every content word: 412" in text["Left out"]


def test_a_control_that_wins_is_said_to_win() -> None:
    text = said(
        steps=steps_with(tfidf_tokens={"gold_hit": around(0.8, 0.02, 995), "sufficiency": around(0.1, 0.05, 200)})
    )
    assert (
        "A control does better than salient: tfidf-tokens; salient does better than own-saliency and random-tokens."
        in text["Gold option"]
    )
    assert "A control does better than salient: tfidf-tokens" in text["Sufficiency"], "less is better there"
    worst = {name: {"gold_hit": around(0.9, 0.02, 995)} for name in ("own_saliency", "tfidf_tokens", "random_tokens")}
    assert (
        "Controls do better than salient: own-saliency, tfidf-tokens and random-tokens."
        in said(steps=steps_with(**worst))["Gold option"]
    )


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.3, "below chance (48.1 %)"),
        (0.48, "not shown to differ from chance (48.1 %)"),
        (0.6, "above chance (48.1 %)"),
    ],
)
def test_words_follow_from_the_interval(value: float, words: str) -> None:
    assert words in said(steps=steps_with(salient={"gold_hit": around(value, 0.03, 995)}))["Gold option"]


@pytest.mark.parametrize(
    ("finetuned", "before", "after", "words"),
    [
        (False, around(0.4, 0.02, 100), None, "m was not fine-tuned on the task; it answers 40.0 %"),
        (False, None, None, "its accuracy was not measured"),
        (True, None, around(0.4, 0.02, 100), "before was not measured"),
        (True, around(0.4, 0.1, 9), around(0.5, 0.1, 9), "the two intervals overlap"),
        (True, around(0.6, 0.01, 9), around(0.5, 0.01, 9), "fine-tuning did harm"),
        (True, around(0.6, 0.01, 9), None, "after was not measured"),
        (True, None, None, "m was fine-tuned on the task; its accuracy was not measured."),
    ],
)
def test_what_is_said_about_the_model(finetuned: bool, before: Any, after: Any, words: str) -> None:
    assert (
        words
        in said(model={"name": "m", "finetuned": finetuned, "accuracy": {"before": before, "after": after}})[
            "The model"
        ]
    )
    assert "No model was asked" in said(model=None)["The model"]


def test_what_was_not_measured_is_left_out(tmp_path: Path) -> None:
    about = {
        "by": "random",
        "method": "",
        "n": 4,
        "refused": {},
        "gold_hit": around(0.5, 0.4, 4),
        "highlight": None,
        "sufficiency": None,
    }
    few = {
        "model": None, "steps": {"random-tokens": about}, "left_out": {}, "agreement": None,
        "completeness": None, "chance": {"gold_hit": None, "gold_hit_top1": None, "highlight": None},
        "keep": {"top": 0.3, "order": "text"},
    }  # fmt: skip
    text = said(**few)
    assert list(text) == ["The model", "Gold option"]
    assert "chance not known" in text["Gold option"]
    assert "30 % of the content words" in text["Gold option"]
    folder = write_saliency(small(tmp_path / "run"), 3, marked_by=("random-tokens",), **few)
    assert "chance not known" in page_of(folder)
    assert list(draw(assemble(compare(read(folder), resamples=50)))) == ["accuracy", "saliency"]
    empty = write_saliency(folder, 0, **{**few, "steps": {}})
    assert "No item of this run has marked words." in page_of(empty)
    assert saliency_table(Saliency(figures(steps={}), (), 0), {}).csv() == ""


def test_agreement_without_numbers_is_a_dash() -> None:
    names, rows = correlations(found(agreement={"n": 2, "names": ["a", "b"], "spearman": [[1.0, None], [None, None]]}))
    assert (names, rows) == (["a", "b"], [[1.0, None], [None, None]])
    assert correlations(found(agreement={"n": 2, "names": ["a", "b"], "spearman": [[1.0]]})) == ([], [])


class Elements(HTMLParser):
    """The elements of a page, and what its data element holds."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.data: dict[str, str] = {}
        self.inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = dict(attrs).get("id") or "" if tag == "script" else ""

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.data[self.inside] = self.data.get(self.inside, "") + data


def test_hostile_ids_words_and_names_are_escaped(tmp_path: Path) -> None:
    folder = write_saliency(small(tmp_path / "run"), 6, EVIL, left_out={EVIL: 2})
    html = page_of(folder)
    assert EVIL not in html
    assert "document.title='pwned'</script>" not in html
    seen = Elements(html)
    assert not [tag for tag, _ in seen.tags if tag == "img"]
    data = json.loads(seen.data["data-words"])
    assert len(data["items"]) == 6
    assert data["items"][0]["id"].endswith(EVIL)
    assert "".join(data["items"][0]["p"][0]) == read_item(folder, f"item-000{EVIL}").text
    results = compare(read(folder), resamples=50)
    assert EVIL not in markdown.render(results, assemble(results), {})


def test_picker_holds_words_shares_and_kept_places(run: Path) -> None:
    data = json.loads(Elements((run / "report.html").read_text(encoding="utf-8")).data["data-words"])
    assert [step["name"] for step in data["steps"]] == list(STEPS)
    assert data["steps"][0]["about"] == "Qwen2.5-0.5B, gradient (l2, max)"
    row = json.loads((run / "saliency" / "items.jsonl").read_text().splitlines()[0])
    item = data["items"][0]
    assert len(item["p"]) == 1, "the words stand once, not once a step"
    for place, step in enumerate(STEPS):
        number, cut, scores, kept = item["m"][place]
        marking = row["markings"][step]
        assert (number, cut) == (place, 0)
        assert [at for at, _ in kept] == marking["kept"]
        assert scores == [round(1000 * score) for score in marking["scores"]]
        assert [item["p"][0][2 * at + 1] for at in marking["kept"]] == [
            row["text"][slice(*marking["spans"][at])] for at in marking["kept"]
        ]


def test_page_holds_a_thousand_items_and_says_when_there_are_more(tmp_path: Path) -> None:
    folder = write_saliency(tmp_path, 1003, marked_by=("salient",))
    read = read_saliency(folder)
    assert read is not None
    assert (len(read.items), read.total) == (1000, 1003)
    assert (
        "The page holds the first 1,000 of 1,003 items; any other: shrinklm explain-saliency RUN --item ID."
        in legend(read)
    )
    assert "first" not in legend(Saliency(read.figures, read.items, 1000))
    assert read_item(folder, "item-1002").id == "item-1002"


@pytest.mark.parametrize("theme", [0, 1])
def test_words_on_the_darkest_shade_can_be_read(theme: int) -> None:
    css = (Path(saliency.__file__).parent / "saliency.css").read_text()
    share = int(re.findall(r"--hot: (\d+)%", css)[theme]) / 100
    colours = variables()[theme]
    mixed = [
        share * hot + (1 - share) * paper
        for hot, paper in zip(_rgb(colours["m1"]), _rgb(colours["paper"]), strict=True)
    ]
    assert _contrast(_rgb(colours["ink"]), mixed) > 4.5
    assert _contrast(_rgb(INK), _rgb(heatmap._mixed(1.0))) > 4.5


def _rgb(colour: str) -> list[float]:
    return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]


def _contrast(first: list[float], second: list[float]) -> float:
    light = []
    for colour in (first, second):
        red, green, blue = (
            part / 255 / 12.92 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in colour
        )
        light.append(0.2126 * red + 0.7152 * green + 0.0722 * blue)
    return (max(light) + 0.05) / (min(light) + 0.05)


def test_terminal_text() -> None:
    console = Console(width=60, file=io.StringIO(), color_system=None)
    console.print(heatmap.terminal(DOOR))
    assert [line.rstrip() for line in console.file.getvalue().splitlines()] == [  # type: ignore[attr-defined]
        "Item q1  gold answer: bank",
        "",
        "salient  Qwen2.5-0.5B, gradient (l2, max)",
        "Question: Is the door",
        "revolving?",
        "Choices: (a) bank",
        "keeps: revolving 50 %, bank 15 %",
        "",
        "random-tokens",
        "Question: Is the door",
        "revolving?",
        "Choices: (a) bank",
        "keeps: no word",
        "",
        "Stronger colour: a larger share of the step's scores.",
        "Underlined: kept.",
    ]


def test_terminal_shades_words_and_underlines_the_kept() -> None:
    console = Console(width=80, file=io.StringIO(), force_terminal=True, color_system="truecolor", legacy_windows=False)
    console.print(heatmap.terminal(DOOR))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    ink, hot, half = (
        ";".join(str(part) for part in _ints(colour)) for colour in (INK, heatmap._mixed(1), heatmap._mixed(0.5))
    )
    assert f"\x1b[1;4;38;2;{ink};48;2;{hot}mrevolving\x1b[0m?" in shown
    assert f"\x1b[38;2;{ink};48;2;{half}mdoor\x1b[0m" in shown
    assert "Is the" not in shown.partition("random-tokens")[0], "a word with a score is shaded"
    assert "Is the door" in shown.partition("random-tokens")[2], "scores of 0 shade nothing"


def _ints(colour: str) -> list[int]:
    return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]


def test_terminal_shows_no_control_character() -> None:
    text = "\x1b[2Jdoor\u202e\x07\tx [red]y[/red]"
    marks = Marks("s", "\x1b]0;title\x07", ((4, 8),), (1.0,), (0,))
    console = Console(width=80, file=io.StringIO(), color_system=None)
    console.print(heatmap.terminal(Marked("\x1b[31mid", text, "[b]a", (marks,))))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", shown)
    assert "[red]y[/red]" in shown
    assert "keeps: door 100 %" in shown


def test_png_has_the_right_size_and_is_the_same_each_time(tmp_path: Path) -> None:
    heatmap.png(DOOR, tmp_path / "a.png")
    first = (tmp_path / "a.png").read_bytes()
    width, height = size(first)
    assert width == 1400
    assert height == pytest.approx(200 * (2 * 0.2 + 15 * 0.21), abs=2), "15 lines"
    assert len(first) > 10_000
    heatmap.png(DOOR, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == first


def test_png_of_hostile_text(tmp_path: Path) -> None:
    text = "$x^2$ \\frac{ 電気 \ud800 " + "w" * 400 + "\n" * 90
    marks = Marks("s", "$", ((0, 5), (20, 420)), (0.5, 0.5), (1,))
    heatmap.png(Marked("$id_", text, "\x00", (marks,) * 6), tmp_path / "a.png")
    width, height = size((tmp_path / "a.png").read_bytes())
    assert 200 < width <= 1400
    assert 2000 < height <= 20_000


def size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG")
    return struct.unpack(">II", png[16:24])


def test_png_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "no").write_text("a file, so no folder can be made here")
    with pytest.raises(StoreError, match=r"no/such.png cannot be written: Not a directory\. Name a file in a folder"):
        heatmap.png(DOOR, tmp_path / "no" / "such.png")


def test_item_is_found_and_one_that_is_not_names_the_nearest(run: Path) -> None:
    found = read_item(run, "item-003")
    assert found.answer == "natural habitat"
    assert [marks.step for marks in found.markings] == list(STEPS)
    assert found.markings[1].about == "smollm2-135m, gradient (l2, max)"
    with pytest.raises(ShrinkError, match=r"No item 'itm-004' among the 12 marked items of .*\. Nearest: item-004, "):
        read_item(run, "itm-004")
    with pytest.raises(ShrinkError, match=r"Nearest: item-000, item-001, item-002\."):
        read_item(run, "?")


def test_a_folder_without_saliency_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ShrinkError, match="Run: shrinklm saliency RECIPE"):
        read_item(tmp_path, "q1")


def row(spans: str, scores: str, kept: str) -> str:
    marking = f'{{"spans": {spans}, "scores": {scores}, "kept": {kept}}}'
    return f'{{"id": "a", "text": "door", "answer": "b", "markings": {{"salient": {marking}}}}}'


@pytest.mark.parametrize(
    "line",
    [
        *("{", "[]", '{"id": "a"}'),
        *(
            row("[[0, 9]]", "[1]", "[]"),
            row("[[0, 4]]", "[1]", "[1]"),
            row("[[0, 4]]", "[NaN]", "[]"),
            row("[[0, 4]]", "[-1]", "[]"),
        ),
        *(
            row("[[2, 4], [0, 2]]", "[1, 1]", "[]"),
            row("[[0, 4]]", "[]", "[]"),
            row("[0]", "[1]", "[]"),
            row('"x"', "[1]", "[]"),
        ),
    ],
)
def test_a_broken_file_says_what_to_run(tmp_path: Path, line: str) -> None:
    folder = write_saliency(tmp_path, 1)
    (folder / "saliency" / "items.jsonl").write_text(line + "\n")
    with pytest.raises(StoreError, match=r"items\.jsonl.* Run: shrinklm saliency RECIPE"):
        read_saliency(folder)
    (folder / "saliency" / "figures.json").write_text("{")
    with pytest.raises(StoreError, match=r"figures\.json cannot be read .* Run: shrinklm saliency RECIPE"):
        read_saliency(folder)


def test_command_prints_and_draws(tmp_path: Path, run: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    (folder / "recipe.yaml").write_text(
        'name: mini\ntask: {use: everyday}\nmethods: [finetune]\nstudent: {use: "tiny"}\n'
    )
    env = json.loads((folder / "env.json").read_text())
    (folder / "env.json").write_text(json.dumps(env | {"root": str(tmp_path)}))
    shown = call("explain-saliency", folder, "--item", "item-002", "--png", tmp_path / "item.png")
    assert shown.exit_code == 0, shown.output
    assert "Item item-002  gold answer: bookstore" in shown.stdout
    assert shown.stdout.count("keeps: ") == 4
    assert size((tmp_path / "item.png").read_bytes())[0] == 1400
    wrong = call("explain-saliency", folder, "--item", "item-0002")
    assert wrong.exit_code == 1
    assert "error: No item 'item-0002'" in wrong.output
    shutil.rmtree(folder / "saliency")
    assert "Run: shrinklm saliency RECIPE" in call("explain-saliency", folder, "--item", "a").output


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium browser")
def test_picker_shows_searches_and_turns(tmp_path: Path) -> None:
    html = page_of(write_saliency(small(tmp_path / "run"), 12, EVIL))
    script = """<script>
    const $ = (id) => document.getElementById(id), log = [];
    const words = (all) => [...document.querySelectorAll(all)].map((node) => node.textContent);
    const picker = $("words-item");
    const state = () => log.push([picker.options.length, picker.selectedIndex, $("words-found").textContent,
      words(".marks h4").length, words(".marks .words")[0],
      words(".marks:first-of-type mark"), words(".keeps")[0], $("words-back").disabled]);
    state(); $("words-next").click(); state();
    picker.selectedIndex = 11; picker.dispatchEvent(new Event("change")); log.push($("words-next").disabled);
    $("words-search").value = "MAGAZINES"; $("words-search").dispatchEvent(new Event("input"));
    const done = () => { log.push($("words-shown").textContent); document.body.dataset.log = JSON.stringify(log); };
    setTimeout(() => {
      state(); $("words-search").value = "nothing like it"; $("words-search").dispatchEvent(new Event("input"));
      setTimeout(done, 400);
    }, 400);
    </script>"""
    (tmp_path / "test.html").write_text(html.replace("</body>", script + "</body>"), encoding="utf-8")
    done = subprocess.run(
        [
            *(str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
            *("--disable-background-networking", "--disable-component-update"),
            f"--user-data-dir={tmp_path / 'profile'}",
            *("--virtual-time-budget=4000", "--dump-dom", f"file://{tmp_path / 'test.html'}"),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    seen = Elements(done.stdout)
    log = json.loads(next(about["data-log"] for tag, about in seen.tags if tag == "body") or "[]")
    item = read_item(tmp_path / "run", f"item-000{EVIL}")
    assert log[0][:4] == [12, 0, "12 items", 4]
    assert log[0][4] == item.text
    assert log[0][5] == [item.text[slice(*item.markings[0].spans[place])] for place in item.markings[0].kept]
    assert log[0][6] == f"keeps: {heatmap.kept(item.text, item.markings[0])}"
    assert (log[0][7], log[1][7]) == (True, False)
    assert log[1][1] == 1
    assert log[2] is True
    assert log[3][:3] == [3, 0, "3 of 12 items"]
    assert log[4] == "No item matches."
    assert not [tag for tag, _ in seen.tags if tag == "img"]
    assert "<title>Which way" in done.stdout
