"""The convolution of the ACS strategy: one 2D filter bank that looks along three planes."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .._beyond_paper import ACS
from ._depth_padded import DepthPaddedConv3d


class AcsConv3d(DepthPaddedConv3d):
    """A Conv3d whose filters are flat, a third of them in each plane; its weight is a Conv2d's.

    Args:
        *args, **kwargs: those of `DepthPaddedConv3d`; the kernel has one size along all axes.

    Example:
        >>> conv = AcsConv3d(4, 6, 3, padding=1, depth_padding="replicate")
        >>> conv.weight.shape, conv(torch.ones(1, 4, 5, 8, 8)).shape
        (torch.Size([6, 4, 3, 3]), torch.Size([1, 6, 5, 8, 8]))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.weight = nn.Parameter(torch.empty_like(self.weight[:, :, 0]))
        self.reset_parameters()

    def _conv_forward(
        self,
        input: Float[Tensor, "batch channel depth height width"],
        weight: Float[Tensor, "filter channel_of_group rows columns"],
        bias: Tensor | None,
    ) -> Float[Tensor, "batch filter depth_out height_out width_out"]:
        """Turn the filters around, then convolve once."""
        filters = ACS().inflate_weight(weight, self.kernel_size[0])
        return super()._conv_forward(input, filters, bias)
