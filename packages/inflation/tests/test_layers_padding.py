"""Padding layers: the plane as in 2D, the depth so that a convolution behind keeps the slices."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tomolift.inflation import Slicewise, inflate

Check = Callable[..., None]
MakeNoise = Callable[..., Tensor]
PADS = [
    nn.ZeroPad2d(1),
    nn.ConstantPad2d((0, 1, 2, 1), 3.0),
    nn.ReflectionPad2d(2),
    nn.ReplicationPad2d((2, 0, 1, 3)),
    nn.CircularPad2d(1),
]


@pytest.mark.parametrize("pad", PADS, ids=repr)
def test_a_padding_is_exact_at_every_slice_of_a_constant_volume(
    pad: nn.Module, assert_constant_volume: Check
) -> None:
    for depth in (1, 9):
        assert_constant_volume(pad, depth=depth)
        assert_constant_volume(nn.Sequential(pad, nn.Conv2d(4, 8, 3).double()), depth=depth)


@torch.no_grad()
@pytest.mark.parametrize("side", [1, 2, 3])
def test_a_padding_before_a_convolution_keeps_the_slices_as_it_keeps_the_rows(
    side: int, make_noise: MakeNoise
) -> None:
    net = nn.Sequential(nn.ReflectionPad2d(side), nn.Conv2d(4, 4, 2 * side + 1)).double()
    for options in ({}, {"depth_kernel": 3}, {"depth_stride": 1}):
        assert inflate(net, **options)(make_noise(1, 4, 6, 9, 9)).shape[2:] == (6, 9, 9)  # type: ignore[arg-type]


@torch.no_grad()
def test_an_odd_row_more_is_a_slice_more_and_a_stride_halves_both(make_noise: MakeNoise) -> None:
    net = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(4, 4, 3, 2)).double()
    assert inflate(net)(make_noise(1, 4, 8, 8, 8)).shape[2:] == (4, 4, 4)
    assert inflate(net, depth_stride=1)(make_noise(1, 4, 8, 8, 8)).shape[2:] == (8, 4, 4)


@pytest.mark.parametrize("pad", PADS[::2], ids=repr)
def test_a_padding_before_an_odd_centre_is_slicewise(
    pad: nn.Module, assert_slicewise: Check
) -> None:
    side = pad.padding[2]  # type: ignore[index]
    net = nn.Sequential(pad, nn.Conv2d(4, 8, 2 * int(side) + 1)).double()
    assert_slicewise(net, strategy="center")
    assert_slicewise(net, strategy="center", depth_padding="zeros")


@torch.no_grad()
@pytest.mark.parametrize(
    "behind", [nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, 2), nn.Conv2d(4, 4, 4, 4)], ids=repr
)
def test_a_convolution_that_takes_no_slice_off_gets_none_added(
    behind: nn.Module, make_noise: MakeNoise
) -> None:
    net = nn.Sequential(nn.ZeroPad2d(1), behind).double()
    assert inflate(net, depth_stride=1)(make_noise(1, 4, 6, 10, 10)).shape[2] == 6


def test_a_slicewise_padding_pads_the_plane_only(assert_slicewise: Check) -> None:
    for pad in PADS:
        assert_slicewise(pad, strategy=Slicewise())
        assert_slicewise(pad, depth_stride=1)


def test_zeros_in_depth_are_zeros_whatever_the_plane_is_padded_with() -> None:
    pad = inflate(nn.ReplicationPad2d(1), depth_padding="zeros")
    result = pad(torch.ones(1, 1, 3, 4, 4))
    assert result.shape == (1, 1, 5, 6, 6)
    assert result[:, :, [0, -1]].count_nonzero() == 0
    assert result[:, :, 1:-1].eq(1).all()
