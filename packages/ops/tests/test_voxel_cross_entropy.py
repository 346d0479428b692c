"""The dense op against F.cross_entropy in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from tomolift.ops import reference, voxel_cross_entropy

LABEL_DTYPES = [torch.uint8, torch.int16, torch.int32, torch.int64]
LOGITS_DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


def problem(
    *shape: int, dtype: torch.dtype = torch.float32, labels: torch.dtype = torch.uint8
) -> tuple[torch.Tensor, torch.Tensor]:
    logits = (3 * torch.randn(shape)).to(dtype)
    return logits, torch.randint(0, shape[1], (shape[0], *shape[2:])).to(labels)


@pytest.mark.parametrize("labels", LABEL_DTYPES)
@pytest.mark.parametrize("dtype", LOGITS_DTYPES)
def test_every_pair_of_types_agrees_with_float64(agree: Any, dtype: Any, labels: Any) -> None:
    agree(voxel_cross_entropy, *problem(2, 3, 5, 17, 19, dtype=dtype, labels=labels))


@pytest.mark.parametrize("classes", [1, 2, 3, 4, 5, 8, 21, 300])
def test_any_number_of_classes_agrees_with_float64(agree: Any, classes: int) -> None:
    agree(voxel_cross_entropy, *problem(2, classes, 13, 29, labels=torch.int16))


@pytest.mark.parametrize("memory", ["store", "recompute"])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weight", [None, [0.3, 1.0, 2.5]])
@pytest.mark.parametrize("ignore_index", [None, 1])
def test_options_have_torchs_definitions(
    agree: Any,
    memory: str,
    reduction: str,
    label_smoothing: float,
    weight: list[float] | None,
    ignore_index: int | None,
) -> None:
    agree(
        voxel_cross_entropy,
        *problem(2, 3, 4, 9, 31),
        memory=memory,
        reduction=reduction,
        label_smoothing=label_smoothing,
        weight=None if weight is None else torch.tensor(weight),
        ignore_index=ignore_index,
    )


@pytest.mark.parametrize("dtype", LOGITS_DTYPES)
@pytest.mark.parametrize("classes", [2, 3, 4, 5])
def test_channels_last_gives_the_same_bits_in_the_same_layout(
    evaluate: Any, dtype: Any, classes: int
) -> None:
    logits, labels = problem(2, classes, 3, 33, 37, dtype=dtype)
    planes = evaluate(voxel_cross_entropy, logits, labels)
    last = evaluate(
        voxel_cross_entropy, logits.contiguous(memory_format=torch.channels_last_3d), labels
    )
    assert torch.equal(planes.loss, last.loss)
    assert torch.equal(planes.gradient, last.gradient)
    assert torch.equal(planes.confusion, last.confusion)
    assert last.gradient.is_contiguous(memory_format=torch.channels_last_3d)


def test_other_strides_are_read_rightly(agree: Any) -> None:
    logits, labels = problem(2, 3, 8, 10, 12)
    agree(voxel_cross_entropy, logits.transpose(2, 4)[:, :, 1:], labels.transpose(1, 3)[:, 1:])


@pytest.mark.parametrize("shape", [(1, 3, 1, 1, 1), (3, 3, 1, 7), (2, 3, 1, 1, 300), (5, 2, 1, 1)])
def test_axes_of_length_one_agree_with_float64(agree: Any, shape: tuple[int, ...]) -> None:
    agree(voxel_cross_entropy, *problem(*shape))


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [None, [0.3, 1.0, 2.5]])
@pytest.mark.parametrize("ignore_index", [-100, 2])
def test_the_twin_is_torchs_cross_entropy(
    evaluate: Any, reduction: str, label_smoothing: float, weight: Any, ignore_index: int
) -> None:
    logits, labels = problem(2, 3, 4, 9, 31, dtype=torch.float64, labels=torch.int64)
    options = {
        "reduction": reduction,
        "label_smoothing": label_smoothing,
        "weight": None if weight is None else torch.tensor(weight, dtype=torch.float64),
        "ignore_index": ignore_index,
    }
    no_matrix = torch.zeros(3, 3, dtype=torch.int64)
    ours = evaluate(reference.voxel_cross_entropy, logits, labels, **options)
    theirs = evaluate(
        lambda *arguments, **named: (F.cross_entropy(*arguments, **named), no_matrix),
        logits,
        labels,
        **options,
    )
    torch.testing.assert_close(ours.loss, theirs.loss, rtol=1e-14, atol=0)
    torch.testing.assert_close(ours.gradient, theirs.gradient, rtol=1e-14, atol=1e-16)
