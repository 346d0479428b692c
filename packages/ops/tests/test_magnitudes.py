"""Accuracy where magnitudes are awkward: confident, tiny and huge logits, sums over many voxels."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from tomolift.ops import reference, upsampled_cross_entropy, voxel_cross_entropy

OPS = [voxel_cross_entropy, upsampled_cross_entropy]


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("margin", [2.0, 5.0, 8.0, 12.0, 15.0, 20.0, 40.0, 90.0, 200.0])
def test_a_confident_voxels_loss_is_right_to_1e_7(op: Any, margin: float) -> None:
    # the loss is log(1 + e) with e down to 0: what is lost is e's share of 1 + e in float32
    logits = torch.zeros(1, 3, 4, 33)
    logits[:, 1] = margin
    labels = torch.ones(1, 4, 33, dtype=torch.uint8)
    loss, _ = op(logits, labels, reduction="none")
    exact = F.cross_entropy(logits.double(), labels.long(), reduction="none")
    torch.testing.assert_close(loss.double(), exact, rtol=1e-6, atol=1.2e-7)
    assert bool((loss >= 0).all())


@pytest.mark.parametrize("margin", [5.0, 20.0, 80.0, 100.0, 1e4])
def test_a_confident_voxels_gradient_keeps_its_relative_accuracy(
    evaluate: Any, margin: float
) -> None:
    logits = torch.zeros(1, 3, 4, 33)
    logits[:, 1] = margin
    labels = torch.zeros(1, 4, 33, dtype=torch.uint8)
    ours = evaluate(voxel_cross_entropy, logits, labels, reduction="sum")
    theirs = evaluate(reference.voxel_cross_entropy, logits.double(), labels, reduction="sum")
    # probabilities below float32's smallest normal number may come out as zero
    torch.testing.assert_close(ours.gradient.double(), theirs.gradient, rtol=2e-6, atol=1.2e-38)


@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1e-10, 1e-5, 1.0, 1e3, 1e10, 1e30, 1e37])
@pytest.mark.parametrize("classes", [2, 3, 7])
def test_logits_of_any_magnitude_agree_with_float64(agree: Any, scale: float, classes: int) -> None:
    logits = scale * torch.randn(2, classes, 9, 37)
    labels = torch.randint(0, classes, (2, 9, 37))
    agree(voxel_cross_entropy, logits, labels, reduction="none")


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_huge_but_finite_logits_do_not_overflow(evaluate: Any, op: Any, reduction: str) -> None:
    logits = torch.full((1, 3, 8, 40), 3e38)
    logits[:, 1] = -3e38  # the difference is beyond float32
    labels = torch.zeros(1, 8, 40, dtype=torch.uint8)
    outcome = evaluate(op, logits, labels, reduction=reduction)
    count = 320 if reduction == "sum" else 1
    assert float(outcome.loss) == pytest.approx(count * 0.6931472, rel=1e-6)
    assert not outcome.gradient[:, 1].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("hidden", [[0], [2], [0, 1], [1, 2], [0, 2]])
def test_classes_at_minus_infinity_are_as_if_absent(
    evaluate: Any, hidden: list[int], dtype: torch.dtype
) -> None:
    logits = torch.randn(1, 3, 6, 45).to(dtype)
    logits[:, hidden] = float("-inf")
    kept = [c for c in range(3) if c not in hidden]
    labels = torch.randint(0, len(kept), (1, 6, 45))
    ours = evaluate(voxel_cross_entropy, logits, torch.tensor(kept)[labels], reduction="sum")
    fewer = evaluate(voxel_cross_entropy, logits[:, kept], labels, reduction="sum")
    torch.testing.assert_close(ours.loss, fewer.loss, rtol=1e-6, atol=1e-6)
    assert not ours.gradient[:, hidden].any()
    torch.testing.assert_close(ours.gradient[:, kept], fewer.gradient, rtol=2e-6, atol=1e-7)
    assert torch.equal(ours.confusion[kept][:, kept], fewer.confusion)
    assert int(ours.confusion.sum()) == 270


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("classes", [2, 3, 4, 8, 13])
def test_long_runs_of_equal_logits_are_predicted_as_the_first_class(op: Any, classes: int) -> None:
    logits = torch.randn(1, 1, 16, 300).repeat(1, classes, 1, 1)
    labels = torch.randint(0, classes, (1, 16, 300))
    _, confusion = op(logits, labels)
    assert not confusion[:, 1:].any()
    assert torch.equal(confusion[:, 0], torch.bincount(labels.flatten(), minlength=classes))


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("first", [1, 2, 6])
def test_of_several_equal_maxima_the_first_class_is_predicted(op: Any, first: int) -> None:
    logits = torch.randn(1, 8, 16, 90).clamp(max=2.0)
    logits[:, first:7:2] = 2.5  # this class and every second one after it
    _, confusion = op(logits, torch.zeros(1, 16, 90, dtype=torch.uint8))
    assert int(confusion[0, first]) == 1440


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_loss_over_ten_million_voxels_is_right_to_1e_6(
    reduction: str, dtype: torch.dtype
) -> None:
    # mostly confident, as late in a training: a float32 sum would stop growing
    labels = torch.randint(0, 2, (1, 10, 1000, 1000), dtype=torch.uint8)
    truth = torch.where(labels == 0, 3.0, -3.0).unsqueeze(1)
    logits = torch.cat([truth + torch.randn(truth.shape), -truth], dim=1).to(dtype)
    loss, confusion = voxel_cross_entropy(logits, labels, reduction=reduction)
    margin = (logits[:, 1] - logits[:, 0].double()) * torch.where(labels == 0, 1.0, -1.0)
    exact = F.softplus(margin).sum()
    if reduction == "mean":
        exact = exact / labels.numel()
    assert float(loss) == pytest.approx(float(exact), rel=1e-6)
    predicted = (logits[:, 1] > logits[:, 0]).long()
    expected = torch.bincount((labels * 2 + predicted).flatten(), minlength=4).reshape(2, 2)
    assert torch.equal(confusion, expected)


def test_an_upsampled_loss_over_ten_million_voxels_is_right_to_1e_6() -> None:
    low = torch.tensor([[6.0, 5.0], [-4.0, -6.0]]).reshape(1, 2, 1, 2)
    labels = torch.zeros(1, 2500, 4000, dtype=torch.uint8)
    loss, confusion = upsampled_cross_entropy(low, labels)
    across = torch.linspace(0, 1, 4000, dtype=torch.float64)
    exact = F.softplus(-(10.0 + across)).mean()
    # each voxel's loss of 3e-5 is good to 1.2e-7 at worst, and the errors are not all one-sided
    assert float(loss) == pytest.approx(float(exact), abs=6e-8)
    assert confusion.tolist() == [[10_000_000, 0], [0, 0]]
