"""Rows of a dataset: a CSV, JSONL, JSON, Parquet or Arrow file, a folder of these or of save_to_disk, or a hub name.

A source may name a configuration and a split: "allenai/ai2_arc:ARC-Challenge@test", "my-folder@validation".
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..core.errors import TableError, TaskError
from ..core.remote import fetched, is_url
from ..core.tables import FOLDER_SUFFIXES, SUFFIXES, Layout, Rows, arrow_rows, read_file
from ..core.tables.bound import Bound, size_of, within
from ..core.tables.columnar import class_labels
from ..core.types import Split
from .labels import labels_beside

# The names that datasets give their splits.
SPLIT_NAMES: dict[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "dev": ("dev", "validation", "valid", "val"),
    "test": ("test", "testing"),
}
_SOURCE = re.compile(r"(?P<name>.+?)(?::(?P<config>[\w.-]+))?(?:@(?P<split>[\w.-]+))?\Z")
# Two parts at most: a longer path is that of a file which is missing, and no request to the hub.
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?\Z")
_SHARD = re.compile(r"-\d{5}-of-\d{5}(?:-[0-9a-f]+)?\Z")
_FAR = 1 << 40
"""More than the rows of a file."""
_NOT_DATA = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
"""Metadata that the datasets library writes beside the rows, with a suffix that tables have."""


@dataclass(frozen=True)
class Source:
    """The parts of a source's name."""

    name: str
    config: str | None = None
    split: str | None = None

    @classmethod
    def parse(cls, text: str) -> Source:
        """Parse "owner/name:config@split"."""
        match = _SOURCE.match(text)
        return cls(text) if match is None else cls(match["name"], match["config"], match["split"])

    @property
    def text(self) -> str:
        """The parts joined: what `parse` reads."""
        return self.name + (f":{self.config}" if self.config else "") + (f"@{self.split}" if self.split else "")


def read_rows(source: str, split: Split, root: Path = Path("."), layout: Layout | None = None) -> Rows:
    """The rows of `source`; `split` picks among the files of a folder, the keys of a JSON file or the splits of a hub
    dataset.

    Raises TaskError: nothing is there, it cannot be read, or it is empty.
    """
    with _as_task_error():
        rows = _rows(source, split, root, replace(layout or Layout(), parts=SPLIT_NAMES[split]))
    return replace(rows, read=lambda columns: _checked(rows, columns))


@contextmanager
def _as_task_error() -> Iterator[None]:
    """Raises a table's fault as a fault of the task whose data it holds."""
    try:
        yield
    except TaskError:
        raise
    except TableError as error:
        raise TaskError(str(error)) from error


def _checked(rows: Rows, columns: Sequence[str]) -> Iterator[tuple[int, Sequence[Any]]]:
    # Some faults, such as a row that does not fit the header, show only while the rows are read.
    with _as_task_error():
        yield from rows.read(columns)


def _rows(source: str, split: Split, root: Path, layout: Layout) -> Rows:
    # The name of a file or folder may hold ":" or "@" itself.
    itself = not is_url(source) and _path(root, source).exists()
    requested = Source(source) if itself else Source.parse(source)
    path = _path(root, requested.name)
    if path.is_file():
        return _named(read_file(path, requested.name, replace(layout, part=requested.split)), path, requested)
    if path.is_dir():
        return _named(_folder(path, requested, split, layout), path, requested)
    if path.suffix.lower() in SUFFIXES or not _HUB_NAME.match(requested.name):
        raise TaskError(
            f"No file or folder at {path.resolve()} (for {split}: {source}).{_nearest(path)} Paths start at the recipe."
        )
    return _hub(requested, split, path, layout)


def _named(rows: Rows, path: Path, requested: Source) -> Rows:
    """The rows with the names of labels that stand beside their file, where the file has none itself."""
    return replace(rows, labels={**labels_beside(path, requested.config), **rows.labels})


def _path(root: Path, name: str) -> Path:
    if is_url(name):
        return fetched(name)
    return root / Path(name).expanduser()


def _nearest(path: Path) -> str:
    siblings = [child.name for child in sorted(path.parent.iterdir())] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, siblings, n=3, cutoff=0.5)
    return f" Near it: {', '.join(near)}." if near else ""


