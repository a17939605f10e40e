"""Training speed: this package, transformers' Trainer and, with --before, an earlier checkout, side by side in turns.

The Trainer does what a user would write: one padded forward a view with the vocabulary's logits of every token, in
autocast where the machine is fast in bfloat16. All sides take the same steps on the same examples.

python benchmarks/training.py [--model causal:smollm2-135m-instruct] [--examples 48] [--rounds 3] [--before CHECKOUT]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import torch

from shrinklm import TaskOptions, make_task
from shrinklm.core.types import Example, Generation, Sampling, Source
from shrinklm.methods.corpus import Corpus
from shrinklm.methods.spec import method
from shrinklm.models.load import bf16_supported
from shrinklm.run.blocks import StudentBlock, TrainBlock
from shrinklm.students.open import open_student
from shrinklm.students.training import trainer as loop
from shrinklm.students.training.train import TrainSettings, train_student

METHODS = ("multitask", "multitask+counterfactual")
SOURCE = Source("benchmark", "", Sampling(), 0, "", 0, 0, "")
BATCH = 16
_TRAINED = 1000


def csqa(folder: Path, count: int) -> tuple[list[Example], dict[str, dict[tuple[str, str], str]]]:
    """Questions of CommonsenseQA with Llama-2-13B's texts (the release of arXiv 2504.16056)."""
    import pyarrow.parquet as pq

    examples, texts = [], {}
    for row in pq.read_table(folder / "train.parquet").slice(0, 2 * count).to_pylist():
        choices = tuple(row["choices"])
        if len(set(choices)) < len(choices) or len(examples) == count:
            continue
        examples.append(Example(row["id"], row["question"], choices, row["answer"]))
        said = {("explanation", row["answer"]): row["few_shot_positive_rationale"]}
        for place, option in enumerate(choices, 1):
            if option != row["answer"]:
                said["counterfactual", option] = row[f"counterfactual_prompt_answer_{place}_rationale"]
        texts[row["id"]] = said
    return examples, texts


def everyday(count: int) -> tuple[list[Example], dict[str, dict[tuple[str, str], str]]]:
    """The packaged questions; their own explanations stand in for a teacher's."""
    examples = list(make_task("everyday", TaskOptions(limit={"train": count})).examples("train"))
    texts = {
        example.id: {
            ("explanation", example.answer): str(example.meta["explanation"]),
            **{("counterfactual", option): str(example.meta["explanation"]) for option in example.wrong},
        }
        for example in examples
    }
    return examples, texts


def corpus(count: int) -> Corpus:
    """Real questions where they lie at hand: $SHRINKLM_DATA, or the shared folder beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data" / "cqa-llama2"
    folder = Path(os.environ.get("SHRINKLM_DATA") or beside)
    examples, texts = csqa(folder, count) if (folder / "train.parquet").is_file() else everyday(count)
    generations = {
        id_: {
            (kind, answer): Generation(id_, kind, answer, text, "", (), SOURCE, "")
            for (kind, answer), text in said.items()
        }
        for id_, said in texts.items()
    }
    return Corpus(examples, generations)


def settings(examples: int) -> TrainSettings:
    """As a recipe's block would set them."""
    block = TrainBlock(examples=examples, batch=min(BATCH, examples), checkpoints=0, curve=0)
    known = {field.name for field in fields(TrainSettings)}  # of this checkout, or of one before
    return TrainSettings(**block.model_dump(include=known), seed=0)


@dataclass(frozen=True)
class Speed:
    """How fast one side was, without its first step."""

    wall: float
    """Examples a second."""
    cpu: float
    """Examples a second of processor time, all threads together: what holds on a machine that others use too."""
    tokens: float = 0.0
    """Read for an example, padding not counted."""


