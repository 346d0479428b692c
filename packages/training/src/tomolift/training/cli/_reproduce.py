"""`tomolift reproduce`: the paper's experiment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import tyro

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
        dry_run: print the resolved configuration, the cases and the runs, and stop.
    """
    config, task_dir = resolve(overrides)
    out = out or Path("runs") / config.name
    if dry_run:
        comparison = config.comparison
        plan = {
            "config": config.to_json(),
            "cases": _listed_cases(task_dir),
            "out": str(out),
            "runs": len(comparison.arms) * comparison.folds * comparison.seeds,
        }
        print(json.dumps(plan, indent=2))
        return 0

    from rich.console import Console

    from .._experiment import reproduce as run_experiment
    from ..report import console_table

    rows = run_experiment(config, task_dir=task_dir, out=out)
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    console.print(console_table(rows, list_class_names(out)))
    console.print(
        f"{out / 'report.md'}, {out / 'report.json'}, {out / 'progress.png'}", markup=False
    )
    return 0


def list_class_names(out: Path) -> list[str]:
    """The class names of a finished report, background first."""
    report = json.loads((out / "report.json").read_text("utf-8"))
    return list(report["table"][0]["iou"])


def _listed_cases(task_dir: Path | None) -> list[str] | str:
    if task_dir is None:
        return "a phantom, written when the experiment starts"
    from tomolift.data import read_task

    return [case.name for case in read_task(task_dir).cases]
