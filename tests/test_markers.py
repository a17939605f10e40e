"""Steps that mark words: the teachers, what is stored, asked again and refused, and the figures of a run."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from cli_cases import call
from cli_cases import recipe as recipe_file
from shrinklm import Recipe, Run
from shrinklm.core.errors import MethodError, RecipeError, ShrinkError, TeacherError
from shrinklm.core.marking import Keep, Marking, words
from shrinklm.core.types import Completion, Example, Prompt, Sampling, Turn
from shrinklm.methods.builtin import ASK
from shrinklm.models.locate import locate_model
from shrinklm.saliency.attribution import AttributionSettings
from shrinklm.saliency.controls import Chance, Counts
from shrinklm.saliency.whitebox import NO_WORDS, WhiteBox
from shrinklm.teachers.steps import STEPS
from shrinklm.teachers.store import Store
from student_cases import fresh, many

MARKS = [step.name for step in STEPS.values() if step.marks]
BLOCKS: dict[str, Any] = {
    "name": "r",
    "task": {"use": "everyday", "limit": {"train": 12, "dev": 3, "test": 6}},
    "generate": MARKS,
    "salient": {"use": "transformers:teacher", "erase": 4, "compare": 2, "batch": 5, "questions": 4},
    "methods": ["salient", "own-saliency", "tfidf-tokens", "random-tokens", "salient:top=2,order=score"],
    "student": "tiny",
    "train": {"examples": 12, "batch": 4, "learning_rate": 1e-3, "curve": 0, "checkpoints": 1, "precision": "fp32"},
    "evaluate": {"explanations": 2, "max_tokens": 8},
}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of safetensors with a small random model."""
    folder = tmp_path_factory.mktemp("models") / "teacher"
    fresh("tiny", seed=3).save(folder)
    return folder


def recipe(root: Path, folder: Path, **changes: Any) -> Recipe:
    blocks = {**BLOCKS, "root": root}
    for name, change in changes.items():
        old = blocks.get(name)
        blocks[name] = {**old, **change} if isinstance(old, dict) and isinstance(change, dict) else change
    if blocks["salient"].get("use") == "transformers:teacher":
        blocks["salient"] = {**blocks["salient"], "use": f"transformers:{folder}"}
    return Recipe.parse(blocks)


def white_box(model: Any = None, **options: Any) -> WhiteBox:
    model = model or fresh("tiny")
    settings = options.pop("settings", AttributionSettings("gradient", "l2", "max", steps=32))
    return WhiteBox(lambda: model, "tiny", "1", ASK, settings, **{"label": "gold", "batch": 32, **options})


def asked(examples: Sequence[Example]) -> list[Prompt]:
    return [Prompt((Turn("user", example.text),), example, "salient", example.answer) for example in examples]


def said(teacher: Any, examples: Sequence[Example]) -> dict[int, Completion]:
    return dict(teacher.complete(asked(examples), Sampling()))


def test_a_run_marks_trains_measures_and_reports(tmp_path: Path, teacher: Path) -> None:
    run = Run(recipe(tmp_path, teacher))
    page = run.all().read_text(encoding="utf-8")
    figures = json.loads((run.folder / "saliency" / "figures.json").read_text())
    assert list(figures["steps"]) == ["salient", "own-saliency", "tfidf-tokens", "random-tokens"]
    assert {name: step["n"] for name, step in figures["steps"].items()} == dict.fromkeys(figures["steps"], 12)
    assert figures["steps"]["salient"]["by"] == "teacher"
    assert figures["steps"]["salient"]["method"].startswith("gradient")
    assert figures["model"]["accuracy"]["before"]["n"] == 4
    assert figures["model"]["accuracy"]["after"] is None
    assert figures["erased"] == 4
    assert figures["agreement"]["n"] == 2
    assert "own-saliency" in page
    assert "tfidf-tokens" in page
    targets = {}
    for name in ("salient", "random-tokens", "salient_top=2_order=score"):
        rows = [
            json.loads(line)
            for line in (run.folder / "cells" / f"{name}--tiny--s0" / "pairs.jsonl").read_text().splitlines()
        ]
        targets[name] = {row["example_id"]: row["target"].split() for row in rows if row["view"] == "salient"}
    assert {len(words) for words in targets["salient"].values()} == {5}
    assert {len(words) for words in targets["salient_top=2_order=score"].values()} == {2}
    assert targets["salient"] != targets["random-tokens"]
    for example, best in targets["salient_top=2_order=score"].items():
        assert set(best) <= set(targets["salient"][example])
    before = (run.folder / "saliency" / "figures.json").stat().st_mtime_ns
    Run(recipe(tmp_path, teacher)).all()
    assert (run.folder / "saliency" / "figures.json").stat().st_mtime_ns == before, "what is done is not done again"


