"""The paper's network and its deeper kin: a ResNet with dilation in place of its last strides."""

from __future__ import annotations

from math import prod
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ._arguments import check_choice, check_counts, check_depth_options
from ._convolution import DepthPadding, SpatialDims, convolution
from ._encoder import ARCHITECTURES, EncoderName, ResNetEncoder
from ._initialise import initialise
from ._interpolate import resize_linearly
from ._strides import STAGES, resolve_depth_stride

DepthStride = Literal["same"] | int | tuple[int, int, int, int, int]


class DilatedResNet(ResNetEncoder):
    """Dilated ResNet for segmentation, for slices or for volumes; use one of its subclasses.

    Layout (N, C, H, W) with `spatial_dims=2`, (N, C, D, H, W) with 3; C is `in_channels`, or 1,
    which means that many equal channels (grey folding). Parameter names are torchvision's, with
    `fc` a 1x1 convolution; they do not depend on any argument.

    Source: paper, "The 2D network exactly" and the 3D dilated ResNet-18. Dilation is the same in
    a whole stage, where torchvision's `replace_stride_with_dilation` gives a stage's first block
    that of the stage before.

    Args:
        num_classes: number of classes, >= 1.
        spatial_dims: 2 or 3.
        in_channels: channels of the stem's filters, >= 1.
        output_stride: 8 (the paper) dilates layer3 by 2 and layer4 by 4; 16 strides in layer3 and
            dilates layer4 by 2: a quarter of the cells there, in 3D an eighth.
        depth_padding: "zeros" (the paper), or "replicate": repeat the end slices, in depth only.
        depth_stride: strides along depth at conv1, maxpool, layer1, layer2, layer3. "same" (the
            paper) takes those of the plane, 2 2 1 2 1 at output stride 8; an int replaces the
            twos, so that 1 keeps every slice; a tuple gives all five. A pool with depth stride 1
            has depth kernel 1.
        generator: source of the initial weights (kaiming_normal fan_out over all axes, BatchNorm 1
            and 0, fc N(0, 0.01), bias 0); None draws from torch's global generator.

    Raises:
        ValueError: an argument outside its range, or a depth option other than the default
            with `spatial_dims=2`.
    """

    encoder: ClassVar[EncoderName]

    def __init__(
        self,
        num_classes: int = 3,
        *,
        spatial_dims: SpatialDims = 2,
        in_channels: int = 3,
        output_stride: Literal[8, 16] = 8,
        depth_padding: DepthPadding = "zeros",
        depth_stride: DepthStride = "same",
        generator: torch.Generator | None = None,
    ) -> None:
        check_counts(num_classes=num_classes, in_channels=in_channels)
        check_choice("output_stride", output_stride, (8, 16))
        check_depth_options(spatial_dims, depth_padding, depth_stride)
        plane = STAGES[output_stride].strides
        # Built without storage and drawn once: torch's default initialisation would be thrown
        # away, and would move the global generator although another one was given.
        device = torch.get_default_device()
        with torch.device("meta"):
            super().__init__(
                self.encoder,
                spatial_dims=spatial_dims,
                in_channels=in_channels,
                depth_padding=depth_padding,
                output_stride=output_stride,
                depth_strides=resolve_depth_stride(depth_stride, plane, places=5),
            )
            features = ARCHITECTURES[self.encoder].channels[-1]
            self.fc = convolution(
                features, num_classes, kernel=1, spatial_dims=spatial_dims, bias=True
            )
        self.to_empty(device=device)
        initialise(self, head=self.fc, generator=generator)

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
        size = x.shape[2:]
        x = self.maxpool(self._stem(x))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits = self.fc(x)
        return resize_linearly(logits, size) if full_resolution else logits

    @property
    def num_classes(self) -> int:
        """Number of output classes."""
        return self.fc.out_channels

    @property
    def output_stride(self) -> tuple[int, ...]:
        """Input cells per logit, per axis: (8, 8), or (depth, 8, 8)."""
        return tuple(prod(per_axis) for per_axis in zip(*self._strides(), strict=True))


class DilatedResNet18(DilatedResNet):
    """The paper's network; arguments as in `DilatedResNet`.

    Example:
        >>> network = DilatedResNet18(3, spatial_dims=3)
        >>> volume = torch.rand(1, 1, 16, 33, 32)
        >>> network(volume, full_resolution=False).shape
        torch.Size([1, 3, 2, 5, 4])
        >>> network(volume).shape
        torch.Size([1, 3, 16, 33, 32])
    """

    encoder = "resnet18"


class DilatedResNet34(DilatedResNet):
    """The same with 3, 4, 6 and 3 basic blocks; arguments as in `DilatedResNet`.

    Example:
        >>> DilatedResNet34(3, output_stride=16)(torch.rand(1, 3, 33, 32)).shape
        torch.Size([1, 3, 33, 32])
    """

    encoder = "resnet34"


class DilatedResNet50(DilatedResNet):
    """The same with 3, 4, 6 and 3 bottleneck blocks; arguments as in `DilatedResNet`.

    Example:
        >>> DilatedResNet50(3, output_stride=16).output_stride
        (16, 16)
    """

    encoder = "resnet50"
