"""Fill a batch with blocks of slices from the cache, rescaled on the host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ._intensity import Intensity, Rescale
from ._msd import IGNORE_LABEL

if TYPE_CHECKING:
    from ._cache import Cache

Block = tuple[str, int, int]  # case, first slice, stop
Blocks = tuple[Block, ...]


@dataclass(frozen=True, eq=False)
class Filled:
    """A batch on the host: images (N, D, H, W) as the filler keeps them, labels (N, D, H, W)."""

    slot: int
    images: Tensor
    labels: Tensor
    rescales: tuple[Rescale, ...] = ()


class Filler(Protocol):
    """Prepares batches in a thread and hands them over in the consumer's."""

    def fill(self, index: int, blocks: Blocks) -> Filled:
        """Prepare batch ``index``; called in the prefetching thread."""

    def deliver(self, filled: Filled) -> tuple[Tensor, Tensor]:
        """Return images float32 and labels uint8, both (N, D, H, W); called by the consumer."""


class Buffers:
    """Flat buffers, one pair per slot of the ring, cut to each batch's shape; no slots: fresh."""

    def __init__(
        self, cache: Cache, order: Sequence[Blocks], *, slots: int, dtype: torch.dtype, pin: bool
    ) -> None:
        self._images: dict[int, Tensor] = {}
        self._labels: dict[int, Tensor] = {}
        self._slots = slots
        self._dtype = dtype
        self._pin = pin
        self._cache = cache
        cases = {case for blocks in order for case, _, _ in blocks}
        planes = [cache.plane_shape(case) for case in cases]
        largest = max(h for h, _ in planes) * max(w for _, w in planes) if planes else 0
        deepest = max((stop - first for blocks in order for _, first, stop in blocks), default=0)
        self._size = max(map(len, order), default=0) * deepest * largest

    def cut(self, index: int, blocks: Blocks) -> tuple[int, Tensor, Tensor]:
        """Return the slot and the images and labels (N, D, H, W) of batch ``index``, unfilled."""
        planes = [self._cache.plane_shape(case) for case, _, _ in blocks]
        depth = blocks[0][2] - blocks[0][1]
        shape = (len(blocks), depth, max(h for h, _ in planes), max(w for _, w in planes))
        if self._slots == 0:
            images = torch.empty(shape, dtype=self._dtype, pin_memory=self._pin)
            return index, images, torch.empty(shape, dtype=torch.uint8, pin_memory=self._pin)
        slot = index % self._slots
        if slot not in self._images:
            pin = self._pin
            self._images[slot] = torch.empty(self._size, dtype=self._dtype, pin_memory=pin)
            self._labels[slot] = torch.empty(self._size, dtype=torch.uint8, pin_memory=pin)
        count = shape[0] * shape[1] * shape[2] * shape[3]
        return (
            slot,
            self._images[slot][:count].view(shape),
            self._labels[slot][:count].view(shape),
        )


class HostFiller:
    """Rescales on the host, slice by slice while a slice is in the L2 cache."""

    def __init__(
        self, cache: Cache, order: Sequence[Blocks], *, intensity: Intensity, slots: int
    ) -> None:
        self._cache = cache
        self._intensity = intensity
        self._buffers = Buffers(cache, order, slots=slots, dtype=torch.float32, pin=False)

    def fill(self, index: int, blocks: Blocks) -> Filled:
        """Prepare batch ``index``: rescaled images, labels."""
        slot, images, labels = self._buffers.cut(index, blocks)
        for (case, first, stop), image, label in zip(
            blocks, images.numpy(), labels.numpy(), strict=True
        ):
            rescale = self._cache.rescale(case, self._intensity)
            minimum = np.empty(1, np.float32)
            rescale.apply(np.array([self._cache[case].pad_value], np.float32), minimum)
            inner = centred(image, self._cache.plane_shape(case), fill=minimum[0])
            for source, target in zip(self._cache.raw(case)[first:stop], inner, strict=True):
                rescale.apply(source, target)
            copy_labels(self._cache, case, first, stop, label)
        return Filled(slot, images, labels)

    def deliver(self, filled: Filled) -> tuple[Tensor, Tensor]:
        """Return the batch as it is."""
        return filled.images, filled.labels


def centred(block: npt.NDArray[Any], plane: tuple[int, int], *, fill: Any) -> npt.NDArray[Any]:
    """Return the middle (D, *plane) of a block (D, H, W): a view; ``fill`` is put around it."""
    top, left = (block.shape[1] - plane[0]) // 2, (block.shape[2] - plane[1]) // 2
    if block.shape[1:] != plane:
        block[...] = fill
    return block[:, top : top + plane[0], left : left + plane[1]]


def copy_labels(
    cache: Cache, case: str, first: int, stop: int, block: npt.NDArray[np.uint8]
) -> None:
    """Put the labels of some slices into the middle of a block, 255 around them."""
    inner = centred(block, cache.plane_shape(case), fill=IGNORE_LABEL)
    inner[...] = cache.labels(case)[first:stop]
