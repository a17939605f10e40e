"""Counters and histograms in the text format of Prometheus (exposition format 0.0.4)."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from threading import Lock

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_QUESTIONS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)

_COUNTERS = {
    "shrinklm_requests_total": "Requests answered, by route and status.",
    "shrinklm_questions_total": "Questions answered, by the way that the answer is read.",
    "shrinklm_unanswered_total": "Questions to which the student gave no answer that could be read.",
    "shrinklm_escalations_total": "Questions that the teacher answered.",
    "shrinklm_refused_questions_total": "Questions refused because the queue was full.",
}
_HISTOGRAMS = {
    "shrinklm_request_seconds": ("Seconds from a request's head to its reply, by route.", _SECONDS),
    "shrinklm_batch_questions": ("Questions in one pass of the student.", _QUESTIONS),
    "shrinklm_batch_seconds": ("Seconds of one pass of the student.", _SECONDS),
}

_Labels = tuple[tuple[str, str], ...]


class _Histogram:
    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.counts, self.total = [0] * (len(bounds) + 1), 0.0


class Metrics:
    """What a server has done; any thread may tell."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: dict[str, Counter[_Labels]] = {name: Counter() for name in _COUNTERS}
        self._histograms: dict[str, dict[_Labels, _Histogram]] = {name: {} for name in _HISTOGRAMS}

    def count(self, name: str, times: int = 1, /, **labels: str) -> None:
        """Adds to a counter."""
        with self._lock:
            self._counts[name][tuple(labels.items())] += times

    def observe(self, name: str, value: float, /, **labels: str) -> None:
        """Adds a value to a histogram."""
        bounds = _HISTOGRAMS[name][1]
        with self._lock:
            histogram = self._histograms[name].setdefault(tuple(labels.items()), _Histogram(bounds))
            histogram.counts[bisect_left(bounds, value)] += 1
            histogram.total += value

    def total(self, name: str) -> int:
        """A counter, over all its labels."""
        with self._lock:
            return sum(self._counts[name].values())

    def text(self, gauges: Mapping[str, tuple[str, float, Mapping[str, str]]]) -> str:
        """All of it, and gauges: name → (help, value, labels)."""
        lines: list[str] = []
        with self._lock:
            for name, about in _COUNTERS.items():
                lines += _head(name, about, "counter")
                counts = self._counts[name] or {(): 0}
                lines += [f"{name}{_labelled(labels)} {count}" for labels, count in sorted(counts.items())]
            for name, (about, bounds) in _HISTOGRAMS.items():
                lines += _head(name, about, "histogram")
                for labels, histogram in sorted(self._histograms[name].items()):
                    below = 0
                    for bound, count in zip((*bounds, math.inf), histogram.counts, strict=True):
                        below += count
                        bucket = (*labels, ("le", "+Inf" if math.isinf(bound) else f"{bound:g}"))
                        lines.append(f"{name}_bucket{_labelled(bucket)} {below}")
                    lines.append(f"{name}_sum{_labelled(labels)} {histogram.total:.9g}")
                    lines.append(f"{name}_count{_labelled(labels)} {below}")
        for name, (about, value, named) in gauges.items():
            lines += [*_head(name, about, "gauge"), f"{name}{_labelled(tuple(named.items()))} {value:.9g}"]
        return "\n".join(lines) + "\n"


def _head(name: str, about: str, kind: str) -> list[str]:
    return [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]


def _labelled(labels: _Labels) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}" if labels else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
