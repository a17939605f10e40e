"""How a student reads and writes so that every number is the one its model gives for that pair alone."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import torch

from ..core.errors import StudentError
from ..core.types import Pair
from ..models.decode import below_lora
from ..models.exact import Case, Decoding, cases, decoding, first_exact, identity, quiet

Rows = Literal["packed", "single"]
"""What a row holds: the views of several examples behind a block mask, or one pair and padding."""
_PADDING = 1e-3
"""By what share of their size the states of an encoder may change when a longer row stands beside theirs."""
_log = logging.getLogger("shrinklm")


@dataclass(frozen=True)
class Reading:
    """How a student reads pairs and writes answers: in its note and in cell.json."""

    rows: Rows = "packed"
    decodes: Decoding = "shared"
    why: tuple[str, ...] = ()
    """Why quicker ways are not used: each with its error."""

    @classmethod
    def of(cls, record: Any) -> Reading | None:
        """From JSON; None for what an older version, or somebody else, wrote."""
        if not isinstance(record, dict) or record.get("rows") not in get_args(Rows):
            return None
        if record.get("decodes") not in get_args(Decoding):
            return None
        return cls(record["rows"], record["decodes"], tuple(map(str, record.get("why") or ())))


class _Numbers:
    """Stands in for a tokenizer: the text "17 4" has the tokens 17 and 4."""

    def __init__(self, tokenizer: Any) -> None:
        self.eos_token_id, self.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id

    def __call__(self, text: str = "", text_target: str = "", **options: Any) -> dict[str, list[int]]:
        return {"input_ids": [int(word) for word in (text or text_target).split()]}


_known: dict[tuple[Any, ...], Reading] = {}
"""What was found about models, see `models.exact.identity`."""


def examine(family: type[Any], student: Any) -> Reading:
    """How a student reads and writes, in the quickest way that is exact.

    Args:
        family: The kind of `BaseStudent` whose `encode` and `forward` are tried out. A class with an `encode` or
            `logits` of its own answers for it itself.
        student: Of that family. Its weights and its settings are afterwards as before.

    Raises StudentError where no way is exact.
    """
    kind, model, tokenizer, max_length = type(student), student.model, student.tokenizer, student.max_length
    if kind.encode is not family.encode or kind.logits is not family.logits:
        return Reading(student.layouts[0], student.decodings[0])
    key = (family, max_length, *identity(model, tokenizer))
    if key not in _known:
        _known[key] = _examined(family, model, tokenizer, max_length)
    return _known[key]


def _examined(family: type[Any], model: Any, tokenizer: Any, max_length: int) -> Reading:
    name = type(model).__name__
    with quiet(model):
        try:
            # Questions are asked whole, also those of a training that was kept short.
            found = cases(model, tokenizer, max(max_length, 256))
        except Exception as error:  # whatever the model raises: it cannot read a text at all
            raise StudentError(f"{name} cannot read a prompt and a target: {error}. Take another student.") from error

        layouts = {rows: partial(_error, Reading(rows), family, tokenizer) for rows in family.layouts}
        rows, why = first_exact(layouts, found)
        decodes, slower = decoding(found, tokenizer, family.decodings)
    why += slower
    if rows is None or decodes is None:
        what = "train" if rows is None else "write answers"
        raise StudentError(
            f"{name} cannot {what} here: no way to do so gives what the model's own forward pass gives. "
            f"{'; '.join(why)}. Take another student."
        )
    if why:
        # Training and answering go on, but slower than with other students of that size.
        _log.warning("%s reads %s rows and decodes by %s: %s", name, rows, decodes, "; ".join(why))
    return Reading(rows, decodes, tuple(why))


def _error(reading: Reading, family: type[Any], tokenizer: Any, case: Case) -> float:
    """The error of the log-probabilities with which a student scores the targets."""
    student = family(case.model, _Numbers(tokenizer), sys.maxsize)
    student.reading = reading
    groups = [[Pair(_text(prompt), _text(target[:-1])) for prompt, target in group] for group in case.groups]
    total, count = student(student.to_device(student.encode(groups)))
    return case.error((-total / count).tolist(), end=True)


def _text(ids: Sequence[int]) -> str:
    return " ".join(map(str, ids))


def examine_encoder(student: Any) -> None:
    """Try out an encoder: a longer row beside it may change no row, and each token must see those behind it.

    Raises StudentError where it does not.
    """
    short = Pair("Where does a kite fly?", "", "field")
    longer = Pair("Where does a kite fly, when there is wind and nobody holds it?", "", "cellar")
    name = type(below_lora(student.model)).__name__
    with quiet(student.model):
        both = student.to_device(student.encode([[short], [longer]]))
        alone = student.states(student.to_device(student.encode([[short]])))[0]
        states = student.states(both)
        ids = both["input_ids"].clone()
        ids[1, int(both["attention_mask"][1].sum()) - 1] = ids[1, 1]
        others = student.states({**both, "input_ids": ids})
    if torch.equal(states[1, 0], others[1, 0]):
        raise StudentError(
            f"{name} reads each token without those behind it: it is no encoder. "
            "Write: student: {use: causal:PATH_OR_ID}"
        )
    error = float((states[0, : len(alone)] - alone).abs().max())
    # Half precision rounds by more than a wrong mask may change.
    if alone.dtype == torch.float32 and not error <= _PADDING * max(1.0, float(alone.abs().max())):
        raise StudentError(
            f"{name} reads padding: a longer text beside it changes its states by {error:.2g}. Take another encoder."
        )
