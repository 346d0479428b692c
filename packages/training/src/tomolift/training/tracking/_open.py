"""Trackers by name, and what happens when one of them fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from .._run import Run
from ..errors import ConfigError
from ._mlflow import MLflow
from ._tensorboard import TensorBoard
from ._tracker import Tracker, metrics_of
from ._wandb import WandB

TRACKERS: dict[str, Callable[[], Tracker]] = {
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
    "wandb": WandB,
}


class Trackers:
    """Tells several trackers of every epoch, and goes on without one that fails.

    Args:
        trackers: by name.
        say: receives a line about one that failed.
    """

    def __init__(self, trackers: dict[str, Tracker], say: Callable[[str], None]) -> None:
        self._trackers = trackers
        self._say = say

    def epoch(self, run: Run, history: Sequence[dict[str, Any]]) -> None:
        """Tell the last record of a run's history."""
        record = history[-1]
        metrics = metrics_of(record, run.experiment.cache.label_names)
        self._each(lambda tracker: tracker.epoch(run, int(record["epoch"]), metrics))

    def __enter__(self) -> Trackers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._each(lambda tracker: tracker.close())

    def _each(self, tell: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self._trackers.items()):
            try:
                tell(tracker)
            # Whatever a server's client raises: a training of days does not die of it.
            except Exception as error:
                reason = " ".join(str(error).split()) or type(error).__name__
                self._say(f"{name}: {reason}; it is told no more, metrics.jsonl goes on")
                del self._trackers[name]


def open_trackers(names: Sequence[str], *, say: Callable[[str], None]) -> Trackers:
    """Open trackers by name, before anything is trained.

    Raises:
        ConfigError: an unknown name, or a library that is not installed.
    """
    for name in names:
        if name not in TRACKERS:
            raise ConfigError(f"--track {name}: expected some of {', '.join(TRACKERS)}")
    return Trackers({name: TRACKERS[name]() for name in names}, say)
