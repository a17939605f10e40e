from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shrinklm.core.errors import StoreError, TeacherError, UnknownName
from shrinklm.core.types import Completion, Example, Prompt, Sampling, ask_key
from shrinklm.tasks.base import parse_answer
from shrinklm.teachers.base import BaseTeacher, TeacherOptions, make_teacher
from shrinklm.teachers.fake import FakeTeacher
from shrinklm.teachers.generate import GenerationsByExample, read_steps, run_steps
from shrinklm.teachers.prompts import Prompts
from shrinklm.teachers.rows import to_row
from shrinklm.teachers.steps import STEPS, StepRequest, plan
from shrinklm.teachers.store import Store
from shrinklm.teachers.usage import Report
from teacher_cases import BEAVER, EXAMPLES, many, settings, step

ALL = [step(name) for name in ("explanation", "critique", "revision", "counterfactual", "label")]


class Scripted(BaseTeacher):
    """Says what a function says, and remembers what it was asked."""

    name, revision = "scripted", ""

    def __init__(self, say: Any) -> None:
        self.say = say
        self.asked: list[tuple[Prompt, Sampling]] = []

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        for position, prompt in reversed(list(enumerate(prompts))):
            self.asked.append((prompt, sampling))
            words = self.say(prompt, sampling)
            yield position, words if isinstance(words, Completion) else Completion(words, 100, 10)


def good(prompt: Prompt, sampling: Sampling | None = None) -> str:
    if prompt.kind == "label":
        return f"It seems so. The answer is {prompt.example.answer}."
    return f"With {prompt.answer} there is a link that everyone knows from {prompt.kind}."


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "g.db") as opened:
        yield opened


def go(
    teacher: BaseTeacher,
    store: Store,
    steps: Sequence[StepRequest] = ALL,
    examples: Sequence[Example] = EXAMPLES,
    **changes: Any,
) -> tuple[Report, GenerationsByExample]:
    arguments = (examples, steps, teacher, Prompts("choice"), store, settings(**changes), parse_answer)
    report = run_steps(*arguments)
    return report, read_steps(*arguments)[0]


def test_all_steps_then_nothing_is_asked_again(store: Store) -> None:
    teacher = Scripted(good)
    report, known = go(teacher, store)
    wrong = sum(len(example.wrong) for example in EXAMPLES)
    assert {name: step.asked for name, step in report.steps.items()} == {
        "explanation": 3, "critique": 3, "revision": 3, "counterfactual": wrong, "label": 3,
    }  # fmt: skip
    assert all(step.kept == step.asked and not step.refused for step in report.steps.values())
    assert known["beaver"].keys() == {
        ("explanation", "wooded area"), ("critique", "wooded area"), ("revision", "wooded area"),
        ("counterfactual", "body of water"), ("counterfactual", "zoo"), ("label", ""),
    }  # fmt: skip
    assert known["beaver"]["label", ""].answer == "wooded area"
    before = len(teacher.asked)
    again, same = go(teacher, store)
    assert len(teacher.asked) == before
    assert same == known
    assert [step.found for step in again.steps.values()] == [step.asked for step in report.steps.values()]
    assert again.steps["explanation"].tokens_out == report.steps["explanation"].tokens_out == 30


def test_revision_quotes_what_was_said_and_knows_its_parents(store: Store) -> None:
    teacher = Scripted(good)
    _, known = go(teacher, store)
    revision = known["beaver"]["revision", "wooded area"]
    asked = json.loads(revision.prompt)[-1]["text"]
    assert known["beaver"]["explanation", "wooded area"].text in asked
    assert known["beaver"]["critique", "wooded area"].text in asked
    assert revision.parents == (
        known["beaver"]["explanation", "wooded area"].key,
        known["beaver"]["critique", "wooded area"].key,
    )
    assert (revision.source.teacher, revision.source.tokens_in, revision.source.tokens_out) == ("scripted", 100, 10)


def test_rounds_of_revision(store: Store) -> None:
    count = iter(range(1000))
    teacher = Scripted(
        lambda prompt, sampling: f"With {prompt.answer} there is a link of number {next(count)} that people know."
    )
    report, known = go(teacher, store, [step("revision", rounds=3)], [BEAVER])
    assert [prompt.kind for prompt, _ in teacher.asked] == ["explanation", *["critique", "revision"] * 3]
    last = known["beaver"]["revision", "wooded area"]
    assert "number 6" in last.text
    assert "number 4" in json.loads(last.prompt)[-1]["text"]
    assert report.steps["revision"].asked == 3


