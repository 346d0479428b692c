"""Cross-entropy of low-resolution logits, never up-sampling them in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from tomolift.ops import _native
from tomolift.ops._arguments import (
    CheckLabels,
    Options,
    Reduction,
    check_logits,
    check_size,
    check_stride,
    check_weight,
)
from tomolift.ops._arguments import (
    check_labels as _check_labels,
)
from tomolift.ops._autograd import guarded, once_only, refuse_forward_mode, scaled
from tomolift.ops._grid import Grid
from tomolift.ops._interception import intercepted


def upsampled_cross_entropy(
    low_logits: Float[Tensor, "batch class *low"],
    labels: Integer[Tensor, " batch *spatial"],
    *,
    align_corners: bool = True,
    stride: Sequence[int] | None = None,
    weight: Float[Tensor, " class"] | None = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
    check_labels: CheckLabels | None = None,
) -> tuple[Float[Tensor, "*loss"], Integer[Tensor, "truth prediction"]]:
    """Cross-entropy of linearly up-sampled logits, with its gradient and the confusion matrix.

    What F.interpolate (bilinear or trilinear) followed by voxel_cross_entropy gives, without the
    full-resolution logits ever existing; the gradient is that of the low-resolution logits.

    Args:
        low_logits: (N, C, h, w) or (N, C, d, h, w), any strides; float32, bfloat16, float16 or
            float64.
        labels: (N, H, W) or (N, D, H, W); their spatial size is the size up-sampled to.
        align_corners: whether first and last samples of an axis coincide, as in F.interpolate; not
            used where stride is given.
        stride: one number a spatial axis, such as (8, 8, 8): output index i reads low-resolution
            position i / stride, clamped to the last sample. That is where a network of this output
            stride looked.
        weight: as in voxel_cross_entropy, like all that follow.
        ignore_index: the label whose voxels take part in nothing.
        label_smoothing: in [0, 1].
        reduction: "mean", "sum" or "none".
        check_labels: "raise", "defer", "ignore" or None.

    Returns:
        The loss, float32 (float64 for float64 logits), and the int64 confusion matrix (C, C): rows
        are the truth, columns the prediction. It has no gradient.

    Raises:
        IndexError: a label is neither in [0, C) nor ignore_index.
        TypeError, ValueError: an argument's type, shape or value is not as above.
        RuntimeError: the logits are on CUDA and the CUDA part was not built; or a second derivative
            is asked for.

    Example:
        >>> low = torch.zeros(1, 3, 2, 2, 2, requires_grad=True)
        >>> labels = torch.zeros(1, 9, 16, 16, dtype=torch.uint8)
        >>> loss, confusion = upsampled_cross_entropy(low, labels)
        >>> round(loss.item(), 4), confusion[0].tolist()
        (1.0986, [2304, 0, 0])
    """
    check_logits("low_logits", low_logits)
    _check_labels(low_logits, labels)
    check_size(low_logits, labels.shape[1:])
    check_weight(low_logits, weight)
    steps = check_stride(stride, labels.dim() - 1)
    options = Options(
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction=reduction,
        check_labels=check_labels,
    )
    refuse_forward_mode(low_logits)
    differentiate = low_logits.requires_grad and torch.is_grad_enabled()
    store = differentiate and reduction != "none"
    if intercepted(low_logits, labels, weight):
        loss, confusion, _, _ = _forward_op(
            low_logits, labels, weight, align_corners, steps, ignore_index, label_smoothing,
            reduction, check_labels, store,
        )  # fmt: skip
        return loss, confusion
    grid = Grid(size=tuple(labels.shape[1:]), align_corners=align_corners, stride=steps)
    if not differentiate:
        result = _native.upsampled_forward(
            low_logits, labels, weight, grid, options, gradient=False
        )
        return result.loss, result.confusion
    return _UpsampledCrossEntropy.apply(low_logits, labels, weight, grid, options, store)


class _UpsampledCrossEntropy(torch.autograd.Function):
    """The eager path."""

    @staticmethod
    def forward(
        ctx: Any,
        low_logits: Tensor,
        labels: Tensor,
        weight: Tensor | None,
        grid: Grid,
        options: Options,
        store: bool,
    ) -> tuple[Tensor, Tensor]:
        result = _native.upsampled_forward(
            low_logits, labels, weight, grid, options, gradient=store
        )
        ctx.grid = grid
        ctx.options = options
        ctx.mark_non_differentiable(result.confusion)
        ctx.set_materialize_grads(False)
        if store:
            ctx.save_for_backward(low_logits, result.gradient, None, None, None)
        else:
            ctx.save_for_backward(low_logits, None, labels, weight, result.denominator)
        return result.loss, result.confusion

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor | None) -> Any:
        grad_output = grad_outputs[0]
        if grad_output is None:
            return None, None, None, None, None, None
        low_logits, stored, labels, weight, denominator = ctx.saved_tensors
        with torch.no_grad():
            if stored is not None:
                gradient = scaled(stored, grad_output)
            else:
                gradient = _native.upsampled_backward(
                    grad_output, low_logits, labels, weight, denominator, ctx.grid, ctx.options
                )
            gradient = gradient.to(low_logits.dtype)
        return once_only(gradient, low_logits, grad_output), None, None, None, None, None


@torch.library.custom_op("tomolift::upsampled_cross_entropy", mutates_args=())
def _forward_op(
    low_logits: Tensor,
    labels: Tensor,
    weight: Tensor | None,
    align_corners: bool,
    stride: Sequence[float] | None,
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
    grid = _grid(labels, align_corners, stride)
    result = _native.upsampled_forward(low_logits, labels, weight, grid, options, gradient=store)
    gradient = result.gradient if result.gradient is not None else low_logits.new_empty(0)
    return result.loss, result.confusion, gradient, result.denominator


@_forward_op.register_fake
def _(
    low_logits: Tensor,
    labels: Tensor,
    weight: Tensor | None,
    align_corners: bool,
    stride: Sequence[float] | None,
    ignore_index: int | None,
    label_smoothing: float,
    reduction: str,
    check_labels: str | None,
    store: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    classes = low_logits.shape[1]
    loss_shape = labels.shape if reduction == "none" else ()
    dtype = _native.loss_dtype(low_logits)
    return (
        low_logits.new_empty(loss_shape, dtype=dtype),
        low_logits.new_empty((classes, classes), dtype=torch.int64),
        low_logits.new_empty(low_logits.shape, dtype=dtype) if store else low_logits.new_empty(0),
        low_logits.new_empty((1,), dtype=torch.float64),
    )


@torch.library.custom_op("tomolift::upsampled_cross_entropy_backward", mutates_args=())
def _backward_op(
    grad_output: Tensor,
    low_logits: Tensor,
    labels: Tensor,
    weight: Tensor | None,
    denominator: Tensor,
    align_corners: bool,
    stride: Sequence[float] | None,
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
    grid = _grid(labels, align_corners, stride)
    return _native.upsampled_backward(
        grad_output, low_logits, labels, weight, denominator, grid, options
    )


@_backward_op.register_fake
def _(
    grad_output: Tensor,
    low_logits: Tensor,
    labels: Tensor,
    weight: Tensor | None,
    denominator: Tensor,
    align_corners: bool,
    stride: Sequence[float] | None,
    ignore_index: int | None,
    label_smoothing: float,
    reduction: str,
) -> Tensor:
    return low_logits.new_empty(low_logits.shape, dtype=_native.loss_dtype(low_logits))


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    low_logits, labels, weight, *ctx.options, _, ctx.store = inputs
    _, confusion, gradient, denominator = output
    ctx.mark_non_differentiable(confusion, gradient, denominator)
    ctx.save_for_backward(low_logits, labels, weight, gradient, denominator)


def _backward(ctx: Any, grad_output: Tensor, *_: Tensor | None) -> tuple[Tensor | None, ...]:
    low_logits, labels, weight, gradient, denominator = ctx.saved_tensors
    if ctx.store:
        result = guarded(gradient, grad_output)
    else:
        result = _backward_op(grad_output, low_logits, labels, weight, denominator, *ctx.options)
    result = result.to(low_logits.dtype)
    return once_only(result, low_logits, grad_output), *([None] * 9)


_forward_op.register_autograd(_backward, setup_context=_setup_context)


def _grid(labels: Tensor, align_corners: bool, stride: Sequence[float] | None) -> Grid:
    steps = None if stride is None else tuple(stride)
    return Grid(size=tuple(labels.shape[1:]), align_corners=align_corners, stride=steps)
