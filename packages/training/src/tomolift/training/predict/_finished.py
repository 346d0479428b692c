"""A finished run as its folder tells it: no cache, no source weights, no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomolift import data

from .._arm_text import arm_named
from .._arms import Arm
from .._config import Config
from .._profile import config_from_json
from .._training_config import TrainingConfig
from ..errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """What run.json and result.json hold.

    Attributes:
        folder: OUT/runs/ARM-foldK-seedN-HASH.
        arm_name: the row, see `arm_named`.
        fold: which part of the split it was evaluated on.
        seed: of initialisation and order.
        fraction: share of the fold's training cases that it saw.
        identity: the run's hash.
        config: the experiment's resolved configuration.
        intensity: the rescaling policy, with the training cases' statistics where it has any.
        trained_on: see `_trained_on.trained_on`.
        matrices: int64 (classes, classes) of each evaluation case, rows truth.
        environment: what it was trained with, precision included.
        network_sha256: digest of network.safetensors.
    """

    folder: Path
    arm_name: str
    fold: int
    seed: int
    fraction: float
    identity: str
    config: Config
    intensity: data.Intensity
    trained_on: dict[str, Any]
    matrices: dict[str, NDArray[np.int64]]
    environment: dict[str, Any]
    network_sha256: str

    @property
    def arm(self) -> Arm:
        """The row."""
        return arm_named(self.arm_name)

    @property
    def training(self) -> TrainingConfig:
        """The row's own configuration."""
        return self.arm.training(self.config.training)

    @property
    def label_names(self) -> tuple[str, ...]:
        """Name of each class, background first."""
        return tuple(self.trained_on["label_names"])

    @property
    def depth(self) -> int:
        """Slices of a training volume."""
        return int(self.trained_on["depth"])


def read_finished(run_dir: Path) -> FinishedRun:
    """Read a run's folder.

    Raises:
        ConfigError: it is no run's, not finished, or of a version that kept too little.
    """
    folder = run_dir.resolve()
    record, result = _read(folder / "run.json"), _read(folder / "result.json")
    try:
        if record["identity"] != result["identity"]:
            raise ValueError("run.json and result.json are of different runs")
        return FinishedRun(
            folder=folder,
            arm_name=str(record["arm"]),
            fold=int(record["fold"]),
            seed=int(record["seed"]),
            fraction=float(record["fraction"]),
            identity=str(record["identity"]),
            config=config_from_json(record["config"], origin=str(folder / "run.json")),
            intensity=_intensity(record["intensity"]),
            trained_on=_checked(record["trained_on"]),
            matrices={
                str(case): np.array(rows, np.int64) for case, rows in result["matrices"].items()
            },
            environment=dict(result["environment"]),
            network_sha256=str(result["network_sha256"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError(
            f"{folder}: run.json and result.json cannot be used ({reason}); train the run again"
        ) from error


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ConfigError(
            f"{path}: no finished run ({reason}); give the folder of one, OUT/runs/ARM-..., or "
            "finish it with `tomolift resume`"
        ) from error


def _intensity(stored: Any) -> data.Intensity:
    if isinstance(stored, str):
        return data.parse_intensity(stored)
    return data.SplitIntensity.from_json(stored)


def _checked(stored: Any) -> dict[str, Any]:
    values = dict(stored)
    values["label_names"] = [str(name) for name in values["label_names"]]
    values["depth"] = int(values["depth"])
    if values["depth"] < 1 or not 2 <= len(values["label_names"]) <= 255:
        raise ValueError(f"depth {values['depth']}, {len(values['label_names'])} classes")
    return values
