"""One case's scores, class by class, from two label volumes on one grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..statistics import class_dice, class_iou
from ._rules import EMPTY_SET_RULES, ClassScores
from ._surface import surface_scores


@dataclass(frozen=True, kw_only=True)
class CaseRow:
    """One class of one case.

    Attributes:
        case: its name.
        label: the class's value.
        counts: true positives, false positives, false negatives, in voxels.
        scores: with every empty-set rule applied.
    """

    case: str
    label: int
    counts: tuple[int, int, int]
    scores: ClassScores

    @property
    def voxels(self) -> int:
        """Voxels of the class in the truth."""
        return self.counts[0] + self.counts[2]


def case_rows(
    case: str,
    truth: NDArray[np.uint8],
    predicted: NDArray[np.uint8],
    *,
    labels: Sequence[int],
    spacing_mm: Sequence[float],
    tolerance_mm: float,
    surface: bool,
) -> list[CaseRow]:
    """Score a case.

    Args:
        case: its name.
        truth: uint8 (D, H, W).
        predicted: uint8, the same shape.
        labels: the classes' values, one row each; 0 is background and has no surface.
        spacing_mm: voxel size along (D, H, W).
        tolerance_mm: of NSD.
        surface: whether HD95 and NSD are measured.
    """
    matrix = confusion(truth, predicted)
    rows = []
    for label in labels:
        hits = int(matrix[label, label])
        counts = (
            hits,
            int(matrix[:, label].sum()) - hits,
            int(matrix[label].sum()) - hits,
        )
        distances: tuple[float, float] | None = None
        if surface and label and hits + counts[2] and hits + counts[1]:
            distances = surface_scores(
                truth == label,
                predicted == label,
                spacing_mm=spacing_mm,
                tolerance_mm=tolerance_mm,
            )
        scores = _scores(counts, distances, surface=surface and label != 0)
        rows.append(CaseRow(case=case, label=label, counts=counts, scores=scores))
    return rows


def confusion(truth: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Voxel counts of any two label volumes of one shape, int64 (256, 256), rows truth."""
    code = truth.astype(np.uint16).ravel() * np.uint16(256) + predicted.ravel()
    return np.bincount(code, minlength=65536).reshape(256, 256)


def _scores(
    counts: tuple[int, int, int], distances: tuple[float, float] | None, *, surface: bool
) -> ClassScores:
    hits, false_alarms, misses = counts
    rule = EMPTY_SET_RULES.get((not hits + misses, not hits + false_alarms))
    if rule is not None:
        return rule if surface else ClassScores(iou=rule.iou, dice=rule.dice)
    overlap = np.array(counts)
    hd95_mm, nsd = distances or (None, None)
    return ClassScores(
        iou=float(class_iou(overlap)), dice=float(class_dice(overlap)), hd95_mm=hd95_mm, nsd=nsd
    )
