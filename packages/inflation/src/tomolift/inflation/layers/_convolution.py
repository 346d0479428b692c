"""Conv2d, and the 3D convolution whose depth is padded apart from its plane."""

from __future__ import annotations

from typing import Any, cast

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .._depth import DepthPadding, Layer
from ._registry import register_layer


class DepthPaddedConv3d(nn.Conv3d):
    """A Conv3d that pads the depth by its own rule, and the plane by `padding_mode`.

    torch's `padding_mode` acts on all three axes, and zeros in depth spoil the end slices (design
    fact F2): a kernel of three averaging taps keeps 2/3 of the answer there. Names and shapes of
    the parameters are those of `nn.Conv3d`.

    Args:
        depth_padding: "zeros" or "replicate" (repeat the end slices).
        depth_pads: slices before and behind the volume; as `padding` says by default.
        *args, **kwargs: those of `nn.Conv3d`.

    Example:
        >>> import torch
        >>> conv = DepthPaddedConv3d(1, 1, 3, padding=1, bias=False, depth_padding="replicate")
        >>> y = conv(torch.ones(1, 1, 4, 5, 5))
        >>> torch.equal(y[:, :, 0], y[:, :, 2])
        True
    """

    def __init__(
        self,
        *args: Any,
        depth_padding: DepthPadding,
        depth_pads: tuple[int, int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.depth_padding = depth_padding
        *_, front, back = self._reversed_padding_repeated_twice
        self.depth_pads = depth_pads or (front, back)

    def forward(
        self, input: Float[Tensor, "batch channel depth height width"]
    ) -> Float[Tensor, "batch filter depth_out height_out width_out"]:
        """Pad depth, pad the plane, convolve."""
        left, right, top, bottom, _, _ = self._reversed_padding_repeated_twice
        front, back = self.depth_pads
        depth_mode = "replicate" if self.depth_padding == "replicate" else "constant"
        x = input
        if front or back:
            x = F.pad(x, (0, 0, 0, 0, front, back), mode=depth_mode)
        plane: tuple[int, int] = (top, left)
        if self.padding_mode != "zeros" or (top, left) != (bottom, right):
            plane_mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
            x = F.pad(x, (left, right, top, bottom, 0, 0), mode=plane_mode)
            plane = (0, 0)
        padding = (0, *plane)
        return F.conv3d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        """Conv3d's, with the depth padding."""
        own = f"depth_padding={self.depth_padding}, depth_pads={self.depth_pads}"
        return f"{super().extra_repr()}, {own}"


@register_layer(nn.Conv2d)
def inflate_convolution(module: nn.Conv2d, layer: Layer) -> nn.Conv3d:
    """Groups, dilation, stride and bias as they are; the filter by the layer's strategy."""
    height, width = module.kernel_size
    keyword = "same" if module.padding == "same" else None  # "valid" is padding 0 by another name
    rows, columns = (0, 0) if isinstance(module.padding, str) else module.padding
    depth = layer.convolution(
        kernel=height, stride=module.stride[0], padding=rows, dilation=module.dilation[0]
    )
    before, behind = depth.padding
    pads_depth = behind > 0 or (keyword is not None and depth.kernel > 1)
    plain = layer.depth_padding == "zeros" and (keyword is not None or before == behind)
    arguments: dict[str, Any] = {
        "in_channels": module.in_channels,
        "out_channels": module.out_channels,
        "kernel_size": (depth.kernel, height, width),
        "stride": (depth.stride, *module.stride),
        "padding": keyword or (before, rows, columns),
        "dilation": (depth.dilation, *module.dilation),
        "groups": module.groups,
        "bias": module.bias is not None,
        "padding_mode": module.padding_mode,
        "device": "meta",  # no storage and no random draw for values that are replaced below
    }
    if module.padding_mode == "zeros" and (plain or not pads_depth):
        twin = nn.Conv3d(**arguments)
    else:
        pads = None if keyword else depth.padding
        twin = DepthPaddedConv3d(**arguments, depth_padding=layer.depth_padding, depth_pads=pads)
    twin.weight = layer.inflate_filter(cast(nn.Parameter, module.weight), depth.kernel)
    if module.bias is not None:
        if not layer.strategy.keeps_source:
            nn.init.zeros_(module.bias)
        twin.bias = module.bias
    return twin
