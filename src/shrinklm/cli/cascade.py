"""The command that asks the teacher of a cascade the test questions, and shows what passing on brings."""

from __future__ import annotations

from .app import Json, Target, command, open_target
from .printed import say, say_json
from .progress import Progress


@command(code=True)
def cascade(recipe: Target, as_json: Json = False) -> None:
    """Have the cascade's teacher answer the test questions, once, and show accuracy against what is passed on.

    `shrinklm report` then draws it for every student. Answers are stored and never paid for twice.
    """
    from ..report.findings import read
    from ..report.results import compare
    from ..report.sections.cascade import measure, table_of
    from ..run.cascades import ask_tests
    from .show.cascade import cascade as show

    with Progress() as progress:
        run = open_target(recipe, progress.tick)
        passed = ask_tests(run)
        run.evaluate()  # picks the thresholds that are not there
        results = compare(read(run.folder))
    shown = table_of(results, measure(results))
    if as_json:
        say_json([dict(record) for record in shown.records])
        return
    unread = sum(one.answer is None for one in passed)
    say(f"The teacher answered {len(passed) - unread:,} of {len(passed):,} test questions.")
    for one in passed:
        if one.answer is None:
            say(f"Not answered: {one.why}")
            break
    show(shown)
    say("The report draws it: shrinklm report RECIPE")
