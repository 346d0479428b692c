"""TensorBoard: event files in every run's folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._optional import optional_module
from .._run import Run


class TensorBoard:
    """Writes RUN/tensorboard; `tensorboard --logdir OUT/runs` shows all runs together."""

    def __init__(self) -> None:
        optional_module("tensorboard", extra="tensorboard", purpose="--track tensorboard")
        self._module = optional_module(
            "torch.utils.tensorboard", extra="tensorboard", purpose="--track tensorboard"
        )
        self._writers: dict[str, Any] = {}

    def epoch(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        """One scalar a metric, at this epoch."""
        if run.identity not in self._writers:
            folder = run.folder / "tensorboard"
            self._writers[run.identity] = self._module.SummaryWriter(folder)
        writer = self._writers[run.identity]
        for name, value in metrics.items():
            writer.add_scalar(name, value, epoch)
        writer.flush()

    def close(self) -> None:
        """Close every event file."""
        for writer in self._writers.values():
            writer.close()
