"""The stages that ask a cell's student the test questions and score its answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from ...core.files import read_json, write_json
from ...core.intact import intact
from ...core.results import (
    CellFile,
    read_predictions,
    read_scores,
    write_predictions,
    write_scores,
)
from ...core.types import Example, digest
from ...evaluation.ask import EvaluateSettings, Evaluation, predict
from ...evaluation.timing import Timing
from ..folder import about_cell
from ..once import Stage, marker, once, same_work, split_start, with_start
from ..students import answering_student, explanation_cap, student_start
from .calibrate import calibrate_cell
from .questions import question_key
from .score import CellTest, added, measure, settings, starts


@dataclass(frozen=True)
class PredictMarker:
    """The marker of a cell's predictions."""

    key: str
    """A digest of student, questions and settings."""
    explained: int
    """So many of the questions were explained."""
    start: str
    """Of a student that is not trained, its weights; those of a trained one are in the marker of its training."""

    @classmethod
    def read(cls, text: str | None) -> PredictMarker:
        """From the marker's text; without one, a marker that equals no other."""
        named, _, explained = (text or "").partition(" explained ")
        key, start = split_start(named)
        return cls(key, int(explained), start) if explained.isdecimal() else cls("", -1, "")

    def __str__(self) -> str:
        return f"{with_start(self.key, self.start)} explained {self.explained}"

    def same_answers(self, other: PredictMarker) -> bool:
        """Whether the same student was asked the same questions, however many it explained."""
        return same_work(with_start(self.key, self.start), with_start(other.key, other.start))


def evaluate_cell(test: CellTest, dev: Sequence[Example] = ()) -> None:
    """Asks a cell's student the test questions, unless the same student was asked the same before, and scores its
    answers; and calibrates its probabilities on the dev questions.

    Raises StudentError when it is not trained.
    """
    before = PredictMarker.read(test.cell.done("predict"))
    # Read now: asking writes the marker that they belong to anew, also where answers only gain explanations.
    names = [*test.recipe.evaluate.metrics, *added(test.cell)]
    predicting = predict_stage(test, before)
    asked_anew = not before.same_answers(PredictMarker.read(predicting.key))
    once(predicting)
    # After the marker: a process killed before it goes on from these chunks.
    (test.cell.folder / CellFile.PREDICTIONS_PART).unlink(missing_ok=True)
    once(score_stage(test, names, keep_ratings=not asked_anew))
    calibrate_cell(test, dev)


def predict_stage(test: CellTest, before: PredictMarker) -> Stage:
    """Asks the student; of predictions that are there already, only the missing explanations are asked for."""
    cell, block = test.cell, test.recipe.evaluate
    questions = [question_key(example) for example in test.examples]
    student = cell.student.model_dump(mode="json")
    # The batch too: rounding in half precision depends on it, and an answer may turn on that.
    # Not the number of explanations: it is kept beside the digest, so that more of them ask for those alone.
    key = digest(cell.done("train"), student, block.max_tokens, block.batch, questions)
    start = "" if cell.method.views else student_start(cell, test.recipe).key
    explained = len(questions) if block.explanations is None else min(block.explanations, len(questions))
    makes = [cell.folder / CellFile.PREDICTIONS, cell.folder / CellFile.TIMING]
    new = PredictMarker(key, explained, start)
    known = before.same_answers(new) and all(map(intact, makes))
    if not cell.method.views:
        makes.append(cell.folder / CellFile.ABOUT)  # of the others, training makes it
    # Predictions with more explanations than the recipe asks for now are kept as they are.
    wanted = before if known and before.explained >= explained else new
    # Zero-shot needs no training: its method has no views.
    untrained = f"{cell.name} is not trained. Run: shrinklm train RECIPE"
    return Stage(
        marker(cell.folder, "predict"),
        str(wanted),
        lambda: _predict(test, str(wanted), known),
        makes=tuple(makes),
        needs={marker(cell.folder, "train"): untrained} if cell.method.views else {},
    )


def score_stage(test: CellTest, names: Sequence[str], keep_ratings: bool) -> Stage:
    """Scores the predictions; judges' ratings of the same predictions stay beside the scores."""
    cell, block = test.cell, test.recipe.evaluate
    references = [example.meta.get("reference") for example in test.examples]
    key = digest(cell.done("predict"), block.metrics, references, *settings(names, test.recipe, test.examples))
    path = cell.folder / CellFile.SCORES

    def work() -> None:
        # `shrinklm judge` pays for its ratings, and scoring again must not throw them away.
        old = read_scores(path) if intact(path) and keep_ratings else []
        write_scores([*measure(test, names), *(row for row in old if row.rater is not None)], path)

    key = with_start(key, starts(test.recipe))
    return Stage(marker(cell.folder, "evaluate"), key, work, makes=(path,))


def _predict(test: CellTest, key: str, known: bool) -> None:
    cell, block, folder = test.cell, test.recipe.evaluate, test.cell.folder
    predictions_file, timing_file, part = (
        folder / name for name in (CellFile.PREDICTIONS, CellFile.TIMING, CellFile.PREDICTIONS_PART)
    )
    # The same student was asked the same questions: explanations are all that can be missing.
    before = (read_predictions(predictions_file), Timing(**read_json(timing_file))) if known else None
    student = answering_student(cell, test.recipe)
    settings = EvaluateSettings(explanation_cap(student, cell, test.recipe), block.batch, block.explanations)
    evaluation = Evaluation(student, test.task, cell.method, cell.name, settings)
    predictions, timing = predict(evaluation, test.examples, part, key, before, test.tick)
    write_predictions(predictions, predictions_file)
    write_json(timing_file, asdict(timing))
    if not cell.method.views:
        # Training writes cell.json; an untrained student has none yet.
        untrained = {
            "examples_seen": 0,
            "batch": 0,
            "micro_batch": 0,
            "steps": 0,
            "tokens_seen": 0,
            "pairs": {},
            "unbuilt": {},
            "train_seconds": 0.0,
            "diverged": False,
            "parameters": student.parameters_total,
            "bytes": None,
            "reading": asdict(student.reading),
        }
        base = asdict(student_start(cell, test.recipe))
        write_json(folder / CellFile.ABOUT, {**about_cell(cell), "base": base, **untrained})
