"""IoU and Dice from a confusion matrix."""

from __future__ import annotations

import torch
from jaxtyping import Float, Integer
from torch import Tensor


def iou(confusion: Integer[Tensor, "truth prediction"]) -> Float[Tensor, " class"]:
    """Intersection over union of each class.

    Args:
        confusion: (C, C) counts, rows the truth, columns the prediction. Matrices of several
            batches or ranks are added up first: that is the pooled figure.

    Returns:
        float64 (C,); NaN for a class that is absent from truth and prediction.

    Raises:
        ValueError: confusion is not a square matrix.

    Example:
        >>> iou(torch.tensor([[8, 1, 0], [1, 2, 0], [0, 0, 0]])).tolist()
        [0.8, 0.5, nan]
    """
    hits, truth, prediction = _counts(confusion)
    return hits / (truth + prediction - hits)


def dice(confusion: Integer[Tensor, "truth prediction"]) -> Float[Tensor, " class"]:
    """Dice coefficient of each class, 2 hits / (truth + prediction).

    Args:
        confusion: (C, C) counts, rows the truth, columns the prediction.

    Returns:
        float64 (C,); NaN for a class that is absent from truth and prediction.

    Raises:
        ValueError: confusion is not a square matrix.

    Example:
        >>> dice(torch.tensor([[8, 1], [1, 4]]))[1].item()
        0.8
    """
    hits, truth, prediction = _counts(confusion)
    return 2.0 * hits / (truth + prediction)


def mean_iou(confusion: Integer[Tensor, "truth prediction"]) -> Float[Tensor, ""]:
    """Mean of the IoU over the classes present in truth or prediction, background included.

    Args:
        confusion: (C, C) counts, rows the truth, columns the prediction.

    Returns:
        float64 scalar; NaN for an empty matrix.

    Raises:
        ValueError: confusion is not a square matrix.

    Example:
        >>> mean_iou(torch.tensor([[8, 1, 0], [1, 2, 0], [0, 0, 0]])).item()
        0.65
    """
    return iou(confusion).nanmean()


def _counts(confusion: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    if confusion.dim() != 2 or confusion.shape[0] != confusion.shape[1]:
        raise ValueError(
            f"confusion has shape {tuple(confusion.shape)}, expected (C, C): rows the truth, "
            "columns the prediction"
        )
    counts = confusion.to(torch.float64)
    return counts.diagonal(), counts.sum(dim=1), counts.sum(dim=0)
