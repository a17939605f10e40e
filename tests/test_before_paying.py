"""What would go wrong later is said before a teacher is asked: changed recipes of trained students, wrong models."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli_cases import COLUMNS, asked, call, recipe
from endpoint_stub import chat, server
from shrinklm import Recipe, Run
from shrinklm.core.errors import ModelError, RecipeError, ShrinkError, StoreError, UnknownName
from shrinklm.students.open import StudentSpec, open_student, outline

ROWS = [
    {"id": f"q{i}", "question": f"Which helps, {i}?", "choices": ["a rope", "a lamp"], "answer": "a rope"}
    for i in range(8)
]
CHANGES: dict[str, Any] = {
    "task": {"use": "table", "train": "train.jsonl", "test": "test.jsonl", "dev": 0.0, "columns": COLUMNS},
    "teacher": {"use": "fake:log=asked.log"},
    "generate": ["explanation"],
    "methods": ["multitask"],
    "train": {"examples": 8, "batch": 8, "curve": 0, "checkpoints": 0},
    "evaluate": {"batch": 8, "max_tokens": 4, "metrics": ["accuracy"], "zero_shot": False},
}
MINI = Path(__file__).parent / "data" / "project-0.1.0" / "mini"


def write(root: Path, name: str, rows: list[dict[str, Any]]) -> None:
    (root / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe whose student is trained."""
    root = tmp_path_factory.mktemp("trained")
    write(root, "train.jsonl", ROWS)
    write(root, "test.jsonl", [{**row, "id": f"{row['id']}t", "question": f"{row['question']} And?"} for row in ROWS])
    shutil.copytree(MINI, root / "mini")
    path = recipe(root, **CHANGES)
    run = Run(Recipe.read(path))
    run.generate()
    run.train()
    return path


@pytest.fixture
def path(trained: Path, tmp_path: Path) -> Path:
    """A copy of that recipe with its run, as a project where nothing was asked yet."""
    path = Path(shutil.copytree(trained.parent, tmp_path / "root")) / trained.name
    (path.parent / "asked.log").unlink()
    return path


def change(path: Path, **blocks: Any) -> None:
    data = yaml.safe_load(path.read_text())
    for name, block in blocks.items():
        data[name] = {**data[name], **block} if isinstance(block, dict) and isinstance(data.get(name), dict) else block
    path.write_text(yaml.safe_dump(data))


def other_labels(path: Path) -> None:
    write(path.parent, "train.jsonl", [{**ROWS[0], "answer": "a lamp"}, *ROWS[1:]])


def other_words(path: Path) -> None:
    write(path.parent, "train.jsonl", [*ROWS[:2], {**ROWS[2], "question": "What?"}, *ROWS[3:]])


def fewer(path: Path) -> None:
    write(path.parent, "train.jsonl", ROWS[1:])


def more(path: Path) -> None:
    write(path.parent, "train.jsonl", [*ROWS, {**ROWS[0], "id": "new", "question": "New?"}])


def other_prompts(path: Path) -> None:
    from shrinklm.teachers.prompts import FOLDER

    shutil.copytree(FOLDER, path.parent / "own")
    file = path.parent / "own" / "explanation.md"
    file.write_text(file.read_text().replace("# user", "Be brief.\n\n# user", 1))
    change(path, prompts="own")


