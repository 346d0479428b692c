"""Identities that hold whatever the reference says: permutations, shifts, sums, smoothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tomolift.ops import upsampled_argmax, upsampled_cross_entropy, voxel_cross_entropy


@pytest.fixture(params=[voxel_cross_entropy, upsampled_cross_entropy], ids=["dense", "upsampled"])
def op(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def problem(op: Any) -> tuple[Tensor, Tensor]:
    low = (20, 30) if op is voxel_cross_entropy else (6, 8)
    # sixteenths: interpolating them and shifting them by 128 is exact enough to leave no doubt
    logits = (3 * torch.randn(3, 4, *low)).mul(16).round().div(16)
    return logits, torch.randint(0, 4, (3, 20, 30))


def test_permuting_the_classes_permutes_gradient_and_confusion(
    evaluate: Any, op: Any, problem: tuple[Tensor, Tensor]
) -> None:
    logits, labels = problem
    logits = logits + torch.tensor([0.0, 1e-3, 2e-3, 3e-3]).reshape(1, 4, 1, 1)  # no ties
    weight = torch.tensor([0.5, 1.0, 2.0, 0.1])
    order = torch.tensor([2, 0, 3, 1])
    plain = evaluate(op, logits, labels, weight=weight, label_smoothing=0.1)
    permuted = evaluate(
        op, logits[:, order], order.argsort()[labels], weight=weight[order], label_smoothing=0.1
    )
    assert torch.equal(plain.confusion[order][:, order], permuted.confusion)
    torch.testing.assert_close(plain.loss, permuted.loss, rtol=1e-6, atol=0)
    torch.testing.assert_close(plain.gradient[:, order], permuted.gradient, rtol=1e-5, atol=1e-8)


def test_a_shift_of_all_logits_changes_nothing(
    evaluate: Any, op: Any, problem: tuple[Tensor, Tensor]
) -> None:
    logits, labels = problem
    plain = evaluate(op, logits, labels)
    shifted = evaluate(op, logits + 128.0, labels)
    # up-sampled logits around 128 are rounded to 8e-6
    rounding = 0.0 if op is voxel_cross_entropy else 2e-5
    torch.testing.assert_close(shifted.loss, plain.loss, rtol=rounding, atol=0)
    torch.testing.assert_close(
        shifted.gradient, plain.gradient, rtol=0, atol=rounding * float(plain.gradient.max())
    )


def test_the_gradients_of_a_voxel_sum_to_zero_over_the_classes(
    evaluate: Any, op: Any, problem: tuple[Tensor, Tensor]
) -> None:
    weight = torch.tensor([0.5, 1.0, 2.0, 0.1])
    outcome = evaluate(op, *problem, weight=weight, label_smoothing=0.3, reduction="sum")
    size = outcome.gradient.abs().sum(dim=1).max()
    assert float(outcome.gradient.sum(dim=1).abs().max()) < 1e-6 * float(size)


def test_sums_and_matrices_add_up_over_the_batch(
    evaluate: Any, op: Any, problem: tuple[Tensor, Tensor]
) -> None:
    logits, labels = problem
    whole = evaluate(op, logits, labels, reduction="sum")
    parts = [evaluate(op, logits[i : i + 1], labels[i : i + 1], reduction="sum") for i in range(3)]
    assert torch.equal(whole.confusion, sum(part.confusion for part in parts))
    assert torch.equal(whole.gradient, torch.cat([part.gradient for part in parts]))
    torch.testing.assert_close(whole.loss, sum(part.loss for part in parts), rtol=2e-7, atol=0)


def test_the_sum_is_that_of_the_voxels_losses(op: Any, problem: tuple[Tensor, Tensor]) -> None:
    each, _ = op(*problem, reduction="none")
    total, _ = op(*problem, reduction="sum")
    mean, _ = op(*problem, reduction="mean")
    assert float(total) == pytest.approx(float(each.double().sum()), rel=1e-7)
    assert float(mean) == pytest.approx(float(each.double().mean()), rel=1e-7)


def test_smoothing_is_a_mixture_of_the_plain_loss_and_of_the_loss_of_every_class(
    op: Any, problem: tuple[Tensor, Tensor]
) -> None:
    logits, labels = problem
    plain, _ = op(logits, labels, reduction="none")
    every = torch.stack(
        [op(logits, torch.full_like(labels, c), reduction="none")[0] for c in range(4)]
    )
    smoothed, _ = op(logits, labels, reduction="none", label_smoothing=0.2)
    expected = 0.8 * plain + 0.2 * every.mean(dim=0)
    torch.testing.assert_close(smoothed, expected, rtol=2e-6, atol=2e-6)


def test_a_matrix_row_counts_the_labels_and_a_column_the_predictions(
    op: Any, problem: tuple[Tensor, Tensor]
) -> None:
    logits, labels = problem
    _, confusion = op(logits, labels)
    # on an equal grid, up-sampling is the identity
    predicted = upsampled_argmax(logits, labels.shape[1:])
    assert torch.equal(confusion.sum(dim=1), torch.bincount(labels.flatten(), minlength=4))
    assert torch.equal(confusion.sum(dim=0), torch.bincount(predicted.flatten(), minlength=4))


@pytest.mark.parametrize("sampling", [{"align_corners": True}, {"stride": (1, 1)}])
def test_up_sampling_to_the_same_size_is_the_dense_op(evaluate: Any, sampling: Any) -> None:
    logits, labels = 3 * torch.randn(2, 3, 20, 30), torch.randint(0, 3, (2, 20, 30))
    dense = evaluate(voxel_cross_entropy, logits, labels)
    upsampled = evaluate(upsampled_cross_entropy, logits, labels, **sampling)
    assert torch.equal(dense.confusion, upsampled.confusion)
    torch.testing.assert_close(upsampled.loss, dense.loss, rtol=1e-6, atol=0)
    torch.testing.assert_close(upsampled.gradient, dense.gradient, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("sampling", [{"align_corners": False}, {"stride": (3, 4)}])
def test_an_axis_of_one_sample_is_constant_along_it(evaluate: Any, sampling: Any) -> None:
    row = torch.randn(1, 3, 1, 7)
    labels = torch.randint(0, 3, (1, 1, 28))
    once = evaluate(upsampled_cross_entropy, row, labels, reduction="sum", **sampling)
    many = evaluate(
        upsampled_cross_entropy, row, labels.expand(1, 9, 28), reduction="sum", **sampling
    )
    assert torch.equal(many.confusion, 9 * once.confusion)
    torch.testing.assert_close(many.loss, 9 * once.loss, rtol=1e-6, atol=0)
    torch.testing.assert_close(many.gradient, 9 * once.gradient, rtol=1e-5, atol=1e-5)
