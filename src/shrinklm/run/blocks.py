"""The blocks of a recipe: pydantic models with their defaults, each stated here and nowhere else."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from ..core.errors import UnknownName
from ..students.open import StudentSpec
from ..teachers.seeds import MOST_SAMPLES, WARM
from ..teachers.steps import STEPS
from .values import MOST_MEGABYTES, MOST_ROWS, Block, Names, Seed, Seeds, Trackers


def known_steps(steps: tuple[str, ...]) -> tuple[str, ...]:
    """`steps`. Raises ValueError for the first that is none."""
    for name in steps:
        if name not in STEPS:
            raise ValueError(str(UnknownName("step", name, STEPS)))
    return steps


class TaskBlock(Block):
    """The dataset and its splits."""

    use: str = Field(description='A named task (`shrinklm list tasks`), `table`, or "module:attribute".')
    type: Literal["choice", "nli", "yesno", "free"] | None = Field(
        None, description="Kind of question; the table decides when left out."
    )
    train: str | None = Field(
        None, description="CSV, JSON, Parquet or Excel file, folder (save_to_disk too), or hub name."
    )
    test: str | float | None = Field(
        None, description="Like train; or a share of train, seeded. Left out: the task's own, else a fifth."
    )
    dev: str | float | None = Field(
        None, description="Share of train, seeded; or a file like train. Left out: the task's own, else a tenth."
    )
    columns: dict[str, Any] = Field(
        default_factory=dict, description="id, question, choices, answer, context: which columns hold them."
    )
    where: dict[str, Any] = Field(
        default_factory=dict,
        description="Column: the value, or values, of rows to keep; {not: VALUE}: of rows to leave out.",
    )
    encoding: str | None = Field(None, description="Of text files; left out: UTF-8 or UTF-16, found out.")
    delimiter: str | None = Field(None, description="Of text files: ',', ';', tab ...; left out: found out.")
    sheet: str | None = Field(None, description="Of an Excel workbook; left out: the first.")
    most_rows: int | None = MOST_ROWS
    most_megabytes: float | None = MOST_MEGABYTES
    seed: int = Field(0, description="Splits the data and shuffles the choices.")
    shuffle: bool = Field(
        True,
        description="Shuffle the choices of each question (never a fixed list of labels, nor options that point at each"
        " other).",
    )
    limit: int | dict[Literal["train", "dev", "test"], int] | None = Field(
        None, description="At most so many examples, or per split."
    )


class StepBlock(Block):
    """One generation step with its options; in YAML: `explanation` or `{revision: {rounds: 2}}`."""

    name: str
    rounds: int = Field(1, ge=1, le=10, description="Rounds of critique and revision (step `revision`).")
    max_words: int | None = Field(None, ge=1, description="Ask for at most so many words and refuse longer texts.")
    max_tokens: int | None = Field(None, ge=1, description="Cap of the completion; each step has its own default.")
    teacher: str | tuple[str, ...] | None = Field(
        None,
        description="Which of several teachers takes it; a list: all of these, each with texts of its own. Left out: "
        "the first.",
    )
    samples: int | None = Field(
        None,
        ge=1,
        le=MOST_SAMPLES,
        description=(
            "Texts of each question, with seeds of their own; at temperature 0 all but the first are drawn at "
            f"{WARM:g}. Left out: one, and of a recording all that a cell lists."
        ),
    )
    agreement: float | None = Field(
        None,
        gt=0,
        le=1,
        description=(
            "`label`, of questions without answers: those are left out whose most frequent answer has a smaller share "
            "of the teacher's answers. Left out: none."
        ),
    )
    logprobs: bool = Field(
        False,
        description=(
            "`label`: ask an endpoint or a mentor for the log-probabilities of the options, with the first answer."
        ),
    )
    contrast: Literal["wrong", "empty"] | None = Field(
        None,
        description=(
            "`explanation`, `counterfactual` of a teacher transformers:...: prefer tokens that are less likely where "
            "the prompt states a wrong answer, or none."
        ),
    )

    @property
    def teachers(self) -> tuple[str, ...]:
        """The names of the teachers that take it; none: the first."""
        return (self.teacher,) if isinstance(self.teacher, str) else self.teacher or ()

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        return known_steps((name,))[0]

    @model_validator(mode="after")
    def _sampled(self) -> StepBlock:
        if (self.samples or 1) > 1 and STEPS[self.name].marks:
            raise ValueError(f"`samples` of '{self.name}': words are marked alike each time. Leave `samples` out")
        if self.logprobs and self.name != "label":
            raise ValueError(f"`logprobs` of '{self.name}': only `label` chooses among options. Leave `logprobs` out")
        if self.contrast and not STEPS[self.name].states:
            raise ValueError(f"`contrast` of '{self.name}': its prompt states no answer alone. Leave `contrast` out")
        return self


class StudentBlock(Block):
    """The small model."""

    use: str = Field(
        description="causal:PATH_OR_ID, seq2seq:PATH_OR_ID, encoder:PATH_OR_ID, tiny, or module:attribute."
    )
    name: str | None = Field(None, description="Short name in tables; made from `use` when left out.")
    lora: int | None = Field(None, ge=1, description="Rank of LoRA adapters; left out: every weight is trained.")
    keep_every: int = Field(1, ge=1, description="Start from every n-th layer of the model.")
    trust_remote_code: bool = Field(
        False, description="Run code that comes with a checkpoint. Only for sources you trust."
    )

    @property
    def label(self) -> str:
        """The student's name in tables and folders."""
        # "causal:org/Name" and "causal:folder/Name.gguf" give "Name", "tiny" stays.
        return self.name or self.use.rstrip("/").rpartition("/")[2].rpartition(":")[2].removesuffix(".gguf")

    @property
    def answers_untrained(self) -> bool:
        """Whether it has an answer before it is trained: the head of an encoder is drawn, and knows no question."""
        return self.use.partition(":")[0] != "encoder"

    def spec(self, max_length: int) -> StudentSpec:
        """The options that the student is opened with; `max_length` stands in the block that trains it."""
        return StudentSpec(self.use, self.lora, self.keep_every, max_length, self.trust_remote_code)


