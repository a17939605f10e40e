"""From a recipe's word for a method, such as "multitask:revised", to the Method."""

from __future__ import annotations

from dataclasses import replace

from ..core.errors import MethodError, UnknownName
from ..core.registry import find, is_own, misfit, names
from .options import EXCLUSIVE, Draft, apply
from .view import Method


def method(spec: str) -> Method:
    """The method a recipe names, such as "multitask", "counterfactual:revised=factual" or "salient:top=3,order=score".

    The options stand behind a colon, joined by commas: see `options.OPTIONS` and `terms.TERMS`.

    Raises UnknownName for a method that does not exist, or a term of the loss that nobody has, MethodError for an
    option that it does not have.
    """
    name, _, options = spec.partition(":")
    if is_own("methods", spec):
        user_method = _found(spec)
        _check_losses(user_method)
        _check_views(user_method, user_method.name)
        return user_method
    base = _found(name)
    _check_together(options, spec)
    views = {view: view for view in (*base.views, base.answer, base.explain) if view is not None}
    draft = Draft(spec, base, views, dict(base.views), dict(base.losses))
    for option in filter(None, options.split(",")):
        apply(draft, option)
    made = replace(
        base,
        name=spec,
        views={draft.views[view]: weight for view, weight in draft.weights.items()},
        answer=draft.views[base.answer],
        # What is left of an explanation that is internalised is none.
        explain=None if base.explain is None or (view := draft.views[base.explain]).internalised else view,
        losses=draft.losses,
        weigh=draft.weigh,
    )
    _check_views(made, base.name)
    if made.weigh and not made.weighed:
        raise draft.error(f"'weigh={made.weigh}' weighs a teacher's texts, and this method is trained on none")
    return made


def _found(name: str) -> Method:
    found = find("methods", name)
    if not isinstance(found, Method):
        raise misfit("methods", name, found, "an object of the class shrinklm.methods.view.Method")
    return found


def _check_together(options: str, spec: str) -> None:
    keys = {option.partition("=")[0] for option in options.split(",")}
    for exclusive, reason in EXCLUSIVE.items():
        if exclusive <= keys:
            one, other = sorted(exclusive)
            raise MethodError(f"Method '{spec}': '{one}' and '{other}' exclude each other: {reason}.")


def _check_losses(user_method: Method) -> None:
    """Before anything is paid for: a term that nobody computes."""
    for option in user_method.losses:
        term = option.partition("=")[0]
        if term not in names("losses") and ":" not in term:  # "module:attribute" is found where it is used
            raise UnknownName("loss", term, names("losses"))


def _check_views(made: Method, base: str) -> None:
    """Before anything is paid for: a term that says nothing about this method's views, those of the method `base`."""
    for option, term in made.terms.items():
        if any(made.only(what) is None for what in term.says):
            raise MethodError(
                f"Method '{made.name}': '{option.partition('=')[0]}' needs a view that only says the "
                f"{' and one that only says the '.join(term.says)}, as multitask has; '{base}' has "
                f"{', '.join(view.name for view in made.views)}."
            )
