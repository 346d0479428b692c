"""`tomolift search`: other alphas for the scaling arm."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from ..errors import ConfigError
from ._overrides import Overrides, resolve

if TYPE_CHECKING:
    from .._run import Run


def search(
    overrides: Annotated[Overrides, tyro.conf.arg(name="")],
    trials: int = 20,
    fold: int = 0,
    out: Path | None = None,
) -> int:
    """Search the scaling arm's alphas on cases held out of the training part (needs Optuna).

    Args:
        overrides: what differs from the profile; --seeds runs are averaged in every trial.
        trials: how many alphas to try in all, the paper's and equal ones first.
        fold: whose training cases are used; its evaluation cases are never looked at.
        out: the comparison's folder; default runs/PROFILE. The search lies in OUT/search.
    """
    config, task_dir = resolve(overrides)
    out = out or Path("runs") / config.name
    if trials < 1:
        raise ConfigError(f"--trials {trials}: expected 1 or more")
    if not 0 <= fold < config.comparison.split_folds:
        raise ConfigError(f"--fold {fold}: expected 0 to {config.comparison.split_folds - 1}")

    config = replace(config, comparison=replace(config.comparison, arms=("scaling",)))

    from .._prepare import prepare
    from .._say import Reporter
    from .._search import search_alphas
    from ..tracking import open_trackers

    with Reporter() as reporter:
        experiment = prepare(config, task_dir=task_dir, out=out, say=reporter.say)

        def on_epoch(run: Run, history: list[dict[str, Any]]) -> None:
            reporter.epoch(run.name, history[-1])
            trackers.epoch(run, history)

        with open_trackers(overrides.track, say=reporter.say) as trackers:
            ranked = search_alphas(
                experiment, fold=fold, trials=trials, on_epoch=on_epoch, say=reporter.say
            )
    for trial in ranked[:5]:
        known = f" ({trial.known_as})" if trial.known_as else ""
        print(f"{trial.mean_iou:.4f} {trial.alphas.arm}{known}")
    print(f"{out / 'search' / 'search.json'} (held-out training cases, not evaluation cases)")
    return 0
