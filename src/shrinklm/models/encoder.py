"""Texts → vectors, by a small sentence-embedding model; and, where one is named, whether one text follows from another.

Weights are read when the first text is encoded. No text is cut: one that is longer than the model reads is encoded in
pieces.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import ModelError, RecipeError
from .load import load_encoder, read_config
from .locate import ENCODER, ENCODER_INSTALL, Model, locate_model, packaged_encoder

Vectors = NDArray[np.float32]

NO_MODEL = (
    "This metric asks an entailment model, and none is named (none is packaged). Name a classifier or its folder, such "
    "as evaluate: {entailment: MoritzLaurer/DeBERTa-v3-base-mnli-fever-anli}"
)
LABELS = ("entailment", "neutral", "contradiction")
_TOKENS = 8192
"""Padded tokens in one pass: long texts form smaller batches, so that memory does not grow with their length."""


class Encoder:
    """A sentence-embedding model.

    Args:
        ref: Folder or hub id of an encoder such as BERT; None: the packaged `all-minilm-l6-v2`.
        root: The folder that relative paths start from.
        entailment: Folder or hub id of a natural-language-inference classifier, for `relations`. None is packaged.

    Raises ModelError when there is no such model.
    """

    def __init__(self, ref: str | None = None, root: Path = Path("."), entailment: str | None = None) -> None:
        self.model = _find(ref or ENCODER, root)
        self.judge = None if entailment is None else _find(entailment, root)
        self._known: dict[str, Vectors] = {}
        self._related: dict[tuple[str, str], list[float]] = {}

    @property
    def name(self) -> str:
        """The names and revisions of its models."""
        return " ".join(f"{model.name}@{model.revision}" for model in (self.model, self.judge) if model is not None)

    def check(self) -> None:
        """Raises ModelError when the configuration of one of its models cannot be read, or is of another kind."""
        read_config(self.model, "an encoder")
        if self.judge is not None:
            _order(self.judge, read_config(self.judge, "an entailment model"))

    def embed(self, texts: Sequence[str]) -> Vectors:
        """[texts, d]: mean of the last layer over all tokens of each text, as unit vectors; zeros for an empty text.

        As sentence-transformers pools it. A text is encoded once, whatever number of metrics asks for it.
        """
        new = list(dict.fromkeys(text for text in texts if text not in self._known))
        for index, pieces in self._net.encode(new):
            # Weighted by length: the mean over all tokens, whatever pieces a long text was read in.
            weights = [len(piece) for piece in pieces]
            mean = (
                np.average([piece.mean(0) for piece in pieces], axis=0, weights=weights)
                if pieces
                else np.zeros(self._net.width)
            )
            self._known[new[index]] = unit(mean.astype(np.float32))
        return np.stack([self._known[text] for text in texts]) if texts else np.zeros((0, self._net.width), np.float32)

    def tokens(self, texts: Sequence[str]) -> list[Vectors]:
        """For each text [tokens, d]: unit vectors of the last layer without the special tokens; [0, d] when empty."""
        before, after = map(len, self._net.special)
        vectors: dict[str, Vectors] = {}
        distinct = list(dict.fromkeys(texts))
        for index, pieces in self._net.encode(distinct):
            inner = [piece[before : len(piece) - after] for piece in pieces]
            vectors[distinct[index]] = (
                unit(np.concatenate(inner)) if inner else np.zeros((0, self._net.width), np.float32)
            )
        return [vectors[text] for text in texts]

    def relations(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """[pairs, 3]: the probabilities of `LABELS`, that the second text follows from the first, and so on.

        Raises RecipeError when no entailment model is named, ModelError when the named model is no such classifier.
        """
        if self.judge is None:
            raise RecipeError(NO_MODEL)
        new = list(dict.fromkeys(pair for pair in pairs if pair not in self._related))
        for index, probabilities in self._classifier.classify(new):
            self._related[new[index]] = probabilities
        return np.array([self._related[pair] for pair in pairs], dtype=np.float64).reshape(-1, len(LABELS))

    @cached_property
    def _net(self) -> _Net:
        return _Net(self.model)

    @cached_property
    def _classifier(self) -> _Classifier:
        assert self.judge is not None
        return _Classifier(self.judge)


def installed() -> bool:
    """Whether the packaged encoder is there."""
    return packaged_encoder() is not None


def unit(vectors: Vectors) -> Vectors:
    """Vectors of length 1 along the last axis; a vector of zeros stays."""
    size = np.linalg.norm(vectors, axis=-1, keepdims=True)
    units: Vectors = np.divide(vectors, size, out=np.zeros_like(vectors), where=size > 0)
    return units


def _find(ref: str, root: Path) -> Model:
    """The model that a recipe names; the packaged one is a folder of its package."""
    if ref == ENCODER and not installed():
        raise ModelError(
            f"The encoder '{ENCODER}' is not installed. Run: {ENCODER_INSTALL}\n"
            "Or name another: evaluate: {encoder: PATH_OR_ID}"
        )
    return locate_model(ref, root)


class _Net:
    """The encoder's weights."""

    def __init__(self, model: Model) -> None:
        from transformers import AutoModel

        self.net, self.tokenizer = load_encoder(model, AutoModel, "an encoder")
        self.width = int(self.net.config.hidden_size)
        self.special = _special(self.tokenizer)
        self.longest = _longest(self.net, self.tokenizer)

    def encode(self, texts: Sequence[str]) -> Iterator[tuple[int, list[Vectors]]]:
        """(index, pieces) of each text: vectors [tokens, d], special tokens too.

        A piece holds at most `longest` tokens; an empty text has none.
        """
        import torch

        before, after = self.special
        room = self.longest - len(before) - len(after)
        # Not verbose: the tokenizer's warning about the length would be wrong, since the ids are cut into pieces below.
        ids = [self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] for text in texts]
        pieces = [
            (text_index, text_ids[start : start + room])
            for text_index, text_ids in enumerate(ids)
            for start in range(0, len(text_ids), room)
        ]
        encoded: dict[int, list[tuple[int, Vectors]]] = {text_index: [] for text_index in range(len(texts))}
        rows = [(text_index, order, [*before, *piece, *after]) for order, (text_index, piece) in enumerate(pieces)]
        for batch in _batches(rows, lambda row: len(row[2])):
            inputs = self.tokenizer.pad({"input_ids": [row for _, _, row in batch]}, return_tensors="pt")
            inputs = inputs.to(self.net.device)
            with torch.inference_mode():
                hidden = self.net(**inputs).last_hidden_state.float().cpu().numpy()
            masks = inputs["attention_mask"].cpu().numpy()
            for (text_index, order, row), vectors, mask in zip(batch, hidden, masks, strict=True):
                # By the mask, since a tokenizer may pad on either side.
                encoded[text_index].append((order, vectors[mask.astype(bool)][: len(row)]))
        for text_index, vectors_by_order in encoded.items():
            yield text_index, [vectors for _, vectors in sorted(vectors_by_order, key=lambda item: item[0])]


