"""A step of a U-Net's way up: enlarge, join with the encoder's map of that size, convolve twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ._convolution import (
    DepthPadding,
    SpatialDims,
    batch_norm,
    convolution,
    transposed_convolution,
)
from ._interpolate import resize_linearly

Upsampling = Literal["linear", "transposed"]


class DecoderBlock(nn.Module):
    """Enlarge to the size of the skip, concatenate, then conv-bn-relu-conv-bn-relu.

    Layout (N, C, H, W) or (N, C, D, H, W). "linear" interpolates to the size wanted; "transposed"
    learns filters of the size of the stride, and what sticks out behind, where the encoder rounded
    up, is cut off. Both take any size.

    Source: Ronneberger et al. 2015, expansive path.
    """

    def __init__(
        self,
        in_channels: int,
        skip_channels: int,
        out_channels: int,
        *,
        spatial_dims: SpatialDims,
        upsampling: Upsampling,
        factors: tuple[int, ...],
        depth_padding: DepthPadding = "zeros",
    ) -> None:
        super().__init__()
        self.upsample: nn.Module | None = None
        enlarged = in_channels
        if upsampling == "transposed":
            self.upsample = transposed_convolution(in_channels, out_channels, factors=factors)
            enlarged = out_channels
        self.conv1 = convolution(
            enlarged + skip_channels,
            out_channels,
            kernel=3,
            spatial_dims=spatial_dims,
            depth_padding=depth_padding,
        )
        self.bn1 = batch_norm(out_channels, spatial_dims=spatial_dims)
        self.conv2 = convolution(
            out_channels,
            out_channels,
            kernel=3,
            spatial_dims=spatial_dims,
            depth_padding=depth_padding,
        )
        self.bn2 = batch_norm(out_channels, spatial_dims=spatial_dims)
        self.relu = nn.ReLU(inplace=True)

    def forward(
        self,
        x: Float[Tensor, "batch channel *space"],
        skip: Float[Tensor, "batch encoder_channel *up"] | None,
        size: Sequence[int],
    ) -> Float[Tensor, "batch out *up"]:
        """Return the map at `size` ([D,] H, W), the skip's size where there is a skip."""
        if self.upsample is None:
            x = resize_linearly(x, size)
        else:
            x = _crop(self.upsample(x), size)
        if skip is not None:
            x = torch.cat((x, skip), 1)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)))


def _crop(x: Tensor, size: Sequence[int]) -> Tensor:
    """Cut off what is behind `size` on every axis, written for any rank."""
    surplus = [have - want for have, want in zip(x.shape[2:], size, strict=True)]
    if not any(surplus):
        return x
    pads = [pad for cells in reversed(surplus) for pad in (0, -cells)]
    return F.pad(x, pads)
