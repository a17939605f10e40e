"""Whether an explanation supports the answer it stands beside, by the options that it names.

That costs nothing and undercounts: many a good reason names no option. For what a reader infers from the meaning, ask a
judge or an entailment model (`likeness.entailment`). None: there is no explanation, or the question has nothing that
could be named.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ...core.types import Example, Prediction, letter
from ...core.words import latin
from ...tasks.answers import split_answer, stated_option
from ...tasks.spelling import canonical
from .explanations import named, spell
from .mentions import mentions, supported

_LETTER = re.compile(r"\(([a-z])\)|\b(?:option|choice|answer|letter) ([a-z])(?![\w'-])", re.IGNORECASE)
_MARKERS = re.compile(
    r"\b(?:not|n't|never|nor|neither|unlike|whereas|while|although|though|however|but|instead|rather|than|compared|contrast|differs?"
    r"|different|differently|opposed|other (?:options?|choices?|answers?)|others|only|except|despite|alternatives?)\b",
    re.IGNORECASE,
)


def support(example: Example, prediction: Prediction) -> Mapping[str, float] | None:
    """Shares, 0 or 1 for each explanation: `names_gold`, and which option it argues for.

    `names_gold`: the gold answer stands in it as whole words. `supports_predicted`, `supports_gold`, `supports_other`:
    the option it argues for (`mentions.supported`) is the one the student answered, the gold one, any but the one it
    answered. All three are 0 where it argues for none. Without options only `names_gold` is scored; without a parsed
    answer only what concerns the gold one. What sets an option aside is known in English alone: in another script, an
    option that is named counts as argued for. Source: rationale-answer consistency, by string; the explaining view
    never sees the answer, so the two may part.
    """
    text = prediction.explanation
    if text is None:
        return None
    values = {"names_gold": float(example.answer in named(text, (*example.choices, example.answer)))}
    if example.choices:
        option = supported(text, example)
        # Independent of the student's answer, so that it is scored where that did not parse, too.
        values["supports_gold"] = _same(option, example.answer)
        if prediction.answer is not None:
            values["supports_predicted"] = _same(option, prediction.answer)
            values["supports_other"] = float(option is not None) - values["supports_predicted"]
    return values


def contrast(example: Example, prediction: Prediction) -> Mapping[str, float] | None:
    """`contrast_markers`: words that set one thing against another, a count from 0 (longer texts have more of them).

    `argues_against`: options other than the predicted one that the explanation sets aside by name ("not a zoo", "a zoo
    lacks ..."), a count from 0 to all of them; left out without options or a parsed answer. The construct
    "contrastiveness" of the human study asks for both: why this option, and why not another. The words that set apart
    are English: None for a text in another script.
    """
    text = prediction.explanation
    if text is None or not latin(text):
        return None
    values = {"contrast_markers": float(markers(text))}
    if example.choices and prediction.answer is not None:
        values["argues_against"] = float(len(set_aside(text, example) - {spell(prediction.answer)}))
    return values


def leaks(example: Example, prediction: Prediction) -> float | None:
    """1.0 when the explanation states the predicted answer as the answer ("the answer is zoo", "option (b)"), else 0.0.

    Then a reader knows the answer without following a reason. An option that is named within a reason is no leak
    (`names_answer`). None without an explanation or a parsed answer.
    """
    if prediction.explanation is None or prediction.answer is None:
        return None
    return float(gives_away(prediction.explanation, example, prediction.answer))


def markers(text: str) -> int:
    """The number of contrast markers in a text."""
    return len(_MARKERS.findall(text.replace("’", "'")))


def set_aside(text: str, example: Example) -> set[str]:
    """The options (`spell`) that a text sets aside at least once."""
    return {mention.option for mention in mentions(text, example.choices) if mention.aside}


def gives_away(text: str, example: Example, answer: str) -> bool:
    """Whether a text states `answer` as the answer, in words or by its letter."""
    if not example.choices:
        # `split_answer` returns ("", text) for a text without "the answer is": then nothing is stated.
        before, after = split_answer(text)
        stated_text = after if before or after != text else ""
        return bool(stated_text) and bool(answer.strip()) and canonical(stated_text).startswith(canonical(answer))
    if (stated := stated_option(text, example)) is not None and spell(stated) == spell(answer):
        return True
    letters = {letter(index) for index, choice in enumerate(example.choices) if spell(choice) == spell(answer)}
    return any((match[1] or match[2]).lower() in letters for match in _LETTER.finditer(text))


def _same(option: str | None, answer: str) -> float:
    return float(option is not None and spell(option) == spell(answer))
