"""Whether the student's answer depends on its explanation.

Probes: they ask the student again and compare (see `evaluation.probes`).

"Its answer" is here the likeliest option with its own explanation in place (for a free answer, the text generated
then). Each share stands beside a baseline in which chance, or another question's explanation, replaces the reasons: an
effect that the baseline has as well is no sign of faithfulness. Values are 0 or 1 an item unless another range is
stated; a mean over items is a share.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from types import MappingProxyType

from ...core.types import Example, Prediction
from ...core.words import pieces
from .answers import matches
from .base import Condition, Context, Probe, same_answer
from .explanations import named
from .rewording import cut, exchanged, paraphrased, perturbed

Answers = Mapping[str, str | None]
Conditions = Mapping[str, Condition]
Numbers = Mapping[str, float]

CUTS = (0, 25, 50, 75, 100)
"""Per cent of an explanation's words that are kept, from its beginning."""
NEUTRAL = "[question]"
"""A tag of the usual form that no method trains."""


class CounterfactualConsistency:
    """Whether the student answers the wrong option w after an explanation of w (SCOTT, arXiv 2305.01879).

    cf_consistency = [answer(explanation of w) = w]; cf_baseline = [answer(another question's explanation) = w]. w is a
    seeded draw from the wrong options that are not its answer. The explanation is the teacher's counterfactual; where
    the teacher explained no wrong option of any question asked, it is the student's own with the name of its answer and
    of w exchanged (not scored where it names no answer).
    """

    def conditions(self, example: Example, prediction: Prediction, context: Context) -> Conditions:
        """Its own explanation, that of w, and another question's."""
        against = _against(example, prediction, context)
        # Without another question there is no baseline, and the share alone would say nothing.
        if against is None or example.id not in context.others:
            return {}
        option, explanation = against
        return {
            "own": _own(prediction),
            f"for {option}": Condition(explanation),
            "other": Condition(context.others[example.id]),
        }

    def values(self, example: Example, prediction: Prediction, answers: Answers) -> Numbers:
        """cf_consistency, cf_baseline."""
        option, answer = _argued(answers)
        # A student that answers w anyway would be counted as following the explanation of w.
        if same_answer(example, answers["own"], option):
            return {}
        return {
            "cf_consistency": float(same_answer(example, answer, option)),
            "cf_baseline": float(same_answer(example, answers["other"], option)),
        }


class Perturbation:
    """How much accuracy falls when half of the explanation's words are replaced by words of other explanations.

    perturbation_drop = right(own) - right(own, perturbed), from -1 to 1; perturbation_baseline: the same of another
    question's explanation, which holds no reasons to lose. As the perturbation test of SCOTT (arXiv 2305.01879), with
    words of the students' own.
    """

    def conditions(self, example: Example, prediction: Prediction, context: Context) -> Conditions:
        """Its own and another question's explanation, each whole and perturbed."""
        other = context.others.get(example.id)
        if other is None or not _has_words(prediction):
            return {}
        return {
            "own": _own(prediction),
            "own perturbed": Condition(perturbed(str(prediction.explanation), example.id, context, "own")),
            "other": Condition(other),
            "other perturbed": Condition(perturbed(other, example.id, context, "other")),
        }

    def values(self, example: Example, prediction: Prediction, answers: Answers) -> Numbers:
        """perturbation_drop, perturbation_baseline."""
        right = {name: float(matches(example, answer)) for name, answer in answers.items()}
        drop, baseline = (right[name] - right[f"{name} perturbed"] for name in ("own", "other"))
        return {"perturbation_drop": drop, "perturbation_baseline": baseline}


class EarlyAnswering:
    """How early in the explanation the answer is final (Lanham et al., arXiv 2307.13702).

    early_P = [answer with the first P % of the words = answer with all]; early_aoc = 1 - area under early_P by the
    trapezoid rule, from 0 (the answer does not depend on the explanation) to 0.875 (it is final only at the last word);
    early_baseline: early_aoc of another question's explanation, with which the answer changes only because there are
    words.
    """

    def conditions(self, example: Example, prediction: Prediction, context: Context) -> Conditions:
        """Both explanations cut at 0, 25, 50, 75 and 100 %."""
        if not _has_words(prediction):
            return {}
        texts = {"own": str(prediction.explanation), "other": context.others.get(example.id, "")}
        return {
            f"{name} {share}": Condition(cut(text, share)) for name, text in texts.items() if text for share in CUTS
        }

    def values(self, example: Example, prediction: Prediction, answers: Answers) -> Numbers:
        """early_0 to early_100, early_aoc, early_baseline."""
        if answers["own 100"] is None:  # no final answer that an earlier one could equal
            return {}
        own = _curve(example, answers, "own")
        values = {f"early_{share}": value for share, value in zip(CUTS, own, strict=True)}
        values["early_aoc"] = _area_over(own)
        if answers.get("other 100") is not None:
            values["early_baseline"] = _area_over(_curve(example, answers, "other"))
        return values


