"""The up-sampled op against F.interpolate and F.cross_entropy in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tomolift.ops import reference, upsampled_argmax, upsampled_cross_entropy

LOGITS_DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
LABEL_DTYPES = [torch.uint8, torch.int16, torch.int32, torch.int64]
SAMPLINGS_3D = [{"align_corners": True}, {"align_corners": False}, {"stride": (4, 8, 8)}]
SAMPLINGS_2D = [{"align_corners": True}, {"align_corners": False}, {"stride": (8, 5)}]
# up, down, equal, single samples, one band of low-resolution rows and more, odd and even
SIZES_3D = [
    ((3, 5, 6), (12, 33, 47)), ((2, 19, 4), (5, 40, 17)), ((1, 1, 1), (3, 4, 5)),
    ((4, 6, 7), (4, 6, 7)), ((6, 9, 8), (3, 4, 5)), ((3, 4, 5), (1, 1, 1)),
    ((2, 35, 3), (4, 7, 270)),
]  # fmt: skip
SIZES_2D = [((5, 6), (33, 300)), ((40, 3), (90, 5)), ((1, 7), (9, 1)), ((17, 9), (16, 8))]


def problem(
    low_size: tuple[int, ...],
    size: tuple[int, ...],
    *,
    classes: int = 3,
    dtype: torch.dtype = torch.float32,
    labels: torch.dtype = torch.uint8,
) -> tuple[torch.Tensor, torch.Tensor]:
    low = (3 * torch.randn(2, classes, *low_size)).to(dtype)
    return low, torch.randint(0, classes, (2, *size)).to(labels)


@pytest.mark.parametrize("sampling", SAMPLINGS_3D)
@pytest.mark.parametrize(("low_size", "size"), SIZES_3D)
def test_volumes_agree_with_float64(agree: Any, low_size: Any, size: Any, sampling: Any) -> None:
    agree(upsampled_cross_entropy, *problem(low_size, size), ties=2, **sampling)


@pytest.mark.parametrize("sampling", SAMPLINGS_2D)
@pytest.mark.parametrize(("low_size", "size"), SIZES_2D)
def test_images_agree_with_float64(agree: Any, low_size: Any, size: Any, sampling: Any) -> None:
    agree(upsampled_cross_entropy, *problem(low_size, size), ties=2, **sampling)


@pytest.mark.parametrize("dtype", LOGITS_DTYPES)
@pytest.mark.parametrize("labels", LABEL_DTYPES)
def test_every_pair_of_types_agrees_with_float64(agree: Any, dtype: Any, labels: Any) -> None:
    low, truth = problem((2, 5, 4), (9, 33, 29), dtype=dtype, labels=labels)
    agree(upsampled_cross_entropy, low, truth, ties=2)


@pytest.mark.parametrize("classes", [1, 2, 5, 21])
def test_any_number_of_classes_agrees_with_float64(agree: Any, classes: int) -> None:
    agree(upsampled_cross_entropy, *problem((5, 4), (33, 29), classes=classes), ties=2)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [None, [0.3, 1.0, 2.5]])
@pytest.mark.parametrize("ignore_index", [None, 1])
def test_options_have_torchs_definitions(
    agree: Any, reduction: str, label_smoothing: float, weight: Any, ignore_index: int | None
) -> None:
    agree(
        upsampled_cross_entropy,
        *problem((2, 5, 4), (9, 33, 29)),
        ties=2,
        reduction=reduction,
        label_smoothing=label_smoothing,
        weight=None if weight is None else torch.tensor(weight),
        ignore_index=ignore_index,
    )


def test_a_gradient_for_every_voxel_flows_back(evaluate: Any) -> None:
    low, labels = problem((2, 5, 4), (9, 33, 29))
    seed = torch.randn(2, 9, 33, 29)
    ours = evaluate(upsampled_cross_entropy, low, labels, reduction="none", grad_output=seed)
    theirs = evaluate(
        reference.upsampled_cross_entropy, low.double(), labels, reduction="none", grad_output=seed
    )
    torch.testing.assert_close(ours.gradient.double(), theirs.gradient, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sampling", SAMPLINGS_3D)
def test_the_gradient_is_the_adjoint_of_the_interpolation(sampling: Any) -> None:
    # With one-sided targets the voxels' gradients g are known, so <U x, g> = <x, U^T g> can be
    # held against the twin's U alone: for loss sums, dL/dx . x = sum over voxels of g . (U x).
    low, labels = problem((3, 5, 6), (12, 33, 47), dtype=torch.float64)
    leaf = low.clone().requires_grad_()
    loss, _ = upsampled_cross_entropy(leaf, labels, reduction="sum", **sampling)
    (adjoint,) = torch.autograd.grad(loss, leaf)
    high = reference.upsample(low, labels.shape[1:], **sampling)
    one_hot = torch.nn.functional.one_hot(labels.long(), 3).movedim(-1, 1)
    g = high.softmax(dim=1) - one_hot
    torch.testing.assert_close((low * adjoint).sum(), (high * g).sum(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", LOGITS_DTYPES)
@pytest.mark.parametrize("sampling", SAMPLINGS_3D)
@pytest.mark.parametrize(("low_size", "size"), SIZES_3D)
def test_predictions_agree_with_argmax_but_for_near_ties(
    low_size: Any, size: Any, sampling: Any, dtype: torch.dtype
) -> None:
    low, _ = problem(low_size, size, dtype=dtype)
    ours = upsampled_argmax(low, size, **sampling)
    theirs = reference.upsampled_argmax(low.double(), size, **sampling)
    assert ours.dtype == torch.uint8
    assert ours.shape == theirs.shape
    assert int((ours != theirs).sum()) <= 2


def test_predictions_are_those_of_the_confusion_matrix() -> None:
    low, labels = problem((2, 5, 4), (9, 33, 29))
    _, confusion = upsampled_cross_entropy(low, labels)
    predicted = upsampled_argmax(low, labels.shape[1:])
    expected = torch.bincount(labels.long().flatten() * 3 + predicted.long().flatten(), minlength=9)
    assert torch.equal(confusion.flatten(), expected)


def test_stride_reads_sample_i_at_position_i_times_stride() -> None:
    low = torch.randn(1, 5, 3, 4, 4)
    high = upsampled_argmax(low, (17, 25, 25), stride=(8, 8, 8))
    assert torch.equal(high[:, ::8, ::8, ::8], low.argmax(dim=1).to(torch.uint8))


@pytest.mark.parametrize("steps", [(1, 1, 1), (2, 8, 3)])
def test_a_stride_is_aligned_corners_where_the_last_samples_coincide(
    evaluate: Any, steps: tuple[int, ...]
) -> None:
    low_size = (3, 5, 6)
    size = tuple((n - 1) * step + 1 for n, step in zip(low_size, steps, strict=True))
    low, labels = problem(low_size, size)
    strided = evaluate(upsampled_cross_entropy, low, labels, stride=steps)
    aligned = evaluate(upsampled_cross_entropy, low, labels, align_corners=True)
    torch.testing.assert_close(strided.loss, aligned.loss, rtol=1e-6, atol=0)
    torch.testing.assert_close(strided.gradient, aligned.gradient, rtol=1e-5, atol=1e-8)
    assert torch.equal(upsampled_argmax(low, size, stride=steps), upsampled_argmax(low, size))
