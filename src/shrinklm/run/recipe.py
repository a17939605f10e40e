"""The recipe of a run: pydantic models ⇄ YAML. Unknown keys are errors; paths are relative to the recipe."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from pydantic import (
    BaseModel,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)

from ..core import safe_yaml
from ..core import trust as trusting
from ..core.errors import RecipeError, StoreError, UnknownName
from ..core.remote import check_url, is_url, mirror
from ..core.secrets import shown
from ..teachers.steps import STEPS
from .asked import CascadeBlock, DistilBlock, JudgeBlock, TeacherBlock, named_teachers
from .blocks import (
    AuditBlock,
    DropBlock,
    EvaluateBlock,
    SalientBlock,
    SimulatorBlock,
    StepBlock,
    StudentBlock,
    TaskBlock,
    TrainBlock,
)
from .values import Block, Dollars, Names, folder_name


class Recipe(Block):
    """Everything a run needs to be done again."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    task: TaskBlock
    teacher: TeacherBlock | None = Field(
        None, description="The model that writes; or several: a list, or names → blocks. A step may name its own."
    )
    named: dict[str, TeacherBlock] = Field(default_factory=dict, exclude=True)
    """The teachers by name, the first first, where `teacher` gives them names."""
    generate: tuple[StepBlock, ...] = ()
    salient: SalientBlock = SalientBlock()
    audit: AuditBlock = AuditBlock()
    methods: Names = Field(("finetune",), min_length=1)
    student: tuple[StudentBlock, ...] = Field(min_length=1)
    train: TrainBlock = TrainBlock()
    distil: DistilBlock | None = Field(
        None, description="The teacher of methods that learn from logits, such as finetune:kd=forward; see methods.md."
    )
    evaluate: EvaluateBlock = EvaluateBlock()
    judge: JudgeBlock | None = None
    cascade: CascadeBlock | None = Field(
        None, description="Keep the student's sure answers, and ask a teacher or abstain otherwise; see below."
    )
    budget: Dollars | None = Field(
        None, description="Most dollars for texts of teachers and judges, found ones included: 5, 5 USD or $5."
    )
    prompts: str | None = Field(None, description="Folder whose files replace the package's prompts of the same name.")
    store: str = Field(
        ".shrinklm/generations.db",
        description="The project's generations; also a URL, such as s3://bucket/generations.db: see scale.md.",
    )
    runs: str = Field(
        "runs", description="Folder of the run folders; also a URL, such as s3://bucket/runs: see scale.md."
    )
    root: Path = Field(default=Path("."), exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _teachers(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        if "named" in data:
            raise ValueError("No key is called 'named': teachers with names stand under `teacher`")
        named = named_teachers(data.get("teacher"))
        return data if named is None else {**data, "teacher": next(iter(named.values())), "named": named}

    @field_serializer("teacher", mode="wrap")
    def _all_teachers(self, teacher: TeacherBlock | None, handler: SerializerFunctionWrapHandler) -> Any:
        return {name: handler(block) for name, block in self.named.items()} or handler(teacher)

    @field_validator("generate", mode="before")
    @classmethod
    def _steps(cls, value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            raise ValueError("must be a list of steps, such as [explanation, counterfactual]")
        return [_step(item) for item in value]

    @field_validator("student", mode="before")
    @classmethod
    def _students(cls, value: Any) -> Any:
        return [
            {"use": item} if isinstance(item, str) else item
            for item in (value if isinstance(value, (list, tuple)) else [value])
        ]

    @field_validator("store", "runs")
    @classmethod
    def _stored(cls, place: str) -> str:
        try:
            return check_url(place) if is_url(place) else place
        except StoreError as error:
            raise ValueError(str(error)) from None

    @model_validator(mode="after")
    def _whole(self) -> Recipe:
        steps = [STEPS[step.name] for step in self.generate]
        if self.teacher is None and any(not step.marks for step in steps):
            raise ValueError("`generate` needs a `teacher`, such as teacher: {use: transformers:PATH_OR_ID}")
        for step in self.generate:
            self._check_teacher(step)
        # A teacher always has a `use`; without one, `salient` must name the model.
        if (self.teacher or self.salient).use is None and any(step.by == "white-box" for step in steps):
            raise ValueError(
                "the step `salient` needs a model to look into, such as salient: {use: transformers:PATH_OR_ID}"
            )
        if self.cascade is not None and not self.evaluate.calibrate:
            raise ValueError("`cascade` picks its threshold on dev answers: leave out `evaluate: {calibrate: 0}`")
        # Method and label name the folder of a cell: two of a name would overwrite each other.
        if len(set(self.methods)) < len(self.methods):
            raise ValueError(f"`methods` names one twice: {', '.join(self.methods)}")
        labels = [student.label for student in self.student]
        if len({folder_name(label) for label in labels}) < len(labels):
            raise ValueError(f"two students are called the same: {', '.join(labels)}. Give each a `name`.")
        return self

    def _check_teacher(self, step: StepBlock) -> None:
        """Raises ValueError for a step whose teacher does not exist, or that takes none."""
        if step.teacher is None:
            return
        if STEPS[step.name].marks:
            raise ValueError(f"the step '{step.name}' marks words and takes no `teacher`: `salient` names its model")
        if not step.teachers:
            raise ValueError(f"`teacher` of the step '{step.name}' names none. Leave it out for the first")
        if len(set(step.teachers)) < len(step.teachers):
            named = ", ".join(step.teachers)
            raise ValueError(
                f"the step '{step.name}' names one twice: {named}. Several texts of one teacher: `samples`"
            )
        for name in step.teachers:
            if name not in self.named:
                known = f"There are: {', '.join(self.named)}." if self.named else "None has a name."
                raise ValueError(
                    f"the step '{step.name}' names the teacher '{name}'. {known} "
                    f"Write: teacher: {{NAME: {{use: ...}}, {name}: {{use: ...}}}}"
                )

    def path(self, name: str) -> Path:
        """A path of the recipe, made absolute; of a URL, the path of its mirror here."""
        return mirror(name) if is_url(name) else (self.root / Path(name).expanduser()).resolve()

    @cached_property
    def file(self) -> Path | None:
        """Where it was read; None for one that a program made. No key: nothing in a recipe tells what it is."""
        return None

    @property
    def run_folder(self) -> Path:
        """The folder of the run."""
        return self.path(f"{self.runs}/{self.name}") if is_url(self.runs) else self.path(self.runs) / self.name

    @classmethod
    def read(cls, path: str | Path, trust: bool = False) -> Recipe:
        """The recipe in a YAML file. Raises RecipeError with the line to mend.

        `trust`: code that it names may run, wherever it lies; see `core.trust`.
        """
        path = Path(path)
        try:
            data = safe_yaml.load(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RecipeError(f"No recipe at {path}. Write one with: shrinklm init my-task") from None
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise RecipeError(f"{path} cannot be read as YAML: {error}") from error
        if not isinstance(data, dict):
            raise RecipeError(
                f"{path} holds no recipe: expected keys such as name, task and student, found {type(data).__name__}."
            )
        recipe = cls.parse({**data, "root": path.absolute().parent}, str(path))
        recipe.__dict__["file"] = path.resolve()
        if trust:
            trusting.trust(path)
        return recipe

    @classmethod
    def parse(cls, data: dict[str, Any], where: str = "the recipe") -> Recipe:
        """The recipe in a dictionary, checked. Raises RecipeError that names every wrong key."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            # The first of several teachers is read twice: by its name, and as the one that steps without a name get.
            lines = dict.fromkeys(_line(cls, item) for item in error.errors() if not _twice(item["loc"], data))
            raise RecipeError(f"{where} is not valid:\n" + "\n".join(lines)) from error

    def __getstate__(self) -> dict[Any, Any]:
        # A process that trains for this one must neither ask again nor refuse.
        return {**super().__getstate__(), "trusted": trusting.carried()}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        trusting.take(state.pop("trusted"))
        super().__setstate__(state)

    def dump(self) -> str:
        """The recipe as YAML, with every default written out."""
        data = self.model_dump(mode="json")
        if self.distil is None:  # reports show the recipe: those of other methods stay as they are
            del data["distil"]
        return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)


def _step(item: Any) -> Any:
    if isinstance(item, str):
        return {"name": item}
    if isinstance(item, dict) and len(item) == 1 and "name" not in item:
        ((name, options),) = item.items()
        return {"name": name, **(options or {})}
    return item


def _twice(place: tuple[Any, ...], data: dict[str, Any]) -> bool:
    return bool(place) and place[0] == "teacher" and named_teachers(data.get("teacher")) is not None


def _line(model: type[BaseModel], item: Any) -> str:
    """One validation error as a line that says what to type."""
    # Named teachers stand under `teacher` in the recipe.
    place = ["teacher" if part == "named" and not index else part for index, part in enumerate(item["loc"])]
    # Positions in a list say where the error is, and name no block.
    path = [part for part in place if not isinstance(part, int)]
    where = ".".join(str(part) for part in place)
    if item["type"] != "extra_forbidden":
        # The start of the value is enough to recognise it; a value may be a whole block.
        return f"  {where or 'recipe'}: {item['msg'].removeprefix('Value error, ')} (found {shown(item['input'])})"
    fields = _fields(model, [str(part) for part in path[:-1]])
    # A key cannot be a plug-in, unlike the other names that `UnknownName` speaks of.
    return f"  {where}: {UnknownName('key', str(path[-1]), fields)}".replace(' Your own: "module:attribute".', "")


def _fields(model: type[BaseModel], path: list[str]) -> list[str]:
    blocks: dict[str, type[BaseModel]] = {
        "task": TaskBlock, "teacher": TeacherBlock, "generate": StepBlock, "student": StudentBlock, "train": TrainBlock,
        "salient": SalientBlock, "evaluate": EvaluateBlock, "simulator": SimulatorBlock,
        "judge": JudgeBlock, "cascade": CascadeBlock, "audit": AuditBlock, "drop": DropBlock,
        "distil": DistilBlock,
    }  # fmt: skip
    # The innermost block on the way to the key; a key of the recipe itself has none.
    block = next((blocks[name] for name in reversed(path) if name in blocks), model)
    return [name for name in block.model_fields if name not in ("root", "named")]
