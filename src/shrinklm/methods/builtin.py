"""What each method shows a student: a table of weighted views. No model, no torch.

A View turns an example and the teacher's words into one prompt → target pair. A Method is a set of weighted views and says which
of them answers and which explains. `finetune`, `multitask`, `counterfactual` and `multitask+counterfactual` are those of
arXiv 2504.16056 (multitask: Distilling Step-by-Step, arXiv 2305.02301; counterfactual: after SCOTT, arXiv 2305.01879);
`explain-then-answer` and `answer-then-explain` put both into one target; the two controls follow arXiv 2406.14511. `salient` teaches
the words that moved a teacher beside the answer (arXiv 2409.12586); `random-tokens`, `tfidf-tokens` and `own-saliency` are its controls.
"""

from __future__ import annotations

import importlib.util
import itertools
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..core.errors import MethodError
from ..core.marking import Keep, Marking
from ..core.registry import find, names
from ..core.types import Example, Generation, Pair, digest
from ..tasks.answers import after_answer
from ..tasks.base import split_answer

Generations = Mapping[tuple[str, str], Generation]
"""What the teacher said about one example: (kind, answer it argues for) → Generation; (label, "") for its own answer."""


@dataclass(frozen=True)
class Draw:
    """The seeded choices behind one pair."""

    seed: int
    epoch: int
    rank: int
    """The example's place in a seeded order of all examples: spreads the wrong options evenly over an epoch."""
    donor: tuple[Example, Generations] | None
    """The next example in that order, for the control that explains something else; None when there is no other."""


Build = Callable[["View", Example, Generations, Draw], "Pair | str"]


@dataclass(frozen=True)
class View:
    """One way to show an example."""

    name: str
    build: Build
    """(the view, example, generations, draw) → a pair, or the reason why it cannot be built: counted, never silent."""
    source: str = ""
    """The kind of generation that it speaks with: explanation, revision or label; "" = the gold answer alone."""
    also: tuple[str, ...] = ()
    """Further kinds it needs."""
    says: tuple[str, ...] = ("answer",)
    """What its target holds, in order: answer, explanation, or both."""
    lead: str = "The answer is"
    """The words before the answer."""
    tag: str = ""
    """The last line of its prompt; `[name]` when empty."""
    keep: Keep | None = None
    """Which of the marked words its target holds; None for a view of texts."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The kinds of generation it cannot be built without."""
        return ((self.source,) if self.source else ()) + self.also

    def prompt(self, example: Example, premise: str = "") -> str:
        """What the student reads: the question first and the tag last, so that all views of an example share their beginning."""
        return example.text + (f"\nExplanation: {premise}" if premise else "") + f"\n{self.last_line}"

    @property
    def last_line(self) -> str:
        """The line of its prompt that says what is wanted."""
        return self.tag or f"[{self.name}]"

    def pair(self, example: Example, generations: Generations, draw: Draw) -> Pair | str:
        """The pair of this view, or why there is none."""
        return self.build(self, example, generations, draw)

    def states(self, answer: str) -> str:
        """The sentence in which its target states an answer."""
        return f"{self.lead} {answer}."

    def read(self, raw: str, choices: Sequence[str] = ()) -> str:
        """The explanation in what a student said to this view's prompt; "" for a view that only answers.

        `choices` tell where an answer that comes first ends, whatever full stops stand in it.
        """
        if "explanation" not in self.says:
            return ""
        if self.says == ("explanation",):
            return raw.strip()
        return (split_answer(raw)[0] if self.says[0] == "explanation" else after_answer(raw, choices)).strip()


@dataclass(frozen=True)
class Method:
    """A way to train a student. Every method is asked and scored alike."""

    name: str
    views: Mapping[View, float]
    """The weights of the loss: Σ weight × mean cross-entropy of the view's targets. Empty: nothing is trained."""
    answer: View
    """The view that answers test questions."""
    explain: View | None
    """The view that explains them; None where the method teaches no explanation."""
    losses: Mapping[str, float] = field(default_factory=dict)
    """Further loss terms by name."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The kinds of generation its views need."""
        return tuple(dict.fromkeys(kind for view in self.views for kind in view.needs))


def _words(example: Example, generations: Generations, source: str) -> tuple[str, str] | tuple[None, str]:
    """(answer, explanation) that `source` stands for, or (None, reason)."""
    if not source:
        return example.answer, ""
    generation = generations.get((source, "" if source == "label" else example.answer))
    if generation is None:
        return None, f"no {source}"
    if generation.refusal:
        return None, f"{source} refused: {generation.refusal}"
    if source == "label":
        return generation.answer, split_answer(generation.text)[0].strip() or generation.text
    return example.answer, generation.text


