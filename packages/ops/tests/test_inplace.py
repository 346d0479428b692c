"""memory="inplace": the gradient in the logits' place, and who is told about it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tomolift.ops import voxel_cross_entropy

LABELS = torch.arange(2 * 9 * 37).reshape(2, 9, 37) % 3
# (type, reduction) whose gradient is written by the forward pass, and by the backward pass
IN_FORWARD = [
    (torch.float32, "mean"), (torch.float32, "sum"), (torch.bfloat16, "mean"),
    (torch.float64, "sum"),
]  # fmt: skip
IN_BACKWARD = [(torch.float16, "mean"), (torch.float32, "none"), (torch.bfloat16, "none")]


def leaf_of(dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(2, 3, 9, 37).to(dtype).requires_grad_()


def stored(leaf: Tensor, *, factor: float = 1.0, **options: Any) -> Tensor:
    loss, _ = voxel_cross_entropy(leaf, LABELS, **options)
    (gradient,) = torch.autograd.grad(loss, leaf, torch.full_like(loss, factor))
    return gradient


@pytest.mark.parametrize(("dtype", "reduction"), IN_FORWARD + IN_BACKWARD)
@pytest.mark.parametrize("last", [False, True])
def test_the_gradient_takes_the_logits_memory(
    dtype: torch.dtype, reduction: Any, last: bool
) -> None:
    leaf = leaf_of(dtype)
    logits = leaf.clone(memory_format=torch.channels_last if last else torch.contiguous_format)
    taken: list[int] = []
    logits.register_hook(lambda gradient: taken.append(gradient.data_ptr()))
    loss, _ = voxel_cross_entropy(logits, LABELS, reduction=reduction, memory="inplace")
    (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    assert taken == [logits.data_ptr()]
    assert torch.equal(gradient, stored(leaf, reduction=reduction))


@pytest.mark.parametrize(("dtype", "reduction"), IN_FORWARD)
def test_no_memory_of_the_logits_size_is_taken(dtype: torch.dtype, reduction: Any) -> None:
    logits = torch.randn(1, 3, 500, 600).to(dtype).requires_grad_().clone()
    labels = torch.zeros(1, 500, 600, dtype=torch.uint8)
    with torch.profiler.profile(profile_memory=True) as profile:
        voxel_cross_entropy(logits, labels, reduction=reduction, memory="inplace")[0].backward()
    largest = max(event.self_cpu_memory_usage for event in profile.events())
    assert largest < logits.nbytes / 2


@pytest.mark.parametrize(("dtype", "reduction"), IN_FORWARD)
def test_an_operation_that_saved_the_logits_is_stopped_by_torch(
    dtype: torch.dtype, reduction: Any
) -> None:
    logits = torch.relu(leaf_of(dtype))  # relu keeps its output for its backward pass
    loss, _ = voxel_cross_entropy(logits, LABELS, reduction=reduction, memory="inplace")
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize(("dtype", "reduction"), IN_BACKWARD)
def test_an_operation_that_saved_the_logits_is_stopped_after_the_backward_pass_wrote_them(
    dtype: torch.dtype, reduction: Any
) -> None:
    logits = torch.relu(leaf_of(dtype))
    loss, _ = voxel_cross_entropy(logits, LABELS, reduction=reduction, memory="inplace")
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.sum().backward()


@pytest.mark.parametrize(("dtype", "reduction"), IN_FORWARD + IN_BACKWARD)
def test_logits_changed_after_the_call_are_noticed(dtype: torch.dtype, reduction: Any) -> None:
    logits = leaf_of(dtype).clone()
    loss, _ = voxel_cross_entropy(logits, LABELS, reduction=reduction, memory="inplace")
    with torch.no_grad():
        logits.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.sum().backward()


@pytest.mark.parametrize("view", [False, True])
def test_a_leaf_is_refused_and_left_as_it_is(view: bool) -> None:
    leaf = leaf_of()
    before = leaf.detach().clone()
    with pytest.raises(ValueError, match="logits is a leaf that requires a gradient"):
        voxel_cross_entropy(leaf.view(2, 3, 9, 37) if view else leaf, LABELS, memory="inplace")
    assert torch.equal(leaf, before)


@pytest.mark.parametrize("kind", ["cut", "stepped", "turned", "repeated"])
def test_other_strides_are_refused_by_name(kind: str) -> None:
    logits = {
        "cut": torch.randn(2, 3, 9, 40, requires_grad=True).clone()[..., :37],
        "stepped": torch.randn(2, 6, 9, 37, requires_grad=True).clone()[:, ::2],
        "turned": torch.randn(2, 3, 37, 9, requires_grad=True).clone().transpose(2, 3),
        "repeated": torch.randn(1, 3, 9, 37, requires_grad=True).clone().expand(2, 3, 9, 37),
    }[kind]
    with pytest.raises(ValueError, match=r"logits has strides .*, expected contiguous or channels"):
        voxel_cross_entropy(logits, LABELS, memory="inplace")


@pytest.mark.parametrize(("dtype", "reduction"), IN_FORWARD)
@pytest.mark.parametrize("factor", [1.0, -2.0])
def test_a_gradient_written_in_the_forward_pass_serves_several_backward_passes(
    dtype: torch.dtype, reduction: Any, factor: float
) -> None:
    leaf = leaf_of(dtype)
    loss, _ = voxel_cross_entropy(leaf.clone(), LABELS, reduction=reduction, memory="inplace")
    expected = stored(leaf, reduction=reduction, factor=factor)
    for count in (1, 2, 3):
        (factor * loss).backward(retain_graph=True)
        assert leaf.grad is not None
        # bfloat16 rounds a sum of three
        torch.testing.assert_close(leaf.grad, count * expected, rtol=2**-8 * (count > 2), atol=0)


@pytest.mark.parametrize(("dtype", "reduction"), IN_BACKWARD)
def test_a_second_backward_pass_over_written_logits_is_refused(
    dtype: torch.dtype, reduction: Any
) -> None:
    loss, _ = voxel_cross_entropy(
        leaf_of(dtype).clone(), LABELS, reduction=reduction, memory="inplace"
    )
    loss.sum().backward(retain_graph=True)
    with pytest.raises(RuntimeError, match=r"wrote the gradient over the logits.*recompute"):
        loss.sum().backward()


@pytest.mark.parametrize("memory", ["store", "recompute", "inplace"])
def test_a_second_user_of_the_logits_adds_to_the_gradient_each_time(memory: Any) -> None:
    leaf = leaf_of()
    logits = leaf.clone()
    twice = (3 * logits).sum()  # needs the logits' values no more
    loss, _ = voxel_cross_entropy(logits, LABELS, reduction="sum", memory=memory)
    for _ in range(3):
        (gradient,) = torch.autograd.grad(loss + twice, leaf, retain_graph=True)
        torch.testing.assert_close(gradient, stored(leaf, reduction="sum") + 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("factor", [0.0, -2.0, 64.0, 65536.0, float("inf")])
def test_any_factor_gives_what_store_gives(
    dtype: torch.dtype, reduction: Any, factor: float
) -> None:
    leaf = leaf_of(dtype)
    loss, _ = voxel_cross_entropy(leaf.clone(), LABELS, reduction=reduction, memory="inplace")
    (gradient,) = torch.autograd.grad(loss, leaf, torch.full_like(loss, factor))
    expected = stored(leaf, reduction=reduction, factor=factor)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=0, equal_nan=True)


def test_without_a_gradient_the_logits_stay() -> None:
    logits = torch.randn(2, 3, 9, 37)
    before = logits.clone()
    voxel_cross_entropy(logits, LABELS, memory="inplace")
    with torch.no_grad():
        voxel_cross_entropy(leaf_of(), LABELS, memory="inplace")
    assert torch.equal(logits, before)


def test_the_compiler_plans_the_memory_itself() -> None:
    leaf = leaf_of()

    def step(z: Tensor) -> Tensor:
        logits = torch.relu(z)  # kept for relu's own backward pass
        return voxel_cross_entropy(logits, LABELS, memory="inplace")[0]

    (gradient,) = torch.autograd.grad(
        torch.compile(step, fullgraph=True, backend="aot_eager")(leaf), leaf
    )
    (expected,) = torch.autograd.grad(voxel_cross_entropy(torch.relu(leaf), LABELS)[0], leaf)
    torch.testing.assert_close(gradient, expected)
