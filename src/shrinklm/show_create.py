"""What `study create`, `study check` and `study plan` print for people."""

from __future__ import annotations

import re

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .show import columns, say
from .study.design import places
from .study.folder import Study
from .study.plan import Plan

_UNDECIDED = re.compile(r"\[[^\[\]]{1,60}\]")


def created(study: Study) -> None:
    """What to do next."""
    say(f"\nWritten: {study.home}. Edit {study.home}/study.yaml, then:")
    say(f"  shrinklm study check {study.home}    # look it over")
    say(f"  shrinklm study plan {study.home}     # would it find an effect?")
    say(f"  shrinklm study serve {study.home}    # the pages")


def checked(study: Study) -> None:
    """What is compared, about which questions, who sees what, and what is still to do."""
    console, design = Console(), study.design
    console.print(_conditions(study))
    console.print(_questions(study))
    pages = study.booklet(0)
    counts = places([design.booklet(seat) for seat in range(study.people)])
    each = [counts.get((q, tuple(sorted(t))), 0) for q in design.questions for t in design.treatments]
    what = "pair of conditions" if design.kind == "preference" else "condition"
    say(
        f"{study.people} people, {len(pages)} pages each: {design.per_person} items, {design.checks} to check attention, "
        f"{sum(page.kind == 'practice' for page in pages)} to practise on."
    )
    say(f"Every person sees each {what} {design.per_person // len(design.treatments)} times and no question twice.")
    say(f"Every question is rated in each {what} {_range(each)} times.")
    if min(each) < design.raters_per_item:
        say(f"! Fewer than the {design.raters_per_item} that were asked for: {design.people} people would do it (recruiting.people).")
    for note in study.facts.get("notes", ()):
        say(f"- {note}")
    for reason, count in study.facts.get("left_out", {}).items():
        say(f"- {count} questions left out: {reason}.")
    if same := study.facts.get("identical"):
        say(f"- In {same} of the questions two conditions say word for word the same.")
    for todo in _open(study):
        say(f"! {todo}")


def planned(found: Plan, study: Study | None) -> None:
    """People, power, cost."""
    power, pay = found.found, found.payment
    say(
        f"{power.participants} people find a difference of {found.effect:g} points with a chance of {power.power:.0%} "
        f"({power.low:.0%} to {power.high:.0%}; {power.simulations} simulated studies)."
    )
    if found.wanted is not None:
        say(f"That is the smallest number found for {found.wanted:.0%}.")
    say(
        f"Each of {found.comparisons} comparisons with the first condition is tested at {found.alpha:.4f}. Rounding to the scale leaves "
        f"{power.effect:.2f} of the {found.effect:g} points in the ratings."
    )
    say(f"{power.ratings:,} ratings, {found.raters_per_item:.1f} people for each question in each condition.")
    say(f"Cost: {power.participants} × {pay.per_person:.2f} {pay.currency} + {pay.fee:.0%} = {found.cost:,.2f} {pay.currency}.")
    if study is not None and study.people != power.participants:
        say(f"The study has {study.people} seats; recruiting.people in {study.home}/study.yaml changes that.")


def _conditions(study: Study) -> Table:
    table = columns(["Condition", "Run", "Cell"], ["Right", "Characters"], "What is compared")
    for name in study.design.conditions:
        origin = study.runs[name]
        right = [study.questions[q].said[name].right for q in study.design.questions]
        run = str(origin.get("run", "")).rstrip("/").rpartition("/")[2]
        cell, length = str(origin.get("cell", "")), float(origin.get("length", 0))
        table.add_row(Text(name), Text(run), Text(cell), f"{sum(right)} of {len(right)}", f"{length:.0f}")
    return table


def _questions(study: Study) -> Table:
    says = {"right": "all are right", "differ": "answers differ", "wrong": "all wrong, and alike"}
    table = columns(["Stratum", "in which"], ["Asked", "Wanted", "In the runs"], f"{len(study.design.questions)} questions")
    for name, entry in study.facts.get("strata", {}).items():
        table.add_row(name, says.get(name, ""), str(entry["chosen"]), str(entry["wanted"]), f"{entry['pool']:,}")
    return table


def _open(study: Study) -> list[str]:
    """What is still to be decided before people come."""
    form, found = study.form, []
    texts = [form.title, form.consent.text, form.consent.tick, form.instructions.text, form.debrief, form.contact]
    if left := list(dict.fromkeys(hit for text in texts for hit in _UNDECIDED.findall(text))):
        found.append(f"Still to fill in, in study.yaml: {', '.join(left)}")
    if form.recruiting.code == "THANK-YOU":
        found.append("The completion code is the shipped one, THANK-YOU: make one up (recruiting.code).")
    if not form.contact:
        found.append("No contact is named (contact): people cannot ask.")
    if form.recruiting.keep_id and "id" not in form.consent.text.lower():
        found.append("The platform's id of a person is kept (recruiting.keep_id), and the consent does not say so.")
    return found


def _range(counts: list[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"
