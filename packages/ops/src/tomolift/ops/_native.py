"""The only module that touches the extension: tensors in, pointers out."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version

import torch
from torch import Tensor

from tomolift.ops import _core
from tomolift.ops._arguments import LABEL_DTYPES, LOGITS_DTYPES, Options
from tomolift.ops._faults import raise_earlier_reports, report_faults
from tomolift.ops._grid import Grid
from tomolift.ops._layout import dense_layout, empty_gradient, upsampled_shape

_REDUCTIONS = ("none", "mean", "sum")
# Below this a second thread costs more than it brings.
_VOXELS_WORTH_THREADS = 65_536
# Of fresh memory of this size some has to be whole huge pages (2 MiB each).
_BYTES_WORTH_HUGE_PAGES = 8 << 20


def build_info() -> dict[str, object]:
    """Tell what this build of the extension contains.

    Returns:
        version; cpu_isas, the instruction sets built; cpu_isa, the one in use; cuda, whether the
        CUDA part was built; cuda_architectures, compute capabilities (the last also as PTX);
        compiler.

    Example:
        >>> build_info()["cpu_isa"] in build_info()["cpu_isas"]
        True
    """
    return {
        "version": version("tomolift-ops"),
        "cpu_isas": _core.cpu_isas_built.split(),
        "cpu_isa": _core.cpu_isa(),
        "cuda": _core.cuda_built,
        "cuda_architectures": [int(name) for name in _core.cuda_architectures.split()],
        "compiler": _core.compiler,
    }


@dataclass(frozen=True, kw_only=True)
class Forward:
    """What a forward pass brings; gradient is for a grad_output of one."""

    loss: Tensor
    confusion: Tensor
    gradient: Tensor | None
    denominator: Tensor


def loss_dtype(logits: Tensor) -> torch.dtype:
    """Losses are float32, of float64 logits float64."""
    return torch.float64 if logits.dtype == torch.float64 else torch.float32


def fresh_gradient(logits: Tensor) -> Tensor:
    """empty_gradient in memory that is quick to write for the first time."""
    gradient = empty_gradient(logits)
    if gradient.device.type == "cpu" and gradient.nbytes >= _BYTES_WORTH_HUGE_PAGES:
        _core.advise_huge_pages(_address(gradient), gradient.nbytes)
    return gradient


def dense_forward(
    logits: Tensor,
    labels: Tensor,
    weight: Tensor | None,
    options: Options,
    *,
    gradient: Tensor | None,
) -> Forward:
    """Loss and confusion matrix of (N, C, ...) logits, their gradient written into `gradient`.

    That is what fresh_gradient gives or, where these are dense, the logits themselves.
    """
    _require_device("voxel_cross_entropy", "logits", logits)
    raise_earlier_reports(options)
    labels = labels.contiguous()
    planes, shape = dense_layout(logits)
    classes = logits.shape[1]
    loss_shape = labels.shape if options.reduction == "none" else ()
    loss = logits.new_empty(loss_shape, dtype=loss_dtype(logits))
    confusion = logits.new_empty((classes, classes), dtype=torch.int64)
    denominator = logits.new_empty((1,), dtype=torch.float64)
    fault = logits.new_empty((3,), dtype=torch.int64)
    known = None if gradient is None else _denominator_if_all_is_well(labels, weight, options)
    _run_dense(
        planes, labels, _weight(weight), shape, options, None, known, loss, gradient, confusion,
        denominator, fault,
    )  # fmt: skip
    report_faults(fault, labels, classes, options)
    return Forward(loss=loss, confusion=confusion, gradient=gradient, denominator=denominator)


def _denominator_if_all_is_well(
    labels: Tensor, weight: Tensor | None, options: Options
) -> Tensor | None:
    """The number of voxels where all of them are valid, or else report_faults raises.

    It saves a first pass over the labels.
    """
    if weight is not None or options.ignore_index is not None or options.reduction != "mean":
        return None
    if labels.is_cuda or options.check_labels not in (None, "raise"):
        return None
    return torch.tensor([labels.numel()], dtype=torch.float64, device="cpu")


def dense_backward(
    grad_output: Tensor,
    logits: Tensor,
    labels: Tensor,
    weight: Tensor | None,
    denominator: Tensor,
    options: Options,
    *,
    gradient: Tensor,
) -> None:
    """Write the gradient, with grad_output folded in before rounding to the logits' type."""
    planes, shape = dense_layout(logits)
    grad_output = grad_output.to(loss_dtype(logits)).contiguous().resolve_neg()
    _run_dense(
        planes, labels.contiguous(), _weight(weight), shape, options, grad_output, denominator,
        None, gradient, None, None, None,
    )  # fmt: skip


