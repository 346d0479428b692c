"""Contenders timed in turns in one process, so that a busy machine slows all of them alike."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from measuring.agreement import check_agreement

ALIKE = "the cross-entropy"
WARM_UP = 2
Times = dict[str, list[float]]


@dataclass(frozen=True)
class Contender:
    """Only `step` is timed; it is given what `prepare` returns."""

    prepare: Callable[[], Any]
    step: Callable[[Any], Any]
    rounds: int | None = None  # where it is too slow for as many as the others
    computes: str = ALIKE  # those that compute the same are held against each other


def race(contenders: Mapping[str, Contender], *, rounds: int) -> Times:
    """Seconds of every round; each round has its own, seeded order of the contenders.

    Raises:
        ValueError: two contenders did not compute the same.
    """
    check_contenders(contenders)
    times: Times = {name: [] for name in contenders}
    with collector_paused():
        for turn, names in enumerate(orders(contenders, WARM_UP + rounds), start=-WARM_UP):
            for name in names:
                contender = contenders[name]
                if len(times[name]) == contender.rounds:
                    continue
                given = contender.prepare()
                start = time.perf_counter()
                result = contender.step(given)
                stop = time.perf_counter()
                del given, result
                # what is too slow for all rounds is too slow for a warm-up, too
                if turn >= 0 or contender.rounds is not None:
                    times[name].append(stop - start)
    return times


def check_contenders(contenders: Mapping[str, Contender]) -> None:
    """Run each once; ValueError if two that should have not computed the same."""
    results = {name: one.step(one.prepare()) for name, one in contenders.items()}
    for what in {one.computes for one in contenders.values()}:
        check_agreement(
            {name: results[name] for name, one in contenders.items() if one.computes == what}
        )


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
