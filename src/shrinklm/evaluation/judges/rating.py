"""A judge: a teacher that rates explanations from 1 to 5, evidence before score, blind to the method.

Its texts go into the store like those of any other teacher (kind "judgement"), so nothing is paid for twice, and equal
explanations of two methods get equal ratings. Scores are read from the stored texts: a better reader needs nothing new.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ...core import safe_yaml
from ...core.errors import RecipeError, UnknownName
from ...core.types import Example, Prompt, Tick, Turn, digest
from ...teachers.base import BaseTeacher
from ...teachers.judge import ask_judge
from ...teachers.prompts import Prompts, Template, fill
from ...teachers.steps import JUDGEMENT
from ...teachers.store import Store
from ...teachers.usage import Usage

SCALE = (1, 5)
NOTHING = "(none)"
"""Shown for an unread answer and for an empty explanation: a method that explains nothing is rated, not skipped."""
TOKENS_EACH = 70
"""Cap of the tokens about one construct: a sentence of evidence and a score."""

_RANGE = re.compile(r"(?i)\b\d\s*(?:to|[-–—])\s*\d\b")
_SCORE = re.compile(r"(?i)\b(?:score|rating)\W{0,6}(\d+(?:\.\d+)?)")
_OUT_OF = re.compile(r"(?i)\b(\d+(?:\.\d+)?)\s*(?:/|out of)\s*5\b")
_LAST = re.compile(r"(?<![\d.])(\d)[\W_]*\Z")


@dataclass(frozen=True)
class Construct:
    """One quality that an explanation is rated for."""

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
    """An explanation to be rated, with its question and answer. No prompt shows the method or the gold answer."""

    example: Example
    answer: str | None
    """The answer it came with; None: it could not be read."""
    explanation: str


@dataclass
class Ratings:
    """One judge's ratings, in the order of the explanations."""

    judge: str
    scores: list[dict[str, int]]
    """For each explanation construct → score; without those that could not be read."""
    texts: list[str]
    """The judge's own texts, word for word."""
    usage: Usage
    unread: dict[str, int]
    """Construct → explanations whose score could not be read."""


def read_constructs(prompts: Prompts, names: Sequence[str]) -> list[Construct]:
    """Return the constructs of those names, from the package's constructs.yaml or the recipe's. Raises RecipeError."""
    path = prompts.file("constructs.yaml")
    known: Mapping[str, Mapping[str, Any]] = _yaml(path) or {}
    constructs = []
    for name in names:
        if name not in known:
            unknown = str(UnknownName("construct", name, known)).removesuffix('Your own: "module:attribute".')
            raise RecipeError(f"{unknown}Your own: in a copy of {path}, in the folder that `prompts` names.")
        try:
            asks, low, high = (" ".join(str(known[name][key]).split()) for key in ("asks", "low", "high"))
        except (KeyError, TypeError) as error:
            raise RecipeError(f"{path}: the construct '{name}' lacks {error}. Each has asks, low and high.") from error
        constructs.append(Construct(name, asks, low, high))
    return constructs


def criteria(constructs: Sequence[Construct]) -> str:
    """The constructs as a list, with what the ends of the scale mean."""
    low, high = SCALE
    return "\n".join(f"- {item.title}: {item.asks} {low}: {item.low}. {high}: {item.high}." for item in constructs)


def rating_prompts(
    prompts: Prompts, constructs: Sequence[Construct], explanations: Sequence[Rated], seed: int
) -> list[Prompt]:
    """The prompts that ask for ratings, one for each explanation.

    The order of the constructs is drawn for each text, so that none is favoured by its position. All turns but the last
    are the same for every explanation: a model or a server that caches prefixes reads them once.
    """
    template = prompts.template("judge")
    prefix = [Turn("system", fill(template.system, {"criteria": criteria(constructs)}))]
    for shot, ratings in _shots(prompts):
        # Only what is rated now, in the order of its file: an example must not show a line that is not asked for.
        order = [item for name in ratings for item in constructs if item.name == name]
        if order:
            prefix += [
                Turn("user", _question(template, shot, order)),
                Turn("assistant", _form(template, order, ratings)),
            ]
    rating = []
    for rated in explanations:
        order = list(constructs)
        # Seeded by the text, not by its position in the run: equal explanations share a prompt and its stored answer.
        random.Random(digest(seed, rated.example.text, rated.answer, rated.explanation)).shuffle(order)
        turns = (*prefix, Turn("user", _question(template, rated, order)))
        rating.append(Prompt(turns, rated.example, JUDGEMENT, rated.answer or ""))
    return rating


