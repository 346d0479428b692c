"""Sign flips, Holm and Nadeau-Bengio against examples worked by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from tomolift.training import ConfigError
from tomolift.training.statistics import corrected_fold_test, holm, sign_flip_test


def test_the_exact_p_value_is_the_share_of_assignments_as_far_out_by_hand() -> None:
    # Sums of +-1 +-2 +-4: 7 5 3 1 and their negatives. 1 + 2 - 4 = -1 is reached by all 8,
    # 4 + 2 - 1 = 5 by 4 of them.
    assert sign_flip_test(np.array([1.0, 2.0, -4.0])).p_value == 1.0
    assert sign_flip_test(np.array([-1.0, 2.0, 4.0])).p_value == 0.5


def test_the_exact_p_value_is_that_of_a_plain_enumeration() -> None:
    differences = np.random.default_rng(0).normal(0.3, 1, 9)
    sums = [
        abs(math.fsum(sign * value for sign, value in zip(signs, differences, strict=True)))
        for signs in itertools.product((-1, 1), repeat=9)
    ]
    expected = np.mean(np.array(sums) >= abs(math.fsum(differences)) - 1e-12)
    outcome = sign_flip_test(differences)
    assert outcome.exact
    assert outcome.p_value == pytest.approx(float(expected), abs=1e-15)


def test_rounding_hides_no_tie() -> None:
    # In another order 0.1 + 0.2 + 0.3 is 0.6000000000000001: the mirror image still counts.
    assert sign_flip_test(np.array([0.1, 0.2, 0.3])).p_value == 0.25


def test_three_cases_cannot_give_less_than_a_quarter() -> None:
    outcome = sign_flip_test(np.array([5.0, 6.0, 7.0]))
    assert outcome.p_value == outcome.smallest == 0.25


def test_no_difference_at_all_gives_one() -> None:
    assert sign_flip_test(np.zeros(8)).p_value == 1.0
    assert sign_flip_test(np.zeros(30), draws=100).p_value == 1.0


def test_drawn_signs_agree_with_the_exact_share() -> None:
    differences = np.random.default_rng(1).normal(0.25, 1, 16)
    exact = sign_flip_test(differences).p_value
    # A 17th difference of 0 changes no sum, and sends the test to its drawn form.
    drawn = sign_flip_test(np.append(differences, 0.0), draws=20_000)
    assert not drawn.exact
    assert drawn.p_value == pytest.approx(exact, abs=4 * (exact * (1 - exact) / 20_000) ** 0.5)


def test_a_drawn_p_value_is_never_zero() -> None:
    outcome = sign_flip_test(np.ones(40), draws=999)
    assert outcome.p_value == outcome.smallest == 1 / 1000


@pytest.mark.parametrize("differences", [[], [0.1, math.nan]])
def test_missing_differences_are_refused(differences: list[float]) -> None:
    with pytest.raises(ConfigError, match="expected finite numbers, one a case"):
        sign_flip_test(np.array(differences))


def test_holm_is_the_worked_example() -> None:
    # Sorted 0.005 0.01 0.03 0.04: x4 0.02, x3 0.03, x2 0.06, x1 0.04 raised to 0.06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_keeps_one_value_and_stops_at_one() -> None:
    assert holm([0.2]) == [0.2]
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_corrected_t_is_the_worked_example() -> None:
    # Mean 0.03, s^2 = 0.001 / 4; (1/5 + 1/4) s^2 = 1.125e-4; t = 0.03 / 0.0106066.
    outcome = corrected_fold_test(
        np.array([0.01, 0.02, 0.03, 0.04, 0.05]), num_test=20, num_train=80
    )
    assert outcome is not None
    assert outcome.degrees_of_freedom == 4
    assert outcome.t == pytest.approx(2.8284271, abs=1e-6)
    # Student's distribution with 4 degrees of freedom in closed form.
    share = outcome.t / math.sqrt(4 + outcome.t**2)
    assert outcome.p_value == pytest.approx(1 - 1.5 * (share - share**3 / 3), abs=1e-12)


@pytest.mark.parametrize(("folds", "t_975"), [(2, 12.7062), (3, 4.3027), (5, 2.7764), (10, 2.2622)])
def test_p_is_five_percent_at_the_printed_quantiles_of_students_t(folds: int, t_975: float) -> None:
    spread = np.resize([1.0, -1.0], folds) - np.resize([1.0, -1.0], folds).mean()
    standard_error = math.sqrt(spread.var(ddof=1) * (1 / folds + 1 / (folds - 1)))
    outcome = corrected_fold_test(spread + t_975 * standard_error, num_test=1, num_train=folds - 1)
    assert outcome is not None
    assert outcome.p_value == pytest.approx(0.05, abs=1e-5)  # quantiles printed to 4 digits


def test_one_fold_or_equal_folds_leave_t_undefined() -> None:
    assert corrected_fold_test(np.array([0.1]), num_test=1, num_train=4) is None
    assert corrected_fold_test(np.array([0.1, 0.1 + 1e-17]), num_test=1, num_train=4) is None


def test_folds_without_training_cases_are_refused() -> None:
    with pytest.raises(ConfigError, match="0 training cases: expected more than 0"):
        corrected_fold_test(np.array([0.1, 0.2]), num_test=5, num_train=0)
