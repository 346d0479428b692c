"""Deflation against the network that was inflated: the filters, and the answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from tomolift.inflation import (
    ACS,
    Average,
    Center,
    InflationError,
    Negative,
    Override,
    Scaling,
    ShapeMismatchError,
    Slicewise,
    Strategy,
    Triangular,
    TwoPlusOne,
    TwoPlusOneConv3d,
    UnsupportedFunctionError,
    UnsupportedLayerError,
    ZeroSumNoise,
    deflate,
    inflate,
    register_layer,
)

MakeNoise = Callable[..., Tensor]
MakeSlices = Callable[..., Tensor]

SUM_TO_THE_FILTER = [
    Average(),
    Center(),
    Scaling(),
    Triangular(),
    Negative(),
    ZeroSumNoise(0.5),
    TwoPlusOne(),
    Slicewise(),
    ACS(),
]
# One of every kind that inflation knows, for inputs of 4 channels.
LAYERS: dict[str, nn.Module] = {
    "strided": nn.Conv2d(4, 6, 5, 2, 1, dilation=2, groups=2),
    "even": nn.Conv2d(4, 6, 4, 1, 2, bias=False),
    "same": nn.Conv2d(4, 6, 4, padding="same", dilation=2),
    "valid": nn.Conv2d(4, 6, 3, padding="valid"),
    "reflecting": nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"),
    "oblong": nn.Conv2d(4, 6, (3, 5), (1, 2), (0, 2)),
    "transposed": nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2),
    "tiling": nn.ConvTranspose2d(4, 6, 2, 2, bias=False),
    "spread": nn.ConvTranspose2d(4, 6, (4, 3), (3, 1), dilation=(2, 1)),
    "weight_norm": parametrizations.weight_norm(nn.Conv2d(4, 6, 3)),
    "weight_norm by rows": parametrizations.weight_norm(nn.Conv2d(4, 6, 3), dim=2),
    "weight_norm of a transposed one": parametrizations.weight_norm(
        nn.ConvTranspose2d(4, 6, 3, 2), dim=1
    ),
    "linear weight_norm": nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), parametrizations.weight_norm(nn.Linear(4, 2))
    ),
    "batch norm": nn.BatchNorm2d(4, momentum=0.3),
    "instance norm": nn.InstanceNorm2d(4, affine=True),
    "group norm": nn.GroupNorm(2, 4),
    "prelu": nn.PReLU(4, init=0.1),
    "dropout": nn.Dropout2d(0.3),
    "max": nn.MaxPool2d(3, 2, 1, ceil_mode=True),
    "average": nn.AvgPool2d(3, 2, 1),
    "average by a divisor": nn.AvgPool2d((2, 3), divisor_override=5),
    "power": nn.LPPool2d(2.0, 2),
    "cells": nn.AdaptiveAvgPool2d((3, None)),
    "largest of cells": nn.AdaptiveMaxPool2d(2),
    "zeros": nn.ZeroPad2d((1, 2, 0, 1)),
    "constant": nn.ConstantPad2d(1, 0.5),
    "reflection": nn.ReflectionPad2d(2),
    "replication": nn.ReplicationPad2d((0, 1, 2, 3)),
    "circular": nn.CircularPad2d(1),
    "bilinear": nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
    "nearest": nn.Upsample(scale_factor=(2, 3)),
    "shuffle": nn.PixelShuffle(2),
    "unshuffle": nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.PixelUnshuffle(2)),
    "softmax": nn.Softmax2d(),
}


def assert_same_network(back: nn.Module, net2d: nn.Module, tolerance: float) -> None:
    state, expected = back.state_dict(), net2d.state_dict()
    assert list(state) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(state[name], value, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("strategy", SUM_TO_THE_FILTER, ids=lambda each: type(each).__name__)
def test_the_sum_gives_back_the_2d_network(
    small_resnet: nn.Module, strategy: Strategy, make_slices: MakeSlices
) -> None:
    back = deflate(inflate(small_resnet, strategy))
    assert_same_network(back, small_resnet, 1e-6)
    slices = make_slices(2)
    with torch.no_grad():
        torch.testing.assert_close(back(slices), small_resnet(slices), rtol=1e-4, atol=1e-5)


def test_the_center_gives_back_the_zero_weight_network_to_the_bit(small_resnet: nn.Module) -> None:
    back = deflate(inflate(small_resnet, "zero"), "center")
    assert_same_network(back, small_resnet, 0.0)


@pytest.mark.parametrize("name", ["even", "transposed", "tiling", "spread", "same"])
def test_the_center_of_even_and_transposed_filters_is_exact_to_the_bit(
    name: str, make_noise: MakeNoise
) -> None:
    net3d = inflate(LAYERS[name], "zero", example=make_noise(1, 4, 13, 11).float())
    back = deflate(net3d, "center", example=make_noise(1, 4, 13, 13, 11).float())
    assert_same_network(back, LAYERS[name], 0.0)


@torch.no_grad()
@pytest.mark.parametrize("options", [{}, {"depth_stride": 1, "depth_padding": "zeros"}], ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_that_inflation_knows_answers_as_before(
    name: str, options: dict[str, Any], make_noise: MakeNoise
) -> None:
    layer = LAYERS[name].eval()
    slices = make_noise(2, 4, 13, 11).float()
    example = make_noise(2, 4, 13, 13, 11).float()
    back = deflate(inflate(layer, example=slices, **options), example=example)
    expected, result = layer(slices), back(slices)
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=2e-6)
    assert_same_network(back, layer, 2e-6)


@torch.no_grad()
def test_after_training_the_sum_answers_as_the_middle_of_a_constant_volume(
    make_noise: MakeNoise,
) -> None:
    net3d = nn.Sequential(
        nn.Conv3d(4, 5, (3, 3, 3), padding=1),
        nn.ELU(),
        nn.MaxPool3d((3, 2, 2), (1, 2, 2), (1, 0, 0)),
        nn.Conv3d(5, 3, (2, 3, 3), padding=(0, 1, 1)),
        nn.Upsample(scale_factor=(1.0, 2.0, 2.0), mode="trilinear"),
    ).double()
    slices = make_noise(2, 4, 12, 12)
    volume = net3d(slices.unsqueeze(2).expand(-1, -1, 9, -1, -1))
    torch.testing.assert_close(deflate(net3d)(slices), volume[:, :, 4])


@torch.no_grad()
def test_a_trained_two_plus_one_becomes_the_product_of_its_filters(make_noise: MakeNoise) -> None:
    net2d = nn.Conv2d(4, 6, 3, padding=1, groups=2, dtype=torch.float64)
    net3d = inflate(net2d, TwoPlusOne())
    assert isinstance(net3d, TwoPlusOneConv3d)
    across = make_noise(6, 6, 3, 1, 1)
    across[:3, 3:] = across[3:, :3] = 0.0
    net3d.depth_weight.copy_(across)
    slices = make_noise(2, 4, 8, 8)
    volume = net3d(slices.unsqueeze(2).expand(-1, -1, 5, -1, -1))
    torch.testing.assert_close(deflate(net3d)(slices), volume[:, :, 2])


def test_a_two_plus_one_that_mixes_its_groups_is_refused() -> None:
    net3d = nn.Sequential(inflate(nn.Conv2d(4, 6, 3, groups=2), TwoPlusOne()))
    with torch.no_grad():
        net3d[0].depth_weight.add_(0.1)
    with pytest.raises(UnsupportedLayerError, match=r"^'0': .* mixes its 2 groups .* groups=1$"):
        deflate(net3d)


@torch.no_grad()
def test_a_transposed_convolution_whose_slices_disagree_is_refused() -> None:
    net3d = inflate(nn.Sequential(nn.ConvTranspose2d(4, 4, 4, 2, 1)))
    net3d[0].weight[:, :, 0] += 0.5
    with pytest.raises(UnsupportedLayerError, match=r"^'0': .*2 kinds .* differ by up to 0\.5: "):
        deflate(net3d)


def test_a_transposed_convolution_that_leaves_slices_out_is_refused() -> None:
    with pytest.raises(UnsupportedLayerError, match="no depth tap for 1 of 2 output slices"):
        deflate(nn.ConvTranspose3d(4, 4, (1, 2, 2), 2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_rounding_of_taps_is_no_disagreement(dtype: torch.dtype) -> None:
    net2d = nn.ConvTranspose2d(4, 6, 8, 3, 1, dtype=dtype)
    for strategy in (Average(), Triangular(), Negative()):
        back = deflate(inflate(net2d, strategy))
        largest = net2d.weight.detach().abs().max().item()
        tolerance = 4 * torch.finfo(dtype).eps * largest
        torch.testing.assert_close(back.weight, net2d.weight, rtol=0, atol=tolerance)


def test_modes_flags_dtypes_and_the_source_stay() -> None:
    net2d = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout2d()).double()
    net2d[0].weight.requires_grad_(False)
    net2d[1].eval()
    net3d = inflate(net2d)
    before = {name: value.clone() for name, value in net3d.state_dict().items()}
    back = deflate(net3d)
    assert [module.training for module in back.modules()] == [True, True, False, True]
    assert [p.requires_grad for p in back.parameters()] == [False, True, True, True]
    assert {p.dtype for p in back.parameters()} == {torch.float64}
    assert isinstance(net3d[0], nn.Conv3d)
    assert not {id(p) for p in back.parameters()} & {id(p) for p in net3d.parameters()}
    for name, value in net3d.state_dict().items():
        assert torch.equal(value, before[name])


def test_shared_modules_and_shared_filters_stay_shared() -> None:
    conv, tied = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
    tied.weight = conv.weight
    back = deflate(inflate(nn.Sequential(conv, nn.ReLU(), conv, tied)))
    assert back[0] is back[2]
    assert back[3].weight is back[0].weight


def test_a_shared_filter_of_which_two_are_made_is_refused() -> None:
    conv, tied = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
    tied.weight = conv.weight
    net3d = inflate(nn.Sequential(conv, tied), TwoPlusOne())
    with torch.no_grad():
        net3d[1].depth_weight.mul_(2.0)
    with pytest.raises(UnsupportedLayerError, match=r"^'1': its filter is shared .* own filter$"):
        deflate(net3d)


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class MyConv(nn.Conv3d):
    pass


class Mine(nn.Module):
    """Registered for inflation, which says nothing about the way back."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))


