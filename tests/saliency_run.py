"""The folder `saliency` of a run as the analysis would leave it, without any model."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from shrinklm.core.marking import Keep, mark, words
from shrinklm.core.types import Example

STEPS = ("salient", "own-saliency", "tfidf-tokens", "random-tokens")
NAMES = (
    "gradient l2",
    "gradient l1",
    "input_x_gradient",
    "integrated_gradients",
    "occlusion",
    "attention",
    "tf-idf",
    "random",
)
PEOPLE = ("precision", "recall", "f1", "auprc")
BY = {
    "salient": ("Qwen2.5-0.5B", "gradient (l2, max)"),
    "own-saliency": ("smollm2-135m", "gradient (l2, max)"),
    "tfidf-tokens": ("tf-idf", ""),
    "random-tokens": ("random", ""),
}
_QUESTIONS = (
    (
        "A revolving door is convenient for two direction travel, but it also serves as a security measure at a what?",
        "bank",
    ),
    ("What do people aim to do at work?", "complete job"),
    ("Where would you find magazines along side many other printed works?", "bookstore"),
    ("The fox walked from the city into the forest, what was it looking for?", "natural habitat"),
)
_OTHERS = ("library", "department store", "mall", "new york")


def around(value: float, half: float, n: int) -> dict[str, float]:
    """A figure with its interval."""
    return {"value": value, "low": value - half, "high": value + half, "n": n}


def figures(n: int = 1000, **changes: Any) -> dict[str, Any]:
    """figures.json of a run in which `salient` beats every control; `changes` replaces entries."""
    hit = {
        "salient": (0.712, 0.35),
        "own-saliency": (0.604, 0.28),
        "tfidf-tokens": (0.641, 0.22),
        "random-tokens": (0.479, 0.141),
    }
    people = {
        "salient": (0.31, 0.40, 0.341, 0.412),
        "own-saliency": (0.28, 0.35, 0.30, 0.35),
        "tfidf-tokens": (0.3, 0.4, 0.333, 0.4),
        "random-tokens": (0.21, 0.26, 0.226, 0.301),
    }
    lost = {
        "salient": (1.21, 0.45),
        "own-saliency": (0.80, 0.83),
        "tfidf-tokens": (1.05, 0.60),
        "random-tokens": (0.52, 1.13),
    }
    steps = {}
    for step in STEPS:
        steps[step] = {
            "by": BY[step][0], "method": BY[step][1], "n": n - 2,
            "refused": {"longer than the context of 512 tokens": 2} if step == "salient" else {},
            "gold_hit": around(hit[step][0], 0.028, n - 5), "gold_hit_top1": around(hit[step][1], 0.03, n - 5),
            "highlight": {key: around(value, 0.02, 586) for key, value in zip(PEOPLE, people[step], strict=True)},
            "comprehensiveness": around(lost[step][0], 0.17, 200), "sufficiency": around(lost[step][1], 0.12, 200),
        }  # fmt: skip
    rng = random.Random(3)
    table = [[1.0] * len(NAMES) for _ in NAMES]
    for i in range(len(NAMES)):
        for j in range(i):
            controls = ("tf-idf", "random")
            value = rng.uniform(-0.08, 0.1) if NAMES[i] in controls or NAMES[j] in controls else rng.uniform(0.2, 0.9)
            table[i][j] = table[j][i] = value
    accuracy = {"before": around(0.243, 0.024, 1221), "after": around(0.571, 0.028, 1221)}
    found: dict[str, Any] = {
        "split": "train", "n": n, "keep": {"top": 5, "order": "text"},
        "model": {"name": "Qwen2.5-0.5B", "finetuned": True, "accuracy": accuracy},
        "steps": steps,
        "chance": {
            "gold_hit": 0.481, "gold_hit_top1": 0.139,
            "highlight": dict(zip(PEOPLE, (0.214, 0.263, 0.228, 0.302), strict=True)),
        },
        "left_out": {"highlight marks every content word": 412, "gold option has no content word": 3}, "erased": 200,
        "agreement": {"n": 20, "names": list(NAMES), "spearman": table},
        "completeness": {"mean": 0.011, "above_5_percent": 0, "n": 20},
    }  # fmt: skip
    return found | changes


def write_saliency(
    run: Path, items: int = 12, extra: str = "", marked_by: tuple[str, ...] = STEPS, **changes: Any
) -> Path:
    """Write `saliency` into a run folder and return the run.

    `extra` is added to every id and question, and to the name of every step's model.
    """
    rng, folder = random.Random(5), run / "saliency"
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(items):
        example = _example(number, rng, extra)
        markings = {}
        for step in marked_by:
            marking = mark(
                example, [rng.random() ** (4 if step == "salient" else 1) for _ in words(example)], example.answer
            )
            kept = Keep(5).choose(example, marking.scores)
            markings[step] = {
                "spans": [list(span) for span in marking.spans],
                "scores": list(marking.scores),
                "kept": kept,
            }
        rows.append({"id": example.id, "text": example.text, "answer": example.answer, "markings": markings})
    found = figures(**changes)
    for step in found["steps"].values():
        step["by"] += extra
    (folder / "items.jsonl").write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )
    (folder / "figures.json").write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")
    return run


def _example(number: int, rng: random.Random, extra: str) -> Example:
    question, answer = _QUESTIONS[number % len(_QUESTIONS)]
    choices = [answer, *_OTHERS]
    rng.shuffle(choices)
    return Example(f"item-{number:03d}{extra}", question + (f" {extra}" if extra else ""), tuple(choices), answer)
