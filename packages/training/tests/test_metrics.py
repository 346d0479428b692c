from __future__ import annotations

import math

import pytest
import torch

from tomolift.training._metrics import case_rows, score
from tomolift.training._scores import mean_scores, score_counts

# The paper's class shares: 99.75 % background.
BACKGROUND_ONLY = torch.tensor([[9975, 0, 0], [20, 0, 0], [5, 0, 0]])
# Class 2 is neither there nor predicted; class 1: 6 right, 2 missed, 4 too many.
WITHOUT_TUMOUR = torch.tensor([[88, 4, 0], [2, 6, 0], [0, 0, 0]])
# Class 2 is predicted but not there.
FALSE_TUMOUR = torch.tensor([[90, 0, 3], [0, 7, 0], [0, 0, 0]])


def test_background_everywhere_scores_the_papers_floor() -> None:
    scores = score([BACKGROUND_ONLY])
    assert scores.mean_iou_pooled == pytest.approx(0.3325)
    assert scores.iou == (0.9975, 0.0, 0.0)
    assert scores.collapsed


def test_pooled_scores_come_from_the_summed_matrix_by_hand() -> None:
    scores = score([WITHOUT_TUMOUR, FALSE_TUMOUR])
    iou = [178 / 187, 13 / 19, 0.0]
    assert scores.iou == pytest.approx(iou)
    assert scores.dice == pytest.approx([2 * 178 / (185 + 180), 2 * 13 / (15 + 17), 0.0])
    assert scores.mean_iou_pooled == pytest.approx(sum(iou) / 3)
    assert sum(scores.predicted_share) == pytest.approx(1)
    assert not scores.collapsed


def test_a_class_absent_from_truth_and_prediction_is_excluded_and_counted() -> None:
    scores = score([WITHOUT_TUMOUR, FALSE_TUMOUR])
    assert scores.excluded == (0, 0, 1)
    first = (88 / 94 + 6 / 12) / 2
    second = (90 / 93 + 1.0 + 0.0) / 3
    assert scores.mean_iou_per_case == pytest.approx((first + second) / 2)


def test_a_class_absent_everywhere_is_none_and_left_out_of_the_mean() -> None:
    scores = score([WITHOUT_TUMOUR])
    assert scores.iou[2] is None
    assert scores.dice[2] is None
    assert scores.mean_iou_pooled == pytest.approx((88 / 94 + 6 / 12) / 2)


def test_the_mean_over_seeds_leaves_out_what_a_seed_excluded() -> None:
    both = mean_scores([score([WITHOUT_TUMOUR]), score([FALSE_TUMOUR])])
    assert both.iou[2] == 0.0
    assert both.iou[1] == pytest.approx((6 / 12 + 1.0) / 2)
    assert mean_scores([score([WITHOUT_TUMOUR])] * 2).iou[2] is None


def test_case_rows_count_every_voxel_once() -> None:
    rows = case_rows({"a": WITHOUT_TUMOUR}, ("background", "pancreas", "tumour"))
    assert sum(int(row["voxels"]) for row in rows) == int(WITHOUT_TUMOUR.sum())
    pancreas = rows[1]
    assert (pancreas["true_positive"], pancreas["false_positive"]) == (6, 4)
    assert pancreas["false_negative"] == 2
    assert rows[2]["iou"] == ""
    assert not any(isinstance(v, float) and math.isnan(v) for row in rows for v in row.values())


def test_twenty_voxels_in_a_thousand_million_are_no_collapse() -> None:
    assert not score([torch.tensor([[900_000_000, 0], [1000, 20]])]).collapsed


def test_scores_of_voxel_counts_are_those_of_the_confusion_matrices() -> None:
    matrices = [BACKGROUND_ONLY, WITHOUT_TUMOUR, FALSE_TUMOUR]
    hit = torch.stack([matrix.diag() for matrix in matrices])
    predicted = torch.stack([matrix.sum(0) for matrix in matrices])
    true = torch.stack([matrix.sum(1) for matrix in matrices])
    counts = torch.stack([hit, predicted - hit, true - hit], dim=-1).numpy()
    found, expected = score_counts(counts), score(matrices)
    for name, value in vars(expected).items():
        assert getattr(found, name) == pytest.approx(value), name
    assert score_counts(counts[:1]).collapsed
