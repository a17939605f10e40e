"""From a recipe's word for a method, such as "multitask:revised", to the Method."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from ..core.errors import MethodError
from ..core.marking import Keep
from ..core.registry import find, names
from .view import Method, View

_OPTIONS = "revised, revised=VIEW, teacher-labels, top=N, order=score, alpha=WEIGHT, options, options=WEIGHT"
_ORDERS: Mapping[str, Literal["text", "score"]] = {"text": "text", "score": "score"}
_SHARE = r"0?\.\d*[1-9]\d*"
"""Matches a number above 0 and below 1."""

Views = Mapping[View, View]
"""A view of the method as it is in the table → the same view under the options read so far."""


def method(spec: str) -> Method:
    """The method a recipe names, such as "multitask", "counterfactual:revised=factual" or "salient:top=3,order=score".

    `revised` replaces the explanation by its revision in every view; `revised=VIEW` only in that view (several joined
    by &); `teacher-labels` trains on the teacher's own answers and reasons; `top=` (words, or a share below 1) and
    `order=` (text or score) say which marked words a view keeps; `alpha=` is the joint weight of the views that answer,
    the rest is for those that only explain (α of arXiv 2504.16056); `options` adds the loss over all options of a
    question, with the weight 1 or `options=`.

    Raises UnknownName for a method that does not exist, MethodError for an option that it does not have.
    """
    name, _, options = spec.partition(":")
    if _names_a_module(name):
        user_method: Method = find("methods", spec)
        return user_method
    base: Method = find("methods", name)
    _check_together(options, spec)
    views: Views = {view: view for view in (*base.views, base.answer, base.explain) if view is not None}
    for option in filter(None, options.split(",")):
        key, _, value = option.partition("=")
        if key == "options":
            base = replace(base, losses={**base.losses, key: _weight(base, option, spec)})
        elif key == "alpha":
            # The weights stay those of the table's views, so that alpha and the other options may come in any order.
            base = replace(base, views=_weighted(base, value, spec))
        else:
            views = _with_option(views, base, option, spec)
    weights = {views[view]: weight for view, weight in base.views.items()}
    explain = None if base.explain is None else views[base.explain]
    return replace(base, name=spec, views=weights, answer=views[base.answer], explain=explain)


def _names_a_module(name: str) -> bool:
    """Whether a spec that begins with `name` is the user's "module:attribute", not a known method with options."""
    # A known name wins over a module of that name; an unknown one that is no module either is a misspelt method.
    return bool(name and name not in names("methods") and ("." in name or importlib.util.find_spec(name)))


def _check_together(options: str, spec: str) -> None:
    keys = {option.partition("=")[0] for option in options.split(",")}
    if {"revised", "teacher-labels"} <= keys:
        raise MethodError(
            f"Method '{spec}': 'revised' and 'teacher-labels' exclude each other: "
            "the teacher's own reasons are not revised."
        )


def _with_option(views: Views, base: Method, option: str, spec: str) -> Views:
    """The views under one more option."""
    key, _, value = option.partition("=")
    if key == "revised":
        return _revised(views, base, option, spec)
    if option == "teacher-labels":
        return _teacher_labelled(views, option, spec)
    if key in ("top", "order"):
        if not any(view.keep for view in views):
            raise MethodError(
                f"Method '{spec}': '{option}' is for methods with marked words, such as salient:{option}."
            )
        return {
            old: replace(new, keep=_keep(new.keep, key, value, spec)) if new.keep else new for old, new in views.items()
        }
    raise MethodError(f"Method '{spec}': unknown option '{option}'. Known: {_OPTIONS}.")


def _revised(views: Views, base: Method, option: str, spec: str) -> Views:
    """The views with revisions in place of explanations: those the option names, or all."""
    # A view that this method lacks is an error and not ignored: it is a slip that would train something else unnoticed.
    wanted = set(filter(None, option.partition("=")[2].split("&")))
    explaining = {view.name for view in base.views if view.source == "explanation"}
    if not explaining or not wanted <= explaining:
        known = ", ".join(sorted(explaining)) or "none"
        raise MethodError(
            f"Method '{spec}': '{option}' finds no such view. Views of '{base.name}' with an explanation: {known}."
        )
    return {
        old: replace(new, source="revision")
        if new.source == "explanation" and (not wanted or new.name in wanted)
        else new
        for old, new in views.items()
    }


def _teacher_labelled(views: Views, option: str, spec: str) -> Views:
    """The views with the teacher's own answers and reasons."""
    if any(view.keep for view in views):
        raise MethodError(
            f"Method '{spec}': marked words go with the gold answer, so '{option}' cannot be asked of them."
        )
    # A counterfactual takes its answer from its own generation.
    return {old: new if "counterfactual" in new.also else replace(new, source="label") for old, new in views.items()}


def _weighted(base: Method, value: str, spec: str) -> dict[View, float]:
    """The views of a method with new weights: together α for those that answer, 1 - α for those that only explain."""
    if not re.fullmatch(_SHARE, value):
        raise MethodError(f"Method '{spec}': 'alpha={value}' is not a weight between 0 and 1, such as 0.9.")
    answering = {view: "answer" in view.says for view in base.views}
    if set(answering.values()) != {True, False}:
        raise MethodError(
            f"Method '{spec}': 'alpha' weighs answers against explanations, "
            f"and '{base.name}' has no views of both kinds."
        )
    # Within a kind the views keep their ratio: alpha moves weight between answers and explanations alone.
    total = {
        kind: sum(weight for view, weight in base.views.items() if answering[view] == kind) for kind in (True, False)
    }
    # Rounded so that 1 - 0.9 is 0.1: the weight is part of pairs.jsonl and of the key of a training.
    alpha = {True: float(value), False: round(1 - float(value), 12)}
    return {view: alpha[kind] * base.views[view] / total[kind] for view, kind in answering.items()}


def _weight(base: Method, option: str, spec: str) -> float:
    """The weight of a further term of the loss."""
    key, _, value = option.partition("=")
    if not base.views:
        raise MethodError(f"Method '{spec}': '{option}' is a term of the loss, and '{base.name}' trains nothing.")
    if option != key and not (re.fullmatch(r"\d*\.?\d+", value) and float(value) > 0):
        raise MethodError(f"Method '{spec}': '{option}' is not a weight above 0, such as {key}=0.5.")
    return float(value) if value else 1.0


def _keep(keep: Keep, key: str, value: str, spec: str) -> Keep:
    """`keep` with the option `top` or `order`."""
    if key == "order" and value in _ORDERS:
        return replace(keep, order=_ORDERS[value])
    if key == "top" and re.fullmatch(rf"{_SHARE}|[1-9]\d*", value):
        return replace(keep, top=float(value))
    allowed = {"top": "a number of words such as 5, or a share such as 0.3", "order": "text or score"}[key]
    raise MethodError(f"Method '{spec}': '{key}={value}' is not {allowed}.")
