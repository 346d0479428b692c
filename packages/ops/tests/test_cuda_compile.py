"""The registered ops on CUDA: opcheck, fake tensors and the compiler."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from tomolift.ops import (
    build_info,
    upsampled_argmax,
    upsampled_cross_entropy,
    voxel_cross_entropy,
)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.skipif(not build_info()["cuda"], reason="needs a build with the CUDA part"),
]


@pytest.mark.parametrize("store", [True, False])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_the_dense_op_passes_opcheck(store: bool, reduction: str) -> None:
    logits = torch.randn(2, 3, 4, 5, 6, device="cuda", requires_grad=True)
    labels = torch.randint(0, 3, (2, 4, 5, 6), device="cuda")
    weight = torch.tensor([0.5, 1.0, 2.0], device="cuda")
    store = store and reduction != "none"
    torch.library.opcheck(
        torch.ops.tomolift.voxel_cross_entropy.default,
        (logits, labels, weight, None, 0.1, reduction, "ignore", store),
    )


@pytest.mark.parametrize("stride", [None, [2.0, 3.0, 3.0]])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_the_upsampled_op_passes_opcheck(stride: Any, reduction: str) -> None:
    low = torch.randn(2, 3, 2, 3, 4, device="cuda", requires_grad=True)
    labels = torch.randint(0, 3, (2, 4, 8, 9), device="cuda")
    torch.library.opcheck(
        torch.ops.tomolift.upsampled_cross_entropy.default,
        (low, labels, None, True, stride, None, 0.0, reduction, "ignore", reduction != "none"),
    )


def test_the_argmax_op_passes_opcheck() -> None:
    arguments = (torch.randn(2, 3, 3, 4, device="cuda"), [9, 8], True, None)
    torch.library.opcheck(torch.ops.tomolift.upsampled_argmax.default, arguments)


@pytest.mark.parametrize("op", [voxel_cross_entropy, upsampled_cross_entropy])
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_compiler_takes_the_whole_graph_and_changes_nothing(
    op: Any, reduction: str, dtype: torch.dtype
) -> None:
    labels = torch.randint(0, 3, (2, 4, 5, 6), device="cuda")

    def step(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        loss, confusion = op(z * 2.0, labels, label_smoothing=0.1, reduction=reduction)
        return loss.sum() * 4.0, confusion

    logits = torch.randn(2, 3, 4, 5, 6, device="cuda").to(dtype).requires_grad_()
    eager_loss, eager_confusion = step(logits)
    (eager,) = torch.autograd.grad(eager_loss, logits)
    loss, confusion = torch.compile(step, fullgraph=True, backend="aot_eager")(logits)
    (compiled,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(loss, eager_loss)
    torch.testing.assert_close(compiled, eager)
    assert torch.equal(confusion, eager_confusion)


def test_the_compiler_takes_predictions() -> None:
    low = torch.randn(1, 3, 3, 4, device="cuda")
    compiled = torch.compile(
        lambda z: upsampled_argmax(z + 1.0, (9, 8)), fullgraph=True, backend="aot_eager"
    )
    assert torch.equal(compiled(low), upsampled_argmax(low + 1.0, (9, 8)))


@pytest.mark.parametrize("op", [voxel_cross_entropy, upsampled_cross_entropy])
def test_fake_tensors_have_the_real_ones_shapes_types_and_devices(op: Any) -> None:
    with FakeTensorMode():
        logits = torch.empty(2, 3, 4, 5, dtype=torch.bfloat16, device="cuda", requires_grad=True)
        labels = torch.empty(2, 4, 5, dtype=torch.uint8, device="cuda")
        loss, confusion = op(logits, labels)
        (gradient,) = torch.autograd.grad(loss, logits)
    assert isinstance(loss, FakeTensor)
    assert (loss.dtype, loss.device.type) == (torch.float32, "cuda")
    assert (confusion.shape, confusion.device.type) == ((3, 3), "cuda")
    assert (gradient.shape, gradient.dtype) == ((2, 3, 4, 5), torch.bfloat16)
