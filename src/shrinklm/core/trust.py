"""Whether the code that a recipe names may run: what lies in the current project may, of anything else somebody says.

What was said holds for this process. A recipe that is sent to another process takes it along (`carried`, `take`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .errors import RecipeError
from .remote import top_of

VARIABLE = "SHRINKLM_TRUST"
"""The environment variable that lists folders whose recipes are trusted, as PATH lists folders."""
_MARKS = (".git", "pyproject.toml")
# Not `.shrinklm`: a store is made beside any recipe that is run, one from somebody else too.

Carried = tuple[bool, tuple[str, ...]]
"""(whether everything is trusted; the files that are)."""

_everything = False
_files: set[Path] = set()
_ask: Callable[[str], bool] | None = None


def project() -> Path | None:
    """The folder whose recipes are one's own: at or above the working directory, the nearest with .git or
    pyproject.toml; without one, the working directory. None in the home folder, above it, and in folders to which
    everybody may write: what others put there would be in it.
    """
    start = _here()
    if start is None:
        return None
    for folder in (start, *start.parents):
        if _open_to_all(folder):
            break
        if any((folder / mark).exists() for mark in _MARKS):
            return folder
    return None if _open_to_all(start) else start


def trusted(file: Path) -> bool:
    """Whether the code that a recipe names may run without a question."""
    file = file.resolve()
    if _everything or file in _files or any(file.is_relative_to(folder) for folder in _listed()):
        return True
    if top_of(file) is not None:  # whoever may write to its URL wrote it, wherever the mirror lies
        return False
    own = project()
    if own is None or not file.is_relative_to(own):
        return False
    # A repository inside is a project of its own: that of somebody else was cloned there.
    between = (folder for folder in file.parents if folder != own and folder.is_relative_to(own))
    return not any((folder / ".git").exists() for folder in between)


def trust(file: Path) -> None:
    """Says that the code that a recipe names may run."""
    _files.add(file.resolve())


def need(file: Path, code: Sequence[str]) -> None:
    """Asks whether code may run, where nothing tells.

    Args:
        file: The recipe that names it.
        code: Lines about it: the key of the recipe, what it names, and where that lies.

    Raises RecipeError where the answer is no, and where nobody can be asked.
    """
    if not code:
        return
    if not trusted(file):
        own = project()
        place = f"outside the current project ({own})" if own else f"in no project ({_here() or 'this folder'} is none)"
        found = f"{file} lies {place} and names code, which runs with all that you may do:\n"
        found += "\n".join(f"  {line}" for line in code)
        if _ask is None:
            raise RecipeError(
                f"{found}\nRead it first. If you trust it, add --trust to the command (in Python: "
                f"Recipe.read(path, trust=True), open_run(folder, trust=True)), or list its folder in ${VARIABLE}."
            )
        if not _ask(found):
            raise RecipeError(f"The code that {file} names was not run, as you answered.")
    trust(file)  # a process elsewhere may have another project


@contextmanager
def answering(everything: bool, ask: Callable[[str], bool] | None) -> Iterator[None]:
    """Who answers within the block: `everything` is trusted, or `ask` is given what was found, or nobody is asked."""
    global _everything, _ask
    before = _everything, _ask
    _everything, _ask = everything or _everything, ask
    try:
        yield
    finally:
        _everything, _ask = before


def carried() -> Carried:
    """What was said here, for another process."""
    return _everything, tuple(sorted(map(str, _files)))


def take(said: Carried) -> None:
    """Adopts what was said in the process that this one works for."""
    global _everything
    _everything = _everything or said[0]
    _files.update(map(Path, said[1]))


def _listed() -> Collection[Path]:
    listed = [Path(part).expanduser() for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    if wrong := [part for part in listed if not part.is_absolute()]:
        raise RecipeError(f"${VARIABLE} lists folders by their whole paths, found '{wrong[0]}'. To trust once: --trust")
    return [part.resolve() for part in listed]


def _here() -> Path | None:
    try:
        return Path.cwd().resolve()
    except OSError:  # it was removed
        return None


def _open_to_all(folder: Path) -> bool:
    home = Path(os.path.expanduser("~")).resolve()
    return folder in (home, *home.parents) or bool(folder.stat().st_mode & stat.S_IWOTH)
