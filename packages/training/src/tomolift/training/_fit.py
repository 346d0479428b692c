"""What one training needs to know, and the batches it is fed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Tensor

from tomolift.data import Batches, Cache, Intensity, fit_intensity

from ._augmentation import draw_variation, vary
from ._class_weights import balanced_weights
from ._config import DataConfig
from ._device import Compute
from ._training_config import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class Fit:
    """One training.

    Attributes:
        name: how messages call it.
        spatial_dims: 2 feeds slices, 3 volumes.
        epochs: passes over the training cases.
        batch: slices or volumes per step.
        seed: of the order of the batches.
        training_cases: what is learned from.
        evaluation_cases: what every epoch is judged on; nothing is chosen by it.
        folder: receives metrics.jsonl and checkpoints/.
        identity: the run's hash.
        cache: the volumes.
        data: how they are rescaled and magnified.
        training: optimiser and statistics.
        compute: device and precision.
    """

    name: str
    spatial_dims: int
    epochs: int
    batch: int
    seed: int
    training_cases: Sequence[str]
    evaluation_cases: Sequence[str]
    folder: Path
    identity: str
    cache: Cache
    data: DataConfig
    training: TrainingConfig
    compute: Compute

    @cached_property
    def intensity(self) -> Intensity:
        """The rescaling policy, fitted to the training cases where its name asks for that."""
        return fit_intensity(self.data.intensity, self.cache, self.training_cases)

    @cached_property
    def class_weights(self) -> Tensor | None:
        """Weights of the cross-entropy on the device; None weighs all classes alike."""
        if self.training.class_weights == "none":
            return None
        return balanced_weights(self.cache, self.training_cases).to(self.compute.device)

    def training_batches(self, epoch: int) -> Batches:
        """What an epoch learns from: its batches, varied where the configuration says so."""
        kind = self.training.augmentation
        with closing(self.batches(epoch)) as batches:
            for items, (images, labels) in zip(self.order(epoch), batches, strict=True):
                if kind == "none":
                    yield images, labels
                    continue
                variations = [
                    draw_variation(kind, seed=self.seed, epoch=epoch, item=item) for item in items
                ]
                yield vary(images, labels, variations, ignore_label=self.cache.ignore_label)

    def batches(self, epoch: int) -> Batches:
        """The training batches of an epoch, in an order that depends on (seed, epoch) alone."""
        feed = self.cache.slices if self.spatial_dims == 2 else self.cache.volumes
        return feed(
            batch=self.batch,
            cases=self.training_cases,
            seed=self.seed,
            epoch=epoch,
            intensity=self.intensity,
            device=self.compute.device,
        )

    def describe_batch(self, epoch: int, step: int) -> str:
        """Which cases (and slices) a step of an epoch, both from 0, is fed."""
        return str(self.order(epoch)[step])

    def order(self, epoch: int) -> Sequence[tuple[object, ...]]:
        """The cases, or cases and slices, of each of an epoch's batches."""
        order = self.cache.slice_order if self.spatial_dims == 2 else self.cache.volume_order
        return order(batch=self.batch, cases=self.training_cases, seed=self.seed, epoch=epoch)

    @cached_property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of an epoch."""
        return math.ceil(len(self.order(0)) / self.training.accumulate)
