"""Which depth taps of a transposed convolution meet in one output slice (polyphase rule)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from ._strategies import Strategy

Phases = tuple[tuple[int, ...], ...]


def depth_phases(kernel: int, stride: int, dilation: int = 1) -> Phases:
    """The taps behind the output slices o with o mod stride = 0, 1, ..., up to a shift by padding.

    Tap t carries input slice i to output slice i * stride + t * dilation - padding, so an output
    slice only meets the taps of one residue class, (t * dilation) mod stride.

    Returns:
        A tuple of taps for every class; an empty one means slices that no tap reaches.

    Example:
        >>> depth_phases(4, 2), depth_phases(3, 2), depth_phases(2, 2, dilation=2)
        (((0, 2), (1, 3)), ((0, 2), (1,)), ((0, 1), ()))
    """
    return tuple(
        tuple(tap for tap in range(kernel) if tap * dilation % stride == residue)
        for residue in range(stride)
    )


def inflate_phases(
    strategy: Strategy, weight: Float[Tensor, "in out height width"], phases: Phases
) -> Float[Tensor, "in out depth height width"]:
    """The 3D filter of a transposed convolution: the strategy applied to each class of taps.

    An output slice of a depth-constant volume is exact iff the taps of its class sum to the 2D
    filter (design fact F5): kernel = stride copies the filter unscaled, kernel 4 with stride 2
    takes halves, kernel 3 with stride 2 takes (0.5, 1, 0.5). A strategy that keeps nothing draws
    all taps at once.

    Args:
        strategy: what becomes of the filter within a class.
        weight: the 2D filter.
        phases: `depth_phases`, none of them empty.

    Example:
        >>> import torch
        >>> from tomolift.inflation import Average
        >>> filters = inflate_phases(Average(), torch.ones(1, 1, 1, 1), depth_phases(3, 2))
        >>> filters.flatten().tolist()
        [0.5, 1.0, 0.5]
    """
    num_taps = sum(len(taps) for taps in phases)
    if not strategy.keeps_source:
        return strategy.inflate_weight(weight, num_taps)
    inflated = weight.new_empty((*weight.shape[:2], num_taps, *weight.shape[2:]))
    for taps in phases:
        inflated[:, :, list(taps)] = strategy.inflate_weight(weight, len(taps))
    return inflated
