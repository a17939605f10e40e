"""Texts that are held against another answer while they are written: who can, and what against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ..core.errors import TeacherError
from ..core.types import Prompt
from .base import BaseTeacher
from .prompts import Prompts
from .steps import STEPS, Step, StepRequest

NO_OTHER = "no other answer to hold it against"
"""The reason for which a text is not asked for."""


def check_contrasts(requests: Iterable[StepRequest], teachers: Mapping[str, BaseTeacher]) -> None:
    """Raises TeacherError where a step is to be held against an answer, and its teacher cannot do so.

    Args:
        requests: The steps.
        teachers: Step → its teacher.
    """
    for request in requests:
        teacher = teachers[request.name]
        if not request.contrast:
            continue
        if not STEPS[request.name].states:
            able = ", ".join(name for name, step in STEPS.items() if step.states)
            raise TeacherError(f"`contrast` of '{request.name}': its prompt states no answer alone. It is for: {able}.")
        if not teacher.contrasts:
            raise TeacherError(
                f"`{request.name}: {{contrast: {request.contrast}}}` needs how likely every next token is under two "
                f"prompts, and the teacher '{teacher.name}' does not tell. Write: teacher: {{use: "
                "transformers:PATH_OR_ID}, or leave `contrast` out."
            )


def held_against(prompt: Prompt, request: StepRequest, step: Step, prompts: Prompts) -> Prompt:
    """The prompt of a step with what it is held against, where the request asks for that."""
    if not request.contrast:
        return prompt
    other = step.against(prompt.example, prompt.answer, request.contrast)
    if other is None:
        return prompt
    return replace(prompt, against=prompts.prompt(step, prompt.example, other, {}, request.max_words).turns)
