"""`shrinklm init`: a commented recipe and a sample table to start from."""

from __future__ import annotations

import re
from pathlib import Path

from ..core.errors import RecipeError
from ..core.files import write_together

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
    contents = {file: text.replace("{name}", name).encode("utf-8") for file, text in files.items()}
    write_together(folder, contents, "Choose a folder of yours.")
    return folder
