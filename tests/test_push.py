"""Students with a model card: what the card says, that hostile texts stay texts, and what an upload does."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from cli_cases import call
from hub_stub import hub
from report_run import EVIL, add_likelihoods, write_run
from shrinklm import Run, TrainedStudent
from shrinklm.core.errors import StoreError
from shrinklm.deploy.answering import Answering
from shrinklm.deploy.hub.about import about
from shrinklm.deploy.hub.card import card
from shrinklm.deploy.hub.package import check_place
from shrinklm.deploy.hub.recipe import shared
from shrinklm.deploy.hub.terms import Terms, data_terms, stated_licence, terms_of
from shrinklm.methods.spec import method

TOKEN = "hf_0123456789abcdefghij"


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def pushed(deployed: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a student that explains after it answers."""
    folder = tmp_path_factory.mktemp("pushed") / "my student"
    done = call("push", deployed.folder, "--to", folder, "--cell", "multitask")
    assert done.exit_code == 0, done.output
    return folder


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)\n```", text, flags=re.DOTALL)


# The folder


def test_the_folder_is_a_student_of_its_own(pushed: Path, deployed: Run) -> None:
    names = {path.name for path in pushed.iterdir()}
    assert {"README.md", "model.safetensors", "config.json", "generation_config.json", "tokenizer.json"} <= names
    tests = deployed.splits["test"]
    ours, theirs = deployed.student("multitask").predict(tests), TrainedStudent.open(pushed).predict(tests)
    assert [(row.answer, row.raw, row.explanation) for row in ours] == [
        (row.answer, row.raw, row.explanation) for row in theirs
    ]
    again = call("push", deployed.folder, "--to", pushed, "--cell", "multitask")
    assert again.exit_code == 0, again.output


def test_the_snippets_of_the_card_run_and_say_what_the_student_says(
    pushed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, ours = blocks((pushed / "README.md").read_text(), "python")
    monkeypatch.chdir(pushed.parent)
    exec(plain, {})
    said = capsys.readouterr().out.strip("\n").split("\n")
    student = TrainedStudent.open(pushed)
    [answer] = student.predict([{"question": "Where do fish swim?", "choices": ["in the sea", "in the sky"]}])
    longest = max(student.answering.answer_tokens, student.answering.max_tokens)
    prompts = [
        view.prompt(replace(deployed_question(), choices=("in the sea", "in the sky")))
        for view in (student.answering.answer, student.answering.explain)
        if view
    ]
    assert said == student.student.answer(prompts, longest)
    scope: dict[str, Any] = {}
    exec(ours, scope)
    assert scope["answer"] == answer


def deployed_question() -> Any:
    from shrinklm import Example

    return Example("", "Where do fish swim?", (), "")


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, deployed: Run) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    done = call("push", deployed.folder, "--to", tmp_path)
    assert done.exit_code == 1
    assert "holds something else" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    ours = ("answering.json", "README.md", "model.safetensors", "tokenizer.json", "chat_template.jinja", "merges.txt")
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in ours:
        (clone / name).write_text("x")
    check_place(clone)
    (clone / ".git").mkdir()
    with pytest.raises(StoreError, match="holds something else"):
        check_place(clone)


# The card


def test_the_card_is_what_the_run_measured(pushed: Path, deployed: Run) -> None:
    text = (pushed / "README.md").read_text()
    data = ModelCard(text).data
    assert (data.license, data.language, data.library_name) == ("apache-2.0", "en", "transformers")
    [result] = data.eval_results
    own = about(deployed.folder, deployed.student("multitask").answering, "tiny", Path()).own["accuracy"]
    assert (result.metric_type, result.metric_value) == ("accuracy", round(100 * own.value, 2))
    assert result.metric_args["questions"] == own.n == 8
    assert result.metric_args["interval_95"] == [round(100 * own.low, 2), round(100 * own.high, 2)]
    table = [line for line in text.splitlines() if line.startswith("| multitask")]
    assert len(table) == 1
    assert table[0].count("(") >= 4, "an interval beside each figure"
    assert {row["name"] for row in map(yaml.safe_load, blocks(text, "yaml"))} == {"deployed"}
    for part in ("## What it is for", "## Limits", "## Training data and teacher", "## Provenance", "fake", "24 train"):
        assert part in text
    assert str(deployed.folder.parent) not in text


def test_the_card_says_how_far_the_probabilities_can_be_believed(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", methods=("finetune",), seeds=(0,), zero_shot=False)
    (weights := tmp_path / "weights").mkdir()
    (weights / "config.json").write_text("{}")
    cell = next((run / "cells").iterdir()).name
    answering = Answering(cell, "finetune", method("finetune").answer, None, 9, 9, "everyday", "choice")
    assert "## Probabilities" not in card(about(run, answering, "tiny", tmp_path), "x", weights)
    add_likelihoods(run)
    calibrated = replace(answering, temperature=0.5)
    text = card(about(run, calibrated, "tiny", tmp_path), "x", weights)
    assert "## Probabilities" in text
    assert "Expected calibration error" in text
    assert "are not calibrated" not in text
    assert "report/figures" not in text, "no picture goes along"


HOSTILE = {
    "name": "ok",
    "task": {"use": "table", "train": f"/home/me/{EVIL}.csv"},
    "teacher": {"use": "endpoint:http://user:secret@10.0.0.7:8000/v1?key=secret#gpt-4o", "extra": {"user": "secret"}},
    "student": [{"use": "causal:/home/me/models/base", "name": "| [x](javascript:alert(1)) `"}],
}


