"""Calls inside a `forward` that run on a volume and yet mean the slice: refused, by file and line.

Many plane-only calls fail on five axes by themselves, such as `b, c, h, w = x.shape`. Those listed
here may not: `x.mean((2, 3))` would silently average depth and height.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name

from .errors import UnsupportedFunctionError

_SPATIAL = {2, 3, 4}
# Calls that name axes -> where the axes stand among the arguments after the tensor.
_REDUCTIONS = dict.fromkeys(
    (
        *("mean", "sum", "prod", "std", "var", "median", "logsumexp", "cumsum"),
        *("amax", "amin", "max", "min", "argmax", "argmin", "softmax", "log_softmax", "softmin"),
        *("var_mean", "std_mean", "nansum", "nanmean", "nanmedian", "mode", "any", "all"),
        *("count_nonzero", "aminmax", "cumprod", "cummax", "cummin", "logcumsumexp"),
        *("sort", "argsort", "gather"),
        *("select", "index_select", "narrow", "unbind", "flip", "squeeze", "unflatten"),
    ),
    0,
) | dict.fromkeys(
    (
        *("norm", "vector_norm", "matrix_norm", "normalize", "roll", "quantile", "nanquantile"),
        *("kthvalue", "topk", "diff", "repeat_interleave", "take_along_dim", "chunk", "split"),
        *("tensor_split", "unsafe_chunk", "unsafe_split"),
    ),
    1,
)
_AXIS_ORDER = ("permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "einsum")
_PLANE = ("pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "fold", "unfold")
_EVERYTHING = slice(None)


class PlaneOnlyCalls(TorchFunctionMode):
    """While active, a listed call on a 5-D tensor in a module's own code is an error.

    Args:
        names: id of each module of the network -> its dotted name.
    """

    def __init__(self, names: Mapping[int, str]) -> None:
        super().__init__()
        self._names = names

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Check the call, then make it."""
        kwargs = kwargs or {}
        complaint = _complaint(func, args, kwargs)
        if complaint:
            self._refuse(complaint)
        return func(*args, **kwargs)

    def _refuse(self, complaint: str) -> None:
        """Raise if the nearest module's code on the stack is not torch's or this package's."""
        frame = sys._getframe(2)
        while frame is not None:
            owner = frame.f_locals.get("self")
            if id(owner) in self._names:
                kind = type(owner)
                if kind.__module__.startswith(("torch.", f"{__package__}.")):
                    return
                name = self._names[id(owner)]
                where = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
                raise UnsupportedFunctionError(
                    f"{repr(name) if name else 'the network itself'} ({kind.__name__}."
                    f"{frame.f_code.co_name}, {where}): {complaint}: write the call for any rank, "
                    "or register the module with @register_layer"
                )
            frame = frame.f_back  # type: ignore[assignment]


def _complaint(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """What is plane-only about a call on a volume; empty where nothing is."""
    volume = args[0] if args else kwargs.get("input")
    if isinstance(volume, list | tuple) and volume:
        volume = volume[0]
    if not isinstance(volume, Tensor) or volume.ndim != 5:
        return ""
    name = (resolve_name(func) or getattr(func, "__name__", "")).rpartition(".")[2]
    if name in _PLANE or name.endswith("2d"):
        return f"{name} works on slices"
    if func is F.pad:
        pad = args[1] if len(args) > 1 else kwargs["pad"]
        return f"pad={tuple(pad)} leaves out the depth" if len(pad) == 4 and any(pad) else ""
    if name in _AXIS_ORDER:
        return f"{name} counts axes of a slice"
    if name == "__getitem__":
        return _indexing(args[1])
    if name == "flatten":
        end = args[2] if len(args) > 2 else kwargs.get("end_dim", -1)
        return "" if end in (-1, 4) else f"flatten ends at axis {end}"
    if name in ("cat", "concat", "stack"):
        axes = _axes(args[1:], kwargs)
        return f"{name} along axis {min(axes)} of a volume" if axes & _SPATIAL else ""
    if name in _REDUCTIONS:
        axes = _axes(args[1 + _REDUCTIONS[name] :], kwargs)
        if axes & _SPATIAL and not axes >= _SPATIAL:
            return f"{name} over axes {sorted(axes)} leaves out a spatial axis of the volume"
    return ""


def _indexing(index: Any) -> str:
    """Steps, crops and picks behind the channels mean height and width, not depth and height."""
    index = index if isinstance(index, tuple) else (index,)
    behind = index[1:] if index[0] is ... else index[2:]
    if all(part is ... or (isinstance(part, slice) and part == _EVERYTHING) for part in behind):
        return ""
    return "an index behind the channels counts axes of a slice"


def _axes(positional: tuple[Any, ...], kwargs: dict[str, Any]) -> set[int]:
    """The axes that a call names, non-negative."""
    named = (kwargs[word] for word in ("dim", "dims", "axis") if word in kwargs)
    value = positional[0] if positional else next(named, None)
    axes = value if isinstance(value, list | tuple) else (value,)
    return {axis % 5 for axis in axes if isinstance(axis, int) and not isinstance(axis, bool)}
