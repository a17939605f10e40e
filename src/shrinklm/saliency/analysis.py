"""What the words that moved a model are worth: the gold option, people's highlights, erasure, agreement; each with its chance level.

`analyze` gives the figures of a run, `write` puts them into its folder. Importing it loads no torch.
"""

from __future__ import annotations

import json
import math
import os
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import StoreError
from ..core.marking import Keep, Marking, words
from ..core.types import Example, Generation, Tick
from ..stats import estimate
from .erasure import agreement, compare, erasure
from .highlights import content_words, highlight, highlight_chance, human_words, kept_words

if TYPE_CHECKING:
    from ..methods.view import View
    from ..students.base import BaseStudent

Said = Mapping[str, Mapping[str, Generation]]
"""What each step marked: step → example id → generation."""

_ORDER = ("salient", "own-saliency", "tfidf-tokens", "random-tokens")
_CONTROLS = {"tf-idf": "tfidf-tokens", "random": "random-tokens"}
"""What stands beside the ways to attribute in the table of their agreement."""
_INCOMPLETE = 0.05
"""Integrated gradients that miss more of F(x) − F(baseline) than this are counted."""


@dataclass(frozen=True)
class Examiner:
    """The model that erased questions are put to, the same for the words of every step."""

    model: BaseStudent
    view: View
    """How it is asked."""
    about: Mapping[str, Any]
    """Its entry in the figures: name, finetuned, accuracy before and after."""
    erased: int = 200
    """So many items are erased, drawn with the seed."""
    compared: int = 20
    """So many of them are attributed in every way."""
    batch: int = 16


def gold_words(example: Example) -> frozenset[str] | str:
    """The content words of the gold option, in lower case; or why there are none."""
    if example.answer not in example.choices:
        return "gold answer is no option"
    options = example.parts[-len(example.choices) :]
    names = {part for part, start, end in options if example.text[start:end] == example.answer}
    found = frozenset(word.text.lower() for word in words(example) if word.content and word.part in names)
    return found or "gold option has no content word"


def gold_hit(example: Example, marking: Marking, keep: Keep) -> dict[str, float] | None:
    """Whether a kept word ("any"), and whether the best word ("top1"), is a word of the gold option: 1 or 0 (arXiv 2409.12586).

    Words are compared as strings, without case: a word that stands in the question and in the gold option is one word. None where
    `gold_words` gives a reason.
    """
    gold = gold_words(example)
    if isinstance(gold, str):
        return None
    hits = {name: kept_words(example, marking.scores, kept) & gold for name, kept in (("any", keep), ("top1", Keep(1)))}
    return {name: float(bool(hit)) for name, hit in hits.items()}


def gold_chance(example: Example, keep: Keep) -> dict[str, float] | None:
    """What `gold_hit` gives in the mean when the kept words are drawn at random: 1 − C(n−g, k) / C(n, k), exactly; between 0 and 1.

    n: different content words of question and options; g: those of the gold option among them; k: kept words, 1 for "top1".
    """
    gold = gold_words(example)
    if isinstance(gold, str):
        return None
    n, g = len(content_words(example)), len(gold)
    return {name: 1 - math.comb(n - g, k) / math.comb(n, k) for name, k in (("any", keep.count(n)), ("top1", 1))}


def read_marking(example: Example, generation: Generation | None) -> Marking | str:
    """The marking a step stored, or why it cannot be used."""
    if generation is None:
        return "not marked"
    if generation.refusal:
        return generation.refusal
    try:
        found = Marking.read(generation.text)
    except ValueError:
        return "text is no marking"
    if found.spans != tuple((word.start, word.end) for word in words(example)):
        return "marks other words than the question has"
    return found


def method_of(generation: Generation) -> str:
    """How its words were marked, in words: "gradient (l2, max)"; "" when its prompt does not say."""
    try:
        asked = json.loads(json.loads(generation.prompt)[0]["text"])
        details = [asked.get("norm"), f"{asked['steps']} steps" if "steps" in asked else None, asked.get("pieces")]
        details.append("the model's own answers" if asked.get("label") == "own" else None)
        shown = ", ".join(filter(None, details))
        return f"{asked['method']} ({shown})" if shown else str(asked["method"])
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""


