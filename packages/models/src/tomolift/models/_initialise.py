"""The random weights that a network starts from."""

from __future__ import annotations

import torch
from torch import nn


def initialise(module: nn.Module, *, head: nn.Module, generator: torch.Generator | None) -> None:
    """Draw every convolution from kaiming_normal (fan_out over all axes); norms become 1 and 0.

    Args:
        module: network whose convolutions and norms are overwritten in place.
        head: its convolution that gives the logits, drawn from N(0, 0.01) instead.
        generator: source of randomness, on the parameters' device; None is torch's global one.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Conv3d):
            if layer is head:
                nn.init.normal_(layer.weight, 0.0, 0.01, generator=generator)
            else:
                nn.init.kaiming_normal_(
                    layer.weight, mode="fan_out", nonlinearity="relu", generator=generator
                )
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.ConvTranspose2d | nn.ConvTranspose3d):
            # Every output cell sees one tap of each input channel, and no relu follows: this keeps
            # the variance, which kaiming's rule, made for overlapping filters, would not.
            nn.init.normal_(layer.weight, 0.0, layer.in_channels**-0.5, generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d | nn.BatchNorm3d):
            layer.reset_parameters()
