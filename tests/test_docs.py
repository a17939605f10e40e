"""What the documentation says is what the code does."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from shrinklm.methods.terms import TERMS
from shrinklm.methods.weighing import RULES

ROOT = Path(__file__).parent.parent


def _build():
    spec = importlib.util.spec_from_file_location("docs_build", ROOT / "docs" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("file", ["recipe.md", "cli.md", "form.md"])
def test_generated_pages_are_up_to_date(file):
    assert (ROOT / "docs" / file).read_text(encoding="utf-8") == _build().PAGES[file](), "Run: python docs/build.py"


@pytest.mark.slow
def test_the_python_in_the_readme_runs(tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    monkeypatch.chdir(tmp_path)
    for block in blocks:
        # Every question more is only asked or trained once more.
        for written, fewer in (
            ('"dev": 10', '"dev": 3'),
            ('"test": 20', '"test": 3'),
            ('"examples": 80', '"examples": 16'),
        ):
            assert written in block
            block = block.replace(written, fewer)
        exec(compile(block, "README.md", "exec"), {"__name__": "readme"})
    assert "report.html" in capsys.readouterr().out
    assert (tmp_path / "runs").is_dir()


def test_the_teacher_in_the_concepts_page_is_a_teacher():
    from shrinklm import Example, Prompt, Sampling

    block = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8"), re.DOTALL)[
        0
    ]
    scope: dict[str, object] = {}
    exec(compile(block, "concepts.md", "exec"), scope)
    said = list(
        scope["Shout"]().complete([Prompt((), Example("1", "q", ("a", "b"), "a"), "explanation", "a")], Sampling())
    )
    assert said[0][0] == 0
    assert said[0][1].text.startswith("A fits")


def test_every_defect_of_the_original_has_its_test():
    page = (ROOT / "docs" / "honey.md").read_text(encoding="utf-8")
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("test_*.py"))
    rows = {int(number): row for number, row in re.findall(r"^\| (\d+) \|(.*)\|$", page, re.MULTILINE)}
    assert sorted(rows) == list(range(1, 32))
    for number, row in rows.items():
        named = re.findall(r"`(test_\w+)`", row)
        assert named or "does not apply" in row, number
        for name in named:
            assert re.search(rf"^def {name}\b", tests, re.MULTILINE), name


@pytest.mark.parametrize(
    "page", sorted(path.relative_to(ROOT).as_posix() for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
)
def test_links_lead_somewhere(page):
    path = ROOT / page
    for link in re.findall(r"\]\(([^)#\s]+)\)", path.read_text(encoding="utf-8")):
        if not link.startswith("http"):
            assert (path.parent / link).exists(), link


def test_each_section_of_methods_has_one_pattern_and_a_row_of_the_table():
    text = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    _, choice, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
    titles = [section.splitlines()[0] for section in sections]
    assert len(set(titles)) == len(titles)
    parts = ("What it is.", "How to ask for it.", "What it needs from the teacher.", "What it costs.",
             "When to take it.", "How it was checked.")  # fmt: skip
    for title, section in zip(titles, sections, strict=True):
        assert [found for found in re.findall(r"^\*\*(.*?)\*\*", section, re.MULTILINE) if found in parts] == [
            *parts
        ], title
        assert section.count("```") % 2 == 0, title
    rows = [line for line in choice.splitlines() if line.startswith("|")]
    for name in (*TERMS, *(f"weigh={rule}" for rule in RULES)):
        assert any(re.search(rf"`{name}\b", row.split("|")[1]) for row in rows), f"no row about {name}"
