"""The options of a method, such as "revised" in "multitask:revised": what each changes, in one table."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from ..core.errors import MethodError, nearest
from ..core.marking import Keep
from ..core.registry import names
from .builtin import FACTUAL
from .emphasis import Emphasis
from .terms import NUMBER, TERMS, term
from .view import Method, View
from .weighing import RULES, Weighing

_ORDERS: Mapping[str, Literal["text", "score"]] = {"text": "text", "score": "score"}
_SHARE = r"0?\.\d*[1-9]\d*"
"""Matches a number above 0 and below 1."""


@dataclass
class Draft:
    """A method while its options are read."""

    spec: str
    """As the recipe writes it."""
    base: Method
    """As it is in the table."""
    views: dict[View, View]
    """A view of the table's method, or its answer or explain view → the same view under the options read so far."""
    weights: dict[View, float]
    """Of the views of the table's method, so that `alpha` and other options may come in any order."""
    losses: dict[str, float]
    weigh: Weighing | None = None
    written: dict[str, str] = field(default_factory=dict)
    """What was asked for so far → the option that did."""

    def once(self, what: str, option: str) -> None:
        """Note that an option asks for something. Raises MethodError where another one does so already."""
        if what in self.written:
            raise self.error(
                f"'{what}' is asked for twice, by '{self.written[what]}' and '{option}'. Leave one of them out"
            )
        self.written[what] = option

    def each(self, change: Callable[[View], View]) -> None:
        """Change every view."""
        self.views = {old: change(new) for old, new in self.views.items()}

    def error(self, what: str) -> MethodError:
        """The error of an option that this method does not take."""
        return MethodError(f"Method '{self.spec}': {what}.")


@dataclass(frozen=True)
class Option:
    """An option of a method."""

    written: str
    """How it is written, such as "top=N"."""
    about: str
    """One line."""
    change: Callable[[Draft, str], None]
    """(the draft, what stands behind "=") changes the draft. Raises MethodError."""


def apply(draft: Draft, option: str) -> None:
    """Change a draft by one option, "NAME" or "NAME=VALUE". Raises MethodError."""
    name, _, value = option.partition("=")
    if name in OPTIONS:
        draft.once(name, option)
        OPTIONS[name].change(draft, value)
    elif (known := term(name)) is not None:
        if not draft.base.views:
            raise draft.error(f"'{option}' is a term of the loss, and '{draft.base.name}' trains nothing")
        try:
            stated, weight = known.read(name, value if option != name else "")
        except ValueError as error:
            raise draft.error(str(error)) from None
        draft.once(known.whole(stated), option)
        draft.losses[stated] = weight
    else:
        terms = dict.fromkeys([*TERMS, *names("losses")])
        written = [each.written for each in OPTIONS.values()]
        hint = nearest(name, [*OPTIONS, *terms])
        raise draft.error(f"unknown option '{option}'.{hint} Known: {', '.join([*written, *terms])}")


def _revised(draft: Draft, value: str) -> None:
    """Revisions in place of explanations: in the views that the option names, or in all."""
    # A view that this method lacks is an error and not ignored: it is a slip that would train something else unnoticed.
    wanted = set(filter(None, value.split("&")))
    explaining = {view.name for view in draft.base.views if view.source == "explanation"}
    if not explaining or not wanted <= explaining:
        option = f"revised={value}" if value else "revised"
        known = ", ".join(sorted(explaining)) or "none"
        raise draft.error(f"'{option}' finds no such view. Views of '{draft.base.name}' with an explanation: {known}")
    draft.each(
        lambda view: (
            replace(view, source="revision")
            if view.source == "explanation" and (not wanted or view.name in wanted)
            else view
        )
    )


def _teacher_labels(draft: Draft, value: str) -> None:
    """The teacher's own answers and reasons."""
    if value:
        raise draft.error(f"'teacher-labels={value}' takes no value. Write teacher-labels")
    if any(view.keep for view in draft.views.values()):
        raise draft.error("marked words go with the gold answer, so 'teacher-labels' cannot be asked of them")
    if any(view.source == "trace" for view in draft.views.values()):
        raise draft.error("a trace is the teacher's own and ends in the right answer: take 'teacher-labels' out")
    # A counterfactual takes its answer from its own generation.
    draft.each(lambda view: view if "counterfactual" in view.also else replace(view, source="label"))


def _top(draft: Draft, value: str) -> None:
    if not re.fullmatch(rf"{_SHARE}|[1-9]\d*", value):
        raise draft.error(f"'top={value}' is not a number of words such as 5, or a share such as 0.3")
    _keep(draft, f"top={value}", lambda keep: replace(keep, top=float(value)))


def _order(draft: Draft, value: str) -> None:
    if value not in _ORDERS:
        raise draft.error(f"'order={value}' is not text or score")
    _keep(draft, f"order={value}", lambda keep: replace(keep, order=_ORDERS[value]))


def _keep(draft: Draft, option: str, change: Callable[[Keep], Keep]) -> None:
    if not any(view.keep for view in draft.views.values()):
        raise draft.error(f"'{option}' is for methods with marked words, such as salient:{option}")
    draft.each(lambda view: replace(view, keep=change(view.keep)) if view.keep else view)


