"""The experiment's configuration: frozen dataclasses that check their own ranges."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from ._arms import ARMS, PAPER_ARMS
from .errors import ConfigError

Task = Literal["phantom", "folder"]
Short = Literal["drop", "pad"]
Precision = Literal["auto", "fp32", "bf16"]
DepthPadding = Literal["zeros", "replicate"]
StartsFrom = Literal["finetuned", "pretrained"]


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which volumes, and how they become arrays (paper, section Data).

    Attributes:
        task: "phantom" writes the synthetic task first; "folder" reads an MSD task folder.
        phantom_cases: volumes the phantom has, 4 or more.
        depth: slices per cached volume.
        short: "drop" leaves out volumes with fewer slices (the paper), "pad" fills them up with
            ignored slices.
        intensity: rescaling policy of tomolift.data, "minmax" in the paper.
        zoom: linear magnification of the network's input (align_corners=True), in the plane for
            2D arms and along all axes for 3D ones; labels stay on their own grid.
        cases: a seeded subset of this many cases; 0 takes all.
        skip_damaged: go on without the volumes that are damaged, instead of refusing to start.
    """

    task: Task = "folder"
    phantom_cases: int = 16
    depth: int = 70
    short: Short = "drop"
    intensity: str = "minmax"
    zoom: float = 1.0
    cases: int = 0
    skip_damaged: bool = False

    def __post_init__(self) -> None:
        _one_of("data.task", self.task, get_args(Task))
        _one_of("data.short", self.short, get_args(Short))
        _at_least("data.phantom_cases", self.phantom_cases, 4)
        _at_least("data.depth", self.depth, 1)
        _at_least("data.cases", self.cases, 0)
        if not 0.25 <= self.zoom <= 8:
            raise ConfigError(f"data.zoom = {self.zoom}: expected 0.25 to 8")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How every arm is trained (paper, section Training; the defaults are the paper's).

    Attributes:
        epochs_2d: epochs of arm 2d.
        epochs_3d: epochs of each 3D arm and of the continued 2D row.
        batch_2d: slices per step.
        batch_3d: volumes per step.
        learning_rate: Adam's.
        beta1: Adam's first moment decay.
        beta2: Adam's second moment decay.
        weight_decay: coupled (L2), on every parameter.
        precision: "fp32" (paper), "bf16", or "auto": bf16 where the hardware has it.
        depth_padding: "zeros" (paper) or "replicate", of the 3D convolutions.
        depth_stride: 0 strides in depth as in the plane (paper); 1 never does.
        norm_batches: training batches over which BatchNorm's statistics are measured again before
            an evaluation; 0 evaluates with the running averages (paper).
        source: "finetuned" inflates the fine-tuned 2D arm (paper), "pretrained" the 2D source.
        threads: CPU threads; 0 takes torch's default.
    """

    epochs_2d: int = 30
    epochs_3d: int = 30
    batch_2d: int = 32
    batch_3d: int = 2
    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    weight_decay: float = 1e-4
    precision: Precision = "fp32"
    depth_padding: DepthPadding = "zeros"
    depth_stride: int = 0
    norm_batches: int = 0
    source: StartsFrom = "finetuned"
    threads: int = 0

    def __post_init__(self) -> None:
        _one_of("training.precision", self.precision, get_args(Precision))
        _one_of("training.depth_padding", self.depth_padding, get_args(DepthPadding))
        _one_of("training.source", self.source, get_args(StartsFrom))
        for name in ("epochs_2d", "epochs_3d", "batch_2d", "batch_3d"):
            _at_least(f"training.{name}", getattr(self, name), 1)
        for name in ("depth_stride", "norm_batches", "threads", "weight_decay"):
            _at_least(f"training.{name}", getattr(self, name), 0)
        if not 0 < self.learning_rate < 1:
            raise ConfigError(f"training.learning_rate = {self.learning_rate}: expected 0 to 1")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"training.{name} = {getattr(self, name)}: expected [0, 1)")


@dataclass(frozen=True, kw_only=True)
class ComparisonConfig:
    """What is compared.

    Attributes:
        arms: rows of the table, in order; see tomolift.training.ARMS.
        split_folds: parts the cases are dealt into, by seed 0.
        folds: how many of those folds are run, from fold 0.
        seeds: how many seeds are run, from seed 0.
    """

    arms: tuple[str, ...] = PAPER_ARMS
    split_folds: int = 5
    folds: int = 1
    seeds: int = 1

    def __post_init__(self) -> None:
        for arm in self.arms:
            _one_of("comparison.arms", arm, tuple(ARMS))
        if not self.arms or len(set(self.arms)) != len(self.arms):
            raise ConfigError(f"comparison.arms = {list(self.arms)}: expected each arm once")
        _at_least("comparison.split_folds", self.split_folds, 2)
        _at_least("comparison.seeds", self.seeds, 1)
        if not 1 <= self.folds <= self.split_folds:
            raise ConfigError(
                f"comparison.folds = {self.folds}: expected 1 to {self.split_folds}, the folds "
                "the cases are dealt into"
            )


@dataclass(frozen=True, kw_only=True)
class Config:
    """A whole experiment, as a profile states it.

    Attributes:
        name: the profile's name.
        weights: "procedural", "imagenet" or the path of a 2D checkpoint.
        data: which volumes.
        training: how each arm is trained.
        comparison: which arms, folds and seeds.
    """

    name: str
    weights: str = ""
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    comparison: ComparisonConfig = field(default_factory=ComparisonConfig)

    def __post_init__(self) -> None:
        # It names a folder: a stranger's profile must not choose where that is.
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", self.name):
            raise ConfigError(f"name = {self.name!r}: expected letters, digits, '.', '_' and '-'")

    @property
    def needs_weights(self) -> bool:
        """Whether any arm starts from a 2D source network."""
        return any(ARMS[arm].starts_from != "nothing" for arm in self.comparison.arms)

    def to_json(self) -> dict[str, Any]:
        """The configuration as plain JSON values."""
        values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return values


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{name} = {value!r}: expected one of {', '.join(allowed)}")


def _at_least(name: str, value: float, least: float) -> None:
    if not least <= value < math.inf:
        raise ConfigError(f"{name} = {value}: expected at least {least}")
