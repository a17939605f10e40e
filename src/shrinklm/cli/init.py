"""`shrinklm init`: a commented recipe and a sample table to start from."""

from __future__ import annotations

import re
from pathlib import Path

from ..core.errors import RecipeError, StoreError

FOLDER = Path(__file__).parent / "templates"


def init(folder: Path) -> Path:
    """Makes `folder` with recipe.yaml and questions.csv in it; nothing that is there is overwritten.

    Raises:
        RecipeError: the folder holds such a file, or its name cannot be a run's.
        StoreError: it cannot be written.
    """
    files = {
        path.name: path.read_text(encoding="utf-8")
        for path in sorted(FOLDER.iterdir())
        if path.suffix in (".csv", ".yaml")
    }
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-._")
    if not name:
        raise RecipeError(f"'{folder}' gives the run no name. Use letters and digits, such as: shrinklm init my-task")
    for file in files:
        if (folder / file).exists():
            raise RecipeError(
                f"{folder / file} is there already, and nothing is overwritten. Give another name: "
                f"shrinklm init {name}-2"
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            (folder / file).write_text(text.replace("{name}", name), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror or error}. Choose a folder of yours.") from error
    return folder
