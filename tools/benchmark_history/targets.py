"""The targets, and how the newest runs stand to them."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark_history.history import newest
from benchmark_history.runs import HistoryError, Run
from benchmark_history.units import UNITS, goodness, write, write_bound


@dataclass(frozen=True, kw_only=True)
class Target:
    """on is part of the description of the machines that it is for; "" is all."""

    title: str
    metric: str
    unit: str
    must: float
    aim: float | None = None
    on: str = ""


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


def read_targets(path: Path) -> list[Target]:
    """The [[target]] tables of a TOML file.

    Raises:
        HistoryError: the file is not of this form.
    """
    try:
        targets = [Target(**table) for table in tomllib.loads(path.read_text("utf-8"))["target"]]
        wrong = [target.metric for target in targets if target.unit not in UNITS]
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise HistoryError(f"{path}: not a list of targets ({error})") from error
    if wrong:
        raise HistoryError(f"{path}: {wrong[0]!r} has no known unit, expected one of {list(UNITS)}")
    return targets


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
    return Standing(target, None, "-", "not run")


def _verdict(value: float, target: Target) -> str:
    if goodness(value, target.must, target.unit) < 1:
        return "missed"
    reached = target.aim is not None and goodness(value, target.aim, target.unit) >= 1
    return "met, aim too" if reached else "met"
