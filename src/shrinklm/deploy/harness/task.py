"""Test questions → a task of lm-evaluation-harness or Inspect that asks as the student was trained to be asked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import StoreError, TaskError
from ...core.files import NAME_PLACE, whole_folder
from ...core.types import Example
from ...evaluation.metrics.answers import accepted
from ...methods.view import View
from ...students.likeliest import choice_pairs
from .code import INSPECT, LM_EVAL

QUESTIONS = "test.jsonl"
"""The file of the questions."""
_TASK, _UTILS = "task.py", "utils.py"
"""The code, for Inspect and for lm-evaluation-harness."""


@dataclass(frozen=True)
class Questions:
    """What is exported."""

    name: str
    """Of the task: letters, digits and "_"."""
    view: View
    """The view that answers."""
    tests: Sequence[Example]
    max_tokens: int
    """Cap of a reply."""

    @property
    def scored(self) -> bool:
        """Whether options can be scored without a text of the student before them."""
        return self.view.says[0] == "answer" and all(example.choices for example in self.tests)

    def rows(self) -> list[dict[str, Any]]:
        """One object a question."""
        return [self._row(example) for example in self.tests]

    def _row(self, example: Example) -> dict[str, Any]:
        named = self.view.options(example)
        options = list(named.values())
        prompt = self.view.prompt(example)
        row: dict[str, Any] = {
            "id": example.id,
            "question": example.text,
            "prompt": prompt,
            "options": options,
            "answer": self.view.named(example, example.answer),
            "accepted": [self.view.named(example, example.answer)] if options else list(accepted(example)),
            "lead": self.view.lead,
            "answers_first": self.view.says[0] == "answer",
        }
        if self.scored:
            # The words that the student is given before an option: those of training, up to the answer.
            pair = choice_pairs(self.view, example, "")[0]
            before = pair.target[: pair.scored[0]].rstrip() if pair.scored else ""
            row |= {"context": f"{prompt} {before}".rstrip(), "target": options.index(row["answer"])}
        return row


def task_name(*parts: str) -> str:
    """A name that both tools take, such as "shrinklm_my_task_multitask"."""
    return re.sub(r"\W+", "_", "_".join(("shrinklm", *parts)), flags=re.ASCII).strip("_")


def write_task(questions: Questions, to: str, folder: Path) -> list[str]:
    """Writes a task into a folder; an earlier one there is replaced. The names of its tasks.

    Raises TaskError where there is no test question, StoreError for a folder that holds something else.
    """
    if not questions.tests:
        raise TaskError("There are no test questions to export. Look at `test`, `limit` and `where` in the recipe.")
    if folder.is_file() or (folder.is_dir() and not _replaceable(folder)):
        raise StoreError(f"{folder} holds something else than an exported task. Name another folder with --output.")
    with whole_folder(folder, advice=NAME_PLACE) as new:
        lines = [json.dumps(row) + "\n" for row in questions.rows()]
        (new / QUESTIONS).write_text("".join(lines), encoding="utf-8")
        return WRITERS[to](questions, new)


def _replaceable(folder: Path) -> bool:
    """Whether a folder is empty, or holds an exported task and nothing else, which would be lost."""
    names = {path.name for path in folder.iterdir()} - {"__pycache__"}
    code = names & {_TASK, _UTILS}
    tasks = {name for name in names if re.fullmatch(r"shrinklm_\w+\.yaml", name)}
    return not names or (bool(code) and names == {QUESTIONS, *code, *tasks})


def _lm_eval(questions: Questions, folder: Path) -> list[str]:
    (folder / _UTILS).write_text(LM_EVAL, encoding="utf-8")
    common = "custom_dataset: !function utils.questions\ntest_split: test\nmetadata: {version: 1.0}\n"
    tasks = {
        f"{questions.name}_generate": (
            f"{common}output_type: generate_until\ndoc_to_text: prompt\ndoc_to_target: answer\n"
            f"generation_kwargs: {{until: [], do_sample: false, max_gen_toks: {questions.max_tokens}}}\n"
            "process_results: !function utils.right\n"
            "metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]\n"
        )
    }
    if questions.scored:
        tasks[questions.name] = (
            f"{common}output_type: multiple_choice\ndoc_to_text: context\ndoc_to_choice: options\n"
            'doc_to_target: target\ntarget_delimiter: " "\n'
            "metric_list:\n"
            "  - {metric: acc, aggregation: mean, higher_is_better: true}\n"
            "  - {metric: acc_norm, aggregation: mean, higher_is_better: true}\n"
        )
    for name, text in tasks.items():
        (folder / f"{name}.yaml").write_text(f"task: {name}\n{text}", encoding="utf-8")
    return sorted(tasks)


def _inspect(questions: Questions, folder: Path) -> list[str]:
    code = INSPECT.replace("TASK_NAME", questions.name).replace("MAX_TOKENS", str(questions.max_tokens))
    (folder / _TASK).write_text(code, encoding="utf-8")
    return [questions.name]


WRITERS: dict[str, Callable[[Questions, Path], list[str]]] = {"lm-eval": _lm_eval, "inspect": _inspect}
"""Each by the name of its tool."""
