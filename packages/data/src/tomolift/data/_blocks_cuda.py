"""Fill a batch in pinned memory and rescale it on the device: int16 is half the traffic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ._blocks import Blocks, Buffers, copy_labels, middle
from ._intensity import Intensity
from .errors import BadInput

if TYPE_CHECKING:
    from ._cache import Cache


@dataclass(frozen=True, eq=False)
class Pinned:
    """A batch that can be shipped without waiting: cached values, labels, and what to do there.

    Attributes:
        slot: of the ring.
        images: (N, D, H, W) int16 or float32, as cached.
        labels: (N, D, H, W) uint8.
        scaling: (4, N) float32, shift, gain, low and high of each block.
        clip: whether some block is clipped.
    """

    slot: int
    images: Tensor
    labels: Tensor
    scaling: Tensor
    clip: bool


class CudaFiller:
    """Ships cached values as they are, int16 where every case of the order is int16."""

    def __init__(
        self,
        cache: Cache,
        order: Sequence[Blocks],
        *,
        intensity: Intensity,
        slots: int,
        device: torch.device,
    ) -> None:
        cases = {case for blocks in order for case, _, _ in blocks}
        narrow = all(cache.stored_dtype(case) == "<i2" for case in cases)
        dtype = torch.int16 if narrow else torch.float32
        self._cache = cache
        self._intensity = intensity
        self._device = device
        self._allocate = partial(pinned, device=device)
        self._buffers = Buffers(cache, order, slots=slots, dtype=dtype, allocate=self._allocate)
        self._slots = slots
        self._shipped: dict[int, torch.cuda.Event] = {}

    def fill(self, index: int, blocks: Blocks) -> Pinned:
        """Prepare batch ``index``: cached values and how to rescale each block."""
        slot, images, labels = self._buffers.cut(index, blocks)
        if slot in self._shipped:  # an asynchronous copy may still read the slot's old batch
            self._shipped.pop(slot).synchronize()
        for (case, first, stop), image, label in zip(
            blocks, images.numpy(), labels.numpy(), strict=True
        ):
            inner = middle(image, self._cache.plane_shape(case))
            if inner.shape != image.shape:
                image[...] = self._cache[case].pad_value
            inner[...] = self._cache.raw(case)[first:stop]
            copy_labels(self._cache, case, first, stop, label)
        rescales = [self._cache.rescale(case, self._intensity) for case, _, _ in blocks]
        scaling = self._allocate((4, len(blocks)), torch.float32)
        scaling.numpy()[...] = np.transpose([(r.shift, r.gain, r.low, r.high) for r in rescales])
        clip = any(rescale.clip for rescale in rescales)
        return Pinned(slot, images, labels, scaling, clip)

    def deliver(self, batch: Pinned) -> tuple[Tensor, Tensor]:
        """Ship the batch and return it rescaled, all on the consumer's current stream.

        The host does not wait. Subtraction and multiplication are two kernels, never one fused
        multiply-add, so that the bits are those of the host's batches.
        """
        stored = ship(batch.images, self._device)
        labels = ship(batch.labels, self._device)
        shift, gain, low, high = ship(batch.scaling, self._device).view(4, -1, 1, 1, 1)
        if self._slots:  # fresh buffers are never filled again
            event = torch.cuda.Event(blocking=True)  # the thread sleeps until then, not spins
            event.record(torch.cuda.current_stream(self._device))
            self._shipped[batch.slot] = event
        images = torch.sub(stored, shift).mul_(gain)  # int16 becomes float32 within the kernel
        if batch.clip:
            images.clamp_(low, high)
        return images, labels


def usable_cuda(device: torch.device) -> torch.device:
    """Return the device with its index, the caller's current one by default.

    Raises:
        BadInput: E_ARGUMENT, where torch sees no such device.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if (device.index or 0) >= count:
        problem = f"is {device}, and torch sees {count} CUDA devices"
        raise BadInput("E_ARGUMENT", "device", problem, "use cpu, or a torch and driver with CUDA")
    current = torch.cuda.current_device()  # also makes CUDA ready for the prefetching thread
    return torch.device("cuda", current if device.index is None else device.index)


def pinned(shape: tuple[int, ...], dtype: torch.dtype, *, device: torch.device) -> Tensor:
    """Return page-locked host memory, whose copies to a device need no waiting host.

    Dropped tensors wait in torch's pool for the copies that read them.
    """
    with torch.cuda.device(device):  # pinning opens a context on the thread's current device
        return torch.empty(shape, dtype=dtype, device="cpu", pin_memory=True)


def ship(source: Tensor, device: torch.device) -> Tensor:
    """Return a copy on the device, made on the current stream; the host does not wait."""
    return source.to(device, non_blocking=True)
