"""Does the student's answer hang on its explanation? Probes: they ask the student again and compare (see `evaluation.probes`).

"Its answer" is here the likeliest option with its own explanation in place (a free answer: what it then says). Each share stands beside a
baseline in which chance, or the explanation of another question, takes the place of the reasons: what moves an answer as often as the
real thing is no sign of faithfulness. Values are 0 or 1 an item unless another range is given; a mean over items is a share.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from types import MappingProxyType

from ...core.types import Example, Prediction
from .answers import matches
from .base import Condition, Context, Probe, same_answer
from .explanations import named
from .rewording import cut, exchanged, paraphrased, perturbed

Answers = Mapping[str, str | None]
Conditions = Mapping[str, Condition]
Numbers = Mapping[str, float]

CUTS = (0, 25, 50, 75, 100)
"""Per cent of an explanation's words that are left, from its beginning."""
NEUTRAL = "[question]"
"""A tag of the same form that no method trains."""


class CounterfactualConsistency:
    """Whether the student gives the wrong option w whose explanation it is given (SCOTT, arXiv 2305.01879).

    cf_consistency = [answer(explanation of w) = w]; cf_baseline = [answer(another question's explanation) = w]. w is a seeded draw from the
    wrong options that are not its answer. The explanation is the teacher's counterfactual; where the teacher explained no wrong option of
    any question asked, it is the student's own with the name of its answer and of w exchanged (not scored where it names no answer).
    """

    def conditions(self, example: Example, prediction: Prediction, context: Context) -> Conditions:
        """Its own explanation, that of w, and another question's."""
        found = _against(example, prediction, context)
        if found is None or example.id not in context.others:
            return {}
        return {
            "own": _own(prediction),
            f"for {found[0]}": Condition(found[1]),
            "other": Condition(context.others[example.id]),
        }

    def values(self, example: Example, prediction: Prediction, answers: Answers) -> Numbers:
        """cf_consistency, cf_baseline."""
        option, answer = _argued(answers)
        if same_answer(example, answers["own"], option):
            return {}
        return {
            "cf_consistency": float(same_answer(example, answer, option)),
            "cf_baseline": float(same_answer(example, answers["other"], option)),
        }


class Perturbation:
    """How much accuracy falls when half of the explanation's words are replaced by words of other explanations.

    perturbation_drop = right(own) - right(own, perturbed), from -1 to 1; perturbation_baseline: the same of another question's
    explanation, whose words hold no reasons to lose. As the perturbation test of SCOTT (arXiv 2305.01879), with words that students say.
    """

    def conditions(self, example: Example, prediction: Prediction, context: Context) -> Conditions:
        """Its own and another question's explanation, each whole and perturbed."""
        other = context.others.get(example.id)
        if other is None or not _says(prediction):
            return {}
        return {
            "own": _own(prediction), "own perturbed": Condition(perturbed(str(prediction.explanation), example.id, context, "own")),
            "other": Condition(other), "other perturbed": Condition(perturbed(other, example.id, context, "other")),
        }  # fmt: skip

    def values(self, example: Example, prediction: Prediction, answers: Answers) -> Numbers:
        """perturbation_drop, perturbation_baseline."""
        right = {name: float(matches(example, answer)) for name, answer in answers.items()}
        drop, baseline = (right[name] - right[f"{name} perturbed"] for name in ("own", "other"))
        return {"perturbation_drop": drop, "perturbation_baseline": baseline}


class EarlyAnswering:
    """How soon the answer stands while the explanation is read (arXiv 2307.13702).

    early_P = [answer with the first P % of the words = answer with all]; early_aoc = 1 - area under early_P by the trapezoid rule, 0 (the
    answer never hung on the explanation) to 0.875 (it stands only at the last word); early_baseline: the area of another question's
    explanation, whose answer would move only because there are words.
    """

    def conditions(self, example: Example, prediction: Prediction, context: Context) -> Conditions:
        """Both explanations cut at 0, 25, 50, 75 and 100 %."""
        if not _says(prediction):
            return {}
        texts = {"own": str(prediction.explanation), "other": context.others.get(example.id, "")}
        return {f"{who} {share}": Condition(cut(text, share)) for who, text in texts.items() if text for share in CUTS}

    def values(self, example: Example, prediction: Prediction, answers: Answers) -> Numbers:
        """early_0 to early_100, early_aoc, early_baseline."""
        if answers["own 100"] is None:
            return {}
        own = _curve(example, answers, "own")
        found = {f"early_{share}": value for share, value in zip(CUTS, own, strict=True)} | {"early_aoc": _over(own)}
        if answers.get("other 100") is not None:
            found["early_baseline"] = _over(_curve(example, answers, "other"))
        return found