def blocks(**changed: Any) -> Callable[[Path], None]:
    return lambda path: change(path, **changed)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (blocks(train={"learning_rate": 0.5}), "(train.learning_rate was 0.0001, is 0.5)"),
        (blocks(train={"examples": 16, "batch": 4}), "(train.examples was 8, is 16; train.batch was 8, is 4)"),
        (blocks(student={"use": "causal:mini", "name": "tiny"}), '(student.use was "tiny", is "causal:mini")'),
        (blocks(student={"use": "tiny", "lora": 2}), "(student.lora was nothing, is 2)"),
        (blocks(teacher={"use": "fake:first,log=asked.log"}), '(teacher was "fake 1", is "fake-first 1")'),
        (blocks(teacher={"temperature": 0.5}), "(teacher.temperature was 0.0, is 0.5)"),
        (blocks(generate=[{"explanation": {"max_words": 9}}]), "(generate.explanation.max_words was nothing, is 9)"),
        (blocks(task={"seed": 5}), "(task.seed was 0, is 5)"),
        (blocks(task={"limit": {"train": 5}}), '(task.limit was nothing, is {"train": 5})'),
        (other_prompts, "(the prompts are others)"),
        (other_labels, "(the training questions are others: the answer to 'q0' was 'a rope', is 'a lamp')"),
        (other_words, "(the training questions are others: 'q2' has other words)"),
        (fewer, "(the training questions are others: 'q0' is gone)"),
        (more, "(the training questions are others)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("store", ["kept", "lost"])
def test_a_changed_recipe_is_refused_before_the_teacher_is_asked(path: Path, edit: Any, said: str, store: str) -> None:
    if store == "lost":
        shutil.rmtree(path.parent / ".shrinklm")
    edit(path)
    before = (path.parent / "runs" / "mini" / "recipe.yaml").read_bytes()
    for command in ("generate", "preview"):
        result = call(command, path)
        assert result.exit_code == 1, result.output
        text = " ".join(result.stderr.split())
        assert "trained from another recipe or other generations, and nothing is overwritten. Give the recipe a" in text
        # Another model has other weights too, which are told by their digests.
        told, weights = re.subn(r'; student\.revision was "[0-9a-f]{64}", is "[0-9a-f]{64}"', "", text)
        assert told.endswith(f"What changed: {said[1:-1]}.")
        assert weights == ("student.use" in said)
    assert not (path.parent / "asked.log").exists()
    assert (path.parent / "runs" / "mini" / "recipe.yaml").read_bytes() == before


@pytest.mark.parametrize(
    "edit",
    [
        blocks(evaluate={"max_tokens": 2, "metrics": ["accuracy", "length"]}),
        blocks(train={"micro_batch": 2, "curve": 2, "checkpoints": 1, "dev_questions": 9}),
        blocks(methods=["multitask", "finetune"], train={"seeds": [0, 1]}),
        blocks(task={"limit": {"test": 3}}),
        blocks(student={"use": "tiny", "name": "tiny"}),
        blocks(teacher={"batch": 3, "api_key_env": "KEY"}, generate=["explanation", "label"]),
        lambda path: (
            (path.parent / "train.jsonl").rename(path.parent / "t.jsonl") and change(path, task={"train": "t.jsonl"})
        ),
    ],
    ids=["evaluate", "what changes no weight", "more cells", "test", "label", "asking", "file's name"],
)
@pytest.mark.parametrize("store", ["kept", "lost"])
def test_what_changes_no_weight_passes(path: Path, edit: Any, store: str) -> None:
    if store == "lost":
        shutil.rmtree(path.parent / ".shrinklm")
    weights = path.parent / "runs" / "mini" / "cells" / "multitask--tiny--s0" / "student" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    edit(path)
    run = Run(Recipe.read(path))
    run.generate("explanation")
    asked = (path.parent / "asked.log").read_text().count("\n") if (path.parent / "asked.log").exists() else 0
    assert asked == (len(ROWS) if store == "lost" else 0)
    run.recipe = run.recipe.model_copy(update={"methods": ("multitask",)})
    Run(run.recipe).start()
    assert weights.stat().st_mtime_ns == before


def test_a_lost_store_is_filled_again_and_the_student_stays(path: Path) -> None:
    shutil.rmtree(path.parent / ".shrinklm")
    weights = path.parent / "runs" / "mini" / "cells" / "multitask--tiny--s0" / "student" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    run = Run(Recipe.read(path))
    run.generate()
    run.train()
    assert weights.stat().st_mtime_ns == before


def test_a_run_of_an_earlier_version_tells_what_changed_too(tmp_path: Path) -> None:
    old = MINI.parent
    shutil.copytree(old / "run", tmp_path / "runs" / "old")
    shutil.copytree(MINI, tmp_path / "mini")
    shutil.copy(old / "recipe.yaml", tmp_path / "recipe.yaml")
    data = yaml.safe_load((old / "recipe.yaml").read_text())
    Run(Recipe.read(tmp_path / "recipe.yaml")).start()
    for block, key, value in (("train", "learning_rate", 0.5), ("student", "keep_every", 2)):
        changed = {**data, block: {**data[block], key: value}}
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(changed))
        with pytest.raises(
            StoreError, match=rf"nothing is overwritten.* What changed: {block}\.{key} was .*, is {value}\."
        ):
            Run(Recipe.read(tmp_path / "recipe.yaml")).start()


