"""The race of measuring, by CPU time, between things that were checked beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import measuring.race
from measuring.cpu_clock import cpu_seconds
from measuring.race import Contender, Times


def race(steps: Mapping[str, Callable[[], object]], *, rounds: int) -> Times:
    """CPU seconds of every round, those of all threads; what a step returns is freed untimed."""
    contenders = {name: Contender(nothing, partial(take, step)) for name, step in steps.items()}
    return measuring.race.race(
        contenders, rounds=rounds, agreement=already_checked, clock=cpu_seconds
    )


def take(step: Callable[[], object], _: None) -> object:
    return step()


def nothing() -> None:
    """Steps need nothing prepared: neither converting nor running changes its network."""


def already_checked(_: Mapping[str, Any]) -> None:
    """What was lifted is compared with its 2D network before the race."""
