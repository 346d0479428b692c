"""What is timed: tomolift.ops and its peers, each from logits to a finished backward pass."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
from measuring.race import ALIKE, Contender
from torch import Tensor
from torch.nn import functional as F

from losses.problem import Problem
from tomolift.ops import upsampled_cross_entropy, voxel_cross_entropy


def ours(problem: Problem, *, labels: Tensor | None = None, **options: Any) -> Contender:
    """Loss, gradient and confusion matrix by voxel_cross_entropy."""
    truth = problem.labels if labels is None else labels

    def step(logits: Tensor) -> tuple[Tensor, Tensor]:
        loss, confusion = voxel_cross_entropy(logits, truth, **options)
        loss.backward()
        return loss.detach(), confusion

    return Contender(problem.logits, step)


def eager(problem: Problem, **options: Any) -> Contender:
    """Loss and gradient by F.cross_entropy; its int64 labels are made beforehand.

    In low precision torch also adds the losses up in it: on the CPU the mean over 4.6 million
    voxels was 1.375 in bfloat16 and NaN in float16, where 1.391 is right (torch 2.13).
    """
    indices = problem.labels.long()
    low = problem.values.dtype in (torch.bfloat16, torch.float16)

    def step(logits: Tensor) -> tuple[Tensor, None]:
        loss = F.cross_entropy(logits, indices, **options)
        loss.backward()
        return loss.detach(), None

    return Contender(problem.logits, step, computes="a rounded loss" if low else ALIKE)


def eager_with_confusion(problem: Problem) -> Contender:
    """F.cross_entropy, then argmax and bincount."""
    indices = problem.labels.long()

    def step(logits: Tensor) -> tuple[Tensor, Tensor]:
        loss = F.cross_entropy(logits, indices)
        loss.backward()
        return loss.detach(), confusion_by_bincount(logits.detach(), indices)

    return Contender(problem.logits, step)


def confusion_by_bincount(logits: Tensor, indices: Tensor) -> Tensor:
    classes = logits.shape[1]
    pairs = indices * classes + logits.argmax(dim=1)
    return torch.bincount(pairs.flatten(), minlength=classes**2).reshape(classes, classes)


def torchmetrics_confusion(problem: Problem, *, rounds: int) -> Contender | None:
    """The confusion matrix alone, by torchmetrics; None where that is not installed."""
    if find_spec("torchmetrics") is None:
        return None
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    indices = problem.labels.long()

    def step(logits: Tensor) -> tuple[None, Tensor]:
        return None, multiclass_confusion_matrix(logits, indices, logits.shape[1])

    return Contender(problem.inputs, step, rounds)


def copy(problem: Problem) -> Contender:
    """The floor: the logits read once and written once, both tensors resident."""
    target = torch.empty_like(problem.values).copy_(problem.values)

    def step(logits: Tensor) -> None:
        target.copy_(logits)

    return Contender(problem.inputs, step)


def upsampled_ours(problem: Problem, **options: Any) -> Contender:
    """Loss, gradient and confusion matrix by upsampled_cross_entropy."""

    def step(low: Tensor) -> tuple[Tensor, Tensor]:
        loss, confusion = upsampled_cross_entropy(low, problem.labels, **options)
        loss.backward()
        return loss.detach(), confusion

    return Contender(problem.logits, step)


def upsampled_eager(problem: Problem) -> Contender:
    """F.interpolate, then F.cross_entropy."""
    indices = problem.labels.long()

    def step(low: Tensor) -> tuple[Tensor, None]:
        loss = F.cross_entropy(upsample(low, indices.shape[1:]), indices)
        loss.backward()
        return loss.detach(), None

    return Contender(problem.logits, step)


def upsample(low: Tensor, size: tuple[int, ...]) -> Tensor:
    mode = "bilinear" if len(size) == 2 else "trilinear"
    return F.interpolate(low, size, mode=mode, align_corners=True)