class Marks:
    """The times after each step."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def take(self, *_: Any, **__: Any) -> None:
        self.wall.append(time.perf_counter())
        self.cpu.append(time.process_time())

    def speed(self, examples: int, tokens: float = 0.0) -> Speed:
        """Of so many examples after the first mark."""
        return Speed(examples / (self.wall[-1] - self.wall[0]), examples / (self.cpu[-1] - self.cpu[0]), tokens)


def ours(model: str, name: str, count: int) -> Speed:
    """This package: its own training."""
    known, marks = corpus(count), Marks()
    with tempfile.TemporaryDirectory() as folder:
        spec, how = StudentBlock(use=model).spec(1024), settings(count)
        # A GPU's steps are logged, and told, many at a time: here each by itself, as the Trainer's are.
        with mock.patch.object(loop, "_UNREAD", 1, create=True):
            train_student(lambda: open_student(spec), known, method(name), how, Path(folder), tick=marks.take)
        lines = [json.loads(line) for line in (Path(folder) / "train.jsonl").read_text().splitlines()]
    seen = lines[-1]["examples"] - lines[0]["examples"]
    return marks.speed(seen, (lines[-1]["tokens"] - lines[0]["tokens"]) / seen)


def trainer(model: str, name: str, count: int, fixed: bool = False) -> Speed:
    """transformers' Trainer; `fixed` pads to the longest text of the dataset, as the code of arXiv 2504.16056 does."""
    from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

    student = open_student(StudentBlock(use=model).spec(1024))
    asked, known = method(name), corpus(count)
    weights = {view.name: weight for view, weight in asked.views.items()}
    pad = student.tokenizer.pad_token_id or student.tokenizer.eos_token_id
    seq2seq = student.family == "seq2seq"

    def item(index: int) -> dict[str, tuple[list[int], list[int]]]:
        pairs = known.pairs(asked, index, 0)
        return {
            shown.view.name: (student.prompt_ids(shown.pair.prompt), student.target_ids(shown.pair.target))
            for shown in pairs
        }

    dataset = [item(index) for index in range(count)]
    # As long as the longest of a training set of usual size, not of the few that are timed.
    many = corpus(_TRAINED) if fixed else known
    every = [shown.pair for index in range(len(many.examples)) for shown in many.pairs(asked, index, 0)]
    whole = [(student.prompt_ids(pair.prompt), student.target_ids(pair.target)) for pair in every]
    longest = max(len(prompt) for prompt, _ in whole), max(len(target) for _, target in whole)
    widths = longest if seq2seq else (sum(longest), sum(longest))

    def collate(items: list[dict[str, tuple[list[int], list[int]]]]) -> dict[str, Any]:
        batch = {}
        for view in weights:
            some = [item[view] for item in items if view in item]
            if seq2seq:
                read, said = [prompt for prompt, _ in some], [target for _, target in some]
            else:
                read = [prompt + target for prompt, target in some]
                said = [[-100] * len(prompt) + target for prompt, target in some]
            batch[view] = {
                "input_ids": filled(read, pad, widths[0] * fixed),
                "attention_mask": filled([[1] * len(ids) for ids in read], 0, widths[0] * fixed),
                "labels": filled(said, -100, widths[1] * fixed),
            }
        return batch

    class Views(Trainer):  # type: ignore[misc]
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
            return sum(weights[view] * model(**{**batch, "use_cache": False}).loss for view, batch in inputs.items())

    marks = Marks()

    class Clock(TrainerCallback):  # type: ignore[misc]
        on_step_end = marks.take

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, num_train_epochs=1, per_device_train_batch_size=min(BATCH, count), learning_rate=1e-4,
            bf16=bf16_supported(), use_cpu=not torch.cuda.is_available(), logging_steps=1, save_strategy="no",
            disable_tqdm=True, report_to="none", remove_unused_columns=False, label_names=["labels"],
        )  # fmt: skip
        views = Views(student.model, arguments, train_dataset=dataset, data_collator=collate, callbacks=[Clock()])
        views.remove_callback(PrinterCallback)
        views.train()
    return marks.speed(count - min(BATCH, count))


def filled(rows: list[list[int]], filler: int, least: int) -> torch.Tensor:
    """[rows, longest, or at least so many]."""
    width = max(least, *map(len, rows))
    return torch.tensor([row + [filler] * (width - len(row)) for row in rows])