class TrainBlock(Block):
    """The training of a student: the same for every method, for equal exposure."""

    examples: int = Field(20_000, ge=1, description="Examples seen, the same for every method.")
    batch: int = Field(32, ge=1, description="Effective batch in examples; memory only changes the micro-batch.")
    micro_batch: int | None = Field(
        None, ge=1, description="Examples in one forward pass; halved when memory runs out."
    )
    learning_rate: float = Field(1e-4, gt=0)
    warmup: float = Field(0.06, ge=0, lt=1, description="Share of the steps.")
    weight_decay: float = Field(0.0, ge=0)
    clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    seeds: Seeds = Field((0,), min_length=1)
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    checkpoints: int = Field(4, ge=0, description="Checkpoints over a run; a killed run resumes from the last.")
    early_stopping: int | None = Field(
        None, ge=1, description="Stop after so many checkpoints without a better dev accuracy; the best is kept."
    )
    curve: int = Field(4, ge=0, description="How often dev accuracy is measured on the way (0: never).")
    dev_questions: int = Field(
        500,
        ge=1,
        description=(
            "Dev accuracy on the way is of at most so many dev questions: a sample by the task's seed, each label with "
            "its share."
        ),
    )
    max_length: int = Field(
        1024, ge=8, description="Longest prompt plus target in tokens; a longer pair is refused and counted."
    )
    at_once: int = Field(1, ge=1, description="Trainings at a time, each in a process of its own.")
    report_to: Trackers = Field((), description="Trackers that follow the losses and dev accuracy: see deploy.md.")

    def settings(self, seed: int, **others: Any) -> dict[str, Any]:
        """What the training of one seed reads, `others` in the place of what stands here."""
        return {**self.model_dump(exclude={"seeds", "dev_questions", "at_once", "report_to"}), "seed": seed, **others}


class SalientBlock(Block):
    """The model that marks words, and its method of attribution: the steps `salient` and `own-saliency`."""

    use: str | None = Field(
        None,
        description="The teacher, whose insides must be open: transformers:PATH_OR_ID. Left out: the recipe's teacher.",
    )
    finetune: TrainBlock | None = Field(
        None,
        description=(
            "Fine-tune it on the task first (`shrinklm train-teacher`); keys as in train. "
            "Left out: it is taken as it is."
        ),
    )
    # The paper (arXiv 2409.12586) says "gradient-based" and no more: norm and pieces are this package's choice.
    method: Literal["gradient", "input_x_gradient", "integrated_gradients", "occlusion", "attention"] = "gradient"
    norm: Literal["l1", "l2"] = Field("l2", description="gradient: its norm over the width of the embedding.")
    pieces: Literal["max", "sum"] = Field("max", description="How the tokens of a word make one score.")
    steps: int = Field(32, ge=1, description="integrated_gradients: points of the integral to begin with.")
    most_steps: int = Field(
        1024, ge=1, description="integrated_gradients: doubled up to so many, until 5 % of completeness is kept."
    )
    label: Literal["gold", "own"] = Field(
        "gold", description="The answer that is attributed: the gold one, or the model's own."
    )
    batch: int = Field(32, ge=1, description="Questions in one pass.")
    questions: int | None = Field(
        None, ge=0, description="Test questions asked for the teacher's accuracy; left out: all."
    )
    erase: int = Field(
        200, ge=0, description="Items whose kept words are erased, for comprehensiveness and sufficiency."
    )
    # A part of the erased items. Each is attributed in six ways, by occlusion with a question for every word.
    compare: int = Field(50, ge=0, description="Items on which the attribution methods are compared with each other.")
    trust_remote_code: bool = Field(
        False, description="Run code that comes with a checkpoint. Only for sources you trust."
    )


