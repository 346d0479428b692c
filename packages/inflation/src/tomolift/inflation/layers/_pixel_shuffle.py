"""Pixel shuffling trades channels for pixels of the plane; the depth has no part in it (F13)."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .._depth import Layer
from ._registry import register_layer


class PlanePixelShuffle(nn.PixelShuffle):
    """A PixelShuffle in every slice of a volume."""

    def forward(
        self, input: Float[Tensor, "batch channel depth height width"]
    ) -> Float[Tensor, "batch fewer_channels depth more_height more_width"]:
        """Channels become pixels."""
        return F.pixel_shuffle(input.transpose(1, 2), self.upscale_factor).transpose(1, 2)


class PlanePixelUnshuffle(nn.PixelUnshuffle):
    """A PixelUnshuffle in every slice of a volume."""

    def forward(
        self, input: Float[Tensor, "batch channel depth height width"]
    ) -> Float[Tensor, "batch more_channels depth fewer_height fewer_width"]:
        """Pixels become channels."""
        return F.pixel_unshuffle(input.transpose(1, 2), self.downscale_factor).transpose(1, 2)


@register_layer(nn.PixelShuffle)
def inflate_pixel_shuffle(module: nn.PixelShuffle, layer: Layer) -> PlanePixelShuffle:
    """Shuffling into depth as well would ask for stride-fold more channels than there are."""
    return PlanePixelShuffle(module.upscale_factor)


@register_layer(nn.PixelUnshuffle)
def inflate_pixel_unshuffle(module: nn.PixelUnshuffle, layer: Layer) -> PlanePixelUnshuffle:
    """As above."""
    return PlanePixelUnshuffle(module.downscale_factor)
