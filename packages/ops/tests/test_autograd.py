"""What autograd asks of the ops: gradient checks, scaling, repeated and second backward passes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tomolift.ops import upsampled_cross_entropy, voxel_cross_entropy

OPS = [voxel_cross_entropy, upsampled_cross_entropy]


@pytest.fixture(params=OPS, ids=["dense", "upsampled"])
def op(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def labels(op: Any) -> torch.Tensor:
    size = (2, 3, 4, 5) if op is voxel_cross_entropy else (2, 4, 7, 6)
    return torch.randint(0, 3, size)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_gradcheck_in_float64(op: Any, labels: torch.Tensor, reduction: str) -> None:
    logits = torch.randn(2, 3, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    weight = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda z: op(z, labels, weight=weight, label_smoothing=0.1, reduction=reduction)[0],
        logits,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_graph_kept_for_three_backward_passes_gives_the_same_each_time(
    op: Any, labels: torch.Tensor, dtype: torch.dtype
) -> None:
    logits = torch.randn(2, 3, 3, 4, 5).to(dtype).requires_grad_()
    loss, _ = op(logits, labels, reduction="sum")
    gradients = []
    for _ in range(3):
        logits.grad = None
        loss.backward(retain_graph=True)
        assert logits.grad is not None
        gradients.append(logits.grad.clone())
    assert torch.equal(gradients[0], gradients[1])
    assert torch.equal(gradients[0], gradients[2])


def test_accumulating_gradients_do_not_write_into_the_stored_one(
    op: Any, labels: torch.Tensor
) -> None:
    logits = torch.randn(2, 3, 3, 4, 5, requires_grad=True)
    loss, _ = op(logits, labels, reduction="sum")
    (single,) = torch.autograd.grad(loss, logits, retain_graph=True)
    single = single.clone()
    for count in (1, 2, 3):
        loss.backward(retain_graph=True)
        torch.testing.assert_close(logits.grad, count * single)


@pytest.mark.parametrize("memory", ["store", "recompute", "inplace"])
@pytest.mark.parametrize("factor", [0.0, -2.0, 65536.0, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_grad_output_scales_the_gradient(
    evaluate: Any, memory: str, factor: float, dtype: torch.dtype
) -> None:
    logits, labels = torch.randn(1, 3, 8, 9).to(dtype), torch.randint(0, 3, (1, 8, 9))
    plain = evaluate(voxel_cross_entropy, logits, labels, memory=memory)
    scaled = evaluate(voxel_cross_entropy, logits, labels, memory=memory, grad_output=factor)
    # the factors are powers of two and their negatives, exact in every type
    torch.testing.assert_close(scaled.gradient, plain.gradient * factor, rtol=2e-7, atol=0)


def test_an_infinite_grad_output_leaves_ignored_voxels_at_zero(evaluate: Any) -> None:
    labels = torch.randint(0, 3, (1, 8, 9))
    labels[0, 0] = 255
    for memory in ("store", "recompute", "inplace"):
        outcome = evaluate(
            voxel_cross_entropy,
            torch.randn(1, 3, 8, 9),
            labels,
            ignore_index=255,
            memory=memory,
            grad_output=float("inf"),
        )
        assert not outcome.gradient[:, :, 0].any()
        assert outcome.gradient[:, :, 1:].isinf().all()


@pytest.mark.parametrize("memory", ["store", "recompute", "inplace"])
def test_float16_gradients_survive_a_mean_over_many_voxels_under_loss_scaling(
    evaluate: Any, memory: str
) -> None:
    # 1 / 4e6 is 2.5e-7; times a probability of 0.1 it is below half's smallest subnormal, 6e-8
    logits = torch.zeros(1, 10, 2000, 2000, dtype=torch.float16)
    labels = torch.zeros(1, 2000, 2000, dtype=torch.uint8)
    outcome = evaluate(voxel_cross_entropy, logits, labels, grad_output=65536.0, memory=memory)
    expected = 0.1 * 65536.0 / 4e6
    assert float(outcome.gradient[0, 3, 5, 5]) == pytest.approx(expected, rel=1e-3)


# the up-sampled op has no memory modes
MODES: list[tuple[Any, dict[str, Any]]] = [
    (upsampled_cross_entropy, {}),
    *((voxel_cross_entropy, {"memory": memory}) for memory in ("store", "recompute", "inplace")),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize(("mode_op", "options"), MODES)
def test_a_second_derivative_is_refused(
    mode_op: Any, options: dict[str, Any], reduction: str, dtype: torch.dtype
) -> None:
    logits = torch.randn(2, 3, 4, 5).to(dtype).requires_grad_()
    loss, _ = mode_op(logits * 1, torch.randint(0, 3, (2, 4, 5)), reduction=reduction, **options)
    (gradient,) = torch.autograd.grad(loss.sum(), logits, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative"):
        gradient.sum().backward()


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize(("mode_op", "options"), MODES)
def test_a_second_derivative_is_refused_in_a_sum_with_other_terms(
    mode_op: Any, options: dict[str, Any], reduction: str
) -> None:
    parameter = torch.randn(2, 3, 4, 5, requires_grad=True)
    labels = torch.randint(0, 3, (2, 4, 5))
    loss = mode_op(parameter * 2, labels, reduction=reduction, **options)[0].sum()
    (gradient,) = torch.autograd.grad(loss + (parameter**3).sum(), parameter, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad((gradient**2).sum(), parameter)


def test_a_graph_of_the_backward_pass_may_be_built_and_dropped(
    op: Any, labels: torch.Tensor
) -> None:
    logits = torch.randn(2, 3, 3, 4, 5, requires_grad=True)
    plain = torch.autograd.grad(op(logits, labels)[0], logits)[0]
    graphed = torch.autograd.grad(op(logits, labels)[0], logits, create_graph=True)[0]
    assert torch.equal(plain, graphed)


def test_the_confusion_matrix_has_no_gradient(op: Any, labels: torch.Tensor) -> None:
    _, confusion = op(torch.randn(2, 3, 3, 4, 5, requires_grad=True), labels)
    assert confusion.dtype == torch.int64
    assert not confusion.requires_grad


def test_no_graph_is_built_where_no_gradient_is_wanted(op: Any, labels: torch.Tensor) -> None:
    with torch.no_grad():
        loss, _ = op(torch.randn(2, 3, 3, 4, 5, requires_grad=True), labels)
    assert loss.grad_fn is None


def test_autocast_leaves_bfloat16_logits_as_they_are(op: Any, labels: torch.Tensor) -> None:
    logits = torch.randn(2, 3, 3, 4, 5).bfloat16().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, _ = op(logits, labels)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.dtype == torch.float32
    assert gradient.dtype == torch.bfloat16


def test_the_logits_are_not_kept_alive_by_a_stored_gradient() -> None:
    leaf = torch.randn(1, 3, 8, 8, requires_grad=True)
    logits = leaf * 1.0
    storage = torch._C._WeakTensorRef(logits)
    loss, _ = voxel_cross_entropy(logits, torch.zeros(1, 8, 8, dtype=torch.uint8))
    del logits
    assert storage.expired()
    loss.backward()
    assert leaf.grad is not None
