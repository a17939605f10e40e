"""A study's folder: the form (`study.yaml`), the design (`design.json`), the questions (`questions.jsonl`) and the
records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ...core import files
from ...core.errors import StudyError
from ...core.types import digest
from .booklets import Design, Page, Question, Shown
from .form import Form

RECORDS = "records.db"
"""The SQLite file of answers, unless another database is named."""


@dataclass(frozen=True)
class Study:
    """A study that `shrinklm study create` made."""

    home: Path
    form: Form
    design: Design
    questions: Mapping[str, Question]
    """Id → question, those to practise on included."""
    runs: Mapping[str, Any]
    """Condition → where its explanations come from: {"run": folder, "cell": name, "length": mean characters}."""
    facts: Mapping[str, Any]
    """About the choice of questions: counts by stratum before and after, lengths, what was left out and why."""
    _booklets: dict[int, tuple[Page, ...]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def digest(self) -> str:
        """Digest of everything that decides what a person sees. Once people have answered, it must not change."""
        form = self.form.model_dump(mode="json", include={"kind", "statements", "scale", "practice"})
        return digest(asdict(self.design), form, [asdict(question) for question in self.questions.values()])

    @property
    def people(self) -> int:
        """Number of seats."""
        return self.form.recruiting.people or self.design.people

    @property
    def database(self) -> str:
        """URL of the SQLite records in the folder."""
        return f"sqlite:///{(self.home / RECORDS).resolve()}"

    def booklet(self, seat: int) -> tuple[Page, ...]:
        """Return the pages of the person in a seat, without the practice items that study.yaml has dropped."""
        if seat not in self._booklets:  # every view of a page asks for it
            dropped = self.design.practice[self.form.practice :]
            pages = self.design.booklet(seat)
            self._booklets[seat] = tuple(
                page for page in pages if page.kind != "practice" or page.question not in dropped
            )
        return self._booklets[seat]

    def write(self, form_text: str) -> None:
        """Write the folder. Raises StudyError where there is a study already, StoreError where it cannot be written."""
        form = self.home / "study.yaml"
        try:
            # A study.yaml of the same text may stand there: written beforehand, or left by a try that failed.
            other = form.exists() and form.read_text(encoding="utf-8") != form_text
        except (OSError, UnicodeDecodeError):
            other = True
        if other or any((self.home / name).exists() for name in ("design.json", RECORDS)):
            raise StudyError(
                f"{self.home} holds a study already. Name another place with --out, or move that one away."
            )
        lines = [json.dumps(asdict(question), ensure_ascii=False) for question in self.questions.values()]
        decided = {"design": asdict(self.design), "runs": dict(self.runs), "facts": dict(self.facts)}
        # design.json comes last: a folder without it is no study, so that one broken off on the way can be made again.
        contents = {
            form.name: form_text,
            "questions.jsonl": "\n".join(lines) + "\n",
            "design.json": json.dumps(decided, indent=1, ensure_ascii=False) + "\n",
        }
        with files.writing(self.home, files.NAME_PLACE):
            files.private_folder(self.home)  # people's answers will stand in it
        files.write_together(self.home, {name: text.encode() for name, text in contents.items()}, files.NAME_PLACE)

    @classmethod
    def read(cls, home: Path) -> Study:
        """Read the study in a folder.

        Raises StudyError for a folder that holds none, or whose files do not fit together.
        """
        if not (home / "design.json").is_file():
            raise StudyError(
                f"{home} holds no study (design.json). Make one with: shrinklm study create RUN --conditions A,B "
                f"--out {home}"
            )
        form = Form.read(home / "study.yaml")
        try:
            decided = json.loads((home / "design.json").read_text(encoding="utf-8"))
            rows = [
                json.loads(line)
                for line in (home / "questions.jsonl").read_text(encoding="utf-8").split("\n")
                if line.strip()
            ]
            design = _edited(_design(decided["design"]), form)
            questions = {str(row["id"]): _question(row) for row in rows}
            study = cls(home, form, design, questions, dict(decided["runs"]), dict(decided["facts"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            what = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise StudyError(
                f"{home}: design.json or questions.jsonl is not as written ({what}). Make the study anew."
            ) from error
        study._check()
        return study

    def _check(self) -> None:
        """Raise StudyError when form, design and questions do not fit together."""
        self.design.check()
        if self.form.kind != self.design.kind:
            raise StudyError(
                f"{self.home}/study.yaml says kind '{self.form.kind}', but the study was made as "
                f"'{self.design.kind}'. Put it back, or "
                f"make the study anew with: shrinklm study create --kind {self.form.kind}"
            )
        if self.form.practice > len(self.design.practice):
            raise StudyError(
                f"{self.home}/study.yaml asks for {self.form.practice} items to practise on, the study was made with "
                f"{len(self.design.practice)}. Write practice: {len(self.design.practice)}"
            )
        for name in (*self.design.questions, *self.design.practice):
            said = self.questions[name].said if name in self.questions else {}
            missing = [condition for condition in self.design.conditions if condition not in said]
            if missing:
                raise StudyError(
                    f"{self.home}/questions.jsonl lacks question '{name}' of {missing[0]}. Make the study anew."
                )


def _edited(design: Design, form: Form) -> Design:
    """Return the design with what a researcher may still change in study.yaml.

    Once people have begun, the records refuse another.
    """
    steps = len(form.scale.labels) if design.kind == "rating" else design.steps
    return replace(design, checks=form.checks.number(design.per_person), steps=steps)


def _design(data: Mapping[str, Any]) -> Design:
    conditions, questions, practice = (
        tuple(str(entry) for entry in data[name]) for name in ("conditions", "questions", "practice")
    )
    per_person, raters, checks, steps, seed = (
        int(data[name]) for name in ("per_person", "raters_per_item", "checks", "steps", "seed")
    )
    return Design(str(data["kind"]), conditions, questions, practice, per_person, raters, checks, steps, seed)


def _question(row: Mapping[str, Any]) -> Question:
    said = {
        str(name): Shown(side["answer"], str(side["explanation"]), bool(side["right"]))
        for name, side in row["said"].items()
    }
    fields = {str(name): str(value) for name, value in row["fields"].items()}
    choices = tuple(str(choice) for choice in row["choices"])
    return Question(
        str(row["id"]), str(row["question"]), choices, str(row["answer"]), fields, str(row["stratum"]), said
    )
