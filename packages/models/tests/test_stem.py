from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from tomolift.models import DilatedResNet18
from tomolift.models._stem import convolve_stem, grey_weight


def _sizes(spatial_dims):
    return (2, 1, 33, 24) if spatial_dims == 2 else (2, 1, 9, 16, 17)


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("channels_last", [False, True])
def test_one_channel_equals_three_equal_ones(spatial_dims, channels_last, generator):
    network = DilatedResNet18(3, spatial_dims=spatial_dims, generator=generator).double()
    if channels_last:
        layout = torch.channels_last if spatial_dims == 2 else torch.channels_last_3d
        network = network.to(memory_format=layout)
    grey = torch.rand(_sizes(spatial_dims), dtype=torch.float64, generator=generator)
    colour = grey.repeat_interleave(3, dim=1)
    torch.testing.assert_close(network(grey), network(colour))


class _Shallow(torch.nn.Module):
    """The network's stem and a head: what grey folding can disturb, in float64 in a second."""

    def __init__(self, generator):
        super().__init__()
        network = DilatedResNet18(3, generator=generator).double()
        self.conv1, self.bn1 = network.conv1, network.bn1
        self.head = torch.nn.Conv2d(64, 3, 1, dtype=torch.float64)

    def forward(self, x):
        return self.head(F.relu(self.bn1(convolve_stem(self.conv1, x))))


def test_twenty_steps_of_adam_with_weight_decay_equal_those_of_three_channels(generator):
    folded = _Shallow(generator)
    copied = copy.deepcopy(folded)
    networks = (folded, copied)
    optimisers = [
        torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=1e-4) for network in networks
    ]
    before = folded.conv1.weight.detach().clone()
    for _ in range(20):
        grey = torch.rand(2, 1, 24, 24, dtype=torch.float64, generator=generator)
        labels = torch.randint(0, 3, (2, 12, 12), generator=generator)
        inputs = (grey, grey.expand(-1, 3, -1, -1))
        for network, optimiser, x in zip(networks, optimisers, inputs, strict=True):
            optimiser.zero_grad()
            F.cross_entropy(network(x), labels).backward()
            optimiser.step()
    assert (folded.conv1.weight - before).abs().max() > 0.01  # it has moved
    for name, value in folded.state_dict().items():
        torch.testing.assert_close(value, copied.state_dict()[name], rtol=1e-9, atol=1e-10)


def test_the_gradient_reaches_all_three_channels_equally(generator):
    network = DilatedResNet18(3, generator=generator)
    network(torch.rand(2, 1, 24, 24, generator=generator)).square().mean().backward()
    gradient = network.conv1.weight.grad
    assert gradient.shape == (64, 3, 7, 7)
    assert gradient.abs().amax(dim=(0, 2, 3)).min() > 0
    assert torch.equal(gradient[:, 0], gradient[:, 1])
    assert torch.equal(gradient[:, 0], gradient[:, 2])


def test_low_precision_filters_are_summed_in_fp32():
    weight = torch.tensor([256.0, 1.0, -256.0], dtype=torch.bfloat16).reshape(1, 3, 1, 1)
    assert grey_weight(weight).item() == 1.0  # bf16 would lose the one: 256 + 1 = 256
    assert grey_weight(weight).dtype == torch.bfloat16


def test_autocast_rounds_the_sum_and_not_its_terms(generator):
    stem = torch.nn.Conv2d(3, 4, 3, bias=False)
    with torch.no_grad():
        stem.weight[:, 0], stem.weight[:, 1], stem.weight[:, 2] = 256.0, 1.0, -256.0
    with torch.autocast("cpu", torch.bfloat16):
        output = convolve_stem(stem, torch.ones(1, 1, 3, 3))
    assert output.dtype == torch.bfloat16
    assert (output == 9).all()


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_a_channels_last_stem_answers_a_grey_input_in_channels_last(spatial_dims):
    layout = torch.channels_last if spatial_dims == 2 else torch.channels_last_3d
    network = DilatedResNet18(3, spatial_dims=spatial_dims).to(memory_format=layout)
    x = torch.rand(_sizes(spatial_dims))
    assert convolve_stem(network.conv1, x).is_contiguous(memory_format=layout)


def test_a_one_channel_network_takes_its_only_channel():
    network = DilatedResNet18(3, in_channels=1)
    assert network.conv1.weight.shape == (64, 1, 7, 7)
    assert network(torch.rand(2, 1, 16, 16)).shape == (2, 3, 16, 16)
