"""What each method shows the student: the rows of `shrinklm preview`, which writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from ...methods.corpus import Corpus
from ...methods.view import Method
from ...students.open import open_student
from ..recipe import Recipe
from .generate import Teaching
from .weigh import Weights


def preview_rows(
    recipe: Recipe,
    methods: Sequence[Method],
    teaching: Teaching,
    weights: Weights,
    limit: int,
    tokens: bool,
    epoch: int,
) -> Iterator[dict[str, Any]]:
    """One object a pair of the first `limit` examples (0: all) of each method, then the summary of all of them.

    `teaching` looks generations up, `weights` weighs samples as the first student would; with `tokens` that is opened,
    and each row has its tokens.
    """
    known = teaching.known()[0]
    plain = Corpus(teaching.splits["train"], known, recipe.train.seeds[0])
    spec = recipe.student[0].spec(recipe.train.max_length)
    student = open_student(spec, recipe.root) if tokens else None  # a model is loaded for its tokens alone
    counts: dict[str, dict[str, int]] = {}
    for trained in methods:
        shown = range(min(limit or len(plain.examples), len(plain.examples)))
        found = weights.of(trained, recipe.student[0], known, len(shown))
        corpus = Corpus(plain.examples, known, plain.seed, found) if found else plain
        count = Counter({view.name: 0 for view in trained.views})
        for index in shown:
            for item in corpus.pairs(trained, index, epoch):
                count[item.view.name] += 1
                row = {"method": trained.name, **item.row()}
                if student is not None:
                    row["tokens"], row["scored"] = student.tokens(item.pair)
                yield row
        # What is not shown is only counted: of a large table most is not.
        count.update(corpus.count(trained, epoch, range(len(shown), len(corpus.examples))))
        counts[trained.name] = dict(count)
    summary = {"examples": len(plain.examples), "pairs": counts, "refused": teaching.refused()}
    # A task of somebody's own counts nothing.
    left_out = {split: dict(rows) for split, rows in getattr(teaching.task, "left_out", {}).items() if rows}
    yield {"summary": {**summary, "left_out": left_out} if left_out else summary}