def hostile(tmp_path: Path) -> tuple[str, Path]:
    """The card of a run whose every text is markup."""
    run = write_run(tmp_path / "run", methods=("multitask",), seeds=(0,), zero_shot=False, evil=True)
    (run / "recipe.yaml").write_text(yaml.safe_dump(HOSTILE))
    data = json.loads((run / "data.json").read_text())
    (run / "data.json").write_text(json.dumps({**data, "task": f"questions\n---\nlicense: mit\n# {EVIL} ```"}))
    generations = json.loads((run / "generations.json").read_text())
    (run / "generations.json").write_text(json.dumps({**generations, "teacher": f"gpt-4o\n\n# {EVIL}"}))
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "config.json").write_text("{}")
    cell = json.loads(next((run / "cells").glob("*/cell.json")).read_text())
    trained = method("multitask")
    labels = ('it\'s "so"\n```\n# x', EVIL)
    answering = Answering(cell["cell"], "multitask", trained.answer, trained.explain, 9, 9, "table", "yesno", labels)
    known = about(run, answering, "causal:/home/me/models/base", tmp_path)
    return card(known, f"evil {EVIL}", weights), run


def test_hostile_texts_stay_texts(tmp_path: Path) -> None:
    text, _ = hostile(tmp_path)
    data = ModelCard(text).data
    assert data.license == "unknown"
    front, _, rest = text.removeprefix("---\n").partition("\n---\n")
    assert yaml.safe_load(front)["model-index"][0]["name"].startswith("evil </script>")
    fences = re.findall(r"^(`{3,}).*?^\1$", rest, flags=re.DOTALL | re.MULTILINE)
    assert len(fences) == 3, "two snippets and the recipe"
    prose = re.sub(r"^(`{3,}).*?^\1$", "", rest, flags=re.DOTALL | re.MULTILINE)
    # Of angle brackets there are those of our own links.
    assert not re.search(r"<(?!https://)", prose)
    assert not re.search(r"(?<!\\)\[", prose)
    headings = [line for line in prose.splitlines() if line.startswith("#")]
    assert len([line for line in headings if line.startswith("# ")]) == 1
    assert "---" not in [line.strip() for line in prose.splitlines()]
    for secret in ("secret", "10.0.0.7", "/home/me"):
        assert secret not in text
    for code in re.findall(r"^```+python\n(.*?)^```+$", rest, flags=re.DOTALL | re.MULTILINE):
        compile(code, "snippet", "exec")