def analyze(
    examples: Sequence[Example],
    said: Said,
    keep: Keep,
    *,
    split: str = "train",
    examiner: Examiner | None = None,
    seed: int = 0,
    resamples: int = 10_000,
    tick: Tick | None = None,
) -> dict[str, Any]:
    """The figures of the words that each step marked, each with its interval and its chance level.

    Args:
        examples: that were marked.
        said: the steps' generations.
        keep: which words are kept.
        split: the examples' split, named in the figures.
        examiner: the model for erasure and agreement; without one they are null.
        seed: of the intervals (a bootstrap over items) and of the items that are erased.
        resamples: of the bootstrap.
        tick: progress.

    Returns:
        What figures.json holds. Means over no item at all are None.

    Raises:
        StudentError: a question does not fit the examiner.
    """
    markings: dict[str, dict[str, Marking]] = {}
    refused: dict[str, Counter[str]] = {}
    for step in sorted(said, key=lambda step: _ORDER.index(step) if step in _ORDER else len(_ORDER)):
        read = {example.id: read_marking(example, said[step].get(example.id)) for example in examples}
        markings[step] = {id_: marking for id_, marking in read.items() if isinstance(marking, Marking)}
        refused[step] = Counter(reason for reason in read.values() if isinstance(reason, str))
    marked = [example for example in examples if any(example.id in found for found in markings.values())]
    every = [example for example in marked if all(example.id in found for found in markings.values() if found)]
    some = random.Random(seed).sample(every, min(len(every), examiner.erased)) if examiner else []
    known: dict[tuple[str, str], float] = {}
    steps = {}
    for step, found in markings.items():
        rows = [_figures(example, found[example.id], keep) for example in examples if example.id in found]
        if examiner and found:
            rows += list(
                erasure(examiner.model, some, found, keep, examiner.view, examiner.batch, known, tick).values()
            )
        given = {name: _estimate([row[name] for row in rows if name in row], seed, resamples) for name in _NAMES}
        first = next((said[step][id_] for id_ in found), None)
        who = {"by": first.source.teacher, "method": method_of(first)} if first else {"by": "", "method": ""}
        steps[step] = {**who, "n": len(found), "refused": dict(refused[step].most_common()), **_nest(given)}
    chances = [_chances(example, keep) for example in marked]
    return {
        "split": split, "n": len(examples), "keep": asdict(keep), "model": dict(examiner.about) if examiner else None, "steps": steps,
        "chance": _nest({name: _mean(row[name] for row in chances if name in row) for name in _NAMES[:6]}),
        "left_out": dict(Counter(reason for example in marked for reason in _reasons(example)).most_common()), "erased": len(some),
        **_compared(examiner, some, markings, tick),
    }  # fmt: skip


_NAMES = ("gold_hit", "gold_hit_top1", "precision", "recall", "f1", "auprc", "comprehensiveness", "sufficiency")


def _figures(example: Example, marking: Marking, keep: Keep) -> dict[str, float]:
    return _named(gold_hit(example, marking, keep), highlight(example, marking, keep))


def _chances(example: Example, keep: Keep) -> dict[str, float]:
    return _named(gold_chance(example, keep), highlight_chance(example, keep))


def _named(gold: Mapping[str, float] | None, people: Mapping[str, float] | None) -> dict[str, float]:
    return ({"gold_hit": gold["any"], "gold_hit_top1": gold["top1"]} if gold else {}) | dict(people or {})


def _reasons(example: Example) -> Iterator[str]:
    yield from (found for found in (gold_words(example), human_words(example)) if isinstance(found, str))


def _nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The figures as they stand in the file: those against highlights together, or null."""
    people = {name: flat[name] for name in _NAMES[2:6]}
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
    """How far ways to attribute agree, and how complete integrated gradients are."""
    if examiner is None or not examples or not examiner.compared:
        return {"agreement": None, "completeness": None}
    some = examples[: examiner.compared]
    ways: dict[str, Mapping[str, Marking]] = {**compare(examiner.model, some, examiner.view, examiner.batch, tick)}
    errors = [
        marking.figures["completeness_error"]
        for found in ways.values()
        for marking in found.values()
        if marking.figures
    ]
    ways |= {name: markings[step] for name, step in _CONTROLS.items() if markings.get(step)}
    complete = {
        "mean": _mean(errors),
        "above_5_percent": sum(error > _INCOMPLETE for error in errors),
        "n": len(errors),
    }
    return {"agreement": agreement(some, ways), "completeness": complete}


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return math.fsum(found) / len(found) if found else None


def _estimate(values: Sequence[float], seed: int, resamples: int) -> dict[str, float] | None:
    if not values:
        return None
    found = estimate(values, seed, resamples)
    return {"value": found.value, "low": found.low, "high": found.high, "n": found.n}


def items(examples: Iterable[Example], said: Said, keep: Keep) -> Iterator[dict[str, Any]]:
    """One row an example for items.jsonl: its text, and each step's words, scores and kept places."""
    for example in examples:
        shown = {}
        for step, generations in said.items():
            marking = read_marking(example, generations.get(example.id))
            if isinstance(marking, Marking):
                kept = keep.choose(example, marking.scores)
                shown[step] = {
                    "spans": [list(span) for span in marking.spans],
                    "scores": list(marking.scores),
                    "kept": kept,
                }
        if shown:
            yield {"id": example.id, "text": example.text, "answer": example.answer, "markings": shown}


def write(folder: Path, figures: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes items.jsonl, then figures.json, each whole or not at all. Raises StoreError when the folder cannot be written."""
    lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    _write(folder / "items.jsonl", lines)
    _write(folder / "figures.json", [json.dumps(figures, ensure_ascii=False, allow_nan=False, indent=1) + "\n"])


def _write(path: Path, lines: Iterable[str]) -> None:
    new = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with new.open("w", encoding="utf-8") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except OSError as error:
        why = error.strerror or error
        raise StoreError(
            f"Cannot write {path}: {why}. Check permissions and free space; what stood there is as it was."
        ) from error
