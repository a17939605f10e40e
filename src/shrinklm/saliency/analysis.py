"""Figures of marked words: the gold option, people's highlights, erasure, agreement; each with its chance level.

`analyze` gives the figures of a run, `write` puts them into its folder. Importing it loads no torch.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.files import whole, write_text
from ..core.marking import Keep, Marking, words
from ..core.results import SaliencyFile
from ..core.types import Example, Generation, Tick
from ..stats import estimate
from .agreement import agreement_table, mark_all_ways
from .completeness import COMPLETENESS
from .erasure import LogProbabilities, erasure_effects
from .highlights import content_words, highlight_chance, highlight_scores, human_words, kept_words

if TYPE_CHECKING:
    from ..methods.view import View
    from ..students.base import BaseStudent

ByStep = Mapping[str, Mapping[str, Generation]]
"""Step → example id → the generation that holds its marking."""

_ORDER = ("salient", "own-saliency", "tfidf-tokens", "random-tokens")
_CONTROLS = {"tf-idf": "tfidf-tokens", "random": "random-tokens"}
"""Name in the table of agreement → the step whose markings are compared with the ways to attribute."""
_NAMES = ("gold_hit", "gold_hit_top1", "precision", "recall", "f1", "auprc", "comprehensiveness", "sufficiency")
_SHARES = ("gold_hit", "gold_hit_top1")
"""Those that are yes or no of an item."""


@dataclass(frozen=True)
class Examiner:
    """The model that erased questions are put to, the same for the words of every step."""

    model: BaseStudent
    view: View
    """The view in which it answers."""
    about: Mapping[str, Any]
    """Its entry in the figures: name, finetuned, accuracy before and after."""
    erased: int
    """So many items are erased, drawn with the seed."""
    compared: int
    """So many of them are attributed in every way."""
    batch: int
    """Questions in one pass."""


@dataclass(frozen=True)
class _Step:
    """The markings of one step."""

    markings: Mapping[str, Marking]
    """By example id, in the order of the examples."""
    refused: Counter[str]
    by: str
    """The model's name; "" where nothing was marked."""
    method: str


def gold_words(example: Example) -> frozenset[str] | str:
    """The content words of the gold option, in lower case; or why there are none."""
    if example.answer not in example.choices:
        return "gold answer is no option"
    options = example.parts[-len(example.choices) :]  # the last parts of a text (`Example.parts`)
    # By text, not by position: where an option is repeated, each copy of it is the gold one.
    names = {part for part, start, end in options if example.text[start:end] == example.answer}
    gold = frozenset(word.text.lower() for word in words(example) if word.content and word.part in names)
    return gold or "gold option has no content word"


def gold_hit(example: Example, marking: Marking, keep: Keep) -> dict[str, float] | None:
    """Whether a kept word ("any"), or the best word ("top1"), is a word of the gold option: 1 or 0 (arXiv 2409.12586).

    Words are compared as strings, without case: a word that stands in the question and in the gold option is one word.
    None where `gold_words` gives a reason.
    """
    gold = gold_words(example)
    if isinstance(gold, str):
        return None
    hits = {name: kept_words(example, marking.scores, kept) & gold for name, kept in (("any", keep), ("top1", Keep(1)))}
    return {name: float(bool(hit)) for name, hit in hits.items()}


def gold_chance(example: Example, keep: Keep) -> dict[str, float] | None:
    """The mean of `gold_hit` for kept words drawn at random, exactly: 1 − C(n−g, k) / C(n, k), between 0 and 1.

    n: different content words of question and options; g: those of the gold option among them; k: kept words, 1 for
    "top1".
    """
    gold = gold_words(example)
    if isinstance(gold, str):
        return None
    n, g = len(content_words(example)), len(gold)
    return {name: 1 - math.comb(n - g, k) / math.comb(n, k) for name, k in (("any", keep.count(n)), ("top1", 1))}


def read_marking(example: Example, generation: Generation | None) -> Marking | str:
    """The marking of a generation, or the reason why it cannot be used."""
    if generation is None:
        return "not marked"
    if generation.refusal:
        return generation.refusal
    try:
        marking = Marking.read(generation.text)
    except ValueError:
        return "text is no marking"
    # The store outlives a recipe: a question may have changed since it was marked.
    if marking.spans != tuple((word.start, word.end) for word in words(example)):
        return "marks other words than the question has"
    return marking


