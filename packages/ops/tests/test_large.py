"""More than 2**31 elements, of which nearly all lie in memory that is reserved and never touched.

Offsets in 32 bits would wrap round to elements that hold zeros, and read them or write there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tomolift.ops import upsampled_argmax, upsampled_cross_entropy, voxel_cross_entropy

pytestmark = pytest.mark.slow

BEYOND = 2**31 + 12_345
SIDE = 2**13
INF = float("inf")


@pytest.fixture(autouse=True)
def _new_memory_is_left_untouched(_unwritten_memory_is_nan: None) -> None:
    torch.use_deterministic_algorithms(False)


def sparse(*shape: int, dtype: torch.dtype) -> Tensor:
    """Zeros whose pages are one shared page of zeros until they are written to."""
    size = torch.Size(shape).numel() * dtype.itemsize
    return torch.from_numpy(np.zeros(size, dtype=np.uint8)).view(dtype).view(shape)


def depth(voxels: int) -> int:
    """Slices of SIDE x SIDE that hold so many voxels."""
    return -(-voxels // SIDE**2)


@pytest.mark.parametrize("last", [False, True])
def test_logits_beyond_2_31_elements_are_read_where_they_lie(last: bool) -> None:
    slices = depth(BEYOND // 2)
    if last:
        flat = sparse(1, slices, SIDE, SIDE, 2, dtype=torch.bfloat16)
        logits = flat.movedim(-1, 1)
    else:
        logits = sparse(1, 2, slices, SIDE, SIDE, dtype=torch.bfloat16)
    labels = sparse(1, slices, SIDE, SIDE, dtype=torch.uint8)
    assert logits.numel() > 2**31
    logits[0, 1, -1, -1, -3:] = 8.0
    labels[0, -1, -1, -2:] = 1
    loss, confusion = voxel_cross_entropy(logits, labels, reduction="sum")
    voxels = labels.numel()
    assert confusion.tolist() == [[voxels - 3, 1], [0, 2]]
    expected = (voxels - 3) * np.log(2.0) + np.log1p(np.exp(8.0)) + 2 * np.log1p(np.exp(-8.0))
    # each voxel's log(2) may be off by half a unit in its last place, always the same way
    assert float(loss) == pytest.approx(expected, rel=1e-7)


def test_gradients_beyond_2_31_elements_are_written_where_they_lie() -> None:
    slices = depth(BEYOND // 2)
    logits = sparse(1, 2, slices, SIDE, SIDE, dtype=torch.bfloat16)
    labels = sparse(1, slices, SIDE, SIDE, dtype=torch.uint8)
    logits[0, 1, -1, -1, -1] = -INF
    labels[0, -1, -1, -2:] = torch.tensor([255, 1], dtype=torch.uint8)
    loss, _ = voxel_cross_entropy(
        logits.requires_grad_(), labels, reduction="sum", ignore_index=255
    )
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient[0, :, -1, -1, -2:].tolist() == [[0.0, 1.0], [0.0, -1.0]]
    gradient[0, :, -1, -1, -2:] = torch.tensor([[-0.5], [0.5]])
    fours = gradient.view(torch.int64)  # so many at once
    for c, half in enumerate((-0.5, 0.5)):
        expected = torch.full((4,), half, dtype=torch.bfloat16).view(torch.int64).item()
        assert fours[0, c].aminmax() == (expected, expected)


def test_labels_beyond_2_31_voxels_are_read_and_named_where_they_lie() -> None:
    # the one class's logits take 4 GiB more, so that their offsets exceed 2**31 as well
    slices = depth(BEYOND)
    logits = sparse(1, 1, slices, SIDE, SIDE, dtype=torch.bfloat16)
    labels = sparse(1, slices, SIDE, SIDE, dtype=torch.uint8)
    labels[0, -1, -1, -2] = 7
    message = (
        rf"labels has 7 at \(0, {slices - 1}, {SIDE - 1}, {SIDE - 2}\), .* 1 of {labels.numel()}"
    )
    with pytest.raises(IndexError, match=message):
        voxel_cross_entropy(logits, labels)
    _, confusion = voxel_cross_entropy(logits, labels, ignore_index=7)
    assert confusion.tolist() == [[labels.numel() - 1]]


def test_an_upsampled_loss_and_gradient_cover_more_than_2_31_voxels(evaluate: Any) -> None:
    labels = sparse(1, depth(BEYOND), SIDE, SIDE, dtype=torch.uint8)
    labels[0, -1, -1, -5:] = 1
    labels[0, -1, -1, -7] = 99
    low = torch.zeros(1, 2, 2, 1, 1)
    low[0, 1, 1] = -100.0  # class 1 is out of the question in all slices but the first
    outcome = evaluate(
        upsampled_cross_entropy,
        low,
        labels,
        ignore_index=99,
        stride=(1, 1, 1),
        reduction="sum",
    )
    assert outcome.confusion.tolist() == [[labels.numel() - 6, 0], [5, 0]]
    assert float(outcome.loss) == pytest.approx(SIDE**2 * np.log(2.0) + 500, rel=1e-7)
    first, others = outcome.gradient[0, :, :, 0, 0].unbind(dim=1)
    assert first.tolist() == pytest.approx([-0.5 * SIDE**2, 0.5 * SIDE**2], rel=1e-6)
    assert others.tolist() == [5.0, -5.0]


def test_predictions_fill_more_than_2_31_voxels() -> None:
    low = torch.tensor([[1.0, 0.0], [0.0, 0.5]]).reshape(1, 2, 2, 1, 1)
    slices = depth(BEYOND)
    predicted = upsampled_argmax(low, (slices, SIDE, SIDE), stride=(slices - 1, 1, 1))
    first = 1 - torch.arange(slices) / (slices - 1)
    for slice_, share in zip(predicted[0], first, strict=True):
        assert bool((slice_ == (0 if share >= (1 - share) * 0.5 else 1)).all())


def test_low_resolution_logits_beyond_2_31_elements_are_read_where_they_lie() -> None:
    low = sparse(1, 2, depth(BEYOND // 2), SIDE, SIDE, dtype=torch.bfloat16)
    low[0, 1, -1, -1, -1] = 1.0
    low[0, 1, -1, 0, 0] = 1.0
    predicted = upsampled_argmax(low, (2, 2, 2), align_corners=True)
    assert predicted.flatten().tolist() == [0, 0, 0, 0, 1, 0, 0, 1]
