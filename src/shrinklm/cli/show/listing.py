"""What `shrinklm list` prints: each thing that a recipe can name, with a line about it."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import cast

from rich.table import Table
from rich.text import Text

from ...core.registry import Group, find, names
from ...methods.options import OPTIONS
from ...methods.terms import TERMS, Term
from ...methods.view import Method
from ...methods.weighing import RULES
from ...run.blocks import StepBlock
from ...teachers.steps import STEPS
from ..printed import say
from ..terminal import Terminal

_TERMS = "Terms of the loss are options too: finetune:options, multitask:options=0.5"

Lines = Iterable[tuple[str, str]]


def listing(group: str) -> None:
    """The known names of a group; of methods also their options, of steps their settings."""
    if group == "losses":
        say(_TERMS)
        _print(_terms())
        return
    _print(_steps() if group == "steps" else _known(cast(Group, group)))
    if group == "steps":
        say("\nSettings of a step: generate: [{explanation: {samples: 4}}]")
        fields = {name: field for name, field in StepBlock.model_fields.items() if name != "name"}
        _print((name, field.description or "") for name, field in fields.items())
    if group == "methods":
        say("\nOptions behind a colon, joined by commas: multitask:revised,alpha=0.9")
        _print((each.written, each.about) for each in OPTIONS.values())
        say("\nRules that weigh several texts of a question: multitask:weigh=student&h=0.5")
        _print(_rules())
        say(f"\n{_TERMS}")
        _print(_terms())


def _print(lines: Lines) -> None:
    table = Table.grid(padding=(0, 2))
    # Names whole, however narrow the terminal is: they are what is typed.
    table.add_column(no_wrap=True)
    table.add_column()
    for name, about in lines:
        table.add_row(Text(name, style="bold"), Text(about))
    Terminal().print(table)


def _steps() -> Iterator[tuple[str, str]]:
    for step in STEPS.values():
        after = f"; after {', '.join(step.needs)}" if step.needs else ""
        cap = "" if step.marks else f"; at most {step.max_tokens} tokens"
        yield step.name, f"{step.title}{cap}{after}"


def _rules() -> Iterator[tuple[str, str]]:
    for name, rule in RULES.items():
        yield f"weigh={name}", rule.about
        for setting, about in rule.settings.items():
            yield f"  &{setting}={about.default:g}", about.about


def _known(group: Group) -> Iterator[tuple[str, str]]:
    for name in names(group):
        known = find(group, name)
        if isinstance(known, Method):
            views = ", ".join(f"{view.name} {weight:.3g}" for view, weight in known.views.items())
            facts = (
                f"{f'views {views}' if views else 'not trained'}; needs {', '.join(known.needs) or 'no generations'}"
            )
            yield name, f"{known.about}; {facts}" if known.about else facts
        else:
            yield name, _first_paragraph(known)


def _terms() -> Iterator[tuple[str, str]]:
    """The terms of this package and those of others, each with its values below."""
    for name, term in TERMS.items():
        yield _written(name, term), _about(term)
        for value, about in term.values.items():
            yield f"  {name}={value}", about
        if term.number:
            yield f"  {name}=NUMBER", term.number
    for name in names("losses"):
        if name not in TERMS:
            yield f"{name}[=WEIGHT]", _first_paragraph(find("losses", name))


def _written(name: str, term: Term) -> str:
    return f"{name}[=VALUE][&WEIGHT]" if term.values or term.number else f"{name}[=WEIGHT]"


def _about(term: Term) -> str:
    wanted = [*term.needs, *(["a teacher whose weights are here (distil)"] if term.logits else [])]
    wanted += ["questions with options"] if term.chooses else []
    wanted += [f"a view that says the {what} alone" for what in term.says]
    needs = f"; needs {', '.join(wanted)}" if wanted else ""
    return f"{term.about}; weight {term.weight:g} where none is given{needs}"


def _first_paragraph(known: object) -> str:
    return " ".join((inspect.getdoc(known) or "").partition("\n\n")[0].split())
