"""torch.library: the registered ops under opcheck, fake tensors and the compiler."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from tomolift.ops import upsampled_argmax, upsampled_cross_entropy, voxel_cross_entropy


@pytest.mark.parametrize("store", [True, False])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("last", [False, True])
def test_the_dense_op_passes_opcheck(store: bool, reduction: str, last: bool) -> None:
    logits = torch.randn(2, 3, 4, 5, 6)
    if last:
        logits = logits.contiguous(memory_format=torch.channels_last_3d)
    labels = torch.randint(0, 3, (2, 4, 5, 6))
    weight = torch.tensor([0.5, 1.0, 2.0])
    store = store and reduction != "none"
    torch.library.opcheck(
        torch.ops.tomolift.voxel_cross_entropy.default,
        (logits.requires_grad_(), labels, weight, None, 0.1, reduction, "raise", store),
    )


@pytest.mark.parametrize("stride", [None, [2.0, 3.0, 3.0]])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_the_upsampled_op_passes_opcheck(stride: Any, reduction: str) -> None:
    low = torch.randn(2, 3, 2, 3, 4, requires_grad=True)
    labels = torch.randint(0, 3, (2, 4, 8, 9))
    torch.library.opcheck(
        torch.ops.tomolift.upsampled_cross_entropy.default,
        (low, labels, None, True, stride, None, 0.0, reduction, "raise", reduction != "none"),
    )


def test_the_argmax_op_passes_opcheck() -> None:
    arguments = (torch.randn(2, 3, 3, 4), [9, 8], True, None)
    torch.library.opcheck(torch.ops.tomolift.upsampled_argmax.default, arguments)


def test_fake_tensors_have_the_real_ones_shapes_and_types() -> None:
    with FakeTensorMode():
        loss, confusion, gradient, _ = torch.ops.tomolift.voxel_cross_entropy(
            torch.empty(2, 3, 4, 5, dtype=torch.bfloat16), torch.empty(2, 4, 5, dtype=torch.uint8),
            None, None, 0.0, "none", "raise", True,
        )  # fmt: skip
    assert (loss.shape, loss.dtype) == ((2, 4, 5), torch.float32)
    assert (confusion.shape, confusion.dtype) == ((3, 3), torch.int64)
    assert (gradient.shape, gradient.dtype) == ((2, 3, 4, 5), torch.bfloat16)


@pytest.mark.parametrize("op", [voxel_cross_entropy, upsampled_cross_entropy])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_the_compiler_takes_the_whole_graph_and_changes_nothing(op: Any, reduction: str) -> None:
    labels = torch.randint(0, 3, (2, 4, 5, 6))

    def step(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        loss, confusion = op(z * 2.0, labels, label_smoothing=0.1, reduction=reduction)
        return loss.sum() * 3.0, confusion

    logits = torch.randn(2, 3, 4, 5, 6, requires_grad=True)
    eager_loss, eager_confusion = step(logits)
    (eager,) = torch.autograd.grad(eager_loss, logits)
    loss, confusion = torch.compile(step, fullgraph=True, backend="aot_eager")(logits)
    (compiled,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(loss, eager_loss)
    torch.testing.assert_close(compiled, eager)
    assert torch.equal(confusion, eager_confusion)


def test_the_compiler_takes_predictions() -> None:
    low = torch.randn(1, 3, 3, 4)
    compiled = torch.compile(
        lambda z: upsampled_argmax(z + 1.0, (9, 8)), fullgraph=True, backend="aot_eager"
    )
    assert torch.equal(compiled(low), upsampled_argmax(low + 1.0, (9, 8)))


@pytest.mark.parametrize("op", [voxel_cross_entropy, upsampled_cross_entropy])
def test_the_registered_op_refuses_a_second_derivative_too(op: Any) -> None:
    logits = torch.randn(1, 3, 4, 5, requires_grad=True)
    labels = torch.randint(0, 3, (1, 4, 5))
    if op is voxel_cross_entropy:
        arguments: tuple[Any, ...] = (None, None, 0.0, "mean", "raise", True)
    else:
        arguments = (None, True, None, None, 0.0, "mean", "raise", True)
    loss, *_ = getattr(torch.ops.tomolift, op.__name__)(logits, labels, *arguments)
    (gradient,) = torch.autograd.grad(loss, logits, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative"):
        gradient.sum().backward()
