"""Transposed convolutions by the polyphase rule (design fact F5)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tomolift.inflation import (
    DepthPaddedConvTranspose3d,
    Random,
    StrategyError,
    UnsupportedLayerError,
    inflate,
)

Check = Callable[..., None]
MakeNoise = Callable[..., Tensor]
relaxed = settings(
    max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


@st.composite
def transposed_convolutions(draw: st.DrawFn) -> nn.ConvTranspose2d:
    stride = draw(st.integers(1, 3))
    kernel = draw(st.integers(stride, 5))
    dilation = draw(st.sampled_from([1, 2, 3]))
    # a common divisor leaves slices without taps; tested by itself
    assume(torch.tensor(stride).gcd(torch.tensor(dilation)) == 1)
    assume(stride == 1 or kernel >= stride)
    padding = draw(st.integers(0, dilation * (kernel - 1)))
    added = draw(st.integers(0, max(stride, dilation) - 1))
    assume(9 * stride > 2 * padding)
    return nn.ConvTranspose2d(
        4,
        8,
        kernel,
        stride,
        padding,
        added,
        groups=draw(st.sampled_from([1, 2, 4])),
        bias=draw(st.booleans()),
        dilation=dilation,
        dtype=torch.float64,
    )


@relaxed
@given(
    layer=transposed_convolutions(),
    strategy=st.sampled_from(["average", "center", "triangular", "negative"]),
)
def test_any_transposed_convolution_is_exact_at_every_slice_of_a_constant_volume(
    layer: nn.ConvTranspose2d, strategy: str, assert_constant_volume: Check
) -> None:
    assert_constant_volume(layer, strategy=strategy)


@torch.no_grad()
@relaxed
@given(layer=transposed_convolutions(), depth_padding=st.sampled_from(["zeros", "replicate"]))
def test_the_depth_becomes_what_a_height_of_as_many_cells_becomes(
    layer: nn.ConvTranspose2d, depth_padding: str, make_noise: MakeNoise
) -> None:
    result = inflate(layer, depth_padding=depth_padding)(make_noise(1, 4, 13, 13, 11))  # type: ignore[arg-type]
    assert result.shape[2:] == (result.shape[3], *layer(make_noise(1, 4, 13, 11)).shape[2:])


@relaxed
@given(
    layer=transposed_convolutions(),
    depth_stride=st.integers(1, 3),
    depth_kernel=st.sampled_from(["same", 3, 4, 5]),
)
def test_depth_rules_of_their_own_keep_a_constant_volume_exact(
    layer: nn.ConvTranspose2d,
    depth_stride: int,
    depth_kernel: int | str,
    assert_constant_volume: Check,
) -> None:
    taps = layer.kernel_size[0] if depth_kernel == "same" else depth_kernel
    assume(layer.dilation[0] % max(depth_stride, 2) or depth_stride == 1 or layer.stride[0] == 1)
    assume(isinstance(taps, int) and taps >= depth_stride)
    assert_constant_volume(layer, depth_stride=depth_stride, depth_kernel=depth_kernel)


@torch.no_grad()
@pytest.mark.parametrize("depth_stride", [1, 2, 3])
@pytest.mark.parametrize("depth_kernel", [3, 4, 5])
@pytest.mark.parametrize("depth_padding", ["zeros", "replicate"])
def test_a_depth_kernel_of_its_own_gives_depth_stride_times_the_slices(
    depth_stride: int, depth_kernel: int, depth_padding: str, make_noise: MakeNoise
) -> None:
    layer = nn.ConvTranspose2d(4, 8, 6, 3, 2, dtype=torch.float64)
    net3d = inflate(
        layer,
        depth_stride=depth_stride,
        depth_kernel=depth_kernel,
        depth_padding=depth_padding,  # type: ignore[arg-type]
    )
    assert net3d(make_noise(1, 4, 7, 9, 9)).shape[2] == 7 * depth_stride


@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (4, 2), (3, 2), (4, 4), (5, 3)])
def test_depth_stride_one_turns_a_strided_one_into_one_of_a_single_slice(
    kernel: int, stride: int, assert_slicewise: Check
) -> None:
    layer = nn.ConvTranspose2d(4, 8, kernel, stride, dtype=torch.float64)
    for strategy in ("average", "center"):
        assert_slicewise(layer, strategy=strategy, depth_stride=1)


def test_an_odd_centre_of_stride_one_is_slicewise_exact(assert_slicewise: Check) -> None:
    layer = nn.ConvTranspose2d(4, 8, 5, 1, 2, groups=2, dtype=torch.float64)
    for depth_padding in ("zeros", "replicate"):
        assert_slicewise(layer, strategy="center", depth_padding=depth_padding)


@torch.no_grad()
def test_kernel_equal_to_stride_repeats_every_slice(make_noise: MakeNoise) -> None:
    layer = nn.ConvTranspose2d(4, 8, 2, 2, dtype=torch.float64)
    volume = make_noise(1, 4, 5, 6, 6)
    expected = torch.stack([layer(each) for each in volume.unbind(2)], dim=2)
    for strategy in ("average", "center", "negative"):
        result = inflate(layer, strategy)(volume)
        torch.testing.assert_close(result, expected.repeat_interleave(2, dim=2))


@torch.no_grad()
@pytest.mark.parametrize(("padding", "added"), [(1, 0), (1, 1), (0, 0)])
def test_an_output_size_asks_for_the_depth_too(
    padding: int, added: int, make_noise: MakeNoise
) -> None:
    layer = nn.ConvTranspose2d(4, 8, 3, 2, padding, added, dtype=torch.float64)
    net3d = inflate(layer)
    assert type(net3d) is DepthPaddedConvTranspose3d
    one = make_noise(1, 4, 6, 6)
    smallest = 11 + 2 * (1 - padding)
    for side in (smallest, smallest + 1):
        result = net3d(one.unsqueeze(2).expand(-1, -1, 6, -1, -1), output_size=[side] * 3)
        expected = layer(one, output_size=[side] * 2)
        torch.testing.assert_close(result, expected.unsqueeze(2).expand(-1, -1, side, -1, -1))


@torch.no_grad()
def test_the_end_slices_only_draw_on_slices_next_to_them(make_noise: MakeNoise) -> None:
    layer = nn.ConvTranspose2d(4, 8, 4, 2, 1, dtype=torch.float64)
    net3d, volume = inflate(layer), make_noise(1, 4, 6, 5, 5)
    changed = volume.clone()
    changed[:, :, 2:] += 1
    assert torch.equal(net3d(volume)[:, :, :3], net3d(changed)[:, :, :3])


@torch.no_grad()
def test_with_zeros_the_result_is_torchs_own_layer_and_halves_the_ends() -> None:
    layer = nn.ConvTranspose2d(4, 8, 4, 2, 1, bias=False)
    net3d = inflate(layer, depth_padding="zeros")
    assert type(net3d) is nn.ConvTranspose3d
    result = net3d(torch.ones(1, 4, 6, 5, 5))
    torch.testing.assert_close(result[:, :, [0, -1]], result[:, :, [3, 3]] / 2)


@pytest.mark.parametrize(
    ("options", "empty"),
    [((1, 2), "1 of 2"), ((2, 3), "1 of 3"), ((2, 2, 0, 0, 1, True, 2), "1 of 2")],
)
def test_slices_without_a_tap_are_refused_with_the_cure_that_works(
    options: tuple[int, ...], empty: str, assert_slicewise: Check
) -> None:
    layer = nn.ConvTranspose2d(4, 8, *options).double()  # type: ignore[arg-type]
    with pytest.raises(
        UnsupportedLayerError, match=rf"'0': .* no depth tap for {empty} slices: use depth_stride=1"
    ):
        inflate(nn.Sequential(layer))
    assert_slicewise(layer, depth_stride=1)


def test_a_filter_shared_with_a_plain_convolution_is_refused() -> None:
    net = nn.Sequential(nn.Conv2d(4, 4, 4, 2, 1), nn.ConvTranspose2d(4, 4, 4, 2, 1))
    net[1].weight = net[0].weight
    with pytest.raises(
        UnsupportedLayerError, match=r"'1': .* shared by a layer with 4 taps and needs 4 transposed"
    ):
        inflate(net)


def test_two_transposed_convolutions_may_share_their_filter() -> None:
    net = nn.Sequential(nn.ConvTranspose2d(4, 4, 4, 2, 1), nn.ConvTranspose2d(4, 4, 4, 2, 1))
    net[1].weight = net[0].weight
    net3d = inflate(net)
    assert net3d[0].weight is net3d[1].weight  # type: ignore[index]


def test_a_strategy_without_these_taps_names_the_layer() -> None:
    net = nn.Sequential(nn.ConvTranspose2d(4, 4, 4, 2, 1))
    with pytest.raises(StrategyError, match=r"^'0': Scaling has no alphas for 2 taps"):
        inflate(net, "scaling")


def test_a_random_transposed_filter_is_drawn_over_three_axes() -> None:
    net3d = inflate(nn.ConvTranspose2d(64, 32, 4, 2, 1), Random())
    assert net3d.weight.std().item() == pytest.approx((2 / (64 * 64)) ** 0.5, rel=0.01)  # type: ignore[operator,union-attr]
    assert net3d.bias.count_nonzero() == 0  # type: ignore[operator,union-attr]