class _Classifier:
    """A natural-language-inference classifier."""

    def __init__(self, model: Model) -> None:
        from transformers import AutoModelForSequenceClassification

        self.net, self.tokenizer = load_encoder(model, AutoModelForSequenceClassification, "an entailment model")
        self.order = _order(model, self.net.config)

    def classify(self, pairs: Sequence[tuple[str, str]]) -> Iterator[tuple[int, list[float]]]:
        """(index, probabilities in the order of `LABELS`) of each pair; of a pair too long the longer text is cut."""
        import torch

        rows = list(enumerate(pairs))
        longest = _longest(self.net, self.tokenizer)
        # The size is a guess, a token for three characters: exact lengths would mean to tokenise everything twice.
        for batch in _batches(rows, lambda row: (len(row[1][0]) + len(row[1][1])) // 3):
            first, second = [pair[0] for _, pair in batch], [pair[1] for _, pair in batch]
            inputs = self.tokenizer(
                first, second, padding=True, truncation="longest_first", max_length=longest, return_tensors="pt"
            )
            with torch.inference_mode():
                logits = self.net(**inputs.to(self.net.device)).logits
            probabilities = logits.float().softmax(-1).cpu()[:, self.order]
            yield from zip((index for index, _ in batch), probabilities.tolist(), strict=True)


def _order(model: Model, config: Any) -> list[int]:
    """The columns of `LABELS` in what a classifier gives. Raises ModelError when it has other labels."""
    names = {str(name).lower(): int(column) for column, name in config.id2label.items()}
    try:
        # By their first letters in lower case: checkpoints write "ENTAILMENT" or "contradict" as they like.
        return [next(column for name, column in names.items() if name.startswith(label[:7])) for label in LABELS]
    except StopIteration:
        raise ModelError(
            f"{model.ref} is not an entailment model: its labels are {', '.join(names)}; "
            f"needed are {', '.join(LABELS)}."
        ) from None


def _special(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens that stand before and after a text."""
    # Read off an example, since tokenizers have no common way to state them.
    bare, whole = (list(tokenizer("a", add_special_tokens=add)["input_ids"]) for add in (False, True))
    start = next(start for start in range(len(whole)) if whole[start : start + len(bare)] == bare)
    return whole[:start], whole[start + len(bare) :]


def _longest(net: Any, tokenizer: Any) -> int:
    """The most tokens that the model reads at once."""
    # 512 is what BERT and RoBERTa read: RoBERTa's configuration says 514, of which two positions hold no text, and a
    # tokenizer that states no limit says 1e30.
    return int(min(getattr(net.config, "max_position_embeddings", None) or 512, tokenizer.model_max_length, 512))


def _batches(rows: Sequence[Any], size: Any) -> Iterator[list[Any]]:
    """The rows by size, the largest first, as many at a time as fit in `_TOKENS` when padded."""
    remaining = sorted(rows, key=size, reverse=True)
    while remaining:
        # The first is the largest, to whose size the others are padded; even one above the limit goes through alone.
        count = max(1, _TOKENS // max(1, size(remaining[0])))
        yield remaining[:count]
        remaining = remaining[count:]
