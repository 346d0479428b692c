"""Residual blocks, the same for pictures and for volumes."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from ._convolution import DepthPadding, SpatialDims, batch_norm, convolution


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
        self.downsample = _shortcut(
            in_channels,
            out_channels,
            spatial_dims=spatial_dims,
            stride=stride,
            depth_stride=depth_stride,
            project=project,
        )

    @property
    def stride(self) -> tuple[int, ...]:
        """Input cells per output cell, per axis."""
        return self.conv1.stride

    def forward(self, x: Float[Tensor, "batch channel *space"]) -> Float[Tensor, "batch out *down"]:
        """Return relu(residual + shortcut)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        return self.relu(x + shortcut)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions with a shortcut; the inner two are a quarter as wide.

    Layout and shortcut as in `BasicBlock`. Stride and dilation are those of the 3x3 convolution,
    as in the networks whose weights torchvision publishes (He et al. strode at the first 1x1).

    Source: He et al. 2015, bottleneck block.
    """

    expansion = 4

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
        width = out_channels // self.expansion
        self.conv1 = convolution(in_channels, width, kernel=1, spatial_dims=spatial_dims)
        self.bn1 = batch_norm(width, spatial_dims=spatial_dims)
        self.conv2 = convolution(
            width,
            width,
            kernel=3,
            spatial_dims=spatial_dims,
            stride=stride,
            depth_stride=depth_stride,
            dilation=dilation,
            depth_padding=depth_padding,
        )
        self.bn2 = batch_norm(width, spatial_dims=spatial_dims)
        self.conv3 = convolution(width, out_channels, kernel=1, spatial_dims=spatial_dims)
        self.bn3 = batch_norm(out_channels, spatial_dims=spatial_dims)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(
            in_channels,
            out_channels,
            spatial_dims=spatial_dims,
            stride=stride,
            depth_stride=depth_stride,
            project=project,
        )

    @property
    def stride(self) -> tuple[int, ...]:
        """Input cells per output cell, per axis."""
        return self.conv2.stride

    def forward(self, x: Float[Tensor, "batch channel *space"]) -> Float[Tensor, "batch out *down"]:
        """Return relu(residual + shortcut)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        return self.relu(x + shortcut)


def _shortcut(
    in_channels: int,
    out_channels: int,
    *,
    spatial_dims: SpatialDims,
    stride: int,
    depth_stride: int,
    project: bool,
) -> nn.Module | None:
    if project:
        return nn.Sequential(
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
    if spatial_dims == 3 and depth_stride > 1:
        return nn.MaxPool3d(1, (depth_stride, 1, 1))
    return None
