"""Whether the answer is right.

All metrics read `Prediction.answer`, which the task's parser read from the generated text.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal

import regex

from ...core.types import Example, Prediction
from ...core.words import pieces
from ...tasks.unread import CUT, NOTHING, OTHER

REASONS = {"unparsed_cut": CUT, "unparsed_other": OTHER, "unparsed_nothing": NOTHING}
"""Score → the reason for which an answer could not be read."""
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
# Beyond Latin: "。", "।", "「". Quotes and dashes of Latin texts stay, as SQuAD has them.
_MARKS = regex.compile(r"[\p{P}--[\u0000-\u036f\u2000-\u206f]]", regex.V1)
# With commas between thousands and a decimal point; no part of "x2" or "1.2.3".
_NUMBER = re.compile(r"(?<![\w.,])[-−]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?![,.]?\d)")


def accuracy(example: Example, prediction: Prediction) -> float:
    """1.0 when the parsed answer is the gold one, else 0.0; an answer that did not parse is wrong."""
    return float(matches(example, prediction.answer))


def accuracy_likelihood(example: Example, prediction: Prediction) -> float | None:
    """1.0 when the likeliest option is the gold one, else 0.0; None for free answers.

    The likeliest option has the highest log-likelihood per character (`students.likeliest`, acc_norm of
    lm-evaluation-harness), or in sum where options are stated with their letters. A student without a finite
    likelihood has none and is wrong.
    """
    return float(prediction.likeliest == example.answer) if example.choices else None


def unparsed(example: Example, prediction: Prediction) -> float:
    """1.0 when the answer did not parse, else 0.0, so that the mean is a share."""
    return float(prediction.answer is None)


def readings(example: Example, prediction: Prediction) -> Mapping[str, float]:
    """`unparsed`, and of it the shares by reason: `unparsed_cut`, `unparsed_other`, `unparsed_nothing`.

    The cap cut the answer, or it names something that is not offered (with options alone), or it states nothing
    (`tasks.unread`); 0 or 1 each. Predictions of earlier versions hold no reason: then `unparsed` alone is scored.
    """
    values = {"unparsed": unparsed(example, prediction)}
    # A question that was not asked has its own reason, and none of these.
    if prediction.answer is not None or prediction.unread is not None or prediction.refusal is not None:
        names = {name: reason for name, reason in REASONS.items() if example.choices or reason != OTHER}
        values |= {name: float(prediction.unread == reason) for name, reason in names.items()}
    return values


def f1(example: Example, prediction: Prediction) -> float | None:
    """F1 of the answer's words against the nearest accepted answer (SQuAD, arXiv 1606.05250); None with options.

    2 c / (a + g) for c common words (with repetition) of a words in the answer and g in the accepted one, after
    `normalise`.
    """
    if example.choices:
        return None
    if prediction.answer is None:
        return 0.0
    return max(_overlap(prediction.answer, gold) for gold in accepted(example))


def matches(example: Example, answer: str | None) -> bool:
    """Whether `answer` is right: the gold option, or a free answer with the accepted words or number."""
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
    """Lower case, without punctuation, articles and doubled blanks; text of nothing else stays as it is.

    Of ASCII its punctuation goes, as in the evaluation of SQuAD; of other scripts all that Unicode calls punctuation.
    """
    # As in the evaluation of SQuAD. Of an answer such as "A" or "?" nothing would be left, and all of them be equal.
    plain = unicodedata.normalize("NFKC", text).casefold().translate(_PUNCTUATION)
    plain = _MARKS.sub("", plain)
    return " ".join(_ARTICLES.sub(" ", plain).split()) or text.strip()


def _same(answer: str, gold: str) -> bool:
    # Numbers are compared before punctuation is dropped: "1/2" is not 12, nor "2.5" 25.
    same_numbers = _numbers(answer) == _numbers(gold)
    if _NUMBER.fullmatch(gold.strip()):
        return same_numbers  # "7 apples" is 7; "7 or 8" is not
    return same_numbers and normalise(answer) == normalise(gold)


def _numbers(text: str) -> set[Decimal]:
    return {Decimal(match.replace(",", "").replace("−", "-")) for match in _NUMBER.findall(text)}


def _overlap(answer: str, gold: str) -> float:
    words, gold_words = pieces(normalise(answer)), pieces(normalise(gold))
    common = sum((Counter(words) & Counter(gold_words)).values())
    return 2 * common / (len(words) + len(gold_words)) if common else 0.0
