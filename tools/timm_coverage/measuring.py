"""One family: convert its network, run it on a volume that repeats a slice, compare every slice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, fx, nn

from tomolift.inflation import InflationError, inflate

from .networks import slices_for

TOLERANCE = 1e-4
# Slices of the volume, unless the network needs a larger plane: two are left behind stride 32.
DEPTH = 64
Verdict = Literal["exact", "exact with slices in the batch", "refused", "silently wrong"]


@dataclass(frozen=True)
class Finding:
    """What became of one network.

    Attributes:
        verdict: how it ended.
        side: pixels of the square slices it was given; depth: slices of the volume.
        shape: of the 3D network's features.
        error: max|3D - 2D| / max|2D| over every slice; None where it was refused.
        rewritten: modules whose forward was rewritten.
        slicewise: dotted names of modules wrapped slice by slice.
        message: of the refusal.
    """

    verdict: Verdict
    side: int
    depth: int
    shape: tuple[int, ...]
    error: float | None
    rewritten: int
    slicewise: tuple[str, ...]
    message: str


def measure(net2d: nn.Module, *, seed: int) -> Finding:
    """Convert by default rules, and compare."""
    slices = slices_for(net2d, seed=seed)
    side, depth = slices.shape[-1], DEPTH
    message = ""
    try:
        net3d = inflate(net2d, example=slices)
    except InflationError as error:
        return Finding("refused", side, depth, (), None, 0, (), first_reason(error))
    with torch.no_grad():
        expected, others = net2d(slices[:1]), net2d(slices[1:])
        result = net3d(slices[:1].unsqueeze(2).expand(-1, -1, depth, -1, -1))
    if not spread(expected, others) > 100 * TOLERANCE:
        raise ValueError("the 2D features hardly depend on the image, so they can show nothing")
    error_found = every_slice(expected, result)
    wrapped = [
        name for name, each in net3d.named_modules() if type(each).__name__ == "SliceBySlice"
    ]
    verdict: Verdict = "exact with slices in the batch" if wrapped else "exact"
    same_keys = set(net2d.state_dict()) == set(net3d.state_dict())
    if not error_found <= TOLERANCE or not same_keys:
        verdict = "silently wrong"
    rewritten = sum(isinstance(each, fx.GraphModule) for each in net3d.modules())
    shape = tuple(result.shape)
    return Finding(verdict, side, depth, shape, error_found, rewritten, tuple(wrapped), message)


def every_slice(expected: Tensor, result: Tensor) -> float:
    """The largest error, relative to the largest 2D value; infinite for shapes that do not match.

    Args:
        expected: (1, C, H, W), (1, H, W, C), or positions in a row (1, P, C).
        result: the same with a depth D before H, or (1, D * P, C).
    """
    if expected.ndim == 3:
        result = result.unflatten(1, (-1, expected.shape[1]))
        repeated = expected.unsqueeze(1).expand_as(result)
    else:
        axis = 2 if result.shape[1] == expected.shape[1] else 1
        if result.select(axis, 0).shape != expected.shape:
            return float("inf")
        repeated = expected.unsqueeze(axis).expand_as(result)
    return ((result - repeated).abs().max() / expected.abs().max()).item()


def first_reason(error: InflationError) -> str:
    """The refusal of the first layer, where all are listed in one message."""
    return str(error).partition(" layers have no 3D form: ")[2].partition(": register")[0] or str(
        error
    )


def spread(first: Tensor, second: Tensor) -> float:
    """How much two images' features differ, relative to the largest."""
    return ((first - second).abs().max() / first.abs().max()).item()
