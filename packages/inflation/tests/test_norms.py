from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tomolift.inflation import InflationError, inflate, recalibrate_norms


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())


def test_f7_recalibrated_statistics_are_the_mean_over_the_batches() -> None:
    network = small()
    batches = [torch.randn(2, 1, 8, 8) + offset for offset in (0.0, 3.0)]
    assert recalibrate_norms(network, iter(batches)) == 2
    outputs = [network[0](batch).double() for batch in batches]
    mean = torch.stack([output.mean((0, 2, 3)) for output in outputs]).mean(0)
    variance = torch.stack([output.var((0, 2, 3)) for output in outputs]).mean(0)
    # float32 statistics against float64
    torch.testing.assert_close(network[1].running_mean.double(), mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(network[1].running_var.double(), variance, rtol=1e-5, atol=1e-6)


def test_f7_averaging_shrinks_activations_and_recalibration_mends_it() -> None:
    network = small().eval()
    slices = [torch.randn(16, 1, 8, 8) for _ in range(8)]
    recalibrate_norms(network, slices)
    volumes = [batch.transpose(0, 1)[None] for batch in slices]  # independent slices: rho = 0
    net3d = inflate(network, "average")
    normalise = net3d[:2]
    shrunk = torch.stack([normalise(volume).var() for volume in volumes]).mean()
    recalibrate_norms(net3d, volumes)
    mended = torch.stack([normalise(volume).var() for volume in volumes]).mean()
    assert float(shrunk.detach()) < 0.6
    assert float(mended.detach()) == pytest.approx(1.0, abs=0.1)


def test_modes_momenta_and_parameters_stay() -> None:
    network = small().eval()
    network[1].momentum = 0.3
    before = {name: value.clone() for name, value in network.named_parameters()}
    recalibrate_norms(network, [torch.randn(2, 1, 8, 8)])
    assert not network.training
    assert not network[1].training
    assert network[1].momentum == 0.3
    for name, value in network.named_parameters():
        assert torch.equal(value, before[name])


def test_a_forward_of_ones_own_is_used() -> None:
    network, seen = small(), []

    def forward(batch: Tensor) -> None:
        seen.append(network(batch * 2))

    recalibrate_norms(network, [torch.randn(2, 1, 8, 8)], forward=forward)
    assert len(seen) == 1


def test_no_batch_and_a_failing_forward_leave_the_statistics_alone() -> None:
    network = small()
    network(torch.randn(2, 1, 8, 8))
    before = {name: value.clone() for name, value in network.named_buffers()}
    with pytest.raises(InflationError, match="batches is empty"):
        recalibrate_norms(network, [])
    with pytest.raises(RuntimeError):
        recalibrate_norms(network, [torch.randn(2, 1, 8, 8), torch.randn(2, 9, 8, 8)])
    for name, value in network.named_buffers():
        assert torch.equal(value, before[name]), name


def test_a_norm_that_no_batch_reaches_keeps_its_statistics() -> None:
    net = nn.ModuleList([nn.BatchNorm2d(1), nn.BatchNorm2d(1)])
    net[1].running_mean.fill_(7.0)
    recalibrate_norms(net, [torch.full((2, 1, 4, 4), 3.0)], forward=net[0])
    assert net[0].running_mean.item() == 3.0
    assert net[1].running_mean.item() == 7.0