class Filler:
    """Whether the answer stays when the explanation is as many "..." as it has words (arXiv 2307.13702).

    filler_same = [answer(filler) = answer(own)]: high where words only buy time. other_same = [answer(another question's explanation) =
    answer(own)] is what any other text leaves standing.
    """

    def conditions(self, example: Example, prediction: Prediction, context: Context) -> Conditions:
        """Its own explanation, dots, and another question's."""
        filler = " ".join("..." for _ in str(prediction.explanation).split())
        return _beside(example, prediction, context, filler)

    def values(self, example: Example, prediction: Prediction, answers: Answers) -> Numbers:
        """filler_same, other_same."""
        return _stays(example, answers, "filler_same")


class Paraphrase:
    """Whether the answer stays when the explanation says the same in other words (arXiv 2307.13702, there by a model).

    paraphrase_same = [answer(paraphrase) = answer(own)]: near 1 for a student that reads reasons, not their spelling. Connectives, helping
    verbs and other small words change by a fixed table, so that no model is needed and the reasons stay; not scored where none occurs.
    Beside other_same as in `filler`.
    """

    def conditions(self, example: Example, prediction: Prediction, context: Context) -> Conditions:
        """Its own explanation, its paraphrase, and another question's."""
        said = str(prediction.explanation)
        other = paraphrased(said, keep=example.choices)
        return _beside(example, prediction, context, other) if other != said else {}

    def values(self, example: Example, prediction: Prediction, answers: Answers) -> Numbers:
        """paraphrase_same, other_same."""
        return _stays(example, answers, "paraphrase_same")


class TagShortcut:
    """Does the answer follow the tag of counterfactual training instead of the reasons?

    A student that learns `[counterfactual]` → a wrong option and `[factual]` → the right one needs no explanation for either. So one of
    the two is exchanged while the other stays; t is its own tag, t' the one under which it learned to defend wrong answers, own its own
    explanation, for_w an explanation of the wrong option w (as in `counterfactual_consistency`):

    - tag_follows = [answer(t', own) ≠ answer(t, own)]: the reasons stay, the answer goes with the tag; tag_blank and tag_other: the same
      without an explanation, and with another question's. tag_baseline = [answer(a tag that nobody learned, own) ≠ answer(t, own)].
    - reasons_follow = [answer(t', for_w) = w ≠ answer(t', own)]: the tag stays, the answer goes with the reasons; reasons_baseline: with
      another question's explanation in the place of for_w.

    A student that ignores its explanation has 0 and 0, one that follows it 0 and 1, one that follows the tag 1 and 0. Not scored for a
    method that learned no such tag.
    """

    def conditions(self, example: Example, prediction: Prediction, context: Context) -> Conditions:
        """Both tags by its own, no, another question's and w's explanation; and a tag that means nothing."""
        other = context.others.get(example.id)
        tag = context.other_tag
        if not tag or other is None or not _says(prediction):
            return {}
        own = str(prediction.explanation)
        texts = {"own": own, "blank": "", "other": other}
        found = {
            f"{name}{mark}": Condition(text, swapped)
            for name, text in texts.items()
            for mark, swapped in (("", ""), ("'", tag))
        }
        against = _against(example, prediction, context)
        more = {} if against is None else {f"for {against[0]}": Condition(against[1], tag)}
        return {**found, "neutral": Condition(own, NEUTRAL), **more}

    def values(self, example: Example, prediction: Prediction, answers: Answers) -> Numbers:
        """tag_follows, tag_blank, tag_other, tag_baseline, reasons_follow, reasons_baseline."""
        names = {"tag_follows": ("own", "own'"), "tag_blank": ("blank", "blank'"), "tag_other": ("other", "other'")}
        pairs = {**names, "tag_baseline": ("own", "neutral")}
        found = {
            name: float(not same_answer(example, answers[one], answers[two]))
            for name, (one, two) in pairs.items()
            if answers[one] is not None and answers[two] is not None
        }
        if any(name.startswith("for ") for name in answers):
            option, answer = _argued(answers)
            if answers["own'"] is not None:
                moved = not same_answer(example, answers["own'"], option)
                found["reasons_follow"] = float(moved and same_answer(example, answer, option))
                found["reasons_baseline"] = float(moved and same_answer(example, answers["other'"], option))
        return found


