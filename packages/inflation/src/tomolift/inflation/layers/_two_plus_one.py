"""The convolution of the TwoPlusOne strategy: one in the slice, then one across the slices."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .._depth import DepthGeometry
from .._strategies import Center
from ._depth_padded import DepthPaddedConv3d, pad_depth


class TwoPlusOneConv3d(DepthPaddedConv3d):
    """A (1, k, k) convolution without bias, followed by a (k, 1, 1) convolution with it.

    `weight` (out, in, 1, k, k) is the filter in the slice; `depth_weight` (out, out, k, 1, 1), the
    one across, starts as the identity.

    Args:
        across: kernel, stride, padding and dilation of the second convolution.
        *args, **kwargs: those of `DepthPaddedConv3d`, for the first; its kernel is 1 in depth.

    Example:
        >>> across = DepthGeometry(kernel=3, stride=1, padding=(1, 1), dilation=1)
        >>> conv = TwoPlusOneConv3d(4, 6, (1, 3, 3), across=across, depth_padding="replicate")
        >>> conv(torch.ones(1, 4, 5, 8, 8)).shape
        torch.Size([1, 6, 5, 6, 6])
    """

    def __init__(self, *args: Any, across: DepthGeometry, **kwargs: Any) -> None:
        super().__init__(*args, depth_pads=(0, 0), **kwargs)
        self.across = across
        identity = identity_across(self.out_channels, across.kernel)
        self.depth_weight = nn.Parameter(identity.to(self.weight))

    def _conv_forward(
        self,
        input: Float[Tensor, "batch channel depth height width"],
        weight: Tensor,
        bias: Tensor | None,
    ) -> Float[Tensor, "batch filter depth_out height_out width_out"]:
        """Convolve in the slice, pad depth, convolve across."""
        x = pad_depth(
            super()._conv_forward(input, weight, None), self.across.padding, self.depth_padding
        )
        stride, dilation = (self.across.stride, 1, 1), (self.across.dilation, 1, 1)
        return F.conv3d(x, self.depth_weight, bias, stride, 0, dilation)

    def extra_repr(self) -> str:
        """Conv3d's, with what happens across."""
        return f"{super().extra_repr()}, across={self.across}"


def identity_across(channels: int, taps: int) -> Float[Tensor, "out in depth 1 1"]:
    """Each channel to itself at the middle tap, or half at each of two (design fact F4)."""
    identity = torch.eye(channels, dtype=torch.float64)[:, :, None] * Center().taps(taps)
    return identity[..., None, None]
