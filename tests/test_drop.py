"""Single texts left out of training by a measure of the audit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli_cases import recipe
from shrinklm.core.errors import AuditError, RecipeError
from shrinklm.core.files import read_json
from shrinklm.core.types import Example, Generation, Sampling, Source
from shrinklm.evaluation import drop as drops
from shrinklm.evaluation.audit import audit_text
from shrinklm.evaluation.drop import Drop, leave_out, support_of
from shrinklm.run.recipe import Recipe
from shrinklm.run.run import Run
from shrinklm.run.stages.train import train_key
from test_audit import Teacher

BANK = Example("m", "Where is money kept?", ("bank", "zoo", "river"), "bank")
SOURCE = Source("t", "1", Sampling(), 0, "2026-01-01", 1, 1, "0.1.0")
TEXTS = {
    "own": "A zoo keeps the money of its visitors at the gate.",
    "names": "A bank guards money better than any bank of a zoo ever will.",
    "leaks": "Visitors pay at the gate, so the answer is zoo.",
    "other": "A bank has vaults in which money is guarded.",
    "declines": "I'm sorry, but I can't argue for that.",
}


def wrote(text: str, answer: str = "zoo", refusal: str | None = None) -> Generation:
    return Generation("m", "counterfactual", answer, text, "[]", (), SOURCE, "k", refusal)


def drop(**changes: Any) -> Drop:
    return Drop(**({"steps": (), "support": None, "leaks": False, "argues_other": False, "rules": False} | changes))


def reason(name: str, **changes: Any) -> str | None:
    generation = wrote(TEXTS[name])
    return drop(**changes).reason(BANK, generation, audit_text(BANK, generation))


def test_each_measure_leaves_out_what_it_names() -> None:
    assert [support_of(audit_text(BANK, wrote(TEXTS[name]))) for name in ("own", "names", "other")] == [1.0, 0.5, 0.0]
    assert {name: reason(name, argues_other=True) for name in TEXTS} == dict.fromkeys(TEXTS) | {"other": drops.OTHER}
    assert {name: reason(name, leaks=True) for name in TEXTS} == dict.fromkeys(TEXTS) | {"leaks": drops.LEAKS}
    assert [name for name in TEXTS if reason(name, support=0.5)] == ["other", "declines"]
    assert [name for name in TEXTS if reason(name, support=1.0)] == ["names", "other", "declines"]
    # Stored by an earlier version, which kept it.
    assert reason("declines", rules=True) == drops.RULES
    assert reason("own", rules=True) is None
    assert reason("other", argues_other=True, steps=("explanation",)) is None


def test_a_text_left_out_counts_as_refused_and_what_was_refused_keeps_its_reason() -> None:
    known = {
        "m": {
            ("counterfactual", "zoo"): wrote(TEXTS["other"]),
            ("counterfactual", "river"): wrote("", "river", "empty"),
        }
    }
    kept, counts = leave_out([BANK], known, drop(argues_other=True))
    assert [generation.refusal for generation in kept["m"].values()] == [drops.OTHER, "empty"]
    assert counts == {"counterfactual": {drops.OTHER: 1}}
    assert known["m"]["counterfactual", "zoo"].refusal is None


def run(root: Path, **changes: Any) -> Run:
    methods = ["finetune", "multitask"]
    return Run(Recipe.read(recipe(root, generate=["explanation"], methods=methods, **changes)), teacher=Teacher())


def test_a_recipe_leaves_texts_out_of_every_method_that_reads_them(tmp_path: Path) -> None:
    plain = run(tmp_path, name="plain")
    plain.generate()
    left = run(tmp_path, name="left", audit={"drop": {"support": 0.5}})
    left.generate()
    cells = {cell.method.name: cell for cell in left.cells}
    figures = left.audit()["steps"]["explanation"]
    gone = sum(figures["left_out"].values())
    assert figures["left_out"] == {drops.LITTLE: gone}
    assert 0 < gone < figures["n"]
    assert figures["support_left"] == 1.0
    assert figures["support"] == plain.audit()["steps"]["explanation"]["support"]
    assert sum(left.teaching.refused()["explanation"].values()) == gone
    # The gate goes by what stays.
    with pytest.raises(AuditError):
        plain.audit(0.9)
    left.audit(0.9)
    # What is left out is in a key only where the method reads it.
    dev = left.splits["dev"]
    for name, cell in cells.items():
        if not cell.method.views:
            continue
        keys = [train_key(cell, left.recipe, each.corpus(cell.seed), dev) for each in (plain, left)]
        assert (keys[0] == keys[1]) == ("explanation" not in cell.method.needs), name
    left.train()
    seen = {name: read_json(cell.folder / "cell.json") for name, cell in cells.items() if cell.method.views}
    assert len({about["examples_seen"] for about in seen.values()}) == 1
    assert seen["multitask"]["left_out"] == {"explanation": {drops.LITTLE: gone}}
    assert "left_out" not in seen["finetune"]


def test_a_block_that_leaves_nothing_out_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="leaves nothing out"):
        Recipe.read(recipe(tmp_path, audit={"drop": {}}))
    with pytest.raises(RecipeError, match="argues_other"):
        Recipe.read(recipe(tmp_path, audit={"drop": {"argue_other": True}}))
    assert Recipe.read(recipe(tmp_path, audit={"drop": {"leaks": True}})).audit.drop is not None
