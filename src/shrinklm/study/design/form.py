"""The form of a study: `study.yaml`, which says what people are asked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ...core import safe_yaml
from ...core.errors import StudyError

Kind = Literal["rating", "simulation", "preference"]
FORMS = Path(__file__).parent / "forms"
"""The studies that `shrinklm study create` starts from, in our own wording: a file for each kind, and `common.yaml` for
all."""
CHOICE = "Choice"
"""What a forward simulation asks for, beside any statements: the option that the model would choose."""


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Statement(_Block):
    """One thing that an explanation is rated for, or that two explanations are compared in."""

    name: str = Field(description="The construct: a column of the export.", pattern=r"^[A-Za-z][A-Za-z0-9_ -]{0,39}$")
    text: str = Field(
        description="What people agree or disagree with; of a preference: what they are asked.", min_length=1
    )


class Scale(_Block):
    """What each statement is answered with."""

    labels: tuple[str, ...] = Field(
        min_length=2, max_length=9, description="The steps in words, from the lowest (1) up."
    )


class Consent(_Block):
    """What people agree to before anything else."""

    text: str = Field(min_length=1, description="Paragraphs, parted by empty lines.")
    tick: str = Field(min_length=1, description="Beside the box that must be ticked.")


class Worked(_Block):
    """The example of the instructions."""

    question: str
    choices: tuple[str, ...] = ()
    answer: str
    explanation: str
    note: str = Field("", description="How one might answer here, and why.")


class Instructions(_Block):
    """What people read before they start."""

    text: str = Field(min_length=1, description="Paragraphs, parted by empty lines.")
    example: Worked | None = None


class Demographic(_Block):
    """A question about the person. Each may be declined."""

    name: str = Field(description="A column of the export.", pattern=r"^[A-Za-z][A-Za-z0-9_]{0,39}$")
    asks: str = Field(min_length=1)
    options: tuple[str, ...] = Field((), description="To choose from; none: a short text.")


class Checks(_Block):
    """Items that say themselves which step to choose. People are told beforehand that there are some."""

    rate: float = Field(
        0.08, ge=0, le=0.5, description="Checks as a share of the items that a person sees; rounded, 0 for none."
    )

    def number(self, per_person: int) -> int:
        """How many checks a person meets."""
        return round(self.rate * per_person)


class Exclusions(_Block):
    """Who is left out of the analysis, said before there are ratings."""

    failed_checks: int | None = Field(
        1, ge=1, description="Leave a person out who failed so many checks or more; null: nobody."
    )
    faster_than: float | None = Field(
        3.0, gt=0, description="Leave a person out whose median seconds an item are fewer; null: nobody."
    )
    same_answer: bool = Field(False, description="Leave a person out who gave one and the same step throughout.")
    unfinished: bool = Field(False, description="Leave a person out who did not come to the end.")
    item_faster_than: float | None = Field(
        None, gt=0, description="Leave a single item out that was answered in fewer seconds."
    )


class Recruiting(_Block):
    """How people come, and go."""

    people: int | None = Field(
        None, ge=1, description="Close when so many have a seat; null: the number that the design needs."
    )
    timeout: float = Field(
        120, gt=0, description="Minutes without a page after which an unfinished person's seat is given to the next."
    )
    code: str = Field("THANK-YOU", pattern=r"^[A-Za-z0-9_-]{1,40}$", description="The completion code.")
    redirect: str | None = Field(None, description="Where people go at the end; {code} is filled in.")
    keep_id: bool = Field(
        False, description="Keep the id that a recruiting platform sends (Prolific, MTurk), to pay people by."
    )
    starts_per_minute: int | None = Field(
        None, ge=1, description="New people from one address in a minute, at most; null: a sixth of the seats, 5 to 60."
    )
    more: bool = Field(
        False, description="When all seats are taken, go on with further booklets instead of turning people away."
    )
    same_device: bool = Field(
        False, description="The last page lets another person take part on the same device, as in a laboratory."
    )

    @field_validator("redirect")
    @classmethod
    def _https(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"https://[^\s/]+", value):
            raise ValueError("write an address that starts with https://")
        return value


class Payment(_Block):
    """What a person gets, for `shrinklm study plan`."""

    per_person: float = Field(2.0, ge=0)
    fee: float = Field(0.33, ge=0, description="What the recruiting platform adds, as a share.")
    currency: str = Field("GBP", pattern=r"^[A-Z]{3}$")


class AnalysisRules(_Block):
    """How the ratings will be analysed, said before there are any."""

    reference: str | None = Field(None, description="The condition that others are compared with; null: the first.")
    adjust: Literal["bonferroni", "holm", "none"] = Field("bonferroni", description="Of Dunn's p-values.")
    margin: float | None = Field(
        None, gt=0, description="A difference that would not matter: effects are tested for being smaller."
    )
    degrees: Literal["satterthwaite", "kenward-roger"] = Field(
        "satterthwaite", description="Degrees of freedom of mixed models; kenward-roger below about 20 people."
    )


class Form(_Block):
    """A study as people meet it. Made by `shrinklm study create`, to be edited before the first person comes."""

    title: str = Field(min_length=1)
    kind: Kind = Field(
        "rating", description="rating: on a scale; simulation: what would the model answer?; preference: which of two?"
    )
    language: str = Field("en", pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")
    texts: str | None = Field(None, description="A file of interface texts, in the place of the shipped English ones.")
    contact: str = Field("", description="Whom people can write to: shown on every page.")
    statements: tuple[Statement, ...] = Field((), description="The constructs, in the order in which they are shown.")
    scale: Scale = Scale(labels=("strongly disagree", "disagree", "neither", "agree", "strongly agree"))
    shuffle_statements: bool = Field(False, description="Show the statements in an order drawn for each person.")
    comment: str | None = Field(None, description="Asks for an optional remark on each item; null: no such box.")
    consent: Consent
    instructions: Instructions
    demographics: tuple[Demographic, ...] = ()
    practice: int = Field(1, ge=0, le=10, description="Items to practise on, which are not analysed.")
    checks: Checks = Checks()
    exclusions: Exclusions = Exclusions()
    analysis: AnalysisRules = AnalysisRules()
    recruiting: Recruiting = Recruiting()
    payment: Payment = Payment()
    debrief: str = Field(min_length=1, description="Paragraphs of the last page.")

    @model_validator(mode="after")
    def _once(self) -> Form:
        for names in ([entry.name for entry in self.statements], [entry.name for entry in self.demographics]):
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise ValueError(f"'{twice}' stands twice; each name is a column of its own")
        if not self.statements and self.kind != "simulation":
            raise ValueError(f"a {self.kind} study asks for nothing: name at least one of `statements`")
        if self.kind == "simulation" and CHOICE in [statement.name for statement in self.statements]:
            raise ValueError(f"'{CHOICE}' is what the simulated answer is called; name the statement otherwise")
        return self

    @property
    def constructs(self) -> tuple[str, ...]:
        """What each item is answered in: the names of the statements, and of a simulation the choice first."""
        return ((CHOICE,) if self.kind == "simulation" else ()) + tuple(statement.name for statement in self.statements)

    @classmethod
    def read(cls, path: Path) -> Form:
        """Read the form in a YAML file. Raises StudyError that names every wrong key."""
        try:
            data = safe_yaml.load(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise StudyError(
                f"There is no {path}. Make a study with: shrinklm study create RUN --conditions A,B --out study"
            ) from error
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise StudyError(f"{path} cannot be read as YAML: {error}") from error
        return cls.parse(data, str(path))

    @classmethod
    def parse(cls, data: Any, where: str) -> Form:
        """Check the form in a dictionary. Raises StudyError."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            lines = [_line(item) for item in error.errors()]
            raise StudyError(f"{where} is not valid:\n" + "\n".join(lines)) from error


def _line(item: Any) -> str:
    where = ".".join(str(part) for part in item["loc"]) or "study"
    if item["type"] == "extra_forbidden":
        return (
            f"  {where}: no such key. Every key stands, with its meaning, in the study.yaml that "
            "`shrinklm study create` writes."
        )
    return f"  {where}: {item['msg'].removeprefix('Value error, ')} (found {str(item['input'])[:80]!r})"
