"""A DataLoader with two worker processes over the same cache, as one writes it by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from reading.batches import Batch, rescaled
from reading.volumes import Volumes
from tomolift.data.datasets import SliceDataset

WORKERS = 2
Sample = tuple[Tensor, Tensor]


class Slices(Dataset[Sample]):
    """Every slice as (C, H, W) float32, its channels equal, and labels (H, W)."""

    channels: ClassVar[int] = 3  # what pretrained 2D networks want

    def __init__(self, volumes: Volumes, *, cases: Sequence[str]) -> None:
        self.cache = volumes.cache
        order = volumes.cache.slice_order(1, cases=cases, shuffle=False)
        self.items = [items[0] for items in order]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Sample:
        case, z = self.items[index]
        image = torch.from_numpy(rescaled(self.cache, case, self.cache.raw(case)[z]))
        label = torch.from_numpy(np.array(self.cache.labels(case)[z]))
        return image.expand(self.channels, -1, -1), label


class Loader:
    """Workers that live on from epoch to epoch, so that starting them does not count."""

    def __init__(self, dataset: Slices | SliceDataset, batch: int) -> None:
        self.dataset = dataset
        self.loader: DataLoader[Sample] = DataLoader(
            dataset,
            batch_size=batch,
            num_workers=WORKERS,
            persistent_workers=True,
            multiprocessing_context="fork",  # torch's own default on Linux
        )

    def __len__(self) -> int:
        """Slices of an epoch."""
        return len(self.dataset)

    def epoch(self, _: object = None) -> None:
        for _images, _labels in self.loader:
            pass

    def first_batch(self) -> Batch:
        """Of an epoch that is drawn to its end: what workers still do would count later."""
        (images, labels), *_ = self.loader
        return images.numpy(), labels.numpy()

    def close(self) -> None:
        """End the workers."""
        if self.loader._iterator is not None:
            self.loader._iterator._shutdown_workers()
