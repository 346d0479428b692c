"""What must not change a single bit: layout, place in memory, label type, memory mode, repetition.

So must the other side: what is compared is the whole outcome, loss, matrix and gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tomolift.ops import upsampled_cross_entropy, voxel_cross_entropy

LOGITS_DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
OPTIONS: list[dict[str, Any]] = [
    {},
    {"reduction": "sum", "weight": torch.tensor([0.2, 1.0, 3.0, 0.7]), "ignore_index": 2},
    {"reduction": "none", "label_smoothing": 0.1},
]
# voxels above and below what one thread is used for, neither a multiple of a vector's width
SIZES = [(3, 9, 37), (5, 67, 101)]


def draw(op: Any, size: tuple[int, ...], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    low = size if op is voxel_cross_entropy else tuple(-(-n // 4) for n in size)
    return (3 * torch.randn(2, 4, *low)).to(dtype), torch.randint(0, 4, (2, *size))


@pytest.fixture(params=[voxel_cross_entropy, upsampled_cross_entropy], ids=["dense", "upsampled"])
def op(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def same(evaluate: Callable[..., Any]) -> Callable[..., None]:
    """Holds what an op makes of other tensors against what it made of the first ones."""

    def check(op: Any, logits: Tensor, labels: Tensor, *others: Any, **options: Any) -> None:
        first = evaluate(op, logits, labels, **options)
        for other_logits, other_labels, other_options in others:
            other = evaluate(op, other_logits, other_labels, **{**options, **other_options})
            for a, b in zip(vars(first).values(), vars(other).values(), strict=True):
                assert torch.equal(a, b)

    return check


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", LOGITS_DTYPES)
def test_layouts_and_places_give_the_same_bits(
    same: Any, op: Any, dtype: torch.dtype, size: tuple[int, ...], options: dict[str, Any]
) -> None:
    logits, labels = draw(op, size, dtype)
    last = logits.contiguous(memory_format=torch.channels_last_3d)
    turned = logits.transpose(-1, -2).contiguous().transpose(-1, -2)
    shifted = torch.empty(logits.numel() + 1, dtype=dtype)[1:].view_as(logits).copy_(logits)
    stepped = logits.repeat_interleave(2, dim=-1)[..., ::2]
    turned_labels = labels.transpose(-1, -2).contiguous().transpose(-1, -2)
    others = [(z, labels, {}) for z in (last, turned, shifted, stepped)]
    same(op, logits, labels, *others, (logits, turned_labels, {}), **options)


@pytest.mark.parametrize("options", OPTIONS)
def test_label_types_give_the_same_bits(same: Any, op: Any, options: dict[str, Any]) -> None:
    logits, labels = draw(op, (5, 67, 101), torch.float32)
    types = (torch.uint8, torch.int16, torch.int32)
    shifted = torch.empty(labels.numel() + 1, dtype=torch.uint8)[1:].view_as(labels).copy_(labels)
    others = [*(labels.to(t) for t in types), shifted]
    same(op, logits, labels, *((logits, y, {}) for y in others), **options)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", LOGITS_DTYPES)
def test_memory_modes_give_the_same_bits(
    same: Any, dtype: torch.dtype, size: tuple[int, ...], options: dict[str, Any]
) -> None:
    logits, labels = draw(voxel_cross_entropy, size, dtype)
    others = [(logits, labels, {"memory": memory}) for memory in ("recompute", "inplace")]
    same(voxel_cross_entropy, logits, labels, *others, memory="store", **options)


@pytest.mark.parametrize("dtype", LOGITS_DTYPES)
@pytest.mark.parametrize("memory", ["store", "inplace"])
def test_gradients_larger_than_the_caches_have_the_same_bits(
    evaluate: Any, dtype: torch.dtype, memory: str
) -> None:
    # whole aligned vectors may be written past the caches, parts of one and shifted ones not
    logits, labels = draw(voxel_cross_entropy, (9, 256, 256), dtype)
    shifted = torch.empty(logits.numel() + 1, dtype=dtype)[1:].view_as(logits).copy_(logits)
    aligned = evaluate(voxel_cross_entropy, logits, labels, memory=memory)
    apart = evaluate(voxel_cross_entropy, shifted, labels)
    slices = [
        evaluate(voxel_cross_entropy, *piece, reduction="sum", grad_output=1 / labels.numel())
        for piece in zip(logits.split(1, dim=2), labels.split(1, dim=1), strict=True)
    ]
    assert torch.equal(aligned.gradient, apart.gradient)
    assert torch.equal(aligned.loss, apart.loss)
    eps = torch.finfo(dtype).eps
    together = torch.cat([piece.gradient for piece in slices], dim=2)
    # a confident truth's p - 1 keeps the absolute rounding of p
    torch.testing.assert_close(aligned.gradient, together, rtol=2 * eps, atol=eps / labels.numel())


@pytest.mark.parametrize("options", OPTIONS)
def test_repetitions_give_the_same_bits(same: Any, op: Any, options: dict[str, Any]) -> None:
    logits, labels = draw(op, (5, 67, 101), torch.float32)
    same(op, logits, labels, *[(logits, labels, {})] * 5, **options)


@pytest.mark.parametrize("options", OPTIONS)
def test_a_gradient_wanted_or_not_gives_the_same_loss_and_matrix(
    evaluate: Any, op: Any, options: dict[str, Any]
) -> None:
    logits, labels = draw(op, (5, 67, 101), torch.float32)
    wanted = evaluate(op, logits, labels, **options)
    loss, confusion = op(logits, labels, **options)
    assert torch.equal(loss, wanted.loss)
    assert torch.equal(confusion, wanted.confusion)


def test_weights_of_one_and_no_smoothing_give_the_plain_bits(same: Any, op: Any) -> None:
    logits, labels = draw(op, (5, 67, 101), torch.float32)
    ones = {"weight": torch.ones(4), "label_smoothing": 0.0}
    same(op, logits, labels, (logits, labels, ones), (logits, labels, {"ignore_index": 200}))
