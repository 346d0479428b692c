"""Contenders timed in turns in one process, so that a busy machine slows all of them alike."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

ALIKE = "the same as the others"
WARM_UP = 2
Times = dict[str, list[float]]
Agreement = Callable[[Mapping[str, Any]], None]  # raises ValueError where results differ


@dataclass(frozen=True)
class Contender:
    """Only `step` is timed; it is given what `prepare` returns."""

    prepare: Callable[[], Any]
    step: Callable[[Any], Any]
    rounds: int | None = None  # where it is too slow for as many as the others
    computes: str = ALIKE  # those that compute the same are held against each other


def race(
    contenders: Mapping[str, Contender],
    *,
    rounds: int,
    agreement: Agreement,
    clock: Callable[[], float] = time.perf_counter,
) -> Times:
    """Seconds of every round; each round has its own, seeded order of the contenders.

    Args:
        contenders: what runs, by name.
        rounds: how often each runs, but those that have a number of their own.
        agreement: called with the results of contenders that compute the same.
        clock: what is read before and after a step: wall time, or measuring.cpu_clock's.

    Raises:
        ValueError: two contenders did not compute the same.
    """
    check_contenders(contenders, agreement)
    times: Times = {name: [] for name in contenders}
    with collector_paused():
        for turn, names in enumerate(orders(contenders, WARM_UP + rounds), start=-WARM_UP):
            for name in names:
                contender = contenders[name]
                if len(times[name]) == contender.rounds:
                    continue
                given = contender.prepare()
                start = clock()
                result = contender.step(given)
                stop = clock()
                del given, result
                # what is too slow for all rounds is too slow for a warm-up, too
                if turn >= 0 or contender.rounds is not None:
                    times[name].append(stop - start)
    return times


def check_contenders(contenders: Mapping[str, Contender], agreement: Agreement) -> None:
    """Run each once; ValueError if two that should have not computed the same."""
    results = {name: one.step(one.prepare()) for name, one in contenders.items()}
    for what in {one.computes for one in contenders.values()}:
        agreement({name: results[name] for name, one in contenders.items() if one.computes == what})


def orders(names: Mapping[str, Any], rounds: int) -> Iterator[list[str]]:
    """A new order each round: no contender always runs behind the same other one."""
    draw = random.Random(0)
    for _ in range(rounds):
        yield draw.sample(list(names), len(names))


@contextmanager
def collector_paused() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
