"""A label file of anyone's, read with every check that images get, and whether two share a grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tomolift import data

from ..errors import PredictionError

# x * 1 - 0, which float32 does without rounding: the labels as the file states them.
_UNCHANGED = data.SplitIntensity(
    data.ZScore(), data.Statistics(minimum=0, maximum=1, mean=0, std=1, percentiles={})
)
# As tomolift.data: a label of 0.9996 is a 1 that was interpolated or stored as a float.
_ROUNDING = 1e-3
# Of the smallest voxel side, as tomolift.data: float32 headers are good to 1e-5 of it.
_MISPLACED = 0.01


def read_labels(path: Path) -> tuple[NDArray[np.uint8], data.Geometry]:
    """Read a label volume in canonical (nearest RAS) axes.

    Args:
        path: .nii or .nii.gz of integers 0 to 255, of any stored type and orientation.

    Returns:
        uint8 (D, H, W), and where it lies.

    Raises:
        BadInput: the file is missing or damaged.
        PredictionError: a voxel is no integer from 0 to 255.
    """
    values, geometry = data.read_volume(path, intensity=_UNCHANGED)
    rounded = np.rint(values)
    wrong = (np.abs(values - rounded) >= _ROUNDING) | (rounded < 0) | (rounded > 255)
    if wrong.any():
        raise PredictionError(
            f"{path}: holds {values[wrong][0]:g}, expected integers from 0 to 255; write the "
            "argmax over the classes"
        )
    return rounded.astype(np.uint8), geometry


def check_same_grid(truth: data.Geometry, predicted: data.Geometry, *, path: Path) -> None:
    """Refuse a prediction that does not lie voxel by voxel on its truth; nothing is resampled.

    Both are compared in canonical axes: another order of the stored axes is no difference.

    Raises:
        PredictionError: it names shapes, or voxel sizes and the distance between the two.
    """
    cure = "resample the prediction to the truth's grid, labels by nearest neighbour"
    if truth.shape != predicted.shape:
        raise PredictionError(
            f"{path}: (D, H, W) is {predicted.shape}, the truth's {truth.shape}; {cure}"
        )
    sides = np.array(truth.shape[::-1]) - 1
    corners = np.array(np.meshgrid(*[(0, side) for side in sides])).reshape(3, -1)
    moved = (truth.affine - predicted.affine) @ np.vstack([corners, np.ones(8)])
    apart_mm = float(np.linalg.norm(moved[:3], axis=0).max())
    if not apart_mm <= _MISPLACED * min(truth.zooms_mm):
        raise PredictionError(
            f"{path}: lies up to {apart_mm:.3g} mm from its truth (voxels {_sizes(predicted)} mm, "
            f"the truth's {_sizes(truth)} mm along D, H, W); {cure}"
        )


def _sizes(geometry: data.Geometry) -> str:
    return " x ".join(f"{side:.4g}" for side in geometry.zooms_mm)
