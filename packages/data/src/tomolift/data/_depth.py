"""The depth policy: which slices of a volume enter a cache of one common depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Short = Literal["drop", "pad"]


@dataclass(frozen=True)
class DepthPlan:
    """Slices ``first``..``stop`` of the source become slices ``offset``.. of the cached volume.

    ``z0`` is the source slice of cached slice 0; it is negative where the volume is padded.
    """

    depth: int
    z0: int
    first: int
    stop: int

    @property
    def offset(self) -> int:
        """Cached slice of source slice ``first``: how many padded slices come before it."""
        return self.first - self.z0

    @property
    def valid(self) -> tuple[int, int]:
        """The half-open range of cached slices that hold source slices."""
        return self.offset, self.offset + self.stop - self.first


def plan_depth(num_slices: int, *, depth: int, short: Short) -> DepthPlan | None:
    """Return the middle ``depth`` slices of ``num_slices``, or None where the volume is dropped.

    ``drop`` is the paper's rule (Data): shorter volumes leave the set. ``pad`` centres them.

    Example:
        >>> plan_depth(100, depth=70, short="drop").z0
        15
        >>> plan_depth(24, depth=48, short="pad").valid
        (12, 36)
        >>> plan_depth(24, depth=48, short="drop") is None
        True
    """
    if num_slices < depth and short == "drop":
        return None
    return middle_slices(num_slices, depth=depth)


def middle_slices(num_slices: int, *, depth: int) -> DepthPlan:
    """Return the middle ``depth`` of ``num_slices``, with padding on both sides where they are few.

    Example:
        >>> middle_slices(5, depth=8)
        DepthPlan(depth=8, z0=-2, first=0, stop=5)
    """
    z0 = (num_slices - depth) // 2
    return DepthPlan(depth=depth, z0=z0, first=max(z0, 0), stop=min(z0 + depth, num_slices))