def _alpha(draft: Draft, value: str) -> None:
    """Together α for the views that answer, 1 - α for those that only explain."""
    if not re.fullmatch(_SHARE, value):
        raise draft.error(f"'alpha={value}' is not a weight between 0 and 1, such as 0.9")
    views = draft.base.views
    answering = {view: "answer" in view.says for view in views}
    if set(answering.values()) != {True, False}:
        raise draft.error(
            f"'alpha' weighs answers against explanations, and '{draft.base.name}' has no views of both kinds"
        )
    # Within a kind the views keep their ratio: alpha moves weight between answers and explanations alone.
    total = {kind: sum(weight for view, weight in views.items() if answering[view] == kind) for kind in (True, False)}
    # Rounded so that 1 - 0.9 is 0.1: the weight is part of pairs.jsonl and of the key of a training.
    alpha = {True: float(value), False: round(1 - float(value), 12)}
    draft.weights = {view: alpha[kind] * views[view] / total[kind] for view, kind in answering.items()}


def _target(draft: Draft, value: str) -> None:
    """An option is stated with its letter."""
    if value != "letter":
        raise draft.error(f"'{'target=' + value if value else 'target'}' is not target=letter")
    if not draft.base.views:
        raise draft.error(f"'target=letter' changes what is trained, and '{draft.base.name}' trains nothing")
    # An explanation view has no answer to name.
    draft.each(lambda view: replace(view, letters=True) if "answer" in view.says else view)
    for view in (draft.views[view] for view in draft.base.views):
        if not view.keeps_names:
            raise draft.error(f"the view '{view.name}' states its answer in words of its own, without a letter")


def _counterfactual(draft: Draft, value: str) -> None:
    if value != "prefix":
        raise draft.error(f"'{'counterfactual=' + value if value else 'counterfactual'}' is not counterfactual=prefix")
    if not any("counterfactual" in view.also for view in draft.base.views):
        raise draft.error(f"'counterfactual=prefix' finds no view of wrong options in '{draft.base.name}'")
    draft.each(lambda view: replace(view, prefixed=True) if "counterfactual" in view.also else view)


def _thought(draft: Draft, value: str) -> None:
    _weigh(draft, "thought", value, lambda view: {"answer", "explanation"} <= {*view.says}, "both answers and explains")


def _keypoints(draft: Draft, value: str) -> None:
    _weigh(draft, "keypoints", value, lambda view: "explanation" in view.says and not view.keep, "says an explanation")


def _weigh(draft: Draft, name: str, value: str, fits: Callable[[View], bool], wanted: str) -> None:
    if not (re.fullmatch(NUMBER, value) and float(value) > 0):
        raise draft.error(f"'{name}={value}' is not a weight above 0, such as {name}=0.5")
    if not any(map(fits, draft.base.views)):
        raise draft.error(f"'{name}={value}' finds no view of '{draft.base.name}' that {wanted}")
    weight = {name: float(value)}
    draft.each(
        lambda view: replace(view, emphasis=replace(view.emphasis or Emphasis(), **weight)) if fits(view) else view
    )


def _samples(draft: Draft, value: str) -> None:
    """The samples of a question by a rule."""
    try:
        draft.weigh = Weighing.read(value)
    except ValueError as error:
        raise draft.error(str(error)) from None


def _internalised(draft: Draft, value: str) -> None:
    if not re.fullmatch(r"[1-9]\d*", value):
        raise draft.error(f"'internalised={value}' is not a number of epochs such as 3")
    if not any(view.build is FACTUAL.build for view in draft.base.views):
        raise draft.error(f"'internalised={value}' finds no view of '{draft.base.name}' that explains and then answers")
    draft.each(lambda view: replace(view, internalised=int(value)) if view.build is FACTUAL.build else view)


OPTIONS: Mapping[str, Option] = {
    "revised": Option(
        "revised[=VIEW]",
        "the revised explanation in place of the first; only in the views named, joined by &",
        _revised,
    ),
    "teacher-labels": Option("teacher-labels", "the teacher's own answers and reasons", _teacher_labels),
    "top": Option("top=N", "so many marked words, or a share of them such as 0.3", _top),
    "order": Option("order=score", "marked words by their score, not as they stand in the text", _order),
    "alpha": Option(
        "alpha=WEIGHT",
        "the joint weight of the views that answer; the rest is for those that only explain (α of arXiv 2504.16056)",
        _alpha,
    ),
    "target": Option(
        "target=letter", "an option is stated with its letter and its words: The answer is (b) bank", _target
    ),
    "counterfactual": Option(
        "counterfactual=prefix",
        "the explanation of a wrong option begins the target, unscored (SCOTT, arXiv 2305.01879), not in the prompt",
        _counterfactual,
    ),
    "thought": Option(
        "thought=WEIGHT", "the weight of an explanation's tokens in a target that states the answer too", _thought
    ),
    "keypoints": Option(
        "keypoints=WEIGHT",
        "the weight of an explanation's words that stand in the question, its options or the answer (after KPOD, "
        "arXiv 2405.16064)",
        _keypoints,
    ),
    "internalised": Option(
        "internalised=EPOCHS",
        "the explanation before an answer loses its sentences, the first ones first, over so many epochs (after "
        "Adv-KD, arXiv 2405.20675, and arXiv 2405.14838)",
        _internalised,
    ),
    "weigh": Option(
        "weigh=RULE",
        f"several texts of a question by a rule: {', '.join(RULES)}; settings behind it, as in weigh=student&h=0.5",
        _samples,
    ),
}
"""Every option by its name; terms of the loss (`terms.py`) are options too."""
EXCLUSIVE = {frozenset({"revised", "teacher-labels"}): "the teacher's own reasons are not revised"}
"""Options that exclude each other, with the reason."""
