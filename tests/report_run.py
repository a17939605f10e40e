"""A run folder without any model: three methods × two seeds, an untrained student, 60 questions."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

METHODS = ("finetune", "multitask", "multitask+counterfactual:revised")
SKILL = {"finetune": 0.47, "multitask": 0.55, "multitask+counterfactual:revised": 0.72, "zero-shot": 0.25}
WORDS = {"multitask": 24, "multitask+counterfactual:revised": 47, "zero-shot": 12}
VIEWS = {
    "finetune": ("predict",),
    "multitask": ("predict", "explain"),
    "multitask+counterfactual:revised": ("predict", "explain", "factual", "counterfactual"),
    "zero-shot": (),
}
EVIL = "</script><script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">&amp;|`*"
STUDENT = "smollm2-135m"

_THINGS = (
    "umbrella",
    "lantern",
    "kettle",
    "ladder",
    "thermos",
    "hammock",
    "compass",
    "wheelbarrow",
    "sleeping bag",
    "snow shovel",
    "tea towel",
    "bicycle pump",
)
_PLACES = ("shed", "kitchen", "harbour", "attic", "train station")
_WORDS = (
    *(
        "people",
        "keep",
        "it",
        "close",
        "because",
        "the",
        "work",
        "there",
        "needs",
        "one",
        "and",
        "a",
        "dry",
        "corner",
        "makes",
        "it",
        "last",
    ),
    *("while", "the", "others", "would", "only", "be", "in", "the", "way", "of", "that"),
)


def write_run(
    folder: Path,
    *,
    methods: tuple[str, ...] = METHODS,
    seeds: tuple[int, ...] = (0, 1),
    items: int = 60,
    zero_shot: bool = True,
    logs: bool = True,
    explanations: bool = True,
    diverged: str | None = None,
    evil: bool = False,
    students: tuple[str, ...] = (STUDENT,),
    seed: int = 7,
) -> Path:
    """Write a run folder and return it.

    `diverged` names a cell whose loss becomes non-finite; `evil` puts markup into every text.
    """
    rng = random.Random(seed)
    folder.mkdir(parents=True)
    questions = [_question(index, rng, evil) for index in range(items)]
    _parquet(folder / "examples.parquet", questions)
    (folder / "recipe.yaml").write_text(
        _RECIPE.format(methods=", ".join(f'"{name}"' for name in methods), seeds=list(seeds))
        + (f"# {EVIL}\n" if evil else "")
    )
    _json(
        folder / "env.json",
        {
            "shrinklm": "0.1.0",
            "python": "3.11.9",
            "platform": "Linux x86_64",
            "device": "cpu",
            "cpu": {"name": EVIL if evil else "a CPU", "cores": 2},
            "started": "2025-03-01T09:30:00Z",
            "command": "shrinklm run recipe.yaml",
        },
    )
    duplicates = [
        {"question": f"Where would you look for a kettle? {EVIL if evil else ''}".strip(), "splits": ["train", "test"]}
    ]
    _json(
        folder / "data.json",
        {
            "train": 480,
            "dev": 60,
            "test": items,
            "duplicates": duplicates,
            "held_out": 6,
            "majority": 0.2333,
            "random": 0.2,
        },
    )
    _json(folder / "generations.json", _generations(items))
    for student in students:
        for method in methods:
            for number in seeds:
                _cell(folder, questions, method, student, number, rng, logs, explanations, diverged, evil)
        if zero_shot:
            _cell(folder, questions, "zero-shot", student, 0, rng, False, explanations, None, evil)
    return folder


CONSTRUCTS = ("plausibility", "understandability", "completeness", "satisfaction", "contrastiveness")
TASTE = {"multitask": 4.1, "multitask+counterfactual:revised": 3.4, "zero-shot": 2.2}
FAITH = {"multitask": 0.2, "multitask+counterfactual:revised": 0.62, "zero-shot": 0.12}


def add_measures(
    folder: Path, *, rated: bool = True, faithful: bool = True, taste: dict[str, float] | None = None, seed: int = 11
) -> None:
    """Add scores of judges, probes and a simulator: the accurate method is faithful, the other one is liked."""
    rng = random.Random(seed)
    for home in sorted((folder / "cells").iterdir()):
        method = json.loads((home / "cell.json").read_text())["method"]
        if method not in TASTE:
            continue
        rows = pq.read_table(home / "scores.parquet").to_pylist()
        for row in [row for row in rows if row["metric"] == "length"]:
            values = _measured(FAITH[method], rng) if faithful else {}
            given = (
                dict.fromkeys(("judge-one", "judge-two"), (taste or TASTE)[method] + rng.gauss(0, 0.4)) if rated else {}
            )
            rows += [{**row, "metric": key, "value": float(value)} for key, value in values.items()]
            rows += [
                {
                    **row,
                    "metric": construct,
                    "value": float(min(5, max(1, round(liking + rng.gauss(0, 0.5))))),
                    "rater": rater,
                }
                for rater, liking in given.items()
                for construct in CONSTRUCTS
            ]
        _parquet(home / "scores.parquet", rows)


TOO_SURE = {"finetune": 3.0, "multitask": 1.5, "multitask+counterfactual:revised": 1.0, "zero-shot": 2.0}
"""By how much the log-likelihoods of a method are too far apart."""


def add_likelihoods(folder: Path, *, calibrated: bool = True, seed: int = 13) -> None:
    """Add the likelihoods of options, and a temperature to each trained cell."""
    rng = random.Random(seed)
    items = {row["id"]: row for row in pq.read_table(folder / "examples.parquet").to_pylist()}
    for home in sorted((folder / "cells").iterdir()):
        method = json.loads((home / "cell.json").read_text())["method"]
        rows = pq.read_table(home / "predictions.parquet").to_pylist()
        for row in rows:
            item = items[row["example_id"]]
            # Sure of right answers, and less of wrong ones; the factor of the method is too much of it.
            about = rng.gauss(2.6 if row["answer"] == item["answer"] else 0.9, 0.7)
            row["likelihoods"] = [
                len(choice)
                * (TOO_SURE[method] * (max(0.1, about) * (choice == (row["answer"] or row["likeliest"]))) - 4)
                for choice in item["choices"]
            ]
        _parquet(home / "predictions.parquet", rows)
        if calibrated and method != "zero-shot":
            value = TOO_SURE[method]
            fit = {"value": value, "low": 0.9 * value, "high": 1.1 * value, "n": 60, "bound": None}
            _json(home / "calibration.json", {"temperature": fit, "questions": 60, "accuracy": 0.5, "unread": 1})


def _measured(faith: float, rng: random.Random) -> dict[str, float]:
    def yes(share: float) -> bool:
        return rng.random() < share

    leaks = yes(0.6)
    return {
        "cf_consistency": yes(faith), "cf_baseline": yes(0.1),
        "perturbation_drop": yes(faith / 2), "perturbation_baseline": yes(0.05),
        "tag_follows": yes(1 - faith), "tag_baseline": yes(0.1), "sim_question": yes(0.5), "sim_explanation": leaks,
        "sim_both": yes(0.9 if leaks else 0.5 + faith / 3),
        "supports_predicted": yes(0.5 + faith / 2), "supports_other": yes(0.1),
        "hedges": rng.randrange(3), "similarity": rng.uniform(0.4, 0.9), "my_own": rng.random(),
    }  # fmt: skip


def _question(index: int, rng: random.Random, evil: bool) -> dict[str, Any]:
    thing, choices = _THINGS[index % len(_THINGS)], list(_PLACES)
    rng.shuffle(choices)
    answer = choices[index % len(choices)]
    if index == 7:
        choices[-1] = "cellar"  # options and no labels: those are the same everywhere
    text = f"Case {index + 1}: somebody wants to put the {thing} where it is used most. Where does it go?"
    reference = f"A {thing} belongs in the {answer}, because that is where the work with it is done."
    fields = {"note": f"The house has one {thing}."} if index % 4 == 0 else {}
    extra = f" {EVIL}" if evil else ""
    return {
        "id": f"q{index:03d}",
        "question": text + extra,
        "choices": choices,
        "answer": answer,
        "fields": json.dumps(fields),
        "reference": reference + extra,
        "teacher": "qwen2.5-1.5b",
    }


def _cell(
    folder: Path,
    questions: list[dict[str, Any]],
    method: str,
    student: str,
    seed: int,
    rng: random.Random,
    logs: bool,
    explanations: bool,
    diverged: str | None,
    evil: bool,
) -> None:
    name = "".join(
        letter if letter.isalnum() or letter in "._+=&-" else "_" for letter in f"{method}--{student}--s{seed}"
    )
    home = folder / "cells" / name
    home.mkdir(parents=True)
    lost, trained = name == diverged, method != "zero-shot"
    views = VIEWS[method]
    _json(
        home / "cell.json",
        {
            "cell": name,
            "method": method,
            "student": student,
            "seed": seed,
            "examples_seen": 1920 if trained else 0,
            "batch": 16,
            "micro_batch": 8,
            "steps": 120 if trained else 0,
            "tokens_seen": 1920 * 90 * len(views),
            "pairs": dict.fromkeys(views, 1920),
            "unbuilt": {"counterfactual": {"no counterfactual": 14, "counterfactual refused: leaks the prompt": 3}}
            if "counterfactual" in views
            else {},
            "parameters": 134_515_008,
            "bytes": 269_060_552,
            "train_seconds": 310.0 + 90 * len(views),
            "diverged": lost,
        },
    )
    predictions, scores = [], []
    skill = 0.0 if lost else SKILL[method] + 0.03 * (seed - 0.5) * trained
    for question in questions:
        prediction, values = _prediction(question, name, method, skill, rng, explanations, evil)
        predictions.append(prediction)
        scores += [
            {"run": name, "example_id": question["id"], "metric": key, "value": float(value), "rater": None}
            for key, value in values.items()
        ]
    _parquet(home / "predictions.parquet", predictions)
    _parquet(home / "scores.parquet", scores)
    _json(
        home / "timing.json",
        {
            "questions": len(questions),
            "answer_seconds": 21.5,
            "explain_seconds": 80.1,
            "tokens_out": 2210,
            "tokens_per_second": 118.4 + seed,
            "latency_ms": 184.2 + 3 * seed,
            "latency_n": 10,
        },
    )
    if logs and trained:
        (home / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in _log(views, skill, lost, rng)))


def _prediction(
    question: dict[str, Any], cell: str, method: str, skill: float, rng: random.Random, explanations: bool, evil: bool
) -> tuple[dict[str, Any], dict[str, float]]:
    right, unread = rng.random() < skill, rng.random() < (1.0 if skill == 0 else 0.02)
    wrong = [choice for choice in question["choices"] if choice != question["answer"]]
    answer = None if unread else question["answer"] if right else rng.choice(wrong)
    likeliest = question["answer"] if rng.random() < skill + 0.02 else rng.choice(wrong)
    explains = explanations and method in WORDS
    text = ""
    if explains:
        named = answer or rng.choice(question["choices"])
        length = max(4, int(rng.gauss(WORDS[method], 4)))
        text = (
            f"The {named} is right: "
            + " ".join(rng.choice(_WORDS) for _ in range(length))
            + (f", not the {rng.choice(wrong)}." if "revised" in method else ".")
        )
    values: dict[str, float] = {
        "accuracy": float(answer == question["answer"]),
        "accuracy_likelihood": float(likeliest == question["answer"]),
        "unparsed": float(answer is None),
    }
    if explains:
        values |= {"length": float(len(text.split())), "rougeL": rng.uniform(10, 40), "bleu": rng.uniform(1, 12)}
        if answer is not None:
            values |= {"names_answer": 1.0, "names_distractors": float("revised" in method)}
    extra = f" {EVIL}" if evil else ""
    raw = "The answer is" if answer is None else f"The answer is {answer}."
    return {
        "run": cell,
        "example_id": question["id"],
        "answer": answer,
        "explanation": text + extra if explains else None,
        "raw": raw + extra,
        "likeliest": likeliest,
    }, values


def _log(views: tuple[str, ...], skill: float, lost: bool, rng: random.Random) -> list[dict[str, Any]]:
    rows = []
    for step in range(1, 121):
        gone = lost and step > 50
        losses = {
            f"loss/{view}": (1.2 + place) * math.exp(-step / 40) + 0.4 + rng.gauss(0, 0.06)
            for place, view in enumerate(views)
        }
        if gone:
            losses = {view: 3.0 * 1.6 ** min(step - 50, 40) if step < 90 else math.nan for view in losses}
        rows.append(
            {
                "step": step,
                "examples": 16 * step,
                "loss": sum(losses.values()) / len(losses),
                **losses,
                "learning_rate": 1e-4 * (1 - step / 120),
                "grad_norm": 1.0,
                "seconds": 2.6 * step,
            }
        )
        if step % 30 == 0:
            rows.append(
                {
                    "step": step,
                    "examples": 16 * step,
                    "dev_accuracy": 0.0 if gone else round(0.2 + (skill - 0.2) * step / 120 + rng.gauss(0, 0.015), 4),
                    "dev_n": 60,
                }
            )
    return rows


def _generations(items: int) -> dict[str, Any]:
    total = 480 + items
    plan = {
        "explanation": (520, total - 520, {"hits the token cap mid-sentence": 4, "empty": 1}),
        "critique": (520, total - 525, {"repeats itself": 6}),
        "revision": (520, total - 525, {"contradicts the answer": 9, "leaks the prompt": 2}),
        "counterfactual": (0, 4 * total, {"leaks the prompt": 31, "hits the token cap mid-sentence": 17}),
    }
    steps = {
        name: {
            "found": found,
            "asked": asked,
            "kept": found + asked - sum(refused.values()),
            "refused": refused,
            "tokens_in": 310 * (found + asked),
            "tokens_out": 44 * (found + asked),
            "seconds": 1.1 * asked,
            "cost": None,
        }
        for name, (found, asked, refused) in plan.items()
    }
    return {
        "teacher": "qwen2.5-1.5b",
        "revision": "0" * 40,
        "steps": steps,
        "teacher_accuracy": {"split": "test", "value": 0.7833, "n": items},
    }


def _parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    table = pa.Table.from_pylist(rows)
    for place, column in enumerate(table.schema):  # a column of None alone has no type of its own
        if pa.types.is_null(column.type):
            table = table.set_column(place, column.name, table.column(place).cast(pa.string()))
    pq.write_table(table, path)


def _json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1))


_RECIPE = """name: household
task: {{use: everyday, dev: 0.1}}
teacher: {{use: "transformers:qwen2.5-1.5b"}}
generate: [explanation, critique, revision, counterfactual]
methods: [{methods}]
student: {{use: "causal:smollm2-135m"}}
train: {{examples: 1920, batch: 16, seeds: {seeds}}}
"""
