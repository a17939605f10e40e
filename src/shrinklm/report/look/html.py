"""Shared by the HTML pages: templates with escaping, the style sheet, names that may break, data for scripts."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

from ...core.finite import finite
from .style import variable, variables

HERE = Path(__file__).parent


def environment(*folders: Path) -> Any:
    """The jinja2 environment that finds templates in `folders`, then in this folder; it escapes every value."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    jinja = Environment(
        loader=FileSystemLoader([*folders, HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.filters["breaks"] = breaks
    jinja.globals["variable"] = variable
    return jinja


def head() -> dict[str, Any]:
    """What the head of a page needs: the style sheet, and the colours of a light and of a dark page."""
    light, dark = variables()
    return {"css": (HERE / "page.css").read_text(encoding="utf-8"), "light": light, "dark": dark}


def breaks(name: str) -> str:
    """A name, escaped, that may break after its joints.

    "multitask+counterfactual:revised" is wider than a phone's column.
    """
    from markupsafe import Markup, escape

    return Markup(re.sub(r"(?<=[+:=/_,])(?=\w)", "<wbr>", str(escape(name))))


_json = partial(json.dumps, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def island(value: Any) -> str:
    """JSON that may stand inside a <script> element: no character of it can end the element or open a comment."""
    try:
        text = _json(value)
    except (TypeError, ValueError):  # NaN, or a mapping of another kind: looked for only then, since answers hold none
        text = _json(finite(value))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
