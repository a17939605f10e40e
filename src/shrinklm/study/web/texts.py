"""The words of the participants' pages, in one file for each language."""

from __future__ import annotations

import string
from collections.abc import Mapping
from pathlib import Path

import yaml

from ...core.errors import StudyError

ENGLISH = Path(__file__).parent / "texts.en.yaml"


class Texts:
    """Key → text, with what stands in {braces} filled in."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def __call__(self, key: str, /, **values: object) -> str:
        """The text of a key. Raises KeyError for one that no file has."""
        return self._texts[key].format(**values) if values else self._texts[key]

    @classmethod
    def read(cls, path: Path | None = None) -> Texts:
        """The texts of a file; None: English. Raises StudyError for missing, unknown or unfillable ones."""
        english = _load(ENGLISH)
        if path is None:
            return cls(english)
        found = _load(path)
        for what, names in (
            ("lacks", english.keys() - found.keys()),
            ("has, unknown here,", found.keys() - english.keys()),
        ):
            if names:
                raise StudyError(f"{path} {what} {', '.join(sorted(names))}. Its keys are those of {ENGLISH}.")
        for key, text in found.items():
            if _holes(path, key, text) != _holes(ENGLISH, key, english[key]):
                raise StudyError(f"{path}: '{key}' must hold the same {{braces}} as in English: {english[key]!r}")
        return cls(found)


def _load(path: Path) -> dict[str, str]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise StudyError(f"{path} cannot be read as YAML: {error}. It is named by `texts` in study.yaml.") from error
    if not isinstance(data, dict) or not all(
        isinstance(key, str) and isinstance(text, str) and text for key, text in data.items()
    ):
        raise StudyError(f"{path} must hold a text for each key. Start from a copy of {ENGLISH}.")
    return data


def _holes(path: Path, key: str, text: str) -> set[str]:
    try:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    except ValueError as error:
        raise StudyError(
            f"{path}: '{key}' has a brace too many or too few ({error}). Write {{{{ for a brace itself."
        ) from error


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a text, which empty lines part."""
    return [" ".join(block.split()) for block in text.split("\n\n") if block.strip()]
