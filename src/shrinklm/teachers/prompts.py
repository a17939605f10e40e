"""Prompts are data: Markdown templates and few-shot examples under templates/, any of which a recipe may override.

A template has `# system`, `# user` and `# assistant` sections. Each few-shot example fills `# user` and `# assistant`;
the question fills `# user` alone. `{name}` stands for a value and nothing else is interpreted, so text from a dataset
cannot change a prompt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..core import safe_yaml
from ..core.errors import RecipeError
from ..core.types import Example, Prompt, Turn
from .steps import Step

FOLDER = Path(__file__).parent / "templates"

_SECTION = re.compile(r"^# (system|user|assistant)[ \t]*$", re.MULTILINE)
_NAME = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Template:
    """A parsed prompt file."""

    system: str
    user: str
    assistant: str


def fill(template: str, values: Mapping[str, str]) -> str:
    """Replace each {name} once; a value that holds braces stays as it is. Raises RecipeError for an unknown name."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise RecipeError(
                f"The prompt uses {{{match[1]}}}, which is not a value of this step. "
                f"Known: {', '.join(sorted(values))}."
            )
        return values[match[1]]

    return _NAME.sub(value, template)


class Prompts:
    """The templates and few-shot examples of one recipe.

    Args:
        task_type: The type of its task, which has few-shot examples of its own.
        folder: Files in it replace the package's of the same name.

    Raises RecipeError when there is no such folder.
    """

    def __init__(self, task_type: str, folder: Path | None = None) -> None:
        if folder is not None and not folder.is_dir():
            raise RecipeError(
                f"No folder of prompts at {folder}. `prompts:` is relative to the recipe; left out: ours."
            )
        self.task_type = task_type
        self.folder = folder
        self._heads: dict[tuple[str, int | None], tuple[tuple[Turn, ...], str, Mapping[str, str]]] = {}

    def template(self, name: str) -> Template:
        """The template `name`. Raises RecipeError when it is missing or lacks a section."""
        return _template(self.file(f"{name}.md"))

    @property
    def shots(self) -> list[tuple[Example, dict[str, str]]]:
        """The few-shot examples of the task's type, each with the values for a template: text, question, answer ..."""
        return _shots(self.file(f"shots/{self.task_type}.yaml"))

    def prompt(
        self, step: Step, example: Example, answer: str, quoted: Mapping[str, str], max_words: int | None = None
    ) -> Prompt:
        """Return the prompt of `step` about `answer`.

        Args:
            step: One that is written, with a template.
            example: The question.
            answer: The answer that the text must support.
            quoted: Step → its text, of the steps that this one builds on.
            max_words: The length that the prompt asks for; None: the prompt says nothing of it.
        """
        # Every question of a step begins with the same turns, which are made once.
        head = self._heads.get((step.template, max_words))
        if head is None:
            head = self._heads[step.template, max_words] = self._head(step.template, max_words)
        turns, user, fixed = head
        values = {"text": example.text, "question": example.question, "answer": answer, **quoted, **fixed}
        return Prompt((*turns, Turn("user", fill(user, values))), example, step.name, answer)

    def check(self, step: Step) -> None:
        """Raises RecipeError where a prompt of the step cannot be made."""
        example, quoted = self.shots[0] if self.shots else (Example("", "", (), ""), {})
        self.prompt(step, example, "", {name: quoted.get(name, "") for name in step.needs})

    def _head(self, name: str, max_words: int | None) -> tuple[tuple[Turn, ...], str, Mapping[str, str]]:
        """(the turns before the question's, the template of the question's, the values that stay the same)."""
        template = self.template(name)
        # In the few-shot turns too, or the examples would show requests without a limit.
        fixed = {"limit": f" Use at most {max_words} words." if max_words else ""}
        turns = [Turn("system", fill(template.system, fixed))]
        for _, shot in self.shots:
            turns.append(Turn("user", fill(template.user, {**shot, **fixed})))
            turns.append(Turn("assistant", fill(template.assistant, {**shot, **fixed})))
        return tuple(turns), template.user, fixed

    def file(self, name: str) -> Path:
        """A prompt file: the user's where there is one, else the package's. Raises RecipeError."""
        for folder in (self.folder, FOLDER):
            if folder is not None and (folder / name).is_file():
                return folder / name
        raise RecipeError(f"No prompt file '{name}' in {self.folder or FOLDER}. Copy one to start from: {FOLDER}")


@lru_cache
def _template(path: Path) -> Template:
    parts = _SECTION.split(path.read_text(encoding="utf-8"))
    sections: dict[str, str] = {name: text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}
    missing = {"system", "user", "assistant"} - sections.keys()
    if missing:
        raise RecipeError(
            f"{path} lacks the section '# {sorted(missing)[0]}'. A prompt has # system, # user and # assistant."
        )
    return Template(**sections)


@lru_cache
def _shots(path: Path) -> list[tuple[Example, dict[str, str]]]:
    rows: Sequence[Mapping[str, Any]] = safe_yaml.load(path.read_text(encoding="utf-8")) or []
    shots = []
    for number, row in enumerate(rows):
        try:
            choices = tuple(str(choice) for choice in row.get("choices", ()))
            fields = {str(key): str(value) for key, value in row.get("fields", {}).items()}
            example = Example(f"shot-{number}", str(row["question"]), choices, str(row["answer"]), fields)
            # On one line: YAML folds long texts, and the first paragraph of a completion is all that is used.
            words = {name: " ".join(str(row[name]).split()) for name in ("explanation", "critique", "revision")}
        except (KeyError, TypeError, AttributeError) as error:
            needed = "Each has question, choices, answer, explanation, critique, revision."
            raise RecipeError(f"{path}, example {number + 1}: {error!r}. {needed}") from error
        shots.append((example, {"text": example.text, "question": example.question, "answer": example.answer, **words}))
    return shots
