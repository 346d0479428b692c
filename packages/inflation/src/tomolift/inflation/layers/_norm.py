"""Norms and channel dropouts: the same numbers, under the 3D type that accepts five axes."""

from __future__ import annotations

from torch import nn

from .._depth import Layer
from ._registry import register_layer


@register_layer(nn.BatchNorm2d)
def inflate_batch_norm(module: nn.BatchNorm2d, layer: Layer) -> nn.Module:
    """Weight, bias and running statistics are copied; a random network starts without them.

    Only the check of the input's rank differs between the types, so the private copy changes its
    type and keeps everything else (design fact F7: copy, recalibrate later if need be).
    """
    if not layer.strategy.keeps_source:
        module.reset_parameters()
    module.__class__ = nn.BatchNorm3d  # type: ignore[assignment]
    return module


@register_layer(nn.InstanceNorm2d)
def inflate_instance_norm(module: nn.InstanceNorm2d, layer: Layer) -> nn.Module:
    """As BatchNorm; note that its statistics couple all slices (design fact F8)."""
    if not layer.strategy.keeps_source:
        module.reset_parameters()
    module.__class__ = nn.InstanceNorm3d  # type: ignore[assignment]
    return module


@register_layer(nn.Dropout2d)
def inflate_channel_dropout(module: nn.Dropout2d, layer: Layer) -> nn.Module:
    """A channel is dropped in all slices at once."""
    module.__class__ = nn.Dropout3d  # type: ignore[assignment]
    return module
