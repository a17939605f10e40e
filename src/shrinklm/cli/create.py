"""The commands `study create`, `study check` and `study plan`."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import StudyError
from ..core.remote import is_url
from .app import command
from .printed import say_json
from .progress import Progress
from .study import names, study

if TYPE_CHECKING:
    from ..study.design.folder import Study
    from ..study.design.sample_size import Layout


class KindOf(StrEnum):
    """Forms of a study."""

    rating = "rating"
    simulation = "simulation"
    preference = "preference"


Runs = Annotated[
    list[str], typer.Argument(metavar="RUN...", help="Folders or URLs of finished runs.", show_default=False)
]
Home = Annotated[
    Path, typer.Argument(metavar="STUDY", help="The folder that `shrinklm study create` made.", show_default=False)
]
SdParticipant = Annotated[
    float | None, typer.Option(help="Spread of people; of ratings 0.5, as in the published study.", show_default=False)
]
SdTaste = Annotated[
    float | None,
    typer.Option(help="Spread of a person from condition to condition (taste); of ratings 0.16.", show_default=False),
]
SdItem = Annotated[float | None, typer.Option(help="Spread of questions; of ratings 0.17.", show_default=False)]
SdExplanation = Annotated[
    float | None, typer.Option(help="Spread of the explanations of one question; of ratings 0.17.", show_default=False)
]
SdResidual = Annotated[
    float | None, typer.Option(help="Spread of single answers; of ratings 0.55.", show_default=False)
]


@command("create", on=study)
def study_create(
    runs: Runs,
    conditions: Annotated[
        str,
        typer.Option(
            help="What to compare, joined by commas (by semicolons, where a name holds a comma): methods, "
            "method--student, whole cells, or reference. RUN: before one says of which run, LABEL= before that calls "
            "it otherwise.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the study is made.")] = Path("study"),
    questions: Annotated[int, typer.Option(min=1, help="Questions to draw.")] = 48,
    per_person: Annotated[
        int, typer.Option(min=1, help="Items that one person sees; a multiple of the conditions.")
    ] = 12,
    raters_per_item: Annotated[int, typer.Option(min=1, help="People who rate each question in each condition.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Draws the questions and the booklets.")] = 0,
    kind: Annotated[
        KindOf, typer.Option(help="Ratings on a scale, guesses of the model's answer, or pairs.")
    ] = KindOf.rating,
    form: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A study.yaml of your own, in the place of ours.", show_default=False),
    ] = None,
    strata: Annotated[
        str, typer.Option(help="Shares of questions: all conditions right, answers that differ, all wrong alike.")
    ] = "right=0.5,differ=0.3,wrong=0.2",
    match_length: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Only questions whose longest explanation is longer than the shortest by this share at most.",
            show_default=False,
        ),
    ] = None,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Simulation: every condition also without its explanation.")
    ] = False,
) -> None:
    """Make a study with people from finished runs: questions drawn, conditions blind and balanced."""
    from ..run.opening import run_folder
    from ..study.design.selection import Settings, create
    from .show import create as show_create

    specs = names(conditions)
    settings = Settings(
        kind=kind.value,
        form=form,
        questions=questions,
        per_person=per_person,
        raters_per_item=raters_per_item,
        seed=seed,
        strata=_shares(strata),
        match_length=match_length,
        baseline=baseline,
    )
    made = create(out, [run_folder(run) if is_url(run) else Path(run) for run in runs], specs, settings)
    show_create.checked(made)
    show_create.created(made)


@command("check", on=study)
def study_check(home: Home) -> None:
    """Look a study over before the first person comes: what they will see, its balance, and what is still to fill
    in."""
    from ..study.design.folder import Study
    from .show import create as show_create

    made = Study.read(home)
    show_create.checked(made)
    show_create.ready(made)


@command("plan", on=study)
def study_plan(
    home: Annotated[
        Path | None,
        typer.Argument(metavar="[STUDY]", help="A study, for its numbers and its payment.", show_default=False),
    ] = None,
    effect: Annotated[
        float | None,
        typer.Option(
            help="The difference to find: points of the scale (0.3), or a share of guesses or pairs (0.1).",
            show_default=False,
        ),
    ] = None,
    power: Annotated[float, typer.Option(help="The chance to find it.")] = 0.8,
    people: Annotated[
        int | None, typer.Option(min=2, help="Ask for the power of so many instead.", show_default=False)
    ] = None,
    conditions: Annotated[
        int | None, typer.Option(min=2, help="Without a study: how many.", show_default=False)
    ] = None,
    questions: Annotated[int | None, typer.Option(min=1, help="Without a study: 48.", show_default=False)] = None,
    per_person: Annotated[int | None, typer.Option(min=1, help="Without a study: 12.", show_default=False)] = None,
    kind: Annotated[KindOf | None, typer.Option(help="Without a study: rating.", show_default=False)] = None,
    sd_participant: SdParticipant = None,
    sd_taste: SdTaste = None,
    sd_item: SdItem = None,
    sd_explanation: SdExplanation = None,
    sd_residual: SdResidual = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the simulations.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON to stdout, and nothing else.")] = False,
) -> None:
    """How many people a study needs to find an effect, by simulation, and what they cost."""
    from ..study.design.folder import Study
    from ..study.design.sample_size import Aim, plan
    from .show import create as show_create

    made = Study.read(home) if home else None
    if made and any(value is not None for value in (conditions, questions, per_person, kind)):
        raise StudyError(
            f"Kind, conditions, questions and items a person are those of {home}. Leave the options out, or the folder."
        )
    layout = _layout_of(made) if made else _layout(kind, conditions or 4, questions or 48, per_person or 12)
    options = {
        "sd_participant": sd_participant,
        "sd_taste": sd_taste,
        "sd_item": sd_item,
        "sd_explanation": sd_explanation,
        "sd_residual": sd_residual,
    }
    spread = {name: value for name, value in options.items() if value is not None}
    payment = made.form.payment if made else None
    with Progress() as progress:
        result = plan(layout, Aim(effect, power, people), payment, spread, seed=seed, tick=progress.tick)
    if as_json:
        say_json(asdict(result) | {"payment": result.payment.model_dump()}, indent=1)
    else:
        show_create.planned(result, made)


def _layout_of(study: Study) -> Layout:
    from ..study.design.sample_size import Layout

    design, steps = study.design, len(study.form.scale.labels)
    return Layout(len(design.treatments), len(design.questions), design.per_person, study.form.kind, steps)


def _layout(kind: KindOf | None, conditions: int, questions: int, per_person: int) -> Layout:
    from ..study.design.sample_size import Layout

    if kind is KindOf.preference:  # what is compared are pairs of conditions
        conditions = conditions * (conditions - 1) // 2
    return Layout(conditions, questions, per_person, kind.value if kind else "rating")


def _shares(text: str) -> dict[str, float]:
    shares = {}
    for part in names(text):
        name, _, share = part.partition("=")
        try:
            shares[name.strip()] = float(share)
        except ValueError:
            raise StudyError(f"'{part}' is no share. Write: --strata right=0.5,differ=0.3,wrong=0.2") from None
    return shares
