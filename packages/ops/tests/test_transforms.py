"""Tensors and transforms beyond plain backward passes: taken rightly, or refused by an error."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint

from tomolift.ops import upsampled_argmax, upsampled_cross_entropy, voxel_cross_entropy

# torch's own, on the first use of forward mode
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

LABELS = torch.arange(2 * 4 * 5).reshape(2, 4, 5) % 3


@pytest.fixture(params=[voxel_cross_entropy, upsampled_cross_entropy], ids=["dense", "upsampled"])
def op(request: pytest.FixtureRequest) -> Any:
    return request.param


def gradient_of(loss: Tensor, leaf: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(loss, leaf)
    return gradient


def test_a_negative_view_is_read_as_what_it_stands_for(op: Any) -> None:
    logits = torch.randn(2, 3, 4, 5)
    view = torch.complex(torch.zeros(2, 3, 4, 5), -logits).conj().imag
    assert view.is_neg()
    torch.testing.assert_close(op(view, LABELS), op(logits, LABELS), rtol=0, atol=0)
    assert torch.equal(upsampled_argmax(view, (8, 9)), upsampled_argmax(logits, (8, 9)))


@pytest.mark.parametrize("requires_grad", [False, True])
def test_a_forward_mode_derivative_is_refused(op: Any, requires_grad: bool) -> None:
    with forward_ad.dual_level():
        primal = torch.randn(2, 3, 4, 5, requires_grad=requires_grad)
        dual = forward_ad.make_dual(primal, torch.ones(2, 3, 4, 5))
        with pytest.raises(RuntimeError, match="no forward-mode derivative"):
            op(dual, LABELS)


def test_logits_without_a_tangent_are_taken_inside_forward_mode(op: Any) -> None:
    logits = torch.randn(2, 3, 4, 5)
    with forward_ad.dual_level():
        inside = op(logits, LABELS)
    torch.testing.assert_close(inside, op(logits, LABELS), rtol=0, atol=0)


@pytest.mark.parametrize("transform", [torch.func.grad, torch.func.jacrev, torch.func.hessian])
def test_functional_transforms_are_refused(op: Any, transform: Any) -> None:
    with pytest.raises(RuntimeError, match="functorch transforms"):
        transform(lambda z: op(z, LABELS)[0])(torch.randn(2, 3, 4, 5))


def test_vectorising_transforms_are_refused(op: Any) -> None:
    with pytest.raises(RuntimeError, match="doesn't have storage"):
        torch.func.vmap(lambda z: op(z, LABELS)[0])(torch.randn(4, 2, 3, 4, 5))


def test_checkpointing_gives_the_same_gradient(op: Any) -> None:
    leaf = torch.randn(2, 3, 4, 5, requires_grad=True)
    plain = gradient_of(op(leaf * 2, LABELS)[0], leaf)
    kept = checkpoint(lambda z: op(z * 2, LABELS)[0], leaf, use_reentrant=False)
    assert torch.equal(gradient_of(kept, leaf), plain)


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_what_is_saved_for_backward_may_be_moved_away(op: Any, reduction: str) -> None:
    leaf = torch.randn(2, 3, 4, 5, requires_grad=True)
    plain = gradient_of(op(leaf, LABELS, reduction=reduction)[0].sum(), leaf)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.clone(), lambda t: t.clone()):
        loss, _ = op(leaf, LABELS, reduction=reduction)
    assert torch.equal(gradient_of(loss.sum(), leaf), plain)


def test_inference_mode_gives_the_same_numbers(op: Any) -> None:
    logits = torch.randn(2, 3, 4, 5)
    with torch.inference_mode():
        inside = op(logits, LABELS)
    torch.testing.assert_close(inside, op(logits, LABELS), rtol=0, atol=0)
