"""The up-sampled ops against F.interpolate: (1, 3, 9, 32, 32) to (70, 256, 256), 2 threads.

python -m pytest packages/ops/benchmarks/bench_upsampled_cross_entropy.py -s
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F

from tomolift.ops import upsampled_argmax, upsampled_cross_entropy

LOW, SIZE = (1, 3, 9, 32, 32), (70, 256, 256)


def problem() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    low = torch.randn(LOW, generator=generator, requires_grad=True)
    return low, torch.randint(0, 3, (1, *SIZE), generator=generator, dtype=torch.uint8)


def upsample(low: torch.Tensor) -> torch.Tensor:
    return F.interpolate(low, SIZE, mode="trilinear", align_corners=True)


def test_loss_and_gradient_against_interpolate_and_cross_entropy(
    against: Callable[..., float],
) -> None:
    low, labels = problem()
    indices = labels.long()
    ratio = against(
        lambda: torch.autograd.grad(upsampled_cross_entropy(low, labels)[0], low),
        lambda: torch.autograd.grad(F.cross_entropy(upsample(low), indices), low),
        low=LOW,
        size=SIZE,
    )
    assert ratio > 1


def test_predictions_against_interpolate_and_argmax(against: Callable[..., float]) -> None:
    low = problem()[0].detach()
    ratio = against(
        lambda: upsampled_argmax(low, SIZE),
        lambda: upsample(low).argmax(dim=1),
        low=LOW,
        size=SIZE,
        what="predictions",
    )
    assert ratio > 1
