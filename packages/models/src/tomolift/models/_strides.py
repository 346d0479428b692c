"""Where a ResNet strides and dilates: in the plane by its output stride, in depth by choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

PLACES = ("conv1", "maxpool", "layer1", "layer2", "layer3", "layer4")
Strides = tuple[int, int, int, int, int, int]
OutputStride = Literal[8, 16, 32]
AnyDepthStride = Literal["same"] | int | tuple[int, ...]


@dataclass(frozen=True)
class Stages:
    """What a stage does in the plane.

    Attributes:
        strides: at each of `PLACES`.
        dilations: of every 3x3 convolution of layer1 to layer4.
    """

    strides: Strides
    dilations: tuple[int, int, int, int]


# Where a stride is left out, dilation takes its place, in the whole stage (paper, the 2D network).
STAGES: Mapping[OutputStride, Stages] = {
    8: Stages((2, 2, 1, 2, 1, 1), (1, 1, 2, 4)),
    16: Stages((2, 2, 1, 2, 2, 1), (1, 1, 1, 2)),
    32: Stages((2, 2, 1, 2, 2, 2), (1, 1, 1, 1)),
}


def resolve_depth_stride(
    depth_stride: AnyDepthStride, plane: Strides, *, places: int = len(PLACES)
) -> Strides:
    """Return the depth stride at each of `PLACES`.

    Args:
        depth_stride: "same" takes those of the plane; an int stands at every place that strides in
            the plane, so that 1 keeps every slice; a tuple gives the first `places` strides.
        plane: strides in the plane.
        places: how many places a tuple has to give; the others have stride 1.

    Raises:
        ValueError: none of these.

    Example:
        >>> resolve_depth_stride(1, STAGES[8].strides)
        (1, 1, 1, 1, 1, 1)
        >>> resolve_depth_stride((2, 1, 1, 2, 1), STAGES[8].strides, places=5)
        (2, 1, 1, 2, 1, 1)
    """
    if depth_stride == "same":
        return plane
    given = depth_stride if isinstance(depth_stride, tuple) else (depth_stride,) * places
    if len(given) != places or not all(type(stride) is int and stride >= 1 for stride in given):
        counted = {5: "five", 6: "six"}[places]
        raise ValueError(
            f"depth_stride={depth_stride!r}, expected 'same', an int >= 1 or a tuple of {counted} "
            f"({', '.join(PLACES[:places])}): pass one of them"
        )
    if isinstance(depth_stride, int):
        given = tuple(depth_stride if stride > 1 else 1 for stride in plane)
    conv1, maxpool, layer1, layer2, layer3, layer4 = (*given, 1)[: len(PLACES)]
    return conv1, maxpool, layer1, layer2, layer3, layer4
