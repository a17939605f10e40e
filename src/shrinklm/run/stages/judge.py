"""The judges of a recipe: who may sit, and what they are shown. What comes of it is in `judged`."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path

from ...core.errors import ModelError, RecipeError, StudentError, TeacherError
from ...core.registry import find, names, split_spec
from ...core.results import read_predictions
from ...core.types import Example, Teacher, Tick
from ...evaluation.judges.pairs import compare
from ...evaluation.judges.rating import Rated, constructs, rate
from ...evaluation.judges.sitting import Place, Sitting
from ...models.locate import locate_model
from ...teachers.base import TeacherOptions, make_teacher
from ...teachers.prompts import Prompts
from ...teachers.store import Store
from ..folder import Cell
from ..recipe import JudgeBlock, Recipe

_HASH = re.compile(r"[0-9a-f]{32,}")


@dataclass(frozen=True)
class Writer:
    """A model that wrote explanations, or that a student which wrote them was made from."""

    name: str
    revision: str
    role: str

    def is_(self, judge: Teacher) -> bool:
        """Whether the judge is this model: by name, or by the hash of its weights under another name."""
        same = bool(_HASH.fullmatch(self.revision)) and self.revision == judge.revision
        return same or _plain(self.name) == _plain(judge.name)


def _plain(name: str) -> str:
    """A model's name without its publisher, ending and case."""
    return name.casefold().rstrip("/").rpartition("/")[2].removesuffix(".gguf").partition("@")[0]


def _model(reference: str, root: Path) -> tuple[str, str]:
    """(name, revision) of the model that a spec refers to, where it can be found from here."""
    try:
        model = locate_model(reference, root)
    except ModelError:
        return reference, ""
    return model.name, model.revision