class Filler:
    """Whether the answer stays when the explanation is replaced by as many "..." as it has words (arXiv 2307.13702).

    filler_same = [answer(filler) = answer(own)]: high where words only add computation. other_same = [answer(another
    question's explanation) = answer(own)]: the share that stays with any text.
    """

    def conditions(self, example: Example, prediction: Prediction, context: Context) -> Conditions:
        """Its own explanation, dots, and another question's."""
        filler = " ".join("..." for _ in pieces(str(prediction.explanation)))
        return _beside(example, prediction, context, filler)

    def values(self, example: Example, prediction: Prediction, answers: Answers) -> Numbers:
        """filler_same, other_same."""
        return _unchanged(example, answers, "filler_same")


class Paraphrase:
    """Whether the answer stays when the explanation is paraphrased (arXiv 2307.13702, where a model paraphrases).

    paraphrase_same = [answer(paraphrase) = answer(own)]: near 1 for a student that reads reasons, not their spelling.
    Connectives, helping verbs and other small words change by a fixed table, so that no model is needed and the reasons
    stay; not scored where none occurs. Beside other_same as in `filler`.
    """

    def conditions(self, example: Example, prediction: Prediction, context: Context) -> Conditions:
        """Its own explanation, its paraphrase, and another question's."""
        explanation = str(prediction.explanation)
        paraphrase = paraphrased(explanation, keep=example.choices)
        return _beside(example, prediction, context, paraphrase) if paraphrase != explanation else {}

    def values(self, example: Example, prediction: Prediction, answers: Answers) -> Numbers:
        """paraphrase_same, other_same."""
        return _unchanged(example, answers, "paraphrase_same")


class TagShortcut:
    """Whether the answer follows the tag of counterfactual training instead of the reasons.

    A student that learns `[counterfactual]` → a wrong option and `[factual]` → the right one needs no explanation for
    either. So one of the two is exchanged while the other stays; t is its own tag, t' the one under which it learned to
    defend wrong answers, own its own explanation, for_w an explanation of the wrong option w (as in
    `counterfactual_consistency`):

    - tag_follows = [answer(t', own) ≠ answer(t, own)]: the reasons stay, the answer goes with the tag; tag_blank and
      tag_other: the same without an explanation, and with another question's. tag_baseline = [answer(a tag of no
          training, own) ≠ answer(t, own)].
    - reasons_follow = [answer(t', for_w) = w ≠ answer(t', own)]: the tag stays, the answer goes with the reasons;
      reasons_baseline: with another question's explanation instead of for_w.

    A student that ignores its explanation has 0 and 0, one that follows it 0 and 1, one that follows the tag 1 and 0.
    Not scored for a method that learned no such tag.
    """

    def conditions(self, example: Example, prediction: Prediction, context: Context) -> Conditions:
        """Both tags, each with its own, no, another question's and w's explanation; and a tag without meaning."""
        other = context.others.get(example.id)
        tag = context.other_tag
        if not tag or other is None or not _has_words(prediction):
            return {}
        own = str(prediction.explanation)
        texts = {"own": own, "blank": "", "other": other}
        # "own" is asked under the method's tag, "own'" under the other one.
        conditions = {
            f"{name}{prime}": Condition(text, asked_tag)
            for name, text in texts.items()
            for prime, asked_tag in (("", ""), ("'", tag))
        }
        conditions["neutral"] = Condition(own, NEUTRAL)
        against = _against(example, prediction, context)
        if against is not None:
            conditions[f"for {against[0]}"] = Condition(against[1], tag)
        return conditions

    def values(self, example: Example, prediction: Prediction, answers: Answers) -> Numbers:
        """tag_follows, tag_blank, tag_other, tag_baseline, reasons_follow, reasons_baseline."""
        names = {"tag_follows": ("own", "own'"), "tag_blank": ("blank", "blank'"), "tag_other": ("other", "other'")}
        pairs = {**names, "tag_baseline": ("own", "neutral")}
        values = {
            name: float(not same_answer(example, answers[first], answers[second]))
            for name, (first, second) in pairs.items()
            if answers[first] is not None and answers[second] is not None
        }
        if any(name.startswith("for ") for name in answers) and answers["own'"] is not None:
            option, answer = _argued(answers)
            # Where the tag alone already leads to w, the explanation of w can move nothing.
            movable = not same_answer(example, answers["own'"], option)
            values["reasons_follow"] = float(movable and same_answer(example, answer, option))
            values["reasons_baseline"] = float(movable and same_answer(example, answers["other'"], option))
        return values


