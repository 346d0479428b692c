"""IoU and Dice from a confusion matrix, with worked examples."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tomolift.ops import dice, iou, mean_iou

# Class 0: 6 hits, 1 missed, 2 false; class 1: 3 hits, 2 missed, 1 false; class 2 absent.
MATRIX = torch.tensor([[6, 1, 0], [2, 3, 0], [0, 0, 0]])


def test_iou_of_a_worked_example_and_nan_for_the_absent_class() -> None:
    assert iou(MATRIX)[:2].tolist() == [6 / 9, 3 / 6]
    assert iou(MATRIX)[2].isnan()
    assert iou(MATRIX).dtype == torch.float64


def test_dice_of_a_worked_example_and_nan_for_the_absent_class() -> None:
    assert dice(MATRIX)[:2].tolist() == [12 / 15, 6 / 9]
    assert dice(MATRIX)[2].isnan()


def test_a_class_predicted_but_never_true_scores_zero() -> None:
    assert iou(torch.tensor([[5, 2], [0, 0]])).tolist() == [5 / 7, 0.0]
    assert dice(torch.tensor([[5, 2], [0, 0]]))[1] == 0


def test_mean_iou_leaves_absent_classes_out() -> None:
    assert float(mean_iou(MATRIX)) == pytest.approx((6 / 9 + 3 / 6) / 2)
    assert mean_iou(torch.zeros(3, 3, dtype=torch.int64)).isnan()


def test_all_background_scores_the_trivial_floor_of_the_paper() -> None:
    matrix = torch.tensor([[9975, 0, 0], [20, 0, 0], [5, 0, 0]])
    assert float(mean_iou(matrix)) == pytest.approx(0.3325)


def test_dice_is_a_function_of_iou() -> None:
    matrix = torch.randint(1, 1000, (5, 5), generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(dice(matrix), 2 * iou(matrix) / (1 + iou(matrix)))


@pytest.mark.parametrize("function", [iou, dice, mean_iou])
def test_a_matrix_that_is_not_square_is_named(function: Any) -> None:
    with pytest.raises(ValueError, match=r"confusion has shape \(2, 3\), expected \(C, C\)"):
        function(torch.zeros(2, 3))