def test_a_marking_has_provenance_and_spans(tmp_path: Path, teacher: Path) -> None:
    run = Run(recipe(tmp_path, teacher, generate=["salient"], methods=["salient"]))
    report = run.generate()
    assert (report.steps["salient"].asked, report.steps["salient"].kept) == (12, 12)
    by_id = {example.id: example for example in run.splits["train"]}
    for found in Store(run.recipe.path(run.recipe.store)):
        marking, example = Marking.read(found.text), by_id[found.example_id]
        assert [example.text[start:end] for start, end in marking.spans] == list(marking.words)
        assert sum(marking.scores) == pytest.approx(1, abs=1e-4)
        assert found.answer == marking.label == example.answer
        assert (found.source.teacher, found.source.revision) == ("teacher", locate_model(str(teacher)).revision)
        assert found.source.tokens_in > 20
        assert json.loads(json.loads(found.prompt)[0]["text"]) == {
            "label": "gold", "method": "gradient", "norm": "l2", "pieces": "max", "tag": "Answer:",
        }  # fmt: skip


def test_nothing_is_marked_twice_and_another_way_is_another_marking(tmp_path: Path, teacher: Path) -> None:
    assert Run(recipe(tmp_path, teacher)).generate().steps["salient"].asked == 12
    again = Run(recipe(tmp_path, teacher, methods=["salient:top=0.5"])).generate().steps["salient"]
    assert (again.found, again.asked) == (12, 0), "how many words are kept asks for no new gradient"
    other = Run(recipe(tmp_path, teacher, salient={"norm": "l1"})).generate()
    assert (other.steps["salient"].asked, other.steps["own-saliency"].asked, other.steps["tfidf-tokens"].asked) == (
        12,
        12,
        0,
    )


