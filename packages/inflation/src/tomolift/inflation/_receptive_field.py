"""How far a network sees: receptive fields, followed call by call through a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name

from ._outputs import leaves

# Calls whose windows are given by kernel_size, stride and (max only) dilation.
_POOLS = ("max_pool2d", "max_pool3d", "avg_pool2d", "avg_pool3d", "lp_pool2d", "lp_pool3d")
_WHOLE = ("scaled_dot_product_attention", "multi_head_attention_forward", "bmm", "baddbmm")
_REDUCTIONS = ("mean", "sum", "amax", "amin", "softmax", "logsumexp")


@dataclass(frozen=True)
class ReceptiveField:
    """What one cell of a tensor depends on, along (depth, height, width) or (height, width).

    Attributes:
        size: cells of the network's input; infinite where a call takes in the whole axis.
        jump: cells of the input from one cell of the tensor to the next.
    """

    size: tuple[float, ...]
    jump: tuple[float, ...]

    def seen_through(
        self, reach: Sequence[float], stride: Sequence[float] | None = None
    ) -> ReceptiveField:
        """Of a tensor whose cells each see `reach` more cells of this one, `stride` apart."""
        jump = self.jump
        size = tuple(s + r * j for s, r, j in zip(self.size, reach, jump, strict=True))
        if stride is not None:
            jump = tuple(j * each for j, each in zip(jump, stride, strict=True))
        return ReceptiveField(size, jump)


class FieldTracer(TorchFunctionMode):
    """While active, follows the receptive field of every tensor that depends on `source`.

    Convolutions, pools and interpolation widen it; global pools, reductions over positions and
    attention make it infinite; any other call passes on the widest of its inputs. Norms whose
    statistics couple all positions are, by convention, not counted.

    Source: Araujo, Norris and Sim 2019, "Computing receptive fields of convolutional neural
    networks".

    Args:
        source: the network's input, (N, C, H, W) or (N, C, D, H, W).
    """

    def __init__(self, source: Tensor) -> None:
        super().__init__()
        ones = (1.0,) * (source.ndim - 2)
        # each tensor is kept beside its field, lest its id be given to another one
        self._known = {id(source): (source, ReceptiveField(ones, ones))}

    def of(self, value: Any) -> ReceptiveField | None:
        """The widest field and finest step of the tensors in a value; None without any source."""
        fields = [self._known[id(leaf)][1] for leaf in _tensors(value) if id(leaf) in self._known]
        if not fields:
            return None
        sizes = zip(*(field.size for field in fields), strict=True)
        jumps = zip(*(field.jump for field in fields), strict=True)
        return ReceptiveField(tuple(map(max, sizes)), tuple(map(min, jumps)))

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Make the call, and note the field of what it returns."""
        kwargs = kwargs or {}
        before = self.of([args, kwargs])
        shape = tuple(args[0].shape) if args and isinstance(args[0], Tensor) else ()
        result = func(*args, **kwargs)
        if before is not None:
            name = (resolve_name(func) or getattr(func, "__name__", "")).rpartition(".")[2]
            after = _through(name.lstrip("_"), _Call(args, kwargs), before, shape, result)
            for leaf in _tensors(result):
                self._known[id(leaf)] = (leaf, after)
        return result


@dataclass(frozen=True)
class _Call:
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def get(self, position: int, name: str, default: Any) -> Any:
        value = self.args[position] if len(self.args) > position else self.kwargs.get(name)
        return default if value is None else value

    def per_axis(self, position: int, name: str, default: Any, rank: int) -> tuple[int, ...]:
        value = self.get(position, name, default)
        values = tuple(value) if isinstance(value, list | tuple) else (value,)
        return values * rank if len(values) == 1 else values


def _through(
    name: str, call: _Call, field: ReceptiveField, shape: tuple[int, ...], result: Any
) -> ReceptiveField:
    rank = len(field.size)
    if name in ("conv2d", "conv3d", "conv_transpose2d", "conv_transpose3d"):
        return _through_convolution(name, call, field)
    if name in _POOLS:
        first = 2 if name.startswith("lp") else 1
        kernel = call.per_axis(first, "kernel_size", 1, rank)
        stride = call.per_axis(first + 1, "stride", kernel, rank)
        dilation = call.per_axis(4, "dilation", 1, rank) if name.startswith("max") else (1,) * rank
        reach = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return field.seen_through(reach, stride)
    if name == "interpolate":
        ratio = _ratio(shape, result)
        nearest = call.get(3, "mode", "nearest").startswith("nearest")
        return field.seen_through([0 if nearest or each == 1 else 1 for each in ratio], ratio)
    if name.startswith("adaptive_"):
        return field.seen_through((math.inf,) * rank, _ratio(shape, result))
    if name in _WHOLE or _loses_positions(name, call, shape):
        return field.seen_through((math.inf,) * rank)
    return field


def _ratio(shape: tuple[int, ...], result: Any) -> list[float]:
    """Cells per cell of the result: whole numbers, though odd sizes are halved to the next one."""
    pooled = result[0] if isinstance(result, tuple) else result  # with return_indices
    pairs = zip(shape[2:], pooled.shape[2:], strict=True)
    return [1 / round(b / a) if b > a else round(a / b) for a, b in pairs]


def _through_convolution(name: str, call: _Call, field: ReceptiveField) -> ReceptiveField:
    weight = call.get(1, "weight", None)
    kernel, rank = weight.shape[2:], len(field.size)
    stride = call.per_axis(3, "stride", 1, rank)
    transposed = "transpose" in name
    dilation = call.per_axis(7 if transposed else 5, "dilation", 1, rank)
    spans = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    if not transposed:
        return field.seen_through(spans, stride)
    # an output cell meets every stride-th tap
    reach = [span // s for span, s in zip(spans, stride, strict=True)]
    return field.seen_through(reach, [1 / s for s in stride])


def _loses_positions(name: str, call: _Call, shape: tuple[int, ...]) -> bool:
    """A reduction over a spatial axis, or a map laid out as one vector for a Linear."""
    if len(shape) < 4:
        return False
    if name == "flatten":
        return call.get(1, "start_dim", 0) in (0, 1) and math.prod(shape[2:]) > 1
    if name not in _REDUCTIONS:
        return False
    axes = call.get(1, "dim", None)
    listed = axes if isinstance(axes, list | tuple) else [axes]
    return any(axis is None or axis % len(shape) > 1 for axis in listed)


def _tensors(value: Any) -> Iterator[Tensor]:
    return (leaf for leaf in leaves(value).values() if isinstance(leaf, Tensor))
