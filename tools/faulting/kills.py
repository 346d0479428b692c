"""kill -9 of builds: a reader sees no cache or a whole one, and every restart ends alike.

A kill strikes at a drawn operation (before it, after it, or in the middle of a write) or after a
drawn time, in turn. Two of three builds go on from what the last kill left, the others begin
anew. Now and then the build has two workers, and every other time it is then killed alone: its
workers are left behind, as they are by `kill -9 PID`.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections import Counter
from pathlib import Path

import numpy as np
from faulting.after_kill import Aftermath
from faulting.children import fork, is_alive, kill_group, wait
from faulting.kill_moments import Moment, draw_moment
from faulting.operations import Operation, area_of, observed
from faulting.outcome import Outcome
from faulting.progress import Progress
from faulting.small_task import write_task
from faulting.starts import NOTHING, NOW, Starts
from faulting.states import folder_bytes

from tomolift.data import build_cache

PROMISE = (
    "after kill -9 of a build a reader sees no cache or a whole one, the restart ends in the same "
    "bytes, and only volumes in flight are made twice"
)
VOLUMES = 20
MOST_SECONDS_ALONE = 30.0  # for workers that still import when their build dies
MOST_SECONDS_DYING = 10.0
MOST_BARREN = 20  # builds that finish before they are killed, to one that is killed


def run(count: int, *, seed: int, scratch: Path) -> Outcome:
    """Kill `count` builds of 20 volumes, and restart each to its end."""
    began = time.monotonic()
    killing = _Killing(scratch, np.random.default_rng(seed), seed=seed)
    barren = 0
    while killing.kills < count:
        barren += not killing.once()
        if barren > MOST_BARREN * (1 + killing.kills):
            raise RuntimeError("builds finish before they are killed: the machine is too busy")
    struck = ", ".join(f"{area} {n / count:.0%}" for area, n in killing.struck.most_common())
    figures = {
        **dict(sorted(killing.counts.items())),
        **killing.aftermath.figures(),
        "builds that finished before they were killed": barren,
        "struck": struck,
    }
    failures = tuple(killing.aftermath.failures)
    return Outcome("kills", PROMISE, count, failures, figures, time.monotonic() - began)


class _Killing:
    def __init__(self, scratch: Path, generator: np.random.Generator, *, seed: int) -> None:
        self.task = write_task(scratch / "task", cases=VOLUMES, seed=seed)
        self.starts = Starts.prepare(self.task, scratch / "starts")
        self.cache = scratch / "cache"
        self.output = scratch / "output"
        self.generator = generator
        self.progress = Progress()
        self.struck: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.kills = 0
        self.operations, self.seconds = self._undisturbed()
        self.start = NOTHING
        self.aftermath = Aftermath(self.task, self.starts, scratch / "restart")

    def once(self) -> bool:
        """Start a build, kill it, look at what is left; whether it was killed in time."""
        if not self.cache.exists() or self.generator.random() < 1 / 3:
            self.start = str(self.generator.choice(self.starts.names))
            self.starts.place(self.start, self.cache)
        before = folder_bytes(self.cache)
        # in turn by what was killed: a build that ends before its time is tried again
        timed = self.kills % 2 == 1
        moment = draw_moment(self.generator, self.operations, self.seconds, timed=timed)
        self.progress.clear()
        pid = fork(lambda: self._build(moment), output=self.output)
        if moment.seconds:
            self._read_until(time.monotonic() + moment.seconds)
            kill_group(pid)
        status = wait(pid)
        if status != -signal.SIGKILL:
            self._finished(moment, status)
            return False
        if not moment.alone:
            is_alive(pid, within=MOST_SECONDS_DYING)  # its workers, which nobody here can wait for
        self.kills += 1
        self.struck[self.progress.where()] += 1
        self.counts[f"kills {moment.kind}"] += 1
        what = f"kill {self.kills}, {moment}, from {self.start}, in {self.progress.where()}"
        self.aftermath.examine(self.cache, before, moment, self.start, what)
        if moment.alone:
            self._end_orphans(pid, what)
        return True

    def _build(self, moment: Moment) -> None:
        def react(operation: Operation) -> object:
            self.progress.begin(operation.number, area_of(operation.path))
            strikes = operation.number == moment.number
            if strikes and moment.place == "within" and operation.kind == "write":
                operation.perform(operation.data[: len(operation.data) // 2])
            if strikes and moment.place != "after":
                die(alone=moment.alone)
            result = operation.perform()
            if strikes:
                die(alone=moment.alone)
            self.progress.end()
            return result

        with observed(self.cache, react):
            build_cache(self.task.folder, self.cache, **NOW, workers=moment.workers)

    def _undisturbed(self) -> tuple[int, float]:
        """Return the operations and the seconds of a build that begins with nothing."""
        seconds = []
        for _ in range(3):
            self.starts.place(NOTHING, self.cache)
            began = time.monotonic()
            if wait(fork(lambda: self._build(Moment()), output=self.output)):
                raise RuntimeError(f"an undisturbed build failed: {self.output.read_text()}")
            seconds.append(time.monotonic() - began)
        shutil.rmtree(self.cache)
        return self.progress.number, sorted(seconds)[1]

    def _read_until(self, deadline: float) -> None:
        """Read like any reader while the build goes on."""
        while (left := deadline - time.monotonic()) > 0:
            time.sleep(left * self.generator.random())
            self.aftermath.read(self.cache, self.start, "while building", meanwhile=True)

    def _finished(self, moment: Moment, status: int) -> None:
        what = f"the build that survived {moment} from {self.start}"
        if status:
            said = self.output.read_text()
            self.aftermath.failures.append(f"{what} ended with {status}: {said[-300:]}")
        else:
            self.aftermath.compare(self.cache, what)
        shutil.rmtree(self.cache, ignore_errors=True)

    def _end_orphans(self, group: int, what: str) -> None:
        """Wait for the workers that a build left behind, which must see that it is gone."""
        if is_alive(group, within=MOST_SECONDS_ALONE):
            self.aftermath.failures.append(f"{what}: its workers live on")
            kill_group(group)


def die(*, alone: bool) -> None:
    """Kill this process and, unless alone, its whole group."""
    os.kill(os.getpid() if alone else 0, signal.SIGKILL)
