"""The experiment's configuration: frozen dataclasses that check their own ranges."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from ._arm_text import arm_named
from ._arms import PAPER_ARMS
from ._ranges import at_least, one_of
from ._training_config import TrainingConfig
from .errors import ConfigError

Task = Literal["phantom", "folder"]
Short = Literal["drop", "pad"]


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
        one_of("data.task", self.task, get_args(Task))
        one_of("data.short", self.short, get_args(Short))
        at_least("data.phantom_cases", self.phantom_cases, 4)
        at_least("data.depth", self.depth, 1)
        at_least("data.cases", self.cases, 0)
        if not 0.25 <= self.zoom <= 8:
            raise ConfigError(f"data.zoom = {self.zoom}: expected 0.25 to 8")


@dataclass(frozen=True, kw_only=True)
class ComparisonConfig:
    """What is compared.

    Attributes:
        arms: rows of the table, in order: names of tomolift.training.ARMS, each with settings of
            its own behind a +, such as "average+replicate".
        split_folds: parts the cases are dealt into, by seed 0.
        folds: how many of those folds are run, from fold 0.
        seeds: how many seeds are run, from seed 0.
        fractions: shares of a fold's training cases that are trained on, each in runs of its own.
    """

    arms: tuple[str, ...] = PAPER_ARMS
    split_folds: int = 5
    folds: int = 1
    seeds: int = 1
    fractions: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        for arm in self.arms:
            arm_named(arm)
        if not self.arms or len(set(self.arms)) != len(self.arms):
            raise ConfigError(f"comparison.arms = {list(self.arms)}: expected each arm once")
        at_least("comparison.split_folds", self.split_folds, 2)
        at_least("comparison.seeds", self.seeds, 1)
        in_range = all(0 < fraction <= 1 for fraction in self.fractions)
        if not in_range or not self.fractions or len(set(self.fractions)) != len(self.fractions):
            raise ConfigError(
                f"comparison.fractions = {list(self.fractions)}: expected each once, above 0 and "
                "at most 1"
            )
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
        self._check_rows()

    @property
    def needs_weights(self) -> bool:
        """Whether any arm starts from a 2D source network."""
        for name in self.comparison.arms:
            arm = arm_named(name)
            point = arm.starting_point(arm.training(self.training))
            if point == "source" or (point == "2d" and self.training.source != "none"):
                return True
        return False

    def to_json(self) -> dict[str, Any]:
        """The configuration as plain JSON values."""
        values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return values

    def _check_rows(self) -> None:
        """Refuse a row that would be another one's training under another name."""
        seen: dict[tuple[str, TrainingConfig], str] = {}
        for name in self.comparison.arms:
            row = (name.split("+")[0], arm_named(name).training(self.training))
            if row in seen:
                raise ConfigError(
                    f"comparison.arms: {name!r} is {seen[row]!r} in this profile; leave one out"
                )
            seen[row] = name
