"""Do a run: its source first, then its network, its training, its result."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from tomolift import data

from ._files import locked, write_json, write_text
from ._fit import Fit
from ._loop import train
from ._network import build_network, network_from_source
from ._result import RunResult, final_weights, read_result, write_result
from ._run import Run
from ._trained_on import trained_on

OnEpoch = Callable[[Run, list[dict[str, Any]]], None]


def perform(run: Run, *, on_epoch: OnEpoch) -> RunResult:
    """Do a run, and first the run it starts from; finished ones are read back.

    Two processes that want the same run do it once: the second waits for the first.

    Args:
        run: what to do.
        on_epoch: called with the run and its history after every epoch.

    Raises:
        ConfigError, DamagedCheckpointError, NonFiniteLossError, models.CheckpointError.
    """
    source = perform(run.source, on_epoch=on_epoch) if run.source else None
    with locked(run.folder / "lock"):
        finished = read_result(run)
        if finished:
            return finished
        write_json(run.folder / "run.json", _record(run))
        network = _starting_network(run, source)
        history, matrices = train(
            network, _fit(run), on_epoch=lambda history: on_epoch(run, history)
        )
        result = write_result(run, network, history, matrices)
        # Finished: the checkpoints, 400 MB each for a 3D arm, have nothing left to resume.
        shutil.rmtree(run.folder / "checkpoints", ignore_errors=True)
        return result


def _record(run: Run) -> dict[str, Any]:
    """What `tomolift resume` needs to do the same run again, and `tomolift predict` to use it."""
    task_dir = run.experiment.task_dir
    return {
        "identity": run.identity,
        "arm": run.arm_name,
        "fold": run.fold,
        "seed": run.seed,
        "fraction": run.fraction,
        "intensity": _intensity(run),
        "task_dir": str(task_dir.resolve()) if task_dir else None,
        "trained_on": trained_on(run),
        "config": run.experiment.config.to_json(),
    }


def _intensity(run: Run) -> str | dict[str, Any]:
    """The policy's name, with its statistics where they are the training cases'."""
    fitted = run.intensity
    if isinstance(fitted, data.SplitIntensity):
        return fitted.to_json()
    return run.experiment.config.data.intensity


def _fit(run: Run) -> Fit:
    experiment, split = run.experiment, run.experiment.split
    return Fit(
        name=run.name,
        spatial_dims=run.arm.spatial_dims,
        epochs=run.epochs,
        batch=run.batch,
        seed=run.seed,
        training_cases=run.training_cases,
        evaluation_cases=split.evaluation(run.fold),
        folder=run.folder,
        identity=run.identity,
        cache=experiment.cache,
        data=experiment.config.data,
        training=run.training,
        compute=experiment.compute,
    )


def _starting_network(run: Run, source: RunResult | None) -> nn.Module:
    experiment = run.experiment
    num_classes = experiment.cache.num_classes
    start: dict[str, Tensor] | None = None
    if source:
        start = final_weights(source)
    elif run.starting_point == "source":
        network, report = network_from_source(
            run.checkpoint.path, num_classes=num_classes, seed=run.seed, config=run.training
        )
        write_text(run.folder / "loaded.txt", f"{report.summary()}\n{report.table()}\n")
        start = network.state_dict()
    return build_network(
        run.arm, num_classes=num_classes, seed=run.seed, config=run.training, start=start
    )
