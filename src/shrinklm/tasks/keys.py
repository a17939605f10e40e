"""When two questions are the same, and shares of questions in which a repeated one stands on one side alone."""

from __future__ import annotations

import json
import unicodedata
from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from hashlib import sha256
from itertools import compress, islice

import numpy as np
import regex
from numpy.typing import NDArray

from ..core.types import Example

# Of `regex`: to `re`, the vowel signs of Hindi and Thai are no part of a word.
_WORD = regex.compile(r"\w+")
_BLOCK = 256
"""Questions whose keys are made together."""


def _alone(code: int) -> str:
    mark = chr(code)
    return mark.lower() if mark.isalnum() or mark in "_\n" else " "


_WORDS_ALONE = "".join(map(_alone, range(128))).encode() + bytes(range(128, 256))
"""Of ASCII texts: what separates words becomes a blank, but for line feeds, and letters lose their case."""


def question_key(example: Example) -> str:
    """The key by which two questions are the same: context and question without case, punctuation and blanks."""
    return _key(_text(example))


def question_keys(examples: Iterable[Example]) -> Iterator[str]:
    """`question_key` of each example, in a fraction of the time."""
    texts = map(_text, examples)
    while block := list(islice(texts, _BLOCK)):
        plain = [text.isascii() and "\n" not in text for text in block]
        keys = iter(_keys(list(compress(block, plain))))
        yield from (next(keys) if simple else _key(text) for text, simple in zip(block, plain, strict=True))


def _text(example: Example) -> str:
    return " ".join((*example.fields.values(), example.question)) if example.fields else example.question


def _key(text: str) -> str:
    if text.isascii():
        return _keys([text.replace("\n", " ")])[0]
    return " ".join(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def _keys(texts: Sequence[str]) -> list[str]:
    """The keys of ASCII texts without line feeds."""
    lines = "\n".join(texts).encode().translate(_WORDS_ALONE).decode().split("\n") if texts else []
    return [" ".join(line.split()) for line in lines]


def _ranks(keys: Iterable[str], salt: str, seed: int) -> bytes:
    """The first 64 bits of `digest("share", salt, seed, key)` for each key: they order questions as all of it does."""
    begin = json.dumps(["share", salt, seed, ""], separators=(",", ":")).removesuffix('"]')
    # Letters, digits, marks and blanks alone: JSON writes a key as it is.
    return b"".join([sha256(f'{begin}{key}"]'.encode()).digest()[:8] for key in keys])


class Questions:
    """Examples, with hashes of their keys: texts of as many keys would take half the memory of the examples.

    Args:
        examples: in the order of their file.
        salts: names of the shares that will be taken of them.
        seed: of the shares.
    """

    def __init__(self, examples: list[Example], salts: Sequence[str] = (), seed: int = 0) -> None:
        self.examples = examples
        self._ranks: dict[str, NDArray[np.uint64]] = {}
        if salts:
            # Ranked by a hash of the question: rows that are added leave nearly all others on the side where they were.
            hashes, ranks = array("q"), {salt: bytearray() for salt in salts}
            keys = question_keys(examples)
            while block := list(islice(keys, _BLOCK)):
                hashes.extend(map(hash, block))
                for salt in salts:
                    ranks[salt] += _ranks(block, salt, seed)
            self.hashes = hashes
            self._ranks = {salt: np.frombuffer(ranks[salt], ">u8").astype(np.uint64) for salt in salts}

    @cached_property
    def hashes(self) -> array[int]:
        """One for each example: equal where the keys are. Others are equal once in 2^64 pairs."""
        return array("q", map(hash, question_keys(self.examples)))

    def picked(self, which: Sequence[bool] | NDArray[np.bool_]) -> Questions:
        """Those of which `which` says True, in their order."""
        mask = np.asarray(which, bool)
        told = mask.tolist()
        some = Questions(list(compress(self.examples, told)))
        if "hashes" in vars(self):
            some.hashes = array("q", compress(self.hashes, told))
        some._ranks = {salt: ranks[mask] for salt, ranks in self._ranks.items()}
        return some

    def divided(self, salt: str, share: float) -> tuple[Questions, Questions]:
        """(rest, about `share` of them), in whole questions: a repeated question never lands on both sides."""
        ranks = self._ranks.get(salt)
        # A share that is wanted gets a question, however small it is; one question cannot be on both sides.
        if not share or ranks is None or not len(ranks) or ranks.min() == ranks.max():
            return self, Questions([])
        place = max(1, round(share * len(ranks))) - 1
        inside = ranks <= np.partition(ranks, place)[place]
        return self.picked(~inside), self.picked(inside)
