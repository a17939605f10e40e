"""Who may look into what is written: no file or folder is more open than the folder that it is in."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path


def guarded_folder(folder: Path) -> None:
    """Makes a folder for its owner; and for the group, as far as the umask lets it, where the folder above is one to
    which the group may write, and not everybody. One that is there stays as it is. Raises OSError.
    """
    if not folder.exists():
        folder_below(folder.parent)
        above = folder.parent.stat().st_mode
        shared = above & stat.S_IWGRP and not above & stat.S_IWOTH
        folder.mkdir(mode=0o770 if shared else 0o700, exist_ok=True)


def folder_below(folder: Path) -> None:
    """Makes a folder, and those above it that are missing, each no more open than the one above it. Raises OSError."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        with suppress(FileExistsError):  # another process was faster
            each.mkdir()
            close(each)


def close(path: Path, above: Path | None = None) -> None:
    """Takes from a path the permissions that the folder above it (left out: the one that it is in) does not give."""
    found, given = path.stat().st_mode, (above or path.parent).stat().st_mode
    mode = stat.S_IMODE(found) & (stat.S_IMODE(given) | ~0o077)
    if mode != stat.S_IMODE(found):
        with suppress(OSError):  # of somebody else, or on a file system without permissions
            os.chmod(path, mode)
