"""How the newest runs stand to the targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark_history.history import newest
from benchmark_history.runs import HistoryError, Run
from benchmark_history.suites import Target
from benchmark_history.units import goodness, write, write_bound


@dataclass(frozen=True)
class Standing:
    """A target and what was measured; value is None where nothing was."""

    target: Target
    value: float | None
    measured: str
    verdict: str

    @property
    def cells(self) -> tuple[str, str, str, str, str]:
        """The row of a table: title, must, aim, measured, verdict."""
        target = self.target
        must = write_bound(target.must, target.unit)
        aim = "-" if target.aim is None else write_bound(target.aim, target.unit)
        return target.title, must, aim, self.measured, self.verdict


def judge(targets: Sequence[Target], runs: Sequence[Run]) -> list[Standing]:
    """Hold the newest run on a CPU and the newest on CUDA against the targets."""
    latest = [run for run in (newest(runs, kind) for kind in ("cpu", "cuda")) if run is not None]
    return [_standing(target, latest) for target in targets]


def _standing(target: Target, runs: Sequence[Run]) -> Standing:
    for run in runs:
        metric = run.metrics.get(target.metric)
        if metric is None:
            continue
        if metric.unit != target.unit:
            raise HistoryError(f"{target.metric}: measured in {metric.unit}, not {target.unit}")
        measured = write(metric.value, metric.unit)
        machine = run.machine.describe()
        if target.on not in machine:
            return Standing(target, None, f"{measured} on {machine}", "not run")
        return Standing(target, metric.value, measured, _verdict(metric.value, target))
    return Standing(target, None, "-", _not_run(target, runs))


def _not_run(target: Target, runs: Sequence[Run]) -> str:
    """The verdict on what no run measured, with the reason where one gives it."""
    for run in runs:
        for row in run.rows:
            if target.metric in row.extra.get("not_run", {}):
                return f"not run: {row.extra['not_run'][target.metric]}"
    return "not run"


def _verdict(value: float, target: Target) -> str:
    if goodness(value, target.must, target.unit) < 1:
        return "missed"
    reached = target.aim is not None and goodness(value, target.aim, target.unit) >= 1
    return "met, aim too" if reached else "met"
