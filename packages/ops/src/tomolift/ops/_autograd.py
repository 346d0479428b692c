"""Autograd's corners: scaling a stored gradient, and refusing a second derivative."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from tomolift.ops import _native
from tomolift.ops._interception import intercepted


def scaled(gradient: Tensor, grad_output: Tensor) -> Tensor:
    """Return gradient times the scalar grad_output; for the backward pass, which alone may call it.

    A factor of one costs nothing where this backward pass is the graph's last: gradient itself
    comes back. On CUDA, where nobody waits for the factor, gradient is then written to.
    """
    # what torch's own compiled backward passes ask before they write into what was saved
    kept = torch._C._autograd._get_current_graph_task_keep_graph()
    if gradient.is_cuda and not intercepted(gradient, grad_output):
        out = torch.empty_like(gradient) if kept else gradient
        _native.scale_on_cuda(gradient, grad_output, out=out)
        return out
    if grad_output.device.type == "cpu" and not intercepted(gradient, grad_output):
        factor = grad_output.item()
        if factor == 1.0:
            return gradient.clone() if kept else gradient
        if math.isfinite(factor):
            return gradient * grad_output
    return guarded(gradient, grad_output)


def guarded(gradient: Tensor, grad_output: Tensor) -> Tensor:
    """Return gradient times the scalar grad_output in a new tensor, where zeros stay zero.

    An ignored voxel's gradient is zero whatever it is multiplied with, be it infinite or NaN.
    """
    return torch.where(gradient == 0, gradient, gradient * grad_output)


class RefuseSecondDerivative(torch.autograd.Function):
    """The identity on a gradient that raises where it is differentiated again.

    Without it the second derivative would silently be taken as zero, because the gradient was
    computed where autograd could not see it.
    """

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, *anchors: Tensor) -> Tensor:
        """Pass gradient through; the anchors tie it to the graphs of what it depends on."""
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        """Raise."""
        raise RuntimeError(
            "tomolift.ops has no second derivative of the cross-entropy: call backward without "
            "create_graph, or use tomolift.ops.reference"
        )


def refuse_forward_mode(logits: Tensor) -> None:
    """Raise RuntimeError where logits carry a tangent, which would silently be dropped."""
    if forward_ad._current_level < 0 or forward_ad.unpack_dual(logits).tangent is None:
        return
    raise RuntimeError(
        "tomolift.ops has no forward-mode derivative of the cross-entropy: use backward, or "
        "tomolift.ops.reference"
    )


def once_only(gradient: Tensor, *anchors: Tensor) -> Tensor:
    """Return gradient, guarded where a graph of the backward pass is being built.

    The anchors are what gradient depends on: the logits and grad_output.
    """
    if torch.is_grad_enabled() and any(anchor.requires_grad for anchor in anchors):
        return RefuseSecondDerivative.apply(gradient, *anchors)
    return gradient
