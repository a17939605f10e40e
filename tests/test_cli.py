"""The command line from a recipe to a report: a fake teacher, a tiny student, everything else for real."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import Result

import shrinklm
from cli_cases import MINI, asked, call, recipe, snapshot
from shrinklm.core.types import Generation
from shrinklm.teachers import store

CELL = "multitask+counterfactual_revised=explain--tiny--s0"
VIEWS = {
    "finetune": {"predict": 12},
    MINI["methods"][1]: {"predict": 12, "explain": 12, "factual": 12, "counterfactual": 12},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def ran(root: Path) -> Result:
    return call("run", recipe(root))


@pytest.fixture(scope="module")
def rows(ran: Result, root: Path) -> list[dict[str, Any]]:
    shown = call("preview", root / "recipe.yaml", "--json", "--limit", "0", "--tokens")
    assert shown.exit_code == 0, shown.output
    return [json.loads(line) for line in shown.stdout.splitlines()]


def test_run_prints_a_table_and_the_reports_path(ran: Result, root: Path) -> None:
    assert ran.exit_code == 0, ran.output
    report = root / "runs" / "mini" / "report.html"
    assert f"Report: {report}" in ran.stdout
    assert report.is_file()
    assert "Accuracy, %" in ran.stdout
    assert re.search(r"finetune\s+│\s+[\d.]+ │\s+[\d.]+ to [\d.]+ ", ran.stdout)
    assert "explanation: 12 of 12" in ran.stderr
    assert re.search(r"train finetune--tiny--s0: 3 of 3, took 0:\d\d, loss [\d.]+ predict [\d.]+", ran.stderr)
    assert "%|" not in ran.stderr, "another library draws a bar"


def test_run_again_skips_everything(ran: Result, root: Path) -> None:
    prompts, cells = asked(root), snapshot(root / "runs" / "mini" / "cells")
    assert prompts == 12 * 3 + 12 * 4 + 6
    again = call("run", root / "recipe.yaml")
    assert again.exit_code == 0
    assert "Already trained: 2 of 2." in again.stdout
    assert "Already evaluated: 3 of 3." in again.stdout
    assert asked(root) == prompts
    assert snapshot(root / "runs" / "mini" / "cells") == cells


def test_stages_accept_the_run_folder(ran: Result, root: Path) -> None:
    folder = root / "runs" / "mini"
    before = (folder / "recipe.yaml").read_text()
    for stage in ("train", "evaluate", "report", "generate"):
        done = call(stage, folder)
        assert done.exit_code == 0, done.output
    assert (folder / "recipe.yaml").read_text() == before
    assert "Already trained: 2 of 2." in call("train", folder).stdout
    assert snapshot(folder / "cells") == snapshot(root / "runs" / "mini" / "cells")
    assert not (folder / "runs").exists()


def test_generate_says_what_was_found_and_asked(root: Path, ran: Result) -> None:
    told = call("generate", root / "recipe.yaml")
    (row,) = [line for line in told.stdout.splitlines() if "counterfactual" in line]
    assert [cell.strip() for cell in row.split("│")[2:8]] == ["48", "0", "0", "0", "48", "0"]
    one = call("generate", root / "recipe.yaml", "--step", "critique")
    assert one.exit_code == 0
    assert "critique" in one.stdout
    assert "counterfactual" not in one.stdout
    wrong = call("generate", root / "recipe.yaml", "--step", "critic")
    assert (wrong.exit_code, wrong.stdout) == (1, "")
    assert wrong.stderr.startswith("error: The recipe has no step 'critic'. Its steps: explanation, critique")


def test_preview_json_is_the_contract(rows: list[dict[str, Any]]) -> None:
    *pairs, last = rows
    assert last == {"summary": {"examples": 12, "pairs": VIEWS, "refused": {step: {} for step in MINI["generate"]}}}
    assert len(pairs) == 12 + 4 * 12
    for row in pairs:
        assert set(row) == {"method", "view", "weight", "example_id", "option", "prompt", "target", "tokens", "scored"}
        assert row["option"] in row["target"]
        assert row["prompt"].endswith(f"[{row['view']}]")
    for method, views in VIEWS.items():
        for view, count in views.items():
            assert sum((row["method"], row["view"]) == (method, view) for row in pairs) == count
    weights = {(row["method"], row["view"]): row["weight"] for row in pairs}
    assert set(weights.values()) == {1.0, 0.25}


def test_preview_tokens_score_the_target_and_its_end_alone(rows: list[dict[str, Any]]) -> None:
    from shrinklm.students.tiny import build_tokenizer

    tokenizer = build_tokenizer()
    for row in rows[:-1]:
        assert len(row["tokens"]) == len(row["scored"])
        told = [token for token, counts in zip(row["tokens"], row["scored"], strict=True) if counts]
        read = [token for token, counts in zip(row["tokens"], row["scored"], strict=True) if not counts]
        assert told[-1] == "<end>"
        assert tokenizer.convert_tokens_to_string(told[:-1]).strip() == row["target"]
        assert tokenizer.convert_tokens_to_string(read) == row["prompt"]


def test_preview_shows_another_wrong_option_in_another_epoch(rows: list[dict[str, Any]], root: Path) -> None:
    def options(epoch: int) -> dict[str, str]:
        shown = call(
            "preview", root / "recipe.yaml", "--json", "--limit", "0", "--epoch", str(epoch)
        ).stdout.splitlines()
        return {
            row["example_id"]: row["option"] for row in map(json.loads, shown[:-1]) if row["view"] == "counterfactual"
        }

    by_epoch = [options(epoch) for epoch in range(4)]
    assert by_epoch[0] == {row["example_id"]: row["option"] for row in rows[:-1] if row["view"] == "counterfactual"}
    for example in by_epoch[0]:
        assert len({options[example] for options in by_epoch}) == 4, "all four wrong options have their turn"


def test_preview_for_people(root: Path, ran: Result) -> None:
    shown = call("preview", root / "recipe.yaml", "--limit", "1")
    assert shown.exit_code == 0
    assert "predict · weight 1 · example everyday-" in shown.stdout
    assert "[counterfactual]\nSo the answer is" in shown.stdout
    assert "finetune: predict 12" in shown.stdout
    tokens = call("preview", root / "recipe.yaml", "--limit", "1", "--tokens").stdout
    assert re.search(r"\[predict\]⟨[^⟨⟩]+\|<end>⟩", tokens)


def test_preview_before_any_generation(tmp_path: Path) -> None:
    shown = call("preview", recipe(tmp_path))
    assert shown.exit_code == 0
    assert "explain 0" in shown.stdout
    assert "A view with 0 pairs lacks its generations. Make them with: shrinklm generate RECIPE" in shown.stdout


def test_predict(root: Path, ran: Result) -> None:
    arguments = ("Where do fish swim?", "--choices", "in the sea, in the sky,in an oven")
    found = json.loads(call("predict", root / "runs" / "mini", *arguments, "--json").stdout)
    assert set(found) >= {"cell", "answer", "explanation", "raw", "probabilities", "confidence"}
    assert found["cell"] == CELL
    assert found["explanation"] is not None
    told = call("predict", root / "recipe.yaml", *arguments, "--cell", "finetune")
    assert told.exit_code == 0
    assert told.stdout.startswith("Answer: ")
    assert "Explanation: none. finetune teaches no explanation; name another student with --cell." in told.stdout


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), "have options to choose from. Add: --choices a,b,c"),
        (
            ("--choices", "a,b", "--cell", "nobody"),
            "No trained student is called 'nobody'. There are: finetune--tiny--s0, multitask",
        ),
        (
            ("--choices", "a,b", "--field", "place=a harbour"),
            "reads no 'place' beside the question. What it reads: none.",
        ),
        (("--choices", "a,b", "--field", "premise"), "--field 'premise' has no name. Write: --field name=value"),
    ],
)
def test_predict_asks_for_what_it_lacks(root: Path, ran: Result, more: tuple[str, ...], said: str) -> None:
    failed = call("predict", root / "runs" / "mini", "Where?", *more)
    assert (failed.exit_code, failed.stdout) == (1, "")
    assert said in failed.stderr


@pytest.mark.parametrize("name", ["g.parquet", "g.jsonl"])
def test_export_writes_the_store(root: Path, ran: Result, tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    done = call("export", root / "recipe.yaml", out)
    assert "90 generations written" in done.stdout
    found = store.read(out)
    with store.Store(root / ".shrinklm" / "generations.db") as kept:
        assert sorted(found, key=_key) == sorted(kept, key=_key)
    assert call("export", root / ".shrinklm" / "generations.db", out, "--kind", "critique").exit_code == 0
    assert {generation.kind for generation in store.read(out)} == {"critique"}


def _key(generation: Generation) -> str:
    return generation.key


def test_export_can_be_read_by_others(root: Path, ran: Result, tmp_path: Path) -> None:
    call("export", root / "runs" / "mini", tmp_path / "g.parquet")
    assert pq.read_table(tmp_path / "g.parquet").column_names == list(store.COLUMNS)


def test_export_says_what_is_wrong(root: Path, ran: Result, tmp_path: Path) -> None:
    cases = {
        (root / "recipe.yaml", tmp_path / "g.txt"): "must end in .parquet or .jsonl",
        (
            root / "recipe.yaml",
            tmp_path / "no" / "g.jsonl",
        ): "cannot be written: No such file or directory. Name a file",
        (tmp_path / "no.db", tmp_path / "g.jsonl"): "Fill it with: shrinklm generate RECIPE",
    }
    for arguments, said in cases.items():
        failed = call("export", *arguments)
        assert failed.exit_code == 1
        assert said in failed.stderr
    assert (
        "Did you mean 'critique'"
        in call("export", root / "recipe.yaml", tmp_path / "g.jsonl", "--kind", "critiq").stderr
    )
    assert not (tmp_path / "no.db").exists()


@pytest.mark.parametrize(
    ("what", "shown"),
    [
        ("tasks", "csqa"), ("teachers", "recorded"), ("methods", "needs explanation, counterfactual"),
        ("metrics", "accuracy"),
        ("students", "seq2seq"), ("steps", "for each wrong option, why it would be right; at most 120 tokens"),
        ("methods", "alpha=WEIGHT the joint weight"), ("methods", "cross-entropy of the right option"),
        ("methods", "control of multitask, another question's explanation; views predict 0.5, explain 0.5"),
        ("losses", "cross-entropy of the right option"), ("methods", "&h=0.25 the temperature"),
        ("steps", "samples Texts of each question"),
    ],
)  # fmt: skip
def test_list(what: str, shown: str) -> None:
    listed = call("list", what)
    assert listed.exit_code == 0
    assert shown in " ".join(listed.stdout.split())


def test_list_says_what_a_term_takes_and_who_brings_another(monkeypatch: pytest.MonkeyPatch) -> None:
    from shrinklm.cli.show import listing
    from shrinklm.methods.terms import Term

    def mine() -> None:
        """A term of my own.

        Details.
        """

    values = {"hard": "as published"}
    monkeypatch.setattr(
        listing, "TERMS", {"near": Term("nearness", values, "temperature", weight=0.3, needs=("label",), logits=True)}
    )
    monkeypatch.setattr(listing, "names", lambda group: ["mine", "near"])
    monkeypatch.setattr(listing, "find", lambda group, name: mine)
    assert " ".join(call("list", "losses").stdout.split()).endswith(
        "near[=VALUE][&WEIGHT] nearness; weight 0.3 where none is given; needs label, a teacher whose weights are here "
        "(distil) near=hard as published near=NUMBER temperature mine[=WEIGHT] A term of my own."
    )


def test_list_names_are_whole_in_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from shrinklm.cli.show.listing import listing

    monkeypatch.setenv("COLUMNS", "60")
    listing("methods")
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80  # of the lines between the tables
    assert {line.split()[0] for line in lines if line[:1].strip()} >= {"multitask+counterfactual", "revised[=VIEW]"}


def test_list_knows_what_it_can_list() -> None:
    assert call("list", "dragons").exit_code == 2


def test_version() -> None:
    assert call("--version").stdout == f"shrinklm {shrinklm.__version__}\n"


def test_every_command_has_help() -> None:
    listed = call("--help").stdout
    for name in (
        "init",
        "generate",
        "preview",
        "train",
        "evaluate",
        "report",
        "run",
        "predict",
        "list",
        "doctor",
        "export",
        "import",
        "merge",
        "demo",
    ):
        assert f"│ {name} " in listed
        assert call(name, "--help").exit_code == 0


def test_import_and_merge(root: Path, ran: Result, tmp_path: Path) -> None:
    texts, other = tmp_path / "g.parquet", tmp_path / "other.db"
    call("export", root / "recipe.yaml", texts)
    count = len(store.Store(root / ".shrinklm" / "generations.db"))
    for number in ("added", "were there"):
        done = call("import", texts, other)
        assert done.exit_code == 0, done.stderr
        assert f"{count:,} {number}" in " ".join(done.stdout.split())
    assert f"{count:,} were there" in " ".join(call("merge", other, root / "recipe.yaml").stdout.split())
    for arguments, what in {
        ("import", other, other): "the file ends in .parquet or .jsonl. Of a store: shrinklm merge",
        ("merge", texts, other): "a store ends in .db. Of an exported file: shrinklm import",
        ("merge", tmp_path / "no.db", other): "No file at",
        ("merge", other, other): "is the store that it would be put into",
    }.items():
        failed = call(*arguments)
        assert (failed.exit_code, what in " ".join(failed.stderr.split())) == (1, True), failed.stderr
