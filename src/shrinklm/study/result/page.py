"""A study's result as one HTML file that opens offline, in the look of a run's report."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...report.look.figures import Figure
from ...report.look.html import environment, head
from ..analysis.paragraph import fullest
from . import tables

Json = dict[str, Any]
HERE = Path(__file__).parent


def page(found: Json, figures: Sequence[Figure]) -> str:
    """The page as text; everything from the study and the runs is escaped. Equal results and figures give equal text."""
    shown = {
        "methods": tables.methods(found), "effects": tables.effects(found), "strata": tables.strata(found),
        "exclusions": tables.exclusions(found), "sensitivity": tables.sensitivity(found), "agreement": tables.agreement(found),
    }  # fmt: skip
    text: str = environment(HERE).get_template("result.html.j2").render(
        found=found, figures={figure.name: figure for figure in figures}, tables=shown, answer=answer(found),
        **head(), cautions=cautions(found), facts=facts(found),
        excluded=excluded(found), work=work(found), again=again(found), design=design(found),
    )  # fmt: skip
    return text


def answer(found: Json) -> str:
    """What came out, in a sentence or two."""
    if found["kind"] == "preference":
        return str(found["analysis"]["paragraph"])
    main = "Quality" if "Quality" in found["measures"] else found["measures"][0]
    entry = found["analysis"]["measures"][main]
    fit = fullest(entry["mixed"])
    effects = [effect for effect in fit.get("effects", ()) if "condition" in effect]
    reference = found["analysis"]["reference"]
    apart = [effect for effect in effects if effect["p_adjusted"] < 0.05]
    means = ", ".join(
        f"{name} {_mean(found, name, main)}" for name in found["conditions"] if main in found["means"].get(name, {})
    )
    if not effects:
        return f"{main}: {means}. No mixed model could be fitted: {fit.get('why', 'too few ratings')}"
    if not apart:
        return f"{main}: {means}. These ratings show no condition to differ from {reference}."
    told = [
        f"{effect['condition']} {'above' if effect['estimate'] > 0 else 'below'} {reference} ({_effect(effect)})"
        for effect in apart
    ]
    return f"{main}: {means}. Told apart: {'; '.join(told)}."


def cautions(found: Json) -> list[str]:
    """What a reader should know before believing it."""
    said = list(found["missing"])
    people, wanted = found["people"]["analysed"], found["asked"]["raters_per_item"]
    if people < 20:
        said.append(f"{people} people are few: intervals over resampled people are too narrow below about 20.")
    cells = found["ratings"]["analysed"] / max(1, len(found["asked"]["questions"]) * len(found["conditions"]))
    if found["kind"] != "preference" and cells < wanted:
        said.append(f"The design asked for {wanted} people for each explanation; on average {cells:.1f} rated one.")
    if found["people"]["answered"] and found["people"]["excluded"] > 0.2 * found["people"]["answered"]:
        said.append(
            f"The rules left out {found['people']['excluded']} of {found['people']['answered']} people. See the means of everyone."
        )
    return said


def facts(found: Json) -> list[tuple[str, str]]:
    """The figures at the top."""
    time = found["time"]["minutes"]
    return [
        ("People", f"{found['people']['analysed']} of {found['people']['began']}"),
        ("Finished", str(found["people"]["finished"])),
        ("Ratings" if found["kind"] == "rating" else "Answers", f"{found['ratings']['analysed']:,}"),
        ("Questions", str(len(found["asked"]["questions"]))),
        ("Conditions", str(len(found["conditions"]))),
        ("Median time", f"{time['median']:.0f} min" if time else "not known"),
    ]


def excluded(found: Json) -> str:
    """Who was left out, in a sentence."""
    people, rows = found["people"], found["ratings"]
    return (
        f"The rules stood in study.yaml before the first answer. {people['began']} people began and {people['answered']} answered an item; "
        f"{people['excluded']} of these are left out, and with them {rows['given'] - rows['analysed']:,} of {rows['given']:,} answers."
    )


def work(found: Json) -> list[str]:
    """Times and checks, in sentences."""
    said = []
    if (minutes := found["time"]["minutes"]) is not None:
        said.append(
            f"{minutes['n']} people came to the end, in {minutes['median']:.1f} minutes (median; quartiles {minutes['q1']:.1f} and "
            f"{minutes['q3']:.1f}, from {minutes['least']:.1f} to {minutes['most']:.1f})."
        )
    if (seconds := found["time"]["seconds_an_item"]) is not None:
        reach = f"{seconds['least']:.0f} to {seconds['most']:.0f}"
        said.append(
            f"An item took {seconds['median']:.0f} seconds (median of people's medians, which go from {reach})."
        )
    checks = found["checks"]
    if checks["given"]:
        said.append(
            f"{checks['passed']} of {checks['given']} attention checks were answered as they asked, by {checks['people']} people."
        )
    else:
        said.append("There were no attention checks.")
    if found["kind"] != "preference" and (same := found["analysis"]["raters"]["always_the_same"]):
        said.append(f"{len(same)} people gave one and the same answer throughout: {', '.join(same[:10])}.")
    return said


def again(found: Json) -> str:
    """How this was made."""
    about = f"design {found['design'][:12]}, seed {found['asked']['seed']}"
    return f"shrinklm {version('shrinklm')}: shrinklm study analyze {found['folder']} ({about})."


def design(found: Json) -> list[tuple[str, str]]:
    """What was decided before."""
    asked = found["asked"]
    strata = found["facts"].get("strata", {})
    drawn = "; ".join(f"{name} {entry['chosen']}" for name, entry in strata.items())
    return [
        ("Form", found["kind"]), ("Conditions", ", ".join(asked["conditions"])), ("Questions", f"{len(asked['questions'])} ({drawn})"),
        ("Items a person", str(asked["per_person"])), ("People an explanation, at least", str(asked["raters_per_item"])),
        ("Attention checks a person", str(asked["checks"])), ("Seed", str(asked["seed"])),
    ]  # fmt: skip


def _mean(found: Json, name: str, main: str) -> str:
    value = found["means"][name][main]["value"]
    return f"{value:.2f}" if found["kind"] == "rating" else f"{value:.0%}"


def _effect(effect: Json) -> str:
    return f"{effect['estimate']:+.2f}, {effect['low']:+.2f} to {effect['high']:+.2f}".replace("-", "\u2212")
