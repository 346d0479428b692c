"""Eight builders at once, with a working lock and with one that does nothing: one result.

Each round starts from nothing, from an older cache, from what a killed build left or from a
finished cache that lost a file. In every fourth round half of the builders are asked for another
configuration: with the lock the cache is then one of the two, without a lock it may also be an
error, but never a mixture; one more build mends it.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections import Counter
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
from faulting.children import fork, wait
from faulting.operations import Operation, React, observed
from faulting.outcome import Outcome
from faulting.small_task import write_task
from faulting.starts import NOTHING, NOW, OLDER, Starts
from faulting.states import difference, folder_bytes, seen_by_reader

from tomolift.data import build_cache
from tomolift.data._cli import main as command_line

PROMISE = (
    "eight builders at once, with a working lock and without one, all end well and in one cache, "
    "byte by byte that of a single builder"
)
BUILDERS = 8
CASES = 4
KILLED, DAMAGED = "a killed build", "a lost file"
HESITATES = 1 / 10
LONGEST_PAUSE_SECONDS = 5e-3  # as long as one of the small volumes takes
LOCKED, UNLOCKED = "with the lock", "without a lock"
OTHER = "older axes"  # the configuration that differs in contents only, not in sizes


def run(count: int, *, seed: int, scratch: Path) -> Outcome:
    """Run `count` rounds with the lock and as many without."""
    began = time.monotonic()
    rounds = _Rounds(scratch, np.random.default_rng(seed), seed=seed)
    for lock in (LOCKED, UNLOCKED):
        for number in range(count):
            rounds.once(lock, number)
    figures = {"builders in a round": BUILDERS, **dict(sorted(rounds.counts.items()))}
    seconds = time.monotonic() - began
    return Outcome("builders", PROMISE, 2 * count, tuple(rounds.failures), figures, seconds)


class _Rounds:
    def __init__(self, scratch: Path, generator: np.random.Generator, *, seed: int) -> None:
        self.task = write_task(scratch / "task", cases=CASES, seed=seed)
        self.starts = Starts.prepare(self.task, scratch / "starts")
        self.scratch = scratch
        self.cache = scratch / "cache"
        self.generator = generator
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []

    def once(self, lock: str, number: int) -> None:
        """Start the builders together, wait for all, look at what they made, and build again."""
        start = (*self.starts.names, KILLED, DAMAGED)[number % 5]
        other = OTHER if number % 4 == 3 else ""
        what = f"round {number} {lock} from {start}{' in two configurations' * bool(other)}"
        self._place(start)
        ends = self._race(lock, other)
        for status, said in ends:
            self._count(status, said, lock, what)
        seen = seen_by_reader(self.cache)
        if other and lock == UNLOCKED:
            self._tell(seen, other, what)
        elif seen not in self._whole(other) and not any(status for status, _ in ends):
            self.failures.append(f"{what}: a reader saw {seen}")
        build_cache(self.task.folder, self.cache, **NOW, workers=1)
        differs = difference(folder_bytes(self.cache), self.starts.expected)
        if differs:
            self.failures.append(f"{what}: {differs}")

    def _place(self, start: str) -> None:
        if start == KILLED:
            self.starts.place(NOTHING, self.cache)
            self._be_killed()
        elif start == DAMAGED:
            self.starts.place("new", self.cache)
            files = sorted((self.cache / "volumes").iterdir())
            files[self.generator.integers(len(files))].unlink()
        else:
            self.starts.place(start, self.cache)

    def _be_killed(self) -> None:
        last = int(self.generator.integers(1, 40 * CASES))

        def react(operation: Operation) -> object:
            if operation.number == last:
                os._exit(0)  # as sudden as a kill: nothing is tidied up
            return operation.perform()

        def build() -> None:
            with observed(self.cache, react):
                build_cache(self.task.folder, self.cache, **NOW, workers=1)

        wait(fork(build, output=self.scratch / "output"))

    def _race(self, lock: str, other: str) -> list[tuple[int, str]]:
        """Return exit status and last words of every builder."""
        gate, opening = os.pipe()
        seeds = self.generator.integers(2**32, size=BUILDERS).tolist()
        outputs = [self.scratch / f"output {index}" for index in range(BUILDERS)]

        def build(index: int, configuration: dict[str, object]) -> int:
            os.close(opening)
            os.read(gate, 1)  # until the parent opens it for all
            options = [f"--{name}={value}" for name, value in configuration.items()]
            if lock == UNLOCKED:
                patch.object(fcntl, "flock", lambda descriptor, operation: None).start()
            folders = [str(self.task.folder), str(self.cache)]
            with observed(self.cache, hesitating(seeds[index])):
                return command_line(["build", *folders, "--workers=1", *options])

        pids = []
        for index, output in enumerate(outputs):
            configuration = OLDER[other] if other and index % 2 else NOW
            pids.append(fork(partial(build, index, configuration), output=output))
        os.close(gate)
        os.close(opening)
        return [(wait(pid), output.read_text()) for pid, output in zip(pids, outputs, strict=True)]

    def _count(self, status: int, said: str, lock: str, what: str) -> None:
        if status == 0:
            self.counts[f"builders that ended well {lock}"] += 1
        else:
            self.failures.append(f"{what}: a builder ended with {status}: {said[-300:]}")

    def _whole(self, other: str) -> set[str]:
        return {self.starts.finished, *([self.starts.readable[other]] if other else [])}

    def _tell(self, seen: str, other: str, what: str) -> None:
        """Count what a reader gets after builders of two configurations, never a mixture."""
        if seen in self._whole(other):
            self.counts["two configurations, no lock: one of them"] += 1
        elif " " in seen:  # the words of an error, no digest
            self.counts["two configurations, no lock: an error"] += 1
        else:
            self.failures.append(f"{what}: a reader saw a mixture")


def hesitating(seed: int) -> React:
    """Return what now and then waits before an operation, so that builders overtake each other."""
    generator = np.random.default_rng(seed)

    def react(operation: Operation) -> object:
        if generator.random() < HESITATES:
            time.sleep(generator.uniform(0, LONGEST_PAUSE_SECONDS))
        return operation.perform()

    return react
