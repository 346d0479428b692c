"""Whether a label lies on its image's grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ._headers import NiftiHeader
from .errors import BadInput

MISPLACED = 0.01  # of the smallest voxel side: float32 headers are good to about 1e-5 of it


def check_pair(image: NiftiHeader, label: NiftiHeader, label_path: Path) -> None:
    """Refuse a label that is not on the image's grid.

    Raises:
        BadInput: E_SHAPE or E_AFFINE.
    """
    cure = "re-export the label on the image's grid"
    if image.shape != label.shape:
        problem = f"label shape {label.shape} differs from image shape {image.shape}"
        raise BadInput("E_SHAPE", label_path, problem, cure)
    apart = largest_displacement_mm(image, label)
    smallest = float(np.linalg.norm(image.affine[:3, :3], axis=0).min())
    if apart > MISPLACED * smallest:
        problem = f"label and image affines lie {apart:.3g} mm apart (voxel {smallest:.3g} mm)"
        raise BadInput("E_AFFINE", label_path, problem, cure)


def largest_displacement_mm(first: NiftiHeader, second: NiftiHeader) -> float:
    """Return how far apart the two affines put the corners of the (equal) voxel grid, in mm."""
    corners = np.array(np.meshgrid(*[(0, side - 1) for side in first.shape])).reshape(3, -1)
    homogeneous = np.vstack([corners, np.ones(8)])
    moved = (first.affine - second.affine) @ homogeneous
    return float(np.linalg.norm(moved[:3], axis=0).max())
