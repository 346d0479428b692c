"""Dimension-generic layers: the same residual block for pictures and for volumes."""

from __future__ import annotations

from typing import Literal

import torch
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


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut: conv-bn-relu-conv-bn, plus the input, relu.

    Layout (N, C, H, W) or (N, C, D, H, W). The shortcut is a 1x1 convolution with a norm where
    `project` asks for one (never dilated), else the input; an input whose depth alone shrinks is
    taken every `depth_stride`-th slice, without parameters, so that names do not depend on it.

    Source: paper, dilated ResNet-18; He et al. 2015, basic block.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        spatial_dims: SpatialDims,
        stride: int = 1,
        depth_stride: int = 1,
        dilation: int = 1,
        depth_padding: DepthPadding = "zeros",
        project: bool = False,
    ) -> None:
        super().__init__()
        self.conv1 = convolution(
            in_channels,
            out_channels,
            kernel=3,
            spatial_dims=spatial_dims,
            stride=stride,
            depth_stride=depth_stride,
            dilation=dilation,
            depth_padding=depth_padding,
        )
        self.bn1 = batch_norm(out_channels, spatial_dims=spatial_dims)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = convolution(
            out_channels,
            out_channels,
            kernel=3,
            spatial_dims=spatial_dims,
            dilation=dilation,
            depth_padding=depth_padding,
        )
        self.bn2 = batch_norm(out_channels, spatial_dims=spatial_dims)
        self.downsample: nn.Module | None = None
        if project:
            self.downsample = nn.Sequential(
                convolution(
                    in_channels,
                    out_channels,
                    kernel=1,
                    spatial_dims=spatial_dims,
                    stride=stride,
                    depth_stride=depth_stride,
                ),
                batch_norm(out_channels, spatial_dims=spatial_dims),
            )
        elif spatial_dims == 3 and depth_stride > 1:
            self.downsample = nn.MaxPool3d(1, (depth_stride, 1, 1))

    def forward(self, x: Float[Tensor, "batch channel *space"]) -> Float[Tensor, "batch out *down"]:
        """Return relu(residual + shortcut)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        return self.relu(x + shortcut)


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
        elif isinstance(layer, nn.BatchNorm2d | nn.BatchNorm3d):
            layer.reset_parameters()