NO_STUDENT = object()


@pytest.mark.parametrize(
    ("changed", "error", "said"),
    [
        ({"student": {"use": "causal:nowhere/at/all"}}, ModelError, "No model at .*/nowhere/at/all"),
        ({"student": {"use": "seq2seq:mini"}}, ModelError, "mini cannot be loaded as a seq2seq model"),
        ({"student": {"use": "causal:mini", "keep_every": 50}}, ShrinkError, "`keep_every: 50` finds no stack"),
        ({"student": {"use": "causl:mini"}}, UnknownName, "No student is called .causl.\\. Did you mean .causal."),
        ({"student": {"use": "tiny:large"}}, ShrinkError, "No student is called 'tiny:large'"),
        ({"student": {"use": "causal:broken"}}, ModelError, "The tokenizer of broken cannot be read"),
        ({"student": {"use": "causal:cut"}}, ModelError, "model.safetensors is damaged"),
        ({"student": {"use": f"{__name__}:NO_STUDENT"}}, ShrinkError, "is no student"),
        ({"student": {"use": f"{__name__}:Missing"}}, RecipeError, "names a student that does not import"),
        ({"evaluate": {"metrics": ["acuracy"]}}, UnknownName, "No metric is called 'acuracy'"),
        ({"evaluate": {"metrics": ["entailment"]}}, RecipeError, "'entailment' asks an entailment model, and none is"),
        ({"evaluate": {"metrics": ["similarity"], "encoder": "no/such/encoder"}}, ModelError, "No model at"),
        ({"evaluate": {"entailment": "mini"}}, ModelError, "mini is not an entailment model: its labels are"),
        ({"evaluate": {"simulator": {"use": "causal:none/such/model"}}}, ModelError, "No model at"),
        ({"judge": {"use": ["transformers:none/such/model"]}}, ModelError, "No model at"),
        ({"judge": {"use": ["fake:first"], "constructs": ["nonsense"]}}, RecipeError, "nonsense"),
        (
            {"train": {"early_stopping": 2, "checkpoints": 0}},
            ShrinkError,
            "`early_stopping` goes by dev accuracy at checkpoints",
        ),
        ({"methods": ["multitsk"]}, ShrinkError, "No method is called 'multitsk'"),
        ({"prompts": "nowhere"}, ShrinkError, "No folder of prompts at"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_wrong_models_and_names_are_told_before_the_teacher_is_asked(
    tmp_path: Path, changed: dict[str, Any], error: type[Exception], said: str
) -> None:
    for name in ("mini", "broken", "cut"):
        shutil.copytree(MINI, tmp_path / name)
    (tmp_path / "broken" / "tokenizer.json").write_text("{")
    cut = tmp_path / "cut" / "model.safetensors"
    cut.write_bytes(cut.read_bytes()[:-10])
    write(tmp_path, "train.jsonl", ROWS)
    merged = {
        name: {**block, **changed.get(name, {})} if isinstance(block, dict) else block
        for name, block in CHANGES.items()
    }
    path = recipe(
        tmp_path,
        **{
            **merged,
            "task": {**CHANGES["task"], "test": 0.25},
            **{k: v for k, v in changed.items() if k != "evaluate"},
        },
    )
    with pytest.raises(error, match=said):
        Run(Recipe.read(path)).generate()
    with pytest.raises(error, match=said):
        list(Run(Recipe.read(path)).preview())
    assert not (tmp_path / "asked.log").exists()
    assert not (tmp_path / "runs").exists()


def test_an_outline_counts_as_the_student_does() -> None:
    spec = StudentSpec(f"causal:{MINI}", 2, 1, 64, False)
    drawn, opened = outline(spec), open_student(spec)
    text = "Which tool drives a nail into wood?"
    assert (drawn.prompt_ids(text), drawn.target_ids(text)) == (opened.prompt_ids(text), opened.target_ids(text))
    assert (drawn.positions, drawn.max_length, drawn.parameters_total) == (
        opened.positions,
        opened.max_length,
        opened.parameters_total,
    )
    assert next(drawn.model.parameters()).device.type == "meta"


PUBLIC = "endpoint:https://models.invalid/v1#judge"
RECORDED = {"use": "recorded:train.jsonl", "columns": {"explanation": "question"}}
FREE = {"id": "id", "question": "question", "answer": "answer"}


def paid(root: Path, **changed: Any) -> Path:
    """A recipe over ROWS with changes, whose teacher writes down what it is asked."""
    write(root, "train.jsonl", ROWS)
    write(root, "test.jsonl", [{**row, "id": f"t{row['id']}"} for row in ROWS])
    merged = {
        name: {**block, **changed.pop(name, {})} if name in ("task", "train", "evaluate") else block
        for name, block in {**CHANGES, "task": {**CHANGES["task"], "dev": 0.25}}.items()
    }
    return recipe(root, **{**merged, **changed})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"task": {"dev": 0.0}, "train": {"early_stopping": 1, "checkpoints": 2}},
            "`early_stopping` goes by dev accuracy, and there are no dev questions. Write: task: {dev: 0.1}",
        ),
        ({"train": {"max_length": 8}}, "Method 'multitask': of 6 training questions none fits into the 8 tokens"),
        ({"student": "causal:mini", "train": {"max_length": 16}}, "that 'mini' is trained on"),
        (
            {"evaluate": {"max_tokens": 5000}},
            "multitask--tiny--s0 can be asked none of its 8 test questions",
        ),
        (
            {"audit": {"min_support": 0.1, "steps": ["revision"]}},
            "`audit.steps` names 'revision', which the recipe does not ask for. It asks for: explanation. "
            "Write: generate: [explanation, revision]",
        ),
        ({"audit": {"steps": ["counterfactual"]}}, "`audit.steps` names 'counterfactual', which the recipe does not"),
        (
            {"audit": {"drop": {"leaks": True, "steps": ["counterfactual"]}}},
            "`audit.drop.steps` names 'counterfactual', which the recipe does not ask for",
        ),
        (
            {"generate": ["explanation", "label"], "audit": {"min_support": 0.1, "steps": ["label"]}},
            "`audit.steps` names 'label', whose texts argue for no answer",
        ),
        (
            {"generate": ["label"], "methods": ["finetune"], "audit": {"min_support": 0.1}},
            "holds for texts that argue for an answer, and the recipe asks for none",
        ),
        ({"task": {"limit": {"train": 0}}}, "has no training questions"),
        (
            {"task": {"columns": FREE}, "methods": ["counterfactual"], "generate": ["explanation", "counterfactual"]},
            "needs 'counterfactual' texts, which argue for wrong options, and none of 6 training questions has one",
        ),
        (
            {"task": {"columns": FREE}, "methods": ["multitask:options=rest"]},
            "'options=rest' is about the options of a question, and none of 6 training questions has any",
        ),
        ({"methods": ["finetune"], "judge": {"use": ["fake:first"]}}, "no method explains: finetune"),
        ({"judge": {"use": ["fake:first"]}, "evaluate": {"explanations": 0}}, "`judge` rates explanations, and"),
        (
            {"judge": {"use": ["fake:first"], "constructs": [], "pairwise": True}},
            "only compares methods two by two",
        ),
        ({"judge": {"use": [PUBLIC]}}, "is not set. Run: export OPENAI_API_KEY=..."),
        ({"judge": {"use": ["fake:first", {"use": PUBLIC, "api_key_env": "MINE"}]}}, "Run: export MINE=..."),
        ({"judge": {"use": ["endpoint:http://127.0.0.1:9/v1#judge"]}}, "OPENAI_API_KEY holds characters that no key"),
        (
            {"teacher": {"a": {"use": "fake:log=asked.log"}, "b": {"use": PUBLIC}}},
            "(model 'judge') is a public server, and the environment variable OPENAI_API_KEY",
        ),
        (
            {"teacher": {"a": {"use": "fake:log=asked.log"}, "b": {"use": "transformers:no/such/model"}}},
            "No model at",
        ),
        (
            {"teacher": {"a": {"use": "fake:log=asked.log"}, "b": RECORDED}},
            "The recording has no column for the step 'critique'",
        ),
        (
            {"teacher": {"a": {"use": "fake:log=asked.log"}, "b": {**RECORDED, "columns": {"critique": "nowhere"}}}},
            "has no column 'nowhere'",
        ),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value[:40],
)
def test_what_training_audit_and_judges_lack_is_told_before_anybody_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], said: str
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    if "holds characters" in said:
        monkeypatch.setenv("OPENAI_API_KEY", "“key”")
    if isinstance(changed.get("teacher"), dict):
        changed = {**changed, "generate": ["explanation", {"critique": {"teacher": "b"}}]}
    shutil.copytree(MINI, tmp_path / "mini")
    path = paid(tmp_path, **changed)
    for command in ("generate", "run"):
        result = call(command, path)
        assert result.exit_code == 1, result.output
        assert said in " ".join(result.stderr.split())
    for act in (Run.generate, Run.all):
        with pytest.raises(ShrinkError, match=re.escape(said)):
            act(Run(Recipe.read(path)))
    assert asked(tmp_path) == 0


