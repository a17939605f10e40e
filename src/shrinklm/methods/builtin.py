"""The built-in methods: a table of weighted views and how each view is built. No model, no torch.

`finetune`, `multitask`, `counterfactual` and `multitask+counterfactual` are those of arXiv 2504.16056 (multitask:
Distilling Step-by-Step, arXiv 2305.02301; counterfactual: after SCOTT, arXiv 2305.01879); `explain-then-answer` and
`answer-then-explain` put both into one target; the two controls follow arXiv 2406.14511. `salient` teaches the words
that moved a teacher beside the answer (arXiv 2409.12586); `random-tokens`, `tfidf-tokens` and `own-saliency` are its
controls.
"""

from __future__ import annotations

import random
from dataclasses import replace

from ..core.marking import Keep, Marking
from ..core.sentences import sentences
from ..core.types import Example, Pair, digest
from ..core.words import joined, pieces
from ..tasks.base import split_answer
from .view import Draw, Generations, Method, View, prefixed_pair, sentence, traced


def _words(example: Example, generations: Generations, source: str) -> tuple[str, str] | tuple[None, str]:
    """(answer, explanation) by the generation of kind `source`, or (None, the reason why there is none)."""
    if not source:
        return example.answer, ""
    generation = generations.get((source, "" if source in ("label", "trace") else example.answer))
    if generation is None:
        return None, f"no {source}"
    if generation.refusal:
        return None, f"{source} refused: {generation.refusal}"
    if source == "label":
        # The teacher's own answer came with its reasons before it; a bare answer is all there is.
        return generation.answer, split_answer(generation.text)[0].strip() or generation.text
    if source == "trace":
        words = traced(generation)
        return (example.answer, words) if words else (None, "trace gives no reasons")
    return example.answer, generation.text


def _predict(view: View, example: Example, generations: Generations, draw: Draw) -> Pair | str:
    answer, why = _words(example, generations, view.source)
    return why if answer is None else Pair(view.prompt(example), view.states(answer, example), answer)


def _explain(view: View, example: Example, generations: Generations, draw: Draw) -> Pair | str:
    answer, words = _words(example, generations, view.source)
    return words if answer is None else Pair(view.prompt(example), words, "")


