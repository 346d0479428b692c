"""Run the mutants of one target in a process of its own, so that a crash or a hang is seen.

A mutant fails by any exception other than ``BadInput``, by a warning, by a message that is not one
short printable line, by insane values, by a signal, by more than a second of processor time, by ten
seconds without an end, and by memory beyond the bound. What fails is named by the three
coordinates that make it again.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import signal
import tempfile
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from faulting.mutants_target import InsaneError, Target, Trial, generator

from tomolift.data import BadInput

HANG_SECONDS = 1.0  # of processor time: other work on the machine must not look like a hang
STUCK_SECONDS = 10.0  # of wall time: waiting for a fifo or a lock takes no processor time
MEMORY_BYTES = 2**26  # more than this over what a prepared target holds is a failure
ADDRESS_BYTES = 2**29  # an allocation beyond this is refused by the system, and seen
LONGEST_MESSAGE = 1000  # characters; the paths in it are short
BLOCK = 2000  # mutants between two reports of a worker
MOST_DEATHS = 10  # then the rest of a target is not run, and it says so

ACCEPTED = "accepted"
Kind = tuple[str, str]  # what happened and where in the source


@dataclass
class Tally:
    """What became of the mutants of one target.

    Attributes:
        attempts: mutants run.
        outcomes: how many were accepted, refused under each code, or failed.
        sites: where in the source refusals were raised, as (file name, line).
        failures: by kind, how often and the first.
        peak_bytes: the most memory above what the prepared target held.
        seconds: processor time of the worker.
    """

    attempts: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    sites: set[tuple[str, int]] = field(default_factory=set)
    failures: dict[Kind, tuple[int, str]] = field(default_factory=dict)
    peak_bytes: int = 0
    seconds: float = 0.0

    def fail(self, kind: Kind, words: str) -> None:
        """Count a failure; the first of a kind is kept in words."""
        times, first = self.failures.get(kind, (0, words))
        self.failures[kind] = times + 1, first
        self.outcomes["failed"] += 1

    def add(self, other: Tally) -> None:
        """Take over what another part of the same target came to."""
        self.attempts += other.attempts
        self.outcomes.update(other.outcomes)
        self.sites |= other.sites
        for kind, (times, words) in other.failures.items():
            before, first = self.failures.get(kind, (0, words))
            self.failures[kind] = before + times, first
        self.peak_bytes = max(self.peak_bytes, other.peak_bytes)
        self.seconds += other.seconds

    def told(self) -> tuple[str, ...]:
        """Return one line for each kind of failure."""
        return tuple(f"{times} x {words}" for times, words in self.failures.values())


def run_target(target: Target, count: int, *, seed: int, scratch: Path) -> Tally:
    """Run mutants 0 .. count - 1 of ``target``, starting anew behind one that kills the worker."""
    total, deadly = Tally(), set[int]()
    while total.attempts + len(deadly) < count and len(deadly) <= MOST_DEATHS:
        reached, dead = _run_until_death(target, count, total, deadly, seed=seed, scratch=scratch)
        if dead is not None:
            deadly.add(reached)
            total.fail((dead, target.name), f"{_named(target, seed, reached)}: {dead}")
    total.attempts += len(deadly)
    if total.attempts < count:
        total.fail(("not run", target.name), f"{target.name}: {count - total.attempts} not run")
    return total


def _run_until_death(
    target: Target, count: int, total: Tally, deadly: set[int], *, seed: int, scratch: Path
) -> tuple[int, str | None]:
    """Return the mutant that the worker came to, and what killed it, if anything did."""
    context = multiprocessing.get_context("fork")  # a planted bug travels, imports are paid once
    current = context.RawValue("q", -1)
    ours, theirs = context.Pipe(duplex=False)
    folder = Path(tempfile.mkdtemp(dir=scratch))
    start = total.attempts + sum(index < total.attempts + len(deadly) for index in deadly)
    arguments = (target, start, count, frozenset(deadly), seed, folder, current, theirs)
    worker = context.Process(target=_work, args=arguments)
    worker.start()
    theirs.close()
    try:
        return _watched(worker, ours, current, total)
    finally:
        worker.kill()
        worker.join()
        shutil.rmtree(folder)


def _watched(worker: Any, pipe: Connection, current: Any, total: Tally) -> tuple[int, str | None]:
    seen, since = current.value, time.monotonic()
    while True:
        try:
            if pipe.poll(0.05):
                part = pipe.recv()
                if part is None:
                    return current.value, None
                total.add(part)
        except EOFError:
            worker.join()
            code = worker.exitcode or 0
            died = signal.Signals(-code).name if code < 0 else f"exit status {code}"
            return current.value, f"the process died ({died})"
        if current.value != seen:
            seen, since = current.value, time.monotonic()
        elif time.monotonic() - since > STUCK_SECONDS:
            return current.value, f"no end after {STUCK_SECONDS:g} s"


def _work(
    target: Target, start: int, count: int, deadly: frozenset[int], seed: int, folder: Path,
    current: Any, pipe: Connection,
) -> None:  # fmt: skip
    trial = target.prepare(folder)
    _limit_address_space()
    warnings.simplefilter("error")
    base = _peak_bytes()
    for first in range(start, count, BLOCK):
        part, began = Tally(), time.process_time()
        for index in range(first, min(first + BLOCK, count)):
            if index not in deadly:
                current.value = index
                _run_one(target, trial, part, seed=seed, index=index, base=base)
        part.peak_bytes = _peak_bytes() - base
        part.seconds = time.process_time() - began
        pipe.send(part)
    pipe.send(None)


def _run_one(
    target: Target, trial: Trial, tally: Tally, *, seed: int, index: int, base: int
) -> None:
    mutant = trial.make(generator(target, seed, index))
    tally.attempts += 1
    named = _named(target, seed, index)
    began, before = time.process_time(), _peak_bytes()
    try:
        tally.outcomes[trial.look(mutant) or ACCEPTED] += 1
    except BadInput as error:
        tally.outcomes[error.code] += 1
        tally.sites.add(_site(error))
        line = str(error)
        if not line.isprintable() or len(line) > LONGEST_MESSAGE:
            words = f"{named}: its message has {len(line)} characters: {line!r:.200}"
            tally.fail(("message", f"{_site(error)}"), words)
    except Exception as error:
        told = str(error) if isinstance(error, InsaneError) else f"{type(error).__name__}: {error}"
        file, line_number = _site(error)
        words = f"{named}: {told:.300} ({file}:{line_number})"
        tally.fail((told[:60], f"{file}:{line_number}"), words)
    if (spent := time.process_time() - began) > HANG_SECONDS:
        tally.fail(("hang", target.name), f"{named}: {spent:.1f} s")
    if before < base + MEMORY_BYTES < (peak := _peak_bytes()):
        tally.fail(("memory", target.name), f"{named}: {(peak - before) >> 20} MiB more")


def _named(target: Target, seed: int, index: int) -> str:
    return f"{target.name} {seed} {index}"


def _site(error: BaseException) -> tuple[str, int]:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return Path(last.filename).name, last.lineno or 0


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _limit_address_space() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + ADDRESS_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
