"""The site: what every page needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from ..design.folder import Study
from ..records.database import Records
from ..records.people import Participant
from .guard import VISIT, Admins, RateLimits, csrf, fields, give, secret_of, visit
from .texts import Texts, paragraphs

HERE = Path(__file__).parent
_AGAIN = 3
"""Seconds after which a page that could not be kept is sent again."""


@dataclass(frozen=True)
class Site:
    """One study being served."""

    study: Study
    records: Records
    texts: Texts
    admins: Admins | None = None
    """Who may see the researcher's page; None: there is none."""
    limits: RateLimits = field(default_factory=RateLimits)
    """Rate limits of addresses."""
    pages: Environment = field(init=False)

    def __post_init__(self) -> None:
        pages = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        pages.globals |= {"t": self.texts, "form": self.study.form, "paragraphs": paragraphs}
        object.__setattr__(self, "pages", pages)

    def page(
        self, request: Request, template: str, status: int = 200, person: Participant | None = None, **values: Any
    ) -> HTMLResponse:
        """Render a page; with a person, their link and code stand at its foot."""
        link = str(request.url_for("resume", link=self.records.link(person))) if person else ""
        text = self.pages.get_template(template).render(person=person, link=link, csrf=csrf(request), **values)
        return HTMLResponse(text, status)

    def first(self, request: Request, template: str, status: int = 200, **values: Any) -> tuple[HTMLResponse, bool]:
        """Render a page with a form for a visitor. Return it, and whether it had to set the cookie that forms need."""
        fresh = "" if secret_of(request) else visit(request)
        response = self.page(request, template, status, **values)
        if fresh:
            give(response, request, VISIT, fresh, days=1)
        return response, bool(fresh)

    def busy(self, request: Request, wait: int) -> HTMLResponse:
        """Refuse a request over a rate limit, with the seconds to wait."""
        response = self.note(request, "busy", 429, seconds=wait)
        response.headers["retry-after"] = str(wait)
        return response

    def wait(self, request: Request) -> HTMLResponse:
        """Another process holds the database: a page that holds what was sent, and sends it again."""
        path, query = request.url.path, request.url.query
        values: dict[str, Any] = {
            "method": request.method.lower().replace("head", "get"),
            "action": f"{path}?{query}" if query and request.method == "POST" else path,
            "sent": [*fields(request).items()] or [*request.query_params.multi_items()],
            "seconds": _AGAIN,
        }
        response = self.page(request, "wait.html", 503, **values)
        response.headers["retry-after"] = str(_AGAIN)
        return response

    def note(self, request: Request, name: str, status: int, **values: Any) -> HTMLResponse:
        """Render a page that says one thing, such as that all seats are taken."""
        return self.page(
            request, "note.html", status, title=self.texts(f"{name}_title"), text=self.texts(f"{name}_text", **values)
        )
