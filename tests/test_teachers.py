from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from shrinklm.core.errors import RecipeError, TeacherError, UnknownName
from shrinklm.core.types import Completion, Prompt, Sampling, ask_key
from shrinklm.teachers.base import TeacherOptions, as_teacher, first_stop, is_recording, make_teacher
from shrinklm.teachers.prompts import Prompts
from shrinklm.teachers.refusals import assess
from shrinklm.teachers.steps import STEPS
from teacher_cases import BEAVER, EXAMPLES


class Parrot:
    """A plug-in in one method."""

    name, revision = "parrot", "1"

    def __init__(self, rest: str, options: TeacherOptions) -> None:
        self.batch = options.batch

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        for position, prompt in enumerate(prompts):
            yield position, Completion(prompt.turns[-1].text)


def test_plug_in_by_module_and_attribute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    sys.modules["pkg.parrots"] = sys.modules[__name__]
    assert make_teacher("pkg.parrots:Parrot", TeacherOptions(batch=3)).batch == 3  # type: ignore[attr-defined]
    assert make_teacher("test_teachers:Parrot").name == "parrot"


def test_a_bare_object_gets_the_defaults_and_keeps_what_it_declares() -> None:
    class Bare:
        name, revision = "bare", "7"

        def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
            yield from ()

    class Declares(Bare):
        reads, free, price, asks = True, 1, {"input": 2.0, "output": 3.0}, {"method": "mine"}

    bare, declares = as_teacher(Bare()), as_teacher(Declares())
    assert (bare.name, bare.revision, bare.reads, bare.free, bare.price, dict(bare.asks)) == (
        "bare", "7", False, False, None, {},
    )  # fmt: skip
    assert (declares.reads, declares.free, declares.price, declares.asks) == (
        True, True, {"input": 2.0, "output": 3.0}, {"method": "mine"},
    )  # fmt: skip
    assert list(bare.complete([], Sampling())) == []
    assert as_teacher(bare) is bare
    assert not hasattr(bare, "no_such")
    no_teacher: Any = {}
    with pytest.raises(TeacherError, match=r"The object given is no teacher: .* found dict"):
        as_teacher(no_teacher)


def test_a_recording_is_known_by_its_spec() -> None:
    assert is_recording("recorded:no_such_file.csv")
    assert not is_recording("fake")
    assert not is_recording("test_teachers:Parrot")


def test_unknown_teachers() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'transformers'"):
        make_teacher("transformer:x")
    with pytest.raises(RecipeError, match="does not import"):
        make_teacher("no_such.module:Teacher")
    with pytest.raises(TeacherError, match="is no teacher"):
        make_teacher("collections:ChainMap")


def test_making_a_teacher_imports_no_torch() -> None:
    code = (
        "import sys; from shrinklm.teachers.base import *\n"
        "[make_teacher(s) for s in "
        "('fake','endpoint:http://h/v1#m','transformers:smollm2-135m-instruct','transformers:org/name')]\n"
        "import shrinklm.teachers.generate\n"
        "print('torch' in sys.modules, 'transformers' in sys.modules, 'openai' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        == ["False"] * 3
    )


def test_fake_words_pass_and_its_modes_do_not(tmp_path: Path) -> None:
    prompts = Prompts("choice")
    quoted = {"explanation": "Because of wood.", "critique": "Too short."}
    for mode, refusal in (
        ("", None),
        ("empty", "empty"),
        ("cut", "cut at the token cap"),
        ("loop", "repeats itself"),
        ("deny", "contradicts the answer"),
    ):
        teacher = make_teacher(f"fake:{mode}")
        for step in (STEPS["explanation"], STEPS["revision"]):
            prompt = prompts.prompt(step, BEAVER, BEAVER.answer, quoted)
            ((_, completion),) = teacher.complete([prompt], Sampling())
            assert assess(prompt, completion)[1] == refusal
    with pytest.raises(TeacherError, match="not known"):
        make_teacher("fake:nonsense")


def test_keys_depend_on_what_was_asked_and_not_on_where() -> None:
    prompt = Prompts("choice").prompt(STEPS["explanation"], BEAVER, BEAVER.answer, {})
    keys = {
        ask_key(make_teacher(f"endpoint:{url}#m").name, "", prompt, Sampling())
        for url in ("http://a:1/v1", "https://b:2/v1")
    }
    assert len(keys) == 1
    other = Prompts("choice").prompt(STEPS["explanation"], EXAMPLES[1], EXAMPLES[1].answer, {})
    assert ask_key("m", "", other, Sampling()) not in keys
    assert ask_key("m", "", prompt, Sampling(seed=1)) not in keys


def test_first_stop() -> None:
    assert first_stop("\n\nGood.\n\nNext", ("\n\n",)) == 7
    assert first_stop("Good. Question: x", ("\n\n", "Question:")) == 6
    assert first_stop("Good.", ("\n\n",)) is None
