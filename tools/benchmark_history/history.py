"""The kept runs in order of time, and what has fallen since the last one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark_history.runs import Run, read_run
from benchmark_history.units import UNITS, goodness, write

MOST_FALL = 0.15


@dataclass(frozen=True)
class Fall:
    """A ratio of the newest run that is worse than it was before."""

    metric: str
    earlier: Run
    newest: Run

    def __str__(self) -> str:
        before, now = self.earlier.metrics[self.metric], self.newest.metrics[self.metric]
        lost = 1 - goodness(now.value, before.value, now.unit)
        return (
            f"{self.metric}: {write(before.value, before.unit)} ({self.earlier.label}) -> "
            f"{write(now.value, now.unit)} ({self.newest.label}), {lost:.0%} worse on "
            f"{self.newest.machine.describe()}"
        )


def read_history(folder: Path) -> list[Run]:
    """All runs under folder/DEVICE/, oldest first.

    Raises:
        HistoryError: a file is not a kept run.
    """
    runs = [read_run(path) for path in sorted(folder.glob("*/*.json"))]
    return sorted(runs, key=lambda run: run.started)


def by_machine(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs of each machine, the machine of the newest run first."""
    groups: dict[object, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.machine.key, []).append(run)
    return sorted(groups.values(), key=lambda group: group[-1].started, reverse=True)


def newest(runs: Sequence[Run], kind: str) -> Run | None:
    """The newest run on "cpu" or "cuda"."""
    return next((run for run in reversed(runs) if run.machine.kind == kind), None)


def falls(runs: Sequence[Run]) -> list[Fall]:
    """Ratios that fell by more than 15 % since the same machine's last run that had them.

    Looked at are the newest run on a CPU and the newest on CUDA. Times and memory are not judged:
    they are no ratios.
    """
    found = []
    for kind in ("cpu", "cuda"):
        latest = newest(runs, kind)
        if latest is None:
            continue
        earlier = [
            run
            for run in runs
            if run.machine.key == latest.machine.key and run.started < latest.started
        ]
        for name, metric in latest.metrics.items():
            before = next((run for run in reversed(earlier) if name in run.metrics), None)
            if before is None or not UNITS[metric.unit].is_ratio:
                continue
            if goodness(metric.value, before.metrics[name].value, metric.unit) < 1 - MOST_FALL:
                found.append(Fall(name, before, latest))
    return found
