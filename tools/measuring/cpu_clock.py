"""CPU time of this process and of all that it started; waiting for a busy machine is none."""

from __future__ import annotations

import multiprocessing
import resource
import time

CPUCLOCK_SCHED = 2  # Linux, posix-timers.h: the clock that counts what the scheduler has given


def cpu_seconds() -> float:
    """CPU seconds so far: every thread here, finished children, and those of multiprocessing.

    A child that is alive is asked by its own clock, for its time is added to its parent's only when
    it has ended and was waited for: workers that outlive a step count while they work.
    """
    living = sum(clock_of(child.pid) for child in multiprocessing.active_children() if child.pid)
    finished = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + finished.ru_utime + finished.ru_stime + living


def clock_of(process: int) -> float:
    """CPU seconds of another process, by the kernel's clock for it (clock_getcpuclockid(3))."""
    return time.clock_gettime((~process << 3) | CPUCLOCK_SCHED)
