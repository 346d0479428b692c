"""torch.library.opcheck of every registered op: schema, fake tensors, autograd, compilation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

LABELS = torch.arange(2 * 4 * 5 * 6).reshape(2, 4, 5, 6) % 3
WEIGHT = torch.tensor([0.5, 1.0, 2.0])
DENOMINATOR = torch.tensor([240.0], dtype=torch.float64)
REDUCTIONS = ("mean", "sum", "none")


def logits(*size: int, dtype: torch.dtype = torch.float32, last: bool = False) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    result = torch.randn(2, 3, *size, generator=generator).to(dtype)
    layout = torch.channels_last_3d if last else torch.contiguous_format
    return result.contiguous(memory_format=layout).requires_grad_()


def seed(reduction: str) -> Tensor:
    return torch.randn(LABELS.shape) if reduction == "none" else torch.tensor(2.0)


def samples() -> dict[str, list[tuple[Any, ...]]]:
    """Arguments of every op by its name."""
    dense = [
        (logits(4, 5, 6, last=last), LABELS, WEIGHT, None, 0.1, reduction, "raise", store)
        for last in (False, True)
        for reduction in REDUCTIONS
        for store in (False, True)
        if not (store and reduction == "none")
    ]
    dense += [
        (logits(4, 5, 6, dtype=dtype), LABELS.byte(), None, 2, 0.0, "mean", None, True)
        for dtype in (torch.bfloat16, torch.float64)
    ]
    upsampled = [
        (logits(2, 3, 4), LABELS, None, True, stride, None, 0.0, reduction, "raise", store)
        for stride in (None, [2.0, 3.0, 3.0])
        for reduction in REDUCTIONS
        for store in (False, True)
        if not (store and reduction == "none")
    ]
    upsampled += [
        (logits(2, 3, 4, dtype=torch.bfloat16), LABELS, WEIGHT, False, None, 1, 0.1, "sum",
         "ignore", True)
    ]  # fmt: skip
    return {
        "voxel_cross_entropy": dense,
        "voxel_cross_entropy_backward": [
            (seed(reduction), logits(4, 5, 6, last=last).detach(), LABELS, WEIGHT, DENOMINATOR,
             None, 0.1, reduction)
            for reduction in REDUCTIONS
            for last in (False, True)
        ],
        "upsampled_cross_entropy": upsampled,
        "upsampled_cross_entropy_backward": [
            (seed(reduction), logits(2, 3, 4).detach(), LABELS, WEIGHT, DENOMINATOR, True, None,
             None, 0.1, reduction)
            for reduction in REDUCTIONS
        ],
        "upsampled_argmax": [
            (logits(3, 4).detach(), [9, 8], True, None),
            (logits(2, 3, 4).detach(), [5, 9, 8], False, [2.0, 3.0, 2.0]),
        ],
    }  # fmt: skip


SAMPLES = samples()


def test_every_registered_op_has_samples_here() -> None:
    names = torch._C._dispatch_get_all_op_names()
    ours = {name.split("::")[1].split(".")[0] for name in names if name.startswith("tomolift::")}
    assert ours == set(SAMPLES)


@pytest.mark.parametrize(
    ("name", "index"), [(name, i) for name, cases in SAMPLES.items() for i in range(len(cases))]
)
def test_the_op_passes_opcheck(name: str, index: int) -> None:
    torch.library.opcheck(getattr(torch.ops.tomolift, name).default, SAMPLES[name][index])
