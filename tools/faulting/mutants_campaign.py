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
import warnings
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path, PurePath
from typing import Any

from faulting.mutants_target import InsaneError, Target, Trial, generator
from measuring.resident_memory import forget_the_past, resident

from tomolift.data import BadInput

HANG_SECONDS = 1.0  # of processor time: other work on the machine must not look like a hang
STUCK_SECONDS = 10.0  # of wall time: waiting for a fifo or a lock takes no processor time
MEMORY_BYTES = 2**26  # more than this over what a prepared target holds is a failure
ADDRESS_BYTES = 2**29  # an allocation beyond this is refused by the system, and seen
LONGEST_MESSAGE = 1000  # characters; the paths in it are short
MEMORY = Path("/dev/shm")  # Linux keeps its files in memory: a disk would be the slowest part
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
    progress = _Progress(Tally())
    while progress.done < count and len(progress.deadly) <= MOST_DEATHS:
        folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else scratch))
        try:
            index, death = _run_until_death(target, progress, count, seed=seed, folder=folder)
        finally:
            shutil.rmtree(folder)
        if death:
            progress.deadly.add(index)
            progress.tally.attempts += 1
            progress.tally.fail((death, target.name), f"{_named(target, seed, index)}: {death}")
    if progress.done < count:
        words = f"{target.name}: {count - progress.done} mutants not run: its process always dies"
        progress.tally.fail(("not run", target.name), words)
    return progress.tally


@dataclass
class _Progress:
    """``done`` mutants from the first are reported; ``deadly`` ones are left out from now on."""

    tally: Tally
    done: int = 0
    deadly: set[int] = field(default_factory=set)


def _run_until_death(
    target: Target, progress: _Progress, count: int, *, seed: int, folder: Path
) -> tuple[int, str]:
    """Return the mutant that the worker came to, and what killed it, empty if nothing did."""
    context = multiprocessing.get_context("fork")  # a planted bug travels, imports are paid once
    current = context.RawValue("q", -1)
    ours, theirs = context.Pipe(duplex=False)
    left = (progress.done, count, frozenset(progress.deadly))
    worker = context.Process(target=_work, args=(target, left, seed, folder, current, theirs))
    worker.start()
    theirs.close()
    try:
        return _watch(worker, ours, current, progress)
    finally:
        worker.kill()
        worker.join()
        ours.close()


def _watch(worker: Any, pipe: Connection, current: Any, progress: _Progress) -> tuple[int, str]:
    seen, since = current.value, time.monotonic()
    while True:
        try:
            if pipe.poll(0.05):
                progress.done, part = pipe.recv()
                if part is None:
                    return current.value, ""
                progress.tally.add(part)
        except EOFError:
            worker.join()
            code = worker.exitcode or 0
            died = signal.Signals(-code).name if code < 0 else f"exit status {code}"
            return current.value, f"its process died ({died})"
        if current.value != seen:
            seen, since = current.value, time.monotonic()
        elif time.monotonic() - since > STUCK_SECONDS:
            return current.value, f"no end after {STUCK_SECONDS:g} s"


def _work(
    target: Target, left: tuple[int, int, frozenset[int]], seed: int, folder: Path,
    current: Any, pipe: Connection,
) -> None:  # fmt: skip
    start, count, deadly = left
    trial = target.prepare(folder)
    _limit_address_space()
    warnings.simplefilter("error")
    forget_the_past()  # a fork inherits what its parent has freed
    base = resident("VmHWM")
    for first in range(start, count, BLOCK):
        part, began = Tally(), time.process_time()
        stop = min(first + BLOCK, count)
        for index in range(first, stop):
            if index not in deadly:
                current.value = index
                _run_one(target, trial, part, seed=seed, index=index, base=base)
        part.peak_bytes = resident("VmHWM") - base
        part.seconds = time.process_time() - began
        pipe.send((stop, part))
    pipe.send((count, None))


def _run_one(
    target: Target, trial: Trial, tally: Tally, *, seed: int, index: int, base: int
) -> None:
    mutant = trial.make(generator(target, seed, index))
    tally.attempts += 1
    named = _named(target, seed, index)
    began, before = time.process_time(), resident("VmHWM")
    try:
        tally.outcomes[trial.look(mutant) or ACCEPTED] += 1
    except BadInput as error:
        _count_refusal(tally, error, named)
    except Exception as error:
        told = str(error) if isinstance(error, InsaneError) else f"{type(error).__name__}: {error}"
        file, line = _site(error)
        tally.fail((told[:60], f"{file}:{line}"), f"{named}: {told:.300} ({file}:{line})")
    if (spent := time.process_time() - began) > HANG_SECONDS:
        tally.fail(("hang", target.name), f"{named}: {spent:.1f} s")
    if before <= base + MEMORY_BYTES < (peak := resident("VmHWM")):
        tally.fail(("memory", target.name), f"{named}: {(peak - before) >> 20} MiB more")


def _count_refusal(tally: Tally, error: BadInput, named: str) -> None:
    site, line = _site(error), str(error)
    tally.sites.add(site)
    if error.__cause__ is not None:  # what a parser refused is told by whoever called it
        tally.sites.add(_site(error.__cause__))
    if line.isprintable() and len(line) <= LONGEST_MESSAGE:
        tally.outcomes[error.code] += 1
        return
    words = f"{named}: its message has {len(line)} characters: {line!r:.200}"
    tally.fail(("message", f"{site}"), words)


def _named(target: Target, seed: int, index: int) -> str:
    return f"{target.name} {seed} {index}"


def _site(error: BaseException) -> tuple[str, int]:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "nowhere", 0
    return PurePath(trace.tb_frame.f_code.co_filename).name, trace.tb_lineno


def _limit_address_space() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + ADDRESS_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