class SimulatorBlock(Block):
    """The model that learns a student's answers, for `simulatability`; trained on part of the explained questions."""

    use: str = Field(description="causal:PATH_OR_ID, seq2seq:PATH_OR_ID, tiny, or module:attribute: a small model.")
    examples: int = Field(1000, ge=1, description="Examples seen in each fold.")
    batch: int = Field(8, ge=1, description="Effective batch in examples.")
    micro_batch: int | None = Field(
        None, ge=1, description="Examples in one forward pass; halved when memory runs out."
    )
    learning_rate: float = Field(1e-4, gt=0)
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    max_length: int = Field(1024, ge=8, description="Longest prompt plus target in tokens.")
    lora: int | None = Field(None, ge=1, description="Rank of LoRA adapters; left out: every weight is trained.")
    keep_every: int = Field(1, ge=1, description="Start from every n-th layer of the model.")
    folds: int = Field(2, ge=2, description="Every question is simulated by a model that learned from the other folds.")
    masked: bool = Field(
        False, description="Also simulate from explanations without the names and letters of the options."
    )
    seed: Seed = 0
    trust_remote_code: bool = Field(
        False, description="Run code that comes with a checkpoint. Only for sources you trust."
    )

    @property
    def spec(self) -> StudentSpec:
        """The options that the simulator is opened with."""
        return StudentSpec(self.use, self.lora, self.keep_every, self.max_length, self.trust_remote_code)


class DropBlock(Block):
    """Single texts that are left out of training, counted by reason; a text left out counts as a refused one."""

    support: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Those with less: 1 where a text argues for its answer, 0.5 where it only names it, else 0.",
    )
    argues_other: bool = Field(False, description="Those that argue for another option than their own.")
    leaks: bool = Field(False, description="Those that state their answer outright.")
    rules: bool = Field(
        False, description="Those in the store that were kept when written and that the present rules would refuse."
    )
    steps: Names = Field((), description="Whose texts; left out: of all steps that argue for an answer.")

    @field_validator("steps")
    @classmethod
    def _known(cls, steps: tuple[str, ...]) -> tuple[str, ...]:
        return known_steps(steps)

    @model_validator(mode="after")
    def _drops(self) -> DropBlock:
        if self.support is None and not (self.argues_other or self.leaks or self.rules):
            raise ValueError("leaves nothing out: name a measure, such as drop: {argues_other: true}")
        return self


class AuditBlock(Block):
    """The least quality of the teacher's texts before anything is trained on them (`shrinklm audit`)."""

    min_support: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Least share of texts that support their answer; below it nothing is trained. Left out: no limit.",
    )
    steps: Names = Field((), description="Whose texts; left out: those that the methods are trained on.")
    drop: DropBlock | None = Field(None, description="Single texts to leave out of training; see below.")

    @field_validator("steps")
    @classmethod
    def _known(cls, steps: tuple[str, ...]) -> tuple[str, ...]:
        return known_steps(steps)


class EvaluateBlock(Block):
    """The metrics on the test split, and how students answer it."""

    # Those that load no further model and ask the student nothing more.
    metrics: Names = (
        "accuracy",
        "accuracy_likelihood",
        "unparsed",
        "length",
        "overlap",
        "names_answer",
        "names_distractors",
    )
    batch: int = Field(32, ge=1)
    max_tokens: int | None = Field(
        None,
        ge=1,
        description="Cap of an explanation, which cuts no answer behind it; left out: the longest one trained on.",
    )
    explanations: int | None = Field(
        None, ge=0, description="Explain only the first so many test questions; left out: all."
    )
    zero_shot: bool = Field(
        True, description="Also score each student before any training; an encoder has no answer then."
    )
    calibrate: int = Field(
        500,
        ge=0,
        description=(
            "Calibrate the probabilities of options on at most so many dev questions, a sample as that of "
            "`train: {dev_questions}`; 0: not."
        ),
    )
    encoder: str | None = Field(
        None, description="Sentence-embedding model, a folder or hub id; left out: the packaged all-MiniLM-L6-v2."
    )
    entailment: str | None = Field(
        None, description="Natural-language-inference model, a folder or hub id, for the metric `entailment`."
    )
    simulator: SimulatorBlock | None = Field(None, description="For the metric `simulatability`.")
