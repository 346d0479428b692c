"""Learning curves with bands over runs, and how many epochs a threshold takes."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ._histories import RunHistory

# Pooled foreground IoU. 0.3 is the project's own target for a short training; 0.1 is past the
# floor, 0.5 is a usable structure.
THRESHOLDS = (0.1, 0.3, 0.5)


@dataclass(frozen=True, kw_only=True)
class Band:
    """A figure by epoch: mean, least and greatest over runs; None where no run has it."""

    mean: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class LearningCurve:
    """An arm's epochs.

    Attributes:
        arm: the row.
        fraction: share of the training cases.
        runs: how many runs (folds x seeds) the bands span.
        epochs: ascending, 0 is before any training.
        loss: of training.
        mean_iou_pooled: over all classes, each run pooled over its own cases.
        foreground_iou: the same over the foreground classes.
    """

    arm: str
    fraction: float
    runs: int
    epochs: tuple[int, ...]
    loss: Band
    mean_iou_pooled: Band
    foreground_iou: Band

    def to_json(self) -> dict[str, Any]:
        """As report.json holds it."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class ReachedThreshold:
    """How soon an arm's runs reach a pooled foreground IoU.

    Attributes:
        arm: the row.
        fraction: share of the training cases.
        threshold: of the mean pooled IoU over the foreground classes.
        first_epochs: per run the first epoch at or above it; None is censored: not reached in
            `last_epoch` epochs.
        last_epoch: how long the arm was trained.
        median: over the runs, censored ones counted as later than all; None where it is censored.
    """

    arm: str
    fraction: float
    threshold: float
    first_epochs: tuple[int | None, ...]
    last_epoch: int
    median: float | None

    @property
    def reached(self) -> int:
        """In how many runs."""
        return sum(epoch is not None for epoch in self.first_epochs)

    def to_json(self) -> dict[str, Any]:
        """As report.json holds it."""
        return asdict(self) | {"runs": len(self.first_epochs), "reached": self.reached}


def learning_curves(histories: Sequence[RunHistory]) -> list[LearningCurve]:
    """One curve an arm and share of the training cases, in the order of their first run."""
    return [_curve(runs) for runs in _by_arm(histories)]


def epochs_to_threshold(
    histories: Sequence[RunHistory], *, thresholds: Sequence[float] = THRESHOLDS
) -> list[ReachedThreshold]:
    """For every arm, in the order of their first run, and every threshold."""
    return [_reached(runs, threshold) for runs in _by_arm(histories) for threshold in thresholds]


def _by_arm(histories: Sequence[RunHistory]) -> list[list[RunHistory]]:
    groups: dict[tuple[str, float], list[RunHistory]] = {}
    for history in histories:
        groups.setdefault((history.arm, history.fraction), []).append(history)
    return list(groups.values())


def _curve(runs: Sequence[RunHistory]) -> LearningCurve:
    epochs = tuple(sorted({epoch.epoch for run in runs for epoch in run.epochs}))

    def band(name: str) -> Band:
        by_epoch: dict[int, list[float]] = {epoch: [] for epoch in epochs}
        for run in runs:
            for epoch in run.epochs:
                if (value := getattr(epoch, name)) is not None:
                    by_epoch[epoch.epoch].append(value)
        values = by_epoch.values()
        return Band(
            mean=tuple(statistics.fmean(some) if some else None for some in values),
            low=tuple(min(some, default=None) for some in values),
            high=tuple(max(some, default=None) for some in values),
        )

    return LearningCurve(
        arm=runs[0].arm,
        fraction=runs[0].fraction,
        runs=len(runs),
        epochs=epochs,
        loss=band("loss"),
        mean_iou_pooled=band("mean_iou_pooled"),
        foreground_iou=band("foreground_iou"),
    )


def _reached(runs: Sequence[RunHistory], threshold: float) -> ReachedThreshold:
    first = tuple(_first_epoch(run, threshold) for run in runs)
    ranked = sorted(float("inf") if epoch is None else epoch for epoch in first)
    # The upper median: with an even number of runs it is censored as soon as half of them are.
    median = statistics.median_high(ranked)
    return ReachedThreshold(
        arm=runs[0].arm,
        fraction=runs[0].fraction,
        threshold=threshold,
        first_epochs=first,
        last_epoch=max(run.last_epoch for run in runs),
        median=None if median == float("inf") else median,
    )


def _first_epoch(run: RunHistory, threshold: float) -> int | None:
    for epoch in run.epochs:
        if epoch.foreground_iou is not None and epoch.foreground_iou >= threshold:
            return epoch.epoch
    return None
