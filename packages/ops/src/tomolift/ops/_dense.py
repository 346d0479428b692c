"""Voxel-wise cross-entropy of full-resolution logits."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from tomolift.ops import _native
from tomolift.ops._arguments import (
    CheckLabels,
    Memory,
    Options,
    Reduction,
    check_logits,
    check_weight,
    one_of,
)
from tomolift.ops._arguments import (
    check_labels as _check_labels,
)
from tomolift.ops._autograd import guarded, once_only, refuse_forward_mode, scaled
from tomolift.ops._interception import intercepted
from tomolift.ops._layout import empty_gradient, is_dense


def voxel_cross_entropy(
    logits: Float[Tensor, "batch class *spatial"],
    labels: Integer[Tensor, " batch *spatial"],
    *,
    weight: Float[Tensor, " class"] | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
    memory: Memory = "store",
    check_labels: CheckLabels | None = None,
) -> tuple[Float[Tensor, "*loss"], Integer[Tensor, "truth prediction"]]:
    """Cross-entropy of every voxel, its gradient and the confusion matrix in one pass.

    The loss is torch's (F.cross_entropy), with three deviations: an ignored voxel's gradient is
    exactly zero even where its logits are NaN; no label is ignored unless ignore_index says so; a
    float16 gradient is computed with grad_output folded in, so that loss scaling saves it from
    underflow.

    Args:
        logits: (N, C, H, W) or (N, C, D, H, W); float32, bfloat16, float16, or float64. Contiguous
            and channels-last tensors are read as they lie, others are copied.
        labels: (N, H, W) or (N, D, H, W), the class of every voxel; uint8, int16, int32 or int64.
        weight: (C,), the classes' weights; None is all ones. The mean divides by the sum of the
            valid voxels' weights.
        ignore_index: the label whose voxels take part in nothing.
        label_smoothing: in [0, 1], the share of the target spread over all classes.
        reduction: "mean", "sum", or "none" for a loss of the labels' shape.
        memory: "store" keeps the gradient from the forward pass; "recompute" keeps the logits and
            computes it in the backward pass, as float16 and reduction="none" always do; "inplace"
            writes it over the logits, which nothing may read after the call (under the compiler it
            is "store").
        check_labels: "raise" looks for labels out of range at once (on CUDA that waits for the
            kernel), "defer" leaves the report to a later call or to check_deferred_labels, "ignore"
            leaves such labels out of everything silently. None is "raise" on the CPU and "defer"
            on CUDA.

    Returns:
        The loss, float32 (float64 for float64 logits), and the int64 confusion matrix (C, C): rows
        are the truth, columns the prediction (the first maximum). It has no gradient.

    Raises:
        IndexError: a label is neither in [0, C) nor ignore_index.
        TypeError, ValueError: an argument's type, shape or value is not as above.
        RuntimeError: the logits are on CUDA and the CUDA part was not built; or a second derivative
            is asked for, or a second backward pass where the first wrote over the logits.

    Example:
        >>> logits = torch.tensor([2.0, 0.0]).reshape(1, 2, 1, 1).requires_grad_()
        >>> loss, confusion = voxel_cross_entropy(logits, torch.zeros(1, 1, 1, dtype=torch.uint8))
        >>> round(loss.item(), 4), confusion.tolist()
        (0.1269, [[1, 0], [0, 0]])
    """
    check_logits("logits", logits)
    _check_labels(logits, labels)
    if labels.shape[1:] != logits.shape[2:]:
        raise ValueError(
            f"labels has shape {tuple(labels.shape)} and logits {tuple(logits.shape)}, expected "
            "equal spatial sizes (upsampled_cross_entropy takes low-resolution logits)"
        )
    check_weight(logits, weight)
    one_of("memory", memory, ("store", "recompute", "inplace"))
    options = Options(
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction=reduction,
        check_labels=check_labels,
    )
    refuse_forward_mode(logits)
    differentiate = logits.requires_grad and torch.is_grad_enabled()
    store = (
        differentiate
        and memory != "recompute"
        and reduction != "none"
        and logits.dtype != torch.float16
    )
    if intercepted(logits, labels, weight):
        loss, confusion, _, _ = _forward_op(
            logits, labels, weight, ignore_index, label_smoothing, reduction, check_labels, store
        )
        return loss, confusion
    if not differentiate:
        result = _native.dense_forward(logits, labels, weight, options, gradient=None)
        return result.loss, result.confusion
    inplace = memory == "inplace"
    if inplace:
        _check_writable(logits)
    # an empty piece of the logits ties the stored gradient to their graph without keeping them
    anchor = logits[:0].clone() if store else logits
    return _VoxelCrossEntropy.apply(logits, anchor, labels, weight, options, store, inplace)


def _check_writable(logits: Tensor) -> None:
    """Raise where the gradient cannot take the place of the logits."""
    base = logits if logits._base is None else logits._base
    if base.is_leaf and base.requires_grad:
        raise ValueError(
            "logits is a leaf that requires a gradient (or a view of one), expected the output of "
            "a network: memory='inplace' would write over it, use memory='store'"
        )
    if not is_dense(logits):
        raise ValueError(
            f"logits has strides {logits.stride()}, expected contiguous or channels-last logits "
            "for memory='inplace': make them contiguous, or use memory='store'"
        )


class _VoxelCrossEntropy(torch.autograd.Function):
    """The eager path: the stored gradient is no output, so nothing downstream may take it over."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        anchor: Tensor,
        labels: Tensor,
        weight: Tensor | None,
        options: Options,
        store: bool,
        inplace: bool,
    ) -> tuple[Tensor, Tensor]:
        gradient = None
        if store and inplace:
            # whoever has saved the logits for its own backward pass is told by autograd, even where
            # a label raises
            torch.autograd.graph.increment_version(logits)
            gradient = logits.detach()
        elif store:
            gradient = _native.fresh_gradient(logits)
        result = _native.dense_forward(logits, labels, weight, options, gradient=gradient)
        ctx.options = options
        ctx.store = store
        ctx.inplace = inplace
        ctx.spent = False
        ctx.mark_non_differentiable(result.confusion)
        ctx.set_materialize_grads(False)
        if store:
            ctx.save_for_backward(result.gradient, anchor)
        else:
            ctx.save_for_backward(logits, labels, weight, result.denominator)
        return result.loss, result.confusion

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor | None) -> Any:
        grad_output = grad_outputs[0]
        if grad_output is None:
            return (None,) * 7
        if ctx.spent:
            raise RuntimeError(
                "a first backward pass wrote the gradient over the logits, expected one pass alone "
                "with memory='inplace': use memory='recompute' to run it again"
            )
        if ctx.store:
            stored, anchor = ctx.saved_tensors
            with torch.no_grad():
                gradient = scaled(stored, grad_output)
        else:
            logits, labels, weight, denominator = ctx.saved_tensors
            anchor = logits
            ctx.spent = ctx.inplace
            with torch.no_grad():
                gradient = logits.detach() if ctx.inplace else _native.fresh_gradient(logits)
                _native.dense_backward(
                    grad_output, logits, labels, weight, denominator, ctx.options, gradient=gradient
                )
                if ctx.inplace:
                    torch.autograd.graph.increment_version(logits)
        return once_only(gradient, anchor, grad_output), *([None] * 6)


