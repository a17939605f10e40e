"""A student with its card in a folder, and what would be uploaded of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import StoreError
from ...core.files import write_text
from ..answering import NOTE
from ..formats.written import FORMATS
from .about import About
from .card import README, card

if TYPE_CHECKING:
    from ...students.base import BaseStudent


_WRITTEN = (".safetensors", ".json", ".jinja", ".model")
_NAMED = (README, "merges.txt", "vocab.txt")
"""Endings and names of the files of a student: weights, settings, template and tokenizer."""


@dataclass(frozen=True)
class Package:
    """What a folder holds."""

    files: Mapping[str, int]
    """Name → bytes."""
    card: str
    checks: tuple[str, ...]
    """What the card lacks or says of licences, in sentences; () where nothing is to be looked at."""


def check_place(folder: Path) -> None:
    """Raises StoreError for a folder that holds something else than a student with its card."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not _holds_student(folder)):
        raise StoreError(f"{folder} holds something else than a student with its card. Name another one with --to.")


def _holds_student(folder: Path) -> bool:
    """Whether a folder holds a student with its card, and nothing that would be lost, such as a clone's history."""
    ours = all((folder / name).is_file() for name in (NOTE, README))
    return ours and all(
        path.is_file() and (path.suffix in _WRITTEN or path.name in _NAMED) for path in folder.iterdir()
    )


def write_package(student: BaseStudent, about: About, title: str, folder: Path) -> Package:
    """Writes weights, tokenizer, generation_config.json, answering.json and the card into an empty folder.

    Args:
        student: In float32.
        about: What is known of it.
        title: The model's name on its card.
        folder: Is written.
    """
    FORMATS["safetensors"].write(student, about.answering, folder, 32)
    about.answering.write(folder)
    text = card(about, title, folder)
    write_text(folder / README, text)
    files = {str(path.relative_to(folder)): path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()}
    return Package(files, text, (*_lacks(text), *about.warnings))


def _lacks(text: str) -> list[str]:
    """What the card's front matter does not say. Raises ValueError where huggingface_hub cannot read it."""
    from huggingface_hub import ModelCard

    data: Any = ModelCard(text).data
    checks = {
        "no licence (license: unknown), since that of the base model is not known": data.license == "unknown",
        "no base model, since it is none on the Hub": not data.base_model,
        "no data set, since it is none on the Hub": not data.datasets,
        "no language, since that of the questions is not known": not data.language,
        "no results, since no answer was scored": not data.eval_results,
    }
    return [f"The card names {what}." for what, lacks in checks.items() if lacks]
