"""What `shrinklm predict` prints."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ..printed import say, say_json

if TYPE_CHECKING:
    from ...deploy.files import FileReport
    from ...deploy.student import Answer

_SHOWN = 5
"""Bad rows that are told one by one; all stand in the output."""


def answer_of(predicted: Answer) -> None:
    """A student's answer and explanation."""
    reason = f" ({predicted.why})" if predicted.why else ""
    unread = f"none that can be read{reason}; it said: {predicted.raw.strip()}"
    say(f"Answer: {unread if predicted.answer is None else predicted.answer}")
    if predicted.explanation is None:
        say(
            f"Explanation: none. {predicted.cell.partition('--')[0]} teaches no explanation; "
            "name another student with --cell."
        )
    else:
        say(f"Explanation{' (cut at the cap)' if predicted.explanation_cut else ''}: {predicted.explanation}")
    if predicted.probabilities:
        ranked = sorted(predicted.probabilities.items(), key=lambda item: -item[1])
        say("Probabilities: " + ", ".join(f"{option} {100 * value:.0f} %" for option, value in ranked))


def file_report(report: FileReport, output: Path, as_json: bool) -> None:
    """What became of the rows of a file."""
    if as_json:
        say_json({**asdict(report), "output": str(output)})
        return
    say(f"{report.answered:,} of {report.rows:,} rows answered: {output}")
    if report.unanswered:
        say(f"{report.unanswered:,} rows were asked and have no answer; the column `why` says why.")
    for _, fault in report.bad[:_SHOWN]:
        say(f"not asked: {fault}")
    if len(report.bad) > _SHOWN:
        say(f"not asked: {len(report.bad) - _SHOWN:,} more; the column `why` says why.")
