"""IoU and Dice from counts of voxels, so that they can be computed of any sum of cases.

Counts are (..., classes, 3): true positives, false positives, false negatives. A class absent from
truth and prediction is excluded (NaN); absent from truth but predicted it is 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def class_iou(counts: NDArray[Any]) -> Values:
    """IoU of each class, (..., classes), NaN where excluded.

    Example:
        >>> class_iou(np.array([[6, 4, 2], [0, 0, 0]]))
        array([0.5, nan])
    """
    hit, false_alarm, missed = np.moveaxis(counts, -1, 0)
    return _ratio(hit, hit + false_alarm + missed)


def class_dice(counts: NDArray[Any]) -> Values:
    """Dice of each class, (..., classes), NaN where excluded."""
    hit, false_alarm, missed = np.moveaxis(counts, -1, 0)
    return _ratio(2 * hit, 2 * hit + false_alarm + missed)


def mean_iou(counts: NDArray[Any]) -> Values:
    """The mean over the classes that are not excluded, (...)."""
    return mean_of_present(class_iou(counts), axis=-1)


def mean_of_present(values: Values, *, axis: int) -> Values:
    """The mean along an axis of what is not NaN; NaN where nothing is left."""
    present = ~np.isnan(values)
    return _ratio(np.where(present, values, 0).sum(axis), present.sum(axis))


def _ratio(numerator: NDArray[Any], denominator: NDArray[Any]) -> Values:
    quotient = np.full(np.shape(numerator), np.nan)
    return np.divide(numerator, denominator, out=quotient, where=denominator != 0)