def _question(template: Template, rated: Rated, order: Sequence[Construct]) -> str:
    blanks = {item.name: {"evidence": "<evidence>", "score": f"<{SCALE[0]} to {SCALE[1]}>"} for item in order}
    about = {"text": rated.example.text, "answer": rated.answer or NOTHING, "explanation": one_line(rated.explanation)}
    return fill(template.user, {**about, "count": str(len(order)), "form": _form(template, order, blanks)})


def _form(template: Template, order: Sequence[Construct], values: Mapping[str, Mapping[str, Any]]) -> str:
    """A line for each construct, filled with its evidence and score."""
    lines = (
        {"name": item.title, **{key: str(values[item.name][key]) for key in ("evidence", "score")}} for item in order
    )
    return "\n".join(fill(template.assistant, line) for line in lines)


def _shots(prompts: Prompts) -> list[tuple[Rated, Mapping[str, Mapping[str, Any]]]]:
    """The few-shot examples of rated.yaml: an explanation, and construct → evidence and score in the file's order."""
    path = prompts.file("rated.yaml")
    shots: list[tuple[Rated, Mapping[str, Mapping[str, Any]]]] = []
    for number, row in enumerate(_yaml(path) or (), 1):
        try:
            example = Example(
                f"rated-{number}", str(row["question"]), tuple(map(str, row["choices"])), str(row["answer"])
            )
            ratings = {
                str(name): {key: rating[key] for key in ("evidence", "score")}
                for name, rating in row["ratings"].items()
            }
            shots.append((Rated(example, example.answer, str(row["explanation"])), ratings))
        except (KeyError, TypeError, AttributeError) as error:
            needed = "Each has question, choices, answer, explanation, and ratings with evidence and score."
            raise RecipeError(f"{path}, example {number}: {error!r}. {needed}") from error
    return shots


def _yaml(path: Path) -> Any:
    try:
        return safe_yaml.load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise RecipeError(f"{path} is not YAML: {error}") from error


def one_line(explanation: str) -> str:
    """An explanation on one line, so that none can look like a part of the prompt."""
    return " ".join(explanation.split()) or NOTHING


def read_ratings(text: str, names: Sequence[str]) -> dict[str, int]:
    """Return construct → score, whole numbers from 1 to 5, as the judge's text states them.

    A score that is missing, off the scale or stated in two ways is left out.
    """
    # The first heading of each construct counts: a judge may go on and rate an explanation of its own.
    headings = {name: match for name in names if (match := _heading(name).search(text))}
    if len(names) == 1 and not headings:
        return {name: score for name in names if (score := _score(text)) is not None}
    # Every heading ends a section, or a construct without a score would take the next one's.
    starts = sorted(match.start() for name in names for match in _heading(name).finditer(text))
    scores = {}
    for name, heading in headings.items():
        end = next((start for start in starts if start > heading.start()), len(text))
        score = _score(text[heading.end() : end])
        if score is not None:
            scores[name] = score
    return scores


def _heading(name: str) -> re.Pattern[str]:
    """How a line about a construct begins: "Plausibility:", "2. **Plausibility** -", or a key of JSON."""
    word = re.escape(name)
    return re.compile(rf"""(?im)^[\W\d_]*{word}["*_]*\s*[:–—-]|\b{word}["*_]*\s*:""")


def _score(text: str) -> int | None:
    text = _RANGE.sub("", text)  # "1 to 5" is copied from the form, and "3-4" is no score
    # From the most explicit form to a mere digit at the end; of two different scores in one form neither counts.
    for pattern in (_SCORE, _OUT_OF, _LAST):
        values = {float(match[1]) for match in pattern.finditer(text)}
        if values:
            value = values.pop()
            return int(value) if not values and value in range(SCALE[0], SCALE[1] + 1) else None
    return None


def rate(
    judge: BaseTeacher,
    explanations: Sequence[Rated],
    constructs: Sequence[Construct],
    prompts: Prompts,
    store: Store,
    seed: int,
    tick: Tick | None = None,
) -> Ratings:
    """Have a judge rate explanations.

    Args:
        judge: The model that rates.
        explanations: In any order; equal texts are rated once.
        constructs: The qualities that are rated.
        prompts: The template `judge`.
        store: Holds the judge's texts; each is committed as it comes.
        seed: Of the order of the constructs and of the order of asking.
        tick: Called with (what, done, total, note).

    Raises TeacherError when the judge cannot answer, StoreError when the store cannot be written.
    """
    names = [construct.name for construct in constructs]
    questions = rating_prompts(prompts, constructs, explanations, seed)
    generations, usage = ask_judge(judge, questions, store, TOKENS_EACH * len(names), seed, tick)
    texts = [generation.text for generation in generations]
    scores = [read_ratings(text, names) for text in texts]
    unread = {name: sum(name not in ratings for ratings in scores) for name in names}
    return Ratings(judge.name, scores, texts, usage, unread)
