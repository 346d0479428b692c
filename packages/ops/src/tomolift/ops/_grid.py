"""How an output grid lies on the low-resolution one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Output size, and where its samples lie; a stride, where given, overrules align_corners."""

    size: tuple[int, ...]
    align_corners: bool
    stride: tuple[float, ...] | None

    @property
    def sampling(self) -> int:
        """The core's name for it."""
        if self.stride is not None:
            return 2
        return 0 if self.align_corners else 1

    @property
    def stride_3d(self) -> tuple[float, ...]:
        """One stride for each of (depth, height, width)."""
        stride = self.stride if self.stride is not None else (1.0,) * len(self.size)
        return (1.0,) * (3 - len(stride)) + stride
