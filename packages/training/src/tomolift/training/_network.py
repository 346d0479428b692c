"""The network of an arm, with the weights the arm starts from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from tomolift.inflation import Scaling, Strategy, inflate, inflate_state_dict
from tomolift.models import DilatedResNet18, LoadReport, load_pretrained, read_checkpoint

from ._arms import Arm
from ._training_config import TrainingConfig


def build_network(
    arm: Arm,
    *,
    num_classes: int,
    seed: int,
    config: TrainingConfig,
    start: Mapping[str, Tensor] | None,
) -> DilatedResNet18:
    """Make an arm's network.

    Args:
        arm: which row.
        num_classes: background included.
        seed: of the random initialisation.
        config: the row's own: depth padding, stride and kernel, alphas.
        start: state dict of a 2D network with the same number of classes; None for arm random.

    Returns:
        A network whose every tensor comes from `start` (copied in 2D, inflated by the arm's
        strategy in 3D), or, without it, from kaiming_normal fan_out, BatchNorm 1 and 0, fc
        N(0, 0.01).
    """
    network = _fresh(arm.spatial_dims, num_classes=num_classes, seed=seed, config=config)
    if start is None:
        return network
    weights = dict(start)
    if arm.strategy is not None:
        strategy = _strategy(arm.strategy, config)
        weights = inflate_state_dict(weights, like=network, strategy=strategy)
    network.load_state_dict(weights)
    return network


def network_from_source(
    weights: Path, *, num_classes: int, seed: int, config: TrainingConfig
) -> tuple[DilatedResNet18, LoadReport]:
    """The 2D network with a pre-trained checkpoint loaded and its last layer replaced.

    The last layer is N(0, 0.01) from the seed, whatever classes the checkpoint had, so that a
    source with as many classes by chance is treated like any other (paper, Method 2).

    Raises:
        CheckpointError: the file is damaged or of another architecture.
    """
    network = _fresh(2, num_classes=num_classes, seed=seed, config=config)
    last_layer = {name: value.clone() for name, value in network.fc.state_dict().items()}
    report = load_pretrained(network, read_checkpoint(weights))
    network.fc.load_state_dict(last_layer)
    return network, report


def _fresh(
    spatial_dims: int, *, num_classes: int, seed: int, config: TrainingConfig
) -> DilatedResNet18:
    generator = torch.Generator().manual_seed(seed)
    if spatial_dims == 2:
        return DilatedResNet18(num_classes, spatial_dims=2, generator=generator)
    if config.depth_kernel == 1:
        return _one_tap(num_classes, generator=generator, config=config)
    return DilatedResNet18(
        num_classes,
        spatial_dims=3,
        depth_padding=config.depth_padding,
        depth_stride=config.depth_stride or "same",
        generator=generator,
    )


def _one_tap(
    num_classes: int, *, generator: torch.Generator, config: TrainingConfig
) -> DilatedResNet18:
    """A 3D network whose filters have one depth tap, from the 2D one's definition."""
    network = inflate(
        DilatedResNet18(num_classes, spatial_dims=2, generator=generator),
        depth_kernel=1,
        depth_stride=config.depth_stride or "same",
        depth_padding=config.depth_padding,
    )
    return cast(DilatedResNet18, network)


def _strategy(name: str, config: TrainingConfig) -> str | Strategy:
    if name == "scaling":
        return Scaling(alphas={3: config.alphas_3, 7: config.alphas_7})
    return name
