"""What one training needs to know, and the batches it is fed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tomolift.data import Batches, Cache, Intensity, fit_intensity

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
        order = self.cache.slice_order if self.spatial_dims == 2 else self.cache.volume_order
        batches = order(batch=self.batch, cases=self.training_cases, seed=self.seed, epoch=epoch)
        return str(batches[step])
