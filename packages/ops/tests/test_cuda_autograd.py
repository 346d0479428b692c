"""What autograd asks of the ops, on CUDA."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tomolift.ops import build_info, upsampled_cross_entropy, voxel_cross_entropy

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.skipif(not build_info()["cuda"], reason="needs a build with the CUDA part"),
]

SIZES = {voxel_cross_entropy: (2, 3, 4, 40), upsampled_cross_entropy: (2, 9, 21, 40)}
DTYPES = [torch.float32, torch.bfloat16, torch.float16]


@pytest.fixture(params=SIZES, ids=["dense", "upsampled"])
def op(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def labels(op: Any) -> torch.Tensor:
    return torch.randint(0, 3, SIZES[op], device="cuda")


def logits(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(2, 3, 3, 4, 40, device="cuda").to(dtype).requires_grad_()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_graph_kept_for_three_backward_passes_gives_the_same_each_time(
    op: Any, labels: torch.Tensor, dtype: torch.dtype
) -> None:
    leaf = logits(dtype)
    loss, _ = op(leaf, labels, reduction="sum")
    first, *others = [torch.autograd.grad(loss, leaf, retain_graph=True)[0] for _ in range(3)]
    assert all(torch.equal(first, other) for other in others)


def test_a_kept_graph_gives_each_factor_its_own_gradient(op: Any, labels: torch.Tensor) -> None:
    leaf = logits()
    loss, _ = op(leaf, labels)
    gradients = [
        torch.autograd.grad(loss, leaf, torch.tensor(factor, device="cuda"), retain_graph=True)[0]
        for factor in (4.0, 1.0, 0.0)
    ]
    (last,) = torch.autograd.grad(loss, leaf, torch.tensor(2.0, device="cuda"))
    assert torch.equal(gradients[0], gradients[1] * 4)
    assert not gradients[2].any()
    assert torch.equal(last, gradients[1] * 2)


def test_a_last_backward_pass_takes_no_memory_for_the_gradient() -> None:
    leaf = torch.randn(1, 3, 500, 600, device="cuda", requires_grad=True)
    loss, _ = voxel_cross_entropy(leaf, torch.zeros(1, 500, 600, dtype=torch.int64, device="cuda"))
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    loss.backward()
    assert torch.cuda.max_memory_allocated() - before < leaf.nbytes / 2


def test_accumulating_gradients_do_not_write_into_the_stored_one(
    op: Any, labels: torch.Tensor
) -> None:
    leaf = logits()
    loss, _ = op(leaf, labels, reduction="sum")
    single = torch.autograd.grad(loss, leaf, retain_graph=True)[0].clone()
    for count in (1, 2, 3):
        loss.backward(retain_graph=True)
        torch.testing.assert_close(leaf.grad, count * single)


@pytest.mark.parametrize("factor", [0.0, -2.0, 65536.0, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_grad_output_scales_the_gradient(
    evaluate: Any, op: Any, labels: torch.Tensor, factor: float, dtype: torch.dtype
) -> None:
    leaf = logits(dtype).detach()
    plain = evaluate(op, leaf, labels)
    scaled = evaluate(op, leaf, labels, grad_output=factor)
    # the factors are powers of two and their negatives, exact in every type
    torch.testing.assert_close(scaled.gradient, plain.gradient * factor, rtol=2e-7, atol=0)


def test_an_infinite_grad_output_leaves_ignored_voxels_at_zero(evaluate: Any) -> None:
    labels = torch.randint(0, 3, (1, 8, 40), device="cuda")
    labels[0, 0] = 255
    for memory in ("store", "recompute", "inplace"):
        outcome = evaluate(
            voxel_cross_entropy,
            torch.randn(1, 3, 8, 40, device="cuda"),
            labels,
            ignore_index=255,
            memory=memory,
            grad_output=float("inf"),
        )
        assert not outcome.gradient[:, :, 0].any()
        assert outcome.gradient[:, :, 1:].isinf().all()


def test_float16_gradients_survive_a_mean_over_many_voxels_under_loss_scaling(
    evaluate: Any,
) -> None:
    # 1 / 4e6 is 2.5e-7; times a probability of 0.1 it is below half's smallest subnormal, 6e-8
    leaf = torch.zeros(1, 10, 2000, 2000, dtype=torch.float16, device="cuda")
    labels = torch.zeros(1, 2000, 2000, dtype=torch.uint8, device="cuda")
    outcome = evaluate(voxel_cross_entropy, leaf, labels, grad_output=65536.0)
    expected = 0.1 * 65536.0 / 4e6
    assert float(outcome.gradient[0, 3, 5, 5]) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", ["none", "mean"])
@pytest.mark.parametrize("last", [False, True])
def test_in_place_the_gradient_takes_the_logits_memory(
    evaluate: Any, dtype: torch.dtype, reduction: str, last: bool
) -> None:
    leaf = torch.randn(1, 3, 40, 50, device="cuda").to(dtype).requires_grad_()
    labels = torch.randint(0, 3, (1, 40, 50), device="cuda")
    network_output = leaf.clone(
        memory_format=torch.channels_last if last else torch.contiguous_format
    )
    addresses: list[int] = []
    network_output.register_hook(lambda gradient: addresses.append(gradient.data_ptr()))
    loss, _ = voxel_cross_entropy(network_output, labels, reduction=reduction, memory="inplace")
    (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    assert addresses == [network_output.data_ptr()]
    assert torch.equal(
        gradient, evaluate(voxel_cross_entropy, leaf, labels, reduction=reduction).gradient
    )


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_a_second_derivative_is_refused_in_a_sum_with_other_terms(
    op: Any, labels: torch.Tensor, reduction: str
) -> None:
    parameter = logits()
    loss = op(parameter * 2, labels, reduction=reduction)[0].sum() + (parameter**3).sum()
    (gradient,) = torch.autograd.grad(loss, parameter, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad((gradient**2).sum(), parameter)


def test_autocast_leaves_bfloat16_logits_as_they_are(op: Any, labels: torch.Tensor) -> None:
    leaf = logits(torch.bfloat16)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        loss, _ = op(leaf, labels)
    assert loss.dtype == torch.float32
    assert torch.autograd.grad(loss, leaf)[0].dtype == torch.bfloat16
