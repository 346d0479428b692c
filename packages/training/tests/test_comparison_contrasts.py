"""The declared contrasts: which, and what they come to on a comparison whose truth is known."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tomolift.training import ARMS
from tomolift.training._arms import PAPER_ARMS
from tomolift.training.comparison import Contrast, analyse, declared_contrasts
from tomolift.training.comparison._cases import CaseTable, read_case_tables
from tomolift.training.comparison._outcome import contrast_outcomes
from tomolift.training.comparison._resamples import resample
from tomolift.training.statistics import corrected_fold_test, mean_iou, sign_flip_test


@pytest.fixture(scope="module")
def table(comparison_folder: Path) -> CaseTable:
    return read_case_tables(comparison_folder / "per_case.csv")[1.0]


def pairs(*arms: str) -> list[tuple[str, str]]:
    return [(contrast.first, contrast.second) for contrast in declared_contrasts(arms)]


def test_the_papers_arms_have_the_six_contrasts_of_the_design() -> None:
    assert pairs(*PAPER_ARMS) == [
        ("zero", "random"),
        ("average", "random"),
        ("scaling", "random"),
        ("average", "scaling"),
        ("average", "2d"),
        ("average", "2d-continued"),
    ]


def test_every_arm_that_takes_2d_weights_is_compared_with_random() -> None:
    against_random = {first for first, second in pairs(*ARMS) if second == "random"}
    assert against_random == {
        name for name, arm in ARMS.items() if arm.spatial_dims == 3 and name != "random"
    }


def test_a_row_with_a_setting_is_compared_with_the_same_row_without() -> None:
    assert pairs("average", "average+replicate") == [("average+replicate", "average")]
    assert pairs("average+replicate", "random") == []


def test_the_outcome_is_put_together_from_the_tests_by_hand(table: CaseTable) -> None:
    contrast = Contrast("average", "random", "")
    (outcome,) = contrast_outcomes(
        table, [contrast], resample(table), training_cases={"average": 5}
    )
    first, second = (mean_iou(table.of(arm)).mean(0) for arm in ("average", "random"))
    assert outcome.difference_per_case == pytest.approx((first - second).mean())
    assert outcome.sign_flip == sign_flip_test(first - second)
    assert (outcome.cases, outcome.cases_better) == (10, int((first > second).sum()))
    by_fold = [
        np.mean([mean_iou(table.of("average")[seed, fold::2].sum(0)) for seed in range(2)])
        - np.mean([mean_iou(table.of("random")[seed, fold::2].sum(0)) for seed in range(2)])
        for fold in range(2)
    ]
    expected = corrected_fold_test(np.array(by_fold), num_test=5, num_train=5)
    assert expected is not None
    assert outcome.fold_test is not None
    assert outcome.fold_test.t == pytest.approx(expected.t)
    assert outcome.fold_test.degrees_of_freedom == 1


def test_a_large_difference_is_found_and_a_small_one_is_not(table: CaseTable) -> None:
    contrasts = [Contrast("average", "random", ""), Contrast("average", "scaling", "")]
    large, small = contrast_outcomes(table, contrasts, resample(table), training_cases={})
    assert large.p_holm == pytest.approx(2 * 2 / 2**10)  # ahead in all ten cases, of two contrasts
    assert large.interval_pooled is not None
    assert large.interval_pooled[0] > 0.05
    assert small.p_holm > 0.05
    assert small.interval_pooled is not None
    assert small.interval_pooled[0] < 0 < small.interval_pooled[1]


def test_the_other_way_round_everything_but_the_sign_is_the_same(table: CaseTable) -> None:
    contrasts = [Contrast("average", "random", ""), Contrast("random", "average", "")]
    there, back = contrast_outcomes(table, contrasts, resample(table), training_cases={})
    assert back.difference_pooled == -there.difference_pooled
    assert back.sign_flip == there.sign_flip
    assert there.interval_pooled is not None
    assert back.interval_pooled == pytest.approx([-each for each in there.interval_pooled[::-1]])


def test_one_case_has_a_difference_and_no_interval(comparison_folder: Path, tmp_path: Path) -> None:
    shutil.copy(comparison_folder / "epochs.csv", tmp_path)
    lines = (comparison_folder / "per_case.csv").read_text().splitlines()
    kept = [line for line in lines if line.startswith("arm,") or ",case_3," in line]
    (tmp_path / "per_case.csv").write_text("\n".join(kept) + "\n")
    analysis = analyse(tmp_path)
    assert analysis.cases == ("case_3",)
    for outcome in analysis.contrasts:
        assert outcome.interval_pooled is None
        assert outcome.sign_flip.p_value == 1.0
    assert all(row.interval_pooled is None for row in analysis.rows)
