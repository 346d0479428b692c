"""Padding layers: the plane as before, the depth with what the depth padding says."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .._depth import DepthPadding, Layer
from ._depth_padded import pad_depth
from ._registry import register_layer


class PlaneAndDepthPad3d(nn.Module):
    """Pads each slice by a layer for slices, then the depth by zeros or by its end slices.

    Replicated in depth whatever the plane's rule is: reflection fails where there are no more
    slices than it adds, and a constant would spoil the end slices (design fact F2).

    Args:
        plane: the layer for slices, which pads the last two axes.
        depth_pads: slices before and behind.
        depth_padding: "zeros" or "replicate".
    """

    def __init__(
        self, plane: nn.Module, depth_pads: tuple[int, int], depth_padding: DepthPadding
    ) -> None:
        super().__init__()
        # not a child: the 2D layer's names are to stay, and it has no state
        self.plane_padding = tuple(plane.padding)  # type: ignore[arg-type]
        self.mode = _MODES[type(plane)]
        self.value = float(getattr(plane, "value", 0.0))
        self.depth_pads = depth_pads
        self.depth_padding = depth_padding

    def forward(
        self, input: Float[Tensor, "batch channel depth height width"]
    ) -> Float[Tensor, "batch channel padded_depth padded_height padded_width"]:
        """Pad the plane, then the depth."""
        pads = (*self.plane_padding, 0, 0)
        value = self.value if self.mode == "constant" else None
        x = F.pad(input, pads, mode=self.mode, value=value)
        return pad_depth(x, self.depth_pads, self.depth_padding)

    def extra_repr(self) -> str:
        """What is padded, and how."""
        return (
            f"{self.plane_padding}, mode={self.mode}, depth_pads={self.depth_pads}, "
            f"depth_padding={self.depth_padding}"
        )


_MODES: dict[type[nn.Module], str] = {
    nn.ZeroPad2d: "constant",
    nn.ConstantPad2d: "constant",
    nn.ReflectionPad2d: "reflect",
    nn.ReplicationPad2d: "replicate",
    nn.CircularPad2d: "circular",
}


@register_layer(*_MODES)
def inflate_padding(module: Any, layer: Layer) -> PlaneAndDepthPad3d:
    """The depth gets the height's pads, since an unpadded convolution behind takes them off again.

    That keeps the number of slices where the size of a slice is kept, as in reflection padding
    followed by a convolution. A convolution that brings its own depth padding (`depth_kernel`, or
    `depth_stride=1` where it strides), or has one tap in depth, takes nothing off: behind such a
    layer in an nn.Sequential, or where the rules make all filters so, only the plane is padded.
    """
    *_, top, bottom = module.padding
    follower = layer.follower(module)
    if isinstance(follower, nn.Conv2d):
        takes = _taken_off(follower, layer)
    else:
        takes = layer.depth_kernel == "same" and not layer.keeps_slices
    return PlaneAndDepthPad3d(module, (top, bottom) if takes else (0, 0), layer.depth_padding)


def _taken_off(convolution: nn.Conv2d, layer: Layer) -> bool:
    """Whether the convolution has fewer slices behind it than depth stride alone would leave."""
    rows = 0 if isinstance(convolution.padding, str) else convolution.padding[0]
    depth = layer.convolution(
        kernel=convolution.kernel_size[0],
        stride=convolution.stride[0],
        padding=rows,
        dilation=convolution.dilation[0],
    )
    return depth.kernel > 1 and depth.padding == (rows, rows)
