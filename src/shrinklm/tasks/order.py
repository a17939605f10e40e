"""The seeded order of a question's options, found when somebody first looks at them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import fields, replace
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
    id: str,
    question: str,
    answer: str,
    fields: Mapping[str, str],
    choices: tuple[str, ...],
    meta: Mapping[str, Any],
    order: tuple[int, ...],
    seed: int,
) -> Example:
    """As `shuffled`, but the order is found when the options are first asked for: most of a large table never is."""
    made, put = _Later.__new__(_Later), object.__setattr__
    put(made, "id", id)
    put(made, "question", question)
    put(made, "answer", answer)
    put(made, "fields", fields)
    put(made, "_source", (choices, meta, order, seed))
    return made


class _Later(Example):
    """An example whose options are put into their order when they are first asked for."""

    def __getattr__(self, name: str) -> Any:
        # Called only for what the example does not hold yet.
        if name not in _LATE:
            raise AttributeError(name)
        choices, meta, order, seed = self._source
        source = Example(self.id, self.question, choices, self.answer, self.fields, meta, order)
        shown = shuffled(source, seed)
        for late in _LATE:
            object.__setattr__(self, late, getattr(shown, late))
        object.__delattr__(self, "_source")
        return getattr(shown, name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Example) and all(
            getattr(self, field.name) == getattr(other, field.name) for field in fields(Example)
        )

    __hash__ = Example.__hash__
