"""The teacher whose logits a recipe's students learn: which it is, whether it can be read, and its part of a key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import ModelError, RecipeError, TeacherError
from ...core.files import read_json
from ...core.intact import intact
from ...core.registry import split_spec
from ...core.results import CellFile, RunFile
from ...core.types import Tick, digest
from ...deploy.mentor import Mentor
from ...methods.terms import TERMS
from ...methods.view import Method
from ...models.load import default_dtype, family_of, load_tokenizer, positions_of
from ...models.locate import Family, Model, hub_commit, locate_model
from ...students.logits import LogitTeacher
from ...students.open import as_student, load_student, outline
from ...students.saved import whole_student
from ...teachers.base import TeacherOptions, make_teacher
from ..asked import DistilBlock, TeacherBlock
from ..folder import Cell
from ..once import marker, read_marker
from ..recipe import Recipe

if TYPE_CHECKING:
    from ...students.base import BaseStudent

TUNED = "salient"
"""What a recipe calls the teacher that it fine-tunes itself."""
_LOCAL = ("transformers", "run")
"""Teachers that show their logits."""


def distils(method: Method) -> bool:
    """Whether a method learns from a teacher's logits."""
    return any(term.logits for term in method.terms.values())


def learns_tuned(recipe: Recipe) -> bool:
    """Whether the recipe itself fine-tunes the teacher whose logits are learned."""
    return recipe.distil is not None and recipe.distil.teacher == TUNED


@dataclass(frozen=True)
class _Found:
    """A model whose logits can be read, with what opens it."""

    name: str
    model: Model
    """Its weights."""
    like: Model
    """Has its tokenizer: the model that is still to be fine-tuned, or itself."""
    family: Family
    load: Callable[[], BaseStudent]
    trust: bool = False


def logit_teacher(cell: Cell, recipe: Recipe, tick: Tick | None = None) -> LogitTeacher | None:
    """The teacher whose logits a cell's method reads; None where it reads none. No weights are loaded.

    Raises RecipeError, TeacherError or ModelError where there is none, or it is not trained yet.
    """
    if not distils(cell.method):
        return None
    found, block = _find(recipe, cell.folder.parent.parent), recipe.distil or DistilBlock()
    model = found.model
    return LogitTeacher(
        name=found.name,
        family=found.family,
        key=digest(hub_commit(model) if model.on_hub else model.revision, model.tokenizer),
        load=found.load,
        tokenizer=partial(load_tokenizer, found.like, found.trust),
        positions=partial(positions_of, found.like, found.trust),
        top=block.top,
        temperature=block.temperature,
        beta=block.beta,
        tick=tick,
    )


def learned_from(cell: Cell, recipe: Recipe) -> dict[str, Any]:
    """What of the teacher's logits decides a cell's weights, as JSON; {} where its method reads none.

    Where the teacher of a trained cell is gone, its weights are those that were written down when it was trained, if
    the recipe still names the same teacher. Raises as `logit_teacher`.
    """
    try:
        teacher = logit_teacher(cell, recipe)
        if teacher is None:
            return {}
        weights = teacher.key
    except (ModelError, RecipeError, TeacherError):
        about = cell.folder / CellFile.ABOUT
        known = read_json(about).get("distil") if cell.done("train") is not None and intact(about) else None
        if not isinstance(known, dict) or "weights" not in known or known.get("teacher") != teacher_named(recipe):
            raise
        weights = known["weights"]
    # What no term of the method reads changes no weight, and may be changed.
    block, terms = recipe.distil or DistilBlock(), {option.partition("=")[0] for option in cell.method.losses}
    own = not terms <= TERMS.keys()  # reads what it likes
    return {
        "weights": weights,
        "temperature": block.temperature,
        **({"top": block.top} if own or "kd" in terms else {}),
        **({"beta": block.beta} if own or "kd=jsd" in cell.method.losses else {}),
    }


def teacher_named(recipe: Recipe) -> Any:
    """The teacher whose logits are learned as the recipe names it, as JSON; whether it is there is not looked at.

    Raises RecipeError for a name that no teacher of the recipe has.
    """
    if learns_tuned(recipe):
        block = recipe.salient
        return [TUNED, _tuned_from(recipe), block.finetune and block.finetune.model_dump(mode="json")]
    return _block(recipe, recipe.distil.teacher if recipe.distil is not None else None).use