def sentence(text: str) -> str:
    """`text` with a full stop at its end, if nothing closes it."""
    return text if text.rstrip("\"'”’)").endswith((".", "!", "?")) else f"{text}."


def _predict(view: View, example: Example, generations: Generations, draw: Draw) -> Pair | str:
    answer, why = _words(example, generations, view.source)
    return why if answer is None else Pair(view.prompt(example), view.states(answer), answer)


def _explain(view: View, example: Example, generations: Generations, draw: Draw) -> Pair | str:
    answer, words = _words(example, generations, view.source)
    return words if answer is None else Pair(view.prompt(example), words, "")


def _factual(view: View, example: Example, generations: Generations, draw: Draw) -> Pair | str:
    answer, words = _words(example, generations, view.source)
    return words if answer is None else Pair(view.prompt(example), f"{sentence(words)} {view.states(answer)}", answer)


def _justify(view: View, example: Example, generations: Generations, draw: Draw) -> Pair | str:
    answer, words = _words(example, generations, view.source)
    return words if answer is None else Pair(view.prompt(example), f"{view.states(answer)} {words}", answer)


def _counterfactual(view: View, example: Example, generations: Generations, draw: Draw) -> Pair | str:
    """A wrong option with the teacher's explanation of it. Each epoch takes the next wrong option, so that all get their turn."""
    if not example.wrong:
        return "no wrong option"
    said = [generations.get(("counterfactual", option)) for option in example.wrong]
    usable = [generation for generation in said if generation is not None and not generation.refusal]
    if not usable:
        refused = sorted({generation.refusal for generation in said if generation is not None and generation.refusal})
        return f"counterfactual refused: {refused[0]}" if refused else "no counterfactual"
    generation = usable[(draw.rank + draw.epoch) % len(usable)]
    prompt = view.prompt(example, premise=sentence(generation.text))
    return Pair(prompt, view.states(generation.answer), generation.answer)


def _shuffled(view: View, example: Example, generations: Generations, draw: Draw) -> Pair | str:
    """Control: the right words in a random order (arXiv 2406.14511)."""
    answer, words = _words(example, generations, view.source)
    if answer is None:
        return words
    order = words.split()
    random.Random(digest(draw.seed, example.id)).shuffle(order)
    return Pair(view.prompt(example), " ".join(order), "")


def _random(view: View, example: Example, generations: Generations, draw: Draw) -> Pair | str:
    """Control: the explanation of another question."""
    if draw.donor is None:
        return "no other example"
    answer, words = _words(*draw.donor, view.source)
    return words if answer is None else Pair(view.prompt(example), words, "")


def _marked(view: View, example: Example, generations: Generations, draw: Draw) -> Pair | str:
    """The words that moved a model most (arXiv 2409.12586)."""
    answer, text = _words(example, generations, view.source)
    if answer is None:
        return text
    marking, keep = Marking.read(text), view.keep or Keep()
    return Pair(
        view.prompt(example), " ".join(marking.words[place] for place in keep.choose(example, marking.scores)), ""
    )


PREDICT = View("predict", _predict)
EXPLAIN = View("explain", _explain, source="explanation", says=("explanation",), lead="")
FACTUAL = View("factual", _factual, source="explanation", says=("explanation", "answer"), lead="So the answer is")
JUSTIFY = View("justify", _justify, source="explanation", says=("answer", "explanation"))
COUNTERFACTUAL = View("counterfactual", _counterfactual, also=("counterfactual",), lead="So the answer is")
SALIENT = View("salient", _marked, source="salient", says=("explanation",), lead="", keep=Keep())
ASK = View("ask", _predict, lead="", tag="Answer:")
"""How an untrained model is asked: in its own terms, without a tag it has never seen."""
ASK_WHY = View("ask-why", _explain, says=("explanation",), lead="", tag="Explain the right choice in one sentence:")

