"""Convolutions for pictures and volumes, and how volumes end in depth."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

SpatialDims = Literal[2, 3]
DepthPadding = Literal["zeros", "replicate"]


class ReplicateDepthConv3d(nn.Conv3d):
    """3D convolution that repeats the end slices where its kernel leaves the volume in depth.

    In the plane it pads with zeros, as `nn.Conv3d` does; torch's own `padding_mode` acts on all
    axes. Parameter names and shapes are those of `nn.Conv3d`.

    Example:
        >>> import torch
        >>> convolution = ReplicateDepthConv3d(1, 1, 3, padding=1, bias=False)
        >>> convolution(torch.ones(1, 1, 4, 5, 5)).shape
        torch.Size([1, 1, 4, 5, 5])
    """

    def forward(
        self, input: Float[Tensor, "batch channel depth height width"]
    ) -> Float[Tensor, "batch filter depth_out height_out width_out"]:
        """Convolve (N, C, D, H, W); the output has the size that zero padding gives."""
        depth, height, width = (int(side) for side in self.padding)
        padded = F.pad(input, (0, 0, 0, 0, depth, depth), mode="replicate")
        return F.conv3d(
            padded,
            self.weight,
            self.bias,
            self.stride,
            (0, height, width),
            self.dilation,
            self.groups,
        )

    def extra_repr(self) -> str:
        """Return the convolution's geometry with the padding of its depth axis."""
        return f"{super().extra_repr()}, depth_padding=replicate"


def convolution(
    in_channels: int,
    out_channels: int,
    *,
    kernel: int,
    spatial_dims: SpatialDims,
    stride: int = 1,
    depth_stride: int = 1,
    dilation: int = 1,
    depth_padding: DepthPadding = "zeros",
    bias: bool = False,
) -> nn.Conv2d | nn.Conv3d:
    """Return a convolution that keeps the size at stride 1, with its own stride in depth."""
    padding = dilation * (kernel // 2)
    if spatial_dims == 2:
        return nn.Conv2d(in_channels, out_channels, kernel, stride, padding, dilation, bias=bias)
    kind = ReplicateDepthConv3d if depth_padding == "replicate" and padding else nn.Conv3d
    strides = (depth_stride, stride, stride)
    return kind(in_channels, out_channels, kernel, strides, padding, dilation, bias=bias)


def transposed_convolution(
    in_channels: int, out_channels: int, *, factors: tuple[int, ...]
) -> nn.ConvTranspose2d | nn.ConvTranspose3d:
    """Return an up-sampling by `factors` (in the order of the axes) whose filters do not overlap.

    With kernel = stride every output cell sees one tap: no checkerboard, and a filter that is the
    same at every depth tap is exact on a depth-constant volume.
    """
    *depth, height, width = factors
    if not depth:
        return nn.ConvTranspose2d(in_channels, out_channels, (height, width), (height, width))
    cell = (depth[0], height, width)
    return nn.ConvTranspose3d(in_channels, out_channels, cell, cell)


def batch_norm(channels: int, *, spatial_dims: SpatialDims) -> nn.BatchNorm2d | nn.BatchNorm3d:
    """Return torch's batch normalisation (eps 1e-5, momentum 0.1)."""
    return nn.BatchNorm2d(channels) if spatial_dims == 2 else nn.BatchNorm3d(channels)


def max_pool(*, spatial_dims: SpatialDims, depth_stride: int) -> nn.MaxPool2d | nn.MaxPool3d:
    """Return the 3x3 stride-2 pool; one that does not stride in depth sees one slice only."""
    if spatial_dims == 2:
        return nn.MaxPool2d(3, 2, 1)
    if depth_stride == 1:
        return nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
    return nn.MaxPool3d(3, (depth_stride, 2, 2), 1)
