"""YAML of others ends in a message, not in minutes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml

from cli_cases import call
from shrinklm.core import safe_yaml

BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))


@pytest.mark.parametrize("text", [BOMB, "a: &a [*a]\n", "a: &a {b: *a}\n"])
def test_aliases_are_bounded(text: str) -> None:
    with pytest.raises(yaml.YAMLError, match="stand for more than"):
        safe_yaml.load(text)


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, "- " * 100_000])
def test_depth_is_bounded(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        safe_yaml.load(text)


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
