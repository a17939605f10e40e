"""A judge: a teacher that rates explanations from 1 to 5, with the evidence before the score, without knowing whose they are.

What it says goes into the store like every other text of a teacher (kind "judgement"), so nothing is asked twice, and two methods that
said the same are judged the same. It is read only afterwards: a reader that reads more costs nothing.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ...core.errors import RecipeError, UnknownName
from ...core.types import Example, Prompt, Teacher, Tick, Turn, digest
from ...teachers.ask import KIND, Bill, ask
from ...teachers.prompts import Prompts, Template, fill
from ...teachers.store import Store

SCALE = (1, 5)
NOTHING = "(none)"
"""Shown for an answer that could not be read and for an explanation of no words: a method's silence is rated, not left out."""
TOKENS_EACH = 70
"""Cap of what a judge writes about one construct."""

_RANGE = re.compile(r"(?i)\b\d\s*(?:to|[-–—])\s*\d\b")
_SCORE = re.compile(r"(?i)\b(?:score|rating)\W{0,6}(\d+(?:\.\d+)?)")
_OUT_OF = re.compile(r"(?i)\b(\d+(?:\.\d+)?)\s*(?:/|out of)\s*5\b")
_LAST = re.compile(r"(?<![\d.])(\d)[\W_]*\Z")


@dataclass(frozen=True)
class Construct:
    """One thing that an explanation is rated for."""

    name: str
    asks: str
    low: str
    """What a 1 means."""
    high: str
    """What a 5 means."""

    @property
    def title(self) -> str:
        """Its name in prompts and in the table of ratings."""
        return self.name.capitalize()


@dataclass(frozen=True)
class Rated:
    """An explanation to be rated, with all that a judge may know of it."""

    example: Example
    answer: str | None
    """The answer it came with; None: it could not be read."""
    explanation: str


@dataclass
class Ratings:
    """What one judge said about some explanations."""

    judge: str
    scores: list[dict[str, int]]
    """For each explanation construct → score; without those that could not be read."""
    texts: list[str]
    """What it said, word for word."""
    bill: Bill
    unread: dict[str, int]
    """Construct → explanations whose score could not be read."""


def constructs(prompts: Prompts, names: Sequence[str]) -> list[Construct]:
    """The constructs of those names, from prompts/constructs.yaml or the recipe's own. Raises RecipeError."""
    path = prompts.file("constructs.yaml")
    known: Mapping[str, Mapping[str, Any]] = _yaml(path) or {}
    found = []
    for name in names:
        if name not in known:
            known_ones = str(UnknownName("construct", name, known)).removesuffix('Your own: "module:attribute".')
            raise RecipeError(f"{known_ones}Your own: in a copy of {path}, in the folder that `prompts` names.")
        try:
            found.append(Construct(name, *(" ".join(str(known[name][key]).split()) for key in ("asks", "low", "high"))))
        except (KeyError, TypeError) as error:
            raise RecipeError(f"{path}: the construct '{name}' lacks {error}. Each has asks, low and high.") from error
    return found


def criteria(asked: Sequence[Construct]) -> str:
    """The constructs as a list, with what the ends of the scale mean."""
    low, high = SCALE
    return "\n".join(f"- {item.title}: {item.asks} {low}: {item.low}. {high}: {item.high}." for item in asked)


def rating_prompts(prompts: Prompts, asked: Sequence[Construct], rated: Sequence[Rated], seed: int) -> list[Prompt]:
    """The prompts that ask for ratings: the constructs in an order drawn for each text, so that none always comes first.

    All but the last turn is the same for every explanation: a model or a server that keeps what it has read reads it once.
    """
    template = prompts.template("judge")
    first = [Turn("system", fill(template.system, {"criteria": criteria(asked)}))]
    for shown, given in _shots(prompts):
        order = [item for name in given for item in asked if item.name == name]
        if order:
            first += [Turn("user", _asking(template, shown, order)), Turn("assistant", _form(template, order, given))]
    found = []
    for item in rated:
        order = list(asked)
        random.Random(digest(seed, item.example.text, item.answer, item.explanation)).shuffle(order)
        turns = (*first, Turn("user", _asking(template, item, order)))
        found.append(Prompt(turns, item.example, KIND, item.answer or ""))
    return found