@register_layer(Mine)
def keep_mine(module: nn.Module, layer: object) -> nn.Module:
    return module


REFUSED = {
    "holds 'scale' itself": Scale(),
    "MyConv is a subclass of Conv3d": MyConv(4, 4, 3),
    "Mine holds 'scale' itself": Mine(),
    "Conv2d has no known 2D twin": nn.Conv2d(4, 4, 3),
    "LPPool3d has no known 2D twin": nn.LPPool3d(2, 2),
    "FractionalMaxPool3d has no known": nn.FractionalMaxPool3d(2, 2),
    "counts positions in a volume": nn.MaxPool3d(2, return_indices=True),
    "is no multiple of its 2 slices": nn.AvgPool3d(2, divisor_override=5),
    r"Upsample\(mode='bilinear'\)": nn.Upsample(scale_factor=2, mode="bilinear"),
    r"Softmax\(dim=2\)": nn.Softmax(dim=2),
    "a length for each depth tap": parametrizations.weight_norm(nn.Conv3d(4, 4, 3), dim=2),
    "weight computed by SpectralNorm": parametrizations.spectral_norm(nn.Conv3d(4, 4, 3)),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_has_no_known_2d_form_is_refused_by_name(reason: str) -> None:
    net3d = nn.Sequential(nn.ReLU(), nn.ModuleDict({"inner": REFUSED[reason]}))
    with pytest.raises(UnsupportedLayerError, match=rf"^'1\.inner': .*{reason}.*: "):
        deflate(net3d)


def test_hooks_of_a_layer_that_is_replaced_are_refused() -> None:
    net3d = nn.Sequential(nn.Conv3d(4, 4, 3))
    net3d[0].register_forward_hook(lambda module, inputs, output: output.mean(2))
    with pytest.raises(UnsupportedLayerError, match="'0': Conv3d has hooks"):
        deflate(net3d)


def test_all_refused_layers_are_named_at_once() -> None:
    with pytest.raises(UnsupportedLayerError, match=r"2 layers have no 2D form: '0': .*; '2': "):
        deflate(nn.Sequential(MyConv(3, 3, 3), nn.ReLU(), nn.Conv1d(3, 3, 3)))


class Resized(nn.Module):
    def __init__(self, resize: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv3d(4, 4, 3, padding=1)
        self.resize = resize

    def forward(self, x: Tensor) -> Tensor:
        return self.resize(self.conv(x))


def test_a_call_for_volumes_only_is_refused_with_file_and_line() -> None:
    net3d = Resized(lambda x: F.interpolate(x, scale_factor=2.0, mode="trilinear"))
    with pytest.raises(UnsupportedFunctionError, match=r"Resized\.forward, .*py:\d+.*any rank"):
        deflate(net3d)


@pytest.mark.parametrize(
    "call", [lambda x: x.flip(2), lambda x: F.max_pool3d(x, 2), lambda x: x[:, :, 0]]
)
def test_a_call_that_means_something_else_for_slices_is_refused(
    call: Callable[[Tensor], Tensor],
) -> None:
    with pytest.raises((UnsupportedFunctionError, ShapeMismatchError)):
        deflate(Resized(call))


def test_a_network_of_fixed_depth_is_refused() -> None:
    net3d = nn.Sequential(nn.Conv3d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(2 * 4**3, 3))
    with pytest.raises(ShapeMismatchError, match=r"^'2' \(Linear\) does not accept .* in 2D"):
        deflate(net3d, example=torch.zeros(1, 1, 4, 4, 4))


def test_overrides_of_single_layers_are_undone_too(small_resnet: nn.Module) -> None:
    overrides = {"conv1": Override(depth_kernel=3), "layer2": "zero", "layer3": Slicewise()}
    assert_same_network(deflate(inflate(small_resnet, overrides=overrides)), small_resnet, 1e-6)


@pytest.mark.parametrize("how", ["mean", "", None])
def test_another_how_is_refused(how: Any) -> None:
    with pytest.raises(InflationError, match=r"how=.*: use 'sum' or 'center'$"):
        deflate(nn.Conv3d(1, 1, 3), how)


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(InflationError, match=r"^net3d=3: pass the 3D network"):
        deflate(3)  # type: ignore[arg-type]