finetune = Method("finetune", {PREDICT: 1.0}, PREDICT, None)
explain_then_answer = Method("explain-then-answer", {FACTUAL: 1.0}, FACTUAL, FACTUAL)
answer_then_explain = Method("answer-then-explain", {JUSTIFY: 1.0}, JUSTIFY, JUSTIFY)
multitask = Method("multitask", {PREDICT: 0.5, EXPLAIN: 0.5}, PREDICT, EXPLAIN)
counterfactual = Method("counterfactual", {FACTUAL: 0.5, COUNTERFACTUAL: 0.5}, FACTUAL, FACTUAL)
multitask_counterfactual = Method(
    "multitask+counterfactual", {PREDICT: 0.25, EXPLAIN: 0.25, FACTUAL: 0.25, COUNTERFACTUAL: 0.25}, PREDICT, EXPLAIN
)
shuffled_explanation = Method(
    "shuffled-explanation", {PREDICT: 0.5, replace(EXPLAIN, build=_shuffled): 0.5}, PREDICT, EXPLAIN
)
random_explanation = Method(
    "random-explanation", {PREDICT: 0.5, replace(EXPLAIN, build=_random): 0.5}, PREDICT, EXPLAIN
)
salient = Method("salient", {PREDICT: 0.5, SALIENT: 0.5}, PREDICT, SALIENT)
salient_explanation = Method("salient+explanation", {PREDICT: 1 / 3, EXPLAIN: 1 / 3, SALIENT: 1 / 3}, PREDICT, EXPLAIN)


def _control(name: str, source: str) -> Method:
    """`salient` with the words that another step marked: the two differ in nothing else."""
    view = replace(SALIENT, source=source)
    return Method(name, {PREDICT: 0.5, view: 0.5}, PREDICT, view)


random_tokens = _control("random-tokens", "random-tokens")
tfidf_tokens = _control("tfidf-tokens", "tfidf-tokens")
own_saliency = _control("own-saliency", "own-saliency")
zero_shot = Method("zero-shot", {}, ASK, ASK_WHY)


def method(spec: str) -> Method:
    """The method a recipe names: "multitask", "multitask:revised", "multitask+counterfactual:revised=explain", "salient:top=3,order=score".

    `revised` makes every view that speaks an explanation speak its revision; `revised=VIEW` only that view (joined by &);
    `teacher-labels` trains on the teacher's own answers and reasons; `top=` (words, or a share below 1) and `order=` (text or score) say
    which marked words a view keeps; `alpha=` is what the views that answer weigh together, the rest is for those that only explain (α of
    arXiv 2504.16056). Raises UnknownName or MethodError.
    """
    name, _, options = spec.partition(":")
    if (
        name and name not in names("methods") and ("." in name or importlib.util.find_spec(name))
    ):  # "module:attribute", of the user
        found: Method = find("methods", spec)
        return found
    base: Method = find("methods", name)
    switch = {view: view for view in (*base.views, base.answer, base.explain) if view is not None}
    chosen = {option.partition("=")[0] for option in options.split(",")}
    if {"revised", "teacher-labels"} <= chosen:
        raise MethodError(
            f"Method '{spec}': 'revised' and 'teacher-labels' exclude each other: the teacher's own reasons are not revised."
        )
    for option in filter(None, options.split(",")):
        key, _, value = option.partition("=")
        if key == "revised":
            wanted = set(filter(None, value.split("&")))
            speaking = {view.name for view in base.views if view.source == "explanation"}
            if not speaking or not wanted <= speaking:
                known = ", ".join(sorted(speaking)) or "none"
                raise MethodError(
                    f"Method '{spec}': '{option}' finds no such view. Views of '{name}' with an explanation: {known}."
                )
            switch = {
                old: replace(new, source="revision") if _switched(new, wanted) else new for old, new in switch.items()
            }
        elif option == "teacher-labels":
            if any(view.keep for view in switch):
                raise MethodError(
                    f"Method '{spec}': marked words go with the gold answer, so '{option}' cannot be asked of them."
                )
            # A counterfactual takes its answer from its own generation.
            switch = {
                old: new if "counterfactual" in new.also else replace(new, source="label")
                for old, new in switch.items()
            }
        elif key in ("top", "order"):
            if not any(view.keep for view in switch):
                raise MethodError(
                    f"Method '{spec}': '{option}' is for methods with marked words, such as salient:{option}."
                )
            switch = {
                old: replace(new, keep=_keep(new.keep, key, value, spec)) if new.keep else new
                for old, new in switch.items()
            }
        elif key == "alpha":
            base = replace(base, views=_weighed(base, value, spec))
        else:
            known = "revised, revised=VIEW, teacher-labels, top=N, order=score, alpha=WEIGHT"
            raise MethodError(f"Method '{spec}': unknown option '{option}'. Known: {known}.")
    return replace(
        base, name=spec, views={switch[view]: weight for view, weight in base.views.items()}, answer=switch[base.answer],
        explain=None if base.explain is None else switch[base.explain],
    )  # fmt: skip


