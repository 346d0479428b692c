"""Corners where a plain implementation goes wrong silently: each was wrong here once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from tomolift.ops import (
    check_deferred_labels,
    reference,
    upsampled_argmax,
    upsampled_cross_entropy,
    voxel_cross_entropy,
)

INF, NAN = float("inf"), float("nan")
OPS = [voxel_cross_entropy, upsampled_cross_entropy]


def test_logits_written_over_before_a_label_raises_are_known_to_autograd() -> None:
    leaf = torch.randn(1, 3, 4, 5, requires_grad=True)
    logits = leaf.sigmoid()  # whose backward pass reads them
    with pytest.raises(IndexError, match="labels has 9"):
        voxel_cross_entropy(logits, torch.full((1, 4, 5), 9), memory="inplace")
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        logits.sum().backward()


def test_an_earlier_report_raises_before_the_logits_are_written_over() -> None:
    labels = torch.zeros(1, 4, 5, dtype=torch.uint8)
    voxel_cross_entropy(torch.zeros(1, 3, 4, 5), labels + 9, check_labels="defer")
    logits = torch.randn(1, 3, 4, 5, requires_grad=True) * 1.0
    before = logits.detach().clone()
    with pytest.raises(IndexError, match="labels has 9"):
        voxel_cross_entropy(logits, labels, memory="inplace", check_labels="defer")
    assert torch.equal(logits.detach(), before)
    check_deferred_labels()


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_a_second_derivative_by_the_factor_of_the_loss_is_refused(op: Any, reduction: str) -> None:
    factor = torch.tensor(2.0, requires_grad=True)
    logits = torch.randn(1, 3, 4, 5, requires_grad=True)
    loss = factor * op(logits, torch.zeros(1, 4, 5).long(), reduction=reduction)[0].sum()
    (gradient,) = torch.autograd.grad(loss, logits, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad((gradient**2).sum() + factor**2, factor)


@pytest.mark.parametrize("op", OPS)
def test_another_default_device_does_not_reach_the_kernels(op: Any) -> None:
    logits = torch.randn(1, 3, 4, 5, requires_grad=True)
    labels = torch.zeros(1, 4, 5, dtype=torch.uint8)
    plain = op(logits, labels)[0]
    with torch.device("meta"):
        loss, _ = op(logits, labels)
        assert torch.equal(loss, plain)
        with pytest.raises(IndexError, match=r"labels has 9 at \(0, 0, 0\)"):
            op(logits, labels + 9)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("weight", [INF, NAN])
@pytest.mark.parametrize("classes", [3, 9])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_the_weight_of_a_class_that_does_not_occur_is_never_used(
    evaluate: Any, op: Any, weight: float, classes: int, reduction: str
) -> None:
    weights = torch.ones(classes)
    weights[1] = weight
    logits = torch.randn(1, classes, 6, 7)
    labels = 2 * torch.randint(0, 2, (1, 6, 7))
    ours = evaluate(op, logits, labels, weight=weights, reduction=reduction)
    theirs = evaluate(op, logits, labels, weight=None, reduction=reduction)
    torch.testing.assert_close(ours.loss, theirs.loss)
    torch.testing.assert_close(ours.gradient, theirs.gradient)


@pytest.mark.parametrize("sampling", [{"align_corners": True}, {"align_corners": False}])
def test_along_an_axis_of_equal_length_a_nan_stays_where_it_is(
    evaluate: Any, sampling: dict[str, Any]
) -> None:
    low = torch.randn(1, 3, 6, 5, 5)
    low[0, 1, 3, 2, 2] = NAN
    labels = torch.randint(0, 3, (1, 6, 20, 20))
    ours = evaluate(upsampled_cross_entropy, low, labels, reduction="none", **sampling)
    theirs = evaluate(
        reference.upsampled_cross_entropy, low.double(), labels, reduction="none", **sampling
    )
    assert torch.equal(ours.loss.isnan(), theirs.loss.isnan())
    assert ours.loss.isnan().any(dim=(2, 3)).tolist() == [[False] * 3 + [True] + [False] * 2]
    assert torch.equal(ours.gradient.isnan(), theirs.gradient.isnan())


@pytest.mark.skipif(not torch.set_flush_denormal(False), reason="needs a mode to be flushed")
def test_every_thread_has_the_callers_floating_point_mode(evaluate: Any) -> None:
    # gradients below float32's normal range, flushed to zero or not, but by all threads alike
    logits = torch.zeros(1, 3, 9, 120, 121)
    logits[:, 1], logits[:, 2] = -80.0, -75.0
    labels = torch.randint(0, 3, (1, 9, 120, 121))
    torch.set_num_threads(2)
    smallest = []
    for flushed in (False, True, False, True):
        torch.set_flush_denormal(flushed)
        gradient = evaluate(
            voxel_cross_entropy, logits, labels, reduction="sum", memory="recompute",
            grad_output=1e-6,
        ).gradient  # fmt: skip
        torch.set_flush_denormal(False)
        smallest.append(float(gradient[:, 1].abs().double().amin()))
        assert gradient[:, 1].unique().numel() == 2  # where 1 is the truth, and elsewhere
    assert smallest[0] == smallest[2] > 0
    assert smallest[1] == smallest[3] == 0


@pytest.mark.parametrize("step", [NAN, INF, 0, -1])
def test_a_stride_that_is_no_positive_number_is_refused(step: float) -> None:
    low = torch.zeros(1, 3, 1, 1)
    with pytest.raises(ValueError, match="stride is"):
        upsampled_argmax(low, (4, 4), stride=(step, 2))
    with pytest.raises(ValueError, match="stride is"):
        upsampled_cross_entropy(low, torch.zeros(1, 4, 4).long(), stride=(2, step))


@pytest.mark.parametrize("op", OPS)
def test_gradients_of_a_kept_graph_share_no_memory(op: Any) -> None:
    logits = torch.randn(1, 3, 4, 5, requires_grad=True)
    loss, _ = op(logits, torch.zeros(1, 4, 5).long())
    (first,) = torch.autograd.grad(loss, logits, retain_graph=True)
    kept = first.clone()
    first.mul_(0.5)
    (second,) = torch.autograd.grad(loss, logits)
    assert torch.equal(second, kept)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_mean_over_weights_of_zero_is_nan_though_smoothed(
    evaluate: Any, op: Any, dtype: torch.dtype
) -> None:
    logits, labels = torch.randn(1, 3, 8, 8, dtype=dtype), torch.zeros(1, 8, 8).long()
    weight = torch.tensor([0.0, 1.0, 2.0], dtype=dtype)
    ours = evaluate(op, logits, labels, weight=weight, label_smoothing=0.1)
    leaf = logits.clone().requires_grad_()
    theirs = F.cross_entropy(leaf, labels, weight=weight, label_smoothing=0.1)
    (gradient,) = torch.autograd.grad(theirs, leaf)
    assert theirs.isnan()
    assert ours.loss.isnan()
    assert torch.equal(ours.gradient.isnan(), gradient.isnan())


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("op", OPS)
def test_a_traced_function_computes_anew(op: Any) -> None:
    labels = torch.zeros(1, 4, 5).long()
    traced = torch.jit.trace(lambda z: op(z, labels)[0], torch.randn(1, 3, 4, 5))
    other = torch.randn(1, 3, 4, 5)
    torch.testing.assert_close(traced(other), op(other, labels)[0])
