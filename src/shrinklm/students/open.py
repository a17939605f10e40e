"""Open students: untrained from a spec, or trained from their folder; where and in which precision they answer.

Needs neither torch nor transformers before a student is opened.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import StudentError
from ..core.registry import find, is_own, misfit, names, split_spec
from ..core.remote import bring
from ..models.load import default_device, default_dtype, family_of, load_model
from ..models.locate import Model, locate_model
from .saved import NOTE, class_name

if TYPE_CHECKING:
    from .base import BaseStudent


@dataclass(frozen=True)
class StudentSpec:
    """Which student to open, and how; a recipe's blocks make one."""

    use: str
    """Such as "causal:PATH_OR_ID", "seq2seq:PATH_OR_ID", "encoder:PATH_OR_ID", "tiny" or "module:attribute"."""
    lora: int | None
    """Rank of LoRA adapters; None: every weight is trained."""
    keep_every: int
    """Every n-th layer of the model is kept."""
    max_length: int
    """Longest prompt plus target, in tokens, that it is trained on."""
    trust_remote_code: bool


def open_student(spec: StudentSpec, root: Path = Path(".")) -> BaseStudent:
    """The student of a spec, ready to train; a relative path is relative to `root`.

    Raises UnknownName, ModelError or StudentError.
    """
    family, ref = _family(spec.use)
    student = family.open(
        ref,
        root,
        lora=spec.lora,
        keep_every=spec.keep_every,
        max_length=spec.max_length,
        trust_remote_code=spec.trust_remote_code,
    )
    _ = student.reading  # now: what cannot be trained exactly is refused before anything is paid for
    return student


def outline(spec: StudentSpec, root: Path = Path(".")) -> BaseStudent:
    """The student of a spec without its weights, which counts tokens and knows its limits, and cannot be asked.

    Finds what is wrong with a spec before anything is paid for; a student whose class opens itself in a way of its own
    is opened. Raises as `open_student` does.
    """
    from ..models.load import load_outline
    from .base import BaseStudent
    from .layers import adapted

    family, ref = _family(spec.use)
    if family.open.__func__ is not BaseStudent.open.__func__:  # type: ignore[attr-defined]
        return open_student(spec, root)
    model, tokenizer = load_outline(locate_model(ref, root), family.family, spec.trust_remote_code)
    return family(adapted(model, family.family, spec.lora, spec.keep_every), tokenizer, spec.max_length)


def always_opens(spec: StudentSpec) -> bool:
    """Whether a spec cannot fail to open: the student of random weights, as it comes. Loads no torch to know."""
    return spec.use in ("tiny", "tiny:seq2seq") and spec.lora is None and spec.keep_every == 1


def _family(use: str) -> tuple[type[BaseStudent], str]:
    """(class, model) that a spec names. Raises UnknownName or RecipeError."""
    name, ref = split_spec(use)
    if name not in names("students"):
        name, ref = use if is_own("students", use) else name, ""
    return _a_class(name, use), ref


def _a_class(name: str, use: str = "") -> type[BaseStudent]:
    """The class of students that a name leads to. Raises UnknownName or RecipeError."""
    from .base import BaseStudent

    found = find("students", name, use)
    if not (isinstance(found, type) and issubclass(found, BaseStudent)):
        raise misfit("students", name, found, "a class that inherits from shrinklm.students.base.BaseStudent")
    if not hasattr(found, "family"):
        wanted = 'a class with `family`, "causal", "seq2seq" or "encoder"'
        raise misfit("students", name, found, wanted, ", which has none")
    return found


def open_untrained(spec: StudentSpec, root: Path = Path(".")) -> BaseStudent:
    """The student of a spec as it answers before any training. Raises as `open_student` does."""
    import torch

    # Weights that are drawn and not read (`tiny`, LoRA adapters) are the same whenever it is opened.
    torch.manual_seed(0)
    return ready_to_answer(open_student(spec, root))


def load_student(folder: Path, dtype: str = "auto", use: str | None = None) -> BaseStudent:
    """A saved student, ready to answer.

    Args:
        folder: Written by `save`.
        dtype: "auto" is bfloat16 where this machine is fast in it.
        use: The recipe's `student: {use: ...}`. A class of the user is loaded only when this names it, never because
            the folder does.

    Raises:
        StudentError: there is no student in the folder, or it is of a class that is not known.
    """
    from .exact import Reading

    note = folder / NOTE
    if not note.is_file():
        raise StudentError(f"No trained student in {folder}. Run: shrinklm train RECIPE")
    try:
        content = json.loads(note.read_text(encoding="utf-8"))
        kind, max_length = str(content["class"]), int(content["max_length"])
    except (ValueError, KeyError, TypeError) as error:
        raise StudentError(
            f"{note} is not the record of a trained student ({error!r}). Train it again: shrinklm train RECIPE"
        ) from error
    # A folder may come from somebody else: importing a module that its note names would run their code.
    user_class = [use] if use and split_spec(use)[0] not in names("students") else []
    known = [_a_class(name) for name in [*names("students"), *user_class]]
    families = {class_name(family): family for family in known}
    if kind not in families:
        raise StudentError(f"{note} names the class '{kind}', which is not known here. Known: {', '.join(families)}.")
    family = families[kind]
    bring(folder)
    # Not by `locate_model`, which would hash the weights for a revision that nothing needs here.
    located = Model(str(folder), folder.name, "", folder.resolve())
    model, tokenizer = load_model(located, family.family, default_dtype() if dtype == "auto" else dtype)
    student = family(model, tokenizer, max_length)
    student.load_beside(folder)
    # Students of before there was a record are tried out.
    recorded = Reading.of(content.get("reading"))
    if recorded is not None:
        student.reading = recorded
    return ready_to_answer(student, None)


def as_student(model: Model, dtype: str, trust_remote_code: bool = False) -> BaseStudent:
    """A model as it comes, on the device it answers on; its own positions are the only limit. Raises ModelError."""
    kind = family_of(model, trust_remote_code)
    loaded, tokenizer = load_model(model, kind, dtype, trust_remote_code)
    student: BaseStudent = find("students", kind)(loaded, tokenizer, sys.maxsize)
    return ready_to_answer(student, None)


def ready_to_answer(student: BaseStudent, dtype: str | None = "auto") -> BaseStudent:
    """Move a student to the device it answers on, and into evaluation mode.

    Args:
        student: It is changed and returned.
        dtype: The precision of its weights; "auto" is the machine's own, None leaves them as they are. A student that
            was loaded in a precision keeps some numbers, such as the frequencies of rotary positions, in float32:
            converting it again would round them.
    """
    import torch

    if dtype is None:
        student.to(default_device())
    else:
        student.to(default_device(), getattr(torch, default_dtype() if dtype == "auto" else dtype))
    return student.eval()
