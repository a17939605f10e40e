"""The words of the participants' pages, in one file for each language."""

from __future__ import annotations

import string
from collections.abc import Mapping
from pathlib import Path

import yaml

from ...core import safe_yaml
from ...core.errors import StudyError

ENGLISH = Path(__file__).parent / "texts.en.yaml"
LATER = frozenset({"wait_title", "wait_text", "wait_button"})
"""Texts that translations made for earlier versions lack: English ones stand in for them."""


class Texts:
    """The texts by key, with {placeholders} filled in."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def __call__(self, key: str, /, **values: object) -> str:
        """Return the text of a key. Raises KeyError for an unknown one."""
        return self._texts[key].format(**values) if values else self._texts[key]

    @classmethod
    def read(cls, path: Path | None = None) -> Texts:
        """Read the texts of a file; None: English. Raises StudyError for missing, unknown or unfillable ones."""
        english = _load(ENGLISH)
        if path is None:
            return cls(english)
        texts = _load(path)
        for what, names in (
            ("lacks", english.keys() - texts.keys() - LATER),
            ("has, unknown here,", texts.keys() - english.keys()),
        ):
            if names:
                raise StudyError(f"{path} {what} {', '.join(sorted(names))}. Its keys are those of {ENGLISH}.")
        for key, text in texts.items():
            if _placeholders(path, key, text) != _placeholders(ENGLISH, key, english[key]):
                raise StudyError(f"{path}: '{key}' must hold the same {{braces}} as in English: {english[key]!r}")
        return cls({**{key: english[key] for key in LATER}, **texts})


def _load(path: Path) -> dict[str, str]:
    try:
        data = safe_yaml.load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise StudyError(f"{path} cannot be read as YAML: {error}. It is named by `texts` in study.yaml.") from error
    if not isinstance(data, dict) or not all(
        isinstance(key, str) and isinstance(text, str) and text for key, text in data.items()
    ):
        raise StudyError(f"{path} must hold a text for each key. Start from a copy of {ENGLISH}.")
    return data


def _placeholders(path: Path, key: str, text: str) -> set[str]:
    try:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    except ValueError as error:
        raise StudyError(
            f"{path}: '{key}' has a brace too many or too few ({error}). Write {{{{ for a brace itself."
        ) from error


def paragraphs(text: str) -> list[str]:
    """Split a text into paragraphs at empty lines."""
    return [" ".join(block.split()) for block in text.split("\n\n") if block.strip()]
