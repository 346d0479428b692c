"""The soft-Dice loss of low-resolution logits, one case at a time in memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from tomolift.ops import reference


def soft_dice_loss(
    low_logits: Float[Tensor, "batch class *low"],
    labels: Integer[Tensor, " batch *spatial"],
    *,
    stride: Sequence[int] | None,
    ignore_label: int,
) -> Float[Tensor, ""]:
    """1 minus the mean soft Dice of the foreground classes over a whole batch.

    Dice of class c is 2 sum(p_c t_c) / (sum(p_c) + sum(t_c)) over the valid voxels of the batch,
    p softmax probabilities at the labels' grid, t one-hot truth. A class without a voxel in the
    batch's truth is left out: its Dice would be 0 whatever is predicted, and cross-entropy
    already punishes its false positives. Batches without foreground have loss 0.

    The full-resolution probabilities of one case at a time exist, and are computed again in
    backward (no BatchNorm is among what is computed twice).

    Args:
        low_logits: the network's output, any float dtype; float32 from here on.
        labels: at full resolution.
        stride: as in ops.upsampled_cross_entropy; None lays corners on corners.
        ignore_label: the label of voxels that take part in nothing.

    Returns:
        float32 scalar, in [0, 1].
    """
    low = low_logits.float() if low_logits.dtype != torch.float64 else low_logits
    sums = torch.stack(
        [
            checkpoint(_sums, one, truth, stride, ignore_label, use_reentrant=False)
            for one, truth in zip(low.split(1), labels.split(1), strict=True)
        ]
    ).sum(0)
    overlap, predicted, true = sums[:, 1:]
    occurs = true > 0
    if not bool(occurs.any()):
        return (sums * 0).sum()
    dice = 2 * overlap[occurs] / (predicted[occurs] + true[occurs])
    return 1 - dice.mean()


def _sums(
    low: Tensor, labels: Tensor, stride: Sequence[int] | None, ignore_label: int
) -> Float[Tensor, "3 class"]:
    """Overlap, predicted and true mass of every class of one case."""
    logits = reference.upsample(low, labels.shape[1:], stride=stride)
    valid = labels != ignore_label
    probabilities = logits.softmax(1) * valid.unsqueeze(1)
    classes = torch.arange(low.shape[1], device=low.device)
    shape = [1, -1] + [1] * (labels.ndim - 1)
    truth = (labels.unsqueeze(1) == classes.reshape(shape)) & valid.unsqueeze(1)
    axes = [0, *range(2, logits.ndim)]
    overlap = (probabilities * truth).sum(axes)
    return torch.stack([overlap, probabilities.sum(axes), truth.sum(axes).to(overlap)])
