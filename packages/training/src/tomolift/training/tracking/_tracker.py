"""What a tracker is, and what it is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from .._run import Run

_SCALARS = (
    "loss",
    "mean_iou_pooled",
    "mean_iou_per_case",
    "learning_rate",
    "seconds",
    "evaluation_seconds",
)
_BY_CLASS = ("iou", "dice", "predicted_share")


class Tracker(Protocol):
    """Receives the figures of every run's epochs; metrics.jsonl holds them whatever it does."""

    def epoch(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        """One epoch of a run, 0 before any training; the first call of a run opens it."""

    def close(self) -> None:
        """No more runs will come."""


def metrics_of(record: Mapping[str, Any], class_names: tuple[str, ...]) -> dict[str, float]:
    """A record of metrics.jsonl as named numbers; what is missing or excluded is left out.

    Args:
        record: one epoch's.
        class_names: background first.

    Returns:
        Such as {"loss": 0.2, "iou/pancreas": 0.5}.
    """
    named = {key: record.get(key) for key in _SCALARS}
    for key in _BY_CLASS:
        pairs = zip(class_names, record[key], strict=True)
        named |= {f"{key}/{name}": value for name, value in pairs}
    return {name: float(value) for name, value in named.items() if value is not None}
