"""Hierarchical bootstrap over cases, then seeds: how far a figure could have come out otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ._confusion import mean_of_present

# Draws held in memory at once: 1,000 x 3 seeds x 20 arms x 4 classes x 3 counts are 6 MB.
_DRAWS_AT_ONCE = 1000


def hierarchical_bootstrap(
    totals: NDArray[Any],
    folds: NDArray[np.int64],
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    *,
    draws: int = 10_000,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Replicates of a statistic under resampled cases, then resampled seeds.

    Cases are drawn with replacement. Then, within each fold, so are the seeds, once for all of its
    cases: a fold and a seed are one trained network, which has judged every case of that fold, so
    that drawing seeds anew for each case would average away what a training changes. (Crossed
    factors: Owen 2007, The pigeonhole bootstrap.) Everything behind the case axis, arms for
    instance, goes through the same draws, so that differences of replicates are paired.

    Args:
        totals: (seeds, cases, ..., quantities), what adds up over cases, such as voxel counts.
        folds: (cases,), the fold in which a case is evaluated.
        statistic: maps sums over cases, (..., quantities) as in `totals`, to the figure.
        draws: number of replicates.
        seed: of the draws.

    Returns:
        (draws, ...): the statistic per draw, mean over the drawn seeds, NaN left out.

    Raises:
        ConfigError: no cases or seeds, or one fold a case is wanted and not given.
    """
    if totals.ndim < 3 or 0 in totals.shape or folds.shape != totals.shape[1:2]:
        raise ConfigError(
            f"totals of shape {totals.shape} with folds of shape {folds.shape}: expected "
            "(seeds, cases, ..., quantities), none of them 0, and (cases,)"
        )
    generator = np.random.default_rng(seed)
    sizes = [min(_DRAWS_AT_ONCE, draws - done) for done in range(0, draws, _DRAWS_AT_ONCE)]
    return np.concatenate(
        [
            mean_of_present(statistic(_resampled(totals, folds, size, generator)), axis=1)
            for size in sizes
        ]
    )


def _resampled(
    totals: NDArray[Any], folds: NDArray[np.int64], size: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Sums over drawn cases, (size, drawn seeds, ..., quantities)."""
    num_seeds, num_cases = totals.shape[:2]
    times_drawn = generator.multinomial(num_cases, np.full(num_cases, 1 / num_cases), size=size)
    sums = np.zeros((size, num_seeds, *totals.shape[2:]))
    for fold in np.unique(folds):
        cases = folds == fold
        # float64 is exact for voxel counts: 281 volumes of the paper have 5e9 voxels, < 2^53.
        by_seed = np.tensordot(times_drawn[:, cases].astype(float), totals[:, cases], axes=(1, 1))
        drawn = generator.integers(num_seeds, size=(size, num_seeds))
        sums += by_seed[np.arange(size)[:, None], drawn]
    return sums


def percentile_interval(
    replicates: NDArray[np.float64], *, confidence: float = 0.95
) -> tuple[float, float] | None:
    """The central interval that holds `confidence` of the replicates (draws,), NaN left out.

    None where no replicate is left.

    Example:
        >>> percentile_interval(np.arange(101.0), confidence=0.5)
        (25.0, 75.0)
    """
    present = replicates[~np.isnan(replicates)]
    if not present.size:
        return None
    low, high = np.quantile(present, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
