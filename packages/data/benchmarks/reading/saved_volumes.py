"""The way of MONAI's PersistentDataset: one saved volume an item, read whole by torch.load."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from reading.batches import Batch, collated
from reading.volumes import Item, Volumes


class SavedVolumes:
    """Images already rescaled and labels, both float32 as LoadImaged makes them, a file a case."""

    def __init__(self, volumes: Volumes, folder: Path, *, cases: Sequence[str]) -> None:
        self.paths = {case: folder / f"{case}.pt" for case in cases}
        folder.mkdir()
        for case, path in self.paths.items():
            image = torch.from_numpy(volumes.cache.volume(case))
            label = torch.from_numpy(volumes.cache.labels(case).astype(np.float32))
            torch.save({"image": image, "label": label}, path)

    def slices(self, items: Sequence[Item]) -> Batch:
        pairs = []
        for case, z in items:
            image, label = self.load(case)
            pairs.append((image[z], label[z]))
        return collated(pairs, labels_as=np.float32)

    def volumes(self, cases: Sequence[str]) -> Batch:
        return collated([self.load(case) for case in cases], labels_as=np.float32)

    def load(self, case: str) -> Batch:
        loaded = torch.load(self.paths[case], weights_only=True)
        return loaded["image"].numpy(), loaded["label"].numpy()
