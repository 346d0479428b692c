"""The race of measuring, by CPU time, between ways of reading that were compared beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import measuring.fresh_process
import measuring.race
from measuring.cpu_clock import cpu_seconds
from measuring.race import Contender, Times

run_module = partial(measuring.fresh_process.run_module, Path(__file__).parent.parent)


@dataclass(frozen=True)
class Reader:
    """A step that reads so many items; it is given what `prepare` returns."""

    items: int
    step: Callable[[Any], object]
    prepare: Callable[[], Any] = lambda: None


def race(readers: Mapping[str, Reader], *, rounds: int) -> Times:
    """CPU seconds an item of every round, children included."""
    contenders = {
        name: Contender(reader.prepare, partial(let_go, reader.step))
        for name, reader in readers.items()
    }
    times = measuring.race.race(
        contenders, rounds=rounds, agreement=already_compared, clock=cpu_seconds
    )
    return {name: [each / readers[name].items for each in found] for name, found in times.items()}


def let_go(step: Callable[[Any], object], given: Any) -> None:
    """Take the step, and free what it returns while it is still timed."""
    step(given)


def already_compared(_: Mapping[str, Any]) -> None:
    """Steps return nothing: a batch kept to be compared would be copied, and that be timed."""
