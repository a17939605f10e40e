"""Every training method that fits, trained alike on CommonsenseQA and compared: accuracy, explanations, cost.

python benchmarks/methods.py [--recipe methods-2cores methods-several-2cores] [--questions 1000] [--test 600]
    [--seeds 0 1] [--methods finetune multitask:options] [--student causal:smollm2-135m-instruct] [--folder comparison]

methods-several gives each question several teachers' texts and answers, for methods that choose among texts, learn from
shares of answers or need several passes; in methods-mentor a student of methods-2cores teaches; in methods-encoder the
student is an encoder. Each is a run of its own, whose rows compare with each other. The same command goes on where it
stopped, seed by seed; a further method or seed adds to the same run folder. An option that nobody knows is refused
before anything is trained.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import training
import yaml

from shrinklm.core.errors import ShrinkError
from shrinklm.methods.spec import method
from shrinklm.report.findings import read
from shrinklm.report.measures import measure_of
from shrinklm.report.results import Results, Row, compare, compare_rows
from shrinklm.run.recipe import Recipe
from shrinklm.run.run import Run
from shrinklm.run.stages.generate import methods_of
from shrinklm.stats import Comparison, holm

RECIPES = Path(__file__).parent.parent / "recipes"
BASES = ("finetune", "multitask")
"""What every other method is compared with."""
ANSWERS = ("accuracy", "accuracy_likelihood")
EXPLANATIONS = (
    *("supports_predicted", "names_answer", "length", "contrast_markers", "argues_against"),
    *("discriminator", "discriminator_chance", "discriminator_cut", "discriminator_length"),
)
TEACHERS = ("llama3_level1", "llama3_level3", "gemini_level1")


# The data


def write_data(folder: Path) -> None:
    """The questions with all teachers' texts where they lie at hand ($SHRINKLM_DATA), else the packaged ones."""
    import pandas as pd

    if all((folder / f"{split}.parquet").is_file() for split in ("train", "test")):
        return
    folder.mkdir(parents=True, exist_ok=True)
    beside = Path(os.environ.get("SHRINKLM_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    if (beside / "cqa-llama2" / "train.parquet").is_file():
        others = pd.read_parquet(beside / "csqa-teachers" / "train.parquet").set_index("id")[list(TEACHERS)]
        tables = {
            split: released(pd.read_parquet(beside / "cqa-llama2" / f"{split}.parquet"), others)
            for split in ("train", "test")
        }
    else:
        rows = packaged()
        tables = {"train": pd.DataFrame(rows[:48]), "test": pd.DataFrame(rows[48:])}
    for split, table in tables.items():
        table.to_parquet(folder / f"{split}.parquet")


def released(table: Any, others: Any) -> Any:
    """A released table in the columns of the recipe; `others` has the further teachers' texts by id."""
    names = {"few_shot_positive_rationale": "explanation", "few_shot_revision": "revision"}
    names |= {f"counterfactual_prompt_answer_{n}_rationale": f"counterfactual_{n}" for n in range(1, 6)}
    table = table.rename(columns=names)[["id", "question", "choices", "answer", *names.values()]]
    said = others.reindex(table["id"])
    return table.assign(**{name: said[name].to_numpy() for name in TEACHERS})


def packaged() -> list[dict[str, Any]]:
    """Packaged questions in the same columns."""
    examples, texts = training.everyday(64)
    rows = []
    for example in examples:
        said = texts[example.id]["explanation", example.answer]
        rows.append(
            {"id": example.id, "question": example.question, "choices": list(example.choices), "answer": example.answer,
             "explanation": said, "revision": f"In short: {said}",
             **{f"counterfactual_{n}": f"{said} It fits {option}." for n, option in enumerate(example.choices, 1)},
             **{teacher: f"As all know: {said} The answer is {answer}." for teacher, answer
                in zip(TEACHERS, (example.answer, example.answer, example.choices[0]), strict=True)}}
        )  # fmt: skip
    return rows


# The runs


def recipe(options: argparse.Namespace, name: str, seeds: int | None = None) -> Recipe:
    """A recipe with what the command line says in its place; `seeds`: only the first so many."""
    path = RECIPES / f"{name}.yaml"
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    found["root"] = options.folder.resolve()
    limit, train = found["task"]["limit"], found["train"]
    if options.questions:
        # As often as in the recipe.
        train["examples"] = options.questions * train["examples"] // limit["train"]
        limit |= {"train": options.questions, "dev": min(limit["dev"], options.questions)}
    limit["test"] = options.test or limit["test"]
    train["seeds"] = (options.seeds or train["seeds"])[:seeds]
    found["methods"] = options.methods or found["methods"]
    found["student"] = options.student or found["student"]
    return Recipe.parse(found, str(path))


# The tables


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def figure(row: Row, key: str) -> str:
    """A mean with its interval."""
    estimate, measure = row.estimates.get(key), measure_of(key)
    if estimate is None:
        return "–"
    value, low, high = map(measure.show, (estimate.value, estimate.low, estimate.high))
    return value if value == low == high else f"{value} ({measure.between(estimate.low, estimate.high)})"


def accuracies(found: Results) -> str:
    """Accuracy of each row, as text and by likelihood, and what it needed and cost."""
    rows = []
    for row in found.rows:
        seconds = pace(row)
        first = next((pace(other) for other in found.rows if row.student == other.student
                      and other.method == BASES[0]), None)  # fmt: skip
        known = method(row.method)
        needs = [*known.needs, *(["several texts"] if known.weigh else [])]
        needs += ["its weights"] if any(term.logits for term in known.terms.values()) else []
        cost = f"{seconds / first:.2f}" if seconds and first else "–"
        rows.append(
            [
                found.label(row),
                *(figure(row, key) for key in (*ANSWERS, "unparsed")),
                cost,
                ", ".join(needs) or "nothing",
            ]
        )
    titles = ("Text, %", "Likelihood, %", "Unread, %", "Seconds a step / finetune's", "From the teacher")
    return table(("Method", *titles), rows)


def pace(row: Row) -> float | None:
    """Seconds that one step of training took."""
    seconds, steps = row.mean("train_seconds"), row.mean("steps")
    return seconds / steps if seconds and steps and row.trained else None


def differences(found: Results) -> str:
    """Every method less each of `BASES`, by both accuracies; p by Holm over all of them."""
    pairs = [
        (row, base)
        for row in found.trained
        for base in found.trained
        # Each two once: of the bases the later one less the earlier one.
        if base.method in BASES
        and base.student == row.student
        and row.method not in BASES[: BASES.index(base.method) + 1]
    ]
    tests: list[tuple[Row, Row, str, Comparison]] = []
    for row, base in pairs:
        for key in ANSWERS:
            if (compared := compare_rows(row, base, found.rows, key)) is not None:
                tests.append((row, base, key, compared))
    rows = []
    for (row, base, key, compared), p in zip(tests, holm([each[3].p for each in tests]), strict=True):
        measure = measure_of(key)
        mean = f"{measure.signed(compared.difference)} ({measure.between(compared.low, compared.high)})"
        rows.append([f"{found.label(row)} − {base.method}", measure.name, mean, f"{compared.p:.3f}", f"{p:.3f}"])
    return table(("Difference, points", "Measure", "Mean (95 %)", "p", "p, Holm"), rows)


def explanations(found: Results) -> str:
    """What the explanations are like."""
    rows = [[found.label(row), *(figure(row, key) for key in EXPLANATIONS)]
            for row in found.rows if row.estimates.keys() & {*EXPLANATIONS}]  # fmt: skip
    return table(("Method", *(measure_of(key).name for key in EXPLANATIONS)), rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains, evaluates and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", nargs="+", default=["methods-2cores"], help="names of recipes of this project")
    parser.add_argument("--questions", type=int, help="left out: as the recipe says, as what follows")
    parser.add_argument("--test", type=int)
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--methods", nargs="+")
    parser.add_argument("--student", nargs="+")
    parser.add_argument("--folder", type=Path, default=Path("comparison"), help="of data, texts and runs")
    options = parser.parse_args(arguments)
    write_data(options.folder / "data")
    try:
        wholes = {name: recipe(options, name) for name in options.recipe}
        for whole in wholes.values():
            methods_of(whole)  # of all of them, before the first is trained; a mentor's run may be one of them
        for name, whole in wholes.items():
            # Seed by seed, so that whatever was done compares.
            for count in range(1, len(whole.train.seeds) + 1):
                told(Run(recipe(options, name, count)))
    except ShrinkError as error:
        sys.exit(f"Error: {error}")


def told(run: Run) -> None:
    """Does a run and prints its tables."""
    page = run.all()
    found, train = compare(read(run.folder)), run.recipe.train
    size = f"{train.examples:,} examples of {len(run.splits['train']):,} questions"
    seeds = ", ".join(map(str, train.seeds))
    print(f"\n{run.recipe.name}: {size}, {len(found.findings.items):,} asked; seeds {seeds}\n")
    print("\n\n".join((accuracies(found), differences(found), explanations(found))))
    print(f"\nReport: {page}", flush=True)


if __name__ == "__main__":
    main()
