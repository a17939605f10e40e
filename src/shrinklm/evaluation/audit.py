"""Audit a teacher's texts before any student is trained on them: step by step, by their words alone.

Shares are of the texts in the store. A text is read as it is kept (cleaned, and a recording trimmed to whole
sentences); `occurs_as_said` and `cut` also look at a recording as it stands in its file, since trimming hides both.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ..core.errors import AuditError, RecipeError
from ..core.names import folded
from ..core.types import Example, Generation, Prompt, Tick
from ..core.words import pieces
from ..methods.view import Generations
from ..stats import mean_interval, wilson
from ..tasks.answers import stated_option
from ..tasks.base import labels_of
from ..teachers.ask import read_recording
from ..teachers.base import BaseTeacher
from ..teachers.cleaning import clean
from ..teachers.endings import ended
from ..teachers.refusals import CONTRADICTS, CUT, ELSEWHERE, EMPTY
from ..teachers.steps import STEPS
from .metrics.explanations import named, spell
from .metrics.mentions import mentions, sentences, supported
from .metrics.support import gives_away, markers
from .metrics.wording import hedging

ARGUES = ("explanation", "revision", "counterfactual")
"""The steps whose texts argue for an answer; of other steps only the words are counted."""
AGAIN: Mapping[str, str] = {"revision": "explanation"}
"""Step → the step whose text it rewrites."""
Recorded = Mapping[str, str]
"""The key of a text → the text as it stands in a recording."""
LeftOut = Callable[[Example, Generation, "TextAudit"], str | None]
_EVERY = 500
"""Questions between two calls of a tick."""


@dataclass(frozen=True)
class TextAudit:
    """The figures of one text; None where a figure does not apply. For their meaning see `audit_texts`."""

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


def audit_texts(
    examples: Sequence[Example],
    generations: Mapping[str, Generations],
    steps: Iterable[str],
    recorded: Recorded | None = None,
    tick: Tick | None = None,
    left_out: LeftOut | None = None,
    samples: Mapping[str, int] = MappingProxyType({}),
) -> dict[str, Any]:
    """The figures of the texts of each step, all samples of a question included, as JSON.

    Args:
        examples: The questions.
        generations: Their generations.
        steps: The steps to audit.
        recorded: The texts as recorded, where the teacher is a recording.
        tick: Called after every 500 questions.
        left_out: The reason for which a text is left out of training, None where it stays. The figures are those of all
            texts; each step then has `left_out` (texts by reason) and `support_left`, the share of the texts that stay
            and are not refused which support their answer.
        samples: Step → texts that were asked for of each question, where there are several.

    Returns:
        `{"examples", "labels", "steps": {step: figures}, "again": {step: figures}}`. `labels`: all questions have the
        same options (entailment, yes/no), so that a good reason need not name one, and what counts names is None.
        Figures of a step: counts `n` (texts in all), `missing` (not asked for yet), `empty`, `cut`, `kept` and
        `refused` (by reason); means `words`, `sentences`, `hedges`, `contrast` (words that set one thing against
        another), `others` (times it names an option that it does not argue for); shares `occurs` (the answer it argues
        for occurs in it, in any case: "banks" has "bank" in it), `occurs_as_said` (the same of the first line as
        recorded), `named` (it stands there as whole words), `names_gold`, `names_other`, `leaks` (it is stated as the
        answer), `argues_own`, `argues_other` (the text argues for another option), `support` (usable, names its answer,
        argues for no other). `interval` holds their 95 % intervals (Wilson's for shares). `again`: see `_again`.
    """
    labels = same_labels(examples)
    # None for a text that is missing: it counts in `n`, so that a half-filled store cannot look complete.
    texts: dict[str, list[TextAudit | None]] = {step: [] for step in steps}
    out: dict[str, list[str | None]] = {step: [] for step in texts}
    for done, example in enumerate(examples, 1):
        for step, audits in texts.items():
            for answer in _answers(step, example):
                generation = generations.get(example.id, {}).get((step, answer))
                texts_of = generation.texts if generation is not None else ()
                audits += (lacking := [None] * max(samples.get(step, 1) - len(texts_of), 0))
                out[step] += lacking
                for text in texts_of:
                    figures = audit_text(example, text, (recorded or {}).get(text.key), labels)
                    audits.append(figures)
                    out[step].append(None if left_out is None else left_out(example, text, figures))
        if tick is not None and (done % _EVERY == 0 or done == len(examples)):
            tick("audit", done, len(examples), "")
    rewritten = {step: list(_pairs(examples, generations, step, AGAIN[step])) for step in texts if step in AGAIN}
    return {
        "examples": len(examples),
        "labels": labels,
        "steps": {
            step: _figures(audits) | ({} if left_out is None else _without(audits, out[step]))
            for step, audits in texts.items()
        },
        "again": {step: {"from": AGAIN[step], **_again(pairs)} for step, pairs in rewritten.items() if pairs},
    }


def same_labels(examples: Sequence[Example]) -> bool:
    """Whether all questions have the same options (entailment, yes/no), so that a good reason need not name one."""
    return bool(labels_of(example.choices for example in examples))


def audit_text(example: Example, generation: Generation, raw: str | None = None, labels: bool = False) -> TextAudit:
    """The figures of one text. `raw`: as it stands in a recording; `labels`: it need not name its answer."""
    text, refusal = generation.text, generation.refusal
    empty = not text.strip() or refusal == EMPTY
    # A recording is trimmed to whole sentences when it is read, so that only its raw text shows a cut.
    cut = refusal == CUT or (raw is not None and bool(raw.strip()) and not ended(clean(raw, generation.kind)[0]))
    counted = (empty, cut, refusal, len(pieces(text)), len(sentences(text)), hedging(text), markers(text))
    if generation.kind not in ARGUES:
        return TextAudit(*counted)
    answer, options = generation.answer, bool(example.choices)
    # A free answer has no options to look for, so that the two answers stand in for them.
    names = named(text, example.choices or (example.answer, answer))
    argued = supported(text, example)
    argues_own = argued is not None and spell(argued) == spell(answer)
    occurs = occurs_in(answer, text)
    stated = stated_option(text, example) if options else None
    # An option named beside the answer is often only compared with it: where the answer occurs, the text argues for
    # another option only if it states that one as the answer.
    argues_other = (
        refusal in (CONTRADICTS, ELSEWHERE)
        or (stated is not None and spell(stated) != spell(answer))
        or (argued is not None and not argues_own and not occurs)
    )
    others = sum(mention.option != spell(answer) for mention in mentions(text, example.choices))
    return TextAudit(
        *counted,
        # A good reason for a label, such as "yes", need not name it.
        occurs=None if labels else occurs,
        occurs_as_said=None if raw is None or labels else occurs_in(answer, first_line(raw)),
        named=None if labels else answer in names,
        names_gold=None if labels else example.answer in names,
        others=others if options and not labels else None,
        leaks=gives_away(text, example, answer),
        argues_own=argues_own if options else None,
        argues_other=argues_other if options else None,
        supports=refusal is None and not empty and not argues_other and (labels or occurs or argues_own),
    )


def check_support(audit: Mapping[str, Any], least: float, steps: Iterable[str] = ()) -> None:
    """Raise AuditError for the first step whose texts support their answer in less than the share `least`.

    Args:
        audit: What `audit_texts` returned.
        least: From 0 to 1.
        steps: The steps that must pass; none: all that argue for an answer. A step with missing texts does not pass.

    Raises:
        AuditError: a step has missing texts or too little support.
        RecipeError: the audit has no such step.
    """
    # Critiques and the teacher's own answers argue for no answer that they could support.
    argued = {step: figures for step, figures in audit["steps"].items() if step in ARGUES}
    for step in tuple(steps) or tuple(argued):
        if step not in argued:
            raise RecipeError(
                f"The audit has no step '{step}'. Its steps: {', '.join(argued) or 'none'}. "
                "Mend `audit: steps` in the recipe."
            )
        figures = argued[step]
        # A share of the texts that exist says nothing of those that are missing, and both are trained on later.
        if figures["missing"] or not figures["n"]:
            raise AuditError(
                f"{figures['missing']:,} of {figures['n']:,} texts of '{step}' were not asked for yet. "
                "Run: shrinklm generate RECIPE"
            )
        if figures.get("support_left", figures["support"]) < least:
            raise AuditError(_too_low(step, figures, least, argued))


def _too_low(step: str, figures: Mapping[str, Any], least: float, argued: Mapping[str, Mapping[str, Any]]) -> str:
    low, high = (f"{100 * edge:.1f}" for edge in figures["interval"]["support"])
    gone = sum(figures.get("left_out", {}).values())
    rest = f" Without the {gone:,} left out, in {100 * figures['support_left']:.1f} %." if gone else ""
    refused = sum(figures["refused"].values())
    reasons = []
    if figures["occurs"] is not None:
        reasons.append(f"{100 * (1 - figures['occurs']):.1f} % do not name it")
    if figures["argues_other"] is not None:
        reasons.append(f"{100 * figures['argues_other']:.1f} % argue for another option")
    reasons.append(f"{100 * refused / figures['n']:.1f} % were refused")
    better = [name for name, other in argued.items() if other["support"] >= least]
    return (
        f"Texts of '{step}' support their answer in {100 * figures['support']:.1f} % of {figures['n']:,} cases "
        f"(95 % interval {low} to {high}), which is below the {100 * least:g} % asked for: {', '.join(reasons)}.{rest} "
        "Nothing is trained on them. "
        "Read some with: shrinklm export RECIPE texts.jsonl. Then mend the prompts, take another teacher"
        + (f", train on '{better[0]}' instead" if better else "")
        + ", or ask for less: --min-support, or audit: {min_support: ...} in the recipe."
    )


def recorded_texts(
    teacher: BaseTeacher,
    examples: Sequence[Example],
    generations: Mapping[str, Generations],
    steps: Iterable[str],
    by: str = "",
) -> Recorded | None:
    """The texts of a recording as they stand in its files; None for a teacher that is no recording.

    `by`: its name where several teachers take the steps, so that its own texts alone are looked up.
    """
    if not teacher.reads:
        return None
    wanted = set(steps)
    texts = [
        (Prompt((), example, kind, answer), text)
        for example in examples
        for (kind, answer), generation in generations.get(example.id, {}).items()
        if kind in wanted
        for text in generation.texts
        if text.by == by
    ]
    asked = [(prompt, text.source.sampling) for prompt, text in texts]
    return {text.key: raw for (_, text), raw in zip(texts, read_recording(teacher, asked), strict=True)}


def occurs_in(answer: str, text: str) -> bool:
    """Whether an answer occurs in a text, in any case: "bank" does in "banks" and in "embankment"."""
    return bool(answer.strip()) and folded(answer).strip() in folded(text)


def first_line(text: str) -> str:
    """The first line that is not blank."""
    return text.strip().partition("\n")[0]


def _answers(step: str, example: Example) -> tuple[str, ...]:
    """The answers that a step argues for."""
    return example.wrong if STEPS[step].about == "wrong" else (example.answer,)


_COUNTS = ("words", "sentences", "hedges", "contrast", "others")
_SHARES = ("occurs", "occurs_as_said", "named", "names_gold", "leaks", "argues_own", "argues_other")


def _figures(audits: Sequence[TextAudit | None]) -> dict[str, Any]:
    """The figures of a step; None stands for a text that was not asked for yet."""
    texts = [text for text in audits if text is not None]
    # "the prompt does not fit: 812 tokens, limit 512": reasons are counted without their numbers.
    refused = Counter(text.refusal.partition(":")[0] for text in texts if text.refusal)
    figures: dict[str, Any] = {"n": len(audits), "missing": len(audits) - len(texts)}
    figures |= {"empty": sum(text.empty for text in texts), "cut": sum(text.cut for text in texts)}
    figures |= {"kept": sum(text.refusal is None for text in texts), "refused": dict(refused.most_common())}
    columns = {name: [getattr(text, name) for text in texts] for name in (*_COUNTS, *_SHARES)}
    columns["names_other"] = [None if text.others is None else text.others > 0 for text in texts]
    columns["support"] = [text.supports for text in texts]
    interval: dict[str, list[float]] = {}
    for name, column in columns.items():
        values = [float(value) for value in column if value is not None]
        figures[name] = math.fsum(values) / len(values) if values else None
        if values:
            # Wilson's interval, since a normal one would leave 0..1 and have no width at 0 and 1.
            hits = round(sum(values))
            interval[name] = list(mean_interval(values) if name in _COUNTS else wilson(hits, len(values)))
    return {**figures, "interval": interval}


def _without(audits: Sequence[TextAudit | None], reasons: Sequence[str | None]) -> dict[str, Any]:
    """What is left out of a step, and the support of what stays."""
    stay = [
        text.supports
        for text, reason in zip(audits, reasons, strict=True)
        if text is not None and reason is None and text.refusal is None
    ]
    counts = Counter(reason for reason in reasons if reason)
    return {
        "left_out": dict(counts.most_common()),
        "support_left": sum(map(bool, stay)) / len(stay) if stay else 0.0,
    }


def _pairs(
    examples: Sequence[Example], generations: Mapping[str, Generations], step: str, before: str
) -> Iterator[tuple[str, str, str]]:
    """(answer, the text before, the text after) where both have words."""
    for example in examples:
        known = generations.get(example.id, {})
        old, new = known.get((before, example.answer)), known.get((step, example.answer))
        if old is not None and new is not None and old.text.strip() and new.text.strip():
            yield example.answer, old.text, new.text


def _again(pairs: Sequence[tuple[str, str, str]]) -> dict[str, Any]:
    """The effect of rewriting (answer, text before, text after).

    Shares of all pairs: `changed` (other words), `gained` and `lost` (the answer occurs in the new text only, or in the
    old one only). Mean words before and after, and their ratio.
    """
    before = [occurs_in(answer, old) for answer, old, _ in pairs]
    after = [occurs_in(answer, new) for answer, _, new in pairs]
    # `_pairs` lets no text without words through, so that the ratio exists.
    words = [math.fsum(len(pieces(pair[column])) for pair in pairs) / len(pairs) for column in (1, 2)]
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
