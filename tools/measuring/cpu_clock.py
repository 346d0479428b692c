"""CPU time of this process and of all that it started; waiting for a busy machine is none."""

from __future__ import annotations

import multiprocessing
import resource
import threading
import time
from contextlib import suppress
from pathlib import Path

CPUCLOCK_SCHED = 2  # Linux, posix-timers.h: the clock that counts what the scheduler has given
LOOK_AGAIN_S = 0.005  # a thread that only waits for the interpreter's lock goes on within this time
RUNNABLE = "R"  # proc(5), /proc/pid/stat: runs, or waits for a processor


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


def wait_for_threads() -> None:
    """Return when every other thread of this process has nothing to do, and had not just before."""
    before = -1.0
    while other_threads_run() or time.process_time() - before > LOOK_AGAIN_S / 10:
        before = time.process_time()
        time.sleep(LOOK_AGAIN_S)


def other_threads_run() -> bool:
    states = []
    for task in Path("/proc/self/task").iterdir():
        if task.name != str(threading.get_native_id()):
            with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                # the name before the state stands in parentheses and may have blanks
                states.append((task / "stat").read_text("utf-8").rpartition(")")[2].split()[0])
    return RUNNABLE in states