def _factual(view: View, example: Example, generations: Generations, draw: Draw) -> Pair | str:
    answer, words = _words(example, generations, view.source)
    if answer is None:
        return words
    if view.internalised:
        parts = sentences(words)
        words = " ".join(parts[len(parts) * draw.epoch // view.internalised :])
    said = [sentence(words)] if words else []
    return Pair(view.prompt(example), " ".join([*said, view.states(answer, example)]), answer)


def _justify(view: View, example: Example, generations: Generations, draw: Draw) -> Pair | str:
    answer, words = _words(example, generations, view.source)
    if answer is None:
        return words
    return Pair(view.prompt(example), f"{view.states(answer, example)} {words}", answer)


def _counterfactual(view: View, example: Example, generations: Generations, draw: Draw) -> Pair | str:
    """A wrong option with the teacher's explanation of it.

    Each epoch takes the next wrong option, so that all get their turn.
    """
    if not example.wrong:
        return "no wrong option"
    argued = [generations.get(("counterfactual", option)) for option in example.wrong]
    usable = [generation for generation in argued if generation is not None and not generation.refusal]
    if not usable:
        refusals = sorted(
            {generation.refusal for generation in argued if generation is not None and generation.refusal}
        )
        # One reason for each example, and the same in every run: reasons are counted.
        return f"counterfactual refused: {refusals[0]}" if refusals else "no counterfactual"
    # By the rank too, so that one epoch takes its wrong options evenly from all positions.
    generation = usable[(draw.rank + draw.epoch) % len(usable)]
    explanation = sentence(generation.text)
    if view.prefixed:
        before = f"{explanation} {view.lead}".rstrip()
        return prefixed_pair(view.prompt(example), before, view.named(example, generation.answer), generation.answer)
    prompt = view.prompt(example, premise=explanation)
    return Pair(prompt, view.states(generation.answer, example), generation.answer)


def _shuffled(view: View, example: Example, generations: Generations, draw: Draw) -> Pair | str:
    """Control: the right words in a random order (arXiv 2406.14511)."""
    answer, words = _words(example, generations, view.source)
    if answer is None:
        return words
    # The same order in every epoch and for every method: by the example, not by the draw's epoch.
    order = pieces(words)
    random.Random(digest(draw.seed, example.id)).shuffle(order)
    return Pair(view.prompt(example), joined(order), "")


def _random(view: View, example: Example, generations: Generations, draw: Draw) -> Pair | str:
    """Control: the explanation of another question."""
    if draw.donor is None:
        return "no other example"
    answer, words = _words(*draw.donor, view.source)
    return words if answer is None else Pair(view.prompt(example), words, "")


def _marked(view: View, example: Example, generations: Generations, draw: Draw) -> Pair | str:
    """The words that moved a model most (arXiv 2409.12586)."""
    # A marking scores every word; the view chooses which to keep, so that `top` and `order` need no new marking.
    answer, text = _words(example, generations, view.source)
    if answer is None:
        return text
    marking, keep = Marking.read(text), view.keep or Keep()
    kept = " ".join(marking.words[index] for index in keep.choose(example, marking.scores))
    return Pair(view.prompt(example), kept, "")


PREDICT = View("predict", _predict, always=True)
EXPLAIN = View("explain", _explain, source="explanation", says=("explanation",), lead="")
FACTUAL = View("factual", _factual, source="explanation", says=("explanation", "answer"), lead="So the answer is")
JUSTIFY = View("justify", _justify, source="explanation", says=("answer", "explanation"))
TRACE = replace(FACTUAL, name="trace", source="trace")
COUNTERFACTUAL = View("counterfactual", _counterfactual, also=("counterfactual",), lead="So the answer is")
SALIENT = View("salient", _marked, source="salient", says=("explanation",), lead="", keep=Keep())
ASK = View("ask", _predict, lead="", tag="Answer:")
"""The prompt of an untrained model, in ordinary words: it has never seen a tag."""
ASK_WHY = View("ask-why", _explain, says=("explanation",), lead="", tag="Explain the right choice in one sentence:")

# The views of a method weigh the same, as in arXiv 2504.16056 (α = β = γ = ½). Its T5 code adds the two losses of
# `counterfactual` without weights, which differs by a factor only.
finetune = Method("finetune", {PREDICT: 1.0}, PREDICT, None, about="the answer alone")
explain_then_answer = Method(
    "explain-then-answer", {FACTUAL: 1.0}, FACTUAL, FACTUAL, about="first the explanation, then the answer"
)
answer_then_explain = Method(
    "answer-then-explain", {JUSTIFY: 1.0}, JUSTIFY, JUSTIFY, about="first the answer, then the explanation"
)
multitask = Method(
    "multitask",
    {PREDICT: 0.5, EXPLAIN: 0.5},
    PREDICT,
    EXPLAIN,
    about="the answer and, apart, the explanation (arXiv 2305.02301)",
)
counterfactual = Method(
    "counterfactual",
    {FACTUAL: 0.5, COUNTERFACTUAL: 0.5},
    FACTUAL,
    FACTUAL,
    about="explain-then-answer, and the wrong answer that an explanation of it asks for (after arXiv 2305.01879)",
)
multitask_counterfactual = Method(
    "multitask+counterfactual",
    {PREDICT: 0.25, EXPLAIN: 0.25, FACTUAL: 0.25, COUNTERFACTUAL: 0.25},
    PREDICT,
    EXPLAIN,
    about="the views of both (arXiv 2504.16056)",
)
trace_then_answer = Method(
    "trace-then-answer", {TRACE: 1.0}, TRACE, TRACE, about="first the teacher's own reasoning, then the answer"
)
trace_explanation = Method(
    "trace+explanation",
    {TRACE: 0.5, EXPLAIN: 0.5},
    TRACE,
    EXPLAIN,
    about="the teacher's own reasoning and the answer and, apart, an explanation for people (arXiv 2505.13792)",
)
shuffled_explanation = Method(
    "shuffled-explanation",
    {PREDICT: 0.5, replace(EXPLAIN, build=_shuffled): 0.5},
    PREDICT,
    EXPLAIN,
    about="control of multitask, the explanation's words in random order",
)
random_explanation = Method(
    "random-explanation",
    {PREDICT: 0.5, replace(EXPLAIN, build=_random): 0.5},
    PREDICT,
    EXPLAIN,
    about="control of multitask, another question's explanation",
)
salient = Method(
    "salient",
    {PREDICT: 0.5, SALIENT: 0.5},
    PREDICT,
    SALIENT,
    about="the answer and, apart, the words that moved a teacher most (arXiv 2409.12586)",
)
salient_explanation = Method(
    "salient+explanation",
    {PREDICT: 1 / 3, EXPLAIN: 1 / 3, SALIENT: 1 / 3},
    PREDICT,
    EXPLAIN,
    about="the answer, the explanation and, apart, the words that moved a teacher most",
)


def _control(name: str, source: str, words: str) -> Method:
    """`salient` with the words that another step marked: the two differ in nothing else."""
    view = replace(SALIENT, source=source)
    return Method(name, {PREDICT: 0.5, view: 0.5}, PREDICT, view, about=f"control of salient, {words}")


random_tokens = _control("random-tokens", "random-tokens", "words drawn by lot")
tfidf_tokens = _control("tfidf-tokens", "tfidf-tokens", "the words of highest tf-idf")
own_saliency = _control("own-saliency", "own-saliency", "the words that moved the untrained student")
zero_shot = Method("zero-shot", {}, ASK, ASK_WHY, about="the untrained student, asked in ordinary words")
