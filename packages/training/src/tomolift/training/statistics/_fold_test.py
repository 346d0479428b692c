"""Nadeau and Bengio's corrected t-test: do differences between arms hold across folds?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import mpmath
import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError

# Scores lie in 0 to 1: differences that differ by less are the same but for rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class FoldTest:
    """Outcome of the test.

    Attributes:
        t: the corrected statistic.
        degrees_of_freedom: folds - 1.
        p_value: two-sided, by Student's distribution.
    """

    t: float
    degrees_of_freedom: int
    p_value: float


def corrected_fold_test(
    differences: NDArray[np.float64], *, num_test: float, num_train: float
) -> FoldTest | None:
    """Test whether the mean difference across folds is 0.

    Folds share training cases, so that their differences are correlated and the ordinary t-test
    finds too much; the variance of the mean is s^2 (1/J + n_test/n_train) instead of s^2/J
    (Nadeau and Bengio 2003, Inference for the generalization error, section 5).

    Args:
        differences: (J,), one arm's score minus the other's on the same fold.
        num_test: cases a fold evaluates, mean over folds.
        num_train: cases a fold trains on, mean over folds.

    Returns:
        None where t is undefined: fewer than two folds, or all with the same difference.

    Raises:
        ConfigError: a number of cases that is not positive.
    """
    if num_test <= 0 or num_train <= 0:
        raise ConfigError(f"{num_test} test and {num_train} training cases: expected more than 0")
    if differences.size < 2 or np.ptp(differences) < _ROUNDING:
        return None
    variance = differences.var(ddof=1) * (1 / differences.size + num_test / num_train)
    t = float(differences.mean() / math.sqrt(variance))
    return FoldTest(t, differences.size - 1, _two_sided(t, differences.size - 1))


def _two_sided(t: float, degrees_of_freedom: int) -> float:
    """P(|T| >= |t|) under Student's distribution, by the regularised incomplete beta function.

    mpmath has it, and comes with torch (through sympy) already.
    """
    share = degrees_of_freedom / (degrees_of_freedom + t * t)
    return float(mpmath.betainc(degrees_of_freedom / 2, 0.5, 0, share, regularized=True))
