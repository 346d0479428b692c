"""Ordinary map-style datasets over a cache, for those who want a ``DataLoader``.

Importing this module imports torch; ``import tomolift.data`` does not. The feeders
``Cache.slices`` and ``Cache.volumes`` are faster: they reuse their buffers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ._cache import Cache
from ._intensity import DEFAULT_INTENSITY, Intensity

Sample = tuple[Tensor, Tensor]


class SliceDataset(Dataset[Sample]):
    """Slices as (image float32 (C, H, W), label uint8 (H, W)), those that are all padding left out.

    Pickles as the cache's path and these arguments (below 8 KB for 281 cases).

    Args:
        cache: an open cache.
        cases: names to use; all by default.
        channels: equal copies of the grey channel.
        intensity: policy.

    Example:
        >>> loader = DataLoader(SliceDataset(cache), batch_size=32)  # doctest: +SKIP
    """

    def __init__(
        self,
        cache: Cache,
        *,
        cases: Sequence[str] | None = None,
        channels: int = 1,
        intensity: Intensity = DEFAULT_INTENSITY,
    ) -> None:
        self.cache, self.cases, self.channels = cache, cases, channels
        self.intensity = intensity
        self.items = [items[0] for items in cache.slice_order(1, cases=cases, shuffle=False)]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Sample:
        case, z = self.items[index]
        image = torch.from_numpy(self.cache.slice(case, z, intensity=self.intensity))
        label = torch.from_numpy(np.array(self.cache.labels(case)[z]))
        return image.expand(self.channels, -1, -1), label

    def __getitems__(self, indices: Sequence[int]) -> list[Sample]:
        return [self[index] for index in indices]

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "items"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        SliceDataset.__init__(self, **state)


class VolumeDataset(Dataset[Sample]):
    """Volumes as (image float32 (C, D, H, W), label uint8 (D, H, W)).

    Args:
        cache: an open cache.
        cases: names to use; all by default.
        channels: equal copies of the grey channel.
        intensity: policy.

    Example:
        >>> loader = DataLoader(VolumeDataset(cache), batch_size=2)  # doctest: +SKIP
    """

    def __init__(
        self,
        cache: Cache,
        *,
        cases: Sequence[str] | None = None,
        channels: int = 1,
        intensity: Intensity = DEFAULT_INTENSITY,
    ) -> None:
        self.cache, self.channels, self.intensity = cache, channels, intensity
        self.cases = [items[0] for items in cache.volume_order(1, cases=cases, shuffle=False)]

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, index: int) -> Sample:
        case = self.cases[index]
        image = torch.from_numpy(self.cache.volume(case, intensity=self.intensity))
        label = torch.from_numpy(np.array(self.cache.labels(case)))
        return image.expand(self.channels, -1, -1, -1), label

    def __getitems__(self, indices: Sequence[int]) -> list[Sample]:
        return [self[index] for index in indices]
