"""Ordinary map-style datasets over a cache, for those who want a ``DataLoader``.

Importing this module imports torch; ``import tomolift.data`` does not. The feeders
``Cache.slices`` and ``Cache.volumes`` are faster: they reuse their buffers. ``samplers`` has their
order.

A ``BadInput`` in a worker process reaches the loop as torch's ``RuntimeError`` with its words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ._cache import Cache
from ._intensity import DEFAULT_INTENSITY, Intensity
from .errors import BadInput

Sample = tuple[Tensor, Tensor]
Item = TypeVar("Item")


class CacheDataset(Dataset[Sample], Generic[Item]):
    """Samples of a cache, one for each of ``items``; pickles as a path and the arguments.

    Args:
        cache: an open cache.
        cases: names to use; all by default.
        channels: equal copies of the grey channel, in one memory (stride 0).
        intensity: policy.

    Raises:
        BadInput: E_ARGUMENT; on taking a sample, E_CACHE where the cache was rebuilt.
    """

    def __init__(
        self,
        cache: Cache,
        *,
        cases: Sequence[str] | None = None,
        channels: int = 1,
        intensity: Intensity = DEFAULT_INTENSITY,
    ) -> None:
        if channels < 1:
            raise BadInput("E_ARGUMENT", "channels", f"is {channels}", "use 1 or 3")
        self.cache, self.cases, self.channels = cache, cases, channels
        self.intensity = intensity
        self.items = self._unshuffled()

    def order(self, batch: int, **options: Any) -> list[tuple[Item, ...]]:
        """Return the batches of items that the feeder of these samples yields."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.items)

    def __getitems__(self, indices: Sequence[int]) -> list[Sample]:
        return [self[index] for index in indices]

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "items"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.items = self._unshuffled()

    def _unshuffled(self) -> list[Item]:
        return [items[0] for items in self.order(1, shuffle=False)]


class SliceDataset(CacheDataset[tuple[str, int]]):
    """Slices as (image float32 (C, H, W), label uint8 (H, W)), those that are all padding left out.

    Items are (case, z); arguments are those of :class:`CacheDataset`.

    Example:
        >>> loader = DataLoader(SliceDataset(cache), batch_size=32)  # doctest: +SKIP
    """

    def order(self, batch: int, **options: Any) -> list[tuple[tuple[str, int], ...]]:
        """Return the batches of (case, z) of :meth:`Cache.slice_order`."""
        return self.cache.slice_order(batch, cases=self.cases, **options)

    def __getitem__(self, index: int) -> Sample:
        case, z = self.items[index]
        image = torch.from_numpy(self.cache.slice(case, z, intensity=self.intensity))
        label = torch.from_numpy(np.array(self.cache.labels(case)[z]))
        return image.expand(self.channels, -1, -1), label


class VolumeDataset(CacheDataset[str]):
    """Volumes as (image float32 (C, D, H, W), label uint8 (D, H, W)).

    Items are cases; arguments are those of :class:`CacheDataset`.

    Example:
        >>> loader = DataLoader(VolumeDataset(cache), batch_size=2)  # doctest: +SKIP
    """

    def order(self, batch: int, **options: Any) -> list[tuple[str, ...]]:
        """Return the batches of cases of :meth:`Cache.volume_order`."""
        return self.cache.volume_order(batch, cases=self.cases, **options)

    def __getitem__(self, index: int) -> Sample:
        case = self.items[index]
        image = torch.from_numpy(self.cache.volume(case, intensity=self.intensity))
        label = torch.from_numpy(np.array(self.cache.labels(case)))
        return image.expand(self.channels, -1, -1, -1), label
