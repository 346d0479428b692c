"""`tomolift train` and `tomolift resume`: one run of the comparison."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from .._arms import ARMS
from .._config import Config
from .._profile import config_from_json
from ..errors import ConfigError
from ._overrides import Overrides, resolve

if TYPE_CHECKING:
    from .._run import Run


def train(
    overrides: Annotated[Overrides, tyro.conf.arg(name="")],
    arm: str,
    fold: int = 0,
    seed: int = 0,
    out: Path | None = None,
) -> int:
    """Train one arm on one fold with one seed, and first the 2D run it starts from.

    Args:
        overrides: what differs from the profile.
        arm: a row of the table: 2d, 2d-continued, random, zero, average, scaling.
        fold: which fold to evaluate on.
        seed: of initialisation and order.
        out: the comparison's folder; default runs/PROFILE.
    """
    config, task_dir = resolve(overrides)
    return _perform(config, task_dir, out or Path("runs") / config.name, arm, fold, seed)


def resume(run_dir: Annotated[Path, tyro.conf.Positional]) -> int:
    """Go on with an interrupted run from its newest checkpoint.

    Args:
        run_dir: the run's folder, OUT/runs/ARM-foldK-seedN-HASH.
    """
    run_dir = run_dir.resolve()
    path = run_dir / "run.json"
    try:
        stored = json.loads(path.read_text("utf-8"))
        config = config_from_json(stored["config"], origin=str(path))
        arm, identity = str(stored["arm"]), str(stored["identity"])
        fold, seed = int(stored["fold"]), int(stored["seed"])
        task_dir = Path(stored["task_dir"]) if stored["task_dir"] else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f"{path}: no run to resume ({error}); give a run's folder") from error
    return _perform(config, task_dir, run_dir.parent.parent, arm, fold, seed, identity=identity)


def _perform(
    config: Config,
    task_dir: Path | None,
    out: Path,
    arm: str,
    fold: int,
    seed: int,
    *,
    identity: str | None = None,
) -> int:
    from .._perform import perform
    from .._prepare import prepare
    from .._run import Run
    from .._say import Reporter
    from ..report import draw_progress

    if arm not in ARMS:
        raise ConfigError(f"--arm {arm}: expected one of {', '.join(ARMS)}")
    if not 0 <= fold < config.comparison.split_folds:
        raise ConfigError(f"--fold {fold}: expected 0 to {config.comparison.split_folds - 1}")
    config = replace(config, comparison=replace(config.comparison, arms=(arm,)))
    if seed < 0:
        raise ConfigError(f"--seed {seed}: expected 0 or more")
    with Reporter() as reporter:
        experiment = prepare(config, task_dir=task_dir, out=out, say=reporter.say)
        run = Run(experiment=experiment, arm_name=arm, fold=fold, seed=seed)
        if identity not in (None, run.identity):
            raise ConfigError(
                f"{out}: volumes, weights, device or torch are not those the run was started with; "
                "start it again with `tomolift train`"
            )
        reporter.expect(run.epochs + (run.source.epochs if run.source else 0))

        def on_epoch(current: Run, history: list[dict[str, Any]]) -> None:
            reporter.epoch(current.name, history[-1])
            names = experiment.cache.label_names
            draw_progress({current.name: history}, names, current.folder / "progress.png")

        result = perform(run, on_epoch=on_epoch)
    last = result.history[-1]
    print(f"{run.folder}: mean IoU (pooled) {last['mean_iou_pooled']:.4f}")
    return 0