def _run_dense(
    logits: Tensor,
    labels: Tensor,
    weight: Tensor | None,
    shape: tuple[int, ...],
    options: Options,
    grad_output: Tensor | None,
    known_denominator: Tensor | None,
    *outputs: Tensor | None,
) -> None:
    native = _native_options(logits, labels, options)
    per_voxel = grad_output is not None and options.reduction == "none"
    if logits.is_cuda:
        workspace = _workspace(_core.dense_cuda_workspace(shape), logits)
        inputs = (logits, labels, weight, grad_output, known_denominator, workspace)
        stream = torch.cuda.current_stream(logits.device).cuda_stream
        with torch.cuda.device(logits.device):
            _core.dense_cuda(shape, native, _addresses(*inputs, *outputs), per_voxel, stream)
        return
    threads = _threads(labels.numel())
    workspace = _workspace(_core.dense_cpu_workspace(shape, threads), logits)
    inputs = (logits, labels, weight, grad_output, known_denominator, workspace)
    _core.dense_cpu(shape, native, _addresses(*inputs, *outputs), per_voxel, threads)


def upsampled_forward(
    low_logits: Tensor,
    labels: Tensor,
    weight: Tensor | None,
    grid: Grid,
    options: Options,
    *,
    gradient: bool,
) -> Forward:
    """Loss, confusion matrix and on request the low-resolution gradient in float32 or float64."""
    _require_device("upsampled_cross_entropy", "low_logits", low_logits)
    raise_earlier_reports(options)
    labels = labels.contiguous()
    classes = low_logits.shape[1]
    loss_shape = labels.shape if options.reduction == "none" else ()
    dtype = loss_dtype(low_logits)
    loss = low_logits.new_empty(loss_shape, dtype=dtype)
    confusion = low_logits.new_empty((classes, classes), dtype=torch.int64)
    denominator = low_logits.new_empty((1,), dtype=torch.float64)
    fault = low_logits.new_empty((3,), dtype=torch.int64)
    grad = low_logits.new_empty(low_logits.shape, dtype=dtype) if gradient else None
    _run_upsampled(
        low_logits, labels, _weight(weight), grid, options, None, None, loss, grad, confusion,
        denominator, fault,
    )  # fmt: skip
    report_faults(fault, labels, classes, options)
    return Forward(loss=loss, confusion=confusion, gradient=grad, denominator=denominator)


def upsampled_backward(
    grad_output: Tensor,
    low_logits: Tensor,
    labels: Tensor,
    weight: Tensor | None,
    denominator: Tensor,
    grid: Grid,
    options: Options,
) -> Tensor:
    """Low-resolution gradient in float32 or float64, from a grad_output for every voxel."""
    dtype = loss_dtype(low_logits)
    grad = low_logits.new_empty(low_logits.shape, dtype=dtype)
    _run_upsampled(
        low_logits, labels.contiguous(), _weight(weight), grid, options,
        grad_output.to(dtype).contiguous().resolve_neg(), denominator, None, grad, None, None, None,
    )  # fmt: skip
    return grad


def upsampled_predictions(low_logits: Tensor, grid: Grid) -> Tensor:
    """Class of every output voxel, uint8."""
    _require_device("upsampled_argmax", "low_logits", low_logits)
    labels = low_logits.new_empty((low_logits.shape[0], *grid.size), dtype=torch.uint8)
    options = Options(
        ignore_index=None, label_smoothing=0.0, reduction="sum", check_labels="ignore"
    )
    _run_upsampled(
        low_logits, labels, None, grid, options, None, None, None, None, None, None, None,
        predict=True,
    )  # fmt: skip
    return labels


