"""The dense op's CUDA kernels against the twin in float64."""

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


def layout(logits: torch.Tensor, name: str) -> torch.Tensor:
    if name == "channels last":
        return logits.contiguous(memory_format=torch.channels_last_3d)
    if name == "width first":
        return logits.transpose(2, 4).contiguous().transpose(2, 4)
    if name == "misaligned":
        flat = logits.new_empty(logits.numel() + 1)[1:]
        return flat.copy_(logits.flatten()).view_as(logits)
    return logits


@pytest.mark.parametrize("classes", [1, 2, 3, 4, 5, 8, 9, 21, 40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["contiguous", "channels last", "width first", "misaligned"])
def test_every_type_and_layout_agrees_with_float64(
    agree: Any, classes: int, dtype: torch.dtype, name: str
) -> None:
    logits = (3 * torch.randn(2, classes, 9, 31, 37, device="cuda")).to(dtype)
    labels = torch.randint(0, classes, (2, 9, 31, 37), device="cuda")
    agree(voxel_cross_entropy, layout(logits, name), labels)


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (2, 16), (64, 64), (1, 1, 1), (5, 64, 129)])
@pytest.mark.parametrize("labels", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_tails_and_whole_vectors_agree_with_float64(
    agree: Any, size: tuple[int, ...], labels: torch.dtype
) -> None:
    truth = torch.randint(0, 3, (3, *size), device="cuda").to(labels)
    agree(voxel_cross_entropy, 3 * torch.randn(3, 3, *size, device="cuda"), truth)


@pytest.mark.parametrize("labels", [torch.uint8, torch.int16, torch.int32, torch.int64])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("memory", ["store", "recompute", "inplace"])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_options_have_torchs_definitions(
    agree: Any, labels: torch.dtype, reduction: str, memory: str, label_smoothing: float
) -> None:
    agree(
        voxel_cross_entropy,
        3 * torch.randn(2, 3, 9, 31, 37, device="cuda"),
        torch.randint(0, 3, (2, 9, 31, 37), device="cuda").to(labels),
        reduction=reduction,
        memory=memory,
        weight=torch.tensor([0.3, 1.0, 2.5], device="cuda"),
        label_smoothing=label_smoothing,
        ignore_index=1,
    )


def test_labels_of_odd_strides_are_read_as_they_are(evaluate: Any) -> None:
    logits = torch.randn(2, 3, 8, 20, device="cuda")
    labels = torch.randint(0, 3, (2, 20, 8), device="cuda").transpose(1, 2)
    odd = evaluate(voxel_cross_entropy, logits, labels)
    even = evaluate(voxel_cross_entropy, logits, labels.contiguous())
    assert torch.equal(odd.loss, even.loss)
    assert torch.equal(odd.gradient, even.gradient)
