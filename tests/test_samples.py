"""Several texts of a question: asked for, kept, read from recordings, trained on in turns, and counted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from shrinklm.core.errors import RecipeError
from shrinklm.core.types import Completion, Generation, Prompt, Sampling
from shrinklm.evaluation.audit import audit_texts
from shrinklm.evaluation.drop import LEAKS, Drop, leave_out
from shrinklm.methods.corpus import Corpus
from shrinklm.methods.spec import method
from shrinklm.run.recipe import Recipe
from shrinklm.run.run import Run
from shrinklm.tasks.base import parse_answer
from shrinklm.teachers.base import BaseTeacher, TeacherOptions, make_teacher
from shrinklm.teachers.fake import FakeTeacher
from shrinklm.teachers.generate import GenerationsByExample, Report, read_steps, run_steps
from shrinklm.teachers.prompts import Prompts
from shrinklm.teachers.seeds import MOST_SAMPLES, seed_of
from shrinklm.teachers.steps import StepRequest
from shrinklm.teachers.store import Store
from teacher_cases import BEAVER, EXAMPLES, settings


class Noting(FakeTeacher):
    """The fake teacher, which notes what it is asked, and refuses what `refuse` says."""

    def __init__(self, refuse: Any = lambda prompt, sampling: False) -> None:
        super().__init__()
        self.refuse = refuse
        self.asked: list[tuple[str, str, Sampling]] = []

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        for position, completion in super().complete(prompts, sampling):
            self.asked.append((prompts[position].example.id, prompts[position].answer, sampling))
            yield position, Completion("") if self.refuse(prompts[position], sampling) else completion


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "g.db") as opened:
        yield opened


def go(teacher: BaseTeacher, store: Store, *steps: StepRequest, **changes: Any) -> tuple[Report, GenerationsByExample]:
    arguments = (EXAMPLES, steps, teacher, Prompts("choice"), store, settings(**changes), parse_answer)
    report = run_steps(*arguments)
    return report, read_steps(*arguments)[0]


def asks(name: str, samples: int | None = None) -> StepRequest:
    return StepRequest(name, 1, None, None, samples)


@pytest.mark.parametrize("temperature", [0.0, 0.4])
def test_samples_are_further_texts_beside_the_one_that_was_there(store: Store, temperature: float) -> None:
    teacher = Noting()
    _, alone = go(teacher, store, asks("explanation"), temperature=temperature)
    first = alone["beaver"]["explanation", BEAVER.answer]
    assert first.texts == (first,)
    assert not first.samples
    teacher.asked.clear()
    report, known = go(teacher, store, asks("explanation", 4), temperature=temperature)
    several = known["beaver"]["explanation", BEAVER.answer]
    assert several.texts[0] == first
    assert (several.key, several.text) == (first.key, first.text)
    assert len({text.text for text in several.texts}) == len({text.source.seed for text in several.texts}) == 4
    # Only what was lacking is asked; where greedy texts would be alike they are drawn, else as the recipe says.
    assert {sampling.temperature for _, _, sampling in teacher.asked} == {temperature or 0.7}
    usage = report.steps["explanation"]
    assert (usage.found, usage.asked, usage.kept) == (3, 9, 12)
    assert len(store) == 12
    teacher.asked.clear()
    go(teacher, store, asks("explanation", 2), temperature=temperature)
    assert not teacher.asked


def test_the_seed_of_a_text_is_that_of_no_other() -> None:
    seeds = Counter(
        seed_of(seed, sample, attempt)
        for seed in (*range(200), 20_240_101, 2_000_000, 10_000_000)
        for sample in range(MOST_SAMPLES)
        for attempt in range(6)
    )
    assert set(seeds.values()) == {1}
    assert max(seeds) < 2**31
    assert seed_of(7, 0, 2) == 2007  # as version 0.1.0 counted


def test_every_sample_has_its_own_tries_and_the_first_kept_one_counts(store: Store) -> None:
    nothing = seed_of(0, 0, 0), seed_of(0, 0, 1), seed_of(0, 2, 0)
    teacher = Noting(lambda prompt, sampling: prompt.example is BEAVER and sampling.seed in nothing)
    report, known = go(teacher, store, asks("explanation", 3), asks("critique"), retries=1)
    several = known["beaver"]["explanation", BEAVER.answer]
    assert [bool(text.refusal) for text in several.texts] == [True, False, False]
    assert [text.source.seed for text in several.texts] == [seed_of(0, 0, 1), seed_of(0, 1, 0), seed_of(0, 2, 1)]
    assert (several.text, several.refusal) == (several.texts[1].text, None)
    # What builds on it builds on the one that counts.
    assert known["beaver"]["critique", BEAVER.answer].parents == (several.texts[1].key,)
    usage = report.steps["explanation"]
    assert (usage.asked, usage.retried, usage.kept, usage.refused.total()) == (11, 2, 8, 1)
    assert usage.asked == usage.kept + usage.refused.total() + usage.retried


def test_labels_are_sampled_too_and_answers_that_differ_do_not_take_turns(store: Store) -> None:
    known = go(FakeTeacher(), store, asks("label", 8))[1]
    labels = {example.id: known[example.id]["label", ""] for example in EXAMPLES}
    assert all(len(label.texts) == 8 for label in labels.values())
    assert any(len({text.answer for text in label.texts}) > 1 for label in labels.values())
    corpus = Corpus(EXAMPLES, known)
    for index, example in enumerate(EXAMPLES):
        shown = [corpus.in_epoch(index, epoch)["label", ""] for epoch in range(16)]
        assert {text.answer for text in shown} == {labels[example.id].answer}
        same = [text for text in labels[example.id].texts if text.answer == labels[example.id].answer]
        assert len({text.key for text in shown}) == len(same)


def test_what_cannot_be_built_on_is_missing_as_often_as_it_was_asked_for(store: Store) -> None:
    teacher = Noting(lambda prompt, sampling: prompt.kind == "explanation" and prompt.example.id != "beaver")
    report, _ = go(teacher, store, asks("explanation"), asks("critique", 3))
    usage = report.steps["critique"]
    assert (usage.asked, usage.unasked, usage.refused.total()) == (3, 6, 6)


def test_training_takes_the_samples_in_turns_and_equally_often(store: Store) -> None:
    known = go(FakeTeacher(), store, asks("explanation", 3), asks("counterfactual", 2))[1]
    corpus, trained = Corpus(EXAMPLES, known, seed=3), method("multitask+counterfactual")
    for index in range(len(EXAMPLES)):
        rows = [{item.view.name: item.pair for item in corpus.pairs(trained, index, epoch)} for epoch in range(12)]
        assert sorted(Counter(row["explain"].target for row in rows).values()) == [4, 4, 4]
        assert len({row["explain"].target for row in rows[:3]}) == 3
        # Each wrong option with each of its samples.
        assert sorted(Counter(row["counterfactual"].prompt for row in rows).values()) == [3, 3, 3, 3]
        # The views of one example in one epoch show the same text.
        assert all(row["factual"].target.startswith(row["explain"].target) for row in rows)
    again = Corpus(EXAMPLES, known, seed=3)
    assert again.pairs(trained, 0, 5) == corpus.pairs(trained, 0, 5)
    # Not all examples begin with the same sample.
    assert len({corpus.in_epoch(i, 0)["explanation", one.answer].source.seed for i, one in enumerate(EXAMPLES)}) == 3


def test_the_audit_and_what_is_left_out_count_every_sample(store: Store) -> None:
    known = go(FakeTeacher(), store, asks("explanation", 3))[1]
    figures = audit_texts(EXAMPLES, known, ["explanation"], samples={"explanation": 4})["steps"]["explanation"]
    assert (figures["n"], figures["missing"], figures["kept"]) == (12, 3, 9)
    slot = ("explanation", BEAVER.answer)
    leaking = [*known["beaver"][slot].texts]
    leaking[0] = Generation(**{**vars(leaking[0]), "text": f"The answer is {BEAVER.answer}."})
    known["beaver"][slot] = Generation(**{**vars(leaking[0]), "samples": tuple(leaking)})
    left, counts = leave_out(EXAMPLES, known, Drop((), None, leaks=True, argues_other=False, rules=False))
    assert counts == {"explanation": {LEAKS: 1}}
    assert left["beaver"][slot].key == leaking[1].key
    assert [text.refusal for text in left["beaver"][slot].texts] == [LEAKS, None, None]


@pytest.mark.parametrize(
    ("file", "cell"),
    [
        ("jsonl", ["It's so.", 'He said "[no]".', "Trees, by\nwater."]),
        ("csv", str(["It's so.", 'He said "[no]".', "Trees, by\nwater."])),
        ("csv", json.dumps(["It's so.", 'He said "[no]".', "Trees, by\nwater."])),
        ("csv", """["It's so." 'He said "[no]".'\n 'Trees, by\\nwater.']"""),  # as numpy writes it
        ("parquet", ["It's so.", 'He said "[no]".', "Trees, by\nwater."]),
    ],
)
def test_a_list_in_a_recording_is_samples(tmp_path: Path, file: str, cell: Any) -> None:
    import pandas as pd

    table = pd.DataFrame({"id": ["beaver", "skates"], "why": [cell, "[Skates] glide."], "other": ["", ""]})
    path = tmp_path / f"r.{file}"
    {
        "csv": lambda: table.to_csv(path, index=False),
        "jsonl": lambda: table.to_json(path, orient="records", lines=True),
        "parquet": lambda: pd.DataFrame({"id": ["beaver", "skates"], "why": [cell, ["[Skates] glide."]]}).to_parquet(
            path
        ),
    }[file]()
    teacher = make_teacher(f"recorded:{path}", TeacherOptions(columns={"explanation": "why"}))
    prompts = [Prompt((), example, "explanation", example.answer) for example in EXAMPLES]
    assert teacher.listed(prompts[0]) == 3
    assert teacher.listed(prompts[2]) is None
    texts = [next(iter(teacher.complete(prompts[:1], Sampling(seed=seed))))[1].text for seed in (1, 2, 3)]
    assert texts == ["It's so.", 'He said "[no]".', "Trees, by\nwater."]
    assert next(iter(teacher.complete(prompts[1:2], Sampling(seed=1))))[1].text == "[Skates] glide."


def test_a_recipe_reads_and_trains_on_a_recorded_list(tmp_path: Path) -> None:
    rows = [
        {"id": f"q{i}", "question": f"Where is thing {i}?", "a": "here", "b": "there", "answer": "here",
         "why": [f"People put thing {i} here.", f"Thing {i} is here, as all know."] if i else "Thing 0 is here."}
        for i in range(12)
    ]  # fmt: skip
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    block: dict[str, Any] = {
        "name": "r", "root": tmp_path, "student": "tiny", "methods": ["multitask"], "generate": ["explanation"],
        "task": {"use": "table", "train": "t.jsonl", "dev": 0.1, "test": 0.2,
                 "columns": {"id": "id", "question": "question", "choices": ["a", "b"], "answer": "answer"}},
        "teacher": {"use": "recorded:t.jsonl", "columns": {"explanation": "why"}},
    }  # fmt: skip
    run = Run(Recipe.parse(block))
    rows = list(run.preview(0, epoch=0)) + list(run.preview(0, epoch=1))
    targets = Counter(row["target"] for row in rows if row.get("view") == "explain")
    assert not any("['" in target for target in targets)
    listed = [target for target in targets if "Thing 0" not in target]
    assert all(targets[target] == 1 for target in listed)
    assert len(listed) % 2 == 0
    fewer = Run(Recipe.parse({**block, "generate": [{"explanation": {"samples": 1}}]}))
    assert max(len(text.texts) for slots in fewer.teaching.known()[0].values() for text in slots.values()) == 1


@pytest.mark.parametrize(
    ("steps", "what"),
    [
        ([{"explanation": {"samples": 0}}], "greater than or equal to 1"),
        ([{"explanation": {"samples": 101}}], "less than or equal to 100"),
        ([{"random-tokens": {"samples": 2}}], "words are marked alike each time"),
    ],
)
def test_errors_say_what_to_type(steps: Any, what: str) -> None:
    with pytest.raises(RecipeError, match=what):
        Recipe.parse({"name": "r", "task": {"use": "everyday"}, "teacher": {"use": "fake"}, "student": "tiny",
                      "generate": steps})  # fmt: skip


def test_samples_change_what_a_student_is_trained_on(tmp_path: Path) -> None:
    block: dict[str, Any] = {
        "name": "r", "root": tmp_path, "task": {"use": "everyday", "limit": {"train": 20, "dev": 4, "test": 6}},
        "teacher": {"use": "fake"}, "student": "tiny", "methods": ["multitask"], "generate": ["explanation"],
    }  # fmt: skip
    told: list[str] = []
    several = Run(
        Recipe.parse({**block, "generate": [{"explanation": {"samples": 3}}]}),
        tick=lambda what, done, total, note: told.append(note),
    )
    assert several.generate().steps["explanation"].kept == 60
    assert any("temperature 0.7" in note for note in told)
    assert several.audit()["steps"]["explanation"]["n"] == 60
    assert Run(Recipe.parse(block)).generate().steps["explanation"].asked == 0
