"""Prediction from low-resolution logits, never up-sampling them in memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from tomolift.ops import _native
from tomolift.ops._arguments import check_logits, check_size, check_stride
from tomolift.ops._grid import Grid


def upsampled_argmax(
    low_logits: Float[Tensor, "batch class *low"],
    size: Sequence[int],
    *,
    align_corners: bool = True,
    stride: Sequence[int] | None = None,
) -> UInt8[Tensor, " batch *spatial"]:
    """Class of every voxel of the up-sampled logits, without the full-resolution logits.

    Args:
        low_logits: (N, C, h, w) or (N, C, d, h, w) with at most 255 classes.
        size: the output's spatial size, (H, W) or (D, H, W).
        align_corners: as in upsampled_cross_entropy.
        stride: as in upsampled_cross_entropy.

    Returns:
        uint8 (N, *size), the first maximum at every voxel.

    Raises:
        TypeError, ValueError: an argument's type, shape or value is not as above.
        RuntimeError: the logits are on CUDA and the CUDA part was not built.

    Example:
        >>> low = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).reshape(1, 2, 1, 2)
        >>> upsampled_argmax(low, (1, 4)).tolist()
        [[[1, 1, 0, 0]]]
    """
    check_logits("low_logits", low_logits)
    if low_logits.shape[1] > 255:
        raise ValueError(
            f"low_logits has {low_logits.shape[1]} classes, expected at most 255: the labels are "
            "uint8"
        )
    check_size(low_logits, size)
    steps = check_stride(stride, low_logits.dim() - 2)
    return _argmax_op(low_logits, list(size), align_corners, steps)


@torch.library.custom_op("tomolift::upsampled_argmax", mutates_args=())
def _argmax_op(
    low_logits: Tensor, size: Sequence[int], align_corners: bool, stride: Sequence[float] | None
) -> Tensor:
    steps = None if stride is None else tuple(stride)
    grid = Grid(size=tuple(size), align_corners=align_corners, stride=steps)
    return _native.upsampled_predictions(low_logits, grid)


@_argmax_op.register_fake
def _(
    low_logits: Tensor, size: Sequence[int], align_corners: bool, stride: Sequence[float] | None
) -> Tensor:
    return low_logits.new_empty((low_logits.shape[0], *size), dtype=torch.uint8)
