"""Weights & Biases: a run of the project "tomolift" for every run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._optional import optional_module
from .._run import Run


class WandB:
    """Sends to the account that `wandb login` named, or keeps it here with WANDB_MODE=offline.

    A run's id is its identity's beginning, so that a resumed run goes on in its own.
    """

    def __init__(self) -> None:
        self._wandb = optional_module("wandb", extra="wandb", purpose="--track wandb")
        self._runs: dict[str, Any] = {}

    def epoch(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        """One line of history, its step the epoch."""
        if run.identity not in self._runs:
            facts = {"arm": run.arm_name, "fold": run.fold, "seed": run.seed}
            self._runs[run.identity] = self._wandb.init(
                project="tomolift",
                id=run.identity[:16],
                name=run.name,
                config={**facts, "fraction": run.fraction, **vars(run.training)},
                resume="allow",
                reinit="create_new",
            )
        self._runs[run.identity].log(dict(metrics), step=epoch)

    def close(self) -> None:
        """Finish every run."""
        for opened in self._runs.values():
            opened.finish()
