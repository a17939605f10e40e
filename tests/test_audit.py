"""The audit of a teacher: texts with a known answer, the gate before training, and the published figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cli_cases import call, recipe
from shrinklm import Recipe, Run
from shrinklm.core.errors import AuditError, MethodError, RecipeError
from shrinklm.core.types import Example, Generation, Prompt, Sampling, Source
from shrinklm.evaluation.audit import audit_text, audit_texts, check_support, first_line, occurs_in
from shrinklm.stats import wilson
from shrinklm.teachers.refusals import CONTRADICTS, CUT, EMPTY

MONEY = Example("m", "Where do people keep money?", ("zoo", "bank", "river"), "bank")
SOURCE = Source("t", "1", Sampling(), 0, "", 0, 0, "0")
LLAMA = Path(__file__).parents[2] / "shared" / "data" / "cqa-llama2" / "train.parquet"


def wrote(
    text: str, kind: str = "explanation", answer: str = "bank", refusal: str | None = None, example: str = "m"
) -> Generation:
    return Generation(example, kind, answer, text, "", (), SOURCE, f"{example}{kind}{answer}", refusal)


def test_a_text_is_read_by_words_alone() -> None:
    good = audit_text(MONEY, wrote("A bank has a vault, a zoo does not."))
    assert (good.occurs, good.named, good.argues_own, good.supports) == (True, True, True, True)
    assert (good.argues_other, good.leaks) == (False, False)
    assert (good.words, good.sentences, good.others, good.occurs_as_said) == (9, 1, 1, None)
    plural = audit_text(MONEY, wrote("Banks have vaults."))
    assert (plural.occurs, plural.named, plural.supports) == (True, False, True)
    silent = audit_text(MONEY, wrote("Vaults are safe."))
    assert (silent.occurs, silent.argues_other, silent.supports) == (False, False, False)
    another = audit_text(MONEY, wrote("A zoo has a strong fence."))
    assert (another.argues_other, another.supports) == (True, False)
    compared = audit_text(
        MONEY, wrote("A zoo and a zoo and a bank.")
    )  # the own answer stands there: only compared, not argued for
    assert (compared.argues_other, compared.supports) == (False, True)
    stated = audit_text(MONEY, wrote("A bank is safe. So the answer is zoo."))
    assert (stated.argues_other, stated.supports) == (True, False)
    leak = audit_text(MONEY, wrote("The answer is bank."))
    assert (leak.leaks, leak.supports) == (True, True)


def test_refused_empty_and_cut_texts_support_nothing() -> None:
    for refusal in (CUT, CONTRADICTS, "repeats itself"):
        assert not audit_text(MONEY, wrote("A bank is safe.", refusal=refusal)).supports
    assert audit_text(MONEY, wrote("A bank is safe.", refusal=CONTRADICTS)).argues_other
    assert audit_text(MONEY, wrote("A bank", refusal=CUT)).cut
    empty = audit_text(MONEY, wrote("", refusal=EMPTY))
    assert (empty.empty, empty.supports) == (True, False)


def test_a_recording_is_also_read_as_it_stands_in_its_file() -> None:
    trimmed = audit_text(
        MONEY, wrote("It is a safe place."), raw="\nIt is a safe place. The bank has\n\nQuestion: a bank?"
    )
    assert (trimmed.occurs, trimmed.occurs_as_said, trimmed.cut) == (False, True, True)  # trimming took the name away
    whole = audit_text(MONEY, wrote("It is safe."), raw=" It is safe.\nAnd the bank comes later.")
    assert (whole.occurs_as_said, whole.cut) == (False, False)  # of the first line only


def test_free_answers_and_counterfactuals_are_read_about_their_own_answer() -> None:
    free = audit_text(Example("f", "6 times 7?", (), "42"), wrote("Six sevens make 42.", answer="42"))
    assert (free.occurs, free.named, free.argues_other, free.others, free.supports) == (True, True, None, None, True)
    against = audit_text(MONEY, wrote("A zoo has a fence.", "counterfactual", "zoo"))
    assert (against.argues_own, against.names_gold, against.supports) == (True, False, True)
    assert not audit_text(MONEY, wrote("A bank has a vault.", "counterfactual", "zoo")).supports
    critique = audit_text(MONEY, wrote("It could be shorter.", "critique"))
    assert (critique.words, critique.supports, critique.occurs) == (4, None, None)


def said(**texts: str | None) -> dict[str, dict[tuple[str, str], Generation]]:
    """Generations from names such as m1_explanation="..."; None is refused as empty."""
    found: dict[str, dict[tuple[str, str], Generation]] = {}
    for name, text in texts.items():
        example, _, kind = name.partition("_")
        generation = wrote(text or "", kind, refusal=None if text else EMPTY, example=example)
        found.setdefault(example, {})[kind, "bank"] = generation
    return found


FOUR = [
    replace(MONEY, id=f"m{place}", choices=("zoo", "bank", ("river", "sea", "hill", "barn")[place]))
    for place in range(4)
]


def test_the_figures_of_a_step_and_of_its_revision() -> None:
    known = said(
        m0_explanation="A bank is safe.",
        m1_explanation="It is safe.",
        m2_explanation="A bank is locked.",
        m3_explanation=None,
        m0_revision="A bank is safe.",
        m1_revision="A bank may be safe, not a zoo.",
        m2_revision="It is locked, and it has a vault.",
    )
    found = audit_texts(FOUR, known, ["explanation", "revision", "critique"])
    first, second = found["steps"]["explanation"], found["steps"]["revision"]
    assert (first["n"], first["missing"], first["empty"], first["kept"], first["refused"]) == (4, 0, 1, 3, {EMPTY: 1})
    assert (first["occurs"], first["named"], first["support"], first["occurs_as_said"]) == (0.5, 0.5, 0.5, None)
    assert first["words"] == (4 + 3 + 4 + 0) / 4
    assert (second["n"], second["missing"]) == (4, 1)
    assert second["occurs"] == pytest.approx(2 / 3)
    assert second["others"] == second["names_other"] == second["hedges"] == pytest.approx(1 / 3)
    assert found["steps"]["critique"]["missing"] == 4
    assert found["steps"]["critique"]["support"] is None
    again = found["again"]["revision"]
    assert (again["from"], again["n"]) == ("explanation", 3)
    assert (again["changed"], again["gained"], again["lost"]) == (
        pytest.approx(2 / 3),
        pytest.approx(1 / 3),
        pytest.approx(1 / 3),
    )
    assert again["ratio"] == pytest.approx((4 + 8 + 8) / (4 + 3 + 4))
    low, high = first["interval"]["support"]
    assert 0 < low < 0.5 < high < 1
    json.dumps(found, allow_nan=False)


def test_where_options_are_labels_a_reason_need_not_name_one() -> None:
    pairs = [Example(f"n{place}", "Which?", ("entailment", "neutral"), "neutral") for place in range(2)]
    known = {
        pair.id: {("explanation", "neutral"): wrote("Both may be true.", answer="neutral", example=pair.id)}
        for pair in pairs
    }
    found = audit_texts(pairs, known, ["explanation"])
    assert found["labels"]
    assert found["steps"]["explanation"]["support"] == 1
    assert not audit_texts(FOUR, said(m0_explanation="It is safe."), ["explanation"])["labels"]


def test_the_gate_names_the_step_the_share_and_what_to_do() -> None:
    texts = {f"m{place}_{kind}": "A bank." for place in range(4) for kind in ("explanation", "revision")}
    found = audit_texts(FOUR, said(**{**texts, "m0_explanation": "Safe."}), ["explanation", "revision"])
    check_support(found, 0.75)
    check_support(found, 0.8, ["revision"])
    why = (
        r"'explanation' support their answer in 75\.0 % of 4 cases .*below the 80 % .*25\.0 % do not name it"
        r".* on 'revision' instead"
    )
    with pytest.raises(AuditError, match=why):
        check_support(found, 0.8)
    with pytest.raises(RecipeError, match=r"no step 'critique'. Its steps: explanation, revision"):
        check_support(found, 0.8, ["critique"])
    with pytest.raises(
        AuditError, match=r"8 of 8 texts of 'counterfactual' were not asked for yet. Run: shrinklm generate"
    ):
        check_support(audit_texts(FOUR, {}, ["counterfactual"]), 0.1)


def test_wilson_and_occurs() -> None:
    assert wilson(0, 10) == (0.0, pytest.approx(0.2775, abs=1e-4))  # Brown, Cai and DasGupta, 2001
    assert wilson(10, 10)[1] == pytest.approx(1)
    assert occurs_in("bank ", "An EMBANKMENT")
    assert not occurs_in(" ", "anything")


# In a run


class Teacher:
    """Right about half of the questions."""

    name, revision = "half", "1"

    def complete(self, prompts: list[Prompt], sampling: Sampling) -> Any:
        from shrinklm.core.types import Completion

        for place, prompt in enumerate(prompts):
            good = int(prompt.example.id.rpartition("-")[2]) % 2
            text = (
                f"Because {prompt.answer} is what people take for that."
                if good
                else "Because people have always done it that way."
            )
            yield place, Completion(text)


def run(root: Path, **changes: Any) -> Run:
    return Run(Recipe.read(recipe(root, generate=["explanation"], methods=["multitask"], **changes)), teacher=Teacher())


def test_a_recipe_stops_before_training(tmp_path: Path) -> None:
    stopped = run(tmp_path, audit={"min_support": 0.8})
    with pytest.raises(AuditError, match="'explanation' support their answer"):
        stopped.all()
    assert (stopped.folder / "audit.json").is_file()
    assert not list(stopped.folder.glob("cells/*/student"))
    with pytest.raises(AuditError):
        stopped.train()
    passed = run(
        tmp_path, audit={"min_support": 0.2}, evaluate={"explanations": 2, "max_tokens": 8, "zero_shot": False}
    )
    assert passed.all().is_file()
    assert "What the teacher wrote" in (passed.folder / "report.html").read_text()


def test_the_gate_looks_at_what_the_methods_are_trained_on(tmp_path: Path) -> None:
    blind = Run(
        Recipe.read(recipe(tmp_path, teacher={"use": "fake"}, methods=["multitask"], audit={"min_support": 0.9}))
    )
    blind.generate()
    assert blind.audit(0.9)["steps"].keys() == {"explanation", "critique", "revision", "counterfactual"}
    assert blind.audit()["steps"]["explanation"]["support"] == 1


def test_the_audit_is_made_once_for_the_same_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shrinklm.run.stages import audit as auditing

    again = run(tmp_path)
    with pytest.raises(MethodError, match=r"has said nothing yet. Run: shrinklm generate"):
        again.audit()
    again.generate()
    first = again.audit()
    monkeypatch.setattr(auditing, "audit_texts", lambda *_: pytest.fail("looked through again"))
    assert run(tmp_path).audit() == first
    with pytest.raises(RecipeError, match="no text that could be looked through"):
        Run(Recipe.read(recipe(tmp_path, teacher=None, generate=None, methods=["finetune"]))).audit()


def test_the_command_prints_fails_below_the_limit_and_speaks_json(tmp_path: Path) -> None:
    path = recipe(tmp_path, audit={"min_support": 0.5})
    assert call("generate", path).exit_code == 0
    shown = call("audit", path)
    assert shown.exit_code == 0, shown.output
    assert "Supports its answer, %" in shown.stdout
    assert "Revision after explanation, 12 pairs" in shown.stdout
    assert "in 50 % of the cases or more. Next: shrinklm train" in shown.stdout
    figures = json.loads(call("audit", path, "--json").stdout)
    assert figures["steps"]["explanation"]["n"] == 12
    deny = recipe(
        tmp_path,
        teacher={"use": "fake:deny"},
        name="deny",
        generate=["explanation", "counterfactual"],
        methods=["multitask"],
    )
    call("generate", deny)
    assert call("audit", deny).exit_code == 0  # no limit asked for
    failed = call("audit", deny, "--min-support", "0.8", "--json")
    assert failed.exit_code == 1
    assert json.loads(failed.stdout)["steps"]["explanation"]["support"] == 0
    assert failed.stderr.splitlines()[-1].startswith(
        "error: Texts of 'explanation' support their answer in 0.0 % of 12 cases"
    )
    assert call("audit", deny, "--min-support", "2").exit_code == 2


def test_the_recipe_s_limit_is_checked(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"audit\.min_support"):
        Recipe.read(recipe(tmp_path, audit={"min_support": 80}))
    with pytest.raises(RecipeError, match=r"No step is called 'explain'. Did you mean 'explanation'"):
        Recipe.read(recipe(tmp_path, audit={"steps": ["explain"]}))
    with pytest.raises(RecipeError, match="No key is called 'min_suport'"):
        Recipe.read(recipe(tmp_path, audit={"min_suport": 0.8}))


@pytest.mark.skipif(not LLAMA.is_file(), reason="needs ../shared/data/cqa-llama2")
@pytest.mark.slow
def test_the_published_share_of_llama_s_texts_that_name_the_gold_answer(tmp_path: Path) -> None:
    """63.9 % of the explanations and 81.4 % of the revisions (methods.md A.3): the answer occurs in the first line."""
    names = {"explanation": "few_shot_positive_rationale", "revision": "few_shot_revision"}
    rows = pq.read_table(LLAMA, columns=["id", "answer", *names.values()]).to_pylist()
    said = {
        step: {row["id"]: occurs_in(row["answer"], first_line(row[name] or "")) for row in rows}
        for step, name in names.items()
    }
    assert [f"{100 * sum(said[step].values()) / len(rows):.1f}" for step in names] == ["63.9", "81.4"]

    data = {"use": "table", "train": str(LLAMA), "dev": 0.0, "test": str(LLAMA.with_name("test.parquet"))}
    columns = {"id": "id", "question": "question", "choices": "choices", "answer": "answer"}
    path = recipe(
        tmp_path,
        task={**data, "columns": columns, "limit": {"train": 800, "test": 10}},
        teacher={"use": f"recorded:{LLAMA}", "columns": names},
        generate=["explanation", "revision"],
        methods=["multitask"],
    )
    run = Run(Recipe.read(path))
    steps = run.audit()["steps"]
    for step in names:
        assert steps[step]["n"] == 800
        shown = sum(said[step][example.id] for example in run.splits["train"])
        assert steps[step]["occurs_as_said"] == pytest.approx(shown / 800)
        assert steps[step]["named"] < steps[step]["occurs"]
