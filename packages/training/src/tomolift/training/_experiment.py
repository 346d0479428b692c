"""The comparison: every arm on every fold with every seed, then the report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ._config import Config
from ._perform import perform
from ._prepare import prepare
from ._result import RunResult, read_result
from ._run import Experiment, Run
from ._say import Reporter
from ._tables import write_tables
from .comparison import Analysis
from .report import draw_progress, write_report
from .report._overlays import draw_overlays
from .tracking import Trackers, open_trackers


def reproduce(
    config: Config, *, task_dir: Path | None, out: Path, track: Sequence[str] = ()
) -> Analysis:
    """Run the paper's experiment, or what a profile makes of it, and write its report.

    Finished runs, the cache and the split in `out` are reused; an interrupted run goes on from
    its newest checkpoint.

    Args:
        config: the resolved configuration.
        task_dir: the MSD task folder; None for the phantom.
        out: receives cache, runs, per_case.csv, epochs.csv, report.json, report.md and figures.

        track: trackers that are told of every epoch besides: tensorboard, mlflow, wandb.

    Returns:
        The table, the contrasts and the curves of the report.

    Raises:
        ConfigError, data.BadInput, models.CheckpointError: one line naming file and cure.
    """
    with Reporter() as reporter:
        experiment = prepare(config, task_dir=task_dir, out=out, say=reporter.say)
        runs = planned_runs(experiment)
        reporter.expect(sum(run.epochs for run in runs))
        with open_trackers(track, say=reporter.say) as trackers:
            results = _perform_all(runs, out, reporter, trackers)
        write_tables(experiment, results, out)
        whole = max(config.comparison.fractions)
        shown = [result for result in results if result.run.fraction == whole]
        draw_overlays(shown, out / "figures" / "overlays.png")
        analysis = write_report(out)  # the same as `tomolift compare`
        reporter.say(f"report: {out / 'report.md'}")
    return analysis


def planned_runs(experiment: Experiment) -> list[Run]:
    """Every run of the comparison, arms in table order within a fold and seed."""
    comparison = experiment.config.comparison
    return [
        Run(experiment=experiment, arm_name=arm, fold=fold, seed=seed, fraction=fraction)
        for fraction in sorted(comparison.fractions, reverse=True)
        for seed in range(comparison.seeds)
        for fold in range(comparison.folds)
        for arm in comparison.arms
    ]


def _perform_all(
    runs: list[Run], out: Path, reporter: Reporter, trackers: Trackers
) -> list[RunResult]:
    histories: dict[str, list[dict[str, Any]]] = defaultdict(list)

    def on_epoch(run: Run, history: list[dict[str, Any]]) -> None:
        reporter.epoch(run.name, history[-1])
        histories[run.name] = history
        trackers.epoch(run, history)
        draw_progress(histories, run.experiment.cache.label_names, out / "progress.png")

    results = []
    for run in runs:
        finished = read_result(run)
        if finished:
            reporter.say(f"{run.name}: finished before, reused")
            reporter.skip(run.epochs)
        result = finished or perform(run, on_epoch=on_epoch)
        histories[run.name] = result.history
        results.append(result)
    draw_progress(histories, runs[0].experiment.cache.label_names, out / "progress.png")
    return results