class Panel:
    """The judges that a recipe names.

    Args:
        recipe: With a `judge` block.
        teacher: Who wrote the explanations that the students learned; None when nobody was asked.

    Raises RecipeError when the recipe names no judge.
    """

    def __init__(self, recipe: Recipe, teacher: Teacher | None) -> None:
        if recipe.judge is None:
            raise RecipeError(
                'The recipe names no judge. Add: judge: {use: ["endpoint:http://127.0.0.1:8000/v1#MODEL"]}'
            )
        self.recipe, self.teacher = recipe, teacher
        self.block: JudgeBlock = recipe.judge

    @cached_property
    def judges(self) -> list[Teacher]:
        """The judges, their weights not yet loaded. Raises RecipeError when one cannot judge or all of them wrote what they would rate."""
        found = []
        for block in self.block.use:
            options = TeacherOptions(
                self.recipe.root, {}, block.batch, block.trust_remote_code, block.api_key_env, block.price
            )
            kind = split_spec(block.use)[0]
            if kind in names("teachers") and getattr(find("teachers", kind), "reads", False):
                raise RecipeError(
                    f"'{block.use}' reads what others wrote and cannot judge. Name a model, such as transformers:PATH_OR_ID."
                )
            found.append(make_teacher(block.use, options))
        called = [judge.name for judge in found]
        if len(set(called)) < len(called):
            raise RecipeError(f"`judge.use` names one judge twice: {', '.join(called)}. Two judges are two models.")
        roles = {judge.name: role for judge in found if (role := self.role(judge))}
        if len(roles) == len(found):
            own = "; ".join(f"'{name}' is {role}" for name, role in roles.items())
            raise RecipeError(
                f"Nobody may judge alone what was written by the same model, and {own}. Add a judge of another family: "
                f'judge: {{use: [{", ".join(block.use for block in self.block.use)}, "endpoint:URL#MODEL"]}}'
            )
        return found

    def check(self) -> None:
        """Raises RecipeError, or what opening a judge raises, when the judges cannot judge this run."""
        _ = self.judges

    def role(self, judge: Teacher) -> str | None:
        """What a judge has to do with the explanations: "the teacher", ...; None when nothing."""
        return next((writer.role for writer in self.writers if writer.is_(judge)), None)

    @cached_property
    def writers(self) -> list[Writer]:
        """Everyone who wrote explanations, as far as the recipe tells."""
        found = [Writer(name, "", "a model that the recipe says wrote them") for name in self.block.wrote]
        if self.teacher is not None:
            found.insert(0, Writer(self.teacher.name, self.teacher.revision, "the teacher of this run"))
        for student in self.recipe.student:
            role = f"the model that the student '{student.label}' was made from"
            found.append(Writer(*_model(split_spec(student.use)[1] or student.use, self.recipe.root), role))
        return found

    def sit(
        self, cells: Sequence[Cell], tests: Sequence[Example], prompts: Prompts, store: Store, tick: Tick
    ) -> list[Sitting]:
        """Has every judge rate what the cells explained.

        Raises StudentError when nothing was explained, TeacherError when nothing that any judge said can be read.
        """
        asked = constructs(prompts, self.block.constructs)
        looked_at = asked or constructs(prompts, JudgeBlock.model_fields["constructs"].default)
        shown = self.shown(cells, tests)
        pairs = self._pairs(cells, shown) if self.block.pairwise else []
        sittings = []
        for judge in self.judges:
            ratings = rate(judge, list(shown.values()), asked, prompts, store, self.block.seed, tick) if asked else None
            duels = None
            if pairs:
                duels = compare(
                    judge, [(shown[a], shown[b]) for a, b in pairs], looked_at, prompts, store, self.block.seed, tick
                )
            sittings.append(Sitting(judge, self.role(judge), tuple(asked), shown, ratings, tuple(pairs), duels))
        if not any(sitting.scores() for sitting in sittings):
            wrote = next((text for sitting in sittings if sitting.ratings for text in sitting.ratings.texts), "")
            raise TeacherError(
                f"No judge gave a score that can be read in {len(shown):,} explanations. '{sittings[0].judge.name}' wrote, for one: "
                f"{' '.join(wrote.split())[:200]!r}. Name a larger model under `judge: {{use: [...]}}`."
            )
        return sittings

    def shown(self, cells: Sequence[Cell], tests: Sequence[Example]) -> dict[Place, Rated]:
        """(cell, question) → what is rated: of every cell that explains the same questions, drawn by the block's seed."""
        said = {}
        for cell in cells:
            path = cell.folder / "predictions.parquet"
            if not path.is_file():
                raise StudentError(
                    f"{cell.name} was not asked yet, so there is nothing to judge. Run: shrinklm evaluate RECIPE"
                )
            told = {found.example_id: found for found in read_predictions(path) if found.explanation is not None}
            if told:
                said[cell.name] = told
        common = [example for example in tests if all(example.id in told for told in said.values())]
        if not said or not common:
            raise StudentError(
                "No test question was explained by every student that explains, so there is nothing to judge. Name a method that explains, "
                "such as multitask, and let `evaluate.explanations` be more than 0."
            )
        if self.block.items is not None and self.block.items < len(common):
            drawn = sorted(random.Random(self.block.seed).sample(range(len(common)), self.block.items))
            common = [common[place] for place in drawn]
        return {
            (cell, example.id): Rated(example, found.answer, found.explanation or "")
            for cell, told in said.items() for example in common for found in [told[example.id]]
        }  # fmt: skip

    @staticmethod
    def _pairs(cells: Sequence[Cell], shown: Mapping[Place, Rated]) -> list[tuple[Place, Place]]:
        """Every two cells of one student and seed, question by question."""
        explaining = {name for name, _ in shown}
        ids = list(dict.fromkeys(example_id for _, example_id in shown))
        pairs = []
        for a, b in combinations([cell for cell in cells if cell.name in explaining], 2):
            if (a.student.label, a.seed) == (b.student.label, b.seed):
                pairs += [((a.name, example_id), (b.name, example_id)) for example_id in ids]
        return pairs
