"""The stage between generation and training that weighs the samples of a question by the rule of a method.

What it finds is kept in the run folder (`weights/`): for each student, rule and kind of text a file with a row for each
sample, its figures and its weight. The figures of a student are kept beside it as they come, for all rules that read
them, so that a stage that was killed goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import MethodError
from ...core.files import Part, read_json, write_json, write_jsonl
from ...core.logprobs import to_json
from ...core.results import RunFile
from ...core.types import Example, Prompt, Tick, digest
from ...evaluation.metrics.explanations import spell
from ...evaluation.metrics.mentions import BARE
from ...methods.view import Generations, Method, shows
from ...methods.weighing import RULES, Figures, Weighing
from ...students.open import open_untrained
from ...students.start import start_of
from ...teachers.steps import STEPS, StepRequest, plan
from ..blocks import StudentBlock
from ..once import Stage, marker, once, with_start
from ..recipe import Recipe
from ..values import folder_name
from .agreement import model, writer
from .figures import SOURCES, Item
from .weighed import weighed
from .writers import Taker, Writers

if TYPE_CHECKING:
    from ...students.base import BaseStudent

Known = Mapping[str, Generations]
"""Example id → its generations."""
_SLICE = 32
"""Questions that are read, and kept, together: rounding depends on it, so that figures are the same after a kill."""


class Weights:
    """The weights of the samples of a run.

    Args:
        recipe: The settings of the run.
        folder: Of the run.
        examples: The training questions.
        tick: Called with the progress.
        keep: Write what is found. Otherwise it is read where it is there, and made in memory where it is not.
    """

    def __init__(
        self, recipe: Recipe, folder: Path, examples: Sequence[Example], tick: Tick, keep: bool = True
    ) -> None:
        self.recipe, self.folder, self.examples, self.tick, self.keep = recipe, folder, examples, tick, keep
        self._known: dict[str, dict[str, float]] = {}
        self._students: dict[str, BaseStudent] = {}
        self._files: dict[str, Path] = {}
        """The summaries of what was asked for."""

    def of(
        self, method: Method, student: StudentBlock, known: Mapping[str, Generations], first: int | None = None
    ) -> dict[str, float]:
        """Key of a generation → its weight, of the samples that a method weighs; {} for a method without a rule.

        Args:
            method: Of the recipe.
            student: Is asked before it is trained.
            known: The generations for it.
            first: Only of the first so many questions, where the weights are not there yet.

        Raises MethodError where no question has several samples.
        """
        if method.weigh is None:
            return {}
        items = {kind: list(_items(kind, self.examples, known)) for kind in method.weighed}
        if not any(items.values()):
            raise MethodError(_alone(method))
        weights: dict[str, float] = {}
        for kind, found in items.items():
            if found:
                weights |= self._of_kind(method.weigh, student, kind, found, first)
        return weights

    def _of_kind(
        self, rule: Weighing, student: StudentBlock, kind: str, items: Sequence[Item], first: int | None
    ) -> dict[str, float]:
        source = SOURCES[RULES[rule.rule].reads]
        name = weights_name(student.label if source.asks else "", rule, kind)
        path, done = self.folder / RunFile.WEIGHTS / f"{name}.jsonl", marker(self.folder, f"weigh {name}")
        asked: list[Any] = [RULES[rule.rule].reads, source.version, kind, [_asked(item, rule) for item in items]]
        start = ""
        if source.asks:
            asked.append(student.model_dump(mode="json", exclude={"name"}))
            start = start_of(student.spec(self.recipe.train.max_length), self.recipe.root).key
        summary = path.with_suffix(".json")

        def work() -> None:
            write_jsonl(path, self._rows(rule, student, items, with_start(digest(asked), start)))
            about = {"rule": str(rule), "student": student.label if source.asks else None, "kind": kind}
            write_json(summary, {**about, **weighed(_read(path))})

        stage = Stage(done, with_start(digest(asked, rule.key), start), work, makes=(path, summary))
        if stage.key not in self._known:
            if self.keep:
                once(stage)
            elif not stage.done:
                shown = {example.id for example in self.examples[:first]}
                return _by_key(self._rows(rule, student, items, None, shown))
            self._known[stage.key] = _by_key(_read(path))
        self._files[name] = summary
        return self._known[stage.key]

    def summaries(
        self, methods: Iterable[Method], students: Iterable[StudentBlock], known: Callable[[StudentBlock], Known]
    ) -> dict[str, Any]:
        """What the weights come to, of all methods that weigh samples of which there are several by now.

        `known` gives the generations for a student.

        Returns:
            `{"weighed": {name of a file of weights: its summary (`weighed.py`)}, "unweighed": {method: why its samples
            cannot be weighed}}`, each where there is one.
        """
        self._files.clear()
        why: dict[str, str] = {}
        weighing = [method for method in methods if method.weigh is not None]
        for student, method in product(students, weighing):
            texts = known(student)
            if any(next(_items(kind, self.examples, texts), None) for kind in method.weighed):
                try:
                    self.of(method, student, texts)
                except MethodError as error:
                    why[method.name] = str(error)
        found = {name: read_json(path) for name, path in self._files.items()}
        return {name: each for name, each in (("weighed", found), ("unweighed", why)) if each}

    def _rows(
        self,
        rule: Weighing,
        student: StudentBlock,
        items: Sequence[Item],
        asked: str | None,
        shown: Collection[str] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """A row for each sample. Figures of a student are kept under `asked`, or in memory alone.

        With `shown` only of the slices that hold one of these examples.
        """
        source, part = SOURCES[RULES[rule.rule].reads], None
        if asked is not None and source.asks:
            name = folder_name(f"{student.label}--{items[0].kind}--{RULES[rule.rule].reads}")
            part = Part(self.folder / RunFile.WEIGHTS / f"{name}.part", asked)
        size = len(items) if source.together else _SLICE
        for number, start in enumerate(range(0, len(items), size)):
            some = items[start : start + size]
            if shown is not None and not any(item.example.id in shown for item in some):
                continue
            figures: list[list[Figures]]
            if part is not None and number < len(part.chunks):
                figures = part.chunks[number]["figures"]
            else:
                figures = source.figures(some, self._opened(student) if source.asks else None)
                if part is not None:
                    part.add({"figures": figures})
            self.tick(f"weigh {items[0].kind} ({student.label})", min(start + size, len(items)), len(items), "")
            for item, each in zip(some, figures, strict=True):
                yield from _rows_of(item, each, rule.shares(each))

    def _opened(self, student: StudentBlock) -> BaseStudent:
        if student.label not in self._students:
            self._students.clear()  # one at a time is enough memory
            self._students[student.label] = open_untrained(student.spec(self.recipe.train.max_length), self.recipe.root)
        return self._students[student.label]


def weights_name(student: str, rule: Weighing, kind: str) -> str:
    """The name, without ending, of the file with the weights of a kind of text; `student`: "" where none is asked."""
    return folder_name("--".join(filter(None, (student, str(rule), kind))))


def check_several(
    methods: Iterable[Method], steps: Sequence[StepRequest], examples: Sequence[Example], writers: Writers
) -> None:
    """Raises MethodError for a method that weighs samples where every question has one, of more questions than there
    are, or where nothing could tell them apart, before anything is paid."""
    requests = {request.name: request for request, _ in plan(steps, writers.reads)}
    labelled = {_model(taker) for taker in writers.takers("label")} if "label" in requests else set()
    for method in methods:
        asked = [requests[kind] for kind in method.weighed if kind in requests]
        if method.weigh is None or not asked:
            continue
        least = SOURCES[RULES[method.weigh.rule].reads].least
        most = {each.name: sum(1 for _ in islice(_several(each, examples, writers), least)) for each in asked}
        if not any(most.values()):
            raise MethodError(_alone(method))
        for kind, count in most.items():
            if 0 < count < least or len(examples) < min(2, least):
                raise MethodError(
                    f"Method '{method.name}' learns from the texts of the questions how to weigh them: of the "
                    f"{len(examples):,} training questions {count:,} '{kind}' texts may stand beside another one, and "
                    f"at least {least} are needed, of two questions or more. Raise `task: {{limit: {{train: ...}}}}` "
                    "or name more data, or take another rule, such as weigh=student."
                )
        several = [kind for kind, count in most.items() if count]
        if method.weighed_by and not any(_tells(kind, examples, writers, labelled) for kind in several):
            raise MethodError(_untold(method, several))


def check_readers(
    methods: Iterable[Method], students: Iterable[StudentBlock], outlines: Mapping[str, BaseStudent] | None = None
) -> None:
    """Raises MethodError for a method that weighs texts, and a student that writes, and so learns, none.

    `outlines`: of the students whose class alone tells.
    """
    for method, student in product(methods, students):
        outline = (outlines or {}).get(student.label)
        if method.weigh is not None and not (student.answers_untrained if outline is None else outline.writes):
            raise MethodError(
                f"Method '{method.name}' weighs texts, and '{student.label}' writes nothing. Write: student: "
                f"causal:PATH_OR_ID or seq2seq:PATH_OR_ID, or take the option out: {method.without('weigh')}"
            )


def _tells(kind: str, examples: Sequence[Example], writers: Writers, labelled: Collection[tuple[str, str]]) -> bool:
    """Whether anything may tell the claims of a question's texts apart: their words, or labels of their teachers.

    `labelled`: the models that label.
    """
    models = [_model(taker) for taker in writers.takers(kind)]
    if kind == "label" or (len(models) > 1 and STEPS[kind].about != "wrong" and not set(models).isdisjoint(labelled)):
        return True
    if kind == "trace":
        return False
    # A text that states one of these is refused where it is not its own.
    return not examples or any(not example.choices or {*map(spell, example.choices)} - BARE for example in examples)


def _model(taker: Taker) -> tuple[str, str]:
    return taker.teacher.name, taker.teacher.revision


def _several(request: StepRequest, examples: Sequence[Example], writers: Writers) -> Iterator[tuple[str, str]]:
    """The (question, answer) of which there may be several texts of a step."""
    takers = writers.takers(request.name)
    lists = len(takers) == 1 and takers[0].teacher.reads
    may = request.samples != 1 if lists else len(takers) > 1 or (request.samples or 1) > 1
    for example in examples if may else ():
        for answer in STEPS[request.name].answers(example):
            prompt = Prompt((), example, request.name, answer)
            if not lists or (takers[0].teacher.listed(prompt) or 1) > 1:
                yield example.id, answer


def _untold(method: Method, kinds: Sequence[str]) -> str:
    why = (
        "every trace that is kept ends in the right answer"
        if kinds == ["trace"]
        else "words such as 'yes' and 'no' stand in any text"
    )
    return (
        f"Method '{method.name}' weighs texts by the answer that their teacher claims, and the words of "
        f"{' and '.join(kinds)} texts do not tell: {why}. Labels of several teachers do. Write: generate: "
        f"[{{{kinds[0]}: {{teacher: [A, B]}}}}, {{label: {{teacher: [A, B]}}}}], or take another rule, such as "
        "weigh=student."
    )


def _alone(method: Method) -> str:
    kinds = method.weighed
    return (
        f"Method '{method.name}' weighs several texts of a question, and there is one of each "
        f"{' and '.join(kinds)}. Write: generate: [{{{kinds[0]}: {{samples: 4}}}}, ...], or name several teachers: "
        f"[{{{kinds[0]}: {{teacher: [A, B]}}}}, ...]; of a recording, name a column of lists. Or take the method out "
        "of `methods`."
    )


def _asked(item: Item, rule: Weighing) -> tuple[Any, ...]:
    """What the figures of an item depend on."""
    example, texts = item.example, [text.text for text in item.texts]
    if SOURCES[RULES[rule.rule].reads].asks:
        return example.id, example.text, example.answer, item.answer, texts
    also = [text for (kind, _), each in item.known.items() if kind in RULES[rule.rule].also for text in each.texts]
    read = (*item.texts, *also)
    said = [(text.answer, text.refusal, writer(text), model(text), to_json(text.logprobs)) for text in read]
    return example.id, example.text, example.answer, item.answer, texts, said


def _items(kind: str, examples: Iterable[Example], known: Mapping[str, Generations]) -> Iterator[Item]:
    for example in examples:
        texts = known.get(example.id, {})
        for slot, text in texts.items():
            usable = tuple(filter(shows, text.texts)) if slot[0] == kind else ()
            if len(usable) > 1:
                yield Item(example, *slot, usable, texts)


def _rows_of(item: Item, figures: Sequence[Figures], shares: Sequence[float]) -> Iterator[dict[str, Any]]:
    for text, each, share in zip(item.texts, figures, shares, strict=True):
        about = {"example_id": item.example.id, "kind": item.kind, "answer": item.answer}
        yield {
            **about,
            "key": text.key,
            "teacher": text.by or text.source.teacher,
            **each,
            "weight": share,
            "text": text.text,
        }


def _read(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _by_key(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    return {row["key"]: row["weight"] for row in rows}
