"""What the ops accept: the options as one frozen value, and the checks with their messages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Reduction = Literal["none", "mean", "sum"]
Memory = Literal["store", "recompute", "inplace"]
CheckLabels = Literal["raise", "defer", "ignore"]

LOGITS_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
LABEL_DTYPES = (torch.uint8, torch.int16, torch.int32, torch.int64)


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a loss is computed; the same for both ops."""

    ignore_index: int | None
    label_smoothing: float
    reduction: str
    check_labels: str | None

    def __post_init__(self) -> None:
        """Refuse what is no option."""
        one_of("reduction", self.reduction, ("none", "mean", "sum"))
        if self.check_labels is not None:
            one_of("check_labels", self.check_labels, ("raise", "defer", "ignore"))
        if not 0.0 <= self.label_smoothing <= 1.0:
            raise ValueError(
                f"label_smoothing is {self.label_smoothing}, expected a number in [0, 1]"
            )
        if self.ignore_index is not None and not -(2**63) <= self.ignore_index < 2**63:
            raise ValueError(
                f"ignore_index is {self.ignore_index}, expected a 64-bit integer or None"
            )


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise ValueError where value is none of the allowed words."""
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}, expected one of {', '.join(map(repr, allowed))}")


def check_logits(name: str, logits: Tensor) -> None:
    """Raise where logits are not (N, C, H, W) or (N, C, D, H, W) of a supported type."""
    if logits.dtype not in LOGITS_DTYPES:
        raise TypeError(
            f"{name} is {logits.dtype}, expected float32, bfloat16, float16 or float64: convert it"
        )
    if logits.dim() not in (4, 5) or logits.shape[1] < 1:
        raise ValueError(
            f"{name} has shape {tuple(logits.shape)}, expected (N, C, H, W) or (N, C, D, H, W) "
            "with at least one class"
        )


def check_labels(logits: Tensor, labels: Tensor) -> None:
    """Raise where labels do not go with logits; sizes are the caller's matter but for the batch."""
    if labels.dtype not in LABEL_DTYPES:
        raise TypeError(
            f"labels is {labels.dtype}, expected uint8, int16, int32 or int64: convert it"
        )
    if labels.dim() != logits.dim() - 1 or labels.shape[0] != logits.shape[0]:
        raise ValueError(
            f"labels has shape {tuple(labels.shape)} and the logits {tuple(logits.shape)}, "
            "expected the same batch size and spatial axes, without the class axis"
        )
    if labels.device != logits.device:
        raise ValueError(
            f"labels is on {labels.device} and the logits on {logits.device}, expected one device"
        )


def check_weight(logits: Tensor, weight: Tensor | None) -> None:
    """Raise where weight is not one number a class, on the logits' device."""
    if weight is None:
        return
    classes = logits.shape[1]
    if weight.shape != (classes,) or not weight.dtype.is_floating_point:
        raise ValueError(
            f"weight has shape {tuple(weight.shape)} and type {weight.dtype}, expected {classes} "
            "floating-point numbers, one a class"
        )
    if weight.device != logits.device:
        raise ValueError(
            f"weight is on {weight.device} and the logits on {logits.device}, expected one device"
        )
    if weight.requires_grad:
        raise ValueError(
            "weight requires a gradient, expected a constant: pass weight.detach(), "
            "class weights are not trained"
        )


def check_stride(stride: Sequence[int] | None, spatial_dims: int) -> tuple[float, ...] | None:
    """Return stride as numbers; raise where it is not one positive number a spatial axis."""
    if stride is None:
        return None
    if len(stride) != spatial_dims or not all(0 < step < math.inf for step in stride):
        raise ValueError(
            f"stride is {tuple(stride)}, expected {spatial_dims} positive numbers, "
            "one a spatial axis"
        )
    return tuple(float(step) for step in stride)


def check_size(low_logits: Tensor, size: Sequence[int]) -> None:
    """Raise where logits cannot be up-sampled to size."""
    low_size = low_logits.shape[2:]
    if len(size) != len(low_size) or any(n < 0 for n in size):
        raise ValueError(
            f"size is {tuple(size)}, expected {len(low_size)} numbers, "
            "one a spatial axis of the logits"
        )
    if 0 in low_size and 0 not in size:
        raise ValueError(
            f"low_logits has shape {tuple(low_logits.shape)}, expected at least one sample an axis"
        )
    if max(*size, *low_size) >= 2**31:
        raise ValueError(f"size is {tuple(size)}, expected axes shorter than 2**31")
