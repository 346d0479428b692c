"""A U-Net on a ResNet encoder, for slices and for volumes."""

from __future__ import annotations

from math import prod
from typing import Final, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ._arguments import check_choice, check_counts, check_depth_options
from ._convolution import DepthPadding, SpatialDims, convolution
from ._decoder import DecoderBlock, Upsampling
from ._encoder import ARCHITECTURES, STEM_CHANNELS, EncoderName, ResNetEncoder
from ._initialise import initialise
from ._interpolate import resize_linearly
from ._strides import STAGES, Strides, resolve_depth_stride

DepthStride = Literal["same"] | int | Strides
_ENCODER_STRIDE: Final = 32  # a ResNet's own: the decoder brings the resolution back, not dilation


class UNet(ResNetEncoder):
    """ResNet encoder, and a decoder that joins its maps at strides 16, 8, 4 and 2.

    Layout (N, C, H, W) with `spatial_dims=2`, (N, C, D, H, W) with 3; sides of any length; C is
    `in_channels`, or 1, which means that many equal channels (grey folding). The encoder's
    parameter names are torchvision's, so that `load_pretrained` fills it from a classifier's or a
    dilated network's weights; the others begin with `decoder.` and `head.`. Names do not depend on
    `spatial_dims` and depth options.

    Source: Ronneberger et al. 2015; the paper names U-Net-like networks as future work.

    Args:
        num_classes: number of classes, >= 1.
        encoder: "resnet18", "resnet34" or "resnet50", without dilation, output stride 32.
        spatial_dims: 2 or 3.
        in_channels: channels of the stem's filters, >= 1.
        upsampling: "linear" interpolates, align_corners=True; "transposed" learns filters as large
            as the stride, which do not overlap.
        decoder_channels: filters of the decoder's blocks from the deepest up. Four end at half the
            input's size; a fifth is a block at its full size, which has no skip.
        depth_padding: "zeros", or "replicate": repeat the end slices, in depth only.
        depth_stride: strides along depth at conv1, maxpool, layer1, layer2, layer3, layer4. "same"
            takes those of the plane, 2 2 1 2 2 2; an int replaces the twos, so that 1 keeps every
            slice; a tuple gives all six, such as (1, 1, 1, 2, 2, 2) for thick slices.
        generator: source of the initial weights (kaiming_normal fan_out over all axes, transposed
            convolutions N(0, 1 / in_channels), BatchNorm 1 and 0, head N(0, 0.01), biases 0);
            None draws from torch's global generator.

    Raises:
        ValueError: an argument outside its range, or a depth option other than the default
            with `spatial_dims=2`.

    Example:
        >>> network = UNet(3, spatial_dims=3, decoder_channels=(64, 32, 16, 16))
        >>> volume = torch.rand(1, 1, 9, 33, 50)
        >>> network(volume, full_resolution=False).shape
        torch.Size([1, 3, 5, 17, 25])
        >>> network(volume).shape
        torch.Size([1, 3, 9, 33, 50])
    """

    def __init__(
        self,
        num_classes: int = 3,
        *,
        encoder: EncoderName = "resnet18",
        spatial_dims: SpatialDims = 2,
        in_channels: int = 3,
        upsampling: Upsampling = "linear",
        decoder_channels: tuple[int, ...] = (256, 128, 64, 32),
        depth_padding: DepthPadding = "zeros",
        depth_stride: DepthStride = "same",
        generator: torch.Generator | None = None,
    ) -> None:
        check_counts(num_classes=num_classes, in_channels=in_channels)
        check_choice("encoder", encoder, ARCHITECTURES)
        check_choice("upsampling", upsampling, ("linear", "transposed"))
        _check_decoder_channels(decoder_channels)
        check_depth_options(spatial_dims, depth_padding, depth_stride)
        # Built without storage and drawn once, as the dilated networks are.
        device = torch.get_default_device()
        with torch.device("meta"):
            super().__init__(
                encoder,
                spatial_dims=spatial_dims,
                in_channels=in_channels,
                depth_padding=depth_padding,
                output_stride=_ENCODER_STRIDE,
                depth_strides=resolve_depth_stride(depth_stride, STAGES[_ENCODER_STRIDE].strides),
            )
            first, second, third, deepest = ARCHITECTURES[encoder].channels
            befores = (deepest, *decoder_channels)
            skips = (third, second, first, STEM_CHANNELS, 0)
            self.decoder = nn.ModuleList(
                DecoderBlock(
                    before,
                    skip,
                    after,
                    spatial_dims=spatial_dims,
                    upsampling=upsampling,
                    factors=factors,
                    depth_padding=depth_padding,
                )
                for before, skip, after, factors in zip(
                    befores, skips, decoder_channels, self._factors(), strict=False
                )
            )
            self.head = convolution(
                decoder_channels[-1], num_classes, kernel=1, spatial_dims=spatial_dims, bias=True
            )
        self.to_empty(device=device)
        initialise(self, head=self.head, generator=generator)

    def forward(
        self, x: Float[Tensor, "batch channel *space"], *, full_resolution: bool = True
    ) -> Float[Tensor, "batch num_classes *out"]:
        """Return class logits, the same way in train and eval mode.

        Args:
            x: (N, in_channels or 1, [D,] H, W), floating point.
            full_resolution: True up-samples bilinearly or trilinearly with align_corners=True to
                the input's size; False gives the logits at `output_stride`, each side
                ceil(side / stride), for a loss fused with the up-sampling.

        Returns:
            (N, num_classes, [D,] H, W), or the low-resolution logits.

        Raises:
            ValueError: the input's rank or channel count does not fit.
        """
        size = x.shape[2:]
        maps = [self._stem(x)]
        maps.append(self.layer1(self.maxpool(maps[0])))
        for layer in (self.layer2, self.layer3, self.layer4):
            maps.append(layer(maps[-1]))
        x = maps.pop()
        for block in self.decoder:
            skip = maps.pop() if maps else None
            x = block(x, skip, size if skip is None else skip.shape[2:])
        logits = self.head(x)
        if not full_resolution or self._ends_at_full_size():
            return logits
        return resize_linearly(logits, size)

    @property
    def num_classes(self) -> int:
        """Number of output classes."""
        return self.head.out_channels

    @property
    def output_stride(self) -> tuple[int, ...]:
        """Input cells per logit, per axis: (2, 2) or (depth, 2, 2); ones with a fifth block."""
        return (1,) * self.spatial_dims if self._ends_at_full_size() else self.conv1.stride

    def _ends_at_full_size(self) -> bool:
        return len(self.decoder) == 5

    def _factors(self) -> list[tuple[int, ...]]:
        """By how much each decoder block enlarges, per axis, from the deepest up."""
        conv1, maxpool, layer1, layer2, layer3, layer4 = self._strides()
        pooled = tuple(prod(per_axis) for per_axis in zip(maxpool, layer1, strict=True))
        return [layer4, layer3, layer2, pooled, conv1]


def _check_decoder_channels(decoder_channels: tuple[int, ...]) -> None:
    counts = isinstance(decoder_channels, tuple) and all(
        type(channels) is int and channels >= 1 for channels in decoder_channels
    )
    if not counts or len(decoder_channels) not in (4, 5):
        raise ValueError(
            f"decoder_channels={decoder_channels!r}, expected a tuple of four or five ints >= 1: "
            "pass one number for each block, the deepest first"
        )
