"""What a set of evaluated cases amounts to, from counts of voxels; no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .statistics import class_dice, class_iou, mean_iou, mean_of_present


@dataclass(frozen=True)
class Scores:
    """What one set of evaluated cases amounts to.

    Attributes:
        mean_iou_pooled: IoU per class of the summed matrix, mean over its classes (the primary
            figure: the one that matches the paper's arithmetic).
        mean_iou_per_case: the mean over cases of the mean IoU over the case's classes.
        iou: pooled IoU per class, None where excluded.
        dice: pooled Dice per class, None where excluded.
        excluded: per class, in how many cases it was excluded.
        predicted_share: per class, its share of the predicted voxels.
        collapsed: whether every voxel is predicted as background (class 0).
    """

    mean_iou_pooled: float
    mean_iou_per_case: float
    iou: tuple[float | None, ...]
    dice: tuple[float | None, ...]
    excluded: tuple[int, ...]
    predicted_share: tuple[float, ...]
    collapsed: bool


def score_counts(counts: NDArray[np.int64]) -> Scores:
    """Score a data set from its cases' voxel counts.

    Args:
        counts: (cases, classes, 3), true positives, false positives, false negatives.

    Example:
        >>> score_counts(np.array([[[98, 2, 0], [0, 0, 2]]])).mean_iou_pooled
        0.49
    """
    pooled = counts.sum(0)
    predicted = pooled[:, 0] + pooled[:, 1]
    return Scores(
        mean_iou_pooled=float(mean_iou(pooled)),
        mean_iou_per_case=float(mean_of_present(mean_iou(counts), axis=0)),
        iou=_or_none(class_iou(pooled)),
        dice=_or_none(class_dice(pooled)),
        excluded=tuple(np.isnan(class_iou(counts)).sum(0).tolist()),
        predicted_share=tuple((predicted / max(predicted.sum(), 1)).tolist()),
        collapsed=not predicted[1:].any(),
    )


def mean_scores(scores: Sequence[Scores]) -> Scores:
    """The mean over seeds; a class excluded in one seed is left out of that class's mean.

    `collapsed` says whether any seed collapsed, `excluded` the most cases of any seed.
    """
    return Scores(
        mean_iou_pooled=_mean([item.mean_iou_pooled for item in scores]) or 0.0,
        mean_iou_per_case=_mean([item.mean_iou_per_case for item in scores]) or 0.0,
        iou=tuple(map(_mean, zip(*(item.iou for item in scores), strict=True))),
        dice=tuple(map(_mean, zip(*(item.dice for item in scores), strict=True))),
        excluded=tuple(max(counts) for counts in zip(*(s.excluded for s in scores), strict=True)),
        predicted_share=tuple(
            _mean(shares) or 0.0
            for shares in zip(*(item.predicted_share for item in scores), strict=True)
        ),
        collapsed=any(item.collapsed for item in scores),
    )


def _or_none(values: NDArray[np.float64]) -> tuple[float | None, ...]:
    return tuple(None if math.isnan(value) else value for value in values.tolist())


def _mean(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else None
