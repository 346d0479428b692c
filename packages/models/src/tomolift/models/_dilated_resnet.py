"""The paper's network: ResNet-18 with dilation in place of its last two strides."""

from __future__ import annotations

from math import prod
from typing import Literal, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ._blocks import BasicBlock, DepthPadding, SpatialDims, batch_norm, convolution, max_pool
from ._blocks import initialise as initialise_layers
from ._stem import convolve_stem

DepthStrides = tuple[int, int, int, int, int]
DepthStride = Literal["same"] | int | DepthStrides

_PLANE_STRIDES: DepthStrides = (2, 2, 1, 2, 1)  # conv1, maxpool, layer1, layer2, layer3


class DilatedResNet18(nn.Module):
    """Dilated ResNet-18 for segmentation, output stride 8, for slices or for volumes.

    Layout (N, C, H, W) with `spatial_dims=2`, (N, C, D, H, W) with 3; C is `in_channels`, or 1,
    which means that many equal channels (grey folding). Parameter names are torchvision's, with
    `fc` a 1x1 convolution; they do not depend on any argument. `forward` asks its layers for the
    rank, so that it also serves a copy whose layers were converted to 3D.

    Source: paper, "The 2D network exactly" and the 3D dilated ResNet-18.

    Args:
        num_classes: number of classes, >= 1.
        spatial_dims: 2 or 3.
        in_channels: channels of the stem's filters, >= 1.
        depth_padding: "zeros" (the paper), or "replicate": repeat the end slices, in depth only.
        depth_stride: strides along depth at conv1, maxpool, layer1, layer2, layer3. "same" (the
            paper) takes those of the plane, 2 2 1 2 1; an int replaces the twos, so that 1 keeps
            every slice; a tuple gives all five. A pool with depth stride 1 has depth kernel 1.
        generator: source of the initial weights (kaiming_normal fan_out over all axes, BatchNorm 1
            and 0, fc N(0, 0.01), bias 0); None draws from torch's global generator.

    Raises:
        ValueError: an argument outside its range, or a depth option other than the default
            with `spatial_dims=2`.

    Example:
        >>> network = DilatedResNet18(3, spatial_dims=3)
        >>> volume = torch.rand(1, 1, 16, 33, 32)
        >>> network(volume, full_resolution=False).shape
        torch.Size([1, 3, 2, 5, 4])
        >>> network(volume).shape
        torch.Size([1, 3, 16, 33, 32])
    """

    def __init__(
        self,
        num_classes: int = 3,
        *,
        spatial_dims: SpatialDims = 2,
        in_channels: int = 3,
        depth_padding: DepthPadding = "zeros",
        depth_stride: DepthStride = "same",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        _check_counts(num_classes=num_classes, in_channels=in_channels)
        _check_depth_options(spatial_dims, depth_padding, depth_stride)
        at_conv1, at_pool, at_layer1, at_layer2, at_layer3 = _resolve(depth_stride)

        def layer(
            before: int, after: int, *, stride: int = 1, depth_stride: int = 1, dilation: int = 1
        ) -> nn.Sequential:
            first = BasicBlock(
                before,
                after,
                spatial_dims=spatial_dims,
                stride=stride,
                depth_stride=depth_stride,
                dilation=dilation,
                depth_padding=depth_padding,
                project=before != after,
            )
            second = BasicBlock(
                after,
                after,
                spatial_dims=spatial_dims,
                dilation=dilation,
                depth_padding=depth_padding,
            )
            return nn.Sequential(first, second)

        # Built without storage and drawn once: torch's default initialisation would be thrown
        # away, and would move the global generator although another one was given.
        device = torch.get_default_device()
        with torch.device("meta"):
            self.conv1 = convolution(
                in_channels,
                64,
                kernel=7,
                spatial_dims=spatial_dims,
                stride=2,
                depth_stride=at_conv1,
                depth_padding=depth_padding,
            )
            self.bn1 = batch_norm(64, spatial_dims=spatial_dims)
            self.relu = nn.ReLU(inplace=True)
            self.maxpool = max_pool(spatial_dims=spatial_dims, depth_stride=at_pool)
            self.layer1 = layer(64, 64, depth_stride=at_layer1)
            self.layer2 = layer(64, 128, stride=2, depth_stride=at_layer2)
            self.layer3 = layer(128, 256, depth_stride=at_layer3, dilation=2)
            self.layer4 = layer(256, 512, dilation=4)
            self.fc = convolution(512, num_classes, kernel=1, spatial_dims=spatial_dims, bias=True)
        self.to_empty(device=device)
        initialise_layers(self, head=self.fc, generator=generator)

    def forward(
        self, x: Float[Tensor, "batch channel *space"], *, full_resolution: bool = True
    ) -> Float[Tensor, "batch num_classes *out"]:
        """Return class logits, the same way in train and eval mode.

        Args:
            x: (N, in_channels or 1, [D,] H, W), floating point.
            full_resolution: True up-samples bilinearly or trilinearly with align_corners=True to
                the input's size (the paper); False gives the logits at `output_stride`, each side
                ceil(side / stride).

        Returns:
            (N, num_classes, [D,] H, W), or the low-resolution logits.

        Raises:
            ValueError: the input's rank or channel count does not fit.
        """
        self._check_input(x)
        size = x.shape[2:]
        x = self.relu(self.bn1(convolve_stem(self.conv1, x)))
        x = self.maxpool(x)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits = self.fc(x)
        if not full_resolution:
            return logits
        mode = "bilinear" if logits.ndim == 4 else "trilinear"
        return F.interpolate(logits, size=size, mode=mode, align_corners=True)

    @property
    def spatial_dims(self) -> int:
        """2 for slices, 3 for volumes."""
        return self.conv1.weight.ndim - 2

    @property
    def num_classes(self) -> int:
        """Number of output classes."""
        return self.fc.out_channels

    @property
    def in_channels(self) -> int:
        """Channels of the stem's filters."""
        return self.conv1.in_channels

    @property
    def output_stride(self) -> tuple[int, ...]:
        """Input cells per logit, per axis: (8, 8), or (depth, 8, 8)."""
        layers = (self.layer1, self.layer2, self.layer3, self.layer4)
        blocks = [cast(BasicBlock, layer[0]) for layer in layers]
        strides = [self.conv1.stride, *(block.conv1.stride for block in blocks)]
        pool = self.maxpool.stride
        strides.append(pool if isinstance(pool, tuple) else (pool,) * self.spatial_dims)
        return tuple(prod(per_axis) for per_axis in zip(*strides, strict=True))

    def _check_input(self, x: Tensor) -> None:
        rank = self.spatial_dims + 2
        if x.ndim != rank:
            layout = "(N, C, H, W)" if rank == 4 else "(N, C, D, H, W)"
            raise ValueError(
                f"x has {x.ndim} axes, expected {rank} {layout}: "
                "add the missing axes, or build the network with the other spatial_dims"
            )
        if x.shape[1] not in (1, self.in_channels):
            raise ValueError(
                f"x has {x.shape[1]} channels, expected 1 (grey) or {self.in_channels}: "
                "pass one grey channel, or build the network with in_channels="
                f"{x.shape[1]}"
            )


def _resolve(depth_stride: DepthStride) -> DepthStrides:
    """Return the five depth strides that the argument stands for."""
    if isinstance(depth_stride, tuple):
        return depth_stride
    if depth_stride == "same":
        return _PLANE_STRIDES
    conv1, maxpool, layer1, layer2, layer3 = (
        depth_stride if stride > 1 else 1 for stride in _PLANE_STRIDES
    )
    return conv1, maxpool, layer1, layer2, layer3


def _check_counts(**counts: int) -> None:
    for name, value in counts.items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}={value!r}, expected an int >= 1: pass a positive count")


def _check_depth_options(spatial_dims: int, depth_padding: str, depth_stride: object) -> None:
    if spatial_dims not in (2, 3):
        raise ValueError(
            f"spatial_dims={spatial_dims!r}, expected 2 or 3: pass 2 for slices, 3 for volumes"
        )
    if depth_padding not in ("zeros", "replicate"):
        raise ValueError(
            f"depth_padding={depth_padding!r}, expected 'zeros' or 'replicate': pass one of them"
        )
    strides = depth_stride if isinstance(depth_stride, tuple) else (depth_stride,) * 5
    valid = depth_stride == "same" or (
        len(strides) == 5 and all(type(stride) is int and stride >= 1 for stride in strides)
    )
    if not valid:
        raise ValueError(
            f"depth_stride={depth_stride!r}, expected 'same', an int >= 1 or a tuple of five "
            "(conv1, maxpool, layer1, layer2, layer3): pass one of them"
        )
    if spatial_dims == 2 and (depth_padding != "zeros" or depth_stride != "same"):
        raise ValueError(
            f"depth_padding={depth_padding!r} and depth_stride={depth_stride!r} with "
            "spatial_dims=2, which has no depth: leave them out or pass spatial_dims=3"
        )