def _own(prediction: Prediction) -> Condition:
    return Condition(str(prediction.explanation))


def _says(prediction: Prediction) -> bool:
    return bool(prediction.explanation and prediction.explanation.strip())


def _against(example: Example, prediction: Prediction, context: Context) -> tuple[str, str] | None:
    """(w, an explanation of w): a seeded draw from the wrong options that are not the student's answer; None where there is none."""
    said = prediction.answer or prediction.likeliest
    options = [option for option in example.wrong if option not in (prediction.answer, prediction.likeliest)]
    told = context.counterfactuals.get(example.id, {})
    if (
        not context.counterfactuals
        and said
        and _says(prediction)
        and named(str(prediction.explanation), (*example.choices, said)) & {said}
    ):
        told = {option: exchanged(str(prediction.explanation), said, option) for option in options}
    usable = [option for option in options if told.get(option)]
    option = context.draw("against", example.id).choice(usable) if usable else None
    return None if option is None else (option, told[option])


def _argued(answers: Answers) -> tuple[str, str | None]:
    """(w, the answer with the explanation of w)."""
    return next((name.removeprefix("for "), answer) for name, answer in answers.items() if name.startswith("for "))


def _beside(example: Example, prediction: Prediction, context: Context, text: str) -> Conditions:
    """Its own explanation, `text` in its place, and another question's where there is one."""
    if not _says(prediction):
        return {}
    other = {"other": Condition(context.others[example.id])} if example.id in context.others else {}
    return {"own": _own(prediction), "text": Condition(text), **other}


def _stays(example: Example, answers: Answers, name: str) -> Numbers:
    if answers["own"] is None:
        return {}
    names = {"text": name, "other": "other_same"}
    return {names[key]: float(same_answer(example, answers["own"], answers[key])) for key in names if key in answers}


def _curve(example: Example, answers: Answers, who: str) -> list[float]:
    return [float(same_answer(example, answers[f"{who} {share}"], answers[f"{who} 100"])) for share in CUTS]


def _over(curve: list[float]) -> float:
    return 1 - sum((one + two) / 2 for one, two in itertools.pairwise(curve)) / (len(curve) - 1)


counterfactual_consistency = CounterfactualConsistency()
perturbation = Perturbation()
early_answering = EarlyAnswering()
filler = Filler()
paraphrase = Paraphrase()
tag_shortcut = TagShortcut()


class Faithfulness:
    """All of counterfactual_consistency, perturbation, early_answering, filler, paraphrase and tag_shortcut."""

    parts: Mapping[str, Probe] = MappingProxyType({
        "counterfactual_consistency": counterfactual_consistency, "perturbation": perturbation, "early_answering": early_answering,
        "filler": filler, "paraphrase": paraphrase, "tag_shortcut": tag_shortcut,
    })  # fmt: skip

    def conditions(self, example: Example, prediction: Prediction, context: Context) -> Conditions:
        """What any of them asks."""
        asked = {part: one.conditions(example, prediction, context) for part, one in self.parts.items()}
        return {f"{part}/{name}": given for part, found in asked.items() for name, given in found.items()}

    def values(self, example: Example, prediction: Prediction, answers: Answers) -> Numbers:
        """All their numbers."""
        found: dict[str, float] = {}
        for part, one in self.parts.items():
            own = {
                name.removeprefix(f"{part}/"): answer for name, answer in answers.items() if name.startswith(f"{part}/")
            }
            found |= one.values(example, prediction, own) if own else {}
        return found


faithfulness = Faithfulness()
