"""Learning curves and epochs to a threshold, against values read off by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tomolift.training.comparison import analyse
from tomolift.training.comparison._histories import Epoch, RunHistory
from tomolift.training.comparison._learning import epochs_to_threshold, learning_curves


def history(*foreground: float | None, seed: int = 0) -> RunHistory:
    epochs = tuple(
        Epoch(
            epoch=index,
            loss=1.0 / index if index else None,
            seconds=1.0 if index else None,
            mean_iou_pooled=0.5,
            foreground_iou=value,
        )
        for index, value in enumerate(foreground)
    )
    return RunHistory(
        run="",
        arm="average",
        fold=0,
        seed=seed,
        fraction=1.0,
        training_cases=4,
        epochs=epochs,
    )


def test_a_curve_is_mean_least_and_greatest_of_its_runs() -> None:
    (curve,) = learning_curves([history(0.0, 0.2, 0.4), history(0.1, 0.6, None, seed=1)])
    assert curve.runs == 2
    assert curve.epochs == (0, 1, 2)
    assert curve.foreground_iou.mean == pytest.approx((0.05, 0.4, 0.4))
    assert curve.foreground_iou.low == (0.0, 0.2, 0.4)
    assert curve.foreground_iou.high == (0.1, 0.6, 0.4)
    assert curve.loss.mean == (None, 1.0, 0.5)


def test_the_first_epoch_at_a_threshold_counts_and_a_later_fall_does_not_undo_it() -> None:
    (reached,) = epochs_to_threshold([history(0.0, 0.3, 0.1)], thresholds=[0.3])
    assert reached.first_epochs == (1,)


def test_weights_that_start_above_a_threshold_reach_it_before_any_training() -> None:
    (reached,) = epochs_to_threshold([history(0.5, 0.1)], thresholds=[0.3])
    assert reached.median == 0


def test_runs_that_never_get_there_are_censored_and_later_than_all() -> None:
    late, never = history(0.0, 0.1, 0.4), history(0.0, 0.1, 0.2, seed=1)
    (most,) = epochs_to_threshold([late, late, never], thresholds=[0.3])
    assert most.first_epochs == (2, 2, None)
    assert (most.reached, most.median, most.last_epoch) == (2, 2, 2)
    (half,) = epochs_to_threshold([late, never], thresholds=[0.3])
    assert half.median is None


def test_curves_and_thresholds_are_read_from_the_epochs_file(comparison_folder: Path) -> None:
    analysis = analyse(comparison_folder)
    curves = {curve.arm: curve for curve in analysis.curves}
    assert "background" not in curves
    assert curves["average"].runs == 4
    assert curves["average"].foreground_iou.high == pytest.approx((0, 0.175, 0.35, 0.525, 0.7))
    reached = {(each.arm, each.threshold): each for each in analysis.thresholds}
    # 0.7 epoch / 4 in seed 0, 0.7 (epoch - 0.5) / 4 in seed 1: 0.3 by epochs 2 and 3.
    assert sorted(filter(None, reached["average", 0.3].first_epochs)) == [2, 2, 3, 3]
    assert reached["random", 0.5].median is None
    rows = {row.arm: row for row in analysis.rows}
    assert (rows["average"].epochs, rows["average"].seconds_per_epoch) == (4, 2.0)
    assert rows["background"].epochs == 0
