"""The figures about marked words in sentences. They follow from the numbers, also when a control wins."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ....stats import Estimate
from ...fields import block, estimate_of, finite, whole
from ...look.numbers import count, listing, percent
from ...marks import Saliency
from .table import BY_KEY, CHANCE_STEP, correlations, estimates, keeps, nats, rho

LEAD = "salient"
"""The step that the others are controls of."""
_MEASURED = (
    ("Gold option", "gold_hit"),
    ("Best word", "gold_hit_top1"),
    ("Human highlights", "f1"),
    ("Human highlights, ranked", "auprc"),
    ("Comprehensiveness", "comprehensiveness"),
    ("Sufficiency", "sufficiency"),
)
"""(heading, measure) of each figure that has a sentence."""


def sentences(saliency: Saliency) -> list[tuple[str, str]]:
    """(heading, what the numbers show), one for each figure that was measured."""
    lines = (
        ("The model", _model(saliency)),
        *((heading, _measure(saliency, key)) for heading, key in _MEASURED),
        ("Erasure", _erasure(saliency)),
        ("Agreement", _agreement(saliency)),
        ("Completeness", _completeness(saliency)),
        ("Left out", _left_out(saliency)),
    )
    return [(heading, text) for heading, text in lines if text]


def _model(saliency: Saliency) -> str:
    model = block(saliency.figures, "model")
    if not model:
        return "No model was asked, so erasure and agreement were not measured."
    # The model must know the task for its words to show anything (docs/saliency.md), so its accuracy stands first.
    name, accuracy = str(model.get("name") or "The model"), block(model, "accuracy")
    before, after = (estimate_of(accuracy.get(key)) for key in ("before", "after"))
    if not model.get("finetuned"):
        known = before or after
        right = (
            f"it answers {_share(known)} of {count(known.n)} test questions right"
            if known
            else "its accuracy was not measured"
        )
        return f"{name} was not fine-tuned on the task; {right}."
    if before and after:
        return (
            f"{name} answers {_share(before)} of {count(before.n)} test questions right before it was fine-tuned "
            f"on the task, and {_share(after)} after: {_change(before, after)}."
        )
    if after:
        return (
            f"{name}, fine-tuned on the task, answers {_share(after)} of {count(after.n)} test questions right; "
            "before was not measured."
        )
    if before:
        return (
            f"{name} was fine-tuned on the task; before that it answered {_share(before)} right, "
            "and after was not measured."
        )
    return f"{name} was fine-tuned on the task; its accuracy was not measured."


def _change(before: Estimate, after: Estimate) -> str:
    if after.low > before.high:
        return "more than before, and the intervals do not overlap"
    if after.high < before.low:
        return "fewer than before, and the intervals do not overlap: fine-tuning did harm"
    return "but the two intervals overlap, so they do not show that fine-tuning changed it"


def _measure(saliency: Saliency, key: str) -> str:
    """A measure of every step beside chance, and how `salient` compares with its controls; "" when no step has it."""
    by_step = estimates(saliency, key)
    if not by_step:
        return ""
    lead = LEAD if LEAD in by_step else next(iter(by_step))
    first, chance, show = by_step[lead], saliency.chance(key), BY_KEY[key].show
    # Where words are erased there is no exact expectation: random words that were measured stand for chance.
    random = by_step.get(CHANCE_STEP) if show is nats else None
    unit, of = (" %", "of") if key.startswith("gold") else (" nats", "on") if show is nats else ("", "on")
    if chance is not None:
        beside = f"{_against(first, chance)} ({show(chance)}{unit})"
    elif random and lead != CHANCE_STEP:
        beside = f"where chance, that is {CHANCE_STEP}, has {show(random.value)}{unit}"
    else:
        beside = "chance not known"
    interval = f"(95 % interval {show(first.low)} to {show(first.high)})"
    value = f"{lead} {show(first.value)}{unit} {of} {count(first.n)} items {interval}"
    parts = [f"{_meaning(saliency, key)}: {value}, {beside}."]
    controls = {step: estimate for step, estimate in by_step.items() if step != lead and estimate is not random}
    if controls:
        plural = "s" if len(controls) > 1 else ""
        parts.append(f"Control{plural}: {_grouped(controls, chance, show, unit)}.")
    parts.append(_controls(by_step, key != "sufficiency"))
    return " ".join(filter(None, parts))


def _meaning(saliency: Saliency, key: str) -> str:
    """The definition of a measure, in words."""
    model = str(block(saliency.figures, "model").get("name") or "the model")
    loses = f"What the label's log-probability under {model} loses"
    return {
        "gold_hit": f"Items where at least one kept word ({keeps(saliency)}) is a word of the gold option",
        "gold_hit_top1": "Items where the content word with the highest score is a word of the gold option",
        "f1": "Kept words of the question against those that people marked, F1 from 0 to 100",
        "auprc": "Ranking of the question's words by score, against those that people marked, AUPRC from 0 to 100",
        "comprehensiveness": f"{loses} without the kept words; more is better",
        "sufficiency": f"{loses} with the kept words alone; less is better",
    }[key]


def _grouped(by_step: Mapping[str, Estimate], chance: float | None, show: Callable[[float], str], unit: str) -> str:
    """Values of several steps; those that compare alike with chance together. Their intervals stand in the table."""
    groups: dict[str, list[str]] = {}
    for step, estimate in by_step.items():
        verdict = "" if chance is None else _against(estimate, chance)
        groups.setdefault(verdict, []).append(f"{step} {show(estimate.value)}{unit}")
    return "; ".join(f"{listing(values)}{f', {verdict}' if verdict else ''}" for verdict, values in groups.items())


def _erasure(saliency: Saliency) -> str:
    """A warning where the model that judges the words is the one that marked them."""
    if not estimates(saliency, "comprehensiveness") and not estimates(saliency, "sufficiency"):
        return ""
    same = saliency.steps.get(LEAD, {}).get("by") == block(saliency.figures, "model").get("name")
    # Words that a model's own gradients picked move that model more than they would move another.
    return f"The model that is asked is the one that marked the words of {LEAD}, which can favour them." if same else ""


def _agreement(saliency: Saliency) -> str:
    names, rows = correlations(saliency)
    if len(names) < 2:
        return ""
    first = [(value, name) for name, value in zip(names[1:], rows[0][1:], strict=True) if value is not None]
    if not first:
        return ""
    (high, most), (low, least) = max(first), min(first)
    n = whole(block(saliency.figures, "agreement").get("n"))
    far = f", least with {least} ({rho(low)})" if len(first) > 1 else ""
    return (
        f"Mean Spearman correlation of the scores of content words, over {count(n)} item{'' if n == 1 else 's'} "
        f"(chance is 0): {names[0]} agrees most with {most} ({rho(high)}){far}."
    )


def _completeness(saliency: Saliency) -> str:
    figures = block(saliency.figures, "completeness")
    mean, n = finite(figures.get("mean")), whole(figures.get("n"))
    if mean is None or not n:
        return ""
    above = whole(figures.get("above_5_percent"))
    rest = "none is above 5 %"
    if above:
        rest = f"{count(above)} {'is' if above == 1 else 'are'} above 5 %, so read these scores with care"
    return (
        f"Integrated gradients miss {percent(mean)} % of what they should sum to, "
        f"on average over {count(n)} items; {rest}."
    )


def _left_out(saliency: Saliency) -> str:
    reasons = block(saliency.figures, "left_out")
    parts = [f"{reason}: {count(finite(times) or 0)}" for reason, times in reasons.items()]
    return f"Items that a figure cannot use, by reason: {'; '.join(parts)}." if parts else ""


def _share(estimate: Estimate) -> str:
    return f"{percent(estimate.value)} % (95 % interval {percent(estimate.low)} to {percent(estimate.high)})"


def _against(estimate: Estimate, chance: float) -> str:
    if estimate.low > chance:
        return "above chance"
    return "below chance" if estimate.high < chance else "not shown to differ from chance"


def _controls(by_step: Mapping[str, Estimate], higher_is_better: bool) -> str:
    """How `salient` compares with every control, by intervals that do not overlap."""
    lead = by_step.get(LEAD)
    others = [step for step in by_step if step != LEAD]
    if lead is None or not others:
        return ""
    # Intervals that do not overlap are a stricter rule than a test: it errs towards saying nothing.
    above = [step for step in others if by_step[step].low > lead.high]
    below = [step for step in others if by_step[step].high < lead.low]
    wins, loses = (above, below) if higher_is_better else (below, above)
    even = [step for step in others if step not in wins and step not in loses]
    parts = []
    if wins:
        parts.append(f"{'a control does' if len(wins) == 1 else 'controls do'} better than {LEAD}: {listing(wins)}")
    if loses:
        every = loses == others and len(others) > 1
        parts.append(f"{LEAD} does better than {'every control' if every else listing(loses)}")
    if even:
        interval, overlap = ("interval", "overlaps") if len(even) == 1 else ("intervals", "overlap")
        parts.append(f"the {interval} of {listing(even)} {overlap} that of {LEAD}, so no difference is shown")
    text = "; ".join(parts)
    return f"{text if text.startswith(LEAD) else text[:1].upper() + text[1:]}."
