"""The rules that weigh the samples of a question, as an option of a method: `weigh=student&h=0.25`. No model, no torch.

A rule is given the figures of all usable samples of one (question, kind, answer) and returns a weight for each. Where
the figures come from is in `run/stages/weigh.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.errors import nearest
from ..core.words import words
from .terms import NUMBER

Figures = Mapping[str, float | None]
"""The figures of one sample by name; None where one could not be told."""
Settings = Mapping[str, float]


@dataclass(frozen=True)
class Setting:
    """A number that a rule takes."""

    default: float
    about: str
    low: float = 0.0
    high: float = math.inf
    zero: bool = False
    """Whether `low` itself may be set."""

    def fits(self, value: float) -> bool:
        """Whether it may be set to a value."""
        return (value >= self.low if self.zero else value > self.low) and value <= self.high


@dataclass(frozen=True)
class Rule:
    """A way to weigh samples."""

    about: str
    """One line."""
    reads: str
    """Where its figures come from: a name in `run.stages.weigh.SOURCES`."""
    weigh: Callable[[Sequence[Figures], Settings], list[float]]
    """The weights of the samples of one question, of any sum; all 0 is all alike."""
    settings: Mapping[str, Setting] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    """Kinds of generation that it reads where they are there, beside those that it weighs."""


@dataclass(frozen=True)
class Weighing:
    """A rule with its settings."""

    rule: str
    settings: tuple[tuple[str, float], ...] = ()
    """Those that the recipe names, in the order of their names."""

    @classmethod
    def read(cls, value: str) -> Weighing:
        """From what a recipe writes behind "weigh=". Raises ValueError with what is wrong."""
        name, *written = value.split("&")
        rule = RULES.get(name)
        if rule is None:
            known = ", ".join(f"weigh={each}" for each in RULES)
            raise ValueError(f"'weigh={value}' names no rule.{nearest(name, RULES)} Known: {known}")
        settings: dict[str, float] = {}
        for each in written:
            key, _, number = each.partition("=")
            setting = rule.settings.get(key)
            if setting is None:
                known = ", ".join(f"{key} ({setting.about})" for key, setting in rule.settings.items()) or "none"
                raise ValueError(f"'weigh={value}': '{name}' has no setting '{key}'. Its settings: {known}")
            if not re.fullmatch(NUMBER, number) or not setting.fits(float(number)):
                most = f" and at most {setting.high:g}" if setting.high < math.inf else ""
                least = f"{'at least' if setting.zero else 'above'} {setting.low:g}"
                raise ValueError(
                    f"'weigh={value}': '{key}' is {setting.about}, a number {least}{most}, such as "
                    f"{key}={setting.default:g}"
                )
            if key in settings:
                raise ValueError(f"'weigh={value}' sets '{key}' twice. Leave one of them out")
            settings[key] = float(number)
        return cls(name, tuple(sorted(settings.items())))

    def __str__(self) -> str:
        return "&".join([self.rule, *(f"{key}={value:g}" for key, value in self.settings)])

    def shares(self, samples: Sequence[Figures]) -> list[float]:
        """The weights of the samples of one question, which add up to 1."""
        rule = RULES[self.rule]
        settings = {key: setting.default for key, setting in rule.settings.items()} | dict(self.settings)
        weights = rule.weigh(samples, settings)
        total = math.fsum(weights)
        if not total:  # a rule that finds nothing to tell them apart by
            return [1 / len(samples)] * len(samples)
        return [weight / total for weight in weights]

    @property
    def key(self) -> list[Any]:
        """What the weights depend on beside the texts and what the student starts from."""
        rule = RULES[self.rule]
        settings = {key: setting.default for key, setting in rule.settings.items()} | dict(self.settings)
        return [self.rule, sorted(settings.items())]


def _student(samples: Sequence[Figures], settings: Settings) -> list[float]:
    """α = softmax over the samples of (log p_S(text | question) / tokens / h), of which the largest are kept.

    After SSD (arXiv 2504.14307), which weighs a teacher's features by their product with the student's; a text has its
    log-likelihood in that place.
    """
    likely = [None if each["surprisal"] is None else -each["surprisal"] / settings["h"] for each in samples]
    return _top(_softmax(likely), settings["share"])


def _discriminator(samples: Sequence[Figures], settings: Settings) -> list[float]:
    """softmax over the samples of (log D / (1 - D) / h), D the chance that a text is the first teacher's.

    At h = 1 a weight is the odds D / (1 - D), which is how much likelier the first teacher writes a text than the
    others do: the importance weight of a discriminator. That the weights of a question add up to one is ours.
    """
    taken = [None if each["taken"] is None else each["taken"] / settings["h"] for each in samples]
    return _top(_softmax(taken), settings["share"])


def _agreement(samples: Sequence[Figures], settings: Settings) -> list[float]:
    """w = (λ · p(answer) + (1 - λ) · agreement with the other teachers) / the texts of its teacher.

    After the weighting of teachers in the Cohesive Distillation Architecture (arXiv 2301.08130), by their probability
    of the gold token.
    """
    gold = settings["gold"]
    # Divided, so that a teacher counts once however many texts it wrote.
    return [(gold * _of(each, "gold") + (1 - gold) * _of(each, "others")) / _of(each, "texts") for each in samples]


def _of(figures: Figures, name: str) -> float:
    value = figures[name]
    return 0.0 if value is None else value


def _rsr(samples: Sequence[Figures], settings: Settings) -> list[float]:
    """1 for the lowest rank-surprisal ratio, Σ rank / Σ surprisal of its tokens (arXiv 2601.14249), 0 for the rest.

    A low one is a text whose tokens are far from certain and yet among the student's first choices: it has something
    to teach, and the student can learn it.
    """
    ratios = [ratio(each) for each in samples]
    known = [value for value in ratios if value is not None]
    place = ratios.index(min(known)) if known else None
    return [float(number == place) for number in range(len(samples))]


def ratio(figures: Figures) -> float | None:
    """The rank-surprisal ratio of a text."""
    rank, surprisal = figures["rank"], figures["surprisal"]
    return None if rank is None or surprisal is None else rank / max(surprisal, 1e-12)


def _morsd(samples: Sequence[Figures], settings: Settings) -> list[float]:
    """The texts that lead the student to the answer, helpful and different ones first, a share of all.

    Accuracy, difficulty and diversity of MoRSD (arXiv 2509.23574); how they are put together is ours: where some
    reach the answer, only those; in the order of gain + λ · diversity; those kept weigh the same.
    """
    usable = [each["gain"] is not None for each in samples]
    if any(fits and each["reaches"] for fits, each in zip(usable, samples, strict=True)):
        usable = [fits and bool(each["reaches"]) for fits, each in zip(usable, samples, strict=True)]
    scores = [_of(each, "gain") + settings["diversity"] * _of(each, "diversity") for each in samples]
    ranked = sorted((place for place, fits in enumerate(usable) if fits), key=lambda place: -scores[place])
    kept = set(ranked[: math.ceil(round(settings["share"] * len(samples), 9))])
    return [float(place in kept) for place in range(len(samples))]


def diversity(texts: Sequence[str]) -> list[float]:
    """1 - the mean Jaccard overlap of each text's words with those of the others."""
    sets = [set(words(text)) for text in texts]
    return [
        1 - math.fsum(_overlap(own, other) for number, other in enumerate(sets) if number != place) / (len(sets) - 1)
        for place, own in enumerate(sets)
    ]


