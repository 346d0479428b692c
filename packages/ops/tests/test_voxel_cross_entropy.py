"""The dense op against F.cross_entropy in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
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


def test_a_misaligned_base_gives_the_same_bits(evaluate: Any) -> None:
    logits, labels = problem(2, 3, 40, 50)
    shifted = torch.empty(logits.numel() + 1)[1:].view_as(logits).copy_(logits)
    odd = torch.empty(labels.numel() + 1, dtype=torch.uint8)[1:].view_as(labels).copy_(labels)
    leaf = shifted.requires_grad_()
    loss, _ = voxel_cross_entropy(leaf, odd)
    (gradient,) = torch.autograd.grad(loss, leaf)
    aligned = evaluate(voxel_cross_entropy, logits, labels)
    assert torch.equal(loss, aligned.loss)
    assert torch.equal(gradient, aligned.gradient)


@pytest.mark.parametrize("shape", [(1, 3, 1, 1, 1), (3, 3, 1, 7), (2, 3, 1, 1, 300), (5, 2, 1, 1)])
def test_axes_of_length_one_agree_with_float64(agree: Any, shape: tuple[int, ...]) -> None:
    agree(voxel_cross_entropy, *problem(*shape))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_drawn_problems_agree_with_float64(data: st.DataObject) -> None:
    classes = data.draw(st.integers(1, 9))
    spatial = data.draw(st.lists(st.integers(1, 24), min_size=2, max_size=3))
    shape = (data.draw(st.integers(1, 3)), classes, *spatial)
    seed = data.draw(st.integers(0, 2**31))
    options: dict[str, Any] = {
        "reduction": data.draw(st.sampled_from(["none", "mean", "sum"])),
        "label_smoothing": data.draw(st.sampled_from([0.0, 0.2])),
        "ignore_index": data.draw(st.sampled_from([None, 0, 255])),
    }
    generator = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(shape, generator=generator)
    labels = torch.randint(0, classes, (shape[0], *spatial), generator=generator)
    label_dtype = data.draw(st.sampled_from(LABEL_DTYPES))
    if data.draw(st.booleans()) and len(spatial) == 3:
        logits = logits.contiguous(memory_format=torch.channels_last_3d)
    weight = torch.rand(classes, generator=generator) if data.draw(st.booleans()) else None

    def run(op: Callable[..., Any], z: torch.Tensor) -> tuple[torch.Tensor, ...]:
        leaf = z.clone().requires_grad_()
        loss, confusion = op(leaf, labels.to(label_dtype), weight=weight, **options)
        total = loss.nan_to_num().sum()
        return (loss.detach().double(), confusion, *torch.autograd.grad(total, leaf))

    loss, confusion, gradient = run(voxel_cross_entropy, logits)
    loss64, confusion64, gradient64 = run(reference.voxel_cross_entropy, logits.double())
    torch.testing.assert_close(loss, loss64, rtol=2e-6, atol=4e-6, equal_nan=True)
    torch.testing.assert_close(gradient.double(), gradient64, rtol=1e-5, atol=2e-6, equal_nan=True)
    assert torch.equal(confusion, confusion64)


def test_the_twin_is_torchs_cross_entropy() -> None:
    logits, labels = problem(2, 3, 4, 9, 31, dtype=torch.float64)
    weight = torch.tensor([0.3, 1.0, 2.5], dtype=torch.float64)
    ours, _ = reference.voxel_cross_entropy(
        logits, labels, weight=weight, label_smoothing=0.1, ignore_index=2
    )
    theirs = F.cross_entropy(
        logits, labels.long(), weight=weight, label_smoothing=0.1, ignore_index=2
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-14, atol=0)


def test_permuting_the_classes_permutes_gradient_and_confusion(evaluate: Any) -> None:
    logits, labels = problem(2, 4, 20, 30)
    order = torch.tensor([2, 0, 3, 1])
    plain = evaluate(voxel_cross_entropy, logits, labels)
    permuted = evaluate(voxel_cross_entropy, logits[:, order], order.argsort()[labels.long()])
    assert torch.equal(plain.confusion[order][:, order], permuted.confusion)
    torch.testing.assert_close(plain.gradient[:, order], permuted.gradient, rtol=1e-5, atol=1e-9)


def test_a_shift_of_all_logits_changes_nothing(evaluate: Any) -> None:
    logits, labels = problem(2, 3, 20, 30)
    logits = logits.mul(64).round().div(64)  # so that the shift is exact in float32
    plain = evaluate(voxel_cross_entropy, logits, labels)
    shifted = evaluate(voxel_cross_entropy, logits + 128.0, labels)
    assert torch.equal(plain.loss, shifted.loss)
    assert torch.equal(plain.gradient, shifted.gradient)


def test_sums_and_matrices_add_up_over_the_batch(evaluate: Any) -> None:
    logits, labels = problem(3, 3, 20, 30)
    whole = evaluate(voxel_cross_entropy, logits, labels, reduction="sum")
    parts = [
        evaluate(voxel_cross_entropy, logits[i : i + 1], labels[i : i + 1], reduction="sum")
        for i in range(3)
    ]
    assert torch.equal(whole.confusion, sum(part.confusion for part in parts))
    assert torch.equal(whole.gradient, torch.cat([part.gradient for part in parts]))
