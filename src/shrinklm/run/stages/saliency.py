"""The stage that measures the words that were marked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...core.errors import MethodError, RecipeError
from ...core.files import read_json
from ...core.marking import Keep
from ...core.results import RunFile, SaliencyFile
from ...core.types import Example, Generation, Tick, digest
from ...methods.view import Method
from ...saliency.analysis import Examiner, analyze, items, write
from ...teachers.steps import STEPS, StepRequest
from ..once import Stage, marker
from ..recipe import Recipe

Marked = Mapping[str, Mapping[str, Generation]]
"""Step → example id → the marking of its words."""


def marked_steps(steps: Sequence[StepRequest]) -> list[str]:
    """The steps that mark words. Raises RecipeError when there is none."""
    names = [step.name for step in steps if STEPS[step.name].marks]
    if not names:
        raise RecipeError(
            "The recipe asks for no marked words. Add: generate: [salient, own-saliency, tfidf-tokens, random-tokens]"
        )
    return names


def marked(
    examples: Sequence[Example], known: Mapping[str, Mapping[tuple[str, str], Generation]], steps: Sequence[str]
) -> Marked:
    """The markings of the examples. Raises MethodError for a step that was not asked for yet."""
    markings = {
        step: {
            example.id: generation
            for example in examples
            if (generation := known[example.id].get((step, example.answer)))
        }
        for step in steps
    }
    for step in steps:
        if not markings[step]:
            raise MethodError(f"The step '{step}' was not taken yet. Run: shrinklm generate RECIPE --step {step}")
    return markings


def saliency_stage(
    recipe: Recipe,
    folder: Path,
    methods: Sequence[Method],
    examples: Sequence[Example],
    markings: Marked,
    examiner: Callable[[], Examiner | None],
    tick: Tick,
) -> Stage:
    """Measures marked words and writes figures and items to `saliency/`; not again for the same markings.

    `examiner` opens the model that is asked without the kept words; it is called only where something is measured.
    """
    # One rule for all figures: that of the first method which shows marked words to a student.
    keep = next((view.keep for method in methods for view in method.views if view.keep), Keep())
    # A generation's key covers the question, the model and its settings: equal keys are equal markings.
    keys = {step: sorted(generation.key for generation in slots.values()) for step, slots in markings.items()}
    home = folder / RunFile.SALIENCY

    def work() -> None:
        figures = analyze(examples, markings, keep, examiner=examiner(), tick=tick)
        write(home, figures, items(examples, markings, keep))

    # Without what the method does not read, so that the key is the one that version 0.1.0 wrote.
    unread: dict[str, Any] = {} if recipe.salient.method == "integrated_gradients" else {"most_steps": True}
    stated = recipe.salient.model_dump(mode="json", exclude={"finetune": {"dev_questions", "report_to"}, **unread})
    key = digest(keys, asdict(keep), stated)
    return Stage(marker(folder, "saliency"), key, work, makes=(home / SaliencyFile.FIGURES, home / SaliencyFile.ITEMS))


def read_figures(folder: Path) -> dict[str, Any]:
    """The figures that the stage wrote."""
    figures: dict[str, Any] = read_json(folder / RunFile.SALIENCY / SaliencyFile.FIGURES)
    return figures
