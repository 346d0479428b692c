"""The network of a row, with the weights it starts from."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tomolift.models import DilatedResNet18
from tomolift.training import TrainingConfig
from tomolift.training._arm_text import arm_named
from tomolift.training._network import build_network


@pytest.fixture(scope="module")
def network_2d() -> DilatedResNet18:
    """With BatchNorm statistics of its own, as after a training."""
    network = DilatedResNet18(3, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for name, value in network.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                value.add_(
                    0.1 * torch.rand(value.shape, generator=torch.Generator().manual_seed(2))
                )
    return network.eval()


def build(name: str, start: DilatedResNet18 | None) -> DilatedResNet18:
    arm = arm_named(name)
    state = start.state_dict() if start else None
    config = arm.training(TrainingConfig())
    return build_network(arm, num_classes=3, seed=0, config=config, start=state).eval()


def test_the_slicewise_row_sees_every_slice_by_itself(network_2d: DilatedResNet18) -> None:
    network = build("slicewise", network_2d)
    volume = torch.rand(1, 1, 5, 33, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        result = network(volume, full_resolution=False)[0].transpose(0, 1)
        expected = network_2d(volume[0].transpose(0, 1), full_resolution=False)
    # float32, 18 layers
    torch.testing.assert_close(result, expected, atol=1e-4 * float(expected.abs().max()), rtol=0)


def test_the_slicewise_row_has_no_more_parameters_than_the_2d_network(
    network_2d: DilatedResNet18,
) -> None:
    network = build("slicewise", network_2d)
    sizes = [sum(p.numel() for p in each.parameters()) for each in (network, network_2d)]
    assert sizes[0] == sizes[1]


def test_a_scaling_rows_own_alphas_are_its_taps(network_2d: DilatedResNet18) -> None:
    network = build("scaling+alphas_3=0.2:0.6:0.2", network_2d)
    papers = [0.05, 0.1, 0.2, 0.3, 0.2, 0.1, 0.05]
    filters = {network.layer1[0].conv1.weight: [0.2, 0.6, 0.2], network.conv1.weight: papers}
    for weight, alphas in filters.items():
        sizes = weight.double().abs().sum((0, 1, 3, 4))
        expected = torch.tensor(alphas).double()
        torch.testing.assert_close(sizes / sizes.sum(), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["triangular", "negative", "average", "zero"])
def test_every_strategys_taps_sum_to_the_2d_filter(name: str, network_2d: DilatedResNet18) -> None:
    network = build(name, network_2d)
    for conv3d, conv2d in (
        (network.conv1, network_2d.conv1),
        (network.layer4[1].conv2, network_2d.layer4[1].conv2),
    ):
        torch.testing.assert_close(conv3d.weight.sum(2), conv2d.weight, atol=1e-6, rtol=1e-5)


def test_settings_of_depth_reach_the_network(network_2d: DilatedResNet18) -> None:
    assert build("average+every-slice", network_2d).output_stride == (1, 8, 8)
    assert build("average", network_2d).output_stride == (8, 8, 8)
    volume = torch.rand(1, 1, 9, 33, 32, generator=torch.Generator().manual_seed(0))
    volume = volume[:, :, :1].expand(-1, -1, 9, -1, -1)  # one slice, repeated
    with torch.no_grad():
        ends = build("average+every-slice+replicate", network_2d)(volume)[0, :, [0, 4]]
        spoilt = build("average+every-slice", network_2d)(volume)[0, :, [0, 4]]
    scale = 1e-4 * float(ends.abs().max())
    torch.testing.assert_close(ends[:, 0], ends[:, 1], atol=scale, rtol=0)
    assert float((spoilt[:, 0] - spoilt[:, 1]).abs().max()) > 10 * scale


def test_random_weights_depend_on_the_seed_alone() -> None:
    arm, config = arm_named("random"), replace(TrainingConfig(), depth_kernel=1)
    states = [
        build_network(arm, num_classes=3, seed=seed, config=config, start=None).state_dict()
        for seed in (0, 0, 1)
    ]
    assert torch.equal(states[0]["conv1.weight"], states[1]["conv1.weight"])
    assert not torch.equal(states[0]["conv1.weight"], states[2]["conv1.weight"])
