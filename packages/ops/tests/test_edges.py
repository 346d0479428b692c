"""Values at the edge: labels out of range, ignored, non-finite logits, ties, empty batches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from tomolift.ops import reference, upsampled_argmax, upsampled_cross_entropy, voxel_cross_entropy

INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize("op", [voxel_cross_entropy, upsampled_cross_entropy])
@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (3, torch.uint8), (255, torch.uint8), (-1, torch.int16), (-100, torch.int32),
        (256, torch.int64), (2**32 + 1, torch.int64), (-(2**63), torch.int64),
    ],
)  # fmt: skip
def test_a_label_out_of_range_is_named_with_its_first_position(
    op: Any, value: int, dtype: torch.dtype
) -> None:
    labels = torch.zeros(2, 3, 20, 30, dtype=dtype)
    labels[1, 0, 7, 9] = value
    labels[1, 2, 0, 0] = value
    message = rf"labels has {value} at \(1, 0, 7, 9\), expected 0 to 2 .* 2 of 3600 labels"
    with pytest.raises(IndexError, match=message):
        op(torch.zeros(2, 3, 3, 20, 30), labels)


@pytest.mark.parametrize("op", [voxel_cross_entropy, upsampled_cross_entropy])
@pytest.mark.parametrize("value", [-100, 256, 2**32 + 1])
def test_labels_out_of_range_are_left_out_of_everything_on_request(
    evaluate: Any, op: Any, value: int
) -> None:
    logits = torch.randn(2, 3, 4, 6, 8)
    labels = torch.randint(0, 3, (2, 4, 6, 8))
    wrong = torch.rand(labels.shape) < 0.3
    ours = evaluate(op, logits, torch.where(wrong, value, labels), check_labels="ignore")
    ignored = evaluate(op, logits, torch.where(wrong, 7, labels), ignore_index=7)
    assert torch.equal(ours.loss, ignored.loss)
    assert torch.equal(ours.gradient, ignored.gradient)
    assert torch.equal(ours.confusion, ignored.confusion)
    assert int(ours.confusion.sum()) == int((~wrong).sum())


def test_an_ignore_index_outside_the_label_type_matches_nothing() -> None:
    labels = torch.full((1, 2, 2), 156, dtype=torch.uint8)  # -100 modulo 256
    with pytest.raises(IndexError, match="labels has 156"):
        voxel_cross_entropy(torch.zeros(1, 3, 2, 2), labels, ignore_index=-100)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("memory", ["store", "recompute"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_an_ignored_voxel_has_zero_gradient_whatever_its_logits(
    evaluate: Any, value: float, memory: str, dtype: torch.dtype
) -> None:
    logits = torch.randn(1, 3, 5, 7).to(dtype)
    labels = torch.randint(0, 3, (1, 5, 7))
    logits[0, 1, 2, 3] = value
    labels[0, 2, 3] = 255
    outcome = evaluate(voxel_cross_entropy, logits, labels, ignore_index=255, memory=memory)
    assert outcome.gradient[0, :, 2, 3].tolist() == [0.0, 0.0, 0.0]
    assert outcome.loss.isfinite()


@pytest.mark.parametrize("op", [voxel_cross_entropy, upsampled_cross_entropy])
def test_all_ignored_is_nan_for_the_mean_and_zero_for_the_sum(evaluate: Any, op: Any) -> None:
    logits, labels = torch.randn(1, 3, 4, 5), torch.full((1, 4, 5), 255, dtype=torch.uint8)
    mean = evaluate(op, logits, labels, ignore_index=255)
    total = evaluate(op, logits, labels, ignore_index=255, reduction="sum")
    assert mean.loss.isnan()
    assert total.loss == 0
    assert not mean.gradient.any()
    assert not total.gradient.any()
    assert not mean.confusion.any()


@pytest.mark.parametrize("op", [voxel_cross_entropy, upsampled_cross_entropy])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_of_zero_make_the_mean_nan_at_the_valid_voxels_alone_as_in_torch(
    evaluate: Any, op: Any, dtype: torch.dtype
) -> None:
    logits, labels = torch.randn(1, 3, 8, 8, dtype=dtype), torch.full((1, 8, 8), 255)
    if op is upsampled_cross_entropy:
        labels = torch.full((1, 32, 300), 255)
    labels[:, :4, :4] = 1
    options = {"weight": torch.zeros(3, dtype=dtype), "ignore_index": 255}
    ours = evaluate(op, logits, labels, **options)
    theirs = evaluate(getattr(reference, op.__name__), logits, labels, **options)
    assert ours.loss.isnan()
    assert torch.equal(ours.gradient.isnan(), theirs.gradient.isnan())
    assert 0 < int(ours.gradient.isnan().sum()) < 192
    torch.testing.assert_close(ours.gradient, theirs.gradient, equal_nan=True)


@pytest.mark.parametrize("row", [[NAN, 0.0, 1.0], [INF, 0.0, 1.0], [0.0, INF, INF], [-INF] * 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nan_and_infinity_give_nan_at_that_voxel_alone_as_in_torch(
    evaluate: Any, row: list[float], dtype: torch.dtype
) -> None:
    logits = torch.randn(1, 3, 6, 50, dtype=dtype)
    logits[0, :, 2, 17] = torch.tensor(row)
    labels = torch.randint(0, 3, (1, 6, 50))
    ours = evaluate(voxel_cross_entropy, logits, labels, reduction="none")
    leaf = logits.clone().requires_grad_()
    theirs = F.cross_entropy(leaf, labels, reduction="none")
    (gradient,) = torch.autograd.grad(theirs.sum(), leaf)
    assert torch.equal(ours.loss.isnan(), theirs.isnan())
    assert torch.equal(ours.gradient.isnan(), gradient.isnan())
    assert int(ours.loss.isnan().sum()) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_a_logit_of_minus_infinity_has_probability_exactly_zero(
    evaluate: Any, dtype: torch.dtype
) -> None:
    logits = torch.tensor([0.0, -INF, 1.0], dtype=dtype).reshape(1, 3, 1, 1)
    outcome = evaluate(voxel_cross_entropy, logits, torch.zeros(1, 1, 1, dtype=torch.uint8))
    assert outcome.gradient[0, 1] == 0
    assert outcome.loss.isfinite()
    hopeless = evaluate(voxel_cross_entropy, logits, torch.ones(1, 1, 1, dtype=torch.uint8))
    assert hopeless.loss == INF
    assert hopeless.gradient[0, 1] == -1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("row", [[1, 1, 0], [0, 1, 1], [2, 2, 2], [NAN, 5, NAN], [5, NAN, NAN]])
def test_of_equal_maxima_the_first_is_predicted_as_by_argmax(
    row: list[float], dtype: torch.dtype
) -> None:
    logits = torch.tensor(row, dtype=dtype).reshape(1, 3, 1, 1).expand(1, 3, 5, 40).contiguous()
    _, confusion = voxel_cross_entropy(logits, torch.zeros(1, 5, 40, dtype=torch.uint8))
    assert confusion[0].argmax() == logits[0, :, 0, 0].argmax()
    assert int(confusion.sum()) == 200


def test_extreme_logits_neither_overflow_nor_lose_the_loss(agree: Any) -> None:
    logits = torch.tensor([[1e4, -1e4], [3e38, -3e38], [88.0, -88.0], [1e-30, 0.0]])
    logits = logits.reshape(1, 4, 2, 1, 1).transpose(1, 2).reshape(1, 2, 4, 1)
    labels = torch.tensor([0, 0, 0, 1]).reshape(1, 4, 1)
    agree(voxel_cross_entropy, logits, labels, reduction="none")


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_an_empty_batch_is_as_in_torch(evaluate: Any, reduction: str) -> None:
    labels = torch.zeros(0, 4, 5, 6, dtype=torch.int64)
    for op in (voxel_cross_entropy, upsampled_cross_entropy):
        ours = evaluate(op, torch.zeros(0, 3, 4, 5, 6), labels, reduction=reduction)
        theirs = F.cross_entropy(torch.zeros(0, 3, 4, 5, 6), labels, reduction=reduction)
        torch.testing.assert_close(ours.loss, theirs, equal_nan=True)
        assert ours.gradient.shape == (0, 3, 4, 5, 6)
        assert not ours.confusion.any()


def test_a_nan_spreads_to_its_stencil_alone_when_up_sampling(evaluate: Any) -> None:
    low = torch.randn(1, 3, 4, 4)
    low[0, 1, 1, 2] = NAN
    labels = torch.randint(0, 3, (1, 25, 25))
    ours = evaluate(upsampled_cross_entropy, low, labels, reduction="none")
    theirs = evaluate(reference.upsampled_cross_entropy, low.double(), labels, reduction="none")
    assert torch.equal(ours.loss.isnan(), theirs.loss.isnan())
    assert 0 < int(ours.loss.isnan().sum()) < 625


def test_predictions_break_ties_by_the_first_class() -> None:
    assert not upsampled_argmax(torch.zeros(1, 4, 3, 3), (17, 300)).any()
