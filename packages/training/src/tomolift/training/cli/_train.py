"""`tomolift train` and `tomolift resume`: one run of the comparison."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from .._config import Config
from .._profile import config_from_json
from ..errors import ConfigError
from ._overrides import Overrides, resolve

if TYPE_CHECKING:
    from .._run import Run


@dataclass(frozen=True)
class _Which:
    """Which run of a comparison."""

    arm: str
    fold: int
    seed: int
    fraction: float


def train(
    overrides: Annotated[Overrides, tyro.conf.arg(name="")],
    arm: str,
    fold: int = 0,
    seed: int = 0,
    fraction: float = 1.0,
    out: Path | None = None,
) -> int:
    """Train one arm on one fold with one seed, and first the 2D run it starts from.

    Args:
        overrides: what differs from the profile.
        arm: a row of the table, such as average or average+replicate, see `reproduce --arms`.
        fold: which fold to evaluate on.
        seed: of initialisation and order.
        fraction: share of the fold's training cases to train on.
        out: the comparison's folder; default runs/PROFILE.
    """
    config, task_dir = resolve(overrides)
    which = _Which(arm, fold, seed, fraction)
    out = out or Path("runs") / config.name
    return _perform(config, task_dir, out, which, track=overrides.track)


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
        which = _Which(
            str(stored["arm"]),
            int(stored["fold"]),
            int(stored["seed"]),
            float(stored.get("fraction", 1.0)),
        )
        identity = str(stored["identity"])
        task_dir = Path(stored["task_dir"]) if stored["task_dir"] else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f"{path}: no run to resume ({error}); give a run's folder") from error
    return _perform(config, task_dir, run_dir.parent.parent, which, identity=identity)


def _perform(
    config: Config,
    task_dir: Path | None,
    out: Path,
    which: _Which,
    *,
    identity: str | None = None,
    track: Sequence[str] = (),
) -> int:
    from .._perform import perform
    from .._prepare import prepare
    from .._run import Run
    from .._say import Reporter
    from ..report import draw_progress
    from ..tracking import open_trackers

    if not 0 <= which.fold < config.comparison.split_folds:
        raise ConfigError(f"--fold {which.fold}: expected 0 to {config.comparison.split_folds - 1}")
    if which.seed < 0:
        raise ConfigError(f"--seed {which.seed}: expected 0 or more")
    comparison = replace(config.comparison, arms=(which.arm,), fractions=(which.fraction,))
    config = replace(config, comparison=comparison)
    with Reporter() as reporter:
        experiment = prepare(config, task_dir=task_dir, out=out, say=reporter.say)
        run = Run(
            experiment=experiment,
            arm_name=which.arm,
            fold=which.fold,
            seed=which.seed,
            fraction=which.fraction,
        )
        if identity not in (None, run.identity):
            raise ConfigError(
                f"{out}: volumes, weights, device or torch are not those the run was started with; "
                "start it again with `tomolift train`"
            )
        reporter.expect(run.epochs + (run.source.epochs if run.source else 0))

        def on_epoch(current: Run, history: list[dict[str, Any]]) -> None:
            reporter.epoch(current.name, history[-1])
            trackers.epoch(current, history)
            names = experiment.cache.label_names
            draw_progress({current.name: history}, names, current.folder / "progress.png")

        with open_trackers(track, say=reporter.say) as trackers:
            result = perform(run, on_epoch=on_epoch)
    last = result.history[-1]
    print(f"{run.folder}: mean IoU (pooled) {last['mean_iou_pooled']:.4f}")
    return 0
