"""The rows of a student that chooses: which of them are compared, what a row comes to, and whose word a token is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.marking import Word
from ..core.types import Pair
from ..core.words import word_spans
from .batch import IGNORE, Batch, filled, float32
from .tokens import PairTokens

Offsets = Sequence[tuple[int, int]]
"""(start, end) of the characters of each token; (0, 0) for the model's own."""


@dataclass(frozen=True)
class Row:
    """A question, and an option of it or the words of it that are marked."""

    pair: Pair
    """Without an option: its target's words are marked."""
    tokens: PairTokens
    """Of the prompt, and of the option as what is scored."""
    marks: Sequence[int]
    """For each token of the prompt 1 if its word is marked, 0 if not, -100 for what is no word."""


def tensors(groups: Sequence[Sequence[Row]], pad: int) -> Batch:
    """One row a pair; those of a group with one prompt and different options are compared with each other.

    Returns [rows, tokens] tensors: input_ids, attention_mask, kinds (1 at the tokens of an option), pair, labels (the
    tokens of an option; of a pair without one, its marks; -100 elsewhere); [rows]: group and place of a row among those
    that it is compared with, marks (whether it marks words). Single numbers: groups, most (rows of a group), marked
    (rows that mark words), and those of every batch.
    """
    rows = [row for group in groups for row in group]
    pairs, first = [row.pair for row in rows], 0
    group: list[int] = []
    place: list[int] = []
    for some in groups:
        numbers, places = compared([row.pair for row in some])
        group += [first + number for number in numbers]
        place += places
        first += 1 + max(numbers, default=-1)
    plain = [IGNORE] * max(len(row.tokens.prompt) for row in rows)
    labels = filled([[*(row.marks or plain[: len(row.tokens.prompt)]), *row.tokens.scored] for row in rows], IGNORE)
    mask = filled([[1] * len(row.tokens.whole) for row in rows], 0)
    marks = torch.tensor([not pair.option for pair in pairs])
    return {
        "input_ids": filled([row.tokens.whole for row in rows], pad),
        "attention_mask": mask,
        "kinds": filled([[0] * len(row.tokens.prompt) + [1] * len(row.tokens.scored) for row in rows], 0),
        "labels": labels,
        "pair": torch.arange(len(pairs))[:, None].expand_as(labels).contiguous(),
        "scored": (labels != IGNORE).flatten().nonzero()[:, 0],
        "group": torch.tensor(group),
        "place": torch.tensor(place),
        "marks": marks,
        "groups": torch.tensor(first),
        "most": torch.tensor(1 + max(place)),
        "marked": marks.sum(),
        "pairs": torch.tensor(len(pairs)),
        "tokens": mask.sum(),
    }


def compared(pairs: Sequence[Pair]) -> tuple[list[int], list[int]]:
    """(number of the group, place in it) of each pair: of one prompt, each option once; a repeated one begins anew."""
    open_groups: dict[str, tuple[int, set[str]]] = {}
    groups, places, count = [], [], 0
    for pair in pairs:
        number, options = open_groups.get(pair.prompt, (-1, set()))
        if number < 0 or pair.option in options:
            number, options, count = count, set(), count + 1
            open_groups[pair.prompt] = number, options
        groups.append(number)
        places.append(len(options))
        options.add(pair.option)
    return groups, places


def mean_state(states: Tensor, batch: Batch) -> Tensor:
    """[rows, width]: the mean of the states of each row's tokens, in float32."""
    states = float32(states)
    read = batch["attention_mask"][..., None].to(states.dtype)
    return (states * read).sum(1) / read.sum(1)


def marked_tokens(prompt: str, target: str, offsets: Offsets) -> list[int]:
    """For each token of a prompt 1 if its word is one of the target's, 0 if not, -100 for what is no word.

    Words that carry grammar are never marked, so nothing is asked of them.
    """
    kept = {target[start:end].casefold() for start, end in word_spans(target)}
    found = [Word(prompt[start:end], start, end, "") for start, end in word_spans(prompt)]
    return [
        IGNORE if index < 0 or not found[index].content else int(found[index].text.casefold() in kept)
        for index in word_of(prompt, found, offsets)
    ]


def word_of(prompt: str, words: Sequence[Word], offsets: Offsets) -> list[int]:
    """For each token of a prompt the place of the word that it begins in, or else reaches into; -1 for none."""
    by_character = [-1] * len(prompt)
    for index, word in enumerate(words):
        by_character[word.start : word.end] = [index] * (word.end - word.start)
    return [next((index for index in by_character[start:end] if index >= 0), -1) for start, end in offsets]
