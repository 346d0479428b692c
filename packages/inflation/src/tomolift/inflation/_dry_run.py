"""Run the 3D network once without data, and turn whatever fails into an error that names it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ._functional import PlaneOnlyCalls
from ._outputs import leaves, tensor_pairs
from ._token_counts import TokenCounts
from .errors import InflationError, ShapeMismatchError, UnsupportedFunctionError

# nn.Module's own frames between a call and the `forward` that it reaches
_CALL_MACHINERY = ("_wrapped_call_impl", "_call_impl")
# Sides to try: the first suits nets up to stride 32, the others fixed or larger input sizes.
_SIDES = (64, 224, 256, 32, 28, 512)


def dry_run(
    net2d: nn.Module, net3d: nn.Module, example: Float[Tensor, "batch channel height width"] | None
) -> None:
    """Compare the shapes of both networks' outputs, on tensors without storage.

    Raises:
        UnsupportedFunctionError: a call in a `forward` fails or acts on a plane only.
        ShapeMismatchError: a layer gets a shape it was not made for, or the outputs differ in
            more than the depth.
        UnsupportedLayerError: an attention has class tokens or a mask.
        InflationError: the 2D network itself runs on no made-up input.
    """
    bare_2d, bare_3d = without_storage(net2d), without_storage(net3d)
    tokens = TokenCounts(bare_2d, bare_3d)
    with torch.device("meta"), torch.no_grad():
        if example is None:
            slices, expected = run_made_up(bare_2d, num_axes=2)
        else:
            slices = torch.empty_like(example, device="meta")
            expected = bare_2d(slices)
        depth = slices.shape[2]
        volume = slices.unsqueeze(2).expand(-1, -1, depth, -1, -1).clone()
        names = {id(module): name for name, module in bare_3d.named_modules()}
        try:
            with PlaneOnlyCalls(names):
                result = bare_3d(volume)
        except InflationError:
            raise
        except Exception as error:
            raise _explain(error, names) from error
    tokens.check()
    _compare(expected, result)


def made_up_slices(net2d: nn.Module) -> Float[Tensor, "batch channel height width"]:
    """Zeros of the first size that the 2D network accepts, in its dtype and on its device.

    Raises:
        InflationError: it accepts none.
    """
    with torch.device("meta"), torch.no_grad():
        slices, _ = run_made_up(without_storage(net2d), num_axes=2)
    parameter = next(net2d.parameters(), torch.empty(0))
    return torch.zeros(slices.shape, dtype=slices.dtype, device=parameter.device)


def without_storage(net: nn.Module) -> nn.Module:
    """A copy in eval mode whose tensors are on the meta device; no data is copied."""
    memo: dict[int, Any] = {}
    for module in net.modules():
        own = (*module._parameters.values(), *module._buffers.values(), *vars(module).values())
        for tensor in own:
            if isinstance(tensor, Tensor):
                memo[id(tensor)] = _bare(tensor)
    return copy.deepcopy(net, memo).eval()


def _bare(tensor: Tensor) -> Tensor:
    bare = torch.empty_like(tensor, device="meta", requires_grad=False)
    return nn.Parameter(bare, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else bare


def run_made_up(net: nn.Module, *, num_axes: int) -> tuple[Tensor, Any]:
    """An input on the meta device of the first size that a network without storage accepts.

    Args:
        net: the network.
        num_axes: 2 for slices, 3 for volumes; all of one size.

    Returns:
        The input and what the network makes of it.

    Raises:
        InflationError: it accepts none.
    """
    dtype = next((p.dtype for p in net.parameters() if p.is_floating_point()), None)
    failures = []
    for side in _SIDES:
        sides = (side,) * num_axes
        made_up = torch.empty(2, _in_channels(net), *sides, dtype=dtype, device="meta")
        try:
            return made_up, net(made_up)
        except Exception as error:
            failures.append(error)
    raise InflationError(
        f"the {num_axes}D network runs on no made-up input, such as {tuple(made_up.shape)} "
        f"({first_line(failures[0])}): pass example=, a batch that it accepts"
    ) from failures[0]


def _in_channels(net: nn.Module) -> int:
    """Channels that the first layer with a channel count asks for; 3 where there is none."""
    for module in net.modules():
        for attribute in ("in_channels", "num_features", "num_channels"):
            channels = getattr(module, attribute, None)
            if isinstance(channels, int) and not list(module.children()):
                return channels
    return 3


def _explain(error: Exception, names: dict[int, str]) -> InflationError:
    """Say which module failed, and on which line where its `forward` is the user's."""
    module, named, where = locate(error, names)
    kind = type(module).__name__
    if type(module).__module__.startswith("torch."):
        return ShapeMismatchError(
            f"{named} ({kind}) does not accept its input in 3D ({first_line(error)}): inflate a "
            "network without it, or register the module around it with @register_layer"
        )
    return UnsupportedFunctionError(
        f"{named} ({kind}.forward{where}) only works in 2D ({first_line(error)}): write the "
        "call for any rank, or register the module with @register_layer"
    )


def locate(error: Exception, names: dict[int, str]) -> tuple[object, str, str]:
    """The module that failed, its name, and ", file:line" where its `forward` is the user's."""
    module, where, called = None, "", False
    for frame, line in _frames(error.__traceback__):
        candidate = frame.f_locals.get("self")
        known = id(candidate) in names
        module = candidate if known else module
        if frame.f_code.co_name in _CALL_MACHINERY:
            where, called = "", True
        elif known or called:  # what nn.Module calls is the forward, whatever its arguments' names
            where, called = f", {Path(frame.f_code.co_filename).name}:{line}", False
    name = names.get(id(module))
    return module, repr(name) if name else "the network itself", where


def _frames(traceback: TracebackType | None) -> Iterator[tuple[Any, int]]:
    while traceback is not None:
        yield traceback.tb_frame, traceback.tb_lineno
        traceback = traceback.tb_next


def first_line(error: Exception) -> str:
    """Its type and the first line of its message."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"


def _compare(expected: Any, result: Any) -> None:
    """The 3D output has the 2D output's structure and shapes, with a depth after the channels."""
    for where, slices, volume in tensor_pairs(leaves(expected), leaves(result), "output"):
        shape = tuple(volume.shape)
        if slices.ndim == 4 and volume.ndim == 5:
            shape = (*shape[:2], *shape[3:])
        fits = slices.ndim == 3 or shape == tuple(slices.shape)  # 3: positions in a row
        if not fits or (slices.ndim != 4 and volume.ndim != slices.ndim):
            raise ShapeMismatchError(
                f"{where} is {tuple(slices.shape)} in 2D and {tuple(volume.shape)} in 3D: a call "
                "in a forward treats depth as another axis, write it for any rank"
            )
