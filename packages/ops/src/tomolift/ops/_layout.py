"""How logits lie in memory: what the kernels read as it is, and the shapes they are told."""

from __future__ import annotations

import torch
from torch import Tensor

from tomolift.ops._grid import Grid


def memory_format_of(logits: Tensor) -> torch.memory_format:
    """Channels last where the logits lie so, else contiguous."""
    channels_last = torch.channels_last if logits.dim() == 4 else torch.channels_last_3d
    if not logits.is_contiguous() and logits.is_contiguous(memory_format=channels_last):
        return channels_last
    return torch.contiguous_format


def is_dense(logits: Tensor) -> bool:
    """Tell whether the kernels read the logits as they lie, in one of the two layouts."""
    return logits.is_contiguous(memory_format=memory_format_of(logits))


def empty_gradient(logits: Tensor) -> Tensor:
    """An unwritten gradient that lies in memory as the kernels read the logits."""
    return torch.empty_like(logits, memory_format=memory_format_of(logits))


def dense_layout(logits: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """Class planes or channels last, as they lie; any other strides are copied to class planes."""
    batch, classes = logits.shape[:2]
    voxels = logits.shape[2:].numel()
    if memory_format_of(logits) == torch.contiguous_format:
        strides = (classes * voxels, voxels, 1)
    else:
        strides = (classes * voxels, 1, classes)
    planes = logits.contiguous(memory_format=memory_format_of(logits))
    return planes, (batch, classes, voxels, *strides)


def upsampled_shape(low_logits: Tensor, grid: Grid) -> tuple[int, ...]:
    """The fields of the core's UpsampledShape; two spatial axes become (1, height, width)."""
    missing = 5 - low_logits.dim()
    batch, classes, *low_size = low_logits.shape
    stride_batch, stride_class, *stride_axis = low_logits.stride()
    one = [1] * missing
    return (
        batch, classes, *one, *low_size, *one, *grid.size,
        stride_batch, stride_class, *([0] * missing), *stride_axis,
    )  # fmt: skip