def test_without_test_questions_texts_are_written_and_no_run_begins(tmp_path: Path) -> None:
    path = paid(tmp_path, task={"test": 0.0})
    for command in ("run", "plan"):
        result = call(command, path)
        assert result.exit_code == 1
        assert "has no test questions, so no student could be evaluated. Write: task: {test: 0.2}" in result.stderr
    assert asked(tmp_path) == 0
    assert call("generate", path).exit_code == 0
    assert asked(tmp_path) == 6


def test_what_is_in_the_store_needs_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run goes on without a key, such as on another machine, and a plan asks nobody."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    path = paid(tmp_path, judge={"use": [PUBLIC]})
    assert call("plan", path, "--no-trial").exit_code == 0
    assert call("generate", path).exit_code == 1
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0000000000")
    assert call("generate", path).exit_code == 0
    monkeypatch.delenv("OPENAI_API_KEY")
    assert call("generate", path).exit_code == 0
    assert asked(tmp_path) == 6


def test_a_private_server_and_one_without_a_key_need_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shrinklm.teachers.base import TeacherOptions, make_teacher

    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for address in ("http://127.0.0.1:1", "https://10.0.0.4", "https://box.lan", "http://8.8.8.8"):
        make_teacher(f"endpoint:{address}/v1#m").check_access(["explanation"])
    make_teacher(PUBLIC, TeacherOptions(api_key_env="")).check_access(["explanation"])
    with server(lambda body, number: chat("A rope is what people climb down with, and a lamp only shines.")) as (
        url,
        seen,
    ):
        path = paid(tmp_path, teacher={"use": f"endpoint:{url}#m"})
        assert call("generate", path).exit_code == 0
        assert len(seen) == 6


