"""ResNet-18, -34 and -50 up to their last map, under torchvision's names, in 2D and 3D."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from jaxtyping import Float
from torch import Tensor, nn

from ._blocks import BasicBlock, Bottleneck
from ._convolution import DepthPadding, SpatialDims, batch_norm, convolution, max_pool
from ._stem import convolve_stem
from ._strides import STAGES, OutputStride, Strides

EncoderName = Literal["resnet18", "resnet34", "resnet50"]
# Children that every network here has, and that a torchvision checkpoint fills.
ENCODER_LAYERS = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")
STEM_CHANNELS = 64


@dataclass(frozen=True)
class Architecture:
    """Attributes: the kind of block, how many in each stage, and the stages' channels."""

    block: type[BasicBlock] | type[Bottleneck]
    num_blocks: tuple[int, int, int, int]
    channels: tuple[int, int, int, int]


ARCHITECTURES: Mapping[EncoderName, Architecture] = {
    "resnet18": Architecture(BasicBlock, (2, 2, 2, 2), (64, 128, 256, 512)),
    "resnet34": Architecture(BasicBlock, (3, 4, 6, 3), (64, 128, 256, 512)),
    "resnet50": Architecture(Bottleneck, (3, 4, 6, 3), (256, 512, 1024, 2048)),
}


class ResNetEncoder(nn.Module):
    """Stem and four stages; a network here is one of these with a head or a decoder on it.

    The layers are children of the network itself, so that a torchvision checkpoint fits any of
    the networks as it is. `forward` of a subclass asks its layers for the rank, so that it also
    serves a copy whose layers were converted to 3D.

    Args:
        name: which ResNet.
        spatial_dims: 2 or 3.
        in_channels: channels of the stem's filters.
        depth_padding: what padded convolutions find beyond the end slices.
        output_stride: of the last map in the plane; 8 and 16 dilate in place of striding.
        depth_strides: at conv1, maxpool and layer1 to layer4; not used with `spatial_dims=2`.
    """

    def __init__(
        self,
        name: EncoderName,
        *,
        spatial_dims: SpatialDims,
        in_channels: int,
        depth_padding: DepthPadding,
        output_stride: OutputStride,
        depth_strides: Strides,
    ) -> None:
        super().__init__()
        architecture, stages = ARCHITECTURES[name], STAGES[output_stride]

        def layer(index: int) -> nn.Sequential:
            after = architecture.channels[index]
            before = architecture.channels[index - 1] if index else STEM_CHANNELS
            first = architecture.block(
                before,
                after,
                spatial_dims=spatial_dims,
                stride=stages.strides[index + 2],
                depth_stride=depth_strides[index + 2],
                dilation=stages.dilations[index],
                depth_padding=depth_padding,
                project=before != after,
            )
            others = [
                architecture.block(
                    after,
                    after,
                    spatial_dims=spatial_dims,
                    dilation=stages.dilations[index],
                    depth_padding=depth_padding,
                )
                for _ in range(architecture.num_blocks[index] - 1)
            ]
            return nn.Sequential(first, *others)

        self.conv1 = convolution(
            in_channels,
            STEM_CHANNELS,
            kernel=7,
            spatial_dims=spatial_dims,
            stride=stages.strides[0],
            depth_stride=depth_strides[0],
            depth_padding=depth_padding,
        )
        self.bn1 = batch_norm(STEM_CHANNELS, spatial_dims=spatial_dims)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = max_pool(spatial_dims=spatial_dims, depth_stride=depth_strides[1])
        self.layer1, self.layer2, self.layer3, self.layer4 = (layer(index) for index in range(4))

    @property
    def spatial_dims(self) -> int:
        """2 for slices, 3 for volumes."""
        return self.conv1.weight.ndim - 2

    @property
    def in_channels(self) -> int:
        """Channels of the stem's filters."""
        return self.conv1.in_channels

    def _strides(self) -> list[tuple[int, ...]]:
        """Strides per axis at conv1, maxpool, and layer1 to layer4, as the layers have them."""
        pool = self.maxpool.stride
        layers = (self.layer1, self.layer2, self.layer3, self.layer4)
        return [
            self.conv1.stride,
            pool if isinstance(pool, tuple) else (pool,) * self.spatial_dims,
            *(cast(BasicBlock | Bottleneck, layer[0]).stride for layer in layers),
        ]

    def _stem(
        self, x: Float[Tensor, "batch channel *space"]
    ) -> Float[Tensor, "batch filter *down"]:
        """Return the first map, before the pool.

        Raises:
            ValueError: the input's rank or channel count does not fit.
        """
        self._check_input(x)
        return self.relu(self.bn1(convolve_stem(self.conv1, x)))

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
