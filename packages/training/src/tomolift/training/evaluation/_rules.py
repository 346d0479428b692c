"""What a score is where truth or prediction holds no voxel of a class: one table for all."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ClassScores:
    """One class in one case; None is excluded: it enters no mean and is counted as excluded.

    Attributes:
        iou: intersection over union, 0 to 1.
        dice: 0 to 1.
        hd95_mm: 95th percentile Hausdorff distance, infinite where there is no distance.
        nsd: normalised surface distance at the tolerance, 0 to 1.
    """

    iou: float | None
    dice: float | None
    hd95_mm: float | None = None
    nsd: float | None = None


_MISSED = ClassScores(iou=0.0, dice=0.0, hd95_mm=math.inf, nsd=0.0)

# (truth is empty, prediction is empty) -> scores. Nothing to find and nothing found says nothing
# of a method, so it is excluded rather than 1: cases without tumour would lift every mean.
# Of a class that was missed, or made up, no surface point has another at any distance: nothing
# of the surface is within the tolerance, and the distance is beyond any number. It is not left
# out, for a method that finds nothing in hard cases would gain by it; summaries take the median.
EMPTY_SET_RULES: dict[tuple[bool, bool], ClassScores] = {
    (True, True): ClassScores(iou=None, dice=None, hd95_mm=None, nsd=None),
    (True, False): _MISSED,
    (False, True): _MISSED,
}
