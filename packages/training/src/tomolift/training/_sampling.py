"""Where a voxel reads the low-resolution logits: the sampling rule's argument for the ops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import nn

from ._training_config import Sampling


def sampling_stride(
    network: nn.Module, size: Sequence[int], *, zoom: float, sampling: Sampling
) -> tuple[int, ...] | None:
    """The `stride` argument of the ops for a rule.

    "corners" lays the first and last logits of an axis on its first and last voxels (paper):
    with stride 8 and depth 70 the last logit, centred at slice 64, is stretched to slice 69.
    "stride" reads voxel i at position i / stride, where the network looked. A magnified input
    counts: its voxel i lies at i (Z - 1) / (n - 1) of the Z magnified positions.

    Args:
        network: has `output_stride`, one number an axis (used for "stride" only).
        size: the labels' spatial size.
        zoom: magnification of the input, align_corners=True.
        sampling: the rule.

    Returns:
        One number an axis, or None for "corners", which needs none.
    """
    if sampling == "corners":
        return None
    output_stride = cast("tuple[int, ...]", network.output_stride)
    steps = tuple(
        step * _shrinking(length, zoom) for step, length in zip(output_stride, size, strict=True)
    )
    return cast("tuple[int, ...]", steps)  # the ops take any positive numbers


def _shrinking(length: int, zoom: float) -> float:
    """Voxels of the labels' grid a magnified position; one slice alone lies at 0 anyway."""
    if zoom == 1 or length == 1:
        return 1.0
    return (length - 1) / (round(length * zoom) - 1)