@torch.library.custom_op("tomolift::voxel_cross_entropy", mutates_args=())
def _forward_op(
    logits: Tensor,
    labels: Tensor,
    weight: Tensor | None,
    ignore_index: int | None,
    label_smoothing: float,
    reduction: str,
    check_labels: str | None,
    store: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    options = Options(
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction=reduction,
        check_labels=check_labels,
    )
    gradient = _native.fresh_gradient(logits) if store else None
    result = _native.dense_forward(logits, labels, weight, options, gradient=gradient)
    kept = gradient if gradient is not None else logits.new_empty(0)
    return result.loss, result.confusion, kept, result.denominator


@_forward_op.register_fake
def _(
    logits: Tensor,
    labels: Tensor,
    weight: Tensor | None,
    ignore_index: int | None,
    label_smoothing: float,
    reduction: str,
    check_labels: str | None,
    store: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    classes = logits.shape[1]
    loss_shape = labels.shape if reduction == "none" else ()
    return (
        logits.new_empty(loss_shape, dtype=_native.loss_dtype(logits)),
        logits.new_empty((classes, classes), dtype=torch.int64),
        empty_gradient(logits) if store else logits.new_empty(0),
        logits.new_empty((1,), dtype=torch.float64),
    )


@torch.library.custom_op("tomolift::voxel_cross_entropy_backward", mutates_args=())
def _backward_op(
    grad_output: Tensor,
    logits: Tensor,
    labels: Tensor,
    weight: Tensor | None,
    denominator: Tensor,
    ignore_index: int | None,
    label_smoothing: float,
    reduction: str,
) -> Tensor:
    options = Options(
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction=reduction,
        check_labels="ignore",
    )
    gradient = _native.fresh_gradient(logits)
    _native.dense_backward(
        grad_output, logits, labels, weight, denominator, options, gradient=gradient
    )
    return gradient


@_backward_op.register_fake
def _(
    grad_output: Tensor,
    logits: Tensor,
    labels: Tensor,
    weight: Tensor | None,
    denominator: Tensor,
    ignore_index: int | None,
    label_smoothing: float,
    reduction: str,
) -> Tensor:
    return empty_gradient(logits)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    logits, labels, weight, *ctx.options, _, ctx.store = inputs
    _, confusion, gradient, denominator = output
    ctx.mark_non_differentiable(confusion, gradient, denominator)
    ctx.save_for_backward(logits, labels, weight, gradient, denominator)


def _backward(ctx: Any, grad_output: Tensor, *_: Tensor | None) -> tuple[Tensor | None, ...]:
    logits, labels, weight, gradient, denominator = ctx.saved_tensors
    if ctx.store:
        # always a new tensor: the stored one is an output of the op
        result = guarded(gradient, grad_output)
    else:
        result = _backward_op(grad_output, logits, labels, weight, denominator, *ctx.options)
    return once_only(result, logits, grad_output), None, None, None, None, None, None, None


_forward_op.register_autograd(_backward, setup_context=_setup_context)