def _run_upsampled(
    low_logits: Tensor,
    labels: Tensor,
    weight: Tensor | None,
    grid: Grid,
    options: Options,
    grad_output: Tensor | None,
    known_denominator: Tensor | None,
    loss: Tensor | None,
    gradient: Tensor | None,
    confusion: Tensor | None,
    denominator: Tensor | None,
    fault: Tensor | None,
    *,
    predict: bool = False,
) -> None:
    shape = upsampled_shape(low_logits, grid)
    native = _native_options(low_logits, labels, options)
    sampling = (shape, grid.sampling, grid.stride_3d)
    per_voxel = grad_output is not None and options.reduction == "none"
    predictions = labels.data_ptr() if predict else 0
    inputs = (low_logits, labels, weight, grad_output, known_denominator)
    outputs = (loss, gradient, confusion, denominator, fault)
    if low_logits.is_cuda:
        size = _core.upsampled_cuda_workspace(*sampling, native, gradient is not None)
        workspace = _workspace(size, low_logits)
        addresses = _addresses(*inputs, workspace, *outputs)
        stream = torch.cuda.current_stream(low_logits.device).cuda_stream
        with torch.cuda.device(low_logits.device):
            _core.upsampled_cuda(*sampling, native, addresses, per_voxel, predictions, stream)
        return
    threads = _threads(labels.numel())
    size = _core.upsampled_cpu_workspace(*sampling, native, gradient is not None, threads)
    workspace = _workspace(size, low_logits)
    addresses = _addresses(*inputs, workspace, *outputs)
    _core.upsampled_cpu(*sampling, native, addresses, per_voxel, predictions, threads)


def scale_on_cuda(gradient: Tensor, factor: Tensor, *, out: Tensor) -> None:
    """Write gradient times factor, one number on the device, into out, which may be gradient.

    Zeros stay zero whatever the factor is. In place a factor of one costs nothing.
    """
    factor = factor.to(torch.float32).resolve_neg()
    stream = torch.cuda.current_stream(gradient.device).cuda_stream
    with torch.cuda.device(gradient.device):
        _core.scale_gradient_cuda(
            LOGITS_DTYPES.index(gradient.dtype), gradient.numel(),
            _address(factor), _address(gradient), _address(out), stream,
        )  # fmt: skip


def _require_device(op: str, name: str, logits: Tensor) -> None:
    """Raise where the logits called name lie where the op has no kernel for them."""
    if logits.device.type == "cpu":
        return
    if not logits.is_cuda:
        raise RuntimeError(f"{name} is on {logits.device}, expected cpu or cuda: move it there")
    if logits.dtype == torch.float64:
        raise TypeError(
            f"{name} is torch.float64 on {logits.device}, expected float32, bfloat16 or float16 "
            f"there: convert it, or use tomolift.ops.reference.{op}"
        )
    if not _core.cuda_built:
        raise RuntimeError(
            f"{name} is on {logits.device} and tomolift-ops was built without its CUDA part: "
            "install it with `TOMOLIFT_CUDA=ON pip install ./packages/ops`, or use "
            f"tomolift.ops.reference.{op}"
        )


def _native_options(logits: Tensor, labels: Tensor, options: Options) -> _core.CrossEntropyOptions:
    return _core.CrossEntropyOptions(
        LOGITS_DTYPES.index(logits.dtype),
        LABEL_DTYPES.index(labels.dtype),
        _REDUCTIONS.index(options.reduction),
        options.ignore_index is not None,
        options.ignore_index if options.ignore_index is not None else 0,
        options.label_smoothing,
    )


def _weight(weight: Tensor | None) -> Tensor | None:
    return None if weight is None else weight.to(torch.float64).contiguous()


def _threads(voxels: int) -> int:
    return torch.get_num_threads() if voxels >= _VOXELS_WORTH_THREADS else 1


def _workspace(size: int, like: Tensor) -> Tensor:
    # torch aligns to 64 bytes on the CPU and to 512 on CUDA; there it may be given up before the
    # kernels have run, as whoever gets it next comes after them on the same stream
    return torch.empty(size, dtype=torch.uint8, device=like.device)


def _addresses(*tensors: Tensor | None) -> tuple[int, ...]:
    return tuple(0 if tensor is None else _address(tensor) for tensor in tensors)


def _address(tensor: Tensor) -> int:
    address = tensor.data_ptr()
    if address == 0 and tensor.numel() > 0:
        raise RuntimeError(
            f"a {type(tensor).__name__} of shape {tuple(tensor.shape)} on {tensor.device} has no "
            "memory (it is fake, or its storage was freed), expected one with data: pass a real one"
        )
    return address
