"""The report's section about marked words, in sentences. They follow from the numbers, also when a control wins."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...stats import Estimate
from ..look.words import count, listing, percent
from .marked import Saliency, block, estimate_of, number
from .saliency import BY_KEY, CHANCE_STEP, estimates, keeps, matrix, nats, rho

TITLE = "Which words moved the answer"
LEAD = "salient"
"""The step the others are controls of."""


def sentences(found: Saliency) -> list[tuple[str, str]]:
    """(heading, what the numbers say), one a figure that was measured."""
    said = (
        ("The model", _model(found)), ("Gold option", _measure(found, "gold_hit")), ("Best word", _measure(found, "gold_hit_top1")),
        ("Human highlights", _measure(found, "f1")), ("Human highlights, ranked", _measure(found, "auprc")),
        ("Comprehensiveness", _measure(found, "comprehensiveness")), ("Sufficiency", _measure(found, "sufficiency")),
        ("Erasure", _erasure(found)), ("Agreement", _agreement(found)), ("Completeness", _completeness(found)),
        ("Left out", _left_out(found)),
    )  # fmt: skip
    return [(heading, text) for heading, text in said if text]


def _model(found: Saliency) -> str:
    about = block(found.figures, "model")
    if not about:
        return "No model was asked, so erasure and agreement were not measured."
    name, accuracy = str(about.get("name") or "The model"), block(about, "accuracy")
    before, after = (estimate_of(accuracy.get(key)) for key in ("before", "after"))
    if not about.get("finetuned"):
        got = before or after
        known = (
            f"it answers {_share(got)} of {count(got.n)} test questions right"
            if got
            else "its accuracy was not measured"
        )
        return f"{name} was not fine-tuned on the task; {known}."
    if before and after:
        if after.low > before.high:
            change = "more than before, and the intervals do not overlap"
        elif after.high < before.low:
            change = "fewer than before, and the intervals do not overlap: fine-tuning did harm"
        else:
            change = "but the two intervals overlap, so they do not show that fine-tuning changed it"
        return (
            f"{name} answers {_share(before)} of {count(before.n)} test questions right before it was fine-tuned on the task, and "
            f"{_share(after)} after: {change}."
        )
    if after:
        return f"{name}, fine-tuned on the task, answers {_share(after)} of {count(after.n)} test questions right; before was not measured."
    if before:
        return f"{name} was fine-tuned on the task; before that it answered {_share(before)} right, and after was not measured."
    return f"{name} was fine-tuned on the task; its accuracy was not measured."


def _measure(found: Saliency, key: str) -> str:
    """A figure of every step beside chance, and how `salient` stands to its controls."""
    got = estimates(found, key)
    if not got:
        return ""
    lead = LEAD if LEAD in got else next(iter(got))
    one, chance, show = got[lead], found.chance(key), BY_KEY[key].show
    drawn = got.get(CHANCE_STEP) if show is nats else None  # stands for chance where there is no expectation
    unit, of = (" %", "of") if key.startswith("gold") else (" nats", "on") if show is nats else ("", "on")
    if chance is not None:
        beside = f"{_against(one, chance)} ({show(chance)}{unit})"
    else:
        beside = (
            f"where chance, that is {CHANCE_STEP}, has {show(drawn.value)}{unit}"
            if drawn and lead != CHANCE_STEP
            else "chance not known"
        )
    interval = f"(95 % interval {show(one.low)} to {show(one.high)})"
    parts = [f"{_what(found, key)}: {lead} {show(one.value)}{unit} {of} {count(one.n)} items {interval}, {beside}."]
    if others := {step: other for step, other in got.items() if step != lead and other is not drawn}:
        parts.append(f"Control{'s' if len(others) > 1 else ''}: {_grouped(others, chance, show, unit)}.")
    parts.append(_controls(got, key != "sufficiency"))
    return " ".join(filter(None, parts))


def _what(found: Saliency, key: str) -> str:
    """What a figure is, for somebody who reads it first."""
    model = str(block(found.figures, "model").get("name") or "the model")
    return {
        "gold_hit": f"Items where at least one kept word ({keeps(found)}) is a word of the gold option",
        "gold_hit_top1": "Items where the content word with the highest score is a word of the gold option",
        "f1": "Kept words of the question against those that people marked, F1 from 0 to 100",
        "auprc": "Ranking of the question's words by score, against those that people marked, AUPRC from 0 to 100",
        "comprehensiveness": f"What the label's log-probability under {model} loses without the kept words; more is better",
        "sufficiency": f"What the label's log-probability under {model} loses with the kept words alone; less is better",
    }[key]


def _grouped(got: Mapping[str, Estimate], chance: float | None, show: Callable[[float], str], unit: str) -> str:
    """Figures of several steps; those that stand alike to chance together. Their intervals stand in the table."""
    groups: dict[str, list[str]] = {}
    for step, one in got.items():
        groups.setdefault("" if chance is None else _against(one, chance), []).append(f"{step} {show(one.value)}{unit}")
    return "; ".join(f"{listing(shown)}{f', {verdict}' if verdict else ''}" for verdict, shown in groups.items())


def _erasure(found: Saliency) -> str:
    """Who is asked, when that favours the words of one step."""
    if not estimates(found, "comprehensiveness") and not estimates(found, "sufficiency"):
        return ""
    same = found.steps.get(LEAD, {}).get("by") == block(found.figures, "model").get("name")
    return f"The model that is asked is the one that marked the words of {LEAD}, which can favour them." if same else ""


def _agreement(found: Saliency) -> str:
    names, rows = matrix(found)
    if len(names) < 2:
        return ""
    first = [(value, name) for name, value in zip(names[1:], rows[0][1:], strict=True) if value is not None]
    if not first:
        return ""
    (high, most), (low, least) = max(first), min(first)
    n = int(number(block(found.figures, "agreement").get("n")) or 0)
    far = f", least with {least} ({rho(low)})" if len(first) > 1 else ""
    return (
        f"Mean Spearman correlation of the scores of content words, over {count(n)} item{'' if n == 1 else 's'} (chance is 0): "
        f"{names[0]} agrees most with {most} ({rho(high)}){far}."
    )


def _completeness(found: Saliency) -> str:
    about = block(found.figures, "completeness")
    mean, n = number(about.get("mean")), int(number(about.get("n")) or 0)
    if mean is None or not n:
        return ""
    above = int(number(about.get("above_5_percent")) or 0)
    rest = (
        "none is above 5 %"
        if not above
        else f"{count(above)} {'is' if above == 1 else 'are'} above 5 %, so read these scores with care"
    )
    return f"Integrated gradients miss {percent(mean)} % of what they should sum to, on average over {count(n)} items; {rest}."


def _left_out(found: Saliency) -> str:
    parts = [f"{reason}: {count(number(times) or 0)}" for reason, times in block(found.figures, "left_out").items()]
    return f"Items that a figure cannot use, by reason: {'; '.join(parts)}." if parts else ""


def _share(found: Estimate) -> str:
    return f"{percent(found.value)} % (95 % interval {percent(found.low)} to {percent(found.high)})"


def _against(found: Estimate, chance: float) -> str:
    return (
        "above chance"
        if found.low > chance
        else "below chance"
        if found.high < chance
        else "not shown to differ from chance"
    )


def _controls(got: Mapping[str, Estimate], more: bool = True) -> str:
    """How `salient` stands to every control: by intervals that do not overlap, and nothing else is said."""
    lead = got.get(LEAD)
    others = [step for step in got if step != LEAD]
    if lead is None or not others:
        return ""
    above = [step for step in others if got[step].low > lead.high]
    below = [step for step in others if got[step].high < lead.low]
    wins, loses = (above, below) if more else (below, above)
    even = [step for step in others if step not in wins and step not in loses]
    parts = []
    if wins:
        parts.append(f"{'a control does' if len(wins) == 1 else 'controls do'} better than {LEAD}: {listing(wins)}")
    if loses:
        parts.append(
            f"{LEAD} does better than {'every control' if loses == others and len(others) > 1 else listing(loses)}"
        )
    if even:
        one = len(even) == 1
        parts.append(
            f"the interval{'' if one else 's'} of {listing(even)} overlap{'s' if one else ''} that of {LEAD}, so no difference is shown"
        )
    text = "; ".join(parts)
    return f"{text if text.startswith(LEAD) else text[:1].upper() + text[1:]}."
