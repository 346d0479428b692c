"""All arms of a comparison through the same bootstrap draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..statistics import class_iou, hierarchical_bootstrap, mean_iou, percentile_interval
from ._cases import CaseTable

DRAWS = 10_000
CONFIDENCE = 0.95

Interval = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Resamples:
    """Replicates of every arm's figures; one draw is the same cases and seeds for all of them.

    Attributes:
        pooled: (draws, arms) pooled mean IoU.
        per_case: (draws, arms) mean over cases of the case's mean IoU.
        by_class: (draws, arms, classes) pooled IoU.
    """

    pooled: NDArray[np.float64]
    per_case: NDArray[np.float64]
    by_class: NDArray[np.float64]


def resample(table: CaseTable, *, draws: int = DRAWS) -> Resamples | None:
    """Draw cases and seeds of a table; None for a single case, of which nothing can be drawn."""
    if len(table.cases) < 2:
        return None
    pooled = hierarchical_bootstrap(table.counts, table.folds, _pooled, draws=draws)
    scores = mean_iou(table.counts)
    present = ~np.isnan(scores)
    totals = np.stack([np.where(present, scores, 0), present], axis=-1)
    per_case = hierarchical_bootstrap(totals, table.folds, _mean_over_cases, draws=draws)
    return Resamples(pooled[..., -1], per_case, pooled[..., :-1])


def interval_of(replicates: NDArray[np.float64]) -> Interval | None:
    """The central interval of replicates (draws,), at the report's confidence."""
    return percentile_interval(replicates, confidence=CONFIDENCE)


def _pooled(counts: NDArray[Any]) -> NDArray[np.float64]:
    """IoU of every class, and behind them their mean: (..., classes + 1)."""
    return np.concatenate([class_iou(counts), mean_iou(counts)[..., None]], axis=-1)


def _mean_over_cases(totals: NDArray[Any]) -> NDArray[np.float64]:
    return np.divide(
        totals[..., 0],
        totals[..., 1],
        where=totals[..., 1] > 0,
        out=np.full(totals.shape[:-1], np.nan),
    )
