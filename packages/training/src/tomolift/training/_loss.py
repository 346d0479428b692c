"""The loss that trains and evaluates: fused with the up-sampling of low-resolution logits."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tomolift import ops
from tomolift.ops import reference

from ._device import Compute
from ._sampling import sampling_stride
from ._soft_dice import soft_dice_loss
from ._training_config import Sampling


def low_resolution_logits(
    network: nn.Module, images: Tensor, *, zoom: float, compute: Compute
) -> Tensor:
    """Run a network to its output-stride-8 logits, magnifying its input first.

    Args:
        network: 2D or 3D.
        images: float32 (N, 1, H, W) or (N, 1, D, H, W) in [0, 1].
        zoom: linear magnification of every spatial axis, align_corners=True.
        compute: device and precision.

    Returns:
        (N, classes, ...) logits at the network's output stride, in the autocast dtype.
    """
    if zoom != 1:
        size = [round(length * zoom) for length in images.shape[2:]]
        mode = "bilinear" if images.ndim == 4 else "trilinear"
        images = F.interpolate(images, size=size, mode=mode, align_corners=True)
    with compute.autocast():
        logits: Tensor = network(images, full_resolution=False)
    return logits


def loss_and_confusion(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    zoom: float,
    compute: Compute,
    ignore_label: int,
    sampling: Sampling = "corners",
    class_weights: Tensor | None = None,
    dice: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """The loss summed over valid voxels, and the confusion matrix, at the labels' grid.

    Args:
        network: 2D or 3D.
        images: float32 (N, 1, H, W) or (N, 1, D, H, W).
        labels: uint8 (N, H, W) or (N, D, H, W).
        zoom: as in `low_resolution_logits`.
        compute: device and precision.
        ignore_label: the label of voxels that count nowhere.
        sampling: how the logits are brought to the labels' grid.
        class_weights: (classes,) float32 on the device, of the cross-entropy; None weighs alike.
        dice: weight of the batch's soft-Dice loss, which every valid voxel has once.

    Returns:
        loss: float32 scalar, the sum; divide by `confusion.sum()` for the mean.
        confusion: int64 (classes, classes), rows truth.
    """
    logits = low_resolution_logits(network, images, zoom=zoom, compute=compute)
    stride = sampling_stride(network, labels.shape[1:], zoom=zoom, sampling=sampling)
    cross_entropy = fused_cross_entropy(logits.device)
    loss, confusion = cross_entropy(
        logits,
        labels,
        ignore_index=ignore_label,
        reduction="sum",
        stride=stride,
        weight=class_weights,
    )
    if dice:
        overlap = soft_dice_loss(logits, labels, stride=stride, ignore_label=ignore_label)
        loss = loss + dice * confusion.sum() * overlap
    return loss, confusion


def fused_cross_entropy(device: torch.device) -> Callable[..., tuple[Tensor, Tensor]]:
    """The native op; for CUDA, where it was built without, its plain-torch twin and a warning.

    The twin computes the same, in more time and with full-resolution logits in memory.
    """
    if device.type == "cuda" and not ops.build_info()["cuda"]:
        warnings.warn(
            "tomolift-ops was built without its CUDA part, the loss runs in plain torch: for the "
            "fused one install it with `TOMOLIFT_CUDA=ON pip install ./packages/ops`",
            RuntimeWarning,
            stacklevel=2,
        )
        return reference.upsampled_cross_entropy
    return ops.upsampled_cross_entropy