def method_of(generation: Generation) -> str:
    """The method that marked a generation's words, such as "gradient (l2, max)"; "" when its prompt does not say."""
    # The prompt is JSON: a list of turns. The text of the first is JSON again: the settings (`WhiteBox.asks`).
    try:
        turns = json.loads(generation.prompt)
        settings = json.loads(turns[0]["text"])
        method = str(settings["method"])
    except (ValueError, LookupError, TypeError):
        return ""
    details = (
        settings.get("norm"),
        _steps(settings),
        settings.get("pieces"),
        "the model's own answers" if settings.get("label") == "own" else None,
    )
    listed = ", ".join(str(detail) for detail in details if detail)
    return f"{method} ({listed})" if listed else method


def _steps(settings: Mapping[str, Any]) -> str | None:
    """The steps of integrated gradients: "32 steps", or "32 to 1024 steps" where they are raised by themselves."""
    if "steps" not in settings:
        return None
    most = max(settings["steps"], settings.get("most_steps", settings["steps"]))
    return f"{settings['steps']} steps" if most == settings["steps"] else f"{settings['steps']} to {most} steps"


def analyze(
    examples: Sequence[Example],
    generations: ByStep,
    keep: Keep,
    *,
    examiner: Examiner | None = None,
    seed: int = 0,
    resamples: int = 10_000,
    tick: Tick | None = None,
) -> dict[str, Any]:
    """The figures of the words that each step marked, each with its interval and its chance level.

    Args:
        examples: The training questions that were marked.
        generations: Their generations by each step.
        keep: Which words are kept.
        examiner: The model for erasure and agreement; without one they are null.
        seed: Of the intervals (a bootstrap over items) and of the items that are erased.
        resamples: Of the bootstrap.
        tick: Called with the progress of the examiner.

    Returns:
        The content of figures.json. Means over no item at all are None.

    Raises:
        StudentError: a question does not fit the examiner.
    """
    order = sorted(generations, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))
    steps = {name: _read_step(examples, generations[name]) for name in order}
    marked = [example for example in examples if any(example.id in step.markings for step in steps.values())]
    # Steps are compared by erasure on the same items: those that every step marked, but for steps that marked nothing.
    everywhere = [
        example for example in marked if all(example.id in step.markings for step in steps.values() if step.markings)
    ]
    erased = random.Random(seed).sample(everywhere, min(len(everywhere), examiner.erased)) if examiner else []
    probabilities = LogProbabilities(examiner.model, examiner.view, examiner.batch, tick) if examiner else None
    figures = {}
    for name, step in steps.items():
        rows = [_scores(example, step.markings[example.id], keep) for example in marked if example.id in step.markings]
        if probabilities and step.markings:
            rows += erasure_effects(probabilities, erased, step.markings, keep).values()
        estimates = {key: _estimate(key, [row[key] for row in rows if key in row], seed, resamples) for key in _NAMES}
        about = {"by": step.by, "method": step.method, "n": len(step.markings)}
        figures[name] = {**about, "refused": dict(step.refused.most_common()), **_nest(estimates)}
    # The first six figures have a chance level in closed form; for erasure the random control stands in.
    chances = [_chances(example, keep) for example in marked]
    return {
        "split": "train",
        "n": len(examples),
        "keep": asdict(keep),
        "model": dict(examiner.about) if examiner else None,
        "steps": figures,
        "chance": _nest({key: _mean(row[key] for row in chances if key in row) for key in _NAMES[:6]}),
        "left_out": dict(Counter(reason for example in marked for reason in _reasons(example)).most_common()),
        "erased": len(erased),
        **_compared(examiner, erased, {name: step.markings for name, step in steps.items()}, tick),
    }


