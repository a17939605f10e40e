"""A trained student as a teacher: it writes in the views that it was trained on, and scores a question's options."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from ..core.errors import TeacherError
from ..core.types import Completion, Example, Prompt, Reply, Sampling, digest
from ..evaluation.metrics.answers import matches
from ..methods.view import Method, View, sentence
from ..models.locate import Family, Model
from ..students.likeliest import option_likelihoods
from ..students.room import fits, reads
from ..tasks.answers import parse_answer
from ..teachers.base import DOES_NOT_FIT, BaseTeacher, TeacherOptions, first_stop
from ..teachers.costs import Price
from ..teachers.local import row_seed

if TYPE_CHECKING:
    from ..students.base import BaseStudent

ANOTHER = "its own answer is another"
"""Why a mentor's explanation may not be used: it argues for the mentor's answer, and that is not the one asked for."""
_BATCH = 32
_ANSWER_TOKENS = 64
"""Cap of an answer that is read beside an explanation."""
_CHUNK = 8
"""Batches that are read together: the longest of their prompts first, so that little is padding."""


class Mentor(BaseTeacher):
    """A trained student that teaches another.

    It reads none of a prompt's turns, only the question under its own views. Weights are loaded at the first question.

    Args:
        name: Of its run and cell.
        method: Says which view answers and which explains.
        model: Its weights and its tokenizer.
        family: Of the model.
        load: Opens the student.
        options: The recipe's.
    """

    unpaid = True
    tells_logprobs = True

    def __init__(
        self,
        name: str,
        method: Method,
        model: Model,
        family: Family,
        load: Callable[[], BaseStudent],
        options: TeacherOptions,
    ) -> None:
        self.name, self.method, self.model, self.family, self.load = name, method, model, family, load
        self.options, self.max_tokens = options, options.max_tokens
        views = (method.answer, self.explain)
        stated = [
            view and [view.name, list(view.says), view.lead, view.tag, *(["letters"] if view.letters else [])]
            for view in views
        ]
        self.revision = digest(model.revision, model.tokenizer, stated)

    @property
    def price(self) -> Price | None:
        """The recipe's; None when it states none."""
        return self.options.price

    @property
    def explain(self) -> View | None:
        """The view that explains in words; None where the method teaches none, or marks words."""
        view = self.method.explain
        return None if view is None or view.keep else view

    @cached_property
    def student(self) -> BaseStudent:
        """The trained student, ready to answer."""
        return self.load()

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps that it can take."""
        given = self.explain is not None and self.explain.says[0] == "answer"
        explains = ("explanation",) if self.explain else ()
        return (*explains, *(("counterfactual",) if given else ()), "label")

    def check_access(self, kinds: Collection[str]) -> None:
        """Raises TeacherError for a step that none of its views can take."""
        if wrong := [kind for kind in kinds if kind not in self.steps]:
            raise TeacherError(
                f"The mentor {self.name} was trained with '{self.method.name}' and cannot take the step '{wrong[0]}'"
                f"{self._why(wrong[0])}. It takes: {', '.join(self.steps)}. Leave '{wrong[0]}' out of `generate`, or "
                f"name another teacher for it: generate: [{{{wrong[0]}: {{teacher: NAME}}}}]"
            )

    def _why(self, kind: str) -> str:
        if kind == "explanation":
            return ", since this method teaches no explanation"
        if kind == "counterfactual":
            return ": only a method that states the answer and then explains it (answer-then-explain) is given one"
        return ", which it never saw in training"

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, Completion]]:
        """Yield completions, a few batches at a time. A question that does not fit is refused, never cut."""
        self.check_access({prompt.kind for prompt in prompts})
        size = _CHUNK * (self.options.batch or _BATCH)
        for start in range(0, len(prompts), size):
            short = []
            for position, prompt in enumerate(prompts[start : start + size], start):
                if refusal := self._too_long(prompt.example, sampling.max_tokens):
                    yield position, Completion("", refusal=refusal)
                else:
                    short.append((position, prompt))
            for kind in dict.fromkeys(prompt.kind for _, prompt in short):
                asked = [(position, prompt) for position, prompt in short if prompt.kind == kind]
                said = self._labels(asked, sampling) if kind == "label" else self._explanations(asked, sampling)
                yield from zip((position for position, _ in asked), said, strict=True)

    def _too_long(self, example: Example, cap: int) -> str | None:
        views = {view for view in (self.method.answer, self.explain) if view is not None}
        cap = cap if self.student.writes else 0
        if all(fits(self.student, view.prompt(example), cap, example.choices) for view in views):
            return None
        return f"{DOES_NOT_FIT}: with {cap} tokens for the completion, limit {reads(self.student):,.0f}"

    def _labels(self, asked: Sequence[tuple[int, Prompt]], sampling: Sampling) -> Iterable[Completion]:
        """Its own answers, with what explains them where another view does."""
        examples = [prompt.example for _, prompt in asked]
        answer, explain = self.method.answer, self.explain
        said = self._say(answer, examples, [""] * len(examples), sampling)
        chances = self._chances(examples, [reply.text for reply in said]) if sampling.logprobs else [{}] * len(said)
        why = [Reply("", True)] * len(said)
        if explain is not None and explain != answer and explain.says == ("explanation",):
            why = self._say(explain, examples, [""] * len(examples), sampling)
        for example, reply, reason, options in zip(examples, said, why, chances, strict=True):
            text = f"{sentence(reason.text)} {reply.text}" if reason.text else reply.text
            yield self._completion(example, answer, text, reply.finished and reason.finished, sampling, options)

    def _chances(self, examples: Sequence[Example], raws: Sequence[str]) -> list[dict[str, float | None]]:
        """Option → Σ log p of its tokens, behind the explanation that the mentor gave first; None where it is none."""
        batch = self.options.batch or _BATCH
        found = option_likelihoods(self.student, self.method.answer, examples, raws, batch, per_character=False)
        # At most 0 but for rounding; -inf is no number that a store could hold.
        return [
            {option: min(value, 0.0) if math.isfinite(value) else None for option, value in values.items()}
            for values in found
        ]

    def _explanations(self, asked: Sequence[tuple[int, Prompt]], sampling: Sampling) -> Iterable[Completion]:
        """Explanations of the answers that are asked for."""
        view = self.explain
        assert view is not None  # as `check_access` found
        examples = [prompt.example for _, prompt in asked]
        given = view.says[0] == "answer"
        begun = [view.states(prompt.answer, prompt.example) if given else "" for _, prompt in asked]
        said = self._say(view, examples, begun, sampling)
        if given:
            own = [prompt.answer for _, prompt in asked]
        elif "answer" in view.says:
            own = [parse_answer(reply.text, example) or "" for example, reply in zip(examples, said, strict=True)]
        else:
            short = Sampling(max_tokens=_ANSWER_TOKENS)
            answers = self._say(self.method.answer, examples, [""] * len(examples), short)
            own = [parse_answer(reply.text, example) or "" for example, reply in zip(examples, answers, strict=True)]
        for (_, prompt), reply, answer in zip(asked, said, own, strict=True):
            text = reply.text if given else view.read(reply.text, tuple(view.options(prompt.example).values()))
            right = given or matches(prompt.example, answer)
            done = self._completion(prompt.example, view, text, reply.finished, sampling, {})
            yield done if right else replace(done, refusal=ANOTHER)

    def _completion(
        self,
        example: Example,
        view: View,
        text: str,
        finished: bool,
        sampling: Sampling,
        options: Mapping[str, float | None],
    ) -> Completion:
        text = text[: first_stop(text, sampling.stop)]
        greedy = sampling.temperature and self._goes_on_greedily(view)
        return Completion(
            text,
            len(self.student.prompt_ids(view.prompt(example))),
            self.student.token_count(text) or 0,
            finished,
            options=options,
            adapted=("no temperature",) if greedy else (),
        )

    def _goes_on_greedily(self, view: View) -> bool:
        """Whether what it says can only be the likeliest: the words behind a given answer, or all that it chooses."""
        follows = self.student.family == "seq2seq" and view.says[0] == "answer" and view == self.explain
        return follows or not self.student.writes

    def _say(self, view: View, examples: Sequence[Example], begun: Sequence[str], sampling: Sampling) -> list[Reply]:
        """The replies under a view, each behind the words that it begins with."""
        prompts = [view.prompt(example) for example in examples]
        batch, cap = self.options.batch or _BATCH, sampling.max_tokens
        if not self.student.writes:
            return [Reply(said.raw, said.finished) for said in self.student.say(view, examples, batch)]
        if not sampling.temperature or (any(begun) and self._goes_on_greedily(view)):
            return self.student.replies(prompts, cap, batch, begun=begun if any(begun) else None)
        from ..models.exact import make_decoder
        from ..models.rows import Row

        student = self.student
        rows = []
        for index, (prompt, words) in enumerate(zip(prompts, begun, strict=True)):
            tokens = student.prompt_ids(prompt) + (student.target_ids(words, end=False) if words else [])
            seed = row_seed(sampling.seed, tokens)
            rows.append(Row(tokens, cap, None, sampling.temperature, sampling.top_p, seed, index))
        decoder = make_decoder(student.reading.decodes, student.model, student.tokenizer)
        found = {
            row.key: Reply(decoder.text(row.said.tokens).strip(), row.said.finished)
            for row in decoder.stream(sorted(rows, key=lambda row: -len(row.prompt)), batch)
        }
        return [found[index] for index in range(len(rows))]
