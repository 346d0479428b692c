"""Fill a batch in pinned memory and rescale it on the device: int16 is half the traffic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ._blocks import Blocks, Buffers, Filled, centred, copy_labels
from ._intensity import Intensity

if TYPE_CHECKING:
    from ._cache import Cache


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
        self._buffers = Buffers(cache, order, slots=slots, dtype=dtype, pin=True)
        self._slots = slots
        self._shipped: dict[int, torch.cuda.Event] = {}

    def fill(self, index: int, blocks: Blocks) -> Filled:
        """Prepare batch ``index``: cached values and how to rescale each block."""
        slot, images, labels = self._buffers.cut(index, blocks)
        if slot in self._shipped:  # an asynchronous copy may still read the slot's old batch
            self._shipped.pop(slot).synchronize()
        rescales = []
        for (case, first, stop), image, label in zip(
            blocks, images.numpy(), labels.numpy(), strict=True
        ):
            plane, pad_value = self._cache.plane_shape(case), self._cache[case].pad_value
            centred(image, plane, fill=pad_value)[...] = self._cache.raw(case)[first:stop]
            copy_labels(self._cache, case, first, stop, label)
            rescales.append(self._cache.rescale(case, self._intensity))
        return Filled(slot, images, labels, tuple(rescales))

    def deliver(self, filled: Filled) -> tuple[Tensor, Tensor]:
        """Ship the batch and return it rescaled, on the consumer's current stream."""
        stored = filled.images.to(self._device, non_blocking=True)
        labels = filled.labels.to(self._device, non_blocking=True)
        if self._slots:  # fresh buffers are never filled again
            event = torch.cuda.Event()
            event.record(torch.cuda.current_stream(self._device))
            self._shipped[filled.slot] = event
        per_block = [[rescale.shift, rescale.gain] for rescale in filled.rescales]
        shift, gain = torch.tensor(per_block, dtype=torch.float32).to(self._device).unbind(1)
        images = stored.float().sub_(shift.view(-1, 1, 1, 1)).mul_(gain.view(-1, 1, 1, 1))
        if filled.rescales[0].clip:  # one policy for all, so all clip or none
            images.clamp_(0.0, 1.0)
        return images, labels