def _weighed(base: Method, value: str, spec: str) -> dict[View, float]:
    """The views of a method, those that answer weighing α together and those that only explain 1 - α."""
    if not re.fullmatch(r"0?\.\d*[1-9]\d*", value):
        raise MethodError(f"Method '{spec}': 'alpha={value}' is not a weight between 0 and 1, such as 0.9.")
    answering = {view: "answer" in view.says for view in base.views}
    if set(answering.values()) != {True, False}:
        raise MethodError(
            f"Method '{spec}': 'alpha' weighs answers against explanations, and '{base.name}' has no views of both kinds."
        )
    total = {
        kind: sum(weight for view, weight in base.views.items() if answering[view] == kind) for kind in (True, False)
    }
    alpha = {True: float(value), False: round(1 - float(value), 12)}
    return {view: alpha[kind] * base.views[view] / total[kind] for view, kind in answering.items()}


def _keep(keep: Keep, key: str, value: str, spec: str) -> Keep:
    """`keep` with an option of a method's spec."""
    if key == "order" and value in ("text", "score"):
        return replace(keep, order=value)  # type: ignore[arg-type]
    if key == "top" and re.fullmatch(r"0?\.\d*[1-9]\d*|[1-9]\d*", value):
        return replace(keep, top=float(value))
    allowed = {"top": "a number of words such as 5, or a share such as 0.3", "order": "text or score"}[key]
    raise MethodError(f"Method '{spec}': '{key}={value}' is not {allowed}.")


def _switched(view: View, wanted: set[str]) -> bool:
    return view.source == "explanation" and (not wanted or view.name in wanted)


@dataclass(frozen=True)
class Shown:
    """One pair of one view of one example, and its weight in the loss."""

    example: Example
    view: View
    weight: float
    pair: Pair


class Corpus:
    """Training examples with what the teacher said about them, and the seeded order behind every draw."""

    def __init__(self, examples: Sequence[Example], said: Mapping[str, Generations], seed: int = 0) -> None:
        self.examples = list(examples)
        self.said = said
        self.seed = seed
        self._order = list(range(len(self.examples)))
        random.Random(digest("order", seed)).shuffle(self._order)
        self._rank = {index: rank for rank, index in enumerate(self._order)}

    def generations(self, index: int) -> Generations:
        """What was said about the example at `index`."""
        return self.said.get(self.examples[index].id, {})

    def show(
        self, method: Method, index: int, epoch: int, unbuilt: Counter[tuple[str, str]] | None = None
    ) -> list[Shown]:
        """All pairs of an example in an epoch; those that cannot be built are counted in `unbuilt` by (view, reason)."""
        rank = self._rank[index]
        donor = self._order[(rank + 1) % len(self._order)]
        draw = Draw(self.seed, epoch, rank, None if donor == index else (self.examples[donor], self.generations(donor)))
        example, shown = self.examples[index], []
        for view, weight in method.views.items():
            pair = view.pair(example, self.generations(index), draw)
            if isinstance(pair, Pair):
                shown.append(Shown(example, view, weight, pair))
            elif unbuilt is not None:
                unbuilt[view.name, pair] += 1
        return shown

    def usable(self, method: Method) -> list[int]:
        """The examples of which the method can show anything. Raises MethodError when one of its views can be built of none."""
        unbuilt: Counter[tuple[str, str]] = Counter()
        shown = [self.show(method, index, 0, unbuilt) for index in range(len(self.examples))]
        built = {pair.view.name for pairs in shown for pair in pairs}
        if any(view.name not in built for view in method.views):
            raise MethodError(lacking(method, unbuilt, len(self.examples)))
        return [index for index, pairs in enumerate(shown) if pairs]

    def schedule(self, method: Method) -> Iterator[tuple[int, int]]:
        """(index of an example, epoch) without end: whole epochs, each in its own seeded order.

        The order is that of all examples, so that two methods meet those that both can show in the same order.
        """
        usable = set(self.usable(method))
        for epoch in itertools.count():
            order = list(range(len(self.examples)))
            random.Random(digest("epoch", self.seed, epoch)).shuffle(order)
            yield from ((index, epoch) for index in order if index in usable)


def lacking(method: Method, unbuilt: Mapping[tuple[str, str], int], total: int) -> str:
    """The message for a method that lacks generations: which, of how many examples, and what to type."""
    reasons = "; ".join(
        f"view '{view}': {count:,} of {total:,} examples: {reason}" for (view, reason), count in sorted(unbuilt.items())
    )
    kinds = ", ".join(f"'{kind}'" for kind in method.needs) or "no"
    missing = [kind for kind in method.needs if any(reason == f"no {kind}" for _, reason in unbuilt)]
    advice = (
        f"Run: shrinklm generate RECIPE --step {missing[0]}"
        if missing
        else "Leave this method out, or ask another teacher."
    )
    return f"Method '{method.name}' needs {kinds} generations. {reasons or 'There is no training example'}. {advice}"
