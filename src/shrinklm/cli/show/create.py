"""What `study create`, `study check` and `study plan` print."""

from __future__ import annotations

import re
from shlex import quote

from rich.table import Table
from rich.text import Text

from ...methods.view import sentence
from ...study.design.booklets import UNEXPLAINED, places
from ...study.design.folder import Study
from ...study.design.sample_size import Plan
from ..printed import say
from ..terminal import Terminal
from . import columns

_UNDECIDED = re.compile(r"\[[^\[\]]{1,60}\]")
_LONGER = 1.5
"""Times the shortest mean length beyond which length is a rival of the conditions."""


def created(study: Study) -> None:
    """Print what to do next with a new study."""
    home = quote(str(study.home))
    say(f"\nWritten: {study.home}. Edit {study.home / 'study.yaml'}, then:")
    say(f"  shrinklm study check {home}    # look it over")
    say(f"  shrinklm study plan {home}     # would it find an effect?")
    say(f"  shrinklm study serve {home}    # the pages")


def ready(study: Study) -> None:
    """Print what to do next with a study that was checked."""
    say(f"\nNext: shrinklm study serve {quote(str(study.home))}")


def checked(study: Study) -> None:
    """Print the conditions, the questions, the balance, and what is still to do."""
    console, design = Terminal(), study.design
    console.print(_conditions(study))
    console.print(_questions(study))
    pages = study.booklet(0)
    counts = places([design.booklet(seat) for seat in range(study.people)])
    each = [counts.get((q, tuple(sorted(t))), 0) for q in design.questions for t in design.treatments]
    what = "pair of conditions" if design.kind == "preference" else "condition"
    say(
        f"{study.people} people, {len(pages)} pages each: {design.per_person} items, "
        f"{design.checks} to check attention, "
        f"{sum(page.kind == 'practice' for page in pages)} to practise on."
    )
    say(f"Every person sees each {what} {design.per_person // len(design.treatments)} times and no question twice.")
    say(f"Every question is rated in each {what} {_range(each)} times.")
    if min(each) < design.raters_per_item:
        say(
            f"! Fewer than the {design.raters_per_item} that were asked for: {design.people} people would do it "
            "(recruiting.people)."
        )
    for note in study.facts.get("notes", ()):
        say(f"- {note}")
    for reason, count in study.facts.get("left_out", {}).items():
        say(f"- {count} {'question' if count == 1 else 'questions'} left out: {reason}.")
    if same := study.facts.get("identical"):
        say(f"- In {same} of the questions two conditions say word for word the same.")
    if (match := study.facts.get("match_length")) is not None:
        before = ", ".join(f"{name} {size:.0f}" for name, size in study.facts.get("lengths_pool", {}).items() if size)
        say(
            f"- Explanations of a question are within {match:.0%} of each other in length. Mean characters in the "
            f"runs: {before}."
        )
    for name, cut in cut_off(study).items():
        say(
            f"! {len(cut)} {'explanation' if len(cut) == 1 else 'explanations'} of {name} may be cut off, such as "
            f'"... {cut[0][-60:]}". People would rate half a sentence: raise `evaluate: {{max_tokens: ...}}`, '
            "evaluate the run again, and make the study anew."
        )
    for todo in _open(study):
        say(f"! {todo}")


def cut_off(study: Study) -> dict[str, list[str]]:
    """Condition → its explanations that end inside a sentence; none of a condition most of whose texts do, such as
    marked words."""
    found = {}
    for name in study.design.conditions:
        texts = [question.said[name].explanation for question in study.questions.values()]
        said = [text.strip() for text in texts if text.strip()]
        cut = [text for text in said if sentence(text) != text]
        if 0 < len(cut) <= len(said) / 2:
            found[name] = cut
    return found


