"""Logits as a network has just written them, and labels."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor

CONTIGUOUS, CHANNELS_LAST = "contiguous", "channels_last"


class Problem:
    """Random logits that can be had afresh, and labels of the same voxels.

    An op that works in place destroys its logits, so `logits()` writes their values again before
    every timed step, for all contenders alike: each finds what a network has just written.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        dtype: torch.dtype = torch.float32,
        layout: str = CONTIGUOUS,
        label_shape: tuple[int, ...] | None = None,
        device: str = "cpu",
        buffers: int = 1,
    ) -> None:
        """Draw (N, C, ...) logits; labels are (N, *label_shape), by default the logits' voxels.

        On CUDA several buffers take turns, so that none is found in the cache.
        """
        generator = torch.Generator(device).manual_seed(0)
        drawn = torch.randn(shape, generator=generator, device=device).to(dtype)
        self.values = drawn.to(memory_format=memory_format(layout, drawn.dim()))
        self.layout = layout
        voxels = (shape[0], *(shape[2:] if label_shape is None else label_shape))
        self.labels = torch.randint(
            shape[1], voxels, generator=generator, device=device, dtype=torch.uint8
        )
        self._leaf = torch.zeros((), device=device, requires_grad=True)
        self._buffers = itertools.cycle([torch.empty_like(self.values) for _ in range(buffers)])

    def logits(self) -> Tensor:
        """The values, newly written, as the output of a network that is being trained."""
        buffer = next(self._buffers).copy_(self.values)
        written: Tensor = _Written.apply(self._leaf, buffer)
        return written

    def inputs(self) -> Tensor:
        """The values, newly written, where nothing is to be differentiated."""
        return next(self._buffers).copy_(self.values)

    def bytes_of_step(self) -> int:
        """What loss and gradient read and write at least, of logits of full resolution."""
        return 2 * self.values.nbytes + self.labels.nbytes

    def describe(self) -> str:
        """Size, dtype and layout: what a benchmark is grouped by."""
        size = "x".join(map(str, self.values.shape))
        labels = "x".join(map(str, self.labels.shape))
        where = "" if self.values.device.type == "cpu" else f" {self.values.device.type}"
        target = "" if self.labels.shape[1:] == self.values.shape[2:] else f" to {labels}"
        dtype = str(self.values.dtype).removeprefix("torch.")
        return f"{size}{target} {dtype} {self.layout}{where}"


class _Written(torch.autograd.Function):
    """A network's last layer: its output is not a leaf, and its backward pass costs nothing."""

    @staticmethod
    def forward(ctx: Any, leaf: Tensor, buffer: Tensor) -> Tensor:
        return buffer.detach()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[None, None]:
        return None, None


def memory_format(layout: str, dimensions: int) -> torch.memory_format:
    if layout == CONTIGUOUS:
        return torch.contiguous_format
    return torch.channels_last if dimensions == 4 else torch.channels_last_3d