def _asking(template: Template, rated: Rated, order: Sequence[Construct]) -> str:
    blanks = {item.name: {"evidence": "<evidence>", "score": f"<{SCALE[0]} to {SCALE[1]}>"} for item in order}
    about = {"text": rated.example.text, "answer": rated.answer or NOTHING, "explanation": plain(rated.explanation)}
    return fill(template.user, {**about, "count": str(len(order)), "form": _form(template, order, blanks)})


def _form(template: Template, order: Sequence[Construct], given: Mapping[str, Mapping[str, Any]]) -> str:
    """A line a construct, with what was given for it: evidence and score."""
    lines = (
        {"name": item.title, **{key: str(given[item.name][key]) for key in ("evidence", "score")}} for item in order
    )
    return "\n".join(fill(template.assistant, line) for line in lines)


def _shots(prompts: Prompts) -> list[tuple[Rated, Mapping[str, Mapping[str, Any]]]]:
    """Rated explanations to show first, from prompts/rated.yaml: what is rated, and construct → evidence and score in the order given."""
    path = prompts.file("rated.yaml")
    found: list[tuple[Rated, Mapping[str, Mapping[str, Any]]]] = []
    for number, row in enumerate(_yaml(path) or (), 1):
        try:
            example = Example(
                f"rated-{number}", str(row["question"]), tuple(map(str, row["choices"])), str(row["answer"])
            )
            ratings = {
                str(name): {key: given[key] for key in ("evidence", "score")} for name, given in row["ratings"].items()
            }
            found.append((Rated(example, example.answer, str(row["explanation"])), ratings))
        except (KeyError, TypeError, AttributeError) as error:
            needed = "Each has question, choices, answer, explanation, and ratings with evidence and score."
            raise RecipeError(f"{path}, example {number}: {error!r}. {needed}") from error
    return found


def _yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise RecipeError(f"{path} is not YAML: {error}") from error


def plain(explanation: str) -> str:
    """An explanation on one line, so that none can look like a part of the prompt."""
    return " ".join(explanation.split()) or NOTHING


def read_ratings(text: str, names: Sequence[str]) -> dict[str, int]:
    """The scores in a judge's words, by construct: whole numbers from 1 to 5. What is missing, off the scale or said in two ways is not."""
    heads = {name: match for name in names if (match := _head(name).search(text))}
    if len(names) == 1 and not heads:
        return {name: score for name in names if (score := _score(text)) is not None}
    every = sorted(match.start() for name in names for match in _head(name).finditer(text))
    found = {}
    for name, match in heads.items():
        end = next((start for start in every if start > match.start()), len(text))
        score = _score(text[match.end() : end])
        if score is not None:
            found[name] = score
    return found


def _head(name: str) -> re.Pattern[str]:
    """How a line about a construct begins: "Plausibility:", "2. **Plausibility** -", or a key of JSON."""
    word = re.escape(name)
    return re.compile(rf"""(?im)^[\W\d_]*{word}["*_]*\s*[:–—-]|\b{word}["*_]*\s*:""")


def _score(text: str) -> int | None:
    text = _RANGE.sub("", text)  # "1 to 5" is the form given back, "3-4" no score
    for pattern in (_SCORE, _OUT_OF, _LAST):
        said = {float(match[1]) for match in pattern.finditer(text)}
        if said:
            score = said.pop()
            return int(score) if not said and score in range(SCALE[0], SCALE[1] + 1) else None
    return None


def rate(
    judge: Teacher, rated: Sequence[Rated], asked: Sequence[Construct], prompts: Prompts, store: Store, seed: int = 0,
    tick: Tick | None = None,
) -> Ratings:  # fmt: skip
    """Has a judge rate explanations.

    Args:
        judge: Who rates.
        rated: What is rated, in any order; equal texts are asked about once.
        asked: For what.
        prompts: The template `judge`.
        store: Where its words are kept; every one is committed as it comes.
        seed: Of the order of the constructs and of the order of asking.
        tick: Called with (what, done, total, note).

    Raises TeacherError when the judge cannot answer, StoreError when the store cannot be written.
    """
    names = [item.name for item in asked]
    said, bill = ask(judge, rating_prompts(prompts, asked, rated, seed), store, TOKENS_EACH * len(names), seed, tick)
    texts = [generation.text for generation in said]
    scores = [read_ratings(text, names) for text in texts]
    return Ratings(
        judge.name, scores, texts, bill, {name: sum(name not in found for found in scores) for name in names}
    )
