"""A student's tokenizer as metadata of a GGUF file, for the kinds that llama.cpp has."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ...core.errors import ModelError
from .around import around

_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
_MARKS = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SPLITS: Mapping[tuple[Any, ...], str] = {
    ("bytes",): "gpt-2",
    ("digits", "bytes"): "smollm",
    (_WORDS + _MARKS, "plain bytes"): "qwen2",
    (_WORDS + "{1,3}" + _MARKS, "plain bytes"): "smaug-bpe",
    (_WORDS + "{1,3}" + _MARKS, "plain bytes", "whole words"): "llama-bpe",
}
"""How a byte-level tokenizer cuts a text into words → the name under which llama.cpp has the same expression."""
BLANK = "▁"
BLANK_BEFORE = "shrinklm.blank_before_target"
"""Metadata of ours: whether llama.cpp must read a blank before a target, to cut it into tokens as in training."""


def write_tokenizer(writer: Any, tokenizer: Any, size: int, template: str) -> None:
    """Writes the metadata of a tokenizer.

    Args:
        writer: A `gguf.GGUFWriter`.
        tokenizer: Of transformers.
        size: The rows of the embeddings, of which the last may have no token.
        template: The chat template.

    Raises ModelError for a kind that llama.cpp does not have.
    """
    import gguf

    if not tokenizer.is_fast:
        raise _unknown(f"{type(tokenizer).__name__} has no tokenizer.json")
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    if content["model"]["type"] != "BPE":
        raise _unknown(f"its model is {content['model']['type']}, and not BPE")
    tokens, types = _vocabulary(content, tokenizer, size)
    in_bytes = _in_bytes(content)
    if not in_bytes and not content["model"].get("byte_fallback"):
        raise _unknown("it has no tokens for single bytes")
    leading = not in_bytes and _leading_blank(content)
    # Single values first: `read_head` reads no further than the first list.
    # A Metaspace step puts no blank before a text that begins with one; llama.cpp does, as a normaliser's Prepend.
    writer.add_bool(BLANK_BEFORE, not leading or content["pre_tokenizer"] is None)
    writer.add_tokenizer_model("gpt2" if in_bytes else "llama")
    writer.add_tokenizer_pre(_split(content) if in_bytes else "default")
    writer.add_add_space_prefix(leading)
    writer.add_chat_template(template)
    _special(writer, tokenizer)
    if in_bytes:
        writer.add_token_merges([" ".join(merge) for merge in _merges(content)])
    else:
        writer.add_token_scores(_scores(content, tokens))
        bytes_ = [kind == gguf.TokenType.NORMAL and _is_byte(token) for token, kind in zip(tokens, types, strict=True)]
        types = [gguf.TokenType.BYTE if byte else kind for byte, kind in zip(bytes_, types, strict=True)]
    writer.add_token_list(tokens)
    writer.add_token_types([int(kind) for kind in types])


def _special(writer: Any, tokenizer: Any) -> None:
    own = around(tokenizer)
    first, last = tokenizer.bos_token_id, tokenizer.eos_token_id
    if own.before not in ((), (first,)) or own.after not in ((), (last,)):
        names = tokenizer.convert_ids_to_tokens([*own.before, *own.after])
        raise _unknown(f"it puts {', '.join(names)} around a prompt, and llama.cpp its first and last token alone")
    # llama.cpp takes token 11 for the first of a text where none is named; this one is never put there.
    writer.add_bos_token_id(last if first is None else first)
    writer.add_eos_token_id(last)
    if tokenizer.unk_token_id is not None:
        writer.add_unk_token_id(tokenizer.unk_token_id)
    if tokenizer.pad_token_id is not None:
        writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_add_bos_token(bool(own.before))
    writer.add_add_eos_token(bool(own.after))


def _vocabulary(content: Mapping[str, Any], tokenizer: Any, size: int) -> tuple[list[str], list[Any]]:
    """(token, type) of each row of the embeddings."""
    import gguf

    found = {number: token for token, number in content["model"]["vocab"].items()}
    kinds = dict.fromkeys(found, gguf.TokenType.NORMAL)
    for added in content["added_tokens"]:
        found[added["id"]] = added["content"]
        kinds[added["id"]] = gguf.TokenType.CONTROL if added["special"] else gguf.TokenType.USER_DEFINED
    unknown = tokenizer.unk_token_id
    if unknown is not None and not _in_bytes(content):
        kinds[unknown] = gguf.TokenType.UNKNOWN
    if found and max(found) >= size:
        raise _unknown(f"it has token {max(found)}, and the embeddings {size} rows")
    numbers = range(size)
    return (
        [found.get(number, f"[PAD{number}]") for number in numbers],
        [kinds.get(number, gguf.TokenType.UNUSED) for number in numbers],
    )


def _steps(part: Mapping[str, Any] | None, key: str) -> list[Mapping[str, Any]]:
    """The steps of a sequence; a step alone; none."""
    if part is None:
        return []
    return list(part[key]) if part["type"] == "Sequence" else [part]


def _in_bytes(content: Mapping[str, Any]) -> bool:
    steps = _steps(content["pre_tokenizer"], "pretokenizers")
    return any(step["type"] == "ByteLevel" for step in steps)


def _split(content: Mapping[str, Any]) -> str:
    """The name under which llama.cpp knows how a byte-level tokenizer cuts words."""
    key: list[Any] = []
    for step in _steps(content["pre_tokenizer"], "pretokenizers"):
        if step["type"] == "ByteLevel" and not step["add_prefix_space"]:
            key.append("bytes" if step["use_regex"] else "plain bytes")
        elif step["type"] == "Digits" and step["individual_digits"]:
            key.append("digits")
        elif step["type"] == "Split" and step["behavior"] == "Isolated" and not step["invert"]:
            key.append(step["pattern"].get("Regex"))
        else:
            raise _unknown(f"it cuts words by {json.dumps(step)}")
    if content["model"].get("ignore_merges"):
        key.append("whole words")
    # Of a text that is written in composed letters, NFC changes nothing; the prompts are compared afterwards.
    if any(step["type"] != "NFC" for step in _steps(content["normalizer"], "normalizers")):
        raise _unknown(f"it changes texts by {json.dumps(content['normalizer'])}")
    if tuple(key) not in _SPLITS:
        raise _unknown(f"llama.cpp has no name for how it cuts words: {key}")
    return _SPLITS[tuple(key)]


def _merges(content: Mapping[str, Any]) -> list[Sequence[str]]:
    return [merge.split(" ") if isinstance(merge, str) else merge for merge in content["model"]["merges"]]


def _scores(content: Mapping[str, Any], tokens: Sequence[str]) -> list[float]:
    """A score for each token: llama.cpp joins the two neighbours whose token has the highest, here the first merged."""
    rank: dict[str, int] = {}
    for place, (left, right) in enumerate(_merges(content)):
        rank.setdefault(left + right, place)
    return [-float(rank.get(token, len(rank))) for token in tokens]


def _leading_blank(content: Mapping[str, Any]) -> bool:
    """Whether a blank is put before a text. Raises ModelError for what else is done to it."""
    leading = False
    for step in _steps(content["normalizer"], "normalizers"):
        if step["type"] == "Prepend" and step["prepend"] == BLANK:
            leading = True
        elif step["type"] != "Replace" or step["pattern"] != {"String": " "} or step["content"] != BLANK:
            raise _unknown(f"it changes texts by {json.dumps(step)}")
    for step in _steps(content["pre_tokenizer"], "pretokenizers"):
        apart = step.get("split", True) and any(BLANK in token[1:] for token in content["model"]["vocab"])
        if step["type"] == "Metaspace" and not apart:
            leading |= step["prepend_scheme"] in ("always", "first")
        # Gemma's cuts at a blank after blanks were replaced: at nothing.
        elif step["type"] != "Split" or step["pattern"] != {"String": " "}:
            raise _unknown(f"it cuts words by {json.dumps(step)}, and llama.cpp's SentencePiece cuts none")
    return leading


def _is_byte(token: str) -> bool:
    return len(token) == 6 and token.startswith("<0x") and token.endswith(">")


def _unknown(why: str) -> ModelError:
    return ModelError(
        f"llama.cpp cannot read this student's tokenizer: {why}. Take --to onnx or --to safetensors, which keep "
        "tokenizer.json."
    )
