"""Sign-flip test: could differences between paired cases be a matter of sign alone?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError

# 2^15 assignments of 16 signs are done in milliseconds; beyond, they are drawn.
_MOST_ENUMERATED = 16
# Sums of the same numbers in another order differ by their rounding: those are ties.
_TIE = 1e-12
_SIGNS_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class SignFlip:
    """Outcome of the test.

    Attributes:
        p_value: two-sided, in (0, 1].
        exact: whether every assignment of signs was counted.
        smallest: the smallest p-value that this many cases (or draws) can give.
    """

    p_value: float
    exact: bool
    smallest: float


def sign_flip_test(
    differences: NDArray[np.float64], *, draws: int = 20_000, seed: int = 0
) -> SignFlip:
    """Test whether paired differences are symmetric about 0, by the size of their mean.

    Up to 16 cases every assignment of signs is counted; of more, `draws` are drawn and the
    observed one is counted with them (p is never 0).

    Args:
        differences: (cases,), one arm's score minus the other's on the same case.
        draws: how many assignments are drawn where there are too many to count.
        seed: of the draws.

    Raises:
        ConfigError: no differences, or one that is no number.

    Example:
        >>> sign_flip_test(np.array([1.0, 2.0, 3.0])).p_value  # 2 of 8 assignments
        0.25
    """
    if not differences.size or not np.isfinite(differences).all():
        raise ConfigError("differences: expected finite numbers, one a case; leave others out")
    observed = abs(differences.sum()) - _TIE * np.abs(differences).sum()
    if differences.size <= _MOST_ENUMERATED:
        sums = _every_sign(differences.size) @ differences
        return SignFlip(float(np.mean(np.abs(sums) >= observed)), True, 1 / len(sums))
    generator = np.random.default_rng(seed)
    reached, at_once = 0, max(1, _SIGNS_AT_ONCE // differences.size)
    for done in range(0, draws, at_once):
        size = (min(at_once, draws - done), differences.size)
        signs = generator.integers(2, size=size, dtype=np.int8) * 2.0 - 1
        reached += int(np.count_nonzero(np.abs(signs @ differences) >= observed))
    return SignFlip((1 + reached) / (1 + draws), False, 1 / (1 + draws))


@lru_cache(maxsize=_MOST_ENUMERATED)
def _every_sign(count: int) -> NDArray[np.float64]:
    """(2^(count-1), count) of 1 and -1; the first is 1, for flipping all leaves |sum| as it is."""
    flipped = np.arange(2 ** (count - 1))[:, None] >> np.arange(count)[None] & 1
    return np.where(flipped, -1.0, 1.0)
