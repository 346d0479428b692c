"""Norms and channel dropouts: the same numbers, under the 3D type that accepts five axes."""

from __future__ import annotations

from torch import nn

from .._depth import Layer
from ._registry import register_layer


@register_layer(nn.BatchNorm2d)
def inflate_batch_norm(module: nn.BatchNorm2d, layer: Layer) -> nn.Module:
    """Weight, bias and running statistics are copied; a random network starts without them.

    Source: design fact F7 (copy; recalibrate later if need be).
    """
    if not layer.strategy.keeps_source:
        module.reset_parameters()
    return under_type(module, nn.BatchNorm3d)


@register_layer(nn.InstanceNorm2d)
def inflate_instance_norm(module: nn.InstanceNorm2d, layer: Layer) -> nn.Module:
    """As BatchNorm; note that its statistics couple all slices (design fact F8)."""
    if not layer.strategy.keeps_source:
        module.reset_parameters()
    return under_type(module, nn.InstanceNorm3d)


@register_layer(nn.Dropout2d)
def inflate_channel_dropout(module: nn.Dropout2d, layer: Layer) -> nn.Module:
    """A channel is dropped in all slices at once."""
    return under_type(module, nn.Dropout3d)


def under_type(module: nn.Module, kind: type[nn.Module]) -> nn.Module:
    """The private copy's parameters, buffers and options under a type that differs in nothing but
    the rank it accepts; its constructor would only allocate what is thrown away.
    """
    twin = kind.__new__(kind)
    twin.__dict__.update(module.__dict__)
    return twin
