"""Scores from confusion matrices: pooled over a data set, and per case.

A matrix is int64 (classes, classes), rows truth, columns prediction; ignored voxels are in none.
A class absent from truth and prediction is excluded (None, counted); absent from truth but
predicted it scores 0 (training design, step 5).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tomolift import ops

from ._scores import Scores


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


def _cell(value: float | None) -> float | str:
    return "" if value is None else value
