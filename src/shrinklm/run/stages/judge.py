"""The judges of a recipe: which models may judge, which explanations they rate, and their scores in the cells."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

from ...core.errors import ModelError, RecipeError, StudentError, TeacherError
from ...core.files import write_json, write_text
from ...core.registry import split_spec
from ...core.results import CellFile, RunFile, read_predictions, read_scores, write_scores
from ...core.types import Example, Score, Teacher, Tick
from ...evaluation.judges.pairs import compare
from ...evaluation.judges.rating import Rated, rate, read_constructs
from ...evaluation.judges.sitting import Item, JudgedCell, Sitting, ratings_csv, summary
from ...models.locate import locate_model
from ...teachers.base import BaseTeacher, is_recording, make_teacher
from ...teachers.budget import Budget, check_price
from ...teachers.prompts import Prompts
from ...teachers.steps import JUDGEMENT
from ...teachers.store import Store
from ..asked import JudgeBlock
from ..engines.base import Engine
from ..folder import Cell
from ..recipe import Recipe

# A commit or a digest of the weights; "main" or a version names no weights.
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
    except ModelError:  # weights that are not on this machine can still be told by their name
        return reference, ""
    return model.name, model.revision


class Panel:
    """The judges that a recipe names.

    Args:
        recipe: With a `judge` block.
        teacher: The model that wrote the explanations the students learned; None when there is none.
        others: Further models that wrote such texts, or texts that these build on.
        budget: What the run may spend, on teachers and judges together.
        engine: Says where the judges are asked; None: here.

    Raises RecipeError when the recipe names no judge.
    """

    def __init__(
        self,
        recipe: Recipe,
        teacher: BaseTeacher | None,
        others: Sequence[BaseTeacher] = (),
        budget: Budget | None = None,
        engine: Engine | None = None,
    ) -> None:
        if recipe.judge is None:
            raise RecipeError(
                'The recipe names no judge. Add: judge: {use: ["endpoint:http://127.0.0.1:8000/v1#MODEL"]}'
            )
        self.recipe, self.teachers, self.budget = recipe, [*filter(None, [teacher]), *others], budget
        self.block: JudgeBlock = recipe.judge
        self.engine = engine

    @cached_property
    def judges(self) -> list[BaseTeacher]:
        """The judges, their weights not yet loaded.

        Raises RecipeError when one cannot judge or all of them wrote what they would rate.
        """
        judges = []
        for block in self.block.use:
            if is_recording(block.use):
                raise RecipeError(
                    f"'{block.use}' reads what others wrote and cannot judge. "
                    "Name a model, such as transformers:PATH_OR_ID."
                )
            options = block.options(self.recipe.root)
            judge = make_teacher(block.use, options)
            judge.budget = self.budget
            judges.append(judge if self.engine is None else self.engine.spread(judge, block.use, options))
        # Scores are filed under the judge's name: two of a name could not be told apart.
        names = [judge.name for judge in judges]
        if len(set(names)) < len(names):
            raise RecipeError(f"`judge.use` names one judge twice: {', '.join(names)}. Two judges are two models.")
        roles = {judge.name: role for judge in judges if (role := self.role(judge))}
        # One judge of another family is enough: the figures show how far the others agree with it.
        if len(roles) == len(judges):
            own = "; ".join(f"'{name}' is {role}" for name, role in roles.items())
            raise RecipeError(
                f"Nobody may judge alone what was written by the same model, and {own}. Add a judge of another family: "
                f'judge: {{use: [{", ".join(block.use for block in self.block.use)}, "endpoint:URL#MODEL"]}}'
            )
        return judges

    def check(self) -> None:
        """Raises RecipeError, or what opening a judge raises, when the judges cannot judge this run."""
        folder = self.recipe.path(self.recipe.prompts) if self.recipe.prompts else None
        prompts = Prompts("choice", folder)  # the same for every type of task
        read_constructs(prompts, self.block.constructs)
        for name in ("judge", "compare"):
            prompts.template(name)
        for judge in self.judges:
            judge.check()
            if self.budget and not judge.free and (judge.price or not judge.unpaid):
                check_price(judge.price, judge.name, "judge")

    def check_access(self) -> None:
        """Raises what a judge would raise when it is asked, as far as it can be told before."""
        for judge in self.judges:
            judge.check_access([JUDGEMENT])

    def role(self, judge: Teacher) -> str | None:
        """The part a judge had in writing the explanations, such as "the teacher of this run"; None when none."""
        return next((writer.role for writer in self.writers if writer.is_(judge)), None)

    @cached_property
    def writers(self) -> list[Writer]:
        """The models that wrote explanations, as far as the recipe tells."""
        writers = [Writer(name, "", "a model that the recipe says wrote them") for name in self.block.wrote]
        # First, since the first that fits names the role: a teacher that `wrote` lists too is called the teacher.
        role = "the teacher of this run" if len(self.teachers) == 1 else "a teacher of this run"
        writers = [Writer(teacher.name, teacher.revision, role) for teacher in self.teachers] + writers
        for student in self.recipe.student:
            role = f"the model that the student '{student.label}' was made from"
            writers.append(Writer(*_model(split_spec(student.use)[1] or student.use, self.recipe.root), role))
        return writers

    def sit(
        self, cells: Sequence[Cell], tests: Sequence[Example], prompts: Prompts, store: Store, tick: Tick
    ) -> list[Sitting]:
        """Has every judge rate the explanations of the cells.

        Raises StudentError when nothing was explained, TeacherError when no reply of any judge can be read.
        """
        constructs = read_constructs(prompts, self.block.constructs)
        # A recipe that only compares names no constructs; its pairs are compared by all that there are.
        compared = constructs or read_constructs(prompts, JudgeBlock.model_fields["constructs"].default)
        items = self.items(cells, tests)
        pairs = self.pairs(cells, items) if self.block.pairwise else []
        seed, sittings = self.block.seed, []
        known = {score.rater for cell in cells for score in read_scores(cell.folder / CellFile.SCORES)}
        for judge in self.judges:
            if judge.name not in known:  # one that rated before may find all of its ratings in the store
                judge.check_access([JUDGEMENT])
        for judge in self.judges:
            ratings = rate(judge, list(items.values()), constructs, prompts, store, seed, tick) if constructs else None
            verdicts = None
            if pairs:
                rated_pairs = [(items[a], items[b]) for a, b in pairs]
                verdicts = compare(judge, rated_pairs, compared, prompts, store, seed, tick)
            role = self.role(judge)
            sittings.append(Sitting(judge, role, tuple(constructs), items, ratings, tuple(pairs), verdicts))
        # One judge without a readable reply is a figure of the report; when all are, there is nothing to report.
        if not any(sitting.scores() for sitting in sittings):
            wrote = next((text for sitting in sittings if sitting.ratings for text in sitting.ratings.texts), "")
            raise TeacherError(
                f"No judge gave a score that can be read in {len(items):,} explanations. "
                f"'{sittings[0].judge.name}' wrote, for one: "
                f"{' '.join(wrote.split())[:200]!r}. Name a larger model under `judge: {{use: [...]}}`."
            )
        return sittings

    def items(self, cells: Sequence[Cell], tests: Sequence[Example]) -> dict[Item, Rated]:
        """(cell, question) → what is rated, for questions that every explaining cell explained, drawn by the seed."""
        explained = {}
        for cell in cells:
            path = cell.folder / CellFile.PREDICTIONS
            if not path.is_file():
                raise StudentError(
                    f"{cell.name} was not asked yet, so there is nothing to judge. Run: shrinklm evaluate RECIPE"
                )
            predictions = {item.example_id: item for item in read_predictions(path) if item.explanation is not None}
            if predictions:
                explained[cell.name] = predictions
        # Only these, so that the means of all methods are over the same questions.
        common = [example for example in tests if all(example.id in ids for ids in explained.values())]
        if not explained or not common:
            raise StudentError(
                "No test question was explained by every student that explains, so there is nothing to judge. "
                "Name a method that explains, "
                "such as multitask, and let `evaluate.explanations` be more than 0."
            )
        if self.block.items is not None and self.block.items < len(common):
            sample = sorted(random.Random(self.block.seed).sample(range(len(common)), self.block.items))
            common = [common[index] for index in sample]
        return {
            (cell, example.id): Rated(example, prediction.answer, prediction.explanation or "")
            for cell, predictions in explained.items() for example in common for prediction in [predictions[example.id]]
        }  # fmt: skip

    @staticmethod
    def pairs(cells: Sequence[Cell], items: Mapping[Item, Rated]) -> list[tuple[Item, Item]]:
        """Every two cells of one student and seed, question by question."""
        explaining = {name for name, _ in items}
        ids = list(dict.fromkeys(example_id for _, example_id in items))
        pairs = []
        for a, b in combinations([cell for cell in cells if cell.name in explaining], 2):
            if (a.student.label, a.seed) == (b.student.label, b.seed):
                pairs += [((a.name, example_id), (b.name, example_id)) for example_id in ids]
        return pairs


def write_judgements(sittings: Sequence[Sitting], cells: Sequence[Cell], folder: Path) -> dict[str, Any]:
    """Write the judges' scores into the cells, `judged.csv` and `judge.json` into the run's folder; return the content
    of the last.

    What these judges gave before is replaced; scores of other raters and of metrics stay.
    """
    raters = {sitting.judge.name for sitting in sittings}
    by_cell: dict[str, list[Score]] = {}
    for sitting in sittings:
        for score in sitting.scores():
            by_cell.setdefault(score.run, []).append(score)
    for cell in cells:
        path = cell.folder / CellFile.SCORES
        others = [score for score in read_scores(path) if score.rater not in raters]
        write_scores(others + by_cell.get(cell.name, []), path)
    judged = [JudgedCell(cell.name, cell.method.name, cell.student.label, cell.seed) for cell in cells]
    write_text(folder / RunFile.JUDGED, ratings_csv(sittings, judged))
    figures = summary(sittings, judged)
    write_json(folder / RunFile.JUDGES, figures)
    return figures
