"""The seeded order of a question's options, found when somebody first looks at them."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields as fields_of
from dataclasses import replace
from itertools import repeat
from typing import Any

from ..core.types import Example, digest
from .letters import moved, tied_to_order

_LATE = ("choices", "meta", "order")


def shuffled(example: Example, seed: int) -> Example:
    """The example with its choices in a seeded order; `order` holds the position of each in its source row.

    Options that mean something in their own order alone ("Both A and B") stay in it, and the letters of an explanation
    in `meta` move with their options; one whose letters cannot be told is left out.
    """
    if tied_to_order(example):
        return example
    positions = list(range(len(example.choices)))
    # Seeded by the example's id, so that the order does not depend on the other examples of the file.
    random.Random(digest(seed, example.id)).shuffle(positions)
    order = tuple(example.order[position] for position in positions) if example.order else tuple(positions)
    shown = replace(example, choices=tuple(example.choices[position] for position in positions), order=order)
    if "explanation" not in example.meta:
        return shown
    kept = {name: value for name, value in example.meta.items() if name not in ("explanation", "explanations")}
    texts = example.meta.get("explanations", [example.meta["explanation"]])
    told = [text for text in (moved(str(text), shown) for text in texts) if text is not None]
    if told:
        kept |= {"explanation": told[0], **({"explanations": told} if len(told) > 1 else {})}
    return replace(shown, meta=kept)


def later(
    ids: Sequence[str],
    questions: Iterable[str],
    answers: Iterable[str],
    fields: Iterable[Mapping[str, str]],
    choices: Iterable[tuple[str, ...]],
    metas: Iterable[Mapping[str, Any]],
    orders: Iterable[tuple[int, ...]],
    seed: int,
) -> list[Example]:
    """Examples by their columns, each as `shuffled`; but an order is found when the options are first asked for: most
    of those of a large table never are.
    """
    made: list[Example] = [_Later.__new__(_Later) for _ in ids]
    columns = {"id": ids, "question": questions, "answer": answers, "fields": fields}
    late = {"_choices": choices, "_meta": metas, "_order": orders, "_seed": repeat(seed)}
    for name, column in {**columns, **late}.items():
        # Its descriptor, since an example is frozen; by columns, in half the time of one after another.
        deque(map(getattr(_Later, name).__set__, made, column), maxlen=0)
    return made


class _Later(Example):
    """An example whose options are put into their order when they are first asked for."""

    # One of a large table takes half the memory that it would take with a dictionary.
    __slots__ = ("_choices", "_meta", "_order", "_seed")

    def __getattr__(self, name: str) -> Any:
        # Called only for what the example does not hold yet.
        if name not in _LATE:
            raise AttributeError(name)
        source = Example(self.id, self.question, self._choices, self.answer, self.fields, self._meta, self._order)
        shown = shuffled(source, self._seed)
        for late in _LATE:
            object.__setattr__(self, late, getattr(shown, late))
        return getattr(shown, name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Example) and all(
            getattr(self, field.name) == getattr(other, field.name) for field in fields_of(Example)
        )

    __hash__ = Example.__hash__