def test_a_teacher_whose_terms_restrict_is_warned_of(tmp_path: Path) -> None:
    text, _ = hostile(tmp_path)
    assert "OpenAI's Terms of Use (2024) forbid using output to develop models that compete with OpenAI" in text
    assert "<https://openai.com/policies/terms-of-use/>" in text
    assert "no legal advice" in text
    assert "The licence of the base model" in text


def test_a_method_without_a_teacher_warns_of_none(tmp_path: Path) -> None:
    _, run = hostile(tmp_path)
    cell = next((run / "cells").glob("*/cell.json"))
    cell.write_text(json.dumps({**json.loads(cell.read_text()), "method": "finetune"}))
    trained = method("finetune")
    answering = Answering(cell.parent.name, "finetune", trained.answer, None, 9, 9, "csqa", "choice")
    known = about(run, answering, "causal:meta-llama/Llama-3.2-1B", tmp_path)
    assert known.teachers == {}
    warning, unknown = known.warnings
    assert "The licence of the training questions" in unknown
    assert (
        "The student starts from meta-llama/Llama-3.2-1B. Llama 3.2 Community License (2024): the name must begin"
        in (warning)
    )


@pytest.mark.parametrize(
    ("name", "licence", "output"),
    [
        ("gpt-4o-mini-2024-07-18", "openai", "restricted"),
        ("openai/o3-mini", "openai", "restricted"),
        ("openai/gpt-oss-120b", "apache-2.0", "allowed"),
        ("EleutherAI/gpt-neox-20b", "apache-2.0", "allowed"),
        ("anthropic/claude-sonnet-4.5", "anthropic", "restricted"),
        ("models/gemini-2.5-flash", "gemini", "restricted"),
        ("google/gemma-2-9b-it", "gemma", "restricted"),
        ("recorded:cqa-llama2.parquet", "llama2", "forbidden"),
        ("Meta-Llama-3-8B-Instruct.Q4_K_M", "llama3", "forbidden"),
        ("meta-llama/Llama-3.1-8B", "llama3.1", "restricted"),
        ("Qwen/Qwen2.5-3B-Instruct", "qwen-research", "restricted"),
        ("Qwen2.5-Coder-1.5B-Instruct-Q4_K_M", "apache-2.0", "allowed"),
        ("Qwen/Qwen-14B-Chat", "tongyi-qianwen", "forbidden"),
        ("mistralai/Mistral-Large-Instruct-2411", "mrl", "restricted"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "apache-2.0", "allowed"),
        ("CohereForAI/c4ai-command-r-plus", "cc-by-nc-4.0", "restricted"),
        ("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "apache-2.0", "allowed"),
        ("my own model", "", "unknown"),
        ("", "", "unknown"),
    ],
)
def test_terms_by_name(name: str, licence: str, output: str) -> None:
    terms = terms_of(name)
    assert (terms.id, terms.output) == (licence, output)
    assert not licence or (
        terms.link.startswith("https://") and 1980 < terms.year < 2030 and terms.title and terms.says
    )


def test_a_stated_licence_counts_more_than_a_name(tmp_path: Path) -> None:
    assert stated_licence(tmp_path) == ""
    (tmp_path / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n# x\n")
    assert terms_of("Qwen3-8B", stated_licence(tmp_path)).id == "cc-by-nc-4.0"
    for text in ("---\nlicense: [mit]\n---\n", "---\n: : [\n---\n", "no front matter", "---\nlicense: mit"):
        (tmp_path / "README.md").write_text(text)
        assert stated_licence(tmp_path) in ("", "mit")
    assert terms_of("Qwen3-8B", "something of our own") == Terms("")
    assert data_terms("no such task").terms == Terms("")


def test_a_recipe_for_others_has_no_paths_addresses_or_extras() -> None:
    shown = shared(
        {
            "task": {"train": "/home/me/q.csv", "test": "data/t.csv", "dev": 0.1, "where": {}},
            "teacher": {
                "a": {"use": "transformers:~/models/big", "extra": {"k": "secret"}, "api_key_env": "K"},
                "b": {"use": "recorded:../x/r1.csv,C:\\Users\\me\\r2.csv"},
                "c": {"use": "endpoint:https://u:p,q@host.local:1/v1#org/model,endpoint:http://b/v1#a@b"},
            },
            "student": [{"use": "causal:org/name@main", "lora": None}, {"use": "tiny"}],
            "prompts": "./my prompts/",
        }
    )
    assert shown["task"] == {"train": "q.csv", "test": "data/t.csv", "dev": 0.1}
    assert [teacher["use"] for teacher in shown["teacher"].values()] == [
        "transformers:big",
        "recorded:r1.csv,r2.csv",
        "endpoint:URL#org/model,endpoint:URL#a@b",
    ]
    assert "extra" not in shown["teacher"]["a"]
    assert shown["student"] == [{"use": "causal:org/name@main"}, {"use": "tiny"}]
    assert shown["prompts"] == "my prompts"


# The Hub


def test_an_upload_is_one_commit_and_the_token_is_kept_nowhere(
    tmp_path: Path, deployed: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.chdir(tmp_path)
    with hub(monkeypatch) as held:
        done = call("push", deployed.folder, "--to", "org/name", "--private", "--json")
        assert done.exit_code == 0, done.output
        row = json.loads(done.stdout)
        again = call("push", deployed.folder, "--to", "org/name")
        held.public.add("org/name")
        seen = call("push", deployed.folder, "--to", "org/name", "--private")
    assert row["address"] == f"{held.url}/org/name/commit/{'0' * 40}"
    assert held.commits[0] == sorted(row["files"])
    assert held.repositories["org/name"]["README.md"].decode() == row["card"]
    assert again.exit_code == 0, again.output
    assert (seen.exit_code, len(held.commits)) == (1, 2)
    assert "everybody can see it" in seen.output
    assert held.tokens - {None} == {f"Bearer {TOKEN}"}
    assert TOKEN not in done.output + again.output + seen.output
    assert not any(TOKEN.encode() in content for content in held.repositories["org/name"].values())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("fails", "says"), [({"commit": 403}, "may the token write there?"), ({"create": 401}, "401")])
def test_an_upload_that_fails_says_so(
    tmp_path: Path, deployed: Run, monkeypatch: pytest.MonkeyPatch, fails: dict[str, int], says: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.chdir(tmp_path)
    with hub(monkeypatch) as held:
        held.fails = fails
        done = call("push", deployed.folder, "--to", "org/name")
    assert done.exit_code == 1
    assert says in done.output
    assert "org/name was not uploaded" in done.output
    assert TOKEN not in done.output
    assert not any(held.repositories.values())


def test_without_a_token_or_a_network_nothing_is_done(
    tmp_path: Path, deployed: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = call("push", deployed.folder, "--to", "org/name")
    assert done.exit_code == 1
    assert "HF_TOKEN" in done.output
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    done = call("push", deployed.folder, "--to", "org/name")
    assert done.exit_code == 1
    assert "org/name was not uploaded" in done.output


def test_a_dry_run_shows_the_card_and_does_nothing(
    tmp_path: Path, deployed: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with hub(monkeypatch) as held:
        done = call("push", deployed.folder, "--to", "org/name", "--dry-run")
        folder = call("push", deployed.folder, "--to", "folder", "--dry-run")
    assert done.exit_code == folder.exit_code == 0, done.output
    assert "model.safetensors" in done.output
    assert "# org/name" in done.output
    assert "nothing was written or uploaded" in folder.output
    assert not held.tokens
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_could_be_both_is_asked_about(
    tmp_path: Path, deployed: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    done = call("push", deployed.folder, "--to", "runs/name")
    assert done.exit_code == 1
    assert "--to ./runs/name" in done.output
    for wrong in ("org/na me", "org/-x", "a/b--c"):
        assert call("push", deployed.folder, "--to", wrong, "--dry-run").exit_code == 1
