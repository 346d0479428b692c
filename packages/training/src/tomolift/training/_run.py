"""One run: an arm on a fold with a seed, in a folder named by what it depends on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from tomolift import data

from ._arm_text import arm_named
from ._arms import Arm, StartingPoint
from ._config import Config
from ._device import Compute
from ._identity import beyond_the_paper
from ._source import Source
from ._split import Split, nested_subset
from ._training_config import TrainingConfig
from .errors import ConfigError

# Part of every run's identity: raise it when the loop, the loss or the networks change.
_TRAINING_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What all runs of a comparison share.

    Attributes:
        config: the resolved configuration.
        cache: the volumes.
        split: the folds.
        compute: device and precision.
        source: the 2D source checkpoint; None where no arm starts from one.
        task_dir: the MSD task folder the cache was built from; None for the phantom.
        out: the comparison's folder.
    """

    config: Config
    cache: data.Cache
    split: Split
    compute: Compute
    source: Source | None
    task_dir: Path | None
    out: Path


@dataclass(frozen=True, kw_only=True)
class Run:
    """One row's training on one fold with one seed.

    Attributes:
        experiment: what it shares with all others.
        arm_name: the row, see `arm_named`.
        fold: evaluates on this part of the split.
        seed: of initialisation, order and the choice of a fraction.
        fraction: share of the fold's training cases that it sees.
    """

    experiment: Experiment
    arm_name: str
    fold: int
    seed: int
    fraction: float = 1.0

    @property
    def arm(self) -> Arm:
        """The row."""
        return arm_named(self.arm_name)

    @cached_property
    def training(self) -> TrainingConfig:
        """The row's own configuration: the profile's with the row's settings."""
        return self.arm.training(self.experiment.config.training)

    @property
    def starting_point(self) -> StartingPoint:
        """Where the weights come from."""
        return self.arm.starting_point(self.training)

    @cached_property
    def training_cases(self) -> tuple[str, ...]:
        """The cases it learns from, sorted."""
        cases = self.experiment.split.training(self.fold)
        return nested_subset(cases, self.fraction, fold=self.fold, seed=self.seed)

    @cached_property
    def intensity(self) -> data.Intensity:
        """The rescaling policy, fitted to the training cases where its name asks for that."""
        experiment = self.experiment
        return data.fit_intensity(
            experiment.config.data.intensity, experiment.cache, self.training_cases
        )

    @property
    def name(self) -> str:
        """How messages and figures call it."""
        share = "" if self.fraction == 1 else f" fraction {self.fraction:g}"
        return f"{self.arm_name} fold {self.fold} seed {self.seed}{share}"

    @property
    def epochs(self) -> int:
        """Epochs of this arm: epochs_2d for arm 2d, epochs_3d for all that follow it."""
        is_first = self.arm_name.split("+")[0] == "2d"
        return self.training.epochs_2d if is_first else self.training.epochs_3d

    @property
    def batch(self) -> int:
        """Slices or volumes per step."""
        return self.training.batch_2d if self.arm.spatial_dims == 2 else self.training.batch_3d

    @property
    def source(self) -> Run | None:
        """The run whose last weights this one starts from, None where it needs no run."""
        if self.starting_point != "2d":
            return None
        return replace(self, arm_name="2d")

    @cached_property
    def identity(self) -> str:
        """Hex sha256 of all that the run's result depends on, down to the voxels of its cases.

        Threads and processor are left out: they change last bits, not what was run.
        """
        experiment, config = self.experiment, self.training
        cache, split = experiment.cache, experiment.split
        depends_on: dict[str, Any] = {
            "version": [_TRAINING_VERSION, torch.__version__],
            "arm": [self.arm.spatial_dims, self.arm.strategy, self._start_identity()],
            "seed": self.seed,
            "epochs": self.epochs,
            "batch": self.batch,
            "adam": [config.learning_rate, config.beta1, config.beta2, config.weight_decay],
            "norm_batches": config.norm_batches,
            "compute": [experiment.compute.precision, experiment.compute.device.type],
            "input": [experiment.config.data.intensity, experiment.config.data.zoom],
            "classes": cache.num_classes,
            "training": [_content(cache, case) for case in self.training_cases],
            "evaluation": [_content(cache, case) for case in split.evaluation(self.fold)],
        }
        if self.arm.spatial_dims == 3:
            depends_on["depth"] = [config.depth_padding, config.depth_stride]
        depends_on |= beyond_the_paper(config, arm=self.arm)
        return hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()

    @property
    def folder(self) -> Path:
        """Where the run lives; another configuration is another folder."""
        share = "" if self.fraction == 1 else f"-fraction{self.fraction:g}"
        label = f"{self.arm_name}-fold{self.fold}-seed{self.seed}{share}-{self.identity[:8]}"
        return self.experiment.out / "runs" / label

    def _start_identity(self) -> str:
        if self.starting_point == "nothing":
            return "nothing"
        if self.source:
            return self.source.identity
        return self.checkpoint.sha256

    @property
    def checkpoint(self) -> Source:
        """The 2D source checkpoint, for an arm that starts from one."""
        if self.experiment.source is None:
            raise ConfigError(f"arm {self.arm_name} needs --weights")
        return self.experiment.source


def _content(cache: data.Cache, case: str) -> list[Any]:
    """A case's name, its voxels' and labels' checksums, and what rescales it."""
    info = cache[case]
    return [case, *info.checksums, str(info.statistics)]