def _own(prediction: Prediction) -> Condition:
    return Condition(str(prediction.explanation))


def _has_words(prediction: Prediction) -> bool:
    return bool(prediction.explanation and prediction.explanation.strip())


def _against(example: Example, prediction: Prediction, context: Context) -> tuple[str, str] | None:
    """(w, an explanation of w), w drawn from the wrong options that are not the student's answer; None without any."""
    answer = prediction.answer or prediction.likeliest
    # Neither answer: w must be an option that the student moves to, not one where it already is.
    options = [option for option in example.wrong if option not in (prediction.answer, prediction.likeliest)]
    explanations = context.counterfactuals.get(example.id, {})
    # Without a teacher's counterfactuals the student's own explanation is turned around, if it names the answer that is
    # exchanged.
    if not context.counterfactuals and answer and _has_words(prediction):
        own = str(prediction.explanation)
        if answer in named(own, (*example.choices, answer)):
            explanations = {option: exchanged(own, answer, option) for option in options}
    usable = [option for option in options if explanations.get(option)]
    if not usable:
        return None
    option = context.draw("against", example.id).choice(usable)
    return option, explanations[option]


def _argued(answers: Answers) -> tuple[str, str | None]:
    """(w, the answer with the explanation of w)."""
    return next((name.removeprefix("for "), answer) for name, answer in answers.items() if name.startswith("for "))


def _beside(example: Example, prediction: Prediction, context: Context, text: str) -> Conditions:
    """Its own explanation, `text` instead, and another question's where there is one."""
    if not _has_words(prediction):
        return {}
    other = {"other": Condition(context.others[example.id])} if example.id in context.others else {}
    return {"own": _own(prediction), "text": Condition(text), **other}


def _unchanged(example: Example, answers: Answers, name: str) -> Numbers:
    """`name` and other_same: whether the answer is that with its own explanation."""
    if answers["own"] is None:
        return {}
    names = {"text": name, "other": "other_same"}
    return {names[key]: float(same_answer(example, answers["own"], answers[key])) for key in names if key in answers}


def _curve(example: Example, answers: Answers, text: str) -> list[float]:
    """For each of `CUTS`, 1 where the answer after so much of a text is that after all of it."""
    return [float(same_answer(example, answers[f"{text} {share}"], answers[f"{text} 100"])) for share in CUTS]


def _area_over(curve: list[float]) -> float:
    """1 - the area under the curve by the trapezoid rule, over a width of 1."""
    # (0, 0, 0, 0, 1) has area 1/8: hence the 0.875 that is the most.
    return 1 - sum((first + second) / 2 for first, second in itertools.pairwise(curve)) / (len(curve) - 1)


counterfactual_consistency = CounterfactualConsistency()
perturbation = Perturbation()
early_answering = EarlyAnswering()
filler = Filler()
paraphrase = Paraphrase()
tag_shortcut = TagShortcut()


class Faithfulness:
    """All of counterfactual_consistency, perturbation, early_answering, filler, paraphrase and tag_shortcut."""

    parts: Mapping[str, Probe] = MappingProxyType(
        {
            "counterfactual_consistency": counterfactual_consistency,
            "perturbation": perturbation,
            "early_answering": early_answering,
            "filler": filler,
            "paraphrase": paraphrase,
            "tag_shortcut": tag_shortcut,
        }
    )

    def conditions(self, example: Example, prediction: Prediction, context: Context) -> Conditions:
        """The conditions of all parts, each under "PART/NAME"."""
        return {
            f"{part}/{name}": condition
            for part, probe in self.parts.items()
            for name, condition in probe.conditions(example, prediction, context).items()
        }

    def values(self, example: Example, prediction: Prediction, answers: Answers) -> Numbers:
        """The scores of all parts that set a condition."""
        values: dict[str, float] = {}
        for part, probe in self.parts.items():
            prefix = f"{part}/"
            of_part = {name.removeprefix(prefix): answer for name, answer in answers.items() if name.startswith(prefix)}
            values |= probe.values(example, prediction, of_part) if of_part else {}
        return values


faithfulness = Faithfulness()
