"""Questions of every type with a teacher's words about them, small students, and a short training."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from shrinklm.core.marking import mark, words
from shrinklm.core.types import Example, Generation, Pair, Sampling, Source
from shrinklm.methods.corpus import Corpus
from shrinklm.methods.spec import method
from shrinklm.teachers.steps import STEPS

TYPES: dict[str, Example] = {
    "choice": Example("choice", "Where does a kite fly?", ("cellar", "open field", "river bed"), "open field"),
    "nli": Example(
        "nli",
        "Does the premise entail the hypothesis, contradict it, or neither (neutral)?",
        ("entailment", "neutral", "contradiction"),
        "contradiction",
        {"premise": "A boy is asleep.", "hypothesis": "The boy is running."},
    ),
    "yesno": Example("yesno", "Can a whale climb a tree?", ("yes", "no"), "no"),
    "free": Example("free", "Ann had 9 plums and ate 4. How many are left?", (), "5"),
}


def generation(example: Example, kind: str, answer: str, text: str, refusal: str | None = None) -> Generation:
    source = Source("t", "1", Sampling(), 0, "", 1, 1, "0")
    return Generation(example.id, kind, answer, text, "", (), source, f"{kind} {example.id} {answer}", refusal)


def taught(example: Example) -> dict[tuple[str, str], Generation]:
    """Every kind of generation; the text names what it is about."""
    said = {
        ("explanation", example.answer): f"It fits {example.answer} best.",
        ("revision", example.answer): f"It fits {example.answer} and nothing else, as anyone can see.",
        ("label", ""): f"It looks like {example.answer}. The answer is {example.answer}.",
        ("trace", ""): f"One thing fits. Then {example.answer} does too. The answer is {example.answer}.",
        **{("counterfactual", option): f"It could well be {option}" for option in example.wrong},
        **{
            (step.name, example.answer): marked(example, place)
            for place, step in enumerate((step for step in STEPS.values() if step.marks), 5)
        },
    }
    return {
        (kind, answer): generation(example, kind, answer or example.answer, text)
        for (kind, answer), text in said.items()
    }


def marked(example: Example, turn: int) -> str:
    """A marking whose best words differ with `turn`."""
    count = len(words(example))
    return mark(example, [1 + (place + turn) % count for place in range(count)], example.answer).dump()


OPTIONS = ("apple", "river", "stone", "cloud", "violin")


def many(count: int) -> list[Example]:
    """Questions of different lengths; the gold option goes round."""
    return [
        Example(f"q{i}", f"Which one goes{' well' * (i % 4)} with number {i}?", OPTIONS, OPTIONS[i * 3 % 5])
        for i in range(count)
    ]


def corpus(count: int = 12, seed: int = 0, examples: Iterable[Example] | None = None) -> Corpus:
    examples = many(count) if examples is None else list(examples)
    return Corpus(examples, {example.id: taught(example) for example in examples}, seed)


def opened(use: str = "tiny", **options: Any) -> Any:
    """The student that a recipe's block with these keys would open."""
    from shrinklm.students.open import StudentSpec, open_student

    plain = {"lora": None, "keep_every": 1, "max_length": 1024, "trust_remote_code": False}
    return open_student(StudentSpec(use, **{**plain, **options}))


def train_settings(seed: int = 0, **keys: Any) -> Any:
    """The settings of a recipe's `train:` block with these keys."""
    from shrinklm.run.blocks import TrainBlock
    from shrinklm.students.training.train import TrainSettings

    return TrainSettings(**TrainBlock(**keys).settings(seed))


def fresh(spec: str = "tiny", seed: int = 0, **options: Any) -> Any:
    """An untrained student of its own, in float32, without dropout in its calls."""
    import torch

    torch.manual_seed(seed)
    return opened(spec, **options).eval()


def fitted(
    folder: Path,
    name: str = "multitask+counterfactual",
    spec: str = "tiny",
    count: int = 10,
    tick: Any = None,
    **settings: Any,
) -> Any:
    """(student, fit) of a short training in `folder`."""
    from shrinklm.students.training.train import train_student

    measure, teacher = settings.pop("measure", None), settings.pop("teacher", None)
    common = {"examples": 20, "batch": 8, "micro_batch": 4, "learning_rate": 1e-3, "precision": "fp32"}
    chosen = train_settings(**{**common, "checkpoints": 0, "curve": 0, **settings})
    examples = corpus(count, chosen.seed)
    return train_student(lambda: opened(spec), examples, method(name), chosen, folder, measure, tick, teacher=teacher)


def pairs() -> list[Pair]:
    """Pairs whose prompts share their beginning, with targets of different lengths."""
    shown = corpus(4).pairs(method("multitask+counterfactual"), 1, 0)
    return [item.pair for item in shown]
