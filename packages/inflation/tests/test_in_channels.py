from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tomolift.inflation import ShapeMismatchError, StrategyError, adapt_in_channels

WEIGHT = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
GREY = torch.randn(2, 1, 9, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_sum_answers_equal_channels_as_the_rgb_filter_does(n: int) -> None:
    expected = F.conv2d(GREY.expand(-1, 3, -1, -1), WEIGHT)
    adapted = adapt_in_channels(WEIGHT, n, how="sum")
    torch.testing.assert_close(F.conv2d(GREY.expand(-1, n, -1, -1), adapted), expected)


def test_mean_puts_the_mean_filter_into_each_channel() -> None:
    adapted = adapt_in_channels(WEIGHT, 2, how="mean")
    torch.testing.assert_close(adapted, torch.stack([WEIGHT.mean(1)] * 2, dim=1))


def test_tile_repeats_the_channels_and_keeps_their_weight() -> None:
    adapted = adapt_in_channels(WEIGHT, 6, how="tile")
    torch.testing.assert_close(adapted, torch.cat([WEIGHT, WEIGHT], dim=1) / 2)


def test_first_takes_the_leading_channels() -> None:
    assert torch.equal(adapt_in_channels(WEIGHT, 2, how="first"), WEIGHT[:, :2])


def test_3d_filters_are_adapted_too() -> None:
    assert adapt_in_channels(WEIGHT.unsqueeze(2), 1).shape == (4, 1, 1, 5, 5)


def test_first_with_too_many_channels_names_the_cure() -> None:
    with pytest.raises(ShapeMismatchError, match="use how='tile'"):
        adapt_in_channels(WEIGHT, 4, how="first")


def test_an_unknown_how_lists_the_known_ones() -> None:
    with pytest.raises(StrategyError, match="use 'sum', 'mean', 'tile' or 'first'"):
        adapt_in_channels(WEIGHT, 1, how="max")  # type: ignore[arg-type]
