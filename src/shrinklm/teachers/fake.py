"""A teacher without a model: the same text for the same question, for tests and for trying out a recipe."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import MappingProxyType

from ..core.errors import TeacherError
from ..core.types import Completion, Prompt, Sampling, digest
from .base import BaseTeacher, TeacherOptions
from .seeds import RETRY_SEED, SAMPLE_SEED
from .steps import JUDGEMENT

_BLANK = re.compile(r"<([^<>]+)>")

MODES = ("empty", "cut", "loop", "deny", "silent", "first")


class FakeTeacher(BaseTeacher):
    """`fake`, or `fake:MODE,log=FILE,delay=SECONDS`: writes by rule, for tests and first tries.

    Modes provoke refusals: `empty` gives an empty text, `cut` one that the token cap ended, `loop` one that repeats
    itself, `deny` one that argues against the answer; `first` is empty at the first try and good at the next, `silent`
    yields no completion at all. `log` appends a line to FILE for each prompt, at once, so that a test that kills the
    process can count the prompts.
    """

    price = MappingProxyType({"input": 0.0, "output": 0.0})

    def __init__(self, rest: str = "", options: TeacherOptions | None = None) -> None:
        options = options or TeacherOptions()
        settings = dict(part.partition("=")[::2] for part in rest.split(",") if part)
        self.log = options.root / settings.pop("log") if "log" in settings else None
        self.delay = float(settings.pop("delay", 0))
        self.mode = next(iter(settings), "")
        if len(settings) > 1 or self.mode not in ("", *MODES):
            raise TeacherError(f"'fake:{rest}' is not known. One of: {', '.join(MODES)}; and log=FILE, delay=SECONDS.")
        self.name = f"fake-{self.mode}" if self.mode else "fake"
        self.revision = "1"

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        """Yield completions in the order of the prompts."""
        for position, prompt in enumerate(prompts):
            time.sleep(self.delay)
            if self.log:
                _append(self.log, f"{prompt.kind}\t{prompt.example.id}\t{prompt.answer}\t{sampling.seed}\n")
            if self.mode != "silent":
                text = self._text(prompt, sampling)
                length = sum(len(turn.text.split()) for turn in prompt.turns)
                yield position, Completion(text, length, len(text.split()), finished=self.mode != "cut")

    def _text(self, prompt: Prompt, sampling: Sampling) -> str:
        answer, example = prompt.answer, prompt.example
        sample, rest = divmod(sampling.seed, SAMPLE_SEED)
        if self.mode == "empty" or (self.mode == "first" and rest < RETRY_SEED):
            return ""
        if self.mode == "cut":
            return f"The choice {answer} fits here because it is"
        if self.mode == "loop":
            return f"It is {answer} " * 12
        if self.mode == "deny":
            return f"This choice is incorrect, so {answer} is not the right answer."
        # A word of the question, so that texts of different questions differ.
        subject = example.question.rstrip(" ?.!").split()[-1].lower()
        if prompt.kind == JUDGEMENT:
            return _filled(prompt)
        if prompt.kind == "label":
            return f"That suits the last word, {subject}. The answer is {self._label(prompt, sample)}."
        if prompt.kind == "trace":
            weighed = " ".join(f"Take {choice}: it may suit {subject}." for choice in example.choices)
            again = f" Thought {sample + 1} is as good." if sample else ""
            return f"The question is about {subject}. {weighed}{again} The answer is {self._label(prompt, sample)}."
        if prompt.kind == "critique":
            return f"It names {answer}, but it could say more about {subject}."
        more = "No other choice comes as close." if prompt.kind == "revision" else "That is how people know it."
        seen = f" in {sample + 1} places" if sample else ""
        return f"For {subject} there is a link with {answer} that everyone has seen{seen}. {more}"

    @staticmethod
    def _label(prompt: Prompt, sample: int) -> str:
        """The teacher's own answer: right three times in four, by a hash of the example's id and the sample."""
        example, drawn = prompt.example, [sample] if sample else []
        if not example.wrong or int(digest(example.id, *drawn), 16) % 4:
            return example.answer
        return example.wrong[int(digest(example.id, "wrong", *drawn), 16) % len(example.wrong)]


def _filled(prompt: Prompt) -> str:
    """The form of a judge's prompt, filled: a score that depends on the question, the last choice, or a sentence."""

    def fill(blank: re.Match[str]) -> str:
        low, between, high = blank[1].partition(" to ")
        if between:
            return str(int(low) + int(digest(prompt.turns[-1].text), 16) % (int(high) - int(low) + 1))
        return blank[1].rpartition(" ")[2] if " " in blank[1] else "It says what it says."

    forms = ([line for line in turn.text.splitlines() if _BLANK.search(line)] for turn in reversed(prompt.turns))
    return "\n".join(_BLANK.sub(fill, line) for line in next(filter(None, forms), []))


def _append(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(line)
