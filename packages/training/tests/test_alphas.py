"""Alphas from free numbers, and back to a row's name."""

from __future__ import annotations

import itertools
import math

import pytest

from tomolift.inflation import PAPER_ALPHAS
from tomolift.training import TrainingConfig
from tomolift.training._alphas import HIGHEST, KNOWN, LOWEST, SHARES, alphas_from_shares
from tomolift.training._arm_text import arm_named

CORNERS = [
    dict(zip(SHARES, values, strict=True))
    for values in itertools.product((LOWEST, 0.37, HIGHEST), repeat=len(SHARES))
]


def test_the_papers_shares_give_the_papers_alphas() -> None:
    alphas = alphas_from_shares(KNOWN["paper"])
    assert alphas.three == PAPER_ALPHAS[3]
    assert alphas.seven == PAPER_ALPHAS[7]


def test_equal_shares_give_averaging_up_to_the_rounding_of_a_name() -> None:
    alphas = alphas_from_shares(KNOWN["average"])
    assert alphas.three == pytest.approx([1 / 3] * 3, abs=1.1e-4)
    assert alphas.seven == pytest.approx([1 / 7] * 7, abs=3.1e-4)


@pytest.mark.parametrize("shares", CORNERS, ids=str)
def test_any_shares_give_symmetric_positive_alphas_of_sum_one(shares: dict[str, float]) -> None:
    alphas = alphas_from_shares(shares)
    for taps, each in ((3, alphas.three), (7, alphas.seven)):
        assert len(each) == taps
        assert each == each[::-1]
        assert min(each) > 0
        assert math.fsum(each) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("shares", CORNERS[::7], ids=str)
def test_a_rows_name_is_the_alphas(shares: dict[str, float]) -> None:
    alphas = alphas_from_shares(shares)
    config = arm_named(alphas.arm).training(TrainingConfig())
    assert (config.alphas_3, config.alphas_7) == (alphas.three, alphas.seven)
