"""How to ask a student, as code that runs: with transformers alone, and with shrinklm."""

from __future__ import annotations

import json

from ...core.types import Example
from ...methods.view import View
from ...models.locate import Family
from ...report.look.md import fenced
from ..answering import Answering

_QUESTION = "Where do fish swim?"
_CHOICES = ("in the sea", "in the sky")


def snippets(answering: Answering, name: str, family: Family) -> list[str]:
    """The section of a model card, as blocks."""
    if family == "encoder":
        return [
            "## How to ask it",
            "It is an encoder with a head (head.safetensors) that scores each option of a question. With shrinklm:",
            fenced(shrinklm(answering, name), "python"),
        ]
    return [
        "## How to ask it",
        "The student was trained with this form of prompt. With transformers alone:",
        fenced(transformers(answering, name, family == "seq2seq"), "python"),
        "With shrinklm, which also reads the answer from the text and gives the probability of each option:",
        fenced(shrinklm(answering, name), "python"),
    ]


def example(answering: Answering) -> Example:
    """A question of the kind that the student answers."""
    choices = answering.labels or (() if answering.type == "free" else _CHOICES)
    return Example("", _QUESTION, choices, "", dict.fromkeys(answering.fields, "..."))


def transformers(answering: Answering, name: str, encodes: bool) -> str:
    """Code that prints what the student writes."""
    auto = "AutoModelForSeq2SeqLM" if encodes else "AutoModelForCausalLM"
    views = list(dict.fromkeys([answering.answer, answering.explain or answering.answer]))
    new = "written[0]" if encodes else "written[0, ids.shape[1] :]"
    question = "".join(f"    {_quoted(line)}\n" for line in (example(answering).text + "\n").splitlines(keepends=True))
    return (
        f"from transformers import {auto}, AutoTokenizer\n\n"
        f"name = {_quoted(name)}\n"
        "tokenizer = AutoTokenizer.from_pretrained(name)\n"
        f"model = {auto}.from_pretrained(name)\n"
        f"question = (\n{question})\n"
        f"for ask in {_lines(views)}:\n"
        '    ids = tokenizer(question + ask, return_tensors="pt")["input_ids"]\n'
        "    written = model.generate(ids)\n"
        f"    print(tokenizer.decode({new}, skip_special_tokens=True).strip())"
    )


def shrinklm(answering: Answering, name: str) -> str:
    """Code that prints the answer, its explanation and the probabilities."""
    asked = example(answering)
    row: dict[str, object] = {"question": asked.question, **asked.fields}
    if asked.choices and not answering.labels:
        row["choices"] = list(asked.choices)
    downloads = "/" in name
    return (
        ("from huggingface_hub import snapshot_download\n\n" if downloads else "")
        + "from shrinklm import TrainedStudent\n\n"
        f"student = TrainedStudent.open({f'snapshot_download({_quoted(name)})' if downloads else _quoted(name)})\n"
        f"[answer] = student.predict([{_quoted(row)}])\n"
        "print(answer.answer, answer.probabilities, answer.explanation)"
    )


def _quoted(value: object) -> str:
    """Texts, and lists and mappings of texts, as Python in double quotes."""
    return json.dumps(value, ensure_ascii=False)


def _lines(views: list[View]) -> str:
    lines = [_quoted(view.last_line) for view in views]
    return f"({', '.join(lines)}{',' if len(lines) == 1 else ''})"
