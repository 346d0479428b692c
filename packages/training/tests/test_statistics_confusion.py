from __future__ import annotations

import numpy as np
import pytest
import torch

from tomolift.training._metrics import score
from tomolift.training.statistics import class_dice, class_iou, mean_iou, mean_of_present


def counts_of(matrix: torch.Tensor) -> np.ndarray:
    """True positives, false positives and false negatives of a confusion matrix."""
    hit = matrix.diag()
    return torch.stack([hit, matrix.sum(0) - hit, matrix.sum(1) - hit], dim=1).numpy()


def test_iou_and_dice_of_counts_are_those_of_the_confusion_matrix() -> None:
    matrix = torch.randint(0, 50, (4, 4), generator=torch.Generator().manual_seed(0))
    scores = score([matrix])
    counts = counts_of(matrix)
    assert class_iou(counts) == pytest.approx(scores.iou)
    assert class_dice(counts) == pytest.approx(scores.dice)
    assert mean_iou(counts) == pytest.approx(scores.mean_iou_pooled)


def test_an_absent_class_is_excluded_and_a_falsely_predicted_one_is_zero() -> None:
    absent_and_false = np.array([[10, 0, 0], [0, 0, 0], [0, 5, 0]])
    assert class_iou(absent_and_false) == pytest.approx([1.0, np.nan, 0.0], nan_ok=True)
    assert mean_iou(absent_and_false) == 0.5


def test_the_mean_of_nothing_is_no_number_and_raises_no_warning() -> None:
    assert np.isnan(mean_of_present(np.array([np.nan, np.nan]), axis=0))
