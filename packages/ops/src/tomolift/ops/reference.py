"""Plain-torch twins of the ops: the same arguments and results, on any device, for any size.

They hold full-resolution logits and log-probabilities in memory and need neither the extension nor
a particular device; the tests run them in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Integer, UInt8
from torch import Tensor
from torch.nn import functional as F


def voxel_cross_entropy(
    logits: Float[Tensor, "batch class *spatial"],
    labels: Integer[Tensor, " batch *spatial"],
    *,
    weight: Float[Tensor, " class"] | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: Literal["none", "mean", "sum"] = "mean",
    memory: Literal["store", "recompute", "inplace"] = "store",
    check_labels: Literal["raise", "defer", "ignore"] | None = None,
) -> tuple[Float[Tensor, "*loss"], Integer[Tensor, "truth prediction"]]:
    """tomolift.ops.voxel_cross_entropy by F.cross_entropy, argmax and bincount.

    Args:
        logits: (N, C, H, W) or (N, C, D, H, W).
        labels: (N, H, W) or (N, D, H, W), any integer type.
        weight: (C,) or None.
        ignore_index: the label whose voxels take part in nothing.
        label_smoothing: in [0, 1].
        reduction: "mean", "sum" or "none".
        memory: accepted for the signature's sake; autograd keeps what it keeps.
        check_labels: "ignore", or anything else to look at once.

    Returns:
        The loss, at least float32, and the int64 confusion matrix (C, C).

    Raises:
        IndexError: a label is neither in [0, C) nor ignore_index.

    Example:
        >>> loss, _ = voxel_cross_entropy(torch.zeros(1, 2, 1, 1), torch.zeros(1, 1, 1).long())
        >>> round(loss.item(), 4)
        0.6931
    """
    classes = logits.shape[1]
    labels = labels.long()
    inside = (labels >= 0) & (labels < classes)
    ignored = torch.zeros_like(inside) if ignore_index is None else labels == ignore_index
    wrong = ~inside & ~ignored
    if check_labels != "ignore" and bool(wrong.any()):
        value = int(labels[wrong][0])
        raise IndexError(f"labels has {value}, expected 0 to {classes - 1} or {ignore_index=}")
    valid = inside & ~ignored
    target = torch.where(valid, labels, -100)
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    # an ignored voxel's logits must not reach the gradient, not even as NaN
    masked = torch.where(valid.unsqueeze(1), logits, torch.zeros_like(logits))
    loss = F.cross_entropy(
        masked,
        target,
        weight=None if weight is None else weight.to(logits.dtype),
        ignore_index=-100,
        label_smoothing=label_smoothing,
        reduction=reduction,
    )
    code = labels[valid] * classes + logits.detach().argmax(dim=1)[valid]
    confusion = torch.bincount(code, minlength=classes * classes).reshape(classes, classes)
    return loss, confusion


def upsampled_cross_entropy(
    low_logits: Float[Tensor, "batch class *low"],
    labels: Integer[Tensor, " batch *spatial"],
    *,
    align_corners: bool = True,
    stride: Sequence[int] | None = None,
    weight: Float[Tensor, " class"] | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: Literal["none", "mean", "sum"] = "mean",
    check_labels: Literal["raise", "defer", "ignore"] | None = None,
) -> tuple[Float[Tensor, "*loss"], Integer[Tensor, "truth prediction"]]:
    """tomolift.ops.upsampled_cross_entropy by upsample and voxel_cross_entropy.

    Args:
        low_logits: (N, C, h, w) or (N, C, d, h, w).
        labels: (N, H, W) or (N, D, H, W).
        align_corners: as in F.interpolate; not used where stride is given.
        stride: one number a spatial axis, or None.
        weight: (C,) or None.
        ignore_index: the label whose voxels take part in nothing.
        label_smoothing: in [0, 1].
        reduction: "mean", "sum" or "none".
        check_labels: "ignore", or anything else to look at once.

    Returns:
        The loss, at least float32, and the int64 confusion matrix (C, C).

    Raises:
        IndexError: a label is neither in [0, C) nor ignore_index.

    Example:
        >>> labels = torch.zeros(1, 4, 4, dtype=torch.uint8)
        >>> loss, _ = upsampled_cross_entropy(torch.zeros(1, 2, 2, 2), labels)
        >>> round(loss.item(), 4)
        0.6931
    """
    if low_logits.dtype in (torch.float16, torch.bfloat16):
        low_logits = low_logits.float()
    logits = upsample(low_logits, labels.shape[1:], align_corners=align_corners, stride=stride)
    return voxel_cross_entropy(
        logits,
        labels,
        weight=weight,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction=reduction,
        check_labels=check_labels,
    )


def upsampled_argmax(
    low_logits: Float[Tensor, "batch class *low"],
    size: Sequence[int],
    *,
    align_corners: bool = True,
    stride: Sequence[int] | None = None,
) -> UInt8[Tensor, " batch *spatial"]:
    """tomolift.ops.upsampled_argmax by upsample and argmax.

    Args:
        low_logits: (N, C, h, w) or (N, C, d, h, w) with at most 255 classes.
        size: the output's spatial size.
        align_corners: as in F.interpolate; not used where stride is given.
        stride: one number a spatial axis, or None.

    Returns:
        uint8 (N, *size).

    Example:
        >>> low = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).reshape(1, 2, 1, 2)
        >>> upsampled_argmax(low, (1, 4)).tolist()
        [[[1, 1, 0, 0]]]
    """
    if low_logits.dtype in (torch.float16, torch.bfloat16):
        low_logits = low_logits.float()
    logits = upsample(low_logits, size, align_corners=align_corners, stride=stride)
    return logits.argmax(dim=1).to(torch.uint8)


def upsample(
    low_logits: Float[Tensor, "batch class *low"],
    size: Sequence[int],
    *,
    align_corners: bool = True,
    stride: Sequence[int] | None = None,
) -> Float[Tensor, "batch class *spatial"]:
    """Linear interpolation to size: F.interpolate, or with a stride at positions i / stride.

    Args:
        low_logits: (N, C, h, w) or (N, C, d, h, w).
        size: the output's spatial size.
        align_corners: as in F.interpolate; not used where stride is given.
        stride: one number a spatial axis; positions are clamped to the last sample.

    Returns:
        (N, C, *size).

    Example:
        >>> upsample(torch.tensor([0.0, 1.0]).reshape(1, 1, 1, 2), (1, 5), stride=(1, 2)).tolist()
        [[[[0.0, 0.5, 1.0, 1.0, 1.0]]]]
    """
    if stride is None:
        mode = "bilinear" if low_logits.dim() == 4 else "trilinear"
        return F.interpolate(low_logits, list(size), mode=mode, align_corners=align_corners)
    result = low_logits
    for axis, (length, step) in enumerate(zip(size, stride, strict=True), start=2):
        last = low_logits.shape[axis] - 1
        if step == 1:  # copied, as F.interpolate does with an axis of equal length
            only = torch.arange(length, device=low_logits.device).clamp(max=last)
            result = result.index_select(axis, only)
            continue
        index = torch.arange(length, dtype=torch.float64, device=low_logits.device)
        position = (index / step).clamp(max=last)
        lower = position.long()
        shape = [1] * low_logits.dim()
        shape[axis] = length
        weight = (position - lower).to(low_logits.dtype).reshape(shape)
        below = result.index_select(axis, lower)
        above = result.index_select(axis, (lower + 1).clamp(max=last))
        result = torch.lerp(below, above, weight)
    return result
