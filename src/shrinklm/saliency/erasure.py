"""A model's answers to questions without the words that moved it. Loads torch when called."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..core.marking import Keep, Marking, words
from ..core.types import Example, Tick
from .highlights import kept_words

if TYPE_CHECKING:
    from ..methods.view import View
    from ..students.base import BaseStudent


@dataclass(frozen=True)
class LogProbabilities:
    """F = log p of answers by one model. Each (prompt, answer) is computed once: markings of one example share F(x)."""

    model: BaseStudent
    view: View
    """The view in which the model answers."""
    batch: int
    """Questions in one pass."""
    tick: Tick | None = None
    """Called after each pass."""
    known: dict[tuple[str, str], float] = field(default_factory=dict)
    """(prompt, answer) → F, in nats."""

    def add(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Compute F of those of the (prompt, answer) pairs whose F is not known.

        Raises StudentError for one that does not fit the model.
        """
        from .attribution import Question, log_probability

        # Prompts of like length share a batch, so that little of it is padding.
        waiting = sorted(set(pairs) - self.known.keys(), key=lambda pair: (len(pair[0]), pair))
        for start in range(0, len(waiting), self.batch):
            batch = waiting[start : start + self.batch]
            questions = [Question(prompt, answer, (), self.view.lead) for prompt, answer in batch]
            self.known.update(zip(batch, log_probability(self.model, questions), strict=True))
            if self.tick:
                self.tick("erase", start + len(batch), len(waiting), "")


def erasure_effects(
    probabilities: LogProbabilities, examples: Iterable[Example], markings: Mapping[str, Marking], keep: Keep
) -> dict[str, dict[str, float]]:
    """Example id → the effect of the kept words on the gold answer. With F = log p of the answer, in nats of any sign:

    comprehensiveness = F(x) − F(x without the kept words): more when they mattered.
    sufficiency = F(x) − F(x with the kept words alone): less when they are enough.

    After ERASER (DeYoung et al., arXiv 1911.03429, which takes probabilities of the predicted label). A word goes, or
    stays, everywhere it stands; prompt words, choice letters and punctuation always stay.

    Args:
        probabilities: F of the model; what is computed here is added to it.
        examples: Of these, the ones with a marking are measured.
        markings: Example id → its marking.
        keep: Which words of a marking are kept.

    Raises:
        StudentError: a question does not fit the model.
    """
    pairs: dict[str, tuple[tuple[str, str], ...]] = {}
    for example in examples:
        if example.id in markings:
            texts = (example.text, *erased(example, kept_words(example, markings[example.id].scores, keep)))
            view, answer = probabilities.view, probabilities.view.named(example, example.answer)
            pairs[example.id] = tuple((_prompt(example, text, view), answer) for text in texts)
    # All prompts at once: sorted by length over all examples, they fill their batches best.
    probabilities.add(pair for triple in pairs.values() for pair in triple)
    values = probabilities.known
    return {
        id_: {
            "comprehensiveness": values[whole] - values[without],
            "sufficiency": values[whole] - values[alone],
        }
        for id_, (whole, without, alone) in pairs.items()
    }


def erased(example: Example, kept: Collection[str]) -> tuple[str, str]:
    """(the text without the kept words, the text with no other words); `kept` in lower case.

    A word goes with the blank before it.
    """
    return _cut(example, kept, True), _cut(example, kept, False)


def _cut(example: Example, kept: Collection[str], inside: bool) -> str:
    """The text without the words that are in `kept`, or (`inside` False) without those that are not."""
    text, pieces, end = example.text, [], 0
    for word in words(example):
        if (word.text.lower() in kept) is inside:
            pieces.append(text[end : word.start].removesuffix(" "))
            end = word.end
    return "".join([*pieces, text[end:]])


def _prompt(example: Example, text: str, view: View) -> str:
    """The prompt of `view`, with another text in place of the example's."""
    return text + view.prompt(example).removeprefix(example.text)
