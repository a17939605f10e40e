"""YAML of others ends in a message, not in minutes."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from cli_cases import call
from shrinklm.core import safe_yaml

ROOT = Path(__file__).parents[1]
BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))


@pytest.mark.parametrize("text", [BOMB, "a: &a [*a]\n", "a: &a {b: *a}\n"])
def test_aliases_are_bounded(text: str) -> None:
    with pytest.raises(yaml.YAMLError, match="stand for more than"):
        safe_yaml.load(text)


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, "- " * 100_000])
def test_depth_is_bounded(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        safe_yaml.load(text)


def test_levels_that_libyaml_follows_are_bounded_in_a_thread_too() -> None:
    texts = ["[" * 1000, "{a: " * 500, "- " * 1000, "? " * 1000]
    with ThreadPoolExecutor(1) as pool:
        for text in texts:
            assert isinstance(pool.submit(safe_yaml.load, text).exception(), safe_yaml.TooMuch)


@pytest.mark.parametrize("path", sorted(ROOT.glob("recipes/*.yaml")) + sorted(ROOT.glob("src/**/*.yaml")), ids=str)
def test_libyaml_reads_what_pythons_own_reader_does(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert safe_yaml.load(text) == yaml.safe_load(text)


@pytest.mark.parametrize(
    "text", ["a: [1, 2", "a: 1\n b: 2", "\t- x", "a: !!python/object:os.system x", "a: \x07", "--- a\n--- b"]
)
def test_messages_are_in_the_words_of_pythons_own_reader(text: str) -> None:
    with pytest.raises(yaml.YAMLError) as theirs:
        yaml.safe_load(text)
    with pytest.raises(yaml.YAMLError) as ours:
        safe_yaml.load(text)
    assert str(ours.value) == str(theirs.value)


def test_ordinary_aliases_are_read() -> None:
    found = safe_yaml.load("a: &a {b: 1}\nc: *a\nd: [*a, *a]\n")
    assert found == {"a": {"b": 1}, "c": {"b": 1}, "d": [{"b": 1}] * 2}
    assert safe_yaml.load("") is None


@pytest.mark.parametrize("text", [BOMB, "[" * 100_000])
def test_a_recipe_of_somebody_else_ends_in_a_message(text: str, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    began = time.process_time()
    done = call("plan", tmp_path / "recipe.yaml")
    assert done.exit_code == 1
    assert "recipe.yaml cannot be read as YAML" in done.output, done.output
    assert time.process_time() - began < 10