def _overlap(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other) if one | other else 1.0


def _softmax(values: Sequence[float | None]) -> list[float]:
    """0 for None; all 0 where every one is None."""
    known = [value for value in values if value is not None]
    most = max(known, default=0.0)
    exponents = [0.0 if value is None else math.exp(value - most) for value in values]
    return [each / total for each in exponents] if (total := math.fsum(exponents)) else exponents


def _top(weights: Sequence[float], share: float) -> list[float]:
    """The largest weights, so many that they are at least this share of all, and 0 for the rest.

    Of equal ones the first stay.
    """
    count = math.ceil(round(share * len(weights), 9))
    kept = set(sorted(range(len(weights)), key=lambda place: -weights[place])[:count])
    return [weight if place in kept else 0.0 for place, weight in enumerate(weights)]


RULES: Mapping[str, Rule] = {
    "student": Rule(
        "texts that the student finds likely before training weigh more: softmax(log p / tokens / h), top share kept",
        "told",
        _student,
        {
            "h": Setting(0.25, "the temperature, in nats a token"),
            "share": Setting(0.75, "the share of the samples that is kept", high=1.0),
        },
    ),
    "discriminator": Rule(
        "texts that a classifier takes for the first teacher's weigh more: softmax(log-odds / h), top share kept",
        "taken",
        _discriminator,
        {
            "h": Setting(1.0, "the temperature of the log-odds"),
            "share": Setting(1.0, "the share of the samples that is kept", high=1.0),
        },
    ),
    "rsr": Rule(
        "the text with the lowest mean rank / mean surprisal of its tokens, under the student before training",
        "told",
        _rsr,
    ),
    "morsd": Rule(
        "texts that lead the untrained student to the answer, by how much they help it and differ; top share kept",
        "reached",
        _morsd,
        {
            "diversity": Setting(0.5, "the nats that a text with no word of the others is worth", zero=True),
            "share": Setting(0.5, "the share of the samples that is kept", high=1.0),
        },
    ),
    "agreement": Rule(
        "teachers whose own answer agrees with the right one and with the other teachers' weigh more",
        "agreement",
        _agreement,
        {
            "gold": Setting(
                0.5, "the weight of the right answer; the rest is for the other teachers", high=1.0, zero=True
            )
        },
        also=("label",),
    ),
}
"""Every rule by its name."""