def test_killed_while_marking_it_goes_on_where_it_was(
    tmp_path: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = WhiteBox.complete

    def broken(self: WhiteBox, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        for count, found in enumerate(whole(self, prompts, sampling)):
            if count == 7:
                raise KeyboardInterrupt
            yield found

    monkeypatch.setattr(WhiteBox, "complete", broken)
    with pytest.raises(KeyboardInterrupt):
        Run(recipe(tmp_path, teacher, generate=["salient"], methods=["salient"])).generate()
    monkeypatch.setattr(WhiteBox, "complete", whole)
    step = Run(recipe(tmp_path, teacher, generate=["salient"], methods=["salient"])).generate().steps["salient"]
    assert (step.found, step.asked, step.kept) == (7, 5, 12)


def test_each_student_marks_its_own_words(tmp_path: Path, teacher: Path) -> None:
    students = [{"use": "tiny", "name": "one"}, {"use": "tiny:seq2seq", "name": "two"}]
    run = Run(recipe(tmp_path, teacher, student=students, generate=["own-saliency"], methods=["own-saliency"]))
    report = run.generate()
    assert {name: step.asked for name, step in report.steps.items()} == {
        "own-saliency (one)": 12,
        "own-saliency (two)": 12,
    }
    texts = [
        [found.text for said in run.corpus(0, student).generations.values() for found in said.values()]
        for student in run.recipe.student
    ]
    assert [len(found) for found in texts] == [12, 12]
    assert texts[0] != texts[1]
    run.train()


@pytest.mark.parametrize("spec", ["endpoint:http://127.0.0.1:9/v1#m", "recorded:said.jsonl", "fake"])
def test_a_teacher_without_gradients_says_so_and_names_what_works(tmp_path: Path, teacher: Path, spec: str) -> None:
    (tmp_path / "said.jsonl").write_text('{"id": "1", "e": "It fits."}\n')
    block = {"use": spec, "columns": {"explanation": "e"}}
    run = Run(
        recipe(tmp_path, teacher, teacher=block, salient={"use": None}, generate=["salient"], methods=["salient"])
    )
    with pytest.raises(TeacherError, match=r"shows no gradients.*salient: \{use: transformers:PATH_OR_ID\}"):
        run.generate()


def test_a_gguf_file_that_cannot_be_read_says_what_is_needed(tmp_path: Path, teacher: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + bytes(64))
    run = Run(
        recipe(
            tmp_path, teacher, salient={"use": "transformers:broken.gguf"}, generate=["salient"], methods=["salient"]
        )
    )
    with pytest.raises(
        TeacherError, match=r"broken\.gguf cannot be read as a GGUF model.*a GGUF file that can be dequantised"
    ):
        run.generate()


def test_an_item_longer_than_the_context_is_refused_not_cut() -> None:
    model = fresh("tiny", max_length=60)
    short, long = many(1)[0], Example("long", "Which one goes " + "very " * 80 + "well?", ("apple", "river"), "river")
    found = said(white_box(model), [long, short])
    assert found[0].text == ""
    assert found[0].refusal is not None
    assert found[0].refusal.startswith("the prompt does not fit: ")
    assert found[0].refusal.endswith(", limit 60")
    assert found[1].refusal is None


def test_a_question_without_content_words_is_refused() -> None:
    assert said(white_box(), [Example("none", "Is it?", ("yes", "no"), "yes")])[0].refusal == NO_WORDS


def test_the_models_own_answer_can_be_attributed() -> None:
    model = fresh("tiny")
    labels = {}
    for example in many(6):
        marking = Marking.read(said(white_box(model, label="own"), [example])[0].text)
        pairs = [(model.likelihood([_pair(example, choice)])[0] / len(choice), choice) for choice in example.choices]
        labels[example.id] = (marking.label, max(pairs)[1])
    assert all(own == likeliest for own, likeliest in labels.values())


def _pair(example: Example, choice: str) -> Any:
    from shrinklm.core.types import Pair

    return Pair(ASK.prompt(example), choice)


def test_free_answers_attribute_what_the_model_says() -> None:
    example = Example("free", "Ann had 9 plums and ate 4. How many are left?", (), "5")
    model = fresh("tiny")
    model.answer = lambda prompts, *rest: ["The answer is 7."]
    view_own = white_box(model, label="own")
    assert Marking.read(said(view_own, [example])[0].text).label == "The answer is 7"
    model.answer = lambda prompts, *rest: [" "]
    assert said(view_own, [example])[0].refusal == "no answer"


def test_integrated_gradients_that_do_not_add_up_are_warned_of() -> None:
    settings = AttributionSettings("integrated_gradients", "l2", "max", steps=1, most_steps=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = said(white_box(settings=settings), many(4))
    errors = [Marking.read(completion.text).figures["completeness_error"] for completion in found.values()]
    missed = sum(error > 0.05 for error in errors)
    assert missed
    assert any(f"of {missed} of 4 questions miss" in str(warning.message) for warning in caught)


def test_train_teacher_fine_tunes_and_the_marks_are_its_own(tmp_path: Path, teacher: Path) -> None:
    blocks = {"finetune": {"examples": 12, "batch": 4, "learning_rate": 1e-3, "curve": 0, "checkpoints": 1}}
    asked = recipe(tmp_path, teacher, salient=blocks, generate=["salient"], methods=["salient"])
    with pytest.raises(TeacherError, match=r"not fine-tuned yet\. Run: shrinklm train-teacher"):
        Run(asked).generate()
    accuracy = Run(asked).train_teacher()
    assert {when: found["n"] for when, found in accuracy.items()} == {"before": 4, "after": 4}
    weights = (tmp_path / "runs" / "r" / "teacher" / "student" / "model.safetensors").read_bytes()
    assert Run(asked).train_teacher() == accuracy
    assert (tmp_path / "runs" / "r" / "teacher" / "student" / "model.safetensors").read_bytes() == weights
    run = Run(asked)
    run.generate()
    found = next(iter(Store(run.recipe.path(run.recipe.store))))
    assert found.source.teacher == "teacher fine-tuned"
    assert found.source.revision != locate_model(str(teacher)).revision
    assert json.loads(json.loads(found.prompt)[0]["text"])["tag"] == "[predict]"


def test_without_a_fine_tuning_block_train_teacher_says_what_to_write(tmp_path: Path, teacher: Path) -> None:
    with pytest.raises(RecipeError, match=r"Add: salient: \{use: .*finetune"):
        Run(recipe(tmp_path, teacher)).train_teacher()


def test_a_step_that_was_not_taken_is_named(tmp_path: Path, teacher: Path) -> None:
    with pytest.raises(MethodError, match="Run: shrinklm generate RECIPE --step salient"):
        Run(recipe(tmp_path, teacher)).saliency()
    nothing = recipe(tmp_path, teacher, generate=[], methods=["finetune"], name="other")
    with pytest.raises(RecipeError, match="asks for no marked words"):
        Run(nothing).saliency()


def test_a_salient_step_needs_a_model_to_look_into(tmp_path: Path, teacher: Path) -> None:
    with pytest.raises(ShrinkError, match=r"needs a model to look into, such as salient: \{use"):
        recipe(tmp_path, teacher, salient={"use": None})


def test_the_same_seed_marks_the_same_words_at_random_and_repeats_do_not_help_a_word() -> None:
    examples = many(4)
    assert said(Chance(), examples) == said(Chance(), examples)
    assert said(Chance(), examples) != said(Chance(1), examples)
    twice = Example("twice", "Does the apple fall near the apple tree?", ("apple", "river"), "apple")
    scores = Marking.read(said(Chance(), [twice])[0].text)
    assert len({score for word, score in zip(scores.words, scores.scores, strict=True) if word == "apple"}) == 1


def test_tfidf_is_the_formula() -> None:
    examples = [Example(str(i), question, (), "x") for i, question in enumerate(["red fox", "red red dog", "blue fox"])]
    scores = Counts(examples).scores(examples[1])
    common, rare = 1 + torch.log(torch.tensor(4 / 3)).item(), 1 + torch.log(torch.tensor(4 / 2)).item()
    assert scores == pytest.approx([2 * common, 2 * common, rare])
    assert [word.text for word in words(examples[1])] == ["red", "red", "dog"]
    assert Counts(examples).revision != Counts(examples[:2]).revision, "other counts are other markings"


def test_kept_words() -> None:
    example = Example(
        "k", "Where would the old fox sleep, if the fox is tired?", ("in a den", "on the moon"), "in a den"
    )
    shown = [word.text for word in words(example)]
    scores = [float(len(word)) if word != "fox" else 10.0 + place for place, word in enumerate(shown)]
    kept = [shown[place] for place in Keep(3).choose(example, scores)]
    assert kept == ["sleep", "fox", "tired"], "each word once, where it scores highest, in the order of the text"
    assert shown[Keep(3, "score").choose(example, scores)[0]] == "fox"
    content = {word.text for word in words(example) if word.content}
    assert content == {"old", "fox", "sleep", "tired", "den", "moon"}
    assert [len(Keep(top).choose(example, scores)) for top in (0.01, 0.5, 0.51, 5, 99)] == [1, 3, 4, 5, 6]


def test_a_question_that_all_rows_ask_is_a_prompt() -> None:
    example = Example(
        "n", "Does it follow?", ("yes", "no"), "yes", {"premise": "A boy sleeps."}, {"same_question": True}
    )
    assert [word.text for word in words(example)] == ["A", "boy", "sleeps", "yes", "no"]


def test_the_commands(tmp_path: Path, teacher: Path) -> None:
    changes = {key: value for key, value in BLOCKS.items() if key not in ("name", "train")}
    changes["salient"] = {"use": f"transformers:{teacher}", "erase": 2, "compare": 0, "questions": 0}
    path = recipe_file(tmp_path, **{**changes, "teacher": None, "methods": ["salient"]})
    assert "finetune" in call("train-teacher", path).output
    assert call("generate", path).exit_code == 0
    shown = call("saliency", path)
    assert shown.exit_code == 0, shown.output
    assert "In gold option" in shown.output
    assert "chance" in shown.output
    figures = json.loads(call("saliency", path, "--json").stdout)
    assert figures["erased"] == 2
    item = next(iter(Run(Recipe.read(path)).splits["train"]))
    drawn = call("explain-saliency", tmp_path / "runs" / "mini", "--item", item.id, "--png", tmp_path / "item.png")
    assert drawn.exit_code == 0, drawn.output
    assert (tmp_path / "item.png").stat().st_size > 5_000
    assert "random-tokens" in drawn.output
