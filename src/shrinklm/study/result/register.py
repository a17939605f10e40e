"""The rules of a study as a page that is registered before the first answer."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from ...report.look.html import environment, head
from ..design.folder import Study
from ..design.rules import Kept, changes, rules_of, said

HERE = Path(__file__).parent


def page(study: Study, kept: Kept) -> str:
    """Return the page, one HTML file that opens offline; everything from the study is escaped."""
    form = study.form
    rows = [(rule, said(value)) for rule, value in kept.rules.items()]
    template = environment(HERE).get_template("register.html.j2")
    text: str = template.render(
        title=form.title,
        kept=kept,
        rows=rows,
        changed=[change.rule for change in changes(kept.rules, rules_of(study))],
        statements=[(statement.name, statement.text) for statement in form.statements],
        labels=form.scale.labels,
        version=version("shrinklm"),
        **head(),
    )
    return text