def planned(plan: Plan, study: Study | None) -> None:
    """Print people, power and cost."""
    power, pay, points = plan.found, plan.payment, plan.kind == "rating"
    size = f"{plan.effect:g} points" if points else f"{100 * plan.effect:g} percentage points"
    what = "a preference beyond a half" if plan.kind == "preference" else "a difference"
    say(
        f"{power.participants} people find {what} of {size} with a chance of {power.power:.0%} "
        f"({power.low:.0%} to {power.high:.0%}; {power.simulations} simulated studies)."
    )
    if plan.wanted is not None:
        say(f"That is the smallest number found for {plan.wanted:.0%}.")
    one, more = (
        ("pair", "pairs")
        if plan.kind == "preference"
        else ("comparison with the first condition", "comparisons with the first")
    )
    say(
        f"{f'Each of {plan.comparisons} {more}' if plan.comparisons > 1 else f'The {one}'} is tested at "
        f"{plan.alpha:.4f}."
    )
    if points:
        say(f"Rounding to the scale leaves {power.effect:.2f} of the {plan.effect:g} points in the ratings.")
    spread = {name: f"{sd:g}" for name, sd in plan.spread.items()}
    unit = "points, as standard deviations" if points else "on the scale of a probit model"
    cell = "pair" if plan.kind == "preference" else "condition"
    say(
        f"Assumed: people differ by {spread['sd_participant']}, people in each {cell} by {spread['sd_taste']}, "
        f"questions by {spread['sd_item']}, explanations by {spread['sd_explanation']}, single answers by "
        f"{spread['sd_residual']} ({unit}). A pilot tells: --sd-..."
    )
    say(f"{power.ratings:,} answers, {plan.raters_per_item:.1f} people for each question in each {cell}.")
    say(
        f"Cost: {power.participants} × {pay.per_person:.2f} {pay.currency} + {pay.fee:.0%} = "
        f"{plan.cost:,.2f} {pay.currency}."
    )
    if study is not None and study.people != power.participants:
        say(
            f"The study has {study.people} seats (--people {study.people}: what they find); recruiting.people in "
            "study.yaml changes that."
        )


def _conditions(study: Study) -> Table:
    table = columns(["Condition", "Run", "Cell"], ["Right", "Characters"], "What is compared")
    for column in table.columns[:3]:  # long names fold, so that numbers are not squeezed out of a narrow terminal
        column.no_wrap, column.overflow = False, "fold"
    for column in table.columns[3:]:
        column.no_wrap = True
    for name in study.design.conditions:
        origin = study.runs[name]
        right = [study.questions[q].said[name].right for q in study.design.questions]
        run = str(origin.get("run", "")).rstrip("/").rpartition("/")[2]
        cell, length = str(origin.get("cell", "")), float(origin.get("length", 0))
        table.add_row(Text(name), Text(run), Text(cell), f"{sum(right)} of {len(right)}", f"{length:.0f}")
    return table


def _questions(study: Study) -> Table:
    says = {"right": "all are right", "differ": "answers differ", "wrong": "all wrong, and alike"}
    table = columns(
        ["Stratum", "in which"], ["Asked", "Wanted", "In the runs"], f"{len(study.design.questions)} questions"
    )
    for name, entry in study.facts.get("strata", {}).items():
        table.add_row(name, says.get(name, ""), str(entry["chosen"]), str(entry["wanted"]), f"{entry['pool']:,}")
    return table


def _open(study: Study) -> list[str]:
    """Return what is still to be decided before people come."""
    form = study.form
    todo: list[str] = []
    sizes = {
        name: float(study.runs[name].get("length", 0))
        for name in study.design.conditions
        if not name.endswith(UNEXPLAINED)
    }
    long, short = max(sizes, key=sizes.__getitem__), min(sizes, key=sizes.__getitem__)
    if sizes[long] > _LONGER * sizes[short] and study.facts.get("match_length") is None:
        todo.append(
            f"Explanations of {long} are {sizes[long] / max(1, sizes[short]):.1f} times as long as those of {short}: "
            "people may judge length. --match-length of `study create` holds it about even."
        )
    if form.texts and not (study.home / form.texts).is_file():
        todo.append(f"The file of texts is not there: {study.home / form.texts} (texts).")
    texts = [form.title, form.consent.text, form.consent.tick, form.instructions.text, form.debrief, form.contact]
    if blanks := list(dict.fromkeys(hit for text in texts for hit in _UNDECIDED.findall(text))):
        todo.append(f"Still to fill in, in study.yaml: {', '.join(blanks)}")
    if form.recruiting.code == "THANK-YOU":
        todo.append("The completion code is the shipped one, THANK-YOU: make one up (recruiting.code).")
    if not form.contact:
        todo.append("No contact is named (contact): people cannot ask.")
    if form.recruiting.keep_id and "id" not in form.consent.text.lower():
        todo.append("The platform's id of a person is kept (recruiting.keep_id), and the consent does not say so.")
    return todo


def _range(counts: list[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"
