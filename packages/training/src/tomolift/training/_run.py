"""One run: an arm on a fold with a seed, in a folder named by what it depends on."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from safetensors.torch import save as save_tensors
from torch import Tensor

from tomolift import data

from ._arms import ARMS, Arm
from ._config import Config
from ._device import Compute
from ._files import write_bytes, write_json, write_text
from ._loop import Fit, train
from ._metrics import case_rows
from ._network import build_network, network_from_source
from ._source import Source
from ._split import Split
from .errors import ConfigError

OnEpoch = Callable[["Run", list[dict[str, Any]]], None]


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
    """One row's training on one fold with one seed."""

    experiment: Experiment
    arm_name: str
    fold: int
    seed: int

    @property
    def arm(self) -> Arm:
        """The row."""
        return ARMS[self.arm_name]

    @property
    def name(self) -> str:
        """How messages and figures call it."""
        return f"{self.arm_name} fold {self.fold} seed {self.seed}"

    @property
    def epochs(self) -> int:
        """Epochs of this arm: epochs_2d for arm 2d, epochs_3d for all that follow it."""
        config = self.experiment.config.training
        return config.epochs_2d if self.arm_name == "2d" else config.epochs_3d

    @property
    def batch(self) -> int:
        """Slices or volumes per step."""
        config = self.experiment.config.training
        return config.batch_2d if self.arm.spatial_dims == 2 else config.batch_3d

    @property
    def source(self) -> Run | None:
        """The run whose last weights this one starts from, None where it needs no run."""
        if self.arm.starts_from != "2d":
            return None
        # The continued 2D row continues arm 2d by definition, whatever the 3D arms start from.
        if self.experiment.config.training.source == "pretrained" and self.arm.spatial_dims == 3:
            return None
        return Run(experiment=self.experiment, arm_name="2d", fold=self.fold, seed=self.seed)

    @property
    def identity(self) -> str:
        """Hex sha256 of all that the run's result depends on."""
        experiment, training = self.experiment, asdict(self.experiment.config.training)
        for other in ("epochs_2d", "epochs_3d", "batch_2d", "batch_3d", "precision", "threads"):
            del training[other]
        if self.arm.spatial_dims == 2:
            for only_3d in ("depth_padding", "depth_stride", "source"):
                del training[only_3d]
        depends_on = {
            "arm": asdict(self.arm),
            "fold": self.fold,
            "seed": self.seed,
            "epochs": self.epochs,
            "batch": self.batch,
            "training": training,
            "precision": experiment.compute.precision,
            "device": experiment.compute.device.type,
            "intensity": experiment.config.data.intensity,
            "zoom": experiment.config.data.zoom,
            "cache": experiment.cache.fingerprint,
            "split": experiment.split.digest,
            "start": self._start_identity(),
        }
        return hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()

    @property
    def folder(self) -> Path:
        """Where the run lives; another configuration is another folder."""
        label = f"{self.arm_name}-fold{self.fold}-seed{self.seed}-{self.identity[:8]}"
        return self.experiment.out / "runs" / label

    def _start_identity(self) -> str:
        if self.arm.starts_from == "nothing":
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


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What a finished run leaves behind.

    Attributes:
        run: which one.
        history: one record an epoch, the first before any training.
        matrices: the last epoch's confusion matrix of each evaluation case, int64 on the CPU.
    """

    run: Run
    history: list[dict[str, Any]]
    matrices: dict[str, Tensor]

    @property
    def seconds_per_epoch(self) -> float:
        """Mean training time of an epoch, evaluation not counted."""
        seconds = [record["seconds"] for record in self.history if "seconds" in record]
        return sum(seconds) / max(len(seconds), 1)


def perform(run: Run, *, on_epoch: OnEpoch) -> RunResult:
    """Do a run, and first the run it starts from; finished ones are read back.

    Raises:
        ConfigError, DamagedCheckpointError, NonFiniteLossError, models.CheckpointError.
    """
    finished = read_result(run)
    if finished:
        return finished
    if run.source:
        perform(run.source, on_epoch=on_epoch)
    experiment = run.experiment
    write_json(
        run.folder / "run.json",
        {
            "identity": run.identity,
            "arm": run.arm_name,
            "fold": run.fold,
            "seed": run.seed,
            "task_dir": str(experiment.task_dir.resolve()) if experiment.task_dir else None,
            "config": experiment.config.to_json(),
        },
    )
    network = _starting_network(run)
    history, matrices = train(
        network,
        Fit(
            name=run.name,
            spatial_dims=run.arm.spatial_dims,
            epochs=run.epochs,
            batch=run.batch,
            seed=run.seed,
            training_cases=experiment.split.training(run.fold),
            evaluation_cases=experiment.split.evaluation(run.fold),
            folder=run.folder,
            identity=run.identity,
        ),
        cache=experiment.cache,
        data_config=experiment.config.data,
        config=experiment.config.training,
        compute=experiment.compute,
        on_epoch=lambda history: on_epoch(run, history),
    )
    weights = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    write_bytes(run.folder / "network.safetensors", save_tensors(weights))
    rows = case_rows(matrices, experiment.cache.label_names)
    write_text(run.folder / "per_case.csv", _csv(run, rows))
    write_json(
        run.folder / "result.json",
        {
            "identity": run.identity,
            "history": history,
            "matrices": {case: matrix.tolist() for case, matrix in matrices.items()},
        },
    )
    # Finished: the checkpoints, 400 MB each for a 3D arm, have nothing left to resume.
    shutil.rmtree(run.folder / "checkpoints", ignore_errors=True)
    return RunResult(run=run, history=history, matrices=matrices)


def read_result(run: Run) -> RunResult | None:
    """A finished run's result, None where it is not finished.

    Raises:
        ConfigError: result.json is damaged or another run's.
    """
    path = run.folder / "result.json"
    if not path.exists():
        return None
    try:
        stored = json.loads(path.read_text("utf-8"))
        matrices = {
            case: torch.tensor(rows, dtype=torch.int64) for case, rows in stored["matrices"].items()
        }
        if stored["identity"] != run.identity:
            raise ValueError("it belongs to another run")
        return RunResult(run=run, history=list(stored["history"]), matrices=matrices)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: damaged ({error}); delete its folder") from error


def final_weights(run: Run) -> dict[str, Tensor]:
    """The last epoch's state dict of a finished run, on the CPU."""
    return load_file(run.folder / "network.safetensors")


def _starting_network(run: Run) -> torch.nn.Module:
    experiment = run.experiment
    num_classes, config = experiment.cache.num_classes, experiment.config.training
    start: dict[str, Tensor] | None = None
    if run.source:
        start = final_weights(run.source)
    elif run.arm.starts_from != "nothing":
        network, report = network_from_source(
            run.checkpoint.path, num_classes=num_classes, seed=run.seed, config=config
        )
        write_text(run.folder / "loaded.txt", f"{report.summary()}\n{report}\n")
        start = network.state_dict()
    return build_network(
        run.arm, num_classes=num_classes, seed=run.seed, config=config, start=start
    )


def _csv(run: Run, rows: list[dict[str, Any]]) -> str:
    stream = io.StringIO()
    where = {"arm": run.arm_name, "fold": run.fold, "seed": run.seed}
    writer = csv.DictWriter(stream, fieldnames=[*where, *rows[0]], lineterminator="\n")
    writer.writeheader()
    writer.writerows({**where, **row} for row in rows)
    return stream.getvalue()