def before(checkout: Path, model: str, name: str, count: int) -> Speed:
    """An earlier checkout, in a process of its own."""
    command = [sys.executable, __file__, "--model", model, "--examples", str(count), "--alone", name]
    environment = {**os.environ, "PYTHONPATH": str(checkout / "src")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return Speed(**json.loads(done.stdout.splitlines()[-1]))


def flops(model: str) -> tuple[float, float, list[tuple[int, int]]]:
    """(operations a token of the layers, of the projection a scored token, shapes of the layers' matrices)."""
    student = open_student(StudentBlock(use=model).spec(1024))
    head = student.model.get_output_embeddings().weight
    shapes = [
        (module.in_features, module.out_features)
        for module in student.model.modules()
        if isinstance(module, torch.nn.Linear) and module.weight is not head
    ]
    # Forward and backward: two operations a weight forward, four backward.
    return 6.0 * sum(a * b for a, b in shapes), 6.0 * head.numel(), shapes


def product_rate(shapes: list[tuple[int, int]], tokens: int) -> float:
    """Operations a second of matrix products of these shapes, with `tokens` rows, in the precision of a training."""
    dtype = torch.bfloat16 if bf16_supported() else torch.float32
    device = "cuda" if torch.cuda.is_available() else "cpu"
    spent = done = 0.0
    for a, b in sorted(set(shapes)):
        x, w = torch.randn(tokens, a, dtype=dtype, device=device), torch.randn(b, a, dtype=dtype, device=device)
        share = shapes.count((a, b))
        seconds = clock(lambda x=x, w=w: x @ w.T)
        spent += share * seconds
        done += share * 2.0 * tokens * a * b
    return done / spent


def clock(work: Callable[[], Any], times: int = 10) -> float:
    """Seconds of one call, the fastest of three rounds."""
    best = float("inf")
    for _ in range(3):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(times):
            work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        best = min(best, (time.perf_counter() - started) / times)
    return best


def preparation(model: str, name: str, count: int) -> float:
    """Examples a second of one core that builds the steps of a second epoch."""
    from shrinklm.students.training.lessons import Lessons
    from shrinklm.students.training.limit import Limit
    from shrinklm.students.training.passes import Steps

    student = open_student(StudentBlock(use=model).spec(1024))
    steps = Steps(Lessons(student, corpus(count), method(name), 2 * count), 32, Limit(None, 16_384))
    half = len(steps) // 2
    started = time.process_time()
    for number in range(half, len(steps)):
        steps[number]
    return (len(steps.lessons) - half * 32) / (time.process_time() - started)


def random_t5(folder: Path) -> str:
    """A T5 of 60 million random weights with the tokenizer of `tiny`: as fast as one that was trained."""
    from transformers import T5Config, T5ForConditionalGeneration

    tokenizer = open_student(StudentBlock(use="tiny:seq2seq").spec(1024)).tokenizer
    config = T5Config(
        vocab_size=32128, d_model=512, d_kv=64, d_ff=2048, num_layers=6, num_heads=8, decoder_start_token_id=0,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    T5ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return f"seq2seq:{folder}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="causal:smollm2-135m-instruct", help="t5: 60 million random weights.")
    parser.add_argument("--examples", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--before", type=Path, help="An earlier checkout of this project.")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    if options.alone:
        print(json.dumps(asdict(ours(options.model, options.alone, options.examples))))
        return
    with tempfile.TemporaryDirectory() as folder:
        model = random_t5(Path(folder)) if options.model == "t5" else options.model
        for name in options.methods:
            compare(model, name, options)


def compare(model: str, name: str, options: argparse.Namespace) -> None:
    """One method: every side in turns."""
    sides: dict[str, Callable[[], Speed]] = {"transformers' Trainer": lambda: trainer(model, name, options.examples)}
    if model.startswith("seq2seq") or model == "tiny:seq2seq":
        sides["the same, padded to the longest"] = lambda: trainer(model, name, options.examples, fixed=True)
    if options.before:
        sides["the checkout before"] = lambda: before(options.before, model, name, options.examples)
    mine, others = [], {side: [] for side in sides}
    for _ in range(options.rounds):
        mine.append(ours(model, name, options.examples))
        for side, run in sides.items():
            others[side].append(run())
    wall = median(speed.wall for speed in mine)
    print(f"{name}: {wall:.2f} examples/s, {mine[0].tokens:.0f} tokens each")
    for side, speeds in others.items():
        ratios = [[a.wall / b.wall, a.cpu / b.cpu] for a, b in zip(mine, speeds, strict=True)]
        by_wall, by_cpu = (sorted(column) for column in zip(*ratios, strict=True))
        spread = f"{by_wall[0]:.2f} to {by_wall[-1]:.2f}"
        print(f"  {median(by_wall):.2f} times {side} ({spread}; in processor time {median(by_cpu):.2f})")
    layers, _, shapes = flops(model)
    if model.startswith("causal"):
        useful, possible = wall * mine[0].tokens * layers, product_rate(shapes, 1024)
        square = 2 * 2048**3 / clock(square_product(2048), 2)
        print(
            f"  useful work in the layers {useful / 1e9:.1f} GFLOP/s: {useful / possible:.0%} of products of their "
            f"shapes ({possible / 1e9:.1f}); one of 2,048 squared runs at {square / 1e9:.1f}"
        )
    print(f"  data: {preparation(model, name, max(64, options.examples)):,.0f} examples/s of one core")


def square_product(size: int) -> Callable[[], Any]:
    """A large square product in the precision of a training."""
    dtype = torch.bfloat16 if bf16_supported() else torch.float32
    device = "cuda" if torch.cuda.is_available() else "cpu"
    a, b = (torch.randn(size, size, dtype=dtype, device=device) for _ in range(2))
    return lambda: a @ b


if __name__ == "__main__":
    main()
