"""Values at the edge, on CUDA: labels out of range, ignored, not finite, ties, empty batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from tomolift.ops import (
    build_info,
    check_deferred_labels,
    reference,
    upsampled_argmax,
    upsampled_cross_entropy,
    voxel_cross_entropy,
)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.skipif(not build_info()["cuda"], reason="needs a build with the CUDA part"),
]

OPS = [voxel_cross_entropy, upsampled_cross_entropy]
INF, NAN = float("inf"), float("nan")


@pytest.fixture(params=OPS, ids=["dense", "upsampled"])
def op(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(autouse=True)
def _nothing_pending() -> Iterator[None]:
    check_deferred_labels()
    yield
    check_deferred_labels()


def on_device(*size: int, dtype: torch.dtype = torch.int64) -> torch.Tensor:
    return torch.zeros(size, dtype=dtype, device="cuda")


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (3, torch.uint8), (255, torch.uint8), (-1, torch.int16), (-100, torch.int32),
        (256, torch.int64), (2**32 + 1, torch.int64), (-(2**63), torch.int64),
    ],
)  # fmt: skip
def test_a_label_out_of_range_is_named_at_once_or_later(
    op: Any, value: int, dtype: torch.dtype
) -> None:
    logits, labels = torch.zeros(2, 3, 3, 20, 30, device="cuda"), on_device(2, 3, 20, 30)
    labels = labels.to(dtype)
    labels[1, 0, 7, 9] = value
    labels[1, 2, 0, 0] = value
    message = rf"labels has {value} at \(1, 0, 7, 9\), expected 0 to 2 .* 2 of 3600 labels"
    with pytest.raises(IndexError, match=message):
        op(logits, labels, check_labels="raise")
    op(logits, labels)
    with pytest.raises(IndexError, match=message):
        check_deferred_labels()
    op(logits, labels, check_labels="ignore")


def test_labels_out_of_range_are_left_out_of_everything(evaluate: Any, op: Any) -> None:
    logits = torch.randn(2, 3, 4, 6, 40, device="cuda")
    labels = torch.randint(0, 3, (2, 4, 6, 40), device="cuda")
    wrong = torch.rand(labels.shape, device="cuda") < 0.3
    ours = evaluate(op, logits, torch.where(wrong, 2**32 + 1, labels), check_labels="ignore")
    ignored = evaluate(op, logits, torch.where(wrong, 7, labels), ignore_index=7)
    assert torch.equal(ours.loss, ignored.loss)
    assert torch.equal(ours.gradient, ignored.gradient)
    assert torch.equal(ours.confusion, ignored.confusion)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("memory", ["store", "recompute", "inplace"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_an_ignored_voxel_has_zero_gradient_whatever_its_logits(
    evaluate: Any, value: float, memory: str, dtype: torch.dtype
) -> None:
    logits = torch.randn(1, 3, 5, 40, device="cuda").to(dtype)
    labels = torch.randint(0, 3, (1, 5, 40), device="cuda")
    logits[0, 1, 2, 3] = value
    labels[0, 2, 3] = 255
    outcome = evaluate(voxel_cross_entropy, logits, labels, ignore_index=255, memory=memory)
    assert outcome.gradient[0, :, 2, 3].tolist() == [0.0, 0.0, 0.0]
    assert outcome.loss.isfinite()


def test_all_ignored_is_nan_for_the_mean_and_zero_for_the_sum(evaluate: Any, op: Any) -> None:
    logits, labels = torch.randn(1, 3, 4, 50, device="cuda"), on_device(1, 4, 50).fill_(255)
    mean = evaluate(op, logits, labels, ignore_index=255, grad_output=INF)
    total = evaluate(op, logits, labels, ignore_index=255, reduction="sum", grad_output=NAN)
    assert mean.loss.isnan()
    assert total.loss == 0
    assert not mean.gradient.any()
    assert not total.gradient.any()
    assert not mean.confusion.any()


def test_weights_of_zero_make_the_mean_nan_at_the_valid_voxels_alone(
    evaluate: Any, op: Any
) -> None:
    logits = torch.randn(1, 3, 8, 8, device="cuda")
    labels = on_device(1, 8, 8).fill_(255)
    if op is upsampled_cross_entropy:
        labels = on_device(1, 32, 300).fill_(255)
    labels[:, :4, :4] = 1
    options = {"weight": torch.zeros(3, device="cuda"), "ignore_index": 255}
    ours = evaluate(op, logits, labels, **options)
    theirs = evaluate(getattr(reference, op.__name__), logits, labels, **options)
    assert ours.loss.isnan()
    assert torch.equal(ours.gradient.isnan(), theirs.gradient.isnan())
    assert 0 < int(ours.gradient.isnan().sum()) < 192


@pytest.mark.parametrize("row", [[NAN, 0.0, 1.0], [INF, 0.0, 1.0], [0.0, INF, INF], [-INF] * 3])
def test_nan_and_infinity_give_nan_at_that_voxel_alone(evaluate: Any, row: list[float]) -> None:
    logits = torch.randn(1, 3, 6, 50, device="cuda")
    logits[0, :, 2, 17] = torch.tensor(row)
    labels = torch.randint(0, 3, (1, 6, 50), device="cuda")
    ours = evaluate(voxel_cross_entropy, logits, labels, reduction="none")
    assert ours.loss.isnan().nonzero().tolist() == [[0, 2, 17]]
    assert ours.gradient.isnan().any(dim=1).nonzero().tolist() == [[0, 2, 17]]


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("classes", [3, 11])
def test_what_is_not_finite_spreads_to_its_stencil_as_in_interpolate(
    evaluate: Any, value: float, classes: int
) -> None:
    low = torch.randn(1, classes, 4, 4, device="cuda")
    low[0, 1, 1, 2] = value
    labels = torch.randint(0, classes, (1, 25, 25), device="cuda")
    ours = evaluate(upsampled_cross_entropy, low, labels, reduction="none")
    theirs = evaluate(reference.upsampled_cross_entropy, low.double(), labels, reduction="none")
    assert torch.equal(ours.loss.isnan(), theirs.loss.isnan())
    assert torch.equal(ours.loss.isinf(), theirs.loss.isinf())
    assert 0 < int(ours.loss.isnan().sum()) < 625


def test_a_logit_of_minus_infinity_has_probability_exactly_zero(evaluate: Any) -> None:
    logits = torch.tensor([0.0, -INF, 1.0], device="cuda").reshape(1, 3, 1, 1)
    outcome = evaluate(voxel_cross_entropy, logits, on_device(1, 1, 1))
    assert outcome.gradient[0, 1] == 0
    assert outcome.loss.isfinite()
    assert evaluate(voxel_cross_entropy, logits, on_device(1, 1, 1) + 1).loss == INF


@pytest.mark.parametrize("row", [[1, 1, 0], [0, 1, 1], [2, 2, 2], [NAN, 5, NAN], [5, NAN, NAN]])
def test_of_equal_maxima_the_first_is_predicted_as_by_argmax(op: Any, row: list[float]) -> None:
    logits = torch.tensor(row, dtype=torch.float32, device="cuda").reshape(1, 3, 1, 1)
    logits = logits.expand(1, 3, 5, 40).contiguous()
    _, confusion = op(logits, on_device(1, 5, 40))
    first = logits[0, :, 0, 0].argmax()
    assert confusion[0].argmax() == first
    assert int(confusion.sum()) == 200
    assert bool((upsampled_argmax(logits, (9, 80)) == first).all())


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_an_empty_batch_is_as_in_torch(evaluate: Any, op: Any, reduction: str) -> None:
    logits, labels = torch.zeros(0, 3, 4, 5, 6, device="cuda"), on_device(0, 4, 5, 6)
    ours = evaluate(op, logits, labels, reduction=reduction)
    theirs = torch.nn.functional.cross_entropy(logits, labels, reduction=reduction)
    torch.testing.assert_close(ours.loss, theirs, equal_nan=True)
    assert ours.gradient.shape == (0, 3, 4, 5, 6)
    assert not ours.confusion.any()


@pytest.mark.parametrize("size", [(2, 2), (2, 2, 2)])
def test_float64_is_refused_with_the_way_out(op: Any, size: tuple[int, ...]) -> None:
    logits = torch.zeros(1, 3, *size, dtype=torch.float64, device="cuda")
    with pytest.raises(TypeError, match=rf"float64 on cuda.*reference\.{op.__name__}"):
        op(logits, on_device(1, *size))
    with pytest.raises(TypeError, match=r"reference\.upsampled_argmax"):
        upsampled_argmax(logits, size)
