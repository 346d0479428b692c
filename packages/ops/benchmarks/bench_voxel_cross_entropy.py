"""The dense op against eager torch: logits (1, 3, 70, 128, 128), uint8 labels, 2 threads.

python -m pytest packages/ops/benchmarks/bench_voxel_cross_entropy.py -s
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from tomolift.ops import voxel_cross_entropy

SHAPE = (1, 3, 70, 128, 128)


def problem(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(SHAPE, generator=generator).to(dtype).requires_grad_()
    labels = torch.randint(0, 3, (1, *SHAPE[2:]), generator=generator, dtype=torch.uint8)
    return logits, labels


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("memory", ["store", "recompute"])
def test_loss_and_gradient_against_cross_entropy(
    against: Callable[..., float], dtype: torch.dtype, memory: Any
) -> None:
    logits, labels = problem(dtype)
    indices = labels.long()
    ratio = against(
        lambda: torch.autograd.grad(voxel_cross_entropy(logits, labels, memory=memory)[0], logits),
        lambda: torch.autograd.grad(F.cross_entropy(logits, indices), logits),
        size=SHAPE,
        dtype=str(dtype),
        memory=memory,
    )
    assert ratio > 1


def test_loss_gradient_and_confusion_against_argmax_and_bincount(
    against: Callable[..., float],
) -> None:
    logits, labels = problem(torch.float32)
    indices = labels.long()

    def eager() -> None:
        torch.autograd.grad(F.cross_entropy(logits, indices), logits)
        torch.bincount((indices * 3 + logits.detach().argmax(dim=1)).flatten(), minlength=9)

    ratio = against(
        lambda: torch.autograd.grad(voxel_cross_entropy(logits, labels)[0], logits),
        eager,
        size=SHAPE,
        what="with confusion",
    )
    assert ratio > 1