def test_plan() -> None:
    assert [request.name for request, _ in plan([step("label"), step("revision")])] == [
        "explanation",
        "critique",
        "revision",
        "label",
    ]
    assert [request.name for request, _ in plan([step("revision")], reads=True)] == ["revision"]
    with pytest.raises(UnknownName, match="revision"):
        plan([step("revison")])


def test_defect_03_and_05_counterfactuals_are_asked_for_every_wrong_option_and_never_for_gold(store: Store) -> None:
    teacher = Scripted(good)
    examples = [*EXAMPLES, Example("twice", "Which colour is twice here?", ("red", "blue", "red", "green"), "green")]
    go(teacher, store, [step("counterfactual")], examples)
    asked = Counter((prompt.example.id, prompt.answer) for prompt, _ in teacher.asked)
    assert asked == Counter(
        (example.id, option) for example in examples for option in set(example.choices) - {example.answer}
    )


def test_refused_texts_are_asked_again_with_new_seeds_and_then_kept_as_refused(store: Store) -> None:
    teacher = Scripted(
        lambda prompt, sampling: good(prompt) if prompt.example.id == "beaver" or sampling.seed >= 2005 else ""
    )
    report, known = go(teacher, store, [step("explanation")], retries=2, seed=5)
    tries = [
        (sampling.seed, sampling.temperature) for prompt, sampling in teacher.asked if prompt.example.id == "kettle"
    ]
    assert tries == [(5, 0.0), (1005, 0.7), (2005, 0.7)]
    assert (report.steps["explanation"].asked, report.steps["explanation"].kept) == (7, 3)
    assert known["kettle"]["explanation", "kettle"].source.seed == 2005
    assert len(store) == 7  # every try is kept
    again, _ = go(teacher, store, [step("explanation")], retries=2, seed=5)
    assert (again.steps["explanation"].found, again.steps["explanation"].asked) == (7, 0)


def test_more_retries_later_go_on_down_the_chain(store: Store) -> None:
    teacher = Scripted(
        lambda prompt, sampling: (
            good(prompt) if prompt.example.id == "beaver" or sampling.seed >= 1000 else "no end " * 9
        )
    )
    first, known = go(teacher, store, [step("explanation")], retries=0)
    assert first.steps["explanation"].refused == {"repeats itself": 2}
    assert known["kettle"]["explanation", "kettle"].refusal == "repeats itself"
    second, _ = go(teacher, store, [step("explanation")], retries=1)
    assert (second.steps["explanation"].found, second.steps["explanation"].asked, second.steps["explanation"].kept) == (
        3,
        2,
        3,
    )


def test_child_of_a_refused_parent_is_counted_and_not_asked(store: Store) -> None:
    teacher = Scripted(lambda prompt, sampling: "" if prompt.example.id == "kettle" else good(prompt))
    report, known = go(teacher, store, [step("revision")])
    assert report.steps["explanation"].refused == {"empty": 1}
    assert report.steps["critique"].refused == report.steps["revision"].refused == {"no explanation to build on": 1}
    assert ("revision", "kettle") not in known["kettle"]
    assert {prompt.kind for prompt, _ in teacher.asked if prompt.example.id == "kettle"} == {"explanation"}


def test_same_question_twice_is_asked_once_and_belongs_to_both(store: Store) -> None:
    teacher = Scripted(good)
    twin = replace(BEAVER, id="twin")
    _, known = go(teacher, store, [step("explanation")], [BEAVER, twin])
    assert len(teacher.asked) == 1
    assert known["twin"]["explanation", "wooded area"].example_id == "twin"


