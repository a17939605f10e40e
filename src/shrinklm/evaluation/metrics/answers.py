"""Is the answer right? Everything reads `Prediction.answer`, which the task's parser read out of the student's words."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from decimal import Decimal

from ...core.types import Example, Prediction

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_NUMBER = re.compile(r"(?<![\w.,])[-−]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?![,.]?\d)")


def accuracy(example: Example, prediction: Prediction) -> float:
    """1.0 when the parsed answer is the gold one, else 0.0; an answer that did not parse is wrong."""
    return float(matches(example, prediction.answer))


def accuracy_likelihood(example: Example, prediction: Prediction) -> float | None:
    """1.0 when the likeliest option is the gold one; None for free answers. A student that gives no number (NaN) is wrong."""
    return float(prediction.likeliest == example.answer) if example.choices else None


def unparsed(example: Example, prediction: Prediction) -> float:
    """1.0 when no answer could be read, so that its mean is a share."""
    return float(prediction.answer is None)


def f1(example: Example, prediction: Prediction) -> float | None:
    """F1 of the answer's words against the nearest accepted answer, as in SQuAD (arXiv 1606.05250); None where there are options."""
    if example.choices:
        return None
    if prediction.answer is None:
        return 0.0
    return max(_overlap(prediction.answer, gold) for gold in accepted(example))


def matches(example: Example, answer: str | None) -> bool:
    """Whether `answer` is right: the gold option by its text; a free answer by its normalised words, or as a number."""
    if answer is None:
        return False
    if example.choices:
        return answer == example.answer
    return any(_same(answer, gold) for gold in accepted(example))


def accepted(example: Example) -> tuple[str, ...]:
    """The gold answer and the further ones in `meta["answers"]`, each once."""
    more = example.meta.get("answers") or ()
    return tuple(dict.fromkeys((example.answer, *([more] if isinstance(more, str) else map(str, more)))))


def normalise(text: str) -> str:
    """Lower case, without punctuation, articles and doubled blanks; text of nothing else stays as it is."""
    plain = unicodedata.normalize("NFKC", text).casefold().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", plain).split()) or text.strip()


def _same(answer: str, gold: str) -> bool:
    numbers = _numbers(answer) == _numbers(
        gold
    )  # normalised, "1/2" and "2.5" would lose what makes them other than 12 and 25
    if _NUMBER.fullmatch(gold.strip()):
        return numbers  # "7 apples" is 7; "7 or 8" is not
    return numbers and normalise(answer) == normalise(gold)


def _numbers(text: str) -> set[Decimal]:
    return {Decimal(match.replace(",", "").replace("−", "-")) for match in _NUMBER.findall(text)}


def _overlap(answer: str, gold: str) -> float:
    said, wanted = normalise(answer).split(), normalise(gold).split()
    common = sum((Counter(said) & Counter(wanted)).values())
    return 2 * common / (len(said) + len(wanted)) if common else 0.0
