"""Strategies that the paper does not have: what their filters are, and what a network becomes."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tomolift.inflation import (
    ACS,
    AcsConv3d,
    Average,
    Center,
    Negative,
    Random,
    Scaling,
    Slicewise,
    Strategy,
    StrategyError,
    Triangular,
    TwoPlusOne,
    TwoPlusOneConv3d,
    ZeroSumNoise,
    check_inflation,
    inflate,
    strategy_from_json,
    strategy_to_json,
)

Check = Callable[..., None]
MakeNoise = Callable[..., Tensor]
EVERY = [
    Average(),
    Center(),
    Scaling(),
    Triangular(),
    Negative(),
    Random(),
    ZeroSumNoise(0.1, seed=3),
    ZeroSumNoise(0.5, base=Center()),
    Slicewise(),
    TwoPlusOne(),
    ACS(),
]


@pytest.mark.parametrize("depth_kernel", range(1, 8))
@pytest.mark.parametrize("base", [Average(), Center(), Negative()], ids=repr)
def test_zero_sum_noise_leaves_the_sum_of_the_taps(
    base: Average, depth_kernel: int, make_noise: MakeNoise
) -> None:
    weight = make_noise(8, 4, 3, 3)
    filters = ZeroSumNoise(0.5, base=base).inflate_weight(weight, depth_kernel)
    torch.testing.assert_close(filters.sum(2), weight)


def test_zero_sum_noise_has_the_deviation_that_is_asked_for(make_noise: MakeNoise) -> None:
    weight = 3 * make_noise(64, 32, 3, 3)
    noise = ZeroSumNoise(0.1).inflate_weight(weight, 5) - Average().inflate_weight(weight, 5)
    # taking the mean over 5 taps off leaves 4/5 of the variance
    assert noise.std().item() == pytest.approx(0.3 * (4 / 5) ** 0.5, rel=0.01)


def test_zero_sum_noise_depends_on_seed_and_filter_and_nothing_else(make_noise: MakeNoise) -> None:
    weight = make_noise(8, 4, 3, 3)
    state = torch.random.get_rng_state()
    first = ZeroSumNoise(0.1, seed=1).inflate_weight(weight, 3)
    assert torch.equal(first, ZeroSumNoise(0.1, seed=1).inflate_weight(weight, 3))
    assert not torch.equal(first, ZeroSumNoise(0.1, seed=2).inflate_weight(weight, 3))
    assert torch.equal(torch.random.get_rng_state(), state)
    noise = first - Average().inflate_weight(weight, 3)
    others = 2 * weight.flip(0)
    other = ZeroSumNoise(0.1, seed=1).inflate_weight(others, 3)
    assert not torch.allclose(other - Average().inflate_weight(others, 3), 2 * noise)


def test_zero_sum_noise_keeps_a_constant_volume_exact(assert_constant_volume: Check) -> None:
    for layer in (
        nn.Conv2d(4, 8, 3, padding=1),
        nn.ConvTranspose2d(4, 8, 4, 2, 1),
        nn.Conv2d(4, 8, 5, padding=4, dilation=2, groups=2),
    ):
        assert_constant_volume(layer.double(), strategy=ZeroSumNoise(0.5))


@pytest.mark.parametrize("scale", [-0.1, float("nan")])
def test_a_noise_of_no_size_is_refused(scale: float) -> None:
    with pytest.raises(StrategyError, match=r"scale=.* is not 0 or more: use 0\.1"):
        ZeroSumNoise(scale)


def test_noise_on_a_strategy_without_taps_is_refused() -> None:
    with pytest.raises(StrategyError, match=r"base=Random.* has no taps that sum to one"):
        ZeroSumNoise(0.1, base=Random())  # type: ignore[arg-type]


def test_slicewise_equals_the_2d_network_on_any_volume_whatever_the_stride() -> None:
    net2d = nn.Sequential(
        nn.Conv2d(3, 8, 7, 2, 3),
        nn.BatchNorm2d(8),
        nn.MaxPool2d(3, 2, 1),
        nn.Conv2d(8, 8, 1, padding=1),
        nn.Conv2d(8, 8, 4, 4),
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.ConvTranspose2d(8, 4, 3, 2, 1, 1),
        nn.AvgPool2d(2),
        nn.AdaptiveMaxPool2d((2, 3)),
    ).eval()
    report = check_inflation(net2d, inflate(net2d, Slicewise()), depth=5, contract="slicewise")
    report.require()
    assert len(report.layers[-1].per_slice) == 5


@torch.no_grad()
def test_a_part_may_be_slicewise_and_the_rest_not(make_noise: MakeNoise) -> None:
    net2d = nn.Sequential(nn.Conv2d(4, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 2, 1)).double()
    net3d = inflate(net2d, "center", overrides={"0": Slicewise()})
    assert net3d(make_noise(1, 4, 8, 16, 16)).shape[2:] == (4, 4, 4)
    check_inflation(net2d, net3d, contract="slicewise").require()


def test_slicewise_has_no_filter_of_several_taps() -> None:
    with pytest.raises(StrategyError, match=r"filters of one tap, and 3 are asked for: use Center"):
        Slicewise().inflate_weight(torch.ones(1, 1, 3, 3), 3)


def test_two_plus_one_adds_one_parameter_and_keeps_every_name() -> None:
    net2d = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 1))
    net3d = inflate(net2d, TwoPlusOne())
    assert set(net3d.state_dict()) - set(net2d.state_dict()) == {"0.depth_weight"}
    assert torch.equal(net3d[0].weight[:, :, 0], net2d[0].weight)  # type: ignore[index]
    assert net3d[0].depth_weight.shape == (8, 8, 3, 1, 1)  # type: ignore[index]
    assert type(net3d[2]) is nn.Conv3d  # type: ignore[index]


@torch.no_grad()
def test_two_plus_one_is_two_convolutions_one_after_the_other(make_noise: MakeNoise) -> None:
    layer = inflate(nn.Conv2d(4, 8, 3, 2, 1, dtype=torch.float64), TwoPlusOne())
    assert isinstance(layer, TwoPlusOneConv3d)
    layer.depth_weight.copy_(make_noise(8, 8, 3, 1, 1))
    volume = make_noise(1, 4, 7, 9, 9)
    plane = F.conv3d(volume, layer.weight, None, (1, 2, 2), (0, 1, 1))
    plane = torch.cat([plane[:, :, :1], plane, plane[:, :, -1:]], dim=2)
    expected = F.conv3d(plane, layer.depth_weight, layer.bias, (2, 1, 1))
    torch.testing.assert_close(layer(volume), expected)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 8, 3, 2, 1),
        nn.Conv2d(4, 8, 3, padding="same", dilation=2, groups=4),
        nn.Conv2d(4, 8, 4, 2, 1),
        nn.Conv2d(4, 8, 2, 2),
        nn.Conv2d(4, 8, (3, 5), padding=(1, 2), padding_mode="reflect", bias=False),
    ],
    ids=repr,
)
def test_two_plus_one_keeps_a_constant_volume_exact(
    layer: nn.Module, assert_constant_volume: Check
) -> None:
    assert_constant_volume(layer.double(), strategy=TwoPlusOne())


def test_two_plus_one_starts_slicewise(assert_slicewise: Check) -> None:
    for layer in (nn.Conv2d(4, 8, 3, padding=1), nn.Conv2d(4, 8, 5, 2, 2)):
        for depth_padding in ("zeros", "replicate"):
            assert_slicewise(layer.double(), strategy=TwoPlusOne(), depth_padding=depth_padding)


def test_two_plus_one_refuses_what_it_cannot_split_by_name() -> None:
    net = nn.Sequential(nn.ConvTranspose2d(4, 4, 4, 2, 1))
    with pytest.raises(StrategyError, match=r"^'0': TwoPlusOne splits convolutions.*overrides"):
        inflate(net, TwoPlusOne())
    assert inflate(net, TwoPlusOne(), overrides={"0": "average"})[0].kernel_size == (4, 4, 4)  # type: ignore[index]


@torch.no_grad()
@pytest.mark.parametrize("groups", [1, 2])
def test_acs_is_three_flat_convolutions_side_by_side(groups: int, make_noise: MakeNoise) -> None:
    layer2d = nn.Conv2d(4, 8, 3, padding=1, groups=groups, dtype=torch.float64)
    layer = inflate(layer2d, ACS(), depth_padding="zeros")
    assert type(layer) is AcsConv3d
    volume = make_noise(1, 4, 7, 8, 9)
    whole = torch.zeros(8, 4 // groups, 3, 3, 3, dtype=torch.float64)
    whole[:3, :, 1] = layer2d.weight[:3]
    whole[3:6, :, :, 1] = layer2d.weight[3:6]
    whole[6:, ..., 1] = layer2d.weight[6:]
    expected = F.conv3d(volume, whole, layer2d.bias, padding=1, groups=groups)
    torch.testing.assert_close(layer(volume), expected)


def test_acs_keeps_the_parameters_of_the_2d_network_as_they_are() -> None:
    net2d = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 1))
    state = inflate(net2d, ACS()).state_dict()
    assert torch.equal(state["0.weight"], net2d[0].weight)
    assert state["2.weight"].shape == (4, 8, 1, 1, 1)


def test_acs_keeps_no_contract() -> None:
    net2d = nn.Conv2d(4, 9, 3, padding=1)
    assert check_inflation(net2d, inflate(net2d, ACS())).contract is None


@pytest.mark.parametrize(
    ("layer", "options"),
    [
        (nn.Conv2d(4, 8, (3, 5)), {}),
        (nn.Conv2d(4, 8, 3), {"depth_kernel": 5}),
        (nn.ConvTranspose2d(4, 8, 4, 2, 1), {}),
    ],
)
def test_acs_refuses_what_it_cannot_turn_around_by_name(
    layer: nn.Module, options: dict[str, object]
) -> None:
    with pytest.raises(StrategyError, match=r"^'0': ACS turns filters around.*square filter"):
        inflate(nn.Sequential(layer), ACS(), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("strategy", [TwoPlusOne(), ACS()], ids=repr)
def test_layers_of_their_own_copy_pickle_train_and_keep_dtype_and_flags(
    strategy: Strategy,
) -> None:
    net2d = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 4, 3, 2, 1))
    net2d[1].requires_grad_(False)
    net3d = inflate(net2d.to(torch.bfloat16), strategy)
    volume = torch.ones(1, 3, 4, 8, 8, dtype=torch.bfloat16)
    for twin in (copy.deepcopy(net3d), pickle.loads(pickle.dumps(net3d))):
        assert torch.equal(twin(volume), net3d(volume))
    assert {p.dtype for p in net3d.parameters()} == {torch.bfloat16}
    net3d(volume).float().sum().backward()
    for name, parameter in net3d.named_parameters():
        assert (parameter.grad is not None) == name.startswith("0."), name


@pytest.mark.parametrize("strategy", EVERY, ids=lambda strategy: type(strategy).__name__)
def test_every_strategy_survives_json(strategy: Strategy, make_noise: MakeNoise) -> None:
    again = strategy_from_json(json.loads(json.dumps(strategy_to_json(strategy))))
    assert again == strategy
    assert repr(again).split("generator")[0] == repr(strategy).split("generator")[0]


def test_json_keeps_the_seed_of_random() -> None:
    strategy = Random(torch.Generator().manual_seed(12))
    again = strategy_from_json(strategy_to_json(strategy))
    like = torch.zeros(2, 2, 3, 3)
    assert torch.equal(again.inflate_weight(like, 3), strategy.inflate_weight(like, 3))


def test_a_strategy_of_ones_own_has_no_json() -> None:
    class Mine(Average):
        pass

    with pytest.raises(StrategyError, match=r"Mine\(\) has no JSON form: use one of average"):
        strategy_to_json(Mine())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"name": "mean"}, r"unknown name: use one of average, center"),
        ({}, r"unknown name"),
        ({"name": "average", "taps": 3}, r"does not fit average"),
        ({"name": "scaling", "alphas": 3}, r"does not fit scaling"),
        ({"name": "scaling", "alphas": {"3": [1, 1, 1]}}, r"sums to 3"),
        ({"name": "zero_sum_noise", "scale": 0.1, "base": {"name": "acs"}}, r"no taps that sum"),
    ],
)
def test_json_that_says_no_strategy_is_refused(value: dict[str, object], message: str) -> None:
    with pytest.raises(StrategyError, match=message) as caught:
        strategy_from_json(value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("strategy", [Random(), ZeroSumNoise(0.1)], ids=["Random", "ZeroSumNoise"])
def test_a_rehearsal_without_storage_draws_nothing(strategy: Strategy) -> None:
    like = torch.zeros(2, 2, 3, 3)
    before = strategy_from_json(strategy_to_json(strategy)).inflate_weight(like, 3)
    assert strategy.inflate_weight(like.to("meta"), 3).is_meta
    assert torch.equal(strategy.inflate_weight(like, 3), before)
