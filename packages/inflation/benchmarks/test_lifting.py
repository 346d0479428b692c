"""The benchmarks' own parts: networks of the published size, a peer that lifts alike, a gate."""

from __future__ import annotations

import pytest
import torch
from lifting import recipe
from lifting.agreement import check_constant_volume
from lifting.networks import NETWORKS, network
from torch import nn

from tomolift.inflation import ContractError, inflate


@pytest.mark.parametrize(
    ("name", "torchvision", "its_head", "features"),
    [("ResNet-18", 11_689_512, 513_000, 512), ("ResNet-50", 25_557_032, 2_049_000, 2048)],
)
def test_a_residual_network_has_the_published_parameters_but_for_its_head(
    name: str, torchvision: int, its_head: int, features: int
) -> None:
    head = features * 21 + 21
    counted = sum(parameter.numel() for parameter in network(name).parameters())
    assert counted == torchvision - its_head + head


@pytest.mark.parametrize("name", NETWORKS)
def test_the_recipe_lifts_as_averaging_with_zeros_does(name: str) -> None:
    net2d = network(name)
    ours, other = inflate(net2d, "average", depth_padding="zeros"), recipe.lift(net2d)
    volume = torch.randn(1, 3, 16, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = other(volume)
        assert expected.abs().max() > 0.1
        # fp32 through 50 layers of filters that were scaled in another order of operations
        difference = (ours(volume) - expected).abs().max() / expected.abs().max()
    assert difference < 1e-5


def test_the_same_network_is_drawn_each_time_and_nothing_else_is() -> None:
    state = torch.get_rng_state()
    first, second = network("U-Net"), network("U-Net")
    assert torch.equal(state, torch.get_rng_state())
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    variances = [m.running_var for m in first.modules() if isinstance(m, nn.BatchNorm2d)]
    assert min(variance.std() for variance in variances) > 0.1


def test_what_differs_from_its_2d_network_is_not_timed() -> None:
    net2d = network("U-Net")
    assert check_constant_volume(net2d, inflate(net2d), depth=16, side=16) < 1e-5
    with pytest.raises(ContractError, match="constant_volume does not hold"):
        check_constant_volume(net2d, inflate(net2d, depth_padding="zeros"), depth=16, side=16)
