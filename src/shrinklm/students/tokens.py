"""The token ids of pairs: what training, scoring and attribution give a model, from one function.

The prompt and the target are tokenised apart, the target always whole: a tokenizer may put a blank of its own before a
text (SentencePiece's dummy prefix), or join an option with the word or the mark beside it. A part of a target is
therefore a run of its tokens, never a text of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from typing import Any

from ..core.types import Pair
from ..models.rows import shared_beginning


@dataclass(frozen=True)
class PairTokens:
    """The token ids of one pair."""

    prompt: list[int]
    given: list[int]
    """The target's tokens that are read and not scored."""
    scored: list[int]
    """The target's tokens whose probability is asked for. What follows them changes it by nothing, and is left out."""
    weights: list[float] = field(default_factory=list)
    """Of the scored tokens in the cross-entropy of the pair; none where all are 1."""

    @property
    def target(self) -> list[int]:
        """The target's tokens, up to the last that is scored."""
        return self.given + self.scored

    @property
    def whole(self) -> list[int]:
        """The tokens of the prompt and of the target."""
        return self.prompt + self.given + self.scored


def pair_tokens(
    pairs: Sequence[Pair],
    prompt_ids: Callable[[str], list[int]],
    target_ids: Callable[[str], list[int]],
    end: int | None,
    offsets: Callable[[str], list[tuple[int, int]]] | None = None,
) -> list[PairTokens]:
    """The tokens of the pairs of one example.

    Args:
        pairs: Those that differ in their scored part alone are compared with each other: all of them are scored from
            the first token in which one of them may differ.
        prompt_ids: Tokenises a prompt.
        target_ids: Tokenises a target.
        end: The token that closes a target which is scored to its end; None: none does.
        offsets: (start, end) of the characters of each token of a target; None: nobody asks for weights of tokens.
    """
    # The pairs of one example repeat their prompt and the words before their options.
    prompt_ids, target_ids = cache(prompt_ids), cache(target_ids)
    targets = [target_ids(pair.target) for pair in pairs]
    bounds = [_bounds(pair, ids, target_ids) for pair, ids in zip(pairs, targets, strict=True)]
    first: dict[tuple[str, str], int] = {}
    for pair, (start, _) in zip(pairs, bounds, strict=True):
        # "is▁bank" in one option and "▁is", "▁zoo" in another: without "▁is" the two would not be of the same words.
        first[_beginning(pair)] = min(start, first.get(_beginning(pair), start))
    tokens = []
    for pair, ids, (_, stop) in zip(pairs, targets, bounds, strict=True):
        start = first[_beginning(pair)]
        to_the_end = pair.scored is None or pair.scored[1] == len(pair.target)
        closing = [end] if to_the_end and end is not None else []
        scored = ids[start:stop] + closing
        weights = _weights(pair, offsets(pair.target)) if offsets and pair.emphasis else []
        # The end token weighs as what it ends.
        weights = [*weights, *weights[-1:]][start : start + len(scored)]
        weights = [] if set(weights) <= {1.0} else weights
        tokens.append(PairTokens(prompt_ids(pair.prompt), ids[:start], scored, weights))
    return tokens


def by_prompt(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """The runs of adjacent pairs of one prompt."""
    return [list(group) for _, group in groupby(pairs, key=lambda pair: pair.prompt)]


def causal_target(tokenizer: Any, text: str, end: bool) -> list[int]:
    """The token ids of a target behind a prompt; `end`: the end token closes it."""
    # On its own and after a space, in training and when it is scored: no token spans prompt and target.
    ids = list(tokenizer(f" {text}", add_special_tokens=False)["input_ids"]) if text else []
    return [*ids, tokenizer.eos_token_id] if end else ids


def decoder_target(tokenizer: Any, text: str, end: bool) -> list[int]:
    """As `causal_target`, of what the decoder of an encoder–decoder writes."""
    # `text_target`: some tokenizers (Marian) have a vocabulary of their own for what the decoder writes.
    ids = list(tokenizer(text_target=text, add_special_tokens=False)["input_ids"])
    return [*ids, tokenizer.eos_token_id] if end else ids


def target_offsets(
    tokenizer: Any, text: str, target_ids: Callable[[str], list[int]], seq2seq: bool
) -> list[tuple[int, int]]:
    """(start, end) in a target's text of the characters of each of its tokens; at least the word that holds it."""
    ids = target_ids(text)
    if getattr(tokenizer, "is_fast", False):
        # As `causal_target` and `decoder_target` read it.
        read, space = ({"text_target": text}, 0) if seq2seq else ({"text": f" {text}"}, 1)
        found = tokenizer(**read, add_special_tokens=False, return_offsets_mapping=True)
        if found["input_ids"] == ids:
            return [(max(0, start - space), max(0, stop - space)) for start, stop in found["offset_mapping"]]
    offsets: list[tuple[int, int]] = []
    start = 0
    for match in re.finditer(r"\S+", text):
        known = shared_beginning([target_ids(text[: match.end()]), ids])
        if known > len(offsets):
            offsets += [(start, match.end())] * (known - len(offsets))
            start = match.end()
    return offsets + [(start, len(text))] * (len(ids) - len(offsets))


def _weights(pair: Pair, offsets: Sequence[tuple[int, int]]) -> list[float]:
    """The weight of each token of a target: the mean of its characters', blanks apart."""
    by_character = [1.0] * len(pair.target)
    for start, stop, weight in pair.emphasis:
        by_character[start:stop] = [weight * each for each in by_character[start:stop]]
    weights = []
    for start, stop in offsets:
        # A blank that is a token of its own belongs to the word behind it.
        told = [place for place in range(start, stop) if not pair.target[place].isspace()]
        told = told or [min(stop, len(pair.target) - 1)]
        weights.append(sum(by_character[place] for place in told) / len(told))
    return weights


def _beginning(pair: Pair) -> tuple[str, str]:
    return pair.prompt, pair.target[: pair.scored[0]] if pair.scored else ""


def _bounds(pair: Pair, ids: Sequence[int], target_ids: Callable[[str], list[int]]) -> tuple[int, int]:
    """(first, last + 1) of a target's tokens that hold a scored character."""
    if pair.scored is None:
        return 0, len(ids)
    start, stop = pair.scored
    # By the beginnings that two texts share in tokens, not by offsets, which not every tokenizer knows. Where the text
    # before the part is no beginning in tokens, the first token that differs holds some of both.
    before = target_ids(pair.target[:start].removesuffix(" "))
    through = target_ids(pair.target[:stop].rstrip())
    same = shared_beginning([through, ids])
    return shared_beginning([before, ids]), same if same == len(through) else len(ids)
