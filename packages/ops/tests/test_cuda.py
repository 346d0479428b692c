"""The dense op's CUDA kernel against the twin in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tomolift.ops import build_info, voxel_cross_entropy

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.skipif(not build_info()["cuda"], reason="needs a build with the CUDA part"),
]


@pytest.mark.parametrize("classes", [1, 2, 3, 4, 5, 21, 40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("last", [False, True])
def test_the_kernel_agrees_with_float64(
    agree: Any, classes: int, dtype: torch.dtype, last: bool
) -> None:
    logits = (3 * torch.randn(2, classes, 9, 31, 37, device="cuda")).to(dtype)
    if last:
        logits = logits.contiguous(memory_format=torch.channels_last_3d)
    agree(voxel_cross_entropy, logits, torch.randint(0, classes, (2, 9, 31, 37), device="cuda"))


@pytest.mark.parametrize("labels", [torch.uint8, torch.int16, torch.int32, torch.int64])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("memory", ["store", "recompute"])
def test_options_have_torchs_definitions(
    agree: Any, labels: torch.dtype, reduction: str, memory: str
) -> None:
    agree(
        voxel_cross_entropy,
        3 * torch.randn(2, 3, 9, 31, 37, device="cuda"),
        torch.randint(0, 3, (2, 9, 31, 37), device="cuda").to(labels),
        reduction=reduction,
        memory=memory,
        weight=torch.tensor([0.3, 1.0, 2.5], device="cuda"),
        label_smoothing=0.1,
        ignore_index=1,
    )


def test_every_run_gives_the_same_bits(evaluate: Any) -> None:
    logits = torch.randn(2, 3, 40, 90, 90, device="cuda")
    labels = torch.randint(0, 3, (2, 40, 90, 90), device="cuda", dtype=torch.uint8)
    first = evaluate(voxel_cross_entropy, logits, labels)
    for _ in range(5):
        again = evaluate(voxel_cross_entropy, logits, labels)
        assert all(
            torch.equal(a, b)
            for a, b in zip(vars(first).values(), vars(again).values(), strict=True)
        )


def test_a_label_out_of_range_is_named_with_its_first_position() -> None:
    labels = torch.zeros(2, 3, 20, 30, dtype=torch.int64, device="cuda")
    labels[1, 0, 7, 9] = 2**32 + 1
    labels[1, 2, 0, 0] = -100
    with pytest.raises(IndexError, match=r"labels has 4294967297 at \(1, 0, 7, 9\)"):
        voxel_cross_entropy(torch.zeros(2, 3, 3, 20, 30, device="cuda"), labels)


def test_float64_is_refused_with_the_way_out() -> None:
    logits = torch.zeros(1, 3, 2, 2, dtype=torch.float64, device="cuda")
    labels = torch.zeros(1, 2, 2, dtype=torch.uint8, device="cuda")
    with pytest.raises(TypeError, match=r"reference\.voxel_cross_entropy"):
        voxel_cross_entropy(logits, labels)
