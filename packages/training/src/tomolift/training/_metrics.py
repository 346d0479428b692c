"""Scores from confusion matrices: pooled over a data set, and per case.

A matrix is int64 (classes, classes), rows truth, columns prediction; ignored voxels are in none.
A class absent from truth and prediction is excluded (None, counted); absent from truth but
predicted it scores 0 (training design, step 5).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tomolift import ops


@dataclass(frozen=True)
class Scores:
    """What one set of case matrices amounts to.

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


def score(matrices: Sequence[Tensor]) -> Scores:
    """Score a data set from one confusion matrix per case.

    Args:
        matrices: int64 (classes, classes) each, at least one.

    Example:
        >>> score([torch.tensor([[98, 0], [2, 0]])]).mean_iou_pooled
        0.49
    """
    pooled = torch.stack(list(matrices)).sum(0)
    case_iou = torch.stack([ops.iou(matrix) for matrix in matrices])
    return Scores(
        mean_iou_pooled=float(ops.iou(pooled).nanmean()),
        mean_iou_per_case=float(case_iou.nanmean(1).nanmean()),
        iou=_or_none(ops.iou(pooled)),
        dice=_or_none(ops.dice(pooled)),
        excluded=tuple(int(count) for count in case_iou.isnan().sum(0)),
        predicted_share=tuple((pooled.sum(0).double() / pooled.sum().clamp(min=1)).tolist()),
        collapsed=not bool(pooled[:, 1:].any()),
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


def case_rows(
    matrices: Mapping[str, Tensor], class_names: Sequence[str]
) -> list[dict[str, str | int | float]]:
    """One row a case and class for per_case.csv; empty cells where a score is excluded."""
    rows: list[dict[str, str | int | float]] = []
    for case, matrix in matrices.items():
        iou, dice = _or_none(ops.iou(matrix)), _or_none(ops.dice(matrix))
        for index, name in enumerate(class_names):
            true_positive = int(matrix[index, index])
            rows.append(
                {
                    "case": case,
                    "class": name,
                    "voxels": int(matrix[index].sum()),
                    "true_positive": true_positive,
                    "false_positive": int(matrix[:, index].sum()) - true_positive,
                    "false_negative": int(matrix[index].sum()) - true_positive,
                    "iou": _cell(iou[index]),
                    "dice": _cell(dice[index]),
                }
            )
    return rows


def _or_none(values: Tensor) -> tuple[float | None, ...]:
    return tuple(None if math.isnan(value) else value for value in values.tolist())


def _mean(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else None


def _cell(value: float | None) -> float | str:
    return "" if value is None else value
