"""Small tokenizers of the kinds that students have, trained on the questions that the tests ask."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

SPECIAL = ["<pad>", "</s>", "<unk>", "<s>"]
BLANK = "▁"


def _bpe(texts: Iterable[str], normalizer: Any = None, pre_tokenizer: Any = None, decoder: Any = None) -> Any:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoder or decoders.Sequence([decoders.Replace(BLANK, " "), decoders.Fuse()])
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=SPECIAL, show_progress=False, max_token_length=12)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _legacy(texts: list[str]) -> Any:
    """Llama 2, TinyLlama, Phi-3: a blank is put before every text, and pieces within words are learned alone."""
    apart = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer = _bpe(texts, pre_tokenizer=apart)
    # Trained word by word; then, as these models do it, by a normaliser and without a pre-tokeniser.
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(BLANK), normalizers.Replace(" ", BLANK)])
    tokenizer.pre_tokenizer = None
    tokenizer.decoder = decoders.Sequence([decoders.Replace(BLANK, " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return tokenizer


def _metaspace(scheme: str) -> Any:
    def make(texts: list[str]) -> Any:
        return _bpe(
            texts,
            pre_tokenizer=pre_tokenizers.Metaspace(prepend_scheme=scheme),
            decoder=decoders.Metaspace(prepend_scheme=scheme),
        )

    return make


def _across(texts: list[str]) -> Any:
    """Without a pre-tokeniser: pieces such as "is▁bank." reach over the borders of words."""
    return _bpe(texts, normalizer=normalizers.Replace(" ", BLANK))


def _byte_level(texts: list[str]) -> Any:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _word_piece(texts: list[str]) -> Any:
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=700, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _unigram(texts: list[str]) -> Any:
    """T5."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=400, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False, max_piece_length=12
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


KINDS = {
    "legacy": _legacy,
    "always": _metaspace("always"),
    "first": _metaspace("first"),
    "never": _metaspace("never"),
    "across": _across,
    "byte-level": _byte_level,
    "word-piece": _word_piece,
    "unigram": _unigram,
}


def trained_tokenizer(kind: str, texts: Iterable[str], template: str = "<s> $A") -> Any:
    """A tokenizer of one of `KINDS`; `template` puts the model's own tokens around a prompt.

    It cuts texts off at 6 tokens unless it is told not to, as some published tokenizer.json do.
    """
    tokenizer = KINDS[kind](list(texts))
    own = [(token, SPECIAL.index(token)) for token in ("</s>", "<s>")]
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=own)
    tokenizer.enable_truncation(6)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", bos_token="<s>"
    )