def _folder(folder: Path, requested: Source, split: Split, layout: Layout) -> Rows:
    if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
        return _saved(folder, requested, split, layout)
    # Many hub repositories keep each configuration in a folder of its name.
    base = folder / requested.config if requested.config and (folder / requested.config).is_dir() else folder
    files = [path for path in sorted(base.rglob("*")) if path.suffix.lower() in FOLDER_SUFFIXES]
    # Hidden folders hold no rows of the dataset: `hf download --local-dir` leaves a .cache.
    files = [
        path
        for path in files
        if path.is_file()
        and path.name not in _NOT_DATA
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    names = {path: _names(path.relative_to(base)) for path in files}
    wanted = {requested.split} if requested.split else set(SPLIT_NAMES[split])
    chosen = [path for path in files if wanted & names[path]]
    splits = {name for group in SPLIT_NAMES.values() for name in group}
    if not chosen and not requested.split and not any(splits & words for words in names.values()):
        chosen = files  # one table in several files, none of which names a split
    if not chosen:
        listing = ", ".join(str(path.relative_to(folder)) for path in files[:8]) or "none"
        raise TaskError(
            f"{folder} holds no data files for '{requested.split or split}'. Data files found: {listing}. "
            f"Name one file, or {requested.name}@SPLIT. Read are {', '.join(FOLDER_SUFFIXES)}."
        )
    parts = [read_file(path, f"{requested.name}/{path.relative_to(folder)}", layout) for path in chosen]
    return _joined(requested.name, parts)


def _names(path: Path) -> set[str]:
    """The words of a data file's path that may name a split.

    As in train-00000-of-00002.parquet, train/0.csv or csqa_train.jsonl.
    """
    stem = _SHARD.sub("", path.stem)
    words = {word for part in (stem, *path.parts[:-1]) for word in re.split(r"[^a-z0-9]+", part.lower())}
    return words | {stem, *path.parts[:-1]}


def _joined(name: str, parts: Sequence[Rows]) -> Rows:
    # Columns of all parts alone: a row without one of them could not be read.
    columns = tuple(column for column in parts[0].columns if all(column in part.columns for part in parts))

    # A row's number says its part too.
    def read(wanted: Sequence[str]) -> Iterator[tuple[int, Sequence[Any]]]:
        for index, part in enumerate(parts):
            yield from ((index * _FAR + number, values) for number, values in part.read(wanted))

    def place(number: int) -> str:
        return parts[number // _FAR].place(number % _FAR)

    labels = {
        column: names
        for column, names in parts[0].labels.items()
        if all(part.labels.get(column) == names for part in parts)
    }
    return parts[0] if len(parts) == 1 else Rows(name, columns, read, place, labels)


def _saved(folder: Path, requested: Source, split: Split, layout: Layout) -> Rows:
    import datasets

    try:
        data = datasets.load_from_disk(str(folder))
    except Exception as error:
        raise TaskError(
            f"{folder} looks like a folder of save_to_disk but does not load: {error}. Save it again."
        ) from error
    if isinstance(data, datasets.DatasetDict):
        data = data[_pick(list(data), requested, split, str(folder))]
    return _dataset(data, requested.name, layout)


def _pick(splits: Sequence[str], requested: Source, split: Split, where: str) -> str:
    wanted = (requested.split,) if requested.split else SPLIT_NAMES[split]
    matches = [name for name in splits if name in wanted]
    if not matches:
        raise TaskError(
            f"{where} has no split '{requested.split or split}'. Splits found: {', '.join(splits)}. "
            f"Name one with {requested.name}@SPLIT."
        )
    return matches[0]


def _hub(requested: Source, split: Split, path: Path, layout: Layout) -> Rows:
    """A dataset of the hub.

    Source of the call: https://huggingface.co/docs/datasets/package_reference/loading_methods
    """
    import datasets

    wanted = requested.split or {"train": "train", "dev": "validation", "test": "test"}[split]
    try:
        try:
            data = datasets.load_dataset(requested.name, requested.config, split=wanted)
        except RuntimeError as error:
            if "scripts are no longer supported" not in str(error):
                raise
            # The hub keeps a Parquet copy of datasets whose loading script no longer runs.
            data = datasets.load_dataset(
                requested.name, data_dir=requested.config, revision="refs/convert/parquet", split=wanted
            )
    # The network, the hub's reply and the dataset's files fail in many ways, and the user has to see each of them.
    except Exception as error:
        config = f", configuration '{requested.config}'" if requested.config else ""
        raise TaskError(
            f"Cannot load '{requested.name}'{config}, split '{wanted}', from the Hugging Face hub: "
            f"{type(error).__name__}: {error}\n"
            f"No file or folder is called so either (looked at {path.resolve()}).\n"
            f"Without network, fetch it where there is one and put it there:\n"
            f"  hf download {requested.name} --repo-type dataset --local-dir {requested.name}\n"
            f"or name a file of your own in the recipe, under task: {split}: FILE.parquet"
        ) from error
    return _dataset(data, requested.name, layout)


def _dataset(data: Any, name: str, layout: Layout) -> Rows:
    if not len(data):
        raise TaskError(f"{name} is empty. A table needs at least one row.")
    bound = Bound.of(name, size_of(file["filename"] for file in data.cache_files), layout)
    bound.check_rows(len(data))

    def batches(wanted: Sequence[str]) -> Iterator[Any]:
        yield from within(data.select_columns(list(wanted)).with_format("arrow").iter(batch_size=1000), bound)

    # The library's own words for its features, as it writes them into files.
    features = {
        name: {"_type": type(kind).__name__, "names": getattr(kind, "names", None)}
        for name, kind in data.features.items()
    }
    return arrow_rows(name, data.column_names, batches, class_labels(features))
