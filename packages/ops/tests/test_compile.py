"""Fake tensors, make_fx and the compiler: the public ops take them all, and nothing changes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from tomolift.ops import (
    _native,
    upsampled_argmax,
    upsampled_cross_entropy,
    voxel_cross_entropy,
)
from tomolift.ops._arguments import Options


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


ARGUMENTS = {
    voxel_cross_entropy: ((2, 3, 4, 5), (2, 4, 5)),
    upsampled_cross_entropy: ((2, 3, 2, 3), (2, 4, 5)),
}


@pytest.mark.parametrize("op", ARGUMENTS)
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("differentiate", [False, True])
def test_the_public_ops_take_fake_tensors(op: Any, reduction: str, differentiate: bool) -> None:
    size, label_size = ARGUMENTS[op]
    with FakeTensorMode():
        logits = torch.empty(size, dtype=torch.bfloat16, requires_grad=differentiate)
        labels = torch.empty(label_size, dtype=torch.uint8)
        loss, confusion = op(logits, labels, weight=torch.ones(3), reduction=reduction)
        if differentiate:
            loss.sum().backward()
            assert logits.grad is not None
            assert (logits.grad.shape, logits.grad.dtype) == (size, torch.bfloat16)
    assert isinstance(loss, FakeTensor)
    assert (loss.shape, loss.dtype) == (label_size if reduction == "none" else (), torch.float32)
    assert (confusion.shape, confusion.dtype) == ((3, 3), torch.int64)


def test_the_public_ops_take_fake_tensors_outside_their_mode() -> None:
    mode = FakeTensorMode()
    logits, labels = torch.zeros(2, 3, 4, 5), torch.zeros(2, 4, 5, dtype=torch.uint8)
    for op in ARGUMENTS:
        loss, _ = op(mode.from_tensor(logits), mode.from_tensor(labels))
        assert isinstance(loss, FakeTensor)
    assert isinstance(upsampled_argmax(mode.from_tensor(logits), (8, 10)), FakeTensor)


@pytest.mark.parametrize("op", ARGUMENTS)
@pytest.mark.parametrize("tracing_mode", ["real", "fake", "symbolic"])
def test_make_fx_records_the_public_ops_and_their_gradients(op: Any, tracing_mode: str) -> None:
    size, label_size = ARGUMENTS[op]
    logits, labels = torch.randn(size), torch.randint(0, 3, label_size)

    def step(z: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        leaf = z.detach().requires_grad_()
        loss, _ = op(leaf, y)
        return loss, torch.autograd.grad(loss, leaf)[0]

    graph = make_fx(step, tracing_mode=tracing_mode)(logits, labels)
    assert f"torch.ops.tomolift.{op.__name__}.default" in graph.code
    other_logits, other_labels = torch.randn(size), torch.randint(0, 3, label_size)
    torch.testing.assert_close(graph(other_logits, other_labels), step(other_logits, other_labels))


class Plain(torch.Tensor):
    """A subclass that changes nothing."""


@pytest.mark.parametrize("op", ARGUMENTS)
def test_a_tensor_subclass_gets_the_same_numbers(op: Any, evaluate: Any) -> None:
    size, label_size = ARGUMENTS[op]
    logits, labels = torch.randn(size), torch.randint(0, 3, label_size)
    ours = evaluate(op, logits.as_subclass(Plain), labels)
    theirs = evaluate(op, logits, labels)
    for a, b in zip(vars(ours).values(), vars(theirs).values(), strict=True):
        assert torch.equal(a.as_subclass(torch.Tensor), b)


def test_a_tensor_without_memory_is_refused_by_name() -> None:
    logits, labels = torch.zeros(2, 3, 4, 5), torch.zeros(2, 4, 5, dtype=torch.uint8)
    logits.untyped_storage().resize_(0)
    for op in ARGUMENTS:
        with pytest.raises(RuntimeError, match=r"a Tensor of shape \(2, 3, 4, 5\) on cpu has no"):
            op(logits, labels)


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor:UserWarning")
def test_the_binding_refuses_fake_tensors_that_reach_it() -> None:
    options = Options(
        ignore_index=None, label_smoothing=0.0, reduction="mean", check_labels="ignore"
    )
    with FakeTensorMode(), pytest.raises(RuntimeError, match="a FakeTensor of shape"):
        _native.dense_forward(
            torch.empty(2, 3, 4, 5), torch.empty(2, 4, 5, dtype=torch.uint8), None, options,
            gradient=False,
        )  # fmt: skip


@pytest.mark.parametrize("op", ARGUMENTS)
@pytest.mark.parametrize("factor", [float("inf"), float("nan")])
def test_a_compiled_ignored_voxel_has_zero_gradient_whatever_the_factor(
    op: Any, factor: float
) -> None:
    size, label_size = ARGUMENTS[op]
    labels = torch.full(label_size, 255)

    def step(z: torch.Tensor) -> torch.Tensor:
        loss, _ = op(z, labels, ignore_index=255, reduction="sum")
        return loss * factor

    for call in (step, torch.compile(step, fullgraph=True, backend="aot_eager")):
        logits = torch.randn(size, requires_grad=True)
        (gradient,) = torch.autograd.grad(call(logits), logits)
        assert not gradient.any()
