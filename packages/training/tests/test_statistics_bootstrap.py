from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tomolift.training import ConfigError
from tomolift.training.statistics import hierarchical_bootstrap, mean_iou, percentile_interval

ONE_FOLD = np.zeros(2, dtype=np.int64)
DRAWS = 4000
# Four standard deviations of a binomial share near 1/2: one seeded run in 16,000 would miss.
TOLERANCE = 4 * 0.5 / DRAWS**0.5


def ratio(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of totals (value, 1): the mean over the drawn cases."""
    return sums[..., 0] / sums[..., 1]


def values_and_ones(values: list[list[float]]) -> NDArray[np.float64]:
    array = np.array(values)
    return np.stack([array, np.ones_like(array)], axis=-1)


def test_two_cases_are_drawn_as_often_as_worked_out_by_hand() -> None:
    replicates = hierarchical_bootstrap(
        values_and_ones([[0.0, 1.0]]), ONE_FOLD, ratio, draws=DRAWS, seed=1
    )
    shares = [float(np.mean(replicates == value)) for value in (0.0, 0.5, 1.0)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=TOLERANCE)


def test_two_seeds_are_drawn_as_often_as_worked_out_by_hand() -> None:
    replicates = hierarchical_bootstrap(
        values_and_ones([[0.0], [1.0]]), ONE_FOLD[:1], ratio, draws=DRAWS, seed=2
    )
    shares = [float(np.mean(replicates == value)) for value in (0.0, 0.5, 1.0)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=TOLERANCE)


def test_all_cases_of_a_fold_share_its_drawn_seeds() -> None:
    # Every case scores 0 under seed 0 and 1 under seed 1: nothing but seeds can vary.
    values = [[0.0] * 50, [1.0] * 50]
    together = hierarchical_bootstrap(
        values_and_ones(values), np.zeros(50, dtype=np.int64), ratio, draws=DRAWS, seed=3
    )
    assert set(np.unique(together)) == {0.0, 0.5, 1.0}


def test_seeds_are_drawn_apart_in_each_fold() -> None:
    # Var of the mean of two seeds is 1/8 for one fold; over 10 equal folds a tenth of it, but for
    # the folds' weights, which the drawing of 200 cases changes little.
    values = [[0.0] * 200, [1.0] * 200]
    folds = np.repeat(np.arange(10), 20)
    apart = hierarchical_bootstrap(values_and_ones(values), folds, ratio, draws=DRAWS, seed=4)
    assert apart.var() == pytest.approx(0.0125, rel=0.15)


def test_pooled_iou_is_of_the_summed_counts_and_not_a_mean_of_cases() -> None:
    # Case 0: IoU 1 of 1 voxel; case 1: IoU 0 of 99. Pooled over both 0.01, per case 0.5.
    counts = np.array([[[[1, 0, 0]], [[0, 0, 99]]]])
    replicates = hierarchical_bootstrap(counts, ONE_FOLD, mean_iou, draws=200, seed=5)
    assert set(np.round(np.unique(replicates), 12)) == {0.0, 0.01, 1.0}


def test_arms_go_through_the_same_draws() -> None:
    generator = np.random.default_rng(6)
    counts = generator.integers(1, 100, (2, 12, 1, 3, 3))
    twice = np.concatenate([counts, counts], axis=2)
    replicates = hierarchical_bootstrap(
        twice, np.arange(12, dtype=np.int64) % 3, mean_iou, draws=100, seed=7
    )
    assert replicates.shape == (100, 2)
    assert (replicates[:, 0] == replicates[:, 1]).all()
    assert np.ptp(replicates[:, 0]) > 0


def test_a_class_that_no_drawn_case_has_is_left_out_of_the_interval() -> None:
    counts = np.array([[[[5, 0, 5]], [[0, 0, 0]]]])
    replicates = hierarchical_bootstrap(counts, ONE_FOLD, mean_iou, draws=200, seed=8)
    assert np.isnan(replicates).any()
    assert percentile_interval(replicates) == (0.5, 0.5)
    assert percentile_interval(np.array([np.nan])) is None


def test_the_same_seed_gives_the_same_replicates_and_another_seed_others() -> None:
    counts = np.random.default_rng(9).integers(1, 100, (3, 10, 2, 3))
    folds = np.zeros(10, dtype=np.int64)
    first, again, other = (
        hierarchical_bootstrap(counts, folds, mean_iou, draws=50, seed=seed) for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).any()


def test_totals_without_cases_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"totals of shape \(1, 0, 2\).*expected \(seeds, cases"):
        hierarchical_bootstrap(np.zeros((1, 0, 2)), ONE_FOLD, ratio)
