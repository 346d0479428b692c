"""The 3D convolution whose depth is padded apart from its plane."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .._depth import DepthPadding


def pad_depth(
    volume: Float[Tensor, "batch channel depth height width"],
    pads: tuple[int, int],
    depth_padding: DepthPadding,
) -> Float[Tensor, "batch channel padded_depth height width"]:
    """A volume with `pads` slices before and behind it, zeros or its end slices repeated."""
    if pads == (0, 0):
        return volume
    mode = "replicate" if depth_padding == "replicate" else "constant"
    return F.pad(volume, (0, 0, 0, 0, *pads), mode=mode)


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

    def _conv_forward(
        self,
        input: Float[Tensor, "batch channel depth height width"],
        weight: Tensor,
        bias: Tensor | None,
    ) -> Float[Tensor, "batch filter depth_out height_out width_out"]:
        """Pad depth, pad the plane, convolve; what Conv3d's `forward` calls."""
        x = pad_depth(input, self.depth_pads, self.depth_padding)
        left, right, top, bottom, _, _ = self._reversed_padding_repeated_twice
        plane: tuple[int, int] = (top, left)
        if self.padding_mode != "zeros" or (top, left) != (bottom, right):
            plane_mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
            x = F.pad(x, (left, right, top, bottom, 0, 0), mode=plane_mode)
            plane = (0, 0)
        padding = (0, *plane)
        return F.conv3d(x, weight, bias, self.stride, padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        """Conv3d's, with the depth padding."""
        own = f"depth_padding={self.depth_padding}, depth_pads={self.depth_pads}"
        return f"{super().extra_repr()}, {own}"
