"""What a person sees while an experiment runs: rich on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


@dataclass
class Reporter:
    """Prints steps and epochs; on a terminal a bar with the remaining time stands below them.

    Attributes:
        total_epochs: of all runs together, for the bar.
    """

    total_epochs: int = 0
    _console: Console = field(default_factory=lambda: Console(file=sys.stderr, highlight=False))
    _progress: Progress | None = None
    _started: float = field(default_factory=time.perf_counter)

    def __enter__(self) -> Reporter:
        if self._console.is_terminal:
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed}/{task.total} epochs, left"),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._progress.start()
            self._progress.add_task("training", total=self.total_epochs or None)
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress:
            self._progress.stop()

    def expect(self, epochs: int) -> None:
        """Tell the bar how many epochs there will be."""
        self.total_epochs = epochs
        if self._progress:
            self._progress.update(self._progress.task_ids[0], total=epochs)

    def say(self, line: str) -> None:
        """One step of the experiment, with the seconds since its start."""
        elapsed = time.perf_counter() - self._started
        self._console.print(f"[{elapsed:6.1f} s] {line}", markup=False, soft_wrap=True)

    def epoch(self, name: str, record: dict[str, Any]) -> None:
        """One finished epoch."""
        scores = " ".join("-" if value is None else f"{value:.3f}" for value in record["iou"])
        line = f"{name}: epoch {record['epoch']}"
        if record["loss"] is None:
            line += ", before training"
        else:
            line += f", loss {record['loss']:.4f}, {record['seconds']:.1f} s"
        self.say(f"{line}, mean IoU {record['mean_iou_pooled']:.4f} ({scores})")
        if self._progress and record["loss"] is not None:
            self._progress.advance(self._progress.task_ids[0])

    def skip(self, epochs: int) -> None:
        """Epochs that a finished run does not need again."""
        if self._progress:
            self._progress.advance(self._progress.task_ids[0], epochs)
