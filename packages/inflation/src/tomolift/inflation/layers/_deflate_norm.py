"""Norms, channel dropouts and pixel shuffles for volumes back to slices: nothing but the type."""

from __future__ import annotations

from typing import Any

from torch import nn

from ._deflation import Deflation, register_deflation
from ._norm import under_type
from ._pixel_shuffle import PlanePixelShuffle, PlanePixelUnshuffle

_TWINS: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm3d: nn.BatchNorm2d,
    nn.InstanceNorm3d: nn.InstanceNorm2d,
    nn.Dropout3d: nn.Dropout2d,
    PlanePixelShuffle: nn.PixelShuffle,
    PlanePixelUnshuffle: nn.PixelUnshuffle,
}


@register_deflation(*_TWINS)
def deflate_type(module: Any, deflation: Deflation) -> nn.Module:
    """Every number and option is the same for slices."""
    return under_type(module, _TWINS[type(module)])