def test_defect_13_any_number_of_questions_in_any_slices(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shrinklm.teachers.generate.SLICE", 7)
    teacher = Scripted(
        lambda prompt, sampling: "" if sampling.seed == 0 and prompt.example.id.endswith("3") else good(prompt)
    )
    examples = many(23)
    report, known = go(teacher, store, [step("explanation")], examples)
    assert report.steps["explanation"].kept == 23
    assert len(known) == 23 == sum(len(found) for found in known.values())
    assert len(teacher.asked) == 25
    other, _ = go(
        teacher, store, [step("explanation")], many(30)[::-1]
    )  # another order and more questions: only the new are asked
    assert other.steps["explanation"].asked == 8  # one of the seven twice


def test_a_teacher_that_starts_anew_each_time_is_given_more_at_a_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shrinklm.teachers.generate.SLICE", 7)
    given: list[int] = []

    class Starts(Scripted):
        slice = 40

        def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
            given.append(len(prompts))
            return super().complete(prompts, sampling)

    go(Starts(good), store, [step("explanation")], many(100))
    assert given == [20, 40, 40]  # a few first, of which none may be usable


def test_defect_26_sampling_reaches_every_step(store: Store) -> None:
    teacher = Scripted(good)
    go(teacher, store, [*ALL, step("revision", max_tokens=77)], temperature=0.4, top_p=0.8, seed=3)
    assert {prompt.kind for prompt, _ in teacher.asked} == {step.name for step in ALL}
    for prompt, sampling in teacher.asked:
        assert (sampling.temperature, sampling.top_p, sampling.seed) == (0.4, 0.8, 3)
        assert "\nQuestion:" in sampling.stop
        assert ("\n\n" in sampling.stop) == (prompt.kind != "label")
        if prompt.kind == "revision":
            assert sampling.max_tokens == 77


def test_defect_09_wrong_and_right_answers_are_explained_by_the_same_prompt(store: Store) -> None:
    teacher = Scripted(good)
    go(teacher, store, [step("explanation"), step("counterfactual")], [BEAVER])
    shown = {tuple(turn.text.replace(prompt.answer, "X") for turn in prompt.turns[:-1]) for prompt, _ in teacher.asked}
    assert len(shown) == 1


def test_length_cap_may_change_without_asking_what_fits_again(store: Store) -> None:
    teacher = Scripted(
        lambda prompt, sampling: (
            good(prompt) if prompt.example.id == "kettle" else f"{good(prompt)} And so it is for all of us."
        )
    )
    free, _ = go(teacher, store, [step("explanation")], retries=0)
    assert free.steps["explanation"].kept == 3
    capped, known = go(teacher, store, [step("explanation", max_words=12)], retries=0)
    assert capped.steps["explanation"].refused == {"too long": 2}
    assert capped.steps["explanation"].asked == 0
    assert known["beaver"]["explanation", "wooded area"].refusal == "too long"
    assert go(teacher, store, [step("explanation")], retries=0)[0].steps["explanation"].kept == 3


def test_labels_are_parsed_and_unparsed_ones_counted(store: Store) -> None:
    def say(prompt: Prompt, sampling: Sampling) -> str:
        return {
            "beaver": "It swims there.\n\nThe answer is zoo.",
            "skates": "On ice. The answer is (a).",
            "kettle": "I really cannot say which one.",
        }[prompt.example.id]

    report, known = go(Scripted(say), store, [step("label")])
    assert known["beaver"]["label", ""].answer == "zoo"
    assert known["beaver"]["label", ""].text == "It swims there. The answer is zoo."
    assert report.steps["label"].refused == {"no answer": 1}


def test_prompt_that_does_not_fit_is_counted_without_its_numbers_and_not_asked_again(store: Store) -> None:
    teacher = Scripted(
        lambda prompt, sampling: Completion(
            "", 9000, refusal=f"the prompt does not fit: {9000 + len(prompt.example.id)} tokens"
        )
    )
    report, known = go(teacher, store, [step("explanation")])
    assert report.steps["explanation"].refused == {"the prompt does not fit": 3}
    assert report.steps["explanation"].asked == 3
    assert known["kettle"]["explanation", "kettle"].refusal == "the prompt does not fit: 9006 tokens"


def test_teacher_that_says_nothing(store: Store) -> None:
    with pytest.raises(TeacherError, match=r"says nothing: all 3 texts of the step 'explanation' are empty"):
        go(make_teacher("fake:empty"), store)
    with pytest.raises(TeacherError, match=r"returned nothing for 3 of 3 prompts"):
        go(make_teacher("fake:silent"), store)


def test_half_an_answer_is_stored_before_the_error(store: Store) -> None:
    class Half(Scripted):
        def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
            yield from list(super().complete(prompts, sampling))[:2]

    with pytest.raises(TeacherError, match="1 of 3"):
        go(Half(good), store, [step("explanation")])
    assert len(store) == 2


@pytest.mark.parametrize(
    ("position", "what"), [(0, "position 0 of 3 prompts twice"), (3, "position 3 of 3"), (-1, "-1")]
)
def test_a_completion_too_many_is_an_error(store: Store, position: int, what: str) -> None:
    class Stray(Scripted):
        def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
            *_, last = super().complete(prompts, sampling)
            yield last
            yield position, Completion("Because.")

    with pytest.raises(TeacherError, match=f"The teacher 'scripted' answered .*{what}.* of the step 'explanation'"):
        go(Stray(good), store, [step("explanation")])
    assert len(store) == 1


def test_a_bare_object_teaches_a_run_as_it_is_and_by_name(tmp_path: Path) -> None:
    from judge_cases import fair
    from shrinklm import Recipe, Run

    blocks = {
        "name": "r",
        "task": {"use": "everyday", "limit": {"train": 3, "dev": 2, "test": 2}},
        "generate": ["explanation"],
        "methods": ["multitask"],
        "student": "tiny",
        "root": tmp_path,
    }
    teacher = fair()
    teacher.rule = good
    report = Run(Recipe.parse({**blocks, "teacher": {"use": "fake"}}), teacher=teacher).generate()
    assert (report.steps["explanation"].asked, len(teacher.asked)) == (3, 3)
    assert report.steps["explanation"].cost is None
    named = Run(
        Recipe.parse({**blocks, "name": "n", "teacher": {"use": "judge_cases:UNREADABLE", "retries": 0}})
    ).generate()
    assert named.steps["explanation"].asked == 3


def test_error_on_the_way_loses_nothing(store: Store) -> None:
    def fail(prompt: Prompt, sampling: Sampling) -> str:
        if prompt.example.id == "beaver":
            raise TeacherError("the server went away")
        return good(prompt)

    with pytest.raises(TeacherError, match="went away"):
        go(Scripted(fail), store, [step("explanation")])
    teacher = Scripted(good)
    go(teacher, store, [step("explanation")])
    assert [prompt.example.id for prompt, _ in teacher.asked] == ["beaver"]


def test_cost_and_progress(store: Store) -> None:
    ticks: list[tuple[str, int, int, str]] = []
    arguments = (EXAMPLES, [step("explanation")], Scripted(good), Prompts("choice"), store)
    report = run_steps(
        *arguments,
        settings(price={"input": 10_000.0, "output": 1000.0}),
        parse_answer,
        lambda *tick: ticks.append(tick),
    )
    assert report.steps["explanation"].cost == pytest.approx(3 * (100 * 0.01 + 10 * 0.001))
    assert [(what, done, total) for what, done, total, _ in ticks] == [("explanation", done, 3) for done in range(4)]
    assert ticks[-1][3] == "0 found, 3 asked, 330 tokens, $3.03"
    assert run_steps(*arguments, settings(), parse_answer).steps["explanation"].cost is None
    assert json.loads(json.dumps(report.as_dict()))["explanation"]["kept"] == 3


def test_recording_is_read_once_and_never_asked_again(store: Store, tmp_path: Path) -> None:
    lines = [
        {
            "id": "beaver",
            "why": "\n\nWooded areas have many branches. They also have",
            "again": "Branches are what a beaver needs. The answer is wooded area.",
        },
        {"id": "skates", "why": "", "again": "Because of the"},
    ]
    (tmp_path / "r.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    teacher = make_teacher(
        "recorded:r.jsonl", TeacherOptions(root=tmp_path, columns={"explanation": "why", "revision": "again"})
    )
    report, known = go(teacher, store, [step("explanation"), step("revision")], retries=2)
    assert report.steps.keys() == {"explanation", "revision"}
    assert report.steps["explanation"].refused == {"empty": 1, "not recorded": 1}
    assert report.steps["revision"].refused == {"cut at the token cap": 1, "not recorded": 1}
    assert known["beaver"]["explanation", "wooded area"].text == "Wooded areas have many branches."
    assert report.steps["explanation"].cost == 0.0
    assert len(store) == 6
    longer, _ = go(teacher, store, [step("explanation", max_tokens=5)], temperature=0.3)
    assert longer.steps["explanation"].asked == 0


def test_read_steps_only_reads(store: Store) -> None:
    teacher = Scripted(good)
    known, report = read_steps(EXAMPLES, ALL, teacher, Prompts("choice"), store, settings(), parse_answer)
    assert known == {example.id: {} for example in EXAMPLES}
    assert report.steps["explanation"].missing == 3
    assert teacher.asked == []


def test_another_prompt_teacher_or_seed_asks_anew(store: Store, tmp_path: Path) -> None:
    steps = [step("explanation")]
    go(Scripted(good), store, steps)
    (tmp_path / "explanation.md").write_text("# system\nShort.\n# user\n{text} {answer}\n# assistant\n{explanation}\n")
    mine = Prompts("choice", tmp_path)
    assert (
        run_steps(EXAMPLES, steps, Scripted(good), mine, store, settings(), parse_answer).steps["explanation"].asked
        == 3
    )
    assert go(FakeTeacher(), store, steps)[0].steps["explanation"].asked == 3
    assert go(Scripted(good), store, steps, temperature=0.5)[0].steps["explanation"].asked == 3
    assert go(Scripted(good), store, steps, temperature=0.5, seed=1)[0].steps["explanation"].asked == 3
    assert go(Scripted(good), store, steps)[0].steps["explanation"].asked == 0


def test_greedy_texts_do_not_depend_on_the_seed(store: Store) -> None:
    """They are asked once, also where version 0.1.0 asked them under a seed, which was then a part of the key."""
    prompts, steps = Prompts("choice"), [step("explanation")]
    prompt = prompts.prompt(STEPS["explanation"], BEAVER, BEAVER.answer, {}, None)
    written = []
    for seed in (5, 6, 0):
        first = go(
            Scripted(lambda *_: f"People say that {BEAVER.answer} is right."), store, steps, EXAMPLES[:1], seed=seed
        )
        one = first[1]["beaver"]["explanation", BEAVER.answer]
        sampling = replace(one.source.sampling, seed=seed)
        key = ask_key("scripted", "", prompt, sampling)
        written.append(
            replace(one, key=key, text=f"{one.text} By {seed}.", source=replace(one.source, sampling=sampling))
        )
    assert first[0].steps["explanation"].found == 1
    path = store.path.with_name("old.db")
    old = sqlite3.connect(path)
    old.execute("CREATE TABLE generations (key TEXT PRIMARY KEY, example_id TEXT NOT NULL, kind TEXT NOT NULL, "
                "answer TEXT NOT NULL, text TEXT NOT NULL, refusal TEXT, prompt TEXT NOT NULL, parents TEXT NOT NULL, "
                "source TEXT NOT NULL) WITHOUT ROWID")  # fmt: skip
    old.executemany(f"INSERT INTO generations VALUES ({','.join('?' * 9)})", [to_row(each)[:9] for each in written[:2]])
    old.commit()
    silent = Scripted(lambda *_: 1 / 0)
    for seed, by in ((5, 5), (6, 6), (7, 5), (0, 5)):
        known = go(silent, Store(path), steps, EXAMPLES[:1], seed=seed)[1]
        assert known["beaver"]["explanation", BEAVER.answer].text.endswith(f"By {by}.")
    # Imported ones too; what a recipe's own seed wrote comes first, then what has none.
    with Store(path) as opened:
        opened.put(written[2:])
    for seed, by in ((5, 5), (7, 0), (0, 0)):
        known = go(silent, Store(path), steps, EXAMPLES[:1], seed=seed)[1]
        assert known["beaver"]["explanation", BEAVER.answer].text.endswith(f"By {by}.")
    with Store(store.path.with_name("new.db")) as opened:
        opened.put(written[1:2])
        assert go(silent, opened, steps, EXAMPLES[:1], seed=1)[0].steps["explanation"].found == 1


def test_full_disk_is_a_clear_error(tmp_path: Path) -> None:
    """A file system of 256 kB in a mount name space of its own."""
    code = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from teacher_cases import many, settings, step
from shrinklm.core.errors import StoreError
from shrinklm.teachers.generate import *
from shrinklm.teachers.prompts import Prompts
from shrinklm.teachers.store import Store
from shrinklm.teachers.fake import FakeTeacher
store = Store(Path(sys.argv[1]) / "g.db")
try:
    steps = [step("explanation")]
    run_steps(many(500), steps, FakeTeacher(), Prompts("choice"), store, settings(), lambda text, example: None)
except StoreError as error:
    print(error)
"""
    child = f"{sys.executable} -c '{code}' {tmp_path} {Path(__file__).parent}"
    mount = f"mount -t tmpfs -o size=256k tmpfs {tmp_path} && exec {child}"
    done = subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True, text=True)
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip("no mount name spaces here")
    assert "No space left to write the store" in done.stdout, done.stderr
    assert "goes on where it stopped" in done.stdout


def test_unwritable_store_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "g.db").write_bytes(b"this is no database at all" * 100)
    with pytest.raises(StoreError, match=r"cannot be used"):
        Store(tmp_path / "g.db")
