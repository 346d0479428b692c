"""When a build is killed, drawn over its operations and over its time in turn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TWO_WORKERS_EVERY = 25  # starting two processes with their imports takes as long as fifty kills
# with two workers these are seen in the build itself: it writes folders, journal and manifest
OPERATIONS_OF_TWO = 80


@dataclass(frozen=True)
class Moment:
    """Before, within or after operation `number`, or after `seconds`; neither is never."""

    workers: int = 1
    number: int = 0
    place: str = "before"
    seconds: float = 0.0
    alone: bool = False

    @property
    def kind(self) -> str:
        """Return what the kills are counted under."""
        if self.alone:
            return "of a build alone, its two workers left behind"
        if self.workers == 2:
            return "with two workers"
        return "at a drawn time" if self.seconds else "at a drawn operation"


def draw_moment(
    generator: np.random.Generator, operations: int, seconds: float, *, timed: bool
) -> Moment:
    """Return a moment of a build that takes so many operations and seconds.

    Args:
        generator: draws it.
        operations: of a build with one worker.
        seconds: that it takes.
        timed: of a build with one worker, a time is drawn, else an operation.
    """
    if generator.integers(TWO_WORKERS_EVERY) == 0:
        number = int(generator.integers(1, OPERATIONS_OF_TWO))
        return Moment(workers=2, number=number, alone=bool(generator.integers(2)))
    if timed:
        return Moment(seconds=float(generator.uniform(0, seconds)))
    place = str(generator.choice(["before", "within", "after"]))
    return Moment(number=int(generator.integers(1, operations + 1)), place=place)
