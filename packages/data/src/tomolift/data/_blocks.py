"""Fill a batch with blocks of slices from the cache, rescaled on the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ._host_memory import host_memory
from ._intensity import Intensity
from ._msd import IGNORE_LABEL

if TYPE_CHECKING:
    from ._cache import Cache

Block = tuple[str, int, int]  # case, first slice, stop
Blocks = tuple[Block, ...]
Allocate = Callable[[tuple[int, ...], torch.dtype], Tensor]


class Buffers:
    """Flat buffers, one pair per slot of the ring, cut to each batch's shape; no slots: fresh."""

    def __init__(
        self,
        cache: Cache,
        order: Sequence[Blocks],
        *,
        slots: int,
        dtype: torch.dtype,
        allocate: Allocate,
    ) -> None:
        self._images: dict[int, Tensor] = {}
        self._labels: dict[int, Tensor] = {}
        self._slots = slots
        self._dtype = dtype
        self._allocate = allocate
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
            images = self._allocate(shape, self._dtype)
            return index, images, self._allocate(shape, torch.uint8)
        slot = index % self._slots
        if slot not in self._images:
            self._images[slot] = self._allocate((self._size,), self._dtype)
            self._labels[slot] = self._allocate((self._size,), torch.uint8)
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
        self._buffers = Buffers(
            cache, order, slots=slots, dtype=torch.float32, allocate=host_memory
        )

    def fill(self, index: int, blocks: Blocks) -> tuple[Tensor, Tensor]:
        """Return batch ``index``: images rescaled, labels, both (N, D, H, W)."""
        _, images, labels = self._buffers.cut(index, blocks)
        for (case, first, stop), image, label in zip(
            blocks, images.numpy(), labels.numpy(), strict=True
        ):
            rescale = self._cache.rescale(case, self._intensity)
            inner = middle(image, self._cache.plane_shape(case))
            if inner.shape != image.shape:
                minimum = np.array([self._cache[case].pad_value], np.float32)
                rescale.apply(minimum, minimum)
                image[...] = minimum
            for source, target in zip(self._cache.raw(case)[first:stop], inner, strict=True):
                rescale.apply(source, target)
            copy_labels(self._cache, case, first, stop, label)
        return images, labels

    def deliver(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the batch as it is."""
        return batch


def middle(block: npt.NDArray[Any], plane: tuple[int, int]) -> npt.NDArray[Any]:
    """Return the middle (D, *plane) of a block (D, H, W): a view."""
    top, left = (block.shape[1] - plane[0]) // 2, (block.shape[2] - plane[1]) // 2
    return block[:, top : top + plane[0], left : left + plane[1]]


def copy_labels(
    cache: Cache, case: str, first: int, stop: int, block: npt.NDArray[np.uint8]
) -> None:
    """Put the labels of some slices into the middle of a block, 255 around them."""
    inner = middle(block, cache.plane_shape(case))
    if inner.shape != block.shape:
        block[...] = IGNORE_LABEL
    inner[...] = cache.labels(case)[first:stop]