def _read_step(examples: Sequence[Example], generations: Mapping[str, Generation]) -> _Step:
    read = {example.id: read_marking(example, generations.get(example.id)) for example in examples}
    markings = {id_: marking for id_, marking in read.items() if isinstance(marking, Marking)}
    refused = Counter(reason for reason in read.values() if isinstance(reason, str))
    first = next((generations[id_] for id_ in markings), None)
    if first is None:
        return _Step(markings, refused, "", "")
    return _Step(markings, refused, first.source.teacher, method_of(first))


def _scores(example: Example, marking: Marking, keep: Keep) -> dict[str, float]:
    return _named(gold_hit(example, marking, keep), highlight_scores(example, marking, keep))


def _chances(example: Example, keep: Keep) -> dict[str, float]:
    return _named(gold_chance(example, keep), highlight_chance(example, keep))


def _named(gold: Mapping[str, float] | None, people: Mapping[str, float] | None) -> dict[str, float]:
    return ({"gold_hit": gold["any"], "gold_hit_top1": gold["top1"]} if gold else {}) | dict(people or {})


def _reasons(example: Example) -> Iterator[str]:
    yield from (result for result in (gold_words(example), human_words(example)) if isinstance(result, str))


def _nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The figures as they stand in the file: those against highlights together, or null."""
    people = {name: flat[name] for name in _NAMES[2:6]}
    # All four or none: they come from the same items, those with a highlight.
    nested = {"highlight": None if None in people.values() else people}
    return (
        {name: flat[name] for name in _NAMES[:2]} | nested | {name: flat[name] for name in _NAMES[6:] if name in flat}
    )


def _compared(
    examiner: Examiner | None,
    examples: Sequence[Example],
    markings: Mapping[str, Mapping[str, Marking]],
    tick: Tick | None,
) -> dict[str, Any]:
    """The agreement of the ways to attribute, and the completeness of integrated gradients."""
    if examiner is None or not examples or not examiner.compared:
        return {"agreement": None, "completeness": None}
    # The examples are in a seeded random order, so that the first of them are a sample.
    compared = examples[: examiner.compared]
    ways: dict[str, Mapping[str, Marking]] = {
        **mark_all_ways(examiner.model, compared, examiner.view, examiner.batch, tick)
    }
    # Of integrated gradients alone.
    exact = [marking.figures for marked in ways.values() for marking in marked.values() if marking.figures]
    errors = [figures["completeness_error"] for figures in exact]
    # Beside the ways to attribute, the controls show how much of an agreement is chance or rare words.
    ways |= {name: markings[step] for name, step in _CONTROLS.items() if markings.get(step)}
    completeness = {
        "mean": _mean(errors),
        "above_5_percent": sum(error > COMPLETENESS for error in errors),
        "n": len(errors),
        "steps": max((figures["steps"] for figures in exact if "steps" in figures), default=None),
    }
    return {"agreement": agreement_table(compared, ways), "completeness": completeness}


def _mean(values: Iterable[float]) -> float | None:
    values = list(values)
    return math.fsum(values) / len(values) if values else None


def _estimate(key: str, values: Sequence[float], seed: int, resamples: int) -> dict[str, float] | None:
    if not values:
        return None
    result = estimate(values, seed, resamples, share=key in _SHARES)
    return {"value": result.value, "low": result.low, "high": result.high, "n": result.n}


def items(examples: Iterable[Example], generations: ByStep, keep: Keep) -> Iterator[dict[str, Any]]:
    """One row an example for items.jsonl: its text, and each step's words, scores and positions of kept words."""
    for example in examples:
        markings = {}
        for step, by_example in generations.items():
            marking = read_marking(example, by_example.get(example.id))
            if isinstance(marking, Marking):
                markings[step] = {
                    "spans": [list(span) for span in marking.spans],
                    "scores": list(marking.scores),
                    "kept": keep.choose(example, marking.scores),
                }
        if markings:
            yield {"id": example.id, "text": example.text, "answer": example.answer, "markings": markings}


def write(folder: Path, figures: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write items.jsonl, then figures.json, each whole or not at all.

    Raises StoreError when the folder cannot be written, ValueError for a number that JSON has no word for (NaN).
    """
    with whole(folder / SaliencyFile.ITEMS) as new, new.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    text = json.dumps(figures, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
    write_text(folder / SaliencyFile.FIGURES, text)
