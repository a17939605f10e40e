"""The page on which anybody tries the student: three files, nothing from elsewhere."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from .words import has_gradients

if TYPE_CHECKING:
    from ..student import By, TrainedStudent

_FILES = Path(__file__).parent / "static"
_TYPES = {"page.css": "text/css", "page.js": "text/javascript"}


def page(student: TrainedStudent, by: By | None, locked: bool) -> web.Response:
    """The page; `by`: the one way in which answers are read; `locked`: whether a key is needed to ask."""
    from jinja2 import Environment, StrictUndefined

    made = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    answering = student.answering
    html = made.from_string(_text("page.html.j2")).render(
        name=student.name,
        fields={name: (name.replace("_", " ").capitalize(), needed) for name, needed in answering.fields.items()},
        labels=answering.labels,
        free=answering.type == "free",
        explains=answering.explain is not None,
        words=has_gradients(student),
        calibrated=answering.temperature is not None,
        by=by,
        locked=locked,
    )
    return web.Response(text=html, content_type="text/html")


async def static(request: web.Request) -> web.Response:
    """The page's style sheet or script."""
    name = request.path.removeprefix("/")
    return web.Response(text=_text(name), content_type=_TYPES[name], headers={"Cache-Control": "no-cache"})


@lru_cache
def _text(name: str) -> str:
    return (_FILES / name).read_text(encoding="utf-8")
