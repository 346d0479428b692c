"""Distances between the surfaces of two masks, in mm, by MONAI.

MONAI (monai.metrics) because it is maintained, takes anisotropic spacing, and weighs surface
elements by their area as the Medical Segmentation Decathlon's code did. That code's own package,
surface-distance 0.1, names `numpy.Inf` and `scipy.ndimage.filters`, which numpy 2 has not and
scipy is about to drop. It is an extra, for it brings scipy (140 MB) with it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError

PERCENTILE = 95.0


def surface_scores(
    truth: NDArray[np.bool_],
    predicted: NDArray[np.bool_],
    *,
    spacing_mm: Sequence[float],
    tolerance_mm: float,
) -> tuple[float, float]:
    """HD95 and NSD of two masks, neither of them empty.

    HD95: of either mask's boundary voxels (those with a face neighbour outside), the distance to
    the nearest of the other's; the larger of the two directions' 95th percentiles. NSD: the share
    of both surfaces' area that lies within the tolerance of the other, the area by 2 x 2 x 2
    neighbourhoods (Nikolov et al. 2018). What lies outside the volume is background.

    Args:
        truth: bool (D, H, W), at least one voxel set.
        predicted: the same.
        spacing_mm: voxel size along (D, H, W).
        tolerance_mm: how far apart two surfaces may lie and still agree.

    Returns:
        HD95 in mm, and NSD, 0 to 1.

    Raises:
        ConfigError: MONAI or scipy is not installed.
    """
    metrics = require_monai()
    import torch

    box = _joint_box(truth, predicted)
    pair = [torch.from_numpy(mask[box].copy())[None, None] for mask in (predicted, truth)]
    spacing = tuple(float(side) for side in spacing_mm)
    with warnings.catch_warnings():
        # MONAI 1.6 warns of a deprecated argument that it passes to itself.
        warnings.simplefilter("ignore", FutureWarning)
        distance = metrics.compute_hausdorff_distance(
            *pair, include_background=True, percentile=PERCENTILE, spacing=spacing
        )
        share = metrics.compute_surface_dice(
            *pair, [tolerance_mm], include_background=True, spacing=spacing, use_subvoxels=True
        )
    return float(distance), float(share)


def require_monai() -> Any:
    """The module monai.metrics, imported now and not before.

    Raises:
        ConfigError: MONAI or scipy is not installed.
    """
    try:
        import scipy.ndimage  # noqa: F401 - MONAI asks for it only when it computes
        from monai import metrics
    except ImportError as error:
        raise ConfigError(
            f"surface distances need MONAI and scipy ({error}): pip install "
            "'tomolift-training[surface]', or pass --no-surface"
        ) from error
    return metrics


def _joint_box(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The smallest box that holds both masks: an organ is a hundredth of its volume."""
    either = truth | predicted
    box = []
    for axis in range(either.ndim):
        others = tuple(other for other in range(either.ndim) if other != axis)
        (inside,) = np.nonzero(either.any(axis=others))
        box.append(slice(int(inside[0]), int(inside[-1]) + 1))
    return tuple(box)
