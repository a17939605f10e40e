"""The names of labels that a data set's own description holds, beside its files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ..core import safe_yaml
from ..core.tables.columnar import class_labels

_DESCRIPTIONS = ("dataset_infos.json", "dataset_info.json")


def labels_beside(path: Path, config: str | None) -> dict[str, tuple[str, ...]]:
    """Column → the names of its numbers, by dataset_info(s).json or README.md in the folder of a file or above it.

    Where the configurations of a data set differ and none is asked for, a column has no names.
    """
    folder = path if path.is_dir() else path.parent
    for place in (folder, folder.parent):
        named: dict[str, set[tuple[str, ...]]] = {}
        for name, features in _features(place):
            if config is None or name in (config, None):
                for column, names in class_labels(features).items():
                    named.setdefault(column, set()).add(names)
        if named:
            return {column: names.pop() for column, names in named.items() if len(names) == 1}
    return {}


def _features(folder: Path) -> Iterator[tuple[str | None, Any]]:
    """(configuration, features) of every description in a folder."""
    for name in _DESCRIPTIONS:
        data = _json(folder / name)
        if "features" in data:
            yield data.get("config_name"), data["features"]
        else:
            for config, info in data.items():
                if isinstance(info, Mapping):
                    yield config, info.get("features")
    infos = _front_matter(folder / "README.md").get("dataset_info") or ()
    for info in [infos] if isinstance(infos, Mapping) else infos:
        if isinstance(info, Mapping):
            yield info.get("config_name"), _of_card(info.get("features"))


def _json(path: Path) -> Mapping[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, Mapping) else {}


def _front_matter(path: Path) -> Mapping[str, Any]:
    try:
        parts = path.read_text(encoding="utf-8").split("---", 2)
        data = safe_yaml.load(parts[1]) if len(parts) == 3 and not parts[0].strip() else {}
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return {}
    return data if isinstance(data, Mapping) else {}


def _of_card(features: Any) -> dict[str, Any]:
    """The features of a data set card (a list of names and types) in the words of dataset_info.json."""
    found: dict[str, Any] = {}
    for feature in features if isinstance(features, list) else ():
        kind = feature.get("dtype") if isinstance(feature, Mapping) else None
        names = kind.get("class_label", {}).get("names") if isinstance(kind, Mapping) else None
        if isinstance(names, Mapping):
            names = [names[key] for key in sorted(names, key=int)]
        if names:
            found[str(feature.get("name"))] = {"_type": "ClassLabel", "names": names}
    return found