def check_distil(recipe: Recipe, cells: Sequence[Cell]) -> None:
    """Raises what reading the teacher's logits would raise later, before anything is paid for; loads no weights."""
    cells = [cell for cell in cells if distils(cell.method) and cell.opens]
    if not cells:
        return
    found = _find(recipe, cells[0].folder.parent.parent, tuned=False)
    of = found.like, found.trust
    read, positions = partial(load_tokenizer, *of), partial(positions_of, *of)
    teacher = LogitTeacher(found.name, found.family, "", found.load, read, positions, 1, 1.0, 0.5)
    for student in {cell.student.label: cell.student for cell in cells}.values():
        teacher.check(outline(student.spec(recipe.train.max_length), recipe.root))


def _find(recipe: Recipe, folder: Path, tuned: bool = True) -> _Found:
    """The recipe's teacher whose logits are read; `tuned`: it must be fine-tuned already, where the recipe does so."""
    wanted = recipe.distil.teacher if recipe.distil is not None else None
    if wanted == TUNED:
        return _tuned(recipe, folder, tuned)
    block = _block(recipe, wanted)
    name, ref = split_spec(block.use)
    if name == "run":
        mentor = make_teacher(block.use, TeacherOptions(root=recipe.root, run=recipe.run_folder))
        assert isinstance(mentor, Mentor)
        return _Found(mentor.name, mentor.model, mentor.model, mentor.family, mentor.load)
    if name != "transformers" or not ref:
        raise RecipeError(
            f"A method of the recipe learns from a teacher's logits, and '{block.use or 'no teacher'}' shows none: a "
            "server, a file or a program tells texts alone. Write: distil: {teacher: transformers:PATH_OR_ID}; or "
            f"run:PATH#METHOD, a student of another run; or {TUNED}, the teacher that `salient: {{finetune: ...}}` "
            "trains."
        )
    model = locate_model(ref, recipe.root)
    load = partial(as_student, model, default_dtype(), block.trust_remote_code)
    family = family_of(model, block.trust_remote_code)
    return _Found(model.name, model, model, family, load, block.trust_remote_code)


def _block(recipe: Recipe, wanted: str | None) -> TeacherBlock:
    """The block of a teacher by its name or spec; None: the first that shows its logits, else the first."""
    if wanted is not None:
        known = recipe.named.get(wanted)
        if known is None and ":" not in wanted:
            names = ", ".join([*recipe.named, TUNED])
            raise RecipeError(
                f"`distil` names the teacher '{wanted}', and the recipe has none of that name. There are: {names}. A "
                "model is written as transformers:PATH_OR_ID, a student of another run as run:PATH#METHOD."
            )
        return known or TeacherBlock(use=wanted)
    blocks = list(recipe.named.values()) or ([recipe.teacher] if recipe.teacher else [])
    local = [block for block in blocks if split_spec(block.use)[0] in _LOCAL]
    return next(iter([*local, *blocks]), TeacherBlock(use=""))


def _tuned(recipe: Recipe, folder: Path, tuned: bool) -> _Found:
    """The teacher that the recipe fine-tunes."""
    block = recipe.salient
    name, ref = split_spec(_tuned_from(recipe))
    if block.finetune is None or name != "transformers" or not ref:
        raise RecipeError(
            f"`distil: {{teacher: {TUNED}}}` is the teacher that the recipe fine-tunes, and it fine-tunes none. Write: "
            "salient: {use: transformers:PATH_OR_ID, finetune: {examples: 20000}}"
        )
    like = locate_model(ref, recipe.root)
    home = folder / RunFile.TEACHER
    place = home / CellFile.STUDENT
    family, load = family_of(like, block.trust_remote_code), partial(load_student, place)
    if not tuned:
        return _Found(f"{like.name} fine-tuned", like, like, family, load, block.trust_remote_code)
    if read_marker(marker(home, "train")) is None or not whole_student(place):
        raise TeacherError(f"{like.name} is not fine-tuned yet. Run: shrinklm train-teacher RECIPE")
    model = locate_model(str(place))
    return _Found(f"{like.name} fine-tuned", model, model, family, load)


def _tuned_from(recipe: Recipe) -> str:
    """The spec of the model that the recipe fine-tunes."""
    return recipe.salient.use or (recipe.teacher.use if recipe.teacher else "")


def origin_of(cell: Cell, recipe: Recipe) -> Mapping[str, Any]:
    """The entries of a cell's origin about the logits that it learns."""
    known = learned_from(cell, recipe)
    return {
        **{f"distil.{key}": known[key] for key in ("top", "temperature", "beta") if key in known},
        **({"the logits of the teacher": known["weights"]} if known else {}),
    }
