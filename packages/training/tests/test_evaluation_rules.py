"""Every empty-set rule: what a score is where truth or prediction lacks a class."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tomolift.training.evaluation._case import case_rows

EMPTY, BLOCK = np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)
BLOCK[1:3, 1:3, 1:3] = 1

TABLE = [
    # truth, prediction, iou, dice, hd95_mm, nsd
    (EMPTY, EMPTY, None, None, None, None),
    (BLOCK, EMPTY, 0.0, 0.0, math.inf, 0.0),
    (EMPTY, BLOCK, 0.0, 0.0, math.inf, 0.0),
]


@pytest.mark.parametrize(("truth", "predicted", "iou", "dice", "hd95_mm", "nsd"), TABLE)
def test_a_class_that_is_missing_scores_as_the_table_says(
    truth: np.ndarray,
    predicted: np.ndarray,
    iou: float | None,
    dice: float | None,
    hd95_mm: float | None,
    nsd: float | None,
) -> None:
    _, row = case_rows(
        "case",
        truth,
        predicted,
        labels=(0, 1),
        spacing_mm=(1.0, 1.0, 1.0),
        tolerance_mm=1.0,
        surface=True,
    )
    scores = row.scores
    assert (scores.iou, scores.dice, scores.hd95_mm, scores.nsd) == (iou, dice, hd95_mm, nsd)


def test_the_background_has_overlap_and_no_surface() -> None:
    (row,) = case_rows(
        "case", BLOCK, EMPTY, labels=(0,), spacing_mm=(1, 1, 1), tolerance_mm=1.0, surface=True
    )
    assert row.counts == (56, 8, 0)
    assert row.scores.iou == pytest.approx(56 / 64)
    assert row.scores.hd95_mm is None
    assert row.scores.nsd is None
