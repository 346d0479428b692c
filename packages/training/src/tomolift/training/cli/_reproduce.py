"""`tomolift reproduce`: the paper's experiment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import tyro

from .._config import Config
from .._estimate import estimate, look_at_volumes
from .._source import check_weights
from ._overrides import Overrides, resolve


def reproduce(
    overrides: Annotated[Overrides, tyro.conf.arg(name="")],
    out: Path | None = None,
    dry_run: bool = False,
) -> int:
    """Run every arm of a profile and print Table 1 beside the paper's.

    Args:
        overrides: what differs from the profile.
        out: folder for cache, runs and report; default runs/PROFILE. Finished parts are reused.
        dry_run: print the resolved configuration, the listed cases, the runs, and what they will
            take of disk, memory and time, and stop.
    """
    config, task_dir = resolve(overrides)
    out = out or Path("runs") / config.name
    if dry_run:
        print(json.dumps(_plan(config, task_dir, out), indent=2))
        return 0

    from .._experiment import reproduce as run_experiment
    from ._show import show_report

    show_report(run_experiment(config, task_dir=task_dir, out=out, track=overrides.track), out)
    return 0


def _plan(config: Config, task_dir: Path | None, out: Path) -> dict[str, Any]:
    """What would be done and what it would take; reads dataset.json and three volumes."""
    comparison = config.comparison
    listed: str | list[str] = "a phantom, written when the experiment starts"
    if config.needs_weights:
        check_weights(config.weights)
    if task_dir is not None:
        from tomolift.data import read_task

        listed = [case.name for case in read_task(task_dir).cases]
    return {
        "config": config.to_json(),
        "cases before any are dropped or chosen": listed,
        "out": str(out),
        "runs": [
            f"{arm} fold {fold} seed {seed} fraction {fraction:g}"
            for fraction in sorted(comparison.fractions, reverse=True)
            for seed in range(comparison.seeds)
            for fold in range(comparison.folds)
            for arm in comparison.arms
        ],
        "estimate": estimate(config, look_at_volumes(config, task_dir)),
    }
