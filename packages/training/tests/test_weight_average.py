"""The moving average of the weights."""

from __future__ import annotations

import torch
from torch import nn

from tomolift.training._weight_average import WeightAverage


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))


def state(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_the_average_is_the_recursion_written_out() -> None:
    module = network(0)
    average = WeightAverage(module, decay=0.15)
    expected = state(module)["0.weight"].double()
    for step in range(1, 5):
        with torch.no_grad():
            module[0].weight.normal_()  # type: ignore[index, union-attr, operator]
        average.update(module)
        decay = min(0.15, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * state(module)["0.weight"].double()
    average.copy_to(module)
    torch.testing.assert_close(module.state_dict()["0.weight"].double(), expected)


def test_the_networks_own_weights_come_back_bit_for_bit() -> None:
    module = network(0)
    average = WeightAverage(network(1), decay=0.9)
    before = state(module)
    with average.applied(module):
        assert not torch.equal(module.state_dict()["0.weight"], before["0.weight"])
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_buffers_are_averaged_and_counters_are_the_networks_own() -> None:
    module = network(0)
    average = WeightAverage(module, decay=0.5)
    module(torch.full((2, 1, 8, 8), 3.0))
    counted = int(module.state_dict()["1.num_batches_tracked"])
    mean = module.state_dict()["1.running_mean"].clone()
    average.update(module)
    average.copy_to(module)
    assert int(module.state_dict()["1.num_batches_tracked"]) == counted == 1
    # step 1 keeps 2/11 of the initial mean, which is 0
    torch.testing.assert_close(module.state_dict()["1.running_mean"], mean * 9 / 11)


def test_what_is_restored_goes_on_alike() -> None:
    module = network(0)
    average, other = WeightAverage(module, decay=0.9), WeightAverage(network(1), decay=0.9)
    average.update(network(2))
    other.restore(average.to_tensors())
    for each in (average, other):
        each.update(network(3))
    for name, value in average.to_tensors().items():
        assert torch.equal(value, other.to_tensors()[name]), name