def test_questions_that_are_too_long_are_counted_before_anybody_is_asked(tmp_path: Path) -> None:
    rows = [{**row, "question": "Which helps? " * (40 if index < 2 else 1)} for index, row in enumerate(ROWS)]
    path = paid(tmp_path, task={"dev": 0.0}, train={"max_length": 120})
    write(tmp_path, "train.jsonl", rows)
    told: list[tuple[int, str]] = []
    Run(Recipe.read(path), tick=lambda what, done, total, note: told.append((asked(tmp_path), note))).generate()
    assert (
        0,
        "2 of 8 training questions do not fit into 120 tokens in the view 'predict'; they are left out of it",
    ) in told


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("critique.md", "# assistant", "# helper", "lacks the section '# assistant'"),
        ("revision.md", "{critique}", "{critic}", "The prompt uses {critic}, which is not a value of this step"),
        ("judge.md", "# user", "# person", "lacks the section '# user'"),
    ],
)
def test_prompts_of_later_steps_are_read_before_anybody_is_asked(
    tmp_path: Path, name: str, old: str, new: str, said: str
) -> None:
    from shrinklm.teachers.prompts import FOLDER

    shutil.copytree(FOLDER, tmp_path / "own")
    file = tmp_path / "own" / name
    file.write_text(file.read_text().replace(old, new))
    path = paid(
        tmp_path,
        prompts="own",
        generate=["revision"],
        methods=["finetune", "multitask:revised"],
        judge={"use": ["fake:first"]},
    )
    for command in ("generate", "run"):
        result = call(command, path)
        assert result.exit_code == 1, result.output
        assert said in " ".join(result.stderr.split())
    assert asked(tmp_path) == 0
