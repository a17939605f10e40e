"""What a teacher said, looked through before any student is trained on it: step by step, by words alone.

Shares are of the texts that were said. A text is read as it is kept (cleaned, and a recording trimmed to whole sentences); `occurs_as_said`
and `cut` also look at a recording as it stands in its file, since trimming hides both.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import AuditError, RecipeError
from ..core.types import Example, Generation, Prompt, Tick
from ..stats import mean_interval, wilson
from ..tasks.answers import stated_option
from ..teachers.ask import read_recording
from ..teachers.base import BaseTeacher
from ..teachers.refusals import CONTRADICTS, CUT, ELSEWHERE, EMPTY, clean, ended
from ..teachers.steps import STEPS
from .metrics.explanations import named, spell
from .metrics.mentions import mentions, sentences, supported
from .metrics.support import gives_away, markers
from .metrics.wording import hedging

ARGUES = ("explanation", "revision", "counterfactual")
"""The steps whose texts argue for an answer; of any other only its words are counted."""
AGAIN: Mapping[str, str] = {"revision": "explanation"}
"""Step → the step whose text it writes again."""
Said = Mapping[str, Mapping[tuple[str, str], Generation]]
"""Example id → (step, answer) → what was said, as `generate.look` finds it."""
_EVERY = 500

Heard = Mapping[tuple[str, str, str], str]
"""(example id, step, answer) → the text as it stands in a recording."""


@dataclass(frozen=True)
class Text:
    """What is found in one text. Figures that do not apply are None."""

    empty: bool
    cut: bool
    refusal: str | None
    words: int
    sentences: int
    hedges: int
    contrast: int
    occurs: bool | None = None
    occurs_as_said: bool | None = None
    named: bool | None = None
    names_gold: bool | None = None
    others: int | None = None
    leaks: bool | None = None
    argues_own: bool | None = None
    argues_other: bool | None = None
    supports: bool | None = None


def audit(
    examples: Sequence[Example], said: Said, steps: Iterable[str], heard: Heard | None = None, tick: Tick | None = None
) -> dict[str, Any]:
    """What the texts of each step are like, as JSON.

    Args:
        examples: The questions.
        said: What the store holds about them.
        steps: Which steps to look through.
        heard: The texts as recorded, where the teacher is a recording.
        tick: Told after every 500 questions.

    Returns:
        `{"examples", "labels", "steps": {step: figures}, "again": {step: figures}}`. `labels`: all questions have the same options
        (entailment, yes/no), so that a good reason need not name one. Figures of a step: counts `n` (to be said), `missing` (not asked
        yet), `empty`, `cut`, `kept` and `refused` (by reason); means `words`, `sentences`, `hedges`, `contrast` (words that set one thing
        against another), `others` (times it names an option that it does not argue for); shares `occurs` (the answer it argues for occurs
        in it, in any case: "banks" has "bank" in it), `occurs_as_said` (the same of the first line as recorded), `named` (it stands there
        as whole words), `names_gold`, `names_other`, `leaks` (it is stated as the answer), `argues_own`, `argues_other` (the text argues
        for another option) and `support`: usable, names its answer, and argues for no other. `interval` holds their 95 % intervals
        (Wilson's for shares). Figures of a step that writes another one again: see `_again`.
    """
    labels = (
        len(examples) > 1
        and bool(examples[0].choices)
        and len({frozenset(example.choices) for example in examples}) == 1
    )
    texts: dict[str, list[Text | None]] = {step: [] for step in steps}
    for place, example in enumerate(examples, 1):
        for step, found in texts.items():
            for answer in _answers(step, example):
                generation = said.get(example.id, {}).get((step, answer))
                raw = (heard or {}).get((example.id, step, answer))
                found.append(None if generation is None else read(example, generation, raw, labels))
        if tick is not None and (place % _EVERY == 0 or place == len(examples)):
            tick("audit", place, len(examples), "")
    pairs = {step: list(_pairs(examples, said, step, AGAIN[step])) for step in texts if step in AGAIN}
    return {
        "examples": len(examples),
        "labels": labels,
        "steps": {step: _figures(found) for step, found in texts.items()},
        "again": {step: {"from": AGAIN[step], **_again(some)} for step, some in pairs.items() if some},
    }


def read(example: Example, generation: Generation, raw: str | None = None, labels: bool = False) -> Text:
    """One text looked through. `raw`: as it stands in a recording; `labels`: it need not name its answer."""
    text, refusal = generation.text, generation.refusal
    empty = not text.strip() or refusal == EMPTY
    cut = refusal == CUT or (raw is not None and bool(raw.strip()) and not ended(clean(raw, generation.kind)[0]))
    counted = (empty, cut, refusal, len(text.split()), len(sentences(text)), hedging(text), markers(text))
    if generation.kind not in ARGUES:
        return Text(*counted)
    own, choices = generation.answer, example.choices or (example.answer, generation.answer)
    names = named(text, choices)
    argued = supported(text, example)
    for_own = argued is not None and spell(argued) == spell(own)
    occurs = occurs_in(own, text)
    stated = stated_option(text, example) if example.choices else None
    # An option named beside the own one is often only compared with it: where the own one stands, another must be said outright.
    other = (
        refusal in (CONTRADICTS, ELSEWHERE)
        or (stated is not None and spell(stated) != spell(own))
        or (argued is not None and not for_own and not occurs)
    )
    others = sum(mention.option != spell(own) for mention in mentions(text, example.choices))
    return Text(
        *counted, occurs=occurs, occurs_as_said=None if raw is None else occurs_in(own, first_line(raw)), named=own in names,
        names_gold=example.answer in names, others=others if example.choices else None, leaks=gives_away(text, example, own),
        argues_own=for_own if example.choices else None, argues_other=other if example.choices else None,
        supports=refusal is None and not empty and not other and (labels or occurs or for_own),
    )  # fmt: skip


def gate(found: Mapping[str, Any], least: float, steps: Iterable[str] = ()) -> None:
    """Passes, or raises AuditError with the first step whose texts support their answer in less than the share `least`.

    `steps`: which to look at; none: all that argue for an answer. A step that is not there yet, or not all of it, does not pass.
    """
    argued = {step: figures for step, figures in found["steps"].items() if step in ARGUES}
    for step in tuple(steps) or tuple(argued):
        if step not in argued:
            raise RecipeError(
                f"The audit has no step '{step}'. Its steps: {', '.join(argued) or 'none'}. Mend `audit: steps` in the recipe."
            )
        figures = argued[step]
        if figures["missing"] or not figures["n"]:
            raise AuditError(
                f"{figures['missing']:,} of {figures['n']:,} texts of '{step}' were not asked for yet. Run: shrinklm generate RECIPE"
            )
        if figures["support"] < least:
            raise AuditError(_too_low(step, figures, least, argued))


def _too_low(step: str, figures: Mapping[str, Any], least: float, argued: Mapping[str, Mapping[str, Any]]) -> str:
    low, high = (f"{100 * edge:.1f}" for edge in figures["interval"]["support"])
    refused = sum(figures["refused"].values())
    why = [f"{100 * (1 - figures['occurs']):.1f} % do not name it"]
    if figures["argues_other"] is not None:
        why.append(f"{100 * figures['argues_other']:.1f} % argue for another option")
    why.append(f"{100 * refused / figures['n']:.1f} % were refused")
    better = [name for name, other in argued.items() if other["support"] >= least]
    return (
        f"Texts of '{step}' support their answer in {100 * figures['support']:.1f} % of {figures['n']:,} cases "
        f"(95 % interval {low} to {high}), which is below the {100 * least:g} % asked for: {', '.join(why)}. Nothing is trained on them. "
        "Read some with: shrinklm export RECIPE texts.jsonl. Then mend the prompts, take another teacher"
        + (f", train on '{better[0]}' instead" if better else "")
        + ", or ask for less: --min-support, or audit: {min_support: ...} in the recipe."
    )


def recorded(teacher: BaseTeacher, examples: Sequence[Example], said: Said, steps: Iterable[str]) -> Heard | None:
    """The texts of a recording as they stand in its files; None for a teacher that is asked."""
    if not teacher.reads:
        return None
    wanted = set(steps)
    asked = [
        Prompt((), example, kind, answer)
        for example in examples
        for kind, answer in said.get(example.id, {})
        if kind in wanted
    ]
    return {(prompt.example.id, prompt.kind, prompt.answer): text for prompt, text in read_recording(teacher, asked)}


def occurs_in(answer: str, text: str) -> bool:
    """Whether an answer occurs in a text, in any case: "bank" does in "banks" and in "embankment"."""
    return bool(answer.strip()) and answer.casefold().strip() in text.casefold()


def first_line(text: str) -> str:
    """The first line that says anything."""
    return text.strip().partition("\n")[0]


def _answers(step: str, example: Example) -> tuple[str, ...]:
    """The answers that a step argues for."""
    return example.wrong if STEPS[step].about == "wrong" else (example.answer,)


_COUNTS = ("words", "sentences", "hedges", "contrast", "others")
_SHARES = ("occurs", "occurs_as_said", "named", "names_gold", "leaks", "argues_own", "argues_other")


def _figures(texts: Sequence[Text | None]) -> dict[str, Any]:
    there = [text for text in texts if text is not None]
    refused = Counter(text.refusal.partition(":")[0] for text in there if text.refusal)
    figures: dict[str, Any] = {"n": len(texts), "missing": len(texts) - len(there)}
    figures |= {"empty": sum(text.empty for text in there), "cut": sum(text.cut for text in there)}
    figures |= {"kept": sum(text.refusal is None for text in there), "refused": dict(refused.most_common())}
    columns = {name: [getattr(text, name) for text in there] for name in (*_COUNTS, *_SHARES)}
    columns["names_other"] = [None if text.others is None else text.others > 0 for text in there]
    columns["support"] = [text.supports for text in there]
    interval: dict[str, list[float]] = {}
    for name, column in columns.items():
        values = [float(value) for value in column if value is not None]
        figures[name] = math.fsum(values) / len(values) if values else None
        if values:
            hits = round(sum(values))
            interval[name] = list(mean_interval(values) if name in _COUNTS else wilson(hits, len(values)))
    return {**figures, "interval": interval}


def _pairs(examples: Sequence[Example], said: Said, step: str, before: str) -> Iterator[tuple[str, str, str]]:
    """(answer, the text before, the text after) where both were said."""
    for example in examples:
        known = said.get(example.id, {})
        old, new = known.get((before, example.answer)), known.get((step, example.answer))
        if old is not None and new is not None and old.text.strip() and new.text.strip():
            yield example.answer, old.text, new.text


def _again(pairs: Sequence[tuple[str, str, str]]) -> dict[str, Any]:
    """What writing it again did: shares `changed` (other words), `gained` and `lost` (of all: its answer occurs in it now, or no more),
    mean words before and after, and their ratio.
    """
    before = [occurs_in(answer, old) for answer, old, _ in pairs]
    after = [occurs_in(answer, new) for answer, _, new in pairs]
    words = [math.fsum(len(pair[place].split()) for pair in pairs) / len(pairs) for place in (1, 2)]
    n = len(pairs)
    return {
        "n": n,
        "changed": sum(spell(old) != spell(new) for _, old, new in pairs) / n,
        "gained": sum(now and not then for then, now in zip(before, after, strict=True)) / n,
        "lost": sum(then and not now for then, now in zip(before, after, strict=True)) / n,
        "words_before": words[0],
        "words_after": words[1],
        "ratio": words[1] / words[0],
    }
